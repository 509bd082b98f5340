// Seals what the queue stores: AES-256-GCM (NIST SP 800-38D) in pieces, so that a large message is sealed
// and opened without a second copy of it, and without blocking the event loop.
//
//   sealed  = version (1 octet) | key id (8) | salt (32) | piece, piece, …
//   piece   = ciphertext of 256 KiB, of the last one fewer | tag (16)
//   key     = HKDF-SHA256 (RFC 5869) of QUEUE_KEY and the salt: no two texts have the same one
//   nonce   = number of the piece (11 octets), 1 for the last piece and 0 for the others (1 octet)
//
// The number and the last octet of the nonce keep pieces from being left out, swapped or cut off at the end
// (the STREAM construction, https://eprint.iacr.org/2015/189). The context, which is authenticated with
// each piece, keeps one message's texts from being put into another.

import { Buffer } from "node:buffer";
import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import { free } from "../octets.ts";
import type { Secret } from "../secret.ts";
import { type Content, ContentBuilder, lengthOf } from "../smtp/content.ts";

const VERSION = 1;
const KEY_ID = 8;
const SALT = 32;
const HEAD = 1 + KEY_ID + SALT;
const TAG = 16;
/** Octets of the cipher's block: what one runtime returns of it has memory for one more. */
const BLOCK = 16;
/** Octets of a whole piece before sealing. */
const PIECE = 256 * 1024;

const REASONS = {
  /** They were sealed with a key that is not among those given. */
  key: "sealed with another QUEUE_KEY",
  /** They are not what was sealed, or belong elsewhere. */
  tampered: "not what was sealed: changed or damaged",
  /** They can be opened, but this version of the relay does not know what is in them. */
  version: "sealed by another version of the relay",
} as const;

/** Sealed octets that cannot be opened. */
export class SealError extends Error {
  override readonly name = "SealError";
  readonly reason: keyof typeof REASONS;

  /** @param detail without any of what was sealed */
  constructor(reason: keyof typeof REASONS, detail?: string) {
    super(detail === undefined ? REASONS[reason] : `${REASONS[reason]}: ${detail}`);
    this.reason = reason;
  }
}

interface Key {
  readonly octets: Buffer;
  readonly id: Buffer;
  /** The key of the keyed hashes. */
  readonly naming: Buffer;
}

/** Seals with the first key, and opens with all. */
export class Sealer {
  readonly #keys: readonly Key[];

