// Receives message content: by DATA up to its end, or by BDAT in chunks, never more than allowed.

import { type Content, ContentBuilder } from "./content.ts";
import { DataDecoder } from "./data.ts";
import { REPLIES, type Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";
import type { Transaction } from "./transaction.ts";

/**
 * Octets over the limit that are read and discarded, because the reply to a message comes after its end
 * (RFC 5321 §4.1.1.4). A client that sends more gets its reply in the middle, and its connection is
 * closed (§7.8).
 */
export const MAX_DISCARDED = 64 * 1024 * 1024;

/** One DATA content. If there is no room for it, it is read to its end and discarded. */
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

  /** Whether the octets so far end in a line with a single dot whose line ends are not CRLF. */
  get endMissed(): boolean {
    return this.#decoder.endMissed;
  }

  /** Discards the octets so far. The rest is read, and discarded too. */
  discard(): void {
    this.#builder?.discard();
    this.#builder = undefined;
  }

  /** Whether more octets have come than are read of any message. */
  get overHardLimit(): boolean {
    return this.#length > this.#limit + MAX_DISCARDED;
  }

  /** The content, or the reply that refuses it. */
  finish(): Content | Reply {
    if (this.#length > this.#limit) return REPLIES.tooBig;
    return this.#builder?.finish() ?? REPLIES.outOfMemory;
  }
}

/** Where the octets of an accepted chunk go. */
export interface ChunkTarget {
  readonly builder: ContentBuilder;
  readonly transaction: Transaction;
}

/** The octets of one BDAT command (RFC 3030 §2). A refused chunk is read to its end and discarded. */
export class ChunkReceiver {
  readonly last: boolean;
  #target: ChunkTarget | Reply;
  #left: number;

  /**
   * @param octets of the chunk
   * @param last whether the command said LAST
   */
  constructor(octets: number, last: boolean, target: ChunkTarget | Reply) {
    this.#left = octets;
    this.last = last;
    this.#target = target;
  }

  /** Where the octets go, or the reply that refuses them. */
  get target(): ChunkTarget | Reply {
    return this.#target;
  }

  get complete(): boolean {
    return this.#left === 0;
  }

  /** Discards the next octets. */
  refuse(reply: Reply): void {
    this.#target = reply;
  }

  /** @returns how many of the octets belong to the chunk */
  push(bytes: Uint8Array): number {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    if ("code" in this.#target) return part.length;
    const { builder, transaction } = this.#target;
    const { reservation, overhead } = transaction;
    if (reservation.ensure(builder.length + part.length + overhead)) builder.append(part);
    else this.refuse(transaction.fail(REPLIES.outOfMemory));
    return part.length;
  }
}
