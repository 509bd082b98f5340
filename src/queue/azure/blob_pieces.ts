// A message as the octets of its blob: the sealed record, then the sealed content.

import { Buffer } from "node:buffer";
import { free } from "../../octets.ts";
import { type NewMessage, StoreError } from "../store.ts";

/** Octets of a request's body at most: a larger blob is written and read in pieces. */
export const PIECE = 4 * 1024 * 1024;

/**
 * Record and content in pieces of 4 MiB, made as they are asked for, each in memory of its own. No other copy of
 * them is left: many messages may be written at the same time.
 *
 * @throws StoreError if the content has another size than it should have
 */
export async function* inPieces(
  { id, record, sealedSize, content }: NewMessage,
): AsyncGenerator<Buffer> {
  let left = record.length + sealedSize;
  const next = () => Buffer.allocUnsafeSlow(Math.min(PIECE, left));
  let piece = next();
  let used = 0;
  for await (const part of chained(record, content())) {
    for (let at = 0; at < part.length;) {
      const some = part.subarray(at, at + piece.length - used);
      if (some.length === 0) throw new StoreError("EINVAL", `message ${id} has another size`);
      piece.set(some, used);
      at += some.length;
      used += some.length;
      if (used < piece.length) continue;
      left -= used;
      yield piece;
      piece = next();
      used = 0;
    }
    if (part !== record) free(part);
  }
  if (left > 0) throw new StoreError("EINVAL", `message ${id} has another size`);
}

async function* chained(
  first: Uint8Array,
  others: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  yield first;
  yield* others;
}
