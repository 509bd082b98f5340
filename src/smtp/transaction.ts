// A mail transaction (RFC 5321 §3.3): the envelope as it grows, and where its chunks go.

import { ContentBuilder } from "./content.ts";
import type { SessionFacts } from "./effects.ts";
import { REPLIES, type Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";

/**
 * Octets of memory that the smallest message takes, with its envelope and all data about it: about
 * 25,000. MAX_MEMORY counts one and a half times this number.
 */
export const MIN_MESSAGE_MEMORY = 16 * 1024;

/**
 * Octets of memory for a recipient, for each character of its address and in addition: the address
 * as it came, and in the header field that the finished message may have for it.
 */
const PER_CHARACTER = 3;
const PER_RECIPIENT = 64;
/** Octets of recipients that are not counted. */
const UNCOUNTED = 4 * 1024;

export class Transaction {
  readonly from: string;
  readonly facts: SessionFacts;
  readonly recipients: string[] = [];
  readonly reservation: Reservation;
  /** Whether a recipient was refused because there are too many. */
  full = false;
  /** The content so far, once the first BDAT has come. */
  #chunks: ContentBuilder | undefined;
  /** The reply to each BDAT after one was refused: the message is lost. */
  #failed: Reply | undefined;
  /** The reason: the message is too large or has no room. Kept until the owner is notified. */
  #failure: Reply | undefined;
  #ofRecipients = 0;

  /** @param from the reverse-path */
  constructor(from: string, facts: SessionFacts, reservation: Reservation) {
    this.from = from;
    this.facts = facts;
    this.reservation = reservation;
    // No content has come yet: when it does, it finds no room.
    reservation.giveUp = () => {};
  }

  /** Octets of memory for all but the content: a message may have many recipients and one octet. */
  get overhead(): number {
    return Math.max(0, this.#ofRecipients - UNCOUNTED);
  }

  /** Adds a recipient. @returns false if there is no room for it */
  add(recipient: string): boolean {
    this.#ofRecipients += PER_RECIPIENT + PER_CHARACTER * recipient.length;
    if (this.overhead > 0 && !this.reservation.ensure(this.overhead)) return false;
    this.recipients.push(recipient);
    return true;
  }

  /** Whether a BDAT has come: then neither RCPT nor DATA may (RFC 3030 §2, §3). */
  get chunked(): boolean {
    return this.#chunks !== undefined || this.#failed !== undefined;
  }

  /**
   * Finds room for one more chunk.
   *
   * @param octets of the chunk
   * @param limit octets of all chunks
   * @returns where the chunk goes, or why it is refused
   */
  chunk(octets: number, limit: number): ContentBuilder | Reply {
    if (this.#failed !== undefined) return this.#failed;
    if (this.recipients.length === 0) return this.fail(REPLIES.rcptFirst);
    const size = (this.#chunks?.length ?? 0) + octets;
    if (size > limit) return this.fail(REPLIES.tooBig);
    if (!this.reservation.expect(size + this.overhead)) return this.fail(REPLIES.outOfMemory);
    return this.#chunks ??= new ContentBuilder();
  }

  /**
   * A chunk was refused, or its message's room was given to others: discards the chunks.
   *
   * @returns the refusal
   */
  fail(refusal: Reply): Reply {
    const isLoss = refusal === REPLIES.tooBig || refusal === REPLIES.outOfMemory;
    if (this.#failed === undefined && isLoss) this.#failure = refusal;
    // There may be room later: a client that reads only the last reply must see a 4yz there.
    this.#failed = refusal === REPLIES.outOfMemory ? refusal : REPLIES.bdatFailed;
    this.discard();
    return refusal;
  }

  /** Discards the chunks, and gives back their room. */
  discard(): void {
    this.#chunks?.discard();
    this.#chunks = undefined;
    this.reservation.release();
  }

  /** Why the message was lost, once. */
  takeFailure(): Reply | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }
}
