// A mail transaction (RFC 5321 §3.3): the envelope as it grows, and where its chunks go.

import { ContentBuilder } from "./content.ts";
import type { Sender } from "./envelope.ts";
import { REPLIES, type Reply } from "./reply.ts";
import type { Reservation } from "./reservation.ts";

/**
 * Octets of memory that the smallest message takes, with its envelope and all that is known of it while
 * it is under way: some 25,000, of which MAX_MEMORY counts half more than these.
 */
export const LEAST = 16 * 1024;

/**
 * Octets of memory for a recipient: its address as it has come, and on its way into the field that the
 * finished message may have for it, for each of its characters and besides.
 */
const A_CHARACTER = 3;
const A_RECIPIENT = 64;
/** Octets of recipients that are not worth counting. */
const FREE = 4 * 1024;

export class Transaction {
  readonly from: string;
  readonly smtputf8: boolean;
  readonly recipients: string[] = [];
  readonly reservation: Reservation;
  /** Whether the client has been told that there are too many recipients. */
  full = false;
  /** The content so far, once the first BDAT has come. */
  #chunks: ContentBuilder | undefined;
  /** What BDAT is answered with after one was refused: the message cannot be saved any more. */
  #broken: Reply | undefined;
  /** That the message is too large, or has no room any more, until it is told of. */
  #loss: Reply | undefined;
  #ofRecipients = 0;

  constructor({ from, smtputf8 }: Sender, reservation: Reservation) {
    this.from = from;
    this.smtputf8 = smtputf8;
    this.reservation = reservation;
    // Nothing of it is there yet: its content finds no room.
    reservation.giveUp = () => {};
  }

  /** Octets of memory besides the content: a message may have many recipients and one octet. */
  get overhead(): number {
    return Math.max(0, this.#ofRecipients - FREE);
  }

  /** One more recipient. @returns false where there is no room for it */
  add(recipient: string): boolean {
    this.#ofRecipients += A_RECIPIENT + A_CHARACTER * recipient.length;
    if (this.overhead > 0 && !this.reservation.ensure(this.overhead)) return false;
    this.recipients.push(recipient);
    return true;
  }

  /** Whether a BDAT has come: then neither RCPT nor DATA may (RFC 3030 §2, §3). */
  get chunked(): boolean {
    return this.#chunks !== undefined || this.#broken !== undefined;
  }

  /** Whether a BDAT was refused. */
  get broken(): boolean {
    return this.#broken !== undefined;
  }

  /**
   * Finds room for one more chunk.
   *
   * @param octets of the chunk
   * @param limit octets of all chunks
   * @returns where the chunk goes, or why it is refused
   */
  chunk(octets: number, limit: number): ContentBuilder | Reply {
    if (this.#broken !== undefined) return this.#broken;
    if (this.recipients.length === 0) return this.lose(REPLIES.rcptFirst);
    const size = (this.#chunks?.length ?? 0) + octets;
    if (size > limit) return this.lose(REPLIES.tooBig);
    if (!this.reservation.expect(size + this.overhead)) return this.lose(REPLIES.outOfMemory);
    return this.#chunks ??= new ContentBuilder();
  }

  /**
   * A chunk was refused, or there is no room for them any more: what has come is not kept.
   *
   * @returns the refusal
   */
  lose(refusal: Reply): Reply {
    const loses = refusal === REPLIES.tooBig || refusal === REPLIES.outOfMemory;
    if (this.#broken === undefined && loses) this.#loss = refusal;
    // No room now may be room later: a client that looks at the last answer has to see that.
    this.#broken = refusal === REPLIES.outOfMemory ? refusal : REPLIES.bdatFailed;
    this.discard();
    return refusal;
  }

  /** Lets go of the chunks, and gives back their room. */
  discard(): void {
    this.#chunks?.discard();
    this.#chunks = undefined;
    this.reservation.release();
  }

  /** Why the message was lost, once. */
  takeLoss(): Reply | undefined {
    const loss = this.#loss;
    this.#loss = undefined;
    return loss;
  }
}
