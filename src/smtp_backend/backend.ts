// A mail service that is reached by SMTP: Exchange Online, High Volume Email, Azure Communication Services,
// or any other server. A message waits for its turn, and is sent in one transaction.

import { accountKey, type Authorization } from "../accounts/account.ts";
import type { SenderRules } from "../accounts/senders.ts";
import type { BackendName } from "../backend_name.ts";
import { type Clock, realClock } from "../clock.ts";
import { reasonNotToSend } from "../delivery/before_sending.ts";
import type {
  Attempt,
  Backend,
  NotSent,
  RefusedRecipient,
  SendingProgress,
  Sent,
  ServiceOutcome,
  Submission,
} from "../delivery/delivery.ts";
import { madeRoom, refused } from "../delivery/outcomes.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { AccessToken } from "../entra/token.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { addressKey } from "../message/addresses.ts";
import { octetsIn } from "../message/lazy_piece.ts";
import { messageIdIn } from "../message/message_id.ts";
import type { MessageLimits, Rejected } from "../message/prepare.ts";
import type { Secret } from "../secret.ts";
import { lengthOf } from "../smtp/content.ts";
import { type Reply, reply, replyText } from "../smtp/reply.ts";
import type {
  Login,
  MailClient,
  MailServer,
  OutgoingMessage,
  RecipientReply,
  SendResult,
} from "../smtp_client/mail_client.ts";
import { Pacer, type PacerLoad } from "./pacer.ts";
import {
  type Classified,
  classifyFailure,
  classifyRefusal,
  LACKING,
  recipientReply,
} from "./smtp_errors.ts";
import { qualified } from "../message/forward_paths.ts";
import { type SmtpMessage, smtpMessage } from "./smtp_message.ts";

/** How the relay logs in there. */
export type ServerLogin =
  /** With the app's token, as the mailbox that sends. */
  | { readonly type: "token"; readonly scope: string }
  | { readonly type: "password"; readonly username: string; readonly password: Secret }
  | { readonly type: "none" };

/** What a service takes. */
export interface ServiceLimits {
  /** Messages at once: of one mailbox, or of all where `perMailbox` is false. */
  readonly connections: number;
  readonly perMailbox: boolean;
  /** Messages of one mailbox a minute; left out for any number. */
  readonly perMinute?: number;
  /** Recipients of a message; left out for any number. */
  readonly recipients?: number;
  /** Octets of a message; left out for what the server announces. */
  readonly size?: number;
  /** Whether the null reverse-path may be sent, which a mailbox's own server does not take. */
  readonly nullSender: boolean;
}

/** All times are milliseconds. */
export interface SmtpBackendOptions {
  readonly id: BackendName;
  readonly client: Pick<MailClient, "send">;
  readonly server: Pick<MailServer, "hostname" | "port" | "tls">;
  readonly login: ServerLogin;
  readonly service: ServiceLimits;
  readonly message: {
    /** The relay's name in the Received field. */
    readonly hostname: string;
    /** The same rules as in the sender policy before this back end. */
    readonly senders: Pick<SenderRules, "restricts">;
    readonly limits?: MessageLimits;
  };
  /** For waiting for its turn. */
  readonly pacingTimeout: number;
  /** For a message that has its turn; large ones get more. */
  readonly deliveryTimeout: number;
  /** Octets from which a message is large. */
  readonly largeFrom: number;
  /** Once it is aborted, no message is begun. */
  readonly stop: AbortSignal;
  /** Ends what is under way. */
  readonly abort: AbortSignal;
  readonly clock?: Clock;
}

