// One try to send a queued message: from its sealed record to what becomes of it.

import type { Account, Authorization, LoginFailure } from "../accounts/account.ts";
import type { Clock } from "../clock.ts";
import type { Delivery, Outcome, SendingProgress, Submission } from "../delivery/delivery.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { QueueEvent } from "../observe/relay_event.ts";
import type { Secret } from "../secret.ts";
import type { Content } from "../smtp/content.ts";
import type { SessionFacts } from "../smtp/effects.ts";
import type { DoubtAnswer, DoubtPolicy } from "./doubt.ts";
import { openNote, openRecord, type QueueNote, type QueueRecord, sealNote } from "./record.ts";
import { type Sealer, SealError } from "./sealing.ts";
import type { MessageProgress, MessageState, TakenMessage } from "./store.ts";
import { backoff } from "./trouble.ts";

export interface MessageTryOptions {
  readonly sealer: Sealer;
  readonly accounts: QueuedAccounts;
  /** Sender policy and back end. */
  readonly delivery: Delivery;
  readonly doubt: DoubtPolicy;
  readonly rules: TryRules;
}

export interface TryRules {
  /** QUEUE_MAX_AGE in milliseconds. */
  readonly maxAge: number;
  /** The scope of the back end's tokens. */
  readonly scope: string;
  readonly clock: Clock;
}

/** The accounts of queued messages. */
export interface QueuedAccounts {
  /** The account as it is now. */
  refresh(account: Account, facts: SessionFacts): Promise<Account | LoginFailure>;
  authorize(account: Account, secret: Secret): Authorization;
  /** The secret that the account has logged in with last; undefined if it is not known. */
  latestSecret(account: Account): Promise<Secret | undefined>;
}

/** What becomes of a message after a try. */
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
  /** Until when the mailbox service has asked not to be asked again, in Unix time. */
  readonly pause?: number;
  /** Left out if nothing has happened that anybody needs to know. */
  readonly event?: QueueEvent;
}

/** Milliseconds of a message's first own wait at most, and of any. */
const FIRST_WAIT = 30_000;
const LONGEST_WAIT = 3_600_000;
/** Failures from which a message waits by itself: until then it keeps its place in its mailbox. */
const OWN_WAIT = 3;
/** Entra ID's and the relay's codes of a login that is refused in the middle of a delivery. */
const LOGIN_REFUSED = /^(?:AADSTS|invalid_|unauthorized_)/;

export class MessageTry {
  readonly #options: MessageTryOptions;

  constructor(options: MessageTryOptions) {
    this.#options = options;
  }

  /** @param stop aborted when the relay stops */
  async run(message: TakenMessage, stop: AbortSignal): Promise<Verdict> {
    const { sealer } = this.#options;
    const { stored } = message;
    let record: QueueRecord;
    let note: QueueNote;
    try {
      record = openRecord(sealer, stored.id, stored.record);
      note = openNote(sealer, stored.id, stored.note);
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      return new CurrentTry(this.#options, message, {}).unreadable(error);
    }
    const current = new CurrentTry(this.#options, message, note, record);
    return await current.run(record, stop);
  }
}

/** The state of one try. */
class CurrentTry {
  readonly #options: MessageTryOptions;
  readonly #message: TakenMessage;
  readonly #record: QueueRecord | undefined;
  #note: QueueNote;
  #attempts: number;

  constructor(
    options: MessageTryOptions,
    message: TakenMessage,
    note: QueueNote,
    record?: QueueRecord,
  ) {
    this.#options = options;
    this.#message = message;
    this.#note = note;
    this.#record = record;
    this.#attempts = message.stored.attempts;
  }

  async run(record: QueueRecord, stop: AbortSignal): Promise<Verdict> {
    const { accounts, doubt, rules } = this.#options;
    const { stored } = this.#message;
    const account = await accounts.refresh(record.account, record.facts);
    if ("reply" in account) return this.#withoutAccount(account);
    const authorization = await this.#authorize(account, record.credential.secret);
    if ("type" in authorization) return this.#withoutToken(authorization);

    let content: Content;
    try {
      content = await this.#open();
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      return this.unreadable(error);
    }
    const submission = this.#submission(account, record, content);
    if (stored.state === "sending" || this.#note.doubt === true) {
      const wasInterrupted = stored.state === "sending";
      const answer = await doubt.resolve({ account, authorization }, this.#note, wasInterrupted);
      this.#note = answer.note;
      if (answer.type !== "send") return this.#doubtful(answer);
    }
    // After the doubt: a message that was sent is not too old.
    const now = rules.clock.date();
    if (now - stored.receivedAt >= rules.maxAge) return this.#tooOld();
    if (stop.aborted) return this.#unchanged();
    const outcome = await this.#options.delivery.deliver(submission, {
      authorization,
      beforeSending: (progress) => this.#beforeSending(progress),
    });
    return this.#verdict(outcome);
  }

  /** The message cannot be opened: it is set aside, and never sent or deleted. */
  unreadable(error: SealError): GiveBack {
    const code = error.reason === "key" ? "QUEUE_KEY" : "TAMPERED";
    return this.#aside("held", code, error.message);
  }

  async #open(): Promise<Content> {
    const { id } = this.#message.stored;
    return await this.#options.sealer.openContent(this.#message.content(), `content ${id}`);
  }

