// The body of sendMail in MIME mode: base64 of the message without line breaks, made piece by
// piece as the connection takes it, so that a message is not held a second time.

import { Buffer } from "node:buffer";
import type { RequestBody } from "../http/client.ts";
import { type LazyContent, lengthOf, octetsIn, octetsOf } from "../message/lazy_piece.ts";

export function base64Body(content: LazyContent): RequestBody {
  const length = lengthOf(content);
  return {
    length: 4 * Math.ceil(length / 3),
    // One piece is cheaper to encode than several to join.
    parts: () => length <= PIECE ? [base64OfAll(content)] : base64Parts(octetsIn(content, true)),
  };
}

/**
 * Octets of message encoded at once; a multiple of three, so that pieces join without padding. With
 * the request's head it is little enough for one write.
 */
const PIECE = 45 * 1024;
/** Where a piece is put together, and where its base64 is written: nothing of it is kept. */
const octets = Buffer.allocUnsafeSlow(PIECE);
const base64 = Buffer.allocUnsafeSlow(PIECE / 3 * 4);

function base64OfAll(content: LazyContent): string {
  let used = 0;
  for (const piece of content) {
    octets.set(octetsOf(piece), used);
    used += piece.length;
  }
  return octets.toString("base64", 0, used);
}

/** Base64 of the octets, in pieces that join, each good until the next. */
export function* base64Parts(content: Iterable<Uint8Array>): Generator<Uint8Array> {
  let used = 0;
  for (const block of content) {
    for (let at = 0; at < block.length;) {
      const part = block.subarray(at, at + PIECE - used);
      octets.set(part, used);
      used += part.length;
      at += part.length;
      if (used < PIECE) continue;
      // Others use the same memory until the next piece is asked for.
      used = 0;
      yield encoded(PIECE);
    }
  }
  if (used > 0) yield encoded(used);
}

const CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Two characters for each twelve bits, in the order in which they are written. */
const PAIRS = Buffer.alloc(2 * 4096);
for (let bits = 0; bits < 4096; bits++) {
  PAIRS.write(CHARACTERS[bits >> 6]! + CHARACTERS[bits & 63]!, 2 * bits, "latin1");
}
const PAIR_UNITS = new Uint16Array(Uint8Array.from(PAIRS).buffer);
const units = new Uint16Array(base64.buffer);

/** A loop, not the native encoder: that makes strings, and those of a large message pile up. */
function encoded(length: number): Uint8Array {
  const whole = length - length % 3;
  let unit = 0;
  for (let at = 0; at < whole; at += 3) {
    const middle = octets[at + 1]!;
    units[unit++] = PAIR_UNITS[octets[at]! << 4 | middle >> 4]!;
    units[unit++] = PAIR_UNITS[(middle & 15) << 8 | octets[at + 2]!]!;
  }
  let end = 2 * unit;
  // The last one or two, with their padding.
  if (whole < length) end += base64.write(octets.toString("base64", whole, length), end, "latin1");
  return base64.subarray(0, end);
}
