// Takes messages whose time has come from the store and tries to send them: several at once, few of one
// mailbox, and none of a mailbox or back end that is in trouble.

import { type Clock, realClock } from "../clock.ts";
import type { Notify } from "../observe/relay_event.ts";
import { MemoryShare } from "./memory_share.ts";
import type { MessageTry } from "./message_try.ts";
import { type NewMessage, type QueueStore, StoreError, type TakenMessage } from "./store.ts";
import { Trouble } from "./trouble.ts";
import type { GiveBack, Verdict } from "./verdict.ts";

export interface QueueWorkerOptions {
  readonly store: Pick<QueueStore, "add" | "take" | "usage">;
  /** One try to send a message. */
  readonly tries: Pick<MessageTry, "run">;
  readonly notify: Notify;
  readonly limits: WorkerLimits;
  readonly clock?: Clock;
}

export interface WorkerLimits {
  /** Messages of one mailbox at once. */
  readonly mailbox: number;
  /** Octets of contents in memory; a larger message is tried alone. */
  readonly octets: number;
}

/** Messages at once, of all mailboxes, … */
const MAX_ACTIVE = 40;
/** … of all mailboxes of one account: the service may be slow for it alone, … */
const MAX_OF_ACCOUNT = 32;
/** … and of those in trouble, whose tries may take long. */
const MAX_FAILING = 8;
/** Of so many takes, one is for the oldest messages of all, those in trouble among them. */
const FAILING_TURN = 8;
/** Milliseconds after which the store is asked again: for messages whose time comes meanwhile, … */
const POLL = 1_000;
/** … and for what an administrator or another relay has changed. */
const IDLE_POLL = 5_000;
/** Milliseconds until a change is stored again that the store could not take. */
const STORE_PAUSE = 5_000;

export class QueueWorker {
  readonly #options: QueueWorkerOptions;
  readonly #clock: Clock;
  readonly #trouble: Trouble;
  readonly #memory: MemoryShare;
  /** Messages that are being tried, by mailbox. */
  readonly #active = new Counts();
  /** The same by account. */
  readonly #activeOf = new Counts();
  readonly #tries = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #loop: Promise<void> | undefined;
  /** Ends the loop's wait. */
  #wake: (() => void) | undefined;
  /** Something has happened since the store was asked. */
  #isDue = true;
  #storeFails = false;
  /** Takes so far, without those in an outage. */
  #takes = 0;

  constructor(options: QueueWorkerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#trouble = new Trouble(this.#clock);
    this.#memory = new MemoryShare(options.limits.octets);
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /**
   * There may be a message to be sent.
   *
   * @param mailbox of a message that has just come; left out if others may be due
   */
  wake(mailbox?: string): void {
    // To ask the store takes a third of the time of storing the next message, which would wait for it.
    if (mailbox !== undefined && this.#mustWait(mailbox)) return;
    this.#isDue = true;
    this.#wake?.();
  }

  /** Takes no more messages. Resolves when those under way have ended. */
  async stop(): Promise<void> {
    this.#stop.abort();
    this.#memory.close();
    this.wake();
    await this.#loop;
    await Promise.all(this.#tries);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      this.#isDue = false;
      const taken = await this.#take();
      for (const message of taken) this.#begin(message);
      if (taken.length === 0 && !this.#isDue && !signal.aborted) await this.#wait();
    }
  }

  async #take(): Promise<readonly TakenMessage[]> {
    const { store } = this.#options;
    const busyAccounts = this.#busyAccounts();
    const free = this.#free(busyAccounts);
    if (free <= 0) return [];
    const { failing, isOutage } = this.#trouble;
    const busy = this.#busy();
    try {
      let taken: readonly TakenMessage[] = [];
      const left = failing.size > 0 ? Math.min(free, this.#freeForFailing()) : free;
      // Those in trouble come after all others, but have turns too while there is no end of others.
      const isTurn = !isOutage && left > 0 && ++this.#takes % FAILING_TURN === 0;
      if (failing.size > 0 && !isTurn) {
        const unwanted = new Set([...busy, ...failing.keys()]);
        taken = await store.take(free, unwanted, busyAccounts);
      }
      if (taken.length === 0 && left > 0) taken = await store.take(left, busy, busyAccounts);
      this.#report(undefined);
      return taken;
    } catch (error) {
      this.#report(error);
      return [];
    }
  }

  /** How many more messages may be tried now, all of one account if it comes so. */
  #free(busyAccounts: ReadonlySet<string>): number {
    const { wait, isOutage } = this.#trouble;
    if (wait > 0) return 0;
    if (isOutage) return 1 - this.#tries.size;
    let most = 0;
    for (const [account, count] of this.#activeOf.entries()) {
      if (!busyAccounts.has(account)) most = Math.max(most, count);
    }
    return Math.min(MAX_ACTIVE - this.#tries.size, MAX_OF_ACCOUNT - most);
  }

  #busyAccounts(): Set<string> {
    const busy = new Set<string>();
    for (const [account, count] of this.#activeOf.entries()) {
      if (count >= MAX_OF_ACCOUNT) busy.add(account);
    }
    return busy;
  }

  #freeForFailing(): number {
    const { failing } = this.#trouble;
    let active = 0;
    for (const [mailbox, count] of this.#active.entries()) {
      if (failing.has(mailbox)) active += count;
    }
    return MAX_FAILING - active;
  }

  /** The mailboxes of which no more messages may be tried now. */
  #busy(): Set<string> {
    const busy = new Set<string>();
    for (const [mailbox] of this.#active.entries()) if (this.#isBusy(mailbox)) busy.add(mailbox);
    return busy;
  }

  #isBusy(mailbox: string): boolean {
    const most = this.#trouble.failing.has(mailbox) ? 1 : this.#options.limits.mailbox;
    return this.#active.of(mailbox) >= most;
  }

