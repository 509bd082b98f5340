// Paces the messages of each mailbox as its server wants it: so many at once, so many a minute, and none
// for a while after it has asked to wait. What is over that waits here, so that a burst is slowed down and
// does not fail: in order of arrival, and where several accounts send as one mailbox or by one login of the
// relay, these take turns.

import type { Clock } from "../clock.ts";
import type { WaitingClient } from "../delivery/delivery.ts";
import { type Waiting, WaitingLine } from "./waiting_line.ts";

export interface PacerOptions {
  /** Messages of one mailbox at once. */
  readonly connections: number;
  /** Those of one account among them; all when left out. */
  readonly perAccount?: number | undefined;
  /** Messages of one mailbox that may begin within a minute; unlimited when left out. */
  readonly perMinute?: number | undefined;
  /** Milliseconds that a message waits for its turn at most. */
  readonly timeout: number;
  readonly clock: Clock;
}

/** Why there is no turn. `late`: not in time; `ended`: by the client's signal. */
export interface NoTurn {
  readonly type: "late" | "ended";
  /** Milliseconds until there may be one, if that is known. */
  readonly retryAfter?: number;
}

/** A turn, to be given back once the message has its result. */
export interface Turn {
  readonly type: "turn";
  release(): void;
}

export interface PacerLoad {
  /** Messages that have their turn. */
  readonly active: number;
  readonly waiting: number;
  /** Mailboxes whose server has asked to wait. */
  readonly throttled: number;
}

/** Milliseconds of the minute; a second more, because the server counts by its own clock. */
const WINDOW = 61_000;
/** Milliseconds for which a mailbox is paused at most. */
const LONGEST_PAUSE = 600_000;

export interface TurnOptions {
  /** Whose message it is, where accounts take turns. */
  readonly account?: string;
  /** Informed of a wait, which it can end. */
  readonly client?: Pick<WaitingClient, "signal" | "waiting"> | undefined;
  /** False: it waits for another message to end, but for no time to pass. */
  readonly mayWait?: boolean;
}

export class Pacer {
  readonly #options: PacerOptions;
  readonly #mailboxes = new Map<string, Mailbox>();
  #closed = false;

  constructor(options: PacerOptions) {
    this.#options = options;
  }

  get load(): PacerLoad {
    let [active, waiting, throttled] = [0, 0, 0];
    for (const mailbox of this.#mailboxes.values()) {
      active += mailbox.active;
      waiting += mailbox.waiting;
      if (mailbox.isPaused) throttled++;
    }
    return { active, waiting, throttled };
  }

  /** Mailboxes that are remembered: those with messages within the last minute. */
  get size(): number {
    return this.#mailboxes.size;
  }

