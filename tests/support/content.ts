/** Messages as blocks of octets, and back. */
import { Buffer } from "node:buffer";
import { type LazyContent, octetsIn } from "../../src/message/lazy_piece.ts";
import type { Content } from "../../src/smtp/content.ts";

/** One character an octet, as ISO 8859-1, so that a test can name any octet. */
export function octets(text: string): Uint8Array {
  return Buffer.from(text, "latin1");
}

/** Blocks out of texts; empty ones are left out, as `Content` has none. */
export function content(...blocks: readonly string[]): Content {
  return blocks.filter((block) => block !== "").map(octets);
}

/** All octets in one text, one character each. */
export function textOf(blocks: LazyContent): string {
  return Buffer.concat(made(blocks)).toString("latin1");
}

/** The content with all its pieces made. */
export function made(blocks: LazyContent): Uint8Array[] {
  return [...octetsIn(blocks)];
}

/** The text in blocks of `size`. */
export function inBlocks(text: string, size: number): Content {
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < text.length; at += size) blocks.push(octets(text.slice(at, at + size)));
  return blocks;
}