  /** Whether no message of the mailbox would be taken now. The end of its tries, or a poll, comes later. */
  #mustWait(mailbox: string): boolean {
    return this.#trouble.rest(mailbox) > 0 || this.#isBusy(mailbox);
  }

  #wait(): Promise<void> {
    const { store } = this.#options;
    const pause = this.#trouble.wait;
    const poll = store.usage().messages.queued > 0 ? POLL : IDLE_POLL;
    return new Promise((resolve) => {
      const cancel = this.#clock.alarm(pause > 0 ? pause : poll, () => this.#wake?.());
      this.#wake = () => {
        cancel();
        this.#wake = undefined;
        resolve();
      };
    });
  }

  #begin(message: TakenMessage): void {
    const { mailbox, account } = message.stored;
    this.#trouble.tried(account);
    this.#active.add(mailbox);
    this.#activeOf.add(account);
    const run = this.#try(message).catch((error: unknown) => {
      this.#options.notify({ type: "fault", error });
    }).finally(() => {
      this.#tries.delete(run);
      this.#active.remove(mailbox);
      this.#activeOf.remove(account);
      this.wake();
    });
    this.#tries.add(run);
  }

  async #try(message: TakenMessage): Promise<void> {
    const { stored } = message;
    const release = await this.#memory.acquire(stored.size);
    // The relay stops: the message stays as it is.
    if (release === undefined) return;
    let verdict: Verdict;
    try {
      verdict = await this.#options.tries.run(message, this.#stop.signal);
    } finally {
      release();
    }
    await this.#carryOut(verdict, message);
  }

  async #carryOut(verdict: Verdict, message: TakenMessage): Promise<void> {
    const { mailbox } = message.stored;
    const { notify } = this.#options;
    if (verdict.type === "giveBack") return await this.#giveBack(verdict, message);
    const recovered = this.#trouble.succeeded(mailbox);
    await this.#persist(async () => {
      await message.remove(recovered);
      return true;
    });
    notify(verdict.event);
  }

  async #giveBack(verdict: GiveBack, message: TakenMessage): Promise<void> {
    const { failed, ofMailbox = false, progress, event, report, fault } = verdict;
    const { notify } = this.#options;
    const { mailbox, account } = message.stored;
    if (fault !== undefined) notify({ type: "fault", error: fault });
    const own = failed
      ? this.#clock.date() + this.#trouble.failed(mailbox, account, !ofMailbox)
      : 0;
    const pause = Math.max(verdict.pause ?? 0, own);
    const due = failed ? Math.max(progress.due, pause) : progress.due;
    const isStored = await this.#persist(() => message.giveBack({ ...progress, due }, pause));
    const next = Math.max(due, pause);
    if (event !== undefined) notify(event.change === "deferred" ? { ...event, due: next } : event);
    if (isStored && report !== undefined) await this.#add(report);
  }

  /** Tried once: whether a store that fails has kept it is not known, and two reports would be worse. */
  async #add(report: NewMessage): Promise<void> {
    try {
      await this.#options.store.add(report);
    } catch (error) {
      this.#report(error);
    }
  }

  /**
   * Stores a result, however long the store fails: a message that was sent must not be sent again.
   *
   * @param store says whether the message still was this relay's
   * @returns false if it was not, or if nothing is stored because the relay stops
   */
  async #persist(store: () => Promise<boolean>): Promise<boolean> {
    for (let failed = false;; failed = true) {
      try {
        const isStored = await store();
        this.#report(undefined);
        // A store may have done later what failed at first, and then knows the message no more.
        return isStored || failed;
      } catch (error) {
        this.#report(error);
        // After a restart the message is in doubt, as after a crash.
        if (this.#stop.signal.aborted) return false;
        await this.#clock.sleep(STORE_PAUSE, this.#stop.signal);
      }
    }
  }

  /** @param error that of the store, or undefined if it works */
  #report(error: unknown): void {
    const { notify } = this.#options;
    if (error === undefined) {
      if (this.#storeFails) notify({ type: "queueRecovered" });
      this.#storeFails = false;
      return;
    }
    if (!(error instanceof StoreError)) return notify({ type: "fault", error });
    this.#storeFails = true;
    notify({ type: "queueFailed", code: error.code, detail: error.message });
  }
}

/** How many there are of each; those with none take no memory. */
class Counts {
  readonly #counts = new Map<string, number>();

  of(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  entries(): Iterable<readonly [string, number]> {
    return this.#counts;
  }

  add(key: string): void {
    this.#counts.set(key, this.of(key) + 1);
  }

  remove(key: string): void {
    const count = this.of(key) - 1;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
