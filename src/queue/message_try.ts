// One try to send a queued message: from its sealed record to what becomes of it.

import type { BackendNames } from "../backend_name.ts";
import type { Clock } from "../clock.ts";
import type {
  Delivery,
  NotSent,
  Outcome,
  RefusedRecipient,
  SendingProgress,
  Sent,
} from "../delivery/delivery.ts";
import { type Content, discard } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import { type Reply, reply, replyText } from "../smtp/reply.ts";
import type { DoubtAnswer, DoubtPolicy } from "./doubt.ts";
import type { FailureReports } from "./failure_reports.ts";
import {
  type LoginProblem,
  type QueuedAccounts,
  type QueuedLogin,
  queuedLogin,
} from "./queued_login.ts";
import { openNote, openRecord, type QueueRecord, sealNote } from "./record.ts";
import { notServed, withServed } from "./served.ts";
import { type Sealer, SealError } from "./sealing.ts";
import { StoreError, type TakenMessage } from "./store.ts";
import { type Failure, type GiveBack, TriedMessage, UNREADABLE, type Verdict } from "./verdict.ts";

export interface MessageTryOptions {
  readonly sealer: Sealer;
  readonly accounts: QueuedAccounts;
  /** Sender policy and back end. */
  readonly delivery: Delivery;
  readonly doubt: DoubtPolicy;
  /** QUEUE_BOUNCE; undefined if it is off. */
  readonly reports?: FailureReports | undefined;
  readonly rules: TryRules;
}

export interface TryRules {
  /** QUEUE_MAX_AGE in milliseconds. */
  readonly maxAge: number;
  /** The scope of the tokens of the first of these back ends; undefined: of those of the settings. */
  readonly scopeOf: (names: BackendNames | undefined) => string;
  readonly clock: Clock;
}

/** Entra ID's and the relay's codes of a login that is refused in the middle of a delivery. */
const LOGIN_REFUSED = /^(?:AADSTS|invalid_|unauthorized_)/;
/** Milliseconds for which a mailbox is left alone that has no free slot. */
const NO_SLOT = 1_000;

export class MessageTry {
  readonly #options: MessageTryOptions;

  constructor(options: MessageTryOptions) {
    this.#options = options;
  }