  /** Ends all waits, now and later. */
  close(): void {
    this.#closed = true;
    for (const mailbox of [...this.#mailboxes.values()]) mailbox.close();
  }

  /** @returns at once if nothing has to be waited for */
  acquire(key: string, options: TurnOptions = {}): Turn | Promise<Turn | NoTurn> {
    if (this.#closed) return Promise.resolve({ type: "late" });
    return this.#mailbox(key).acquire(options);
  }

  /** The server has asked to wait: no message of the mailbox begins for so many milliseconds. */
  pause(key: string, time: number): void {
    if (!this.#closed) this.#mailbox(key).pause(Math.min(time, LONGEST_PAUSE));
  }

  #mailbox(key: string): Mailbox {
    let mailbox = this.#mailboxes.get(key);
    if (mailbox === undefined) {
      mailbox = new Mailbox(this.#options, () => this.#mailboxes.delete(key));
      this.#mailboxes.set(key, mailbox);
    }
    return mailbox;
  }
}

interface WaitingMessage extends Waiting {
  readonly resolve: (result: Turn | NoTurn) => void;
  readonly until: number;
  readonly mayWait: boolean;
}

class Mailbox {
  readonly #options: PacerOptions;
  readonly #unused: () => void;
  #active = 0;
  /** Messages that have their turn, by account. */
  readonly #activeOf = new Map<string, number>();
  /** When the messages of the last minute began, the oldest first. */
  #starts: number[] = [];
  #pausedUntil = 0;
  readonly #line = new WaitingLine<WaitingMessage>();
  #alarmAt = Infinity;
  #cancelAlarm: (() => void) | undefined;

  constructor(options: PacerOptions, unused: () => void) {
    this.#options = options;
    this.#unused = unused;
  }

  get active(): number {
    return this.#active;
  }

  get waiting(): number {
    return this.#line.size;
  }

  get isPaused(): boolean {
    return this.#pausedUntil > this.#options.clock.now();
  }

  acquire({ account = "", client, mayWait = true }: TurnOptions): Turn | Promise<Turn | NoTurn> {
    const { clock, timeout } = this.#options;
    const now = clock.now();
    const isFree = this.#line.size === 0 && this.#hasRoom() && this.#hasRoomFor(account);
    if (isFree && this.#startOf(0, now) <= now) return this.#begin(account, now);
    const start = this.#startOf(this.#line.size, now);
    const until = now + timeout;
    // It would wait in vain, or must not wait for time to pass.
    if (start > until || !mayWait && start > now) {
      this.#removeIfUnused();
      return Promise.resolve({ type: "late", retryAfter: start - now });
    }
    if (client?.signal.aborted) return Promise.resolve({ type: "ended" });
    return new Promise((resolve) => {
      const end = () => {
        this.#line.delete(waiting);
        waiting.resolve({ type: "ended" });
        this.#arm();
      };
      const waiting: WaitingMessage = {
        account,
        resolve(result) {
          client?.signal.removeEventListener("abort", end);
          client?.waiting(false);
          resolve(result);
        },
        until,
        mayWait,
      };
      this.#line.add(waiting);
      client?.signal.addEventListener("abort", end);
      client?.waiting(true);
      // Those before it may wait for their own account alone.
      this.#admit();
    });
  }

  pause(time: number): void {
    this.#pausedUntil = Math.max(this.#pausedUntil, this.#options.clock.now() + time);
    this.#admit();
  }

  close(): void {
    for (const waiting of this.#line) {
      this.#line.delete(waiting);
      waiting.resolve({ type: "late" });
    }
    this.#cancelAlarm?.();
    this.#unused();
  }

  #hasRoom(): boolean {
    return this.#active < this.#options.connections;
  }

  #hasRoomFor(account: string): boolean {
    const { perAccount = Infinity } = this.#options;
    return (this.#activeOf.get(account) ?? 0) < perAccount;
  }

  #begin(account: string, now: number): Turn {
    this.#active++;
    this.#activeOf.set(account, (this.#activeOf.get(account) ?? 0) + 1);
    if (this.#options.perMinute !== undefined) this.#starts.push(now);
    let released = false;
    return {
      type: "turn",
      release: () => {
        if (released) return;
        released = true;
        this.#active--;
        const others = this.#activeOf.get(account)! - 1;
        if (others === 0) this.#activeOf.delete(account);
        else this.#activeOf.set(account, others);
        this.#admit();
      },
    };
  }

  /** When the message after `others` more may begin, were there no limit of messages at once. */
  #startOf(others: number, now: number): number {
    const { perMinute } = this.#options;
    const earliest = Math.max(now, this.#pausedUntil);
    if (perMinute === undefined) return earliest;
    while (this.#starts.length > 0 && this.#starts[0]! + WINDOW <= now) this.#starts.shift();
    // The one that began `perMinute` messages before it must be out of the window.
    const before = this.#starts.length + others - perMinute;
    if (before < 0) return earliest;
    const start = before < this.#starts.length
      ? this.#starts[before]!
      : this.#startOf(before - this.#starts.length, now);
    return Math.max(earliest, start + WINDOW);
  }

  #admit(): void {
    const now = this.#options.clock.now();
    for (const waiting of this.#line) {
      // All wait equally long.
      if (waiting.until > now) break;
      this.#giveUp(waiting, now);
    }
    while (this.#hasRoom() && this.#startOf(0, now) <= now) {
      const next = this.#line.take((account) => this.#hasRoomFor(account));
      if (next === undefined) break;
      next.resolve(this.#begin(next.account, now));
    }
    if (this.#startOf(0, now) > now) {
      for (const waiting of this.#line) {
        if (!waiting.mayWait) this.#giveUp(waiting, now);
      }
    }
    this.#arm();
  }

  #giveUp(waiting: WaitingMessage, now: number): void {
    const start = this.#startOf(0, now);
    this.#line.delete(waiting);
    waiting.resolve({ type: "late", ...(start > now ? { retryAfter: start - now } : {}) });
  }

  /** Sets one alarm for the first event that is due. */
  #arm(): void {
    if (this.#removeIfUnused()) return;
    const { clock } = this.#options;
    const now = clock.now();
    const { first } = this.#line;
    // Once that has come, only the end of a message lets others begin.
    const next = this.#startOf(0, now);
    const start = first !== undefined && this.#hasRoom() && next > now ? next : Infinity;
    // Without waiting messages, the memory is freed once it tells nothing more.
    const idle = first === undefined
      ? Math.max(this.#pausedUntil, (this.#starts.at(-1) ?? -Infinity) + WINDOW)
      : Infinity;
    const at = Math.min(start, first?.until ?? Infinity, idle);
    if (at === this.#alarmAt) return;
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#alarmAt = at;
    if (at === Infinity || at === -Infinity) return;
    this.#cancelAlarm = clock.alarm(Math.max(1, at - now), () => {
      this.#alarmAt = Infinity;
      this.#cancelAlarm = undefined;
      this.#admit();
    });
  }

  #removeIfUnused(): boolean {
    const now = this.#options.clock.now();
    if (this.#active > 0 || this.#line.size > 0 || this.#pausedUntil > now) return false;
    if (this.#startsCount(now) > 0) return false;
    this.#cancelAlarm?.();
    this.#cancelAlarm = undefined;
    this.#alarmAt = Infinity;
    this.#unused();
    return true;
  }

  #startsCount(now: number): number {
    while (this.#starts.length > 0 && this.#starts[0]! + WINDOW <= now) this.#starts.shift();
    return this.#starts.length;
  }
}