  #submission(account: Account, record: QueueRecord, content: Content): Submission {
    const { id, receivedAt } = this.#message.stored;
    const { envelope, facts, client, connection } = record;
    return { id, account, envelope, content, facts, client, connection, receivedAt };
  }

  /** The login that is good now: the message's own, or the last one of the account. */
  async #authorize(account: Account, secret: Secret): Promise<Authorization | EntraRefusal> {
    const { accounts, rules: { scope } } = this.#options;
    const own = accounts.authorize(account, secret);
    const token = await own.token(scope);
    if (!("type" in token)) return own;
    if (token.type === "later") return token;
    const latest = await accounts.latestSecret(account);
    if (latest === undefined || latest.reveal() === secret.reveal()) return token;
    const newer = accounts.authorize(account, latest);
    const newToken = await newer.token(scope);
    return "type" in newToken ? newToken : newer;
  }

  async #beforeSending(sending: SendingProgress): Promise<boolean> {
    const { sealer, rules: { clock } } = this.#options;
    const { id } = this.#message.stored;
    const { firstAttempt = clock.date() } = this.#note;
    this.#note = { ...this.#note, firstAttempt, sending };
    return await this.#message.sending(++this.#attempts, sealNote(sealer, id, this.#note));
  }

  #withoutAccount({ type, code = "LOOKUP_ENTRY", detail }: LoginFailure): GiveBack {
    return type === "refused"
      ? this.#aside("held", code, detail)
      : this.#later({ code, detail, ambiguous: false });
  }

  #withoutToken({ type, code, detail }: EntraRefusal): GiveBack {
    return type === "refused"
      ? this.#aside("held", code, detail)
      : this.#later({ code, detail, ambiguous: false });
  }

  #doubtful(answer: Exclude<DoubtAnswer, { readonly type: "send" }>): Verdict {
    if (answer.type === "sent") {
      return { type: "sent", event: this.#event("sent", { code: "FOUND", detail: answer.detail }) };
    }
    if (answer.type === "hold") return this.#aside("held", "AMBIGUOUS", answer.detail);
    // Waits to ask: neither the mailbox nor the back end has failed.
    const { due, detail } = answer;
    return {
      type: "giveBack",
      progress: this.#progress("queued", due, "AMBIGUOUS"),
      failed: false,
      event: this.#event("deferred", { code: "AMBIGUOUS", detail }),
    };
  }

  #verdict(outcome: Outcome): Verdict {
    if (outcome.type === "sent") return { type: "sent", event: this.#event("sent", outcome) };
    if (outcome.type === "queued" || outcome.type === "alreadySent") {
      throw new Error("a message was taken from the queue and queued again");
    }
    const { type, code, detail, ambiguous } = outcome;
    if (ambiguous) return this.#ambiguous(outcome);
    if (code === "STOPPING" || code === "NOT_OWNED") return this.#unchanged();
    if (type === "later") return this.#later(outcome);
    if (LOGIN_REFUSED.test(code)) return this.#aside("held", code, detail);
    return this.#aside("dead", code, detail, outcome);
  }

  /** The request that sends was begun, and its result is not known. */
  #ambiguous(outcome: Failure): GiveBack {
    const { doubt } = this.#options;
    const plan = doubt.afterFailure(this.#note);
    this.#note = plan.note;
    if (plan.type === "hold") return this.#aside("held", outcome.code, outcome.detail, outcome);
    const later = this.#later(outcome);
    if (plan.type === "send") return later;
    return { ...later, progress: { ...later.progress, due: plan.due } };
  }

  #later({ code, detail, retryAfter, ambiguous }: Failure): GiveBack {
    const { clock } = this.#options.rules;
    const failures = (this.#note.failures ?? 0) + 1;
    this.#note = { ...this.#note, failures, detail };
    const now = clock.date();
    const own = failures < OWN_WAIT
      ? 0
      : backoff(clock, failures - OWN_WAIT + 1, FIRST_WAIT, LONGEST_WAIT);
    return {
      type: "giveBack",
      progress: this.#progress("queued", now + own, code),
      // A service that says how long to wait has answered.
      failed: retryAfter === undefined,
      ...(retryAfter === undefined ? {} : { pause: now + retryAfter }),
      event: this.#event("deferred", { code, detail, ambiguous }),
    };
  }

  #tooOld(): GiveBack {
    const last = this.#message.stored.code;
    const detail =
      `not sent within QUEUE_MAX_AGE${last === "" ? "" : `; the last failure: ${last}`}` +
      (this.#note.detail === undefined ? "" : `: ${this.#note.detail}`);
    return this.#aside("dead", "QUEUE_MAX_AGE", detail);
  }

  /** Another relay has the message, or this one stops. */
  #unchanged(): GiveBack {
    const { due, code } = this.#message.stored;
    return { type: "giveBack", progress: this.#progress("queued", due, code), failed: false };
  }

  #aside(
    state: "held" | "dead",
    code: string,
    detail: string,
    outcome?: Failure,
  ): GiveBack {
    this.#note = { ...this.#note, detail };
    return {
      type: "giveBack",
      progress: this.#progress(state, this.#options.rules.clock.date(), code),
      failed: false,
      event: this.#event(state, { ...outcome, code, detail }),
    };
  }

  #progress(state: MessageState, due: number, code: string): MessageProgress {
    const { id, note } = this.#message.stored;
    // A note that cannot be opened stays as it is.
    const sealed = this.#record === undefined
      ? note
      : sealNote(this.#options.sealer, id, this.#note);
    return { state, due, attempts: this.#attempts, code, note: sealed };
  }

  #event(
    change: QueueEvent["change"],
    outcome: Partial<Pick<Failure, "code" | "detail" | "ambiguous">> & {
      readonly requestId?: string;
      readonly mailbox?: string;
    },
  ): QueueEvent {
    const { id, receivedAt, size } = this.#message.stored;
    const { code, detail, ambiguous, requestId, mailbox } = outcome;
    return {
      type: "queue",
      change,
      message: {
        id,
        size,
        attempts: this.#attempts,
        age: this.#options.rules.clock.date() - receivedAt,
        ...(this.#record === undefined ? {} : { record: this.#record }),
      },
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail }),
      ...(ambiguous === true ? { ambiguous } : {}),
      ...(requestId === undefined ? {} : { requestId }),
      ...(mailbox === undefined ? {} : { mailbox }),
    };
  }
}

interface Failure {
  readonly code: string;
  readonly detail: string;
  readonly ambiguous: boolean;
  readonly retryAfter?: number;
  readonly requestId?: string;
  readonly mailbox?: string;
}