/** Octets of a large message for which it gets one more second. */
const OCTETS_A_SECOND = 100_000;
/** Milliseconds for a delivery at most: clients wait 10 minutes (RFC 5321 §4.5.3.2.6). */
const LONGEST_DELIVERY = 540_000;
/** The share of all connections that one account gets at most. */
const MOST_OF_ALL = 3 / 4;
/** Milliseconds for which a mailbox is left alone whose server is busy, doubled each time up to the longest. */
const FIRST_WAIT = 5_000;
const LONGEST_WAIT = 60_000;
/** Milliseconds before the first repeat after a broken connection, doubled each time. */
const FIRST_REPEAT = 1_000;
/** Repeats after broken connections. */
const MAX_REPEATS = 2;
/** Octets of a message up to which it is prepared for an early refusal. */
const MAX_EXAMINED = 8_000_000;

export class SmtpBackend implements Backend {
  readonly id: BackendName;
  readonly #options: SmtpBackendOptions;
  readonly #pacer: Pacer;
  readonly #clock: Clock;
  readonly #hash = new KeyedHash();

  constructor(options: SmtpBackendOptions) {
    this.id = options.id;
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    const { connections, perMinute, perMailbox } = options.service;
    this.#pacer = new Pacer({
      ...{ connections, perMinute },
      // Otherwise the messages of one account could have all of what is for everybody.
      perAccount: perMailbox ? undefined : Math.ceil(connections * MOST_OF_ALL),
      timeout: options.pacingTimeout,
      clock: this.#clock,
    });
    options.stop.addEventListener("abort", () => this.#pacer.close(), { once: true });
  }

  get checksNoApp(): boolean {
    return this.#options.login.type !== "token";
  }

  /** Messages under way and waiting. */
  get load(): PacerLoad {
    return this.#pacer.load;
  }

  /** Its form, its size and the number of its recipients. */
  refusal(submission: Submission): NotSent | undefined {
    const excess = this.#excess(submission);
    if (excess !== undefined || lengthOf(submission.content) > MAX_EXAMINED) return excess;
    const message = this.#prepare(submission);
    if (message.type === "rejected") return this.#own(refused(message));
    return this.#tooLarge(message.size);
  }

  async deliver(submission: Submission, attempt: Attempt): Promise<ServiceOutcome> {
    const excess = this.#excess(submission);
    if (excess !== undefined) return excess;
    const prepared = attempt.steps?.begin("prepare");
    const message = this.#prepare(submission);
    prepared?.();
    if (message.type === "rejected") return this.#own(refused(message));
    const outcome = this.#tooLarge(message.size) ?? await this.#send(submission, attempt, message);
    return {
      ...outcome,
      backend: this.id,
      ...(message.sender === submission.envelope.from ? {} : { mailbox: message.sender }),
    };
  }

  #own(outcome: NotSent): NotSent {
    return { ...outcome, backend: this.id };
  }

  /** What is too much, found without reading the message. */
  #excess({ content, envelope }: Submission): NotSent | undefined {
    const { recipients: most } = this.#options.service;
    const tooLarge = this.#tooLarge(lengthOf(content));
    if (tooLarge !== undefined || most === undefined || envelope.recipients.length <= most) {
      return tooLarge;
    }
    const detail = `${envelope.recipients.length} recipients; ${this.id} takes ${most}`;
    return {
      type: "refused",
      reply: reply(550, "5.5.3", `SMTP_RECIPIENTS: Too many recipients: ${detail}`),
      ambiguous: false,
      code: "SMTP_RECIPIENTS",
      detail,
      backend: this.id,
    };
  }

  #tooLarge(size: number): NotSent | undefined {
    const { size: most } = this.#options.service;
    if (most === undefined || size <= most) return undefined;
    const detail = `${size} octets; ${this.id} takes ${most}`;
    return {
      type: "refused",
      reply: reply(552, "5.3.4", `SMTP_SIZE: Message is too large: ${detail}`),
      ambiguous: false,
      code: "SMTP_SIZE",
      detail,
      backend: this.id,
    };
  }

  #prepare(submission: Submission): SmtpMessage | Rejected {
    const { account, envelope, content, facts, client, id, receivedAt } = submission;
    const { message: { hostname, senders, limits }, service } = this.#options;
    return smtpMessage(content, envelope, {
      trace: { ...facts, address: client, hostname, id, at: new Date(receivedAt) },
      account: { ...account, restricted: senders.restricts(account) },
      keepsNull: service.nullSender,
      ...(limits === undefined ? {} : { limits }),
    });
  }

  async #send(
    submission: Submission,
    attempt: Attempt,
    message: SmtpMessage,
  ): Promise<ServiceOutcome> {
    const { client: waiting, mayWait = true, steps, authorization } = attempt;
    const { pacingTimeout, stop } = this.#options;
    const key = this.#paceKey(submission, authorization, message.sender);
    const account = accountKey(submission.account, authorization);
    const deadline = this.#clock.now() + pacingTimeout;
    for (let waits = 0;; waits++) {
      const turn = this.#pacer.acquire(key, { account, client: waiting, mayWait });
      const waited = turn instanceof Promise ? steps?.begin("wait") : undefined;
      const given = turn instanceof Promise ? await turn : turn;
      waited?.();
      if (given.type !== "turn") {
        if (given.type === "ended") return madeRoom();
        return stop.aborted ? stopped() : outOfTurn(pacingTimeout, given.retryAfter);
      }
      let tried: Classified | Sent;
      try {
        tried = await this.#withRepeats(submission, attempt, message, key);
      } finally {
        given.release();
      }
      if ("type" in tried) return tried;
      if (tried.next !== "wait") return tried.outcome;
      // Half of it random: what was refused together is not tried again together.
      const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** waits) *
        (0.5 + this.#clock.random() / 2);
      this.#pacer.pause(key, wait);
      const isOver = this.#clock.now() + wait > deadline;
      if (!mayWait || isOver || stop.aborted) return { ...tried.outcome, retryAfter: wait };
    }
  }

  /** The message with its turn: again after a broken connection, and with a new token. */
  async #withRepeats(
    submission: Submission,
    attempt: Attempt,
    message: SmtpMessage,
    mailbox: string,
  ): Promise<Classified | Sent> {
    const { stop } = this.#options;
    const { authorization, mayWait = true, steps } = attempt;
    const deadline = this.#clock.now() + this.#deliveryTime(message.size);
    let rejected: AccessToken | undefined;
    let last: Classified | undefined;
    for (let repeats = 0;;) {
      if (stop.aborted) return last ?? { outcome: stopped() };
      const login = await this.#login(submission, attempt, message.sender, mailbox);
      if ("outcome" in login) return login;
      // There is no other token: the refusal of this one counts.
      if (login.token !== undefined && login.token === rejected) return last!;
      const left = deadline - this.#clock.now();
      if (left <= 0) return last ?? { outcome: TOO_LATE };
      const tried = await this.#try(submission, attempt, message, login, left);
      if ("type" in tried) {
        if (login.token !== undefined) authorization.confirm(login.token);
        return tried;
      }
      last = tried;
      if (login.token !== undefined && tried.tokenRefused !== undefined) {
        authorization.reject(login.token, tried.tokenRefused === "token" ? 401 : 403);
        last = { ...tried, outcome: { ...tried.outcome, denied: true } };
        if (tried.next !== "newToken" || rejected !== undefined) return last;
        rejected = login.token;
        continue;
      }
      const { ambiguous, outage = false, code } = tried.outcome;
      if (ambiguous || !outage || !isPassing(code)) return tried;
      const wait = FIRST_REPEAT * 2 ** repeats * (0.5 + this.#clock.random() / 2);
      // A queue tries again by itself.
      if (!mayWait || repeats++ >= MAX_REPEATS || this.#clock.now() + wait > deadline) return tried;
      const over = steps?.begin("pause", undefined, this.id);
      await this.#clock.sleep(wait, stop);
      over?.();
    }
  }

  async #try(
    { id, envelope }: Submission,
    { beforeSending, mayBePartial = false, mayWait = true, steps }: Attempt,
    message: SmtpMessage,
    { login, account, mailbox: shared }: ReadyLogin,
    timeout: number,
  ): Promise<Classified | Sent> {
    const { client, server, service, abort, id: name } = this.#options;
    let unsent: NotSent | undefined;
    const progress = beforeSending === undefined ? undefined : this.#progress(message);
    const answered = steps?.begin("request", `SMTP ${name}`, name);
    const result = await client.send(
      { ...server, account, limit: { connections: service.connections, shared } },
      login,
      outgoing(message),
      {
        // The pacer has let it pass: there is a connection, or one that is being closed.
        waitTimeout: timeout,
        timeout,
        // In a queue, no client waits.
        awaitsLastReply: !mayWait,
        partlyRefused: mayBePartial ? "send" : "stop",
        signal: abort,
        ...(beforeSending === undefined ? {} : {
          beforeSending: async () => {
            unsent = await reasonNotToSend(beforeSending, progress!);
            return unsent === undefined;
          },
        }),
      },
    );
    answered?.(resultOf(result));
    if (unsent !== undefined) return { outcome: unsent };
    switch (result.type) {
      case "failed":
        return result.code === "ABORTED" && !result.ambiguous
          ? { outcome: stopped() }
          : classifyFailure(result);
      case "refused":
        return classifyRefusal(withWorst(result));
      case "accepted": {
        const refusedOnes = refusedIn(result.recipients, envelope.recipients, message.sender);
        const requestId = queueIdIn(result.reply);
        return {
          type: "sent",
          reply: reply(250, "2.0.0", `OK id=${id}`),
          ...(requestId === undefined ? {} : { requestId }),
          ...(refusedOnes.length === 0 ? {} : { refused: refusedOnes }),
        };
      }
    }
  }

  /** What the queue writes down before the message is sent. */
  #progress({ sender, content }: SmtpMessage): SendingProgress {
    const messageId = messageIdIn(content);
    return {
      mailbox: sender,
      ...(messageId === undefined ? {} : { messageId }),
      backend: this.id,
    };
  }

  async #login(
    { account: { tenantId, clientId } }: Submission,
    { authorization, steps }: Attempt,
    sender: string,
    mailbox: string,
  ): Promise<ReadyLogin | Classified> {
    const { login } = this.#options;
    if (login.type !== "token") {
      const unproved = unprovedLogin(authorization);
      if (unproved !== undefined) return { outcome: unproved };
      const account = login.type === "none" ? "" : `password ${login.username}`;
      return { login, account, mailbox };
    }
    const pending = authorization.token(login.scope);
    const asked = pending instanceof Promise ? steps?.begin("token") : undefined;
    const token = await pending;
    asked?.("code" in token ? token.code : undefined);
    if ("type" in token) return { outcome: withoutToken(token) };
    return {
      login: { type: "token", username: sender, token: token.value },
      // The server has verified the token of a connection, and no other: a user's token must not get a
      // connection that another user's, or the app's own, has opened.
      account: [tenantId, clientId, this.#hash.of(token.value.reveal()), sender.toLowerCase()]
        .join(" "),
      ...{ mailbox, token },
    };
  }

  #paceKey({ account }: Submission, authorization: Authorization, sender: string): string {
    if (!this.#options.service.perMailbox) return "";
    // A login that only claims to be an app must not use up the turns of that app's mailboxes.
    return `${account.tenantId} ${authorization.unverified() ?? ""} ${sender.toLowerCase()}`;
  }

  #deliveryTime(size: number): number {
    const { deliveryTimeout, largeFrom } = this.#options;
    const more = Math.ceil(Math.max(size - largeFrom, 0) / OCTETS_A_SECOND) * 1000;
    return Math.min(deliveryTimeout + more, LONGEST_DELIVERY);
  }
}

