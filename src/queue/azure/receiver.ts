// Receives pointers, and finds out which of them are messages to deliver now.

import { Buffer } from "node:buffer";
import {
  type MessageProgress,
  type StoredMessage,
  StoreError,
  type TakenMessage,
} from "../store.ts";
import { Lease } from "./lease.ts";
import { blobName, factsOf, NO_MESSAGE } from "./message_blob.ts";
import type { HiddenPointer, Selector } from "./mailboxes.ts";
import { isRetry } from "./pointer_text.ts";
import { MAX_RECEIVED, type Pointers, type ReceivedPointer } from "./pointers.ts";
import { AzureTakenMessage, type Shared } from "./taken_message.ts";
import { CHANGE_PAUSE, judge } from "./verdict.ts";
import type { WaitingMessages } from "./waiting_messages.ts";

/** Milliseconds between two tries to receive from an empty queue: at first, and at most. */
const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 5000;
/** Requests for pointers in one `take`, which may all be of busy mailboxes. */
const MAX_REQUESTS = 4;

/**
 * The pointers of a busy mailbox are hidden again, each for a little longer than the one before, so that each
 * comes back when it may have its turn, and a long backlog is received neither all at once nor again and
 * again. Seconds: the first one, between two, and the last one.
 */
const FIRST_POSTPONED = 2;
const POSTPONED_APART = 0.25;
const LONGEST_POSTPONED = 3600;
/** Mailboxes whose postponed pointers are counted. */
const MAX_MAILBOXES = 10_000;

/** How often a pointer is received without an attempt before its message is given up. */
const MAX_RECEIPTS = 10;
const POISON = "POISON";

/** Milliseconds in which an addition, or a command's change, surely ends. */
const ADDING = 3_600_000;
/** Milliseconds before a message is due, from which on it was received early: clocks may differ. */
const EARLY = 30_000;
/** Seconds that what is not ours or of a later version stays hidden. */
const FOREIGN = 24 * 3600;

export class Receiver {
  readonly #shared: Shared;
  readonly #pointers: Pointers;
  readonly #waiting: WaitingMessages;
  readonly #seconds: number;
  readonly #adding: number;
  #pause = 0;
  /** The clock's `now()` from which on the queue may be asked again. */
  #next = 0;
  /** By mailbox: the clock's `now()` at which its last postponed pointer comes back. */
  readonly #postponed = new Map<string, number>();

  /**
   * @param seconds of a lease
   * @param adding milliseconds in which an addition surely ends
   */
  constructor(
    shared: Shared,
    pointers: Pointers,
    waiting: WaitingMessages,
    seconds: number,
    adding = ADDING,
  ) {
    this.#shared = shared;
    this.#pointers = pointers;
    this.#waiting = waiting;
    this.#seconds = seconds;
    this.#adding = adding;
  }

  /** Whether the queue had no visible pointer when it was asked last. */
  get isIdle(): boolean {
    return this.#pause > 0;
  }

  /**
   * Receives messages, but does not ask an empty queue all the time.
   *
   * @returns `found`: whether there was any pointer
   * @throws StoreError
   */
  async receive(
    limit: number,
    selects: Selector,
  ): Promise<{ readonly messages: readonly TakenMessage[]; readonly found: boolean }> {
    const { clock } = this.#shared;
    const messages: TakenMessage[] = [];
    let found = false;
    for (let requests = 0; requests < MAX_REQUESTS && messages.length === 0; requests++) {
      if (clock.now() < this.#next) break;
      const since = clock.now();
      const wanted = Math.min(limit, MAX_RECEIVED);
      const pointers = await this.#pointers.receive(wanted, this.#seconds).catch((error) => {
        this.#wait();
        throw error;
      });
      if (pointers.length === 0) {
        this.#wait();
        break;
      }
      found = true;
      this.#pause = 0;
      const opened = await Promise.all(
        pointers.map((pointer) => this.#received(pointer, since, selects)),
      );
      messages.push(...opened.filter((message) => message !== undefined));
    }
    return { messages, found };
  }

