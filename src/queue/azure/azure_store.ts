// The queue in an Azure storage account, for any number of relays: each message is a blob, and a pointer to
// it in a queue, whose visibility timeout is the ownership of the message.
//
//   add      PUT pointer (hidden: it belongs to this relay), PUT blob, then the client's 250
//   deliver  update pointer (`sending`), the request that sends, DELETE blob, DELETE pointer
//
// The pointer comes first, so that a relay that dies in between leaves a pointer without a blob, which the
// relay that receives it drops. The other way round, it would leave a blob without a pointer, which cannot be
// told from an accepted message whose pointer was lost, and could be deleted only by guessing. The blob
// counts only if it is there before the pointer can be received by another relay, so its writer renews the
// pointer when that took long, and without the pointer there is no 250. By where a relay dies:
//
//   after                      the client has its 250   becomes
//   PUT pointer                no                       dropped
//   PUT blob, before the 250   no                       sent (its client sends it again: RFC 5321 §6.1)
//   update pointer             yes                      in doubt: `sending`
//   the request that sends     yes                      in doubt: `sending`
//   DELETE blob                yes                      dropped: it was sent

import type { Clock } from "../../clock.ts";
import {
  type NewMessage,
  type QueueStore,
  type Share,
  StoreError,
  type TakenMessage,
  type Usage,
} from "../store.ts";
import type { BlobNotes } from "./blob_notes.ts";
import { Counts } from "./counts.ts";
import { LEASE, Lease } from "./lease.ts";
import { BlobInspection } from "./blob_inspection.ts";
import { type BlobEntry, blobName, factsOf } from "./message_blob.ts";
import { Mailboxes, type Selector } from "./mailboxes.ts";
import type { MessageBlobs } from "./message_blobs.ts";
import type { PointerText } from "./pointer_text.ts";
import type { Pointers } from "./pointers.ts";
import { Receiver } from "./receiver.ts";
import { AzureTakenMessage, type SeenBlob, type Shared } from "./taken_message.ts";
import { WaitingMessages } from "./waiting_messages.ts";

/** The part of a lease's time after which it is renewed while a large message is written. */
const RENEW_AT = 1 / 3;
/** Times that an addition that failed is undone, and milliseconds between them. */
const UNDO_TRIES = 5;
const UNDO_PAUSE = 10_000;
/** Milliseconds that closing waits for what is under way. */
const CLOSING = 10_000;

export interface AzureStoreOptions {
  readonly clock: Clock;
  /** Milliseconds after which a message whose pointer seems to be lost is set aside. */
  readonly orphanAge: number;
  /** Seconds; {@link LEASE} when left out. */
  readonly lease?: number;
  /** Milliseconds in which an addition surely ends; for tests. */
  readonly adding?: number;
}

export class AzureStore implements QueueStore {
  readonly notes: BlobNotes;
  readonly #blobs: MessageBlobs;
  readonly #pointers: Pointers;
  readonly #clock: Clock;
  readonly #lease: number;
  readonly #shared: Shared;
  readonly #waiting = new WaitingMessages();
  readonly #receiver: Receiver;
  readonly #inspection: BlobInspection;
  /** Additions and their undoing. */
  readonly #underWay = new Set<Promise<unknown>>();
  #taking: Promise<unknown> = Promise.resolve();
  /** Whether the last try to receive found messages: then the old ones share with the new ones. */
  #backlog = false;
  #turn = 0;
  #closed = false;