/** A login for one message. */
interface ReadyLogin {
  readonly login: Login;
  /** Names it in the pool of connections. */
  readonly account: string;
  /** What the server counts the connection by. */
  readonly mailbox: string;
  readonly token?: AccessToken;
}

function outgoing(
  { from, recipients, content, size, eightBit, smtputf8 }: SmtpMessage,
): OutgoingMessage {
  return {
    ...{ from, recipients, size, eightBit, smtputf8 },
    // Read anew for each try.
    content: { [Symbol.iterator]: () => octetsIn(content) },
  };
}

/** With some recipients refused, the refusal that counts: a final one before a temporary one. */
function withWorst<Result extends Extract<SendResult, { type: "refused" }>>(
  result: Result,
): Result {
  if (result.stage !== "RCPT" || result.own !== undefined) return result;
  const refusals = result.recipients.filter(({ reply: { code } }) => code >= 300);
  const worst = refusals.find(({ reply: { code } }) => code >= 500);
  return worst === undefined ? result : { ...result, reply: worst.reply };
}

/** As the client has named them. */
function refusedIn(
  replies: readonly RecipientReply[],
  named: readonly string[],
  sender: string,
): readonly RefusedRecipient[] {
  const refusals = new Map<string, Reply>();
  for (const { recipient, reply: given } of replies) {
    if (given.code >= 300) refusals.set(addressKey(recipient), recipientReply(given));
  }
  return named.flatMap((recipient) => {
    const refusal = refusals.get(addressKey(qualified(recipient, sender)));
    return refusal === undefined ? [] : [{ recipient, reply: refusal }];
  });
}