  /**
   * Reads the blob of a pointer that belongs to this relay.
   *
   * @returns undefined if it is not to be sent now
   * @throws StoreError
   */
  async open(lease: Lease, age = Infinity): Promise<AzureTakenMessage | undefined> {
    const { blobs, clock } = this.#shared;
    const { text } = lease;
    const name = blobName(text);
    const at = clock.now();
    let blob = await blobs.read(name);
    if (blob !== undefined && blob.entry.due > clock.date() + EARLY) {
      // Made due by a recovery. Commands rely on it that a message is at no relay before it is due.
      const due = clock.date();
      const version = await blobs.change(name, (entry) => ({ ...entry, due }), blob);
      blob = version === undefined ? undefined : { ...blob, ...version };
    }
    if (blob === undefined && age < this.#adding) {
      // Its addition may still be under way on another relay, though that holds the pointer longer.
      await release(lease, (this.#adding - age) / 1000);
      return undefined;
    }
    const verdict = judge(blob?.entry, text.generation, clock.date());
    const unfinished = blob !== undefined && blob.entry.generation < text.generation;
    if (blob === undefined || verdict === "stale" || unfinished && age >= this.#adding) {
      await lease.drop();
      return undefined;
    }
    if (verdict === "later") {
      await release(lease, CHANGE_PAUSE);
      return undefined;
    }
    const { entry, size, octets } = blob;
    let record = octets.subarray(0, entry.recordSize);
    if (record.length < entry.recordSize) record = await this.#whole(name, entry.recordSize);
    const { state, due, attempts, code, note } = text;
    const stored: StoredMessage = { ...factsOf(entry), state, due, attempts, code, note, record };
    const content = octets.length === size ? octets.subarray(entry.recordSize) : undefined;
    return new AzureTakenMessage(this.#shared, lease, { version: blob, size, at }, stored, content);
  }

  async #received(
    pointer: ReceivedPointer,
    since: number,
    selects: Selector,
  ): Promise<AzureTakenMessage | undefined> {
    const { handle, text, raw, count, age } = pointer;
    if (text === undefined) {
      await this.#pointers.update(handle, raw, FOREIGN).catch(() => false);
      return undefined;
    }
    const lease = new Lease(
      this.#pointers,
      this.#shared.clock,
      this.#seconds,
      { handle, text, received: count },
      since,
    );
    try {
      if (count - text.received > MAX_RECEIPTS) return await this.#setAside(lease);
      this.#shared.mailboxes.seen(text.id);
      if (isRetry(text)) this.#shared.mailboxes.unpause(text.mailbox);
      if (selects(text)) return await this.open(lease, age);
      if (!this.#waiting.add({ lease })) await this.postpone(lease);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await this.failed(lease, error);
    }
    return undefined;
  }

  /**
   * The blob could not be read: its pointer is received again after another lease, and counts as not received.
   * A blob that someone has changed stays as it is.
   */
  async failed(lease: Lease, { code }: StoreError): Promise<void> {
    const hidden = code === NO_MESSAGE ? FOREIGN : this.#seconds;
    await release(lease, hidden).catch(() => false);
  }

  /** A message that its relay does not survive: another one, or this one, would be next. */
  async #setAside(lease: Lease): Promise<undefined> {
    const message = await this.open(lease);
    if (message === undefined) return undefined;
    const { attempts, note } = message.stored;
    const due = this.#shared.clock.date();
    const progress: MessageProgress = { state: "dead", due, attempts, code: POISON, note };
    await message.giveBack(progress);
    return undefined;
  }

  /** Hides a message again whose mailbox is busy. @throws StoreError */
  async postpone(lease: Lease): Promise<void> {
    const { clock } = this.#shared;
    const now = clock.now();
    const { mailbox } = lease.text;
    const pause = Math.max(0, this.#shared.mailboxes.pausedUntil(mailbox) - clock.date());
    const first = now + pause + FIRST_POSTPONED * 1000 * (1 + clock.random());
    const next = (this.#postponed.get(mailbox) ?? 0) + POSTPONED_APART * 1000;
    const back = Math.min(Math.max(first, next), now + LONGEST_POSTPONED * 1000);
    if (!this.#postponed.has(mailbox) && this.#postponed.size >= MAX_MAILBOXES) {
      this.#postponed.clear();
    }
    this.#postponed.set(mailbox, back);
    await release(lease, (back - now) / 1000);
    this.#shared.mailboxes.hide(lease.handle, lease.text);
  }

  /**
   * Makes messages due whose pointers this relay has hidden, in order. A pointer that another relay has received
   * meanwhile is left to it.
   */
  async show(hidden: readonly HiddenPointer[]): Promise<void> {
    const { clock } = this.#shared;
    for (const { text } of hidden) this.#postponed.delete(text.mailbox);
    for (const { handle, text } of hidden) {
      await this.#pointers.update(handle, { ...text, due: clock.date() }, 0).catch(() => false);
    }
    this.#pause = 0;
    this.#next = 0;
  }

  #wait(): void {
    this.#pause = Math.min(Math.max(this.#pause * 2, SHORTEST_PAUSE), LONGEST_PAUSE);
    this.#next = this.#shared.clock.now() + this.#pause;
  }

  async #whole(name: string, size: number): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this.#shared.blobs.octets(name, 0, size)) pieces.push(piece);
    return Buffer.concat(pieces);
  }
}

/** That it was received says nothing against it. @param hidden seconds */
async function release(lease: Lease, hidden: number): Promise<void> {
  await lease.release({ ...lease.text, received: lease.received }, hidden);
}
