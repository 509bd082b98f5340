// The body of sendMail in MIME mode: base64 of the message without line breaks, made piece by
// piece while it is sent, so that a large message is not held a second time.

import { Buffer } from "node:buffer";
import type { RequestBody } from "../http/client.ts";
import type { Content } from "../smtp/content.ts";

/** Octets of message in one piece; a multiple of three, so that pieces join without padding. */
const PIECE = 192 * 1024;

export function base64Body(content: Content): RequestBody {
  let octets = 0;
  for (const block of content) octets += block.length;
  return { length: 4 * Math.ceil(octets / 3), parts: () => pieces(content) };
}

function* pieces(content: Content): Generator<string> {
  /** What is waiting for more: less than a piece. */
  let held: Uint8Array[] = [];
  let heldLength = 0;
  for (const block of content) {
    let rest = block;
    while (heldLength + rest.length >= PIECE) {
      const part = rest.subarray(0, PIECE - heldLength);
      yield base64(held.length === 0 ? part : Buffer.concat([...held, part]));
      held = [];
      heldLength = 0;
      rest = rest.subarray(part.length);
    }
    if (rest.length > 0) {
      held.push(rest);
      heldLength += rest.length;
    }
  }
  if (heldLength > 0) yield base64(held.length === 1 ? held[0]! : Buffer.concat(held));
}

function base64(octets: Uint8Array): string {
  return Buffer.from(octets.buffer, octets.byteOffset, octets.length).toString("base64");
}