/** The server's own id of the message, for its administrators: Postfix's form, and Exchange's host. */
function queueIdIn(given: Reply): string | undefined {
  return /\b(?:queued as |hostname=)([\w.-]{1,64})/i.exec(replyText(given))?.[1];
}

function resultOf(result: SendResult): number | string {
  if (result.type === "failed") return result.code;
  // The last reply was a good one, to EHLO.
  const own = result.type === "refused" ? result.own : undefined;
  return own === "STARTTLS" || own === "AUTH" ? LACKING[own].name : result.reply.code;
}

/** Whether trying again soon may help: a wrong certificate or a proxy's rule stays as it is. */
function isPassing(code: string): boolean {
  return /^(?:E(?!RR_)[A-Z]+|CLOSED|SMTP 4)/.test(code) && code !== "ENOTFOUND" &&
    code !== "ENOCERTIFICATE";
}

/**
 * No service verifies the client's own token where the relay logs in with something else: with a forged one,
 * anybody could send.
 */
function unprovedLogin(authorization: Authorization): NotSent | undefined {
  const end = authorization.expiry();
  if (end !== undefined) return later("TOKEN_EXPIRED", "4.7.0", replyText(end));
  if (authorization.unverified() === undefined) return undefined;
  const code = "TOKEN_UNVERIFIED";
  const detail =
    "no service on this way out verifies the client's own token: log in with a client secret";
  return {
    type: "refused",
    reply: reply(550, "5.7.1", `${code}: ${detail}`),
    ambiguous: false,
    code,
    detail,
  };
}

function withoutToken({ type, code, detail }: EntraRefusal): NotSent {
  const text = `${code}: ${detail}`;
  return {
    type,
    reply: type === "later" ? reply(451, "4.7.0", text) : reply(550, "5.7.0", text),
    ambiguous: false,
    code,
    detail,
  };
}

function later(code: string, enhanced: string, detail: string): NotSent {
  return {
    type: "later",
    reply: reply(451, enhanced, `${code}: ${detail}`),
    ambiguous: false,
    code,
    detail,
  };
}

const TOO_LATE = later(
  "DELIVERY_TIMEOUT",
  "4.4.1",
  "the delivery took too long; nothing was sent",
);

function stopped(): NotSent {
  return later("STOPPING", "4.3.2", "the relay is being stopped; nothing was sent");
}

function outOfTurn(timeout: number, retryAfter: number | undefined): NotSent {
  const outcome = later(
    "PACING_TIMEOUT",
    "4.3.2",
    "the mailbox has more mail than its server accepts from it: no turn within " +
      `${timeout / 1000} s; nothing was sent`,
  );
  return retryAfter === undefined ? outcome : { ...outcome, retryAfter };
}