  /** @param keys 32 octets each, in base64; at least one */
  constructor(keys: readonly Secret[]) {
    this.#keys = keys.map((key) => {
      const octets = Buffer.from(key.reveal(), "base64");
      // One way: they say nothing about the key.
      const derived = (use: string) => createHmac("sha256", octets).update(use).digest();
      return { octets, id: derived("id").subarray(0, KEY_ID), naming: derived("naming") };
    });
  }

  /** @param context what the octets are, such as `record 0123456789abcdef` */
  seal(octets: Uint8Array, context: string): Uint8Array {
    return Buffer.concat([...this.#sealed([octets], octets.length, context)]);
  }

  /** @throws SealError */
  open(sealed: Uint8Array, context: string): Uint8Array {
    const reader = new PieceReader(this.#keys, context);
    return Buffer.concat([...reader.push(sealed), reader.end()]);
  }

  /** Octets that a content has once it is sealed. */
  sealedSize(content: Content): number {
    const length = lengthOf(content);
    return HEAD + length + Math.max(1, Math.ceil(length / PIECE)) * TAG;
  }

  /** The sealed content, a piece at a time; the event loop runs between them. */
  async *sealContent(content: Content, context: string): AsyncGenerator<Uint8Array> {
    let first = true;
    for (const piece of this.#sealed(content, lengthOf(content), context)) {
      // A small message has its head and one piece.
      if (!first && piece.length > PIECE) await setImmediate();
      first = false;
      yield piece;
    }
  }

  /**
   * The content can be discarded (`discard`).
   *
   * @param pieces each is read before the next one is asked for
   * @param size octets that it must have: what is kept free for it is by this number, which is not sealed
   * @throws SealError, and what reading the pieces throws
   */
  async openContent(
    pieces: AsyncIterable<Uint8Array>,
    context: string,
    size: number,
  ): Promise<Content> {
    const reader = new PieceReader(this.#keys, context);
    const content = new ContentBuilder();
    let left = size;
    for await (const octets of pieces) {
      for (const piece of reader.push(octets)) {
        left -= piece.length;
        if (left < 0) throw new SealError("tampered");
        content.append(piece);
        await setImmediate();
      }
    }
    const last = reader.end();
    if (last.length !== left) throw new SealError("tampered");
    if (last.length > 0) content.append(last);
    return content.finish();
  }

  /**
   * A name for what must not be readable in the store: the same for the same parts, as long as the
   * first key stays.
   */
  hash(...parts: readonly string[]): string {
    return keyedHash(this.#keys[0]!, parts);
  }

  /** The names that each of the keys gives. */
  hashes(...parts: readonly string[]): readonly string[] {
    return this.#keys.map((key) => keyedHash(key, parts));
  }

  *#sealed(content: Content, length: number, context: string): Generator<Uint8Array> {
    const [key] = this.#keys;
    const salt = randomBytes(SALT);
    yield Buffer.concat([Uint8Array.of(VERSION), key!.id, salt]);
    const derived = derivedKey(key!, salt);
    const count = Math.max(1, Math.ceil(length / PIECE));
    const plain = new PlainReader(content);
    for (let index = 0; index < count; index++) {
      const isLast = index === count - 1;
      const size = isLast ? length - index * PIECE : PIECE;
      const cipher = createCipheriv("aes-256-gcm", derived, nonce(index, isLast));
      cipher.setAAD(Buffer.from(context));
      const piece = Buffer.allocUnsafeSlow(size + TAG);
      let used = 0;
      for (const part of plain.take(size)) {
        const sealed = cipher.update(part);
        piece.set(sealed, used);
        used += sealed.length;
        free(sealed, BLOCK);
      }
      cipher.final();
      piece.set(cipher.getAuthTag(), used);
      yield piece;
    }
  }
}

/** Reads a content in pieces of given lengths, without copying it. */
class PlainReader {
  readonly #content: Content;
  #block = 0;
  #used = 0;

  constructor(content: Content) {
    this.#content = content;
  }

  *take(octets: number): Generator<Uint8Array> {
    let left = octets;
    while (left > 0) {
      const block = this.#content[this.#block]!;
      const part = block.subarray(this.#used, this.#used + left);
      yield part;
      left -= part.length;
      this.#used += part.length;
      if (this.#used === block.length) {
        this.#block++;
        this.#used = 0;
      }
    }
  }
}

/**
 * Opens sealed octets that come in parts of any length. Copies them into memory of its own, which each
 * piece uses again.
 */
class PieceReader {
  readonly #keys: readonly Key[];
  readonly #context: Buffer;
  #derived: Uint8Array | undefined;
  #pieces = 0;
  /** The octets of the head or of the piece that is not opened yet. */
  #memory = Buffer.alloc(0);
  #used = 0;

  constructor(keys: readonly Key[], context: string) {
    this.#keys = keys;
    this.#context = Buffer.from(context);
  }

  /** @returns the pieces that are known not to be the last one */
  *push(octets: Uint8Array): Generator<Uint8Array> {
    let rest = octets;
    while (rest.length > 0) {
      if (this.#derived === undefined && this.#used === HEAD) this.#readHead(this.#taken());
      if (this.#used === PIECE + TAG) yield this.#open(this.#taken(), false);
      const wanted = (this.#derived === undefined ? HEAD : PIECE + TAG) - this.#used;
      const part = rest.subarray(0, wanted);
      this.#append(part);
      rest = rest.subarray(part.length);
    }
  }

  end(): Uint8Array {
    if (this.#derived === undefined || this.#used < TAG) throw new SealError("tampered");
    const last = this.#open(this.#taken(), true);
    free(this.#memory);
    return last;
  }

  #append(octets: Uint8Array): void {
    const used = this.#used + octets.length;
    if (used > this.#memory.length) {
      const larger = Buffer.allocUnsafeSlow(Math.min(PIECE + TAG, Math.max(used, HEAD) * 2));
      larger.set(this.#memory.subarray(0, this.#used));
      free(this.#memory);
      this.#memory = larger;
    }
    this.#memory.set(octets, this.#used);
    this.#used = used;
  }

  /** Valid until the next octets are appended. */
  #taken(): Buffer {
    const taken = this.#memory.subarray(0, this.#used);
    this.#used = 0;
    return taken;
  }

  #readHead(head: Buffer): void {
    if (head[0] !== VERSION) throw new SealError("tampered");
    const id = head.subarray(1, 1 + KEY_ID);
    const key = this.#keys.find((key) => key.id.equals(id));
    if (key === undefined) throw new SealError("key");
    this.#derived = derivedKey(key, head.subarray(1 + KEY_ID));
  }

  #open(piece: Buffer, isLast: boolean): Uint8Array {
    const decipher = createDecipheriv(
      "aes-256-gcm",
      this.#derived!,
      nonce(this.#pieces++, isLast),
      { authTagLength: TAG },
    );
    decipher.setAAD(this.#context);
    decipher.setAuthTag(piece.subarray(piece.length - TAG));
    try {
      const plain = decipher.update(piece.subarray(0, piece.length - TAG));
      decipher.final();
      const octets = Buffer.allocUnsafeSlow(plain.length);
      octets.set(plain);
      free(plain, BLOCK);
      return octets;
    } catch {
      throw new SealError("tampered");
    }
  }
}

function derivedKey(key: Key, salt: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", key.octets, salt, "smtp-oauth-relay queue", 32));
}

function nonce(index: number, isLast: boolean): Buffer {
  const octets = Buffer.alloc(12);
  octets.writeUIntBE(index, 5, 6);
  octets[11] = isLast ? 1 : 0;
  return octets;
}

function keyedHash({ naming }: Key, parts: readonly string[]): string {
  const hmac = createHmac("sha256", naming);
  for (const part of parts) hmac.update(`${part.length}:${part};`);
  return hmac.digest("base64url").slice(0, 22);
}