  /**
   * Never fails.
   *
   * @param stop aborted when the relay stops
   */
  async run(message: TakenMessage, stop: AbortSignal): Promise<Verdict> {
    const { sealer, rules: { clock, maxAge } } = this.#options;
    const { stored } = message;
    const context = { stored, sealer, clock, maxAge };
    try {
      const record = openRecord(sealer, stored.id, stored.record);
      const note = openNote(sealer, stored.id, stored.note);
      const tried = new TriedMessage({ ...context, record }, note);
      return await new CurrentTry(this.#options, message, tried, record, stop).run();
    } catch (error) {
      return setAside(new TriedMessage(context, {}), error);
    }
  }
}

/** The message cannot be opened: it is held, and never sent or deleted. */
function setAside(tried: TriedMessage, error: unknown): GiveBack {
  if (error instanceof SealError) {
    return tried.aside("held", { code: UNREADABLE[error.reason], detail: error.message });
  }
  return { ...tried.aside("held", { code: "FAULT", detail: textOf(error) }), fault: error };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A message whose record is open. */
class CurrentTry {
  readonly #options: MessageTryOptions;
  readonly #message: TakenMessage;
  readonly #tried: TriedMessage;
  readonly #record: QueueRecord;
  readonly #stop: AbortSignal;

  constructor(
    options: MessageTryOptions,
    message: TakenMessage,
    tried: TriedMessage,
    record: QueueRecord,
    stop: AbortSignal,
  ) {
    this.#options = options;
    this.#message = message;
    this.#tried = tried;
    this.#record = record;
    this.#stop = stop;
  }

  async run(): Promise<Verdict> {
    try {
      return await this.#run();
    } catch (error) {
      return error instanceof SealError ? setAside(this.#tried, error) : this.#fault(error);
    }
  }

  async #run(): Promise<Verdict> {
    const tried = this.#tried;
    if (this.#stop.aborted) return tried.unchanged();
    const login = await this.#unlessStopped(this.#login());
    if (login === undefined) return tried.unchanged();
    if ("code" in login) {
      if (login.type === "refused") return tried.aside("held", login);
      return this.#isTooOld ? await this.#giveUp() : tried.later(login);
    }
    if (tried.note.doubt === true) {
      const answer = await this.#unlessStopped(this.#options.doubt.resolve(login, tried.note));
      if (answer === undefined) return tried.unchanged();
      tried.note = answer.note;
      if (answer.type !== "send") return await this.#doubtful(answer);
    }
    // After the doubt: a message that was sent is not too old.
    if (this.#isTooOld && this.#wasTried) return await this.#giveUp();
    const content = await this.#content();
    const { id, receivedAt } = this.#message.stored;
    const { username, messageId, facts, client, connection } = this.#record;
    const envelope = this.#envelope;
    const { account, authorization } = login;
    let outcome: Outcome;
    try {
      outcome = await this.#options.delivery.deliver(
        {
          ...{ id, account, username, envelope, content, facts, client, connection, receivedAt },
          ...(messageId === undefined ? {} : { messageId }),
        },
        {
          authorization,
          mayWait: false,
          mayBePartial: true,
          steps: this.#tried.steps,
          beforeSending: (progress) => this.#beforeSending(progress),
        },
      );
    } finally {
      discard(content);
    }
    return await this.#verdict(outcome);
  }

  /** With the recipients for whom it has not been sent yet. */
  get #envelope(): Envelope {
    const { from, recipients } = this.#record.envelope;
    return { from, recipients: notServed(recipients, this.#tried.note.served) };
  }

  get #isTooOld(): boolean {
    return this.#options.rules.clock.date() >= this.#tried.end;
  }

  /** Not, for example, if the machine was off for longer than the message may wait. */
  get #wasTried(): boolean {
    const { attempts, note: { failures = 0 } } = this.#tried;
    return attempts > 0 || failures > 0;
  }

  async #content(): Promise<Content> {
    const { id, size } = this.#message.stored;
    return await this.#options.sealer.openContent(this.#message.content(), `content ${id}`, size);
  }

  /** @returns undefined if the relay stops meanwhile: it need not wait for what only reads */
  async #unlessStopped<T>(pending: Promise<T>): Promise<T | undefined> {
    const stop = this.#stop;
    let end = () => {};
    const stopped = new Promise<undefined>((resolve) => {
      end = () => resolve(undefined);
      stop.addEventListener("abort", end);
    });
    try {
      return await Promise.race([pending, stopped]);
    } finally {
      stop.removeEventListener("abort", end);
    }
  }

  #login(): Promise<QueuedLogin | LoginProblem> {
    const { accounts, rules: { scopeOf } } = this.#options;
    const { steps } = this.#tried;
    // By `queue retry`, an administrator has decided that it is sent.
    const isRetried = this.#tried.note.restarted !== undefined;
    return queuedLogin(this.#record, { accounts, scopeOf, isRetried, steps });
  }

  async #beforeSending(sending: SendingProgress): Promise<boolean> {
    const { sealer, rules: { clock } } = this.#options;
    const tried = this.#tried;
    const { id } = this.#message.stored;
    // It is on stable storage: nothing is begun any more.
    if (this.#stop.aborted) return false;
    const { firstAttempt = Math.max(0, Math.floor(clock.date())) } = tried.note;
    const note = { ...tried.note, firstAttempt, sending };
    const attempts = tried.attempts + 1;
    const isOwned = await this.#message.sending(attempts, sealNote(sealer, id, note));
    if (isOwned) {
      tried.note = note;
      tried.attempts = attempts;
    }
    return isOwned;
  }

