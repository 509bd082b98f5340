// Reads ranges of an attachment, in order or again, in small pieces that are made on demand: a
// range is never held as a whole.

import type { Attachment } from "./extract_attachments.ts";

/** Octets of a piece at most: as many as a connection takes in one write. */
const PIECE = 48 * 1024;

export class AttachmentReader {
  readonly #attachment: Attachment;
  #octets: Iterator<Uint8Array> | undefined;
  /** Octets that have been read. */
  #at = 0;
  /** The rest of the last piece. */
  #rest: Uint8Array = NOTHING;

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
  }

  /**
   * The octets from `start` up to `end`, in pieces that are valid until the next one. Cheap if the
   * last range ended at `start`; otherwise all octets before it are decoded again. One range at a
   * time.
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
