// Reads the bodies of requests to the imitated Graph, up to a limit.

import { Buffer } from "node:buffer";
import type { Context } from "hono";

/** Octets of one request: base64, JSON or a piece of a file. */
export const REQUEST_LIMIT = 4 * 1024 * 1024;

/** Octets beyond the limit that are still read, so that the client can read the refusal. */
const MAX_DISCARDED = 64 * 1024 * 1024;

/** The body, or undefined if it exceeds the limit; even then it has been read to its end. */
export async function readBody(
  context: Context,
  limit: number,
): Promise<Buffer<ArrayBuffer> | undefined> {
  const length = context.req.header("content-length");
  if (length !== undefined && Number(length) <= limit) {
    return Buffer.from(await context.req.arrayBuffer());
  }
  const pieces: Uint8Array[] = [];
  let octets = 0;
  for await (const piece of context.req.raw.body ?? []) {
    octets += piece.length;
    if (octets <= limit) pieces.push(piece);
    else pieces.length = 0;
    if (octets > limit + MAX_DISCARDED) break;
  }
  return octets > limit ? undefined : Buffer.concat(pieces);
}

/** Reads and discards the rest of a body. */
export async function discardBody(context: Context): Promise<void> {
  try {
    await readBody(context, 0);
  } catch {
    // The client has disconnected, or the body has been read already.
  }
}

/** A JSON object, or undefined if the body is something else. */
export function readJson(
  context: Context,
  body: Buffer,
): Readonly<Record<string, unknown>> | undefined {
  if (!/^application\/json\b(?!-)/i.test(context.req.header("content-type") ?? "")) {
    return undefined;
  }
  try {
    return asObject(JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body)));
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
  return value as Readonly<Record<string, unknown>>;
}

/** Line breaks are allowed (the documentation's example has them); everything else is strict. */
export function decodeBase64(encoded: string): Buffer | undefined {
  const text = /\s/.test(encoded) ? encoded.replace(/[\r\n]/g, "") : encoded;
  if (text.length === 0 || text.length % 4 !== 0) return undefined;
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}
