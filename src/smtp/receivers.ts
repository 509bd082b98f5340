// Receives message content: by DATA up to its end, or by BDAT in chunks, never more than allowed.

import { type Content, ContentBuilder } from "./content.ts";
import { DataDecoder } from "./data.ts";
import { REPLIES, type Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";

/**
 * Octets over the limit that are read and discarded: the reply to a message comes after its end (RFC
 * 5321 §4.1.1.4). A client that sends more is answered in the middle, and its connection closed (§7.8).
 */
export const MAX_DISCARDED = 64 * 1024 * 1024;

/** One DATA content. Where there is no room for it, it is read to its end and discarded. */
export class DataReceiver {
  readonly #limit: number;
  readonly #reservation: Reservation;
  readonly #overhead: number;
  readonly #decoder = new DataDecoder(this);
  #builder: ContentBuilder | undefined = new ContentBuilder();
  #length = 0;

  /**
   * @param limit octets
   * @param overhead octets of the reservation that are not for the content
   */
  constructor(limit: number, reservation: Reservation, overhead = 0) {
    this.#limit = limit;
    this.#reservation = reservation;
    this.#overhead = overhead;
    reservation.giveUp = () => this.discard();
  }

  /** @returns the index after the end of data, or -1 when more is needed */
  push(bytes: Uint8Array): number {
    return this.#decoder.push(bytes);
  }

  append(bytes: Uint8Array): void {
    this.#length += bytes.length;
    if (this.#builder === undefined) return;
    const room = this.#length + this.#overhead;
    if (this.#length <= this.#limit && this.#reservation.ensure(room)) {
      this.#builder.append(bytes);
    } else {
      this.discard();
      this.#reservation.release();
    }
  }

  /** Whether the client may take a line with a single dot, whose line ends are not CRLF, for the end. */
  get endMissed(): boolean {
    return this.#decoder.endMissed;
  }

  /** Discards what has come. The rest is read, and discarded too. */
  discard(): void {
    this.#builder?.discard();
    this.#builder = undefined;
  }

  /** Whether more has come than is read of any message. */
  get overHardLimit(): boolean {
    return this.#length > this.#limit + MAX_DISCARDED;
  }

  /** The content, or why there is none. */
  finish(): Content | Reply {
    if (this.#length > this.#limit) return REPLIES.tooBig;
    return this.#builder?.finish() ?? REPLIES.outOfMemory;
  }
}

/** What a chunk needs of its message. */
interface ChunkedMessage {
  readonly reservation: Reservation;
  /** Octets of the reservation that are not for the content. */
  readonly overhead: number;
}

/** The octets of one BDAT command (RFC 3030 §2). A refused chunk is read to its end and discarded. */
export class ChunkReceiver {
  readonly last: boolean;
  readonly #message: ChunkedMessage | undefined;
  #target: ContentBuilder | Reply;
  #left: number;

  /** @param message that the chunk is a part of */
  constructor(
    octets: number,
    last: boolean,
    target: ContentBuilder | Reply,
    message?: ChunkedMessage,
  ) {
    this.#left = octets;
    this.last = last;
    this.#target = target;
    this.#message = message;
  }

  /** Where the octets go, or why they are refused. */
  get target(): ContentBuilder | Reply {
    return this.#target;
  }

  get complete(): boolean {
    return this.#left === 0;
  }

  /** Has the octets discarded, those that have come and the rest. */
  refuse(why: Reply): void {
    this.#target = why;
  }

  /** @returns how many of the octets belong to the chunk */
  push(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    if (!(this.#target instanceof ContentBuilder)) return part.length;
    const { reservation, overhead = 0 } = this.#message ?? {};
    if (reservation?.ensure(this.#target.length + part.length + overhead) === false) {
      this.refuse(REPLIES.outOfMemory);
    } else this.#target.append(part);
    return part.length;
  }
}
