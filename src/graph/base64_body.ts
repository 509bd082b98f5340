// The body of sendMail in MIME mode: base64 of the message without line breaks, made piece by
// piece as the connection takes it, so that a message is not held a second time.

import { Buffer } from "node:buffer";
import type { RequestBody } from "../http/client.ts";
import { type LazyContent, lengthOf, octetsIn, octetsOf } from "../message/lazy_piece.ts";

export function base64Body(content: LazyContent): RequestBody {
  const length = lengthOf(content);
  return {
    length: 4 * Math.ceil(length / 3),
    // Encoding one piece is cheaper than joining several.
    parts: () => length <= PIECE ? [base64OfAll(content)] : base64Parts(octetsIn(content, true)),
  };
}

/**
 * Octets of a message encoded at once; a multiple of three, so that pieces join without padding.
 * Small enough for one write together with the request's head.
 */
const PIECE = 45 * 1024;
/** Memory in which a piece is assembled. */
const scratch = Buffer.allocUnsafeSlow(PIECE);

function base64OfAll(content: LazyContent): string {
  let used = 0;
  for (const piece of content) {
    scratch.set(octetsOf(piece), used);
    used += piece.length;
  }
  return scratch.toString("base64", 0, used);
}

/**
 * Base64 of the octets, in pieces that join. Not by Buffer: on one runtime its strings are outside of V8's heap,
 * where 60 MB of them can wait for a collection.
 */
export function* base64Parts(content: Iterable<Uint8Array>): Generator<string> {
  let used = 0;
  for (const block of content) {
    for (let at = 0; at < block.length;) {
      const part = block.subarray(at, at + PIECE - used);
      scratch.set(part, used);
      used += part.length;
      at += part.length;
      if (used < PIECE) continue;
      // Other deliveries use the same memory before the next piece is asked for.
      used = 0;
      yield scratch.toBase64();
    }
  }
  if (used > 0) yield scratch.subarray(0, used).toBase64();
}
