// A message whose pointer belongs to this relay, from `take` until it is given back or removed.

import type { Buffer } from "node:buffer";
import type { Clock } from "../../clock.ts";
import {
  type MessageProgress,
  type MessageState,
  type StoredMessage,
  type TakenMessage,
} from "../store.ts";
import type { Counts } from "./counts.ts";
import type { Lease } from "./lease.ts";
import type { Mailboxes } from "./mailboxes.ts";
import type { MessageBlobs } from "./message_blobs.ts";
import { type BlobEntry, blobName, type BlobVersion } from "./message_blob.ts";
import { CHANGE_PAUSE, judge, MARK, SEEN } from "./verdict.ts";

/** The part of a lease's time after which it is renewed. */
const RENEW_AT = 1 / 3;
/** The part of a lease's time in which nothing is begun that relies on it. */
const TOO_LATE = 3 / 4;
/** Milliseconds before a renewal that failed is tried again. */
const RENEW_AGAIN = 5000;

/** What the messages of a store have in common. */
export interface Shared {
  readonly blobs: MessageBlobs;
  readonly clock: Clock;
  readonly counts: Counts;
  readonly mailboxes: Mailboxes;
  /** The messages that are taken now. */
  readonly taken: Set<AzureTakenMessage>;
}

/** The blob as this relay has seen it. */
export interface SeenBlob {
  /** Undefined if its etag is unknown. */
  readonly version: BlobVersion | undefined;
  readonly size: number;
  /** The clock's `now()` before the request that showed it. */
  readonly at: number;
}

export class AzureTakenMessage implements TakenMessage {
  readonly stored: StoredMessage;
  readonly #shared: Shared;
  readonly #lease: Lease;
  readonly #name: string;
  /** The sealed content, if it is in memory. */
  #content: Buffer | undefined;
  #seen: SeenBlob;
  #state: MessageState;
  /** When a request that may send the message was begun first. */
  #sendingSince: number | undefined;
  /** Whether the blob says `sending`. */
  #marked: boolean;
  /** It was sent, but could not be deleted yet. */
  #sent = false;
  #ended = false;
  #cancelAlarm: (() => void) | undefined;
  /** The end of the changes that were begun: one at a time, because each gives the pointer a new receipt. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(
    shared: Shared,
    lease: Lease,
    seen: SeenBlob,
    stored: StoredMessage,
    content: Buffer | undefined,
  ) {
    this.#shared = shared;
    this.#lease = lease;
    this.#seen = seen;
    this.#content = content;
    this.#name = blobName(stored);
    this.stored = stored;
    this.#state = stored.state;
    this.#marked = seen.version?.entry.state === "sending";
    shared.taken.add(this);
    this.#setAlarm();
  }

  async *content(): AsyncIterable<Uint8Array> {
    if (this.#content !== undefined) yield this.#content;
    else {
      yield* this.#shared.blobs.octets(this.#name, this.stored.record.length, this.#seen.size);
    }
  }

  sending(attempts: number, note: Uint8Array): Promise<boolean> {
    return this.#alone(async () => {
      const { clock } = this.#shared;
      if (this.#ended) return false;
      if (clock.now() - this.#seen.at > SEEN && !await this.#isUnchanged()) return false;
      const begun = clock.now();
      const { text, received } = this.#lease;
      const owned = await this.#lease.renew({
        ...text,
        state: "sending",
        attempts,
        note,
        received,
      });
      if (!owned) {
        this.#end();
        return false;
      }
      this.#become({ state: "sending", due: clock.date() });
      this.#sendingSince ??= begun;
      // The renewal took long: what was seen is too old to rely on it any longer.
      if (clock.now() - begun >= MARK) await this.#mark();
      this.#setAlarm();
      return true;
    });
  }

  remove(recovered?: "mailbox" | "all"): Promise<void> {
    return this.#alone(async () => {
      this.#sent = true;
      await this.#remove();
      if (recovered === undefined) return;
      this.#shared.mailboxes.recovered(recovered === "all" ? undefined : this.stored.mailbox);
    });
  }

  giveBack(given: MessageProgress, pauseUntil = 0): Promise<boolean> {
    // Pointers and blobs have whole milliseconds.
    const progress = { ...given, due: Math.ceil(given.due) };
    const pause = Math.ceil(pauseUntil);
    return this.#alone(async () => {
      if (this.#ended) return false;
      // The blob may be changed only by its owner: another relay may be at it by now.
      const late = this.#lease.used > TOO_LATE;
      if (this.#lease.lost || late && !await this.#lease.renew()) {
        this.#end();
        return false;
      }
      this.#shared.mailboxes.pause(this.stored.mailbox, pause);
      const { state } = progress;
      return state === "held" || state === "dead"
        ? await this.#setAside(progress, pause)
        : await this.#release(progress, pause);
    });
  }

  /** Stops the renewals: the store is closed. */
  leave(): void {
    this.#cancelAlarm?.();
    this.#ended = true;
  }

