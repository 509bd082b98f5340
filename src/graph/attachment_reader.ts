// Reads ranges of an attachment, one after the other or any again, into one piece of memory: what has
// been sent is not left behind for the garbage collector, which would let it grow to the size of the
// attachment.

import type { Attachment } from "../message/detach.ts";

export class AttachmentReader {
  readonly #attachment: Attachment;
  readonly #memory: Uint8Array;
  #octets: Iterator<Uint8Array> | undefined;
  /** Octets that have been read. */
  #at = 0;
  /** What is left of the piece that was read last. */
  #rest: Uint8Array = NOTHING;

  /** @param longest octets of a range at most */
  constructor(attachment: Attachment, longest: number) {
    this.#attachment = attachment;
    this.#memory = new Uint8Array(Math.min(longest, attachment.size));
  }

  /**
   * The octets from `start` up to `end`, good until the next call. Cheap where the last range ended
   * at `start`: all before it is decoded anew otherwise.
   */
  read(start: number, end: number): Uint8Array {
    if (this.#octets === undefined || this.#at > start) {
      this.#octets = this.#attachment.octets(true)[Symbol.iterator]();
      this.#at = 0;
      this.#rest = NOTHING;
    }
    while (this.#at < start && this.#next(start - this.#at).length > 0);
    let length = 0;
    while (this.#at < end) {
      const piece = this.#next(end - this.#at);
      if (piece.length === 0) break;
      this.#memory.set(piece, length);
      length += piece.length;
    }
    return this.#memory.subarray(0, length);
  }

  /** A piece of at most `length` octets; an empty one at the end. */
  #next(length: number): Uint8Array {
    while (this.#rest.length === 0) {
      const next = this.#octets!.next();
      if (next.done === true) return NOTHING;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(piece.length);
    this.#at += piece.length;
    return piece;
  }
}

const NOTHING = new Uint8Array();