  constructor(
    blobs: MessageBlobs,
    pointers: Pointers,
    notes: BlobNotes,
    { clock, orphanAge, lease = LEASE, adding }: AzureStoreOptions,
  ) {
    this.#blobs = blobs;
    this.#pointers = pointers;
    this.notes = notes;
    this.#clock = clock;
    this.#lease = lease;
    const counts = new Counts();
    const mailboxes = new Mailboxes(
      clock,
      (hidden) => void this.#track(this.#receiver.show(hidden)),
    );
    this.#shared = { blobs, clock, counts, mailboxes, taken: new Set() };
    this.#receiver = new Receiver(this.#shared, pointers, this.#waiting, lease, adding);
    this.#inspection = new BlobInspection(blobs, counts, mailboxes, clock, {
      orphanAge,
      isIdle: () => this.#receiver.isIdle,
    });
  }

  /** Counts what is stored. @throws StoreError */
  async open(): Promise<void> {
    await this.#inspection.open();
    this.notes.open();
  }

  add(message: NewMessage): Promise<void> {
    return this.#track(this.#add(message));
  }

  take(
    limit: number,
    busy: ReadonlySet<string>,
    busyAccounts: ReadonlySet<string> = new Set(),
  ): Promise<readonly TakenMessage[]> {
    const taken = this.#taking.then(() => this.#take(limit, busy, busyAccounts));
    this.#taking = taken.catch(() => {});
    return taken;
  }

  usage(): Usage {
    return this.#shared.counts.usage();
  }

  share(account: string): Promise<Share> {
    return Promise.resolve(this.#shared.counts.share(account));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#inspection.close();
    this.notes.close();
    const done = async () => {
      await this.#taking;
      // Other relays need not wait for the lease of what waits here.
      const waiting = this.#waiting.takeAll();
      await Promise.all(
        waiting.map(({ lease }) => lease.release(lease.text, 0).catch(() => false)),
      );
      await Promise.all([...this.#underWay, ...[...this.#shared.taken].map((one) => one.settled)]);
    };
    const stop = new AbortController();
    await Promise.race([done(), this.#clock.sleep(CLOSING, stop.signal)]);
    stop.abort();
    for (const message of this.#shared.taken) message.leave();
  }

  async #add(message: NewMessage): Promise<void> {
    if (this.#closed) throw new StoreError("CLOSED", "the queue is closed");
    const { record } = message;
    const facts = factsOf(message);
    const { id, receivedAt, mailbox, account, connection } = facts;
    const progress = {
      state: "queued" as const,
      due: receivedAt,
      attempts: 0,
      code: "",
      note: new Uint8Array(),
    };
    const name = blobName(message);
    const key = { id, receivedAt, mailbox, account, connection };
    const text: PointerText = { ...key, ...progress, generation: 0, received: 0 };
    const entry: BlobEntry = {
      ...facts,
      ...progress,
      recordSize: record.length,
      generation: 0,
      pause: 0,
      changing: 0,
    };
    const since = this.#clock.now();
    const handle = await this.#pointers.add(text, this.#lease);
    const pointer = { handle, text, received: 0 };
    const lease = new Lease(this.#pointers, this.#clock, this.#lease, pointer, since);
    const keep = async () => {
      if (lease.used > RENEW_AT && !await lease.renew()) {
        throw new StoreError("LEASE_LOST", `writing ${name} took longer than its lease`);
      }
    };
    let seen: SeenBlob;
    let content;
    try {
      const at = this.#clock.now();
      const written = await this.#blobs.write(name, entry, message, keep);
      // The pointer was hidden all the time: a relay that receives it finds the blob.
      await keep();
      content = written.content;
      const { etag, size } = written;
      const version = etag === undefined
        ? undefined
        : { entry, etag, size, modifiedAt: receivedAt };
      seen = { version, size, at };
    } catch (error) {
      // Another message with this name, which stays.
      const taken = error instanceof StoreError && error.code === "BlobAlreadyExists";
      this.#track(taken ? lease.drop() : this.#undo(name, lease));
      throw error;
    }
    this.#shared.counts.change(facts, seen.size, undefined, progress);
    this.#waiting.add({
      lease,
      added: { stored: { ...facts, ...progress, record }, seen, content },
    });
  }

  /** Leaves nothing that could be sent. The blob is deleted first: see `add`. */
  async #undo(name: string, lease: Lease): Promise<void> {
    for (let tries = 1;; tries++) {
      try {
        await this.#blobs.delete(name);
        return await lease.drop();
      } catch {
        if (tries === UNDO_TRIES || this.#closed) return;
      }
      await new Promise<void>((resolve) => this.#clock.alarm(UNDO_PAUSE, resolve));
      if (lease.used > RENEW_AT) await lease.renew().catch(() => false);
    }
  }

  async #take(
    limit: number,
    busy: ReadonlySet<string>,
    busyAccounts: ReadonlySet<string>,
  ): Promise<readonly TakenMessage[]> {
    if (this.#closed || limit < 1) return [];
    const { mailboxes, taken: before } = this.#shared;
    const taking = [...before].map(({ stored }) => stored);
    const selects = mailboxes.selector(busy, busyAccounts, taking);
    const share = this.#backlog ? Math.floor((limit + this.#turn++ % 2) / 2) : limit;
    const taken = await this.#waitingOnes(share, selects);
    const room = limit - taken.length;
    if (room === 0) return taken;
    try {
      const received = await this.#receiver.receive(room, selects);
      this.#backlog = received.found;
      taken.push(...received.messages);
    } catch (error) {
      if (taken.length === 0) throw error;
    }
    taken.push(...await this.#waitingOnes(limit - taken.length, selects));
    return taken;
  }

  async #waitingOnes(limit: number, selects: Selector): Promise<TakenMessage[]> {
    const waiting = this.#waiting.take(limit, selects, (lease) => {
      this.#track(this.#receiver.postpone(lease).catch(() => {}));
    });
    const opened = await Promise.all(waiting.map(async ({ lease, added }) => {
      if (added === undefined) return await this.#opened(lease);
      return new AzureTakenMessage(this.#shared, lease, added.seen, added.stored, added.content);
    }));
    return opened.filter((message) => message !== undefined);
  }

  async #opened(lease: Lease): Promise<AzureTakenMessage | undefined> {
    try {
      return await this.#receiver.open(lease);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#track(this.#receiver.failed(lease, error));
      return undefined;
    }
  }

  #track<T>(promise: Promise<T>): Promise<T> {
    const ended: Promise<unknown> = promise.then(() => {}, () => {}).then(() =>
      this.#underWay.delete(ended)
    );
    this.#underWay.add(ended);
    return promise;
  }
}
