// Reads an attachment's octets from any place. What has been read once and is wanted again is made
// anew: nothing of it is kept.

import type { Attachment } from "../message/detach.ts";

export class AttachmentReader {
  readonly #attachment: Attachment;
  #octets: Iterator<Uint8Array> | undefined;
  /** Octets that have been read. */
  #at = 0;
  /** What is left of the piece that was read last. */
  #rest: Uint8Array | undefined;

  constructor(attachment: Attachment) {
    this.#attachment = attachment;
  }

  /** The octets from `start` up to `end`; cheap where the last read ended at `start`. */
  *read(start: number, end: number): Generator<Uint8Array> {
    if (this.#octets === undefined || this.#at > start) {
      this.#octets = this.#attachment.octets()[Symbol.iterator]();
      this.#at = 0;
      this.#rest = undefined;
    }
    while (this.#at < start && this.#next(start - this.#at) !== undefined);
    while (this.#at < end) {
      const piece = this.#next(end - this.#at);
      if (piece === undefined) return;
      yield piece;
    }
  }

  /** A piece of at most `length` octets. */
  #next(length: number): Uint8Array | undefined {
    if (this.#rest === undefined) {
      const next = this.#octets!.next();
      if (next.done === true) return undefined;
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, length);
    this.#rest = piece.length < this.#rest.length ? this.#rest.subarray(length) : undefined;
    this.#at += piece.length;
    return piece;
  }
}
