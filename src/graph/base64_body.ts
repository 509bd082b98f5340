// The body of sendMail in MIME mode: base64 of the message without line breaks, made piece by
// piece while it is sent, so that a large message is not held a second time.

import { Buffer } from "node:buffer";
import type { RequestBody } from "../http/client.ts";
import { type Content, lengthOf } from "../smtp/content.ts";
import { asBuffer } from "../octets.ts";

/** Octets of message encoded at once; a multiple of three, so that pieces join without padding. */
const PIECE = 192 * 1024;
const EMPTY: Uint8Array = new Uint8Array(0);

export function base64Body(content: Content): RequestBody {
  const octets = lengthOf(content);
  return {
    length: 4 * Math.ceil(octets / 3),
    // One piece of a small message is cheaper to encode than several to join.
    parts: () => octets <= PIECE ? [base64OfAll(content)] : base64Parts(content),
  };
}

/** Where the blocks of a small message are put together: nothing of it is kept. */
const scratch = Buffer.allocUnsafeSlow(PIECE);

function base64OfAll(content: Content): string {
  let end = 0;
  for (const block of content) {
    scratch.set(block, end);
    end += block.length;
  }
  return scratch.toString("base64", 0, end);
}

/** Base64 of the octets, in pieces that join. */
export function* base64Parts(content: Iterable<Uint8Array>): Generator<string> {
  /** What has been encoded and not handed over, so that small blocks leave in one part. */
  let text = "";
  /** One or two octets that wait for their third. */
  let held = EMPTY;
  for (let block of content) {
    if (held.length > 0) {
      const missing = 3 - held.length;
      held = Buffer.concat([held, block.subarray(0, missing)]);
      block = block.subarray(missing);
      if (held.length < 3) continue;
      text += base64(held);
    }
    const whole = block.length - block.length % 3;
    for (let start = 0; start < whole; start += PIECE) {
      text += base64(block.subarray(start, Math.min(start + PIECE, whole)));
      if (text.length < PIECE) continue;
      yield text;
      text = "";
    }
    held = block.subarray(whole);
  }
  text += base64(held);
  if (text !== "") yield text;
}

function base64(octets: Uint8Array): string {
  return asBuffer(octets).toString("base64");
}
