// What becomes of a queued message after a try, and how that is stored and reported.

import type { BackendName } from "../backend_name.ts";
import type { Clock } from "../clock.ts";
import { Steps } from "../delivery/steps.ts";
import type { QueueEvent } from "../observe/relay_event.ts";
import { type QueueNote, type QueueRecord, sealNote } from "./record.ts";
import type { Sealer } from "./sealing.ts";
import type { MessageProgress, MessageState, NewMessage, StoredMessage } from "./store.ts";
import type { Reply } from "../smtp/reply.ts";
import { backoff } from "./trouble.ts";

export type Verdict = Remove | GiveBack;

export interface Remove {
  readonly type: "sent";
  readonly event: QueueEvent;
}

export interface GiveBack {
  readonly type: "giveBack";
  readonly progress: MessageProgress;
  /** Whether the mailbox or the back end is in trouble. */
  readonly failed: boolean;
  /** The service has answered that the reason lies in the mailbox. */
  readonly ofMailbox?: boolean;
  /** Until when the mailbox service has asked not to be asked again, in Unix time. */
  readonly pause?: number;
  /** Left out if nothing has happened that the log or a metric must show. */
  readonly event?: QueueEvent;
  /** A non-delivery report to be queued once the rest is stored. */
  readonly report?: NewMessage;
  /** A fault of the program, to be reported. */
  readonly fault?: unknown;
}

/** Why a message was not sent. */
export interface Failure {
  readonly code: string;
  readonly detail: string;
  readonly ambiguous?: boolean;
  /** Milliseconds. */
  readonly retryAfter?: number;
  readonly requestId?: string;
  readonly mailbox?: string;
  readonly backend?: BackendName;
  /** As a client would have got it. */
  readonly reply?: Reply;
}

/** Milliseconds of a message's first own wait at most, and of any. */
const FIRST_WAIT = 30_000;
const LONGEST_WAIT = 3_600_000;
/** Failures from which a message waits by itself: until then it keeps its place in its mailbox. */
const OWN_WAIT = 3;

/** The codes of messages that cannot be opened, by the reason. */
export const UNREADABLE = {
  key: "QUEUE_KEY",
  tampered: "TAMPERED",
  version: "QUEUE_VERSION",
} as const;

export interface VerdictContext {
  readonly stored: StoredMessage;
  /** Undefined if it cannot be opened. */
  readonly record?: QueueRecord;
  readonly sealer: Sealer;
  readonly clock: Clock;
  /** QUEUE_MAX_AGE in milliseconds. */
  readonly maxAge: number;
}

/** The message of one try: what is known of it now, and the verdicts on it. */
export class TriedMessage {
  readonly #context: VerdictContext;
  note: QueueNote;
  attempts: number;
  readonly steps = new Steps();

  constructor(context: VerdictContext, note: QueueNote) {
    this.#context = context;
    this.attempts = context.stored.attempts;
    const { aside, ...rest } = note;
    const { code } = context.stored;
    const wasUnreadable = Object.values(UNREADABLE).some((unreadable) => unreadable === code);
    // An administrator has decided that it is tried again: it gets the whole time again.
    this.note = aside === true || wasUnreadable
      ? { ...rest, restarted: Math.max(0, Math.floor(context.clock.date())), failures: 0 }
      : rest;
    // The last try ended in the middle of a request that sends.
    if (context.stored.state === "sending") {
      const { asked: _, askAt: __, ...others } = this.note;
      this.note = { ...others, doubt: true };
    }
  }

  /** Until when it may be tried, in Unix time. */
  get end(): number {
    return (this.note.restarted ?? this.#context.stored.receivedAt) + this.#context.maxAge;
  }

  sent(outcome: Partial<Failure>): Remove {
    return { type: "sent", event: this.#event("sent", outcome) };
  }

  /**
   * It is tried again.
   *
   * @param ofMessage the reason lies in the message, so that its mailbox goes on without it
   */
  later(failure: Failure, ofMessage = false): GiveBack {
    const { clock } = this.#context;
    const { code, detail, retryAfter, reply } = failure;
    const failures = (this.note.failures ?? 0) + 1;
    this.note = { ...this.note, failures, detail };
    const now = clock.date();
    const waits = ofMessage ? failures : failures - OWN_WAIT + 1;
    const own = waits < 1 ? 0 : backoff(clock, waits, FIRST_WAIT, LONGEST_WAIT);
    return {
      type: "giveBack",
      progress: this.#progress("queued", this.#capped(now + own), code),
      // A service that says how long to wait has answered.
      failed: !ofMessage && retryAfter === undefined,
      // RFC 3463 §3.3: mailbox status, such as a full one.
      ofMailbox: reply?.enhanced?.startsWith("4.2.") === true,
      ...(retryAfter === undefined ? {} : { pause: now + retryAfter }),
      event: this.#event("deferred", failure),
    };
  }

  /** It waits to be asked about: neither its mailbox nor the back end has failed. */
  waits(due: number, failure: Failure): GiveBack {
    return {
      type: "giveBack",
      progress: this.#progress("queued", this.#capped(due), failure.code),
      failed: false,
      event: this.#event("deferred", failure),
    };
  }

  /**
   * Nothing has happened: another relay has it, this one stops, or its turn has not come.
   *
   * @param pause milliseconds for which its mailbox is left alone
   */
  unchanged(pause = 0): GiveBack {
    const { stored: { due, code }, clock } = this.#context;
    const progress = this.#progress("queued", due, code);
    const until = pause > 0 ? { pause: clock.date() + pause } : {};
    return { type: "giveBack", progress, failed: false, ...until };
  }

  aside(state: "held" | "dead", failure: Failure): GiveBack {
    const { code, detail } = failure;
    this.note = { ...this.note, aside: true, detail };
    return {
      type: "giveBack",
      progress: this.#progress(state, this.#context.clock.date(), code),
      failed: false,
      event: this.#event(state, failure),
    };
  }

  /** When it is given up, it is not waited for. */
  #capped(due: number): number {
    return Math.min(due, Math.max(this.end, this.#context.clock.date()));
  }

  #progress(state: MessageState, due: number, code: string): MessageProgress {
    const { record, sealer, stored: { id, note } } = this.#context;
    // A note that cannot be opened stays as it is.
    const sealed = record === undefined ? note : sealNote(sealer, id, this.note);
    return { state, due, attempts: this.attempts, code, note: sealed };
  }

  #event(change: QueueEvent["change"], failure: Partial<Failure>): QueueEvent {
    const { stored: { id, receivedAt, size }, record, clock } = this.#context;
    const { code, detail, ambiguous, requestId, mailbox, backend } = failure;
    return {
      type: "queue",
      change,
      message: {
        id,
        size,
        attempts: this.attempts,
        // The machine's time may have been set back.
        age: Math.max(0, clock.date() - receivedAt),
        ...(record === undefined ? {} : { record }),
      },
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail }),
      ...(ambiguous === true ? { ambiguous } : {}),
      ...(requestId === undefined ? {} : { requestId }),
      ...(mailbox === undefined ? {} : { mailbox }),
      ...(backend === undefined ? {} : { backend }),
      steps: this.steps.list,
    };
  }
}
