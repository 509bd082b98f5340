// Messages whose pointers belong to this relay and that wait here to be taken: those that it has just added,
// and a few of each busy mailbox. They need no request, and are given up when their lease nears its end.

import type { Buffer } from "node:buffer";
import type { StoredMessage } from "../store.ts";
import type { Lease } from "./lease.ts";
import type { Selector } from "./mailboxes.ts";
import type { SeenBlob } from "./taken_message.ts";

/** How many at most; a message that finds no room is received like those of other relays. */
const MAX_WAITING = 1000;
/** Octets of records and contents that they keep in memory at most. */
const MAX_OCTETS = 16 * 1024 * 1024;
/** Received ones of one mailbox at most. */
const MAX_RECEIVED = 16;
/** The part of a lease's time after which a message is not taken any more. */
const TOO_LATE = 2 / 3;

export interface WaitingMessage {
  readonly lease: Lease;
  /** Undefined if it was received: its blob has not been read. */
  readonly added?: {
    readonly stored: StoredMessage;
    readonly seen: SeenBlob;
    readonly content: Buffer | undefined;
  };
}

export class WaitingMessages {
  #messages: WaitingMessage[] = [];
  #octets = 0;
  /** Received ones by mailbox. */
  readonly #received = new Map<string, number>();

  get size(): number {
    return this.#messages.length;
  }

  /** @returns whether there is room for it */
  add(message: WaitingMessage): boolean {
    if (this.#messages.length >= MAX_WAITING) return false;
    const { mailbox } = message.lease.text;
    if (message.added === undefined) {
      const count = this.#received.get(mailbox) ?? 0;
      if (count >= MAX_RECEIVED) return false;
      this.#received.set(mailbox, count + 1);
      this.#messages.push(message);
      return true;
    }
    const { stored: { record }, content } = message.added;
    const left = MAX_OCTETS - this.#octets - record.length;
    // A record of many recipients is read again, too.
    if (left < 0) return this.add({ lease: message.lease });
    const fits = (content?.length ?? 0) <= left;
    const kept = fits ? message.added : { ...message.added, content: undefined };
    this.#octets += octetsOf(kept);
    this.#messages.push({ ...message, added: kept });
    return true;
  }

  /**
   * Takes the oldest ones out that can still be taken.
   *
   * @param expired gets received ones that waited for too long
   */
  take(
    limit: number,
    selects: Selector,
    expired: (lease: Lease) => void,
  ): readonly WaitingMessage[] {
    const taken: WaitingMessage[] = [];
    this.#messages = this.#messages.filter((message) => {
      const { lease } = message;
      if (lease.used > TOO_LATE) {
        if (message.added === undefined) expired(lease);
        return this.#forget(message);
      }
      if (taken.length === limit || !selects(lease.text)) return true;
      taken.push(message);
      return this.#forget(message);
    });
    return taken;
  }

  /** Takes all of them out. */
  takeAll(): readonly WaitingMessage[] {
    return this.take(MAX_WAITING, () => true, () => {});
  }

  #forget({ lease, added }: WaitingMessage): false {
    if (added !== undefined) {
      this.#octets -= octetsOf(added);
      return false;
    }
    const { mailbox } = lease.text;
    const count = this.#received.get(mailbox)! - 1;
    if (count === 0) this.#received.delete(mailbox);
    else this.#received.set(mailbox, count);
    return false;
  }
}

function octetsOf({ stored, content }: NonNullable<WaitingMessage["added"]>): number {
  return stored.record.length + (content?.length ?? 0);
}
