// Which recipients of a queued message have been served: a bit for each place in its envelope, in base64, so
// that the note about a message stays small however many there are.

import { Buffer } from "node:buffer";

/** @param places of recipients, from 0 */
export function withServed(served: string | undefined, places: Iterable<number>): string {
  let bits = Buffer.from(served ?? "", "base64");
  for (const place of places) {
    const at = place >> 3;
    if (at >= bits.length) bits = Buffer.concat([bits, Buffer.alloc(at + 1 - bits.length)]);
    bits[at]! |= 1 << (place & 7);
  }
  return bits.toString("base64");
}

/** The recipients that are not served yet. */
export function notServed(recipients: readonly string[], served: string | undefined): string[] {
  if (served === undefined) return [...recipients];
  const bits = Buffer.from(served, "base64");
  return recipients.filter((_, place) => ((bits[place >> 3] ?? 0) >> (place & 7) & 1) === 0);
}