  async #doubtful(answer: Exclude<DoubtAnswer, { readonly type: "send" }>): Promise<Verdict> {
    const { detail } = answer;
    const failure = { code: "AMBIGUOUS", detail };
    if (answer.type === "sent") return this.#tried.sent({ code: "FOUND", detail });
    if (answer.type === "hold") return this.#tried.aside("held", failure);
    return this.#isTooOld ? await this.#giveUp() : this.#tried.waits(answer.due, failure);
  }

  async #verdict(outcome: Outcome): Promise<Verdict> {
    const tried = this.#tried;
    if (outcome.type === "sent") {
      return outcome.refused === undefined
        ? tried.sent(outcome)
        : await this.#partlySent(outcome, outcome.refused);
    }
    if (outcome.type === "queued" || outcome.type === "alreadySent") {
      throw new Error("a message was taken from the queue and queued again");
    }
    const { type, code, ambiguous, retryAfter } = outcome;
    if (ambiguous) return this.#ambiguous(outcome);
    if (code === "STOPPING" || code === "NOT_OWNED") return tried.unchanged();
    if (code === "PACING_TIMEOUT") return tried.unchanged(retryAfter ?? NO_SLOT);
    if (type === "later") return tried.later(outcome);
    if (LOGIN_REFUSED.test(code)) return tried.aside("held", outcome);
    return await this.#die(outcome, outcome.reply);
  }

  /** It is never sent again to those who have it; the others keep it, or their refusal is reported. */
  async #partlySent(outcome: Sent, refused: readonly RefusedRecipient[]): Promise<GiveBack> {
    const tried = this.#tried;
    const { recipients } = this.#record.envelope;
    const left = new Set(refused.map(({ recipient }) => recipient));
    const before = this.#envelope.recipients.length;
    const places = recipients.flatMap((recipient, place) => left.has(recipient) ? [] : [place]);
    tried.note = { ...tried.note, served: withServed(tried.note.served, places) };
    const temporary = refused.find(({ reply: { code } }) => code < 500);
    const { reply: why } = temporary ?? refused[0]!;
    const failure = {
      code: "PARTLY_SENT",
      detail: `sent, but not to ${refused.length} of ${before} recipients: ${replyText(why)}`,
      reply: why,
      ...(outcome.mailbox === undefined ? {} : { mailbox: outcome.mailbox }),
      ...(outcome.backend === undefined ? {} : { backend: outcome.backend }),
      ...(outcome.requestId === undefined ? {} : { requestId: outcome.requestId }),
    };
    if (temporary === undefined) return await this.#die(failure, why);
    return this.#isTooOld ? await this.#giveUp() : tried.later(failure, true);
  }

  /** The request that sends was begun, and its result is not known. */
  #ambiguous(failure: Failure, ofMessage = false): GiveBack {
    const tried = this.#tried;
    const plan = this.#options.doubt.afterFailure(tried.note);
    tried.note = plan.note;
    if (plan.type === "hold") return tried.aside("held", { ...failure, ambiguous: true });
    const later = tried.later({ ...failure, ambiguous: true }, ofMessage);
    if (plan.type === "send") return later;
    return { ...later, progress: { ...later.progress, due: plan.due } };
  }

  /** Its time is over. */
  async #giveUp(): Promise<GiveBack> {
    const { note } = this.#tried;
    const { code: last } = this.#message.stored;
    const inDoubt = note.doubt === true;
    const detail =
      `not sent within QUEUE_MAX_AGE${last === "" ? "" : `; the last failure: ${last}`}` +
      (note.detail === undefined ? "" : `: ${note.detail}`) +
      (inDoubt ? "; it may have been sent" : "");
    return await this.#die(
      { code: "QUEUE_MAX_AGE", detail, ...(inDoubt ? { ambiguous: true } : {}) },
      // RFC 3463 §3.5: delivery time expired.
      reply(451, "4.4.7", detail),
    );
  }

  /** It is given up. */
  async #die(failure: NotSent | Failure, why: Reply): Promise<GiveBack> {
    const { reports, rules: { clock } } = this.#options;
    const tried = this.#tried;
    if (reports === undefined || tried.note.reported === true) return tried.aside("dead", failure);
    let content: Content;
    try {
      content = await this.#content();
    } catch (error) {
      // Otherwise it would never be given up.
      if (error instanceof StoreError) return tried.aside("dead", failure);
      throw error;
    }
    const report = reports.about({
      stored: this.#message.stored,
      record: { ...this.#record, envelope: this.#envelope },
      content,
      mailbox: failure.mailbox,
      reply: why,
      at: clock.date(),
    });
    if (report === undefined) return tried.aside("dead", failure);
    // Stored before the report is, so that there is never a second one.
    tried.note = { ...tried.note, reported: true };
    return { ...tried.aside("dead", failure), report };
  }

  /** The store cannot read the message, or the program has a fault: the mailbox goes on without it. */
  #fault(error: unknown): GiveBack {
    const isStore = error instanceof StoreError;
    const code = isStore ? error.code : "FAULT";
    const failure = { code, detail: textOf(error) };
    const wasBegun = this.#tried.attempts > this.#message.stored.attempts;
    const later = wasBegun ? this.#ambiguous(failure, true) : this.#tried.later(failure, true);
    return isStore ? later : { ...later, fault: error };
  }
}