  /** The changes under way. */
  get settled(): Promise<unknown> {
    return this.#busy;
  }

  /** The blob is deleted first: a blob without a pointer looks as if it had not been sent. */
  async #remove(): Promise<void> {
    if (this.#ended) return;
    // Even if the pointer belongs to another relay by now: the message is sent.
    await this.#shared.blobs.delete(this.#name);
    await this.#lease.drop();
    this.#become(undefined);
    this.#end();
  }

  async #setAside(progress: MessageProgress, pause: number): Promise<boolean> {
    const isStored = await this.#write((entry) => ({ ...entry, ...progress, pause }));
    this.#become(progress);
    // If this fails, the pointer is left over: the blob's state says so.
    await this.#lease.drop();
    this.#end();
    return isStored;
  }

  async #release(progress: MessageProgress, pause: number): Promise<boolean> {
    const { clock, mailboxes } = this.#shared;
    const { text, received } = this.#lease;
    const hidden = Math.max(0, progress.due - clock.date()) / 1000;
    // For lists, and for commands: the pointer says the same, and counts.
    if (this.#marked || hidden > 0 || differs(progress, this.stored)) {
      await this.#write((entry) => ({ ...entry, ...progress, pause })).catch(() => undefined);
    }
    const next = { ...text, ...progress, state: "queued" as const, received };
    const released = await this.#lease.release(next, hidden);
    if (released && hidden > 0) mailboxes.hide(this.#lease.handle, next);
    this.#become(next);
    this.#end();
    return released;
  }

  /** Whether the message is still to be sent, by what its blob says now. */
  async #isUnchanged(): Promise<boolean> {
    const { blobs, clock } = this.#shared;
    const at = clock.now();
    const version = await blobs.look(this.#name);
    const verdict = judge(version?.entry, this.#lease.text.generation, clock.date());
    if (version === undefined || verdict === "stale") {
      this.#become(version?.entry);
      await this.#lease.drop();
    } else if (verdict === "later" && !this.#marked) {
      await this.#lease.release(this.#lease.text, CHANGE_PAUSE);
    } else {
      this.#seen = { version, size: version.size, at };
      return true;
    }
    this.#end();
    return false;
  }

  /** Writes `sending` to the blob, for commands. */
  async #mark(): Promise<void> {
    const { attempts, note } = this.#lease.text;
    const due = this.#shared.clock.date();
    await this.#write((entry) => ({ ...entry, state: "sending", due, attempts, note }));
    this.#marked = true;
  }

  /** @returns false if the blob is gone, or was changed by a command */
  async #write(change: (entry: BlobEntry) => BlobEntry): Promise<boolean> {
    const { blobs } = this.#shared;
    const { generation } = this.#lease.text;
    const version = await blobs.change(
      this.#name,
      (entry) => entry.generation === generation ? change(entry) : undefined,
      this.#seen.version,
    );
    if (version !== undefined) this.#seen = { ...this.#seen, version };
    return version?.entry.generation === generation;
  }

  #become(next: Pick<MessageProgress, "state" | "due"> | undefined): void {
    this.#shared.counts.change(this.stored, this.#seen.size, this.#state, next);
    this.#state = next?.state ?? "dead";
  }

  #end(): void {
    this.#ended = true;
    this.#content = undefined;
    this.#cancelAlarm?.();
    this.#shared.taken.delete(this);
  }

  #setAlarm(): void {
    this.#cancelAlarm?.();
    if (this.#ended || this.#lease.lost && !this.#sent) return;
    const { clock } = this.#shared;
    const renewal = this.#lease.until(RENEW_AT);
    const mark = this.#marked || this.#sendingSince === undefined
      ? Infinity
      : this.#sendingSince + MARK - clock.now();
    this.#wakeIn(Math.max(0, Math.min(renewal, mark)));
  }

  #wakeIn(time: number): void {
    this.#cancelAlarm = this.#shared.clock.alarm(time, () => {
      this.#alone(() => this.#keep()).then(
        () => this.#setAlarm(),
        () => {
          if (!this.#ended) this.#wakeIn(RENEW_AGAIN);
        },
      );
    });
  }

  /** Keeps the pointer, and has the blob say what is going on. */
  async #keep(): Promise<void> {
    if (this.#ended) return;
    if (this.#lease.until(RENEW_AT) <= 0) await this.#lease.renew();
    if (this.#sent) return await this.#remove();
    if (this.#lease.lost) return;
    if (this.#sendingSince !== undefined && !this.#marked) await this.#mark();
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(change);
    this.#busy = result.catch(() => {});
    return result;
  }
}

function differs(progress: MessageProgress, stored: StoredMessage): boolean {
  return progress.attempts !== stored.attempts || progress.code !== stored.code ||
    progress.note.length !== stored.note.length ||
    progress.note.some((octet, i) => octet !== stored.note[i]);
}
