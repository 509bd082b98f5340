// Reads ranges of an attachment, one after the other or any again, in small pieces that are made when
// they are asked for: a range is never held as a whole.

import type { Attachment } from "./extract_attachments.ts";

/** Octets of a piece at most: what a connection takes in one write, whatever is decoded at once. */
const PIECE = 48 * 1024;

export class AttachmentReader {
  readonly #attachment: Attachment;
  #octets: Iterator<Uint8Array> | undefined;
  /** Octets that have been read. */
  #at = 0;
  /** What is left of the piece that was read last. */
  #rest: Uint8Array = NOTHING;

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
  }

  /**
   * The octets from `start` up to `end`, in pieces that are good until the next one. Cheap where the last range ended at `start`: all
   * before it is decoded anew otherwise. One range is read at a time.
   */
  *read(start: number, end: number): Generator<Uint8Array> {
    if (this.#octets === undefined || this.#at > start) {
      this.#octets = this.#attachment.octets(true)[Symbol.iterator]();
      this.#at = 0;
      this.#rest = NOTHING;
    }
    while (this.#at < start && this.#next(start - this.#at).length > 0);
    while (this.#at < end) {
      const piece = this.#next(Math.min(end - this.#at, PIECE));
      if (piece.length === 0) return;
      yield piece;
    }
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
