// Microsoft Graph as the mail service: a message waits for a slot of its mailbox. Then it is sent
// in one request, or through a draft if it is too large.

import type { Account, Authorization } from "../accounts/account.ts";
import { type Clock, eventLoopTurn, realClock } from "../clock.ts";
import { reasonNotToSend } from "../delivery/before_sending.ts";
import type {
  Attempt,
  Backend,
  BeforeSending,
  NotSent,
  ServiceOutcome,
  Submission,
  WaitingClient,
} from "../delivery/delivery.ts";
import { madeRoom, refused } from "../delivery/outcomes.ts";
import type { SentAnswer, SentLookup, SentQuestion } from "../delivery/sent_lookup.ts";
import type { SenderRules } from "../accounts/senders.ts";
import type { HttpClient } from "../http/client.ts";
import { ServiceUrl } from "../http/service_url.ts";
import type { LazyContent } from "../message/lazy_piece.ts";
import { messageIdIn } from "../message/message_id.ts";
import { type MessageLimits, type Rejected } from "../message/prepare.ts";
import { lengthOf } from "../smtp/content.ts";
import { reply } from "../smtp/reply.ts";
import { stopped } from "./graph_errors.ts";
import { base64Body } from "./base64_body.ts";
import {
  DeliveryClient,
  type GraphClientOptions,
  type GraphRequest,
  type GraphResult,
} from "./graph_client.ts";
import { type ExchangeMessage, exchangeMessage } from "./exchange_message.ts";
import {
  type LimitedMailbox,
  MailboxLimiter,
  type MailboxLoad,
  type WaitEnd,
} from "./mailbox_limiter.ts";
import { lookUpSent } from "./sent_lookup.ts";
import { sendMail } from "./send_mail.ts";
import { uploadAndSend, uploadRefusal } from "./upload.ts";

/** How messages are converted for Exchange. */
export interface MessageOptions {
  /** The relay's name in the Received field. */
  readonly hostname: string;
  /** Quoted-printable leaf parts become base64. */
  readonly reencodeQuotedPrintable: boolean;
  /** The same rules as in the sender policy before this back end. */
  readonly senders: Pick<SenderRules, "restricts">;
  /** Default: the defaults of the settings. */
  readonly limits?: MessageLimits;
}

/** All times are milliseconds. */
export interface GraphOptions {
  readonly http: Pick<HttpClient, "request">;
  /** Such as `https://graph.microsoft.com`. */
  readonly endpoint: URL;
  /** The scope of its tokens, such as `https://graph.microsoft.com/.default`. */
  readonly scope: string;
  readonly message: MessageOptions;
  /** For one request. */
  readonly timeout: number;
  /** Octets of base64 in one request. */
  readonly requestLimit: number;
  /** Deliveries at once for one app and mailbox. */
  readonly concurrency: number;
  /** For waiting for a slot. */
  readonly pacingTimeout: number;
  /** For a delivery that has its slot, including repeats; large messages get more. */
  readonly deliveryTimeout: number;
  /** For messages over `requestLimit`. */
  readonly largeMessages: "upload" | "reject";
  /**
   * Once it is aborted, no request is begun, except to delete drafts. Deliveries that wait for a
   * slot or a repeat end. Requests under way go on until the HTTP client is aborted.
   */
  readonly stop: AbortSignal;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
}

/** Octets over the request limit for which a delivery gets one more second. */
const OCTETS_A_SECOND = 100_000;
/** Milliseconds for a delivery at most: clients wait 10 minutes (RFC 5321 §4.5.3.2.6). */
const LONGEST_DELIVERY = 540_000;
/** Milliseconds for deleting a draft, including repeats: the client waits for its reply. */
const CLEANUP_TIME = 5_000;
/** The same while the relay is stopping: it waits two seconds for the last outcomes. */
const LAST_CLEANUP_TIME = 1_500;
/** Milliseconds for finding out whether a message was sent, including repeats. */
const LOOKUP_TIME = 30_000;
/** Octets of a message up to which it can be prepared without blocking the event loop for long. */
const MAX_EXAMINED = 8_000_000;
/** Milliseconds between two tries of a delivery that must not wait. */
const PATIENCE = 2_000;
/** Octets of a request's body from which making it blocks the event loop for long. */
const LONG_WORK = 1_000_000;

export class GraphBackend implements Backend, SentLookup {
  readonly id = "graph";
  readonly #options: GraphOptions;
  readonly #service: ServiceUrl;
  readonly #conversion: Pick<MessageOptions, "reencodeQuotedPrintable" | "limits">;
  readonly #limiter: MailboxLimiter;
  readonly #clock: Clock;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.#service = new ServiceUrl(options.endpoint);
    const { hostname: _hostname, senders: _senders, ...conversion } = options.message;
    this.#conversion = conversion;
    this.#clock = options.clock ?? realClock;
    this.#limiter = new MailboxLimiter({
      concurrency: options.concurrency,
      timeout: options.pacingTimeout,
      clock: this.#clock,
    });
    options.stop.addEventListener("abort", () => this.#limiter.close(), { once: true });
  }

  /** Apps and mailboxes for which something is under way. */
  get activeMailboxes(): number {
    return this.#limiter.size;
  }

  /** Deliveries under way and waiting. */
  get load(): MailboxLoad {
    return this.#limiter.load;
  }

  /** Whether its form is one that Graph does not take; or its size, if it cannot be uploaded. */
  refusal(submission: Submission): NotSent | undefined {
    const { requestLimit, largeMessages } = this.#options;
    // Without uploads it is most likely too large, and its client has to be told so.
    if (lengthOf(submission.content) > MAX_EXAMINED && largeMessages === "upload") return undefined;
    const message = this.#prepare(submission);
    if (message.type === "rejected") return refused(message);
    const { length } = base64Body(message.content);
    if (length <= requestLimit) return undefined;
    return largeMessages === "reject"
      ? tooLarge(length, requestLimit)
      : uploadRefusal(message.content, requestLimit);
  }

  deliver(submission: Submission, attempt: Attempt): Promise<ServiceOutcome> {
    const prepared = attempt.steps?.begin("prepare");
    const message = this.#prepare(submission);
    prepared?.();
    if (message.type === "rejected") return Promise.resolve(refused(message));
    const { sender, content } = message;
    const outcome = this.#send(submission, attempt, sender, content);
    return sender === submission.envelope.from
      ? outcome
      : outcome.then((settled) => ({ ...settled, mailbox: sender }));
  }

  async lookUp({ account, authorization, ...looked }: SentQuestion): Promise<SentAnswer> {
    const { stop, pacingTimeout } = this.#options;
    const mailbox = await this.#slot(
      account,
      authorization,
      looked.sending.mailbox,
      undefined,
      false,
    );
    if (typeof mailbox === "string") {
      const { detail } = stop.aborted ? stopped() : outOfTurn(pacingTimeout);
      return { type: "later", detail };
    }
    try {
      const graph = this.#graphClient(authorization, mailbox, LOOKUP_TIME, {
        stop,
        patience: PATIENCE,
      });
      return await lookUpSent(graph, this.#service.href, looked);
    } finally {
      mailbox.release();
    }
  }

  #prepare(submission: Submission): ExchangeMessage | Rejected {
    const { account, envelope, content, facts, client, id, receivedAt } = submission;
    const { hostname, senders } = this.#options.message;
    return exchangeMessage(content, envelope, {
      trace: { ...facts, address: client, hostname, id, at: new Date(receivedAt) },
      account: senders.restricts(account) ? { ...account, restricted: true } : account,
      ...this.#conversion,
    });
  }

  async #send(
    { id, account }: Submission,
    { authorization, client, beforeSending, mayWait = true, steps }: Attempt,
    sender: string,
    message: LazyContent,
  ): Promise<ServiceOutcome> {
    const { requestLimit, pacingTimeout, largeMessages, stop } = this.#options;
    const body = base64Body(message);
    const large = body.length > requestLimit;
    if (large && largeMessages === "reject") return tooLarge(body.length, requestLimit);

    const turn = this.#slot(account, authorization, sender, client, mayWait);
    const waited = turn instanceof Promise ? steps?.begin("wait") : undefined;
    const mailbox = turn instanceof Promise ? await turn : turn;
    waited?.();
    if (mailbox === "ended") return madeRoom();
    if (mailbox === "late") {
      if (stop.aborted) return stopped();
      const pause = this.#limiter.pauseOf(...slotName(account, authorization, sender));
      return { ...outOfTurn(pacingTimeout), ...(pause > 0 ? { retryAfter: pause } : {}) };
    }
    try {
      const graph = this.#graphClient(
        authorization,
        mailbox,
        this.#deliveryTime(body.length),
        {
          stop,
          steps,
          patience: mayWait ? undefined : PATIENCE,
          beforeSending: beforeSending && recorder(beforeSending, sender, message),
        },
      );
      // Preparing a large message takes time, in which Graph may have closed idle connections.
      // After one turn of the event loop they are known to be closed, and are not used.
      if (!large && body.length > LONG_WORK) await eventLoopTurn();
      const service = this.#service;
      const outcome = large
        ? await uploadAndSend(graph, {
          service,
          sender,
          message,
          requestLimit,
          id,
          cleanup: {
            request: (request, expected) =>
              this.#cleanUp(authorization, mailbox, request, expected),
          },
        })
        : await sendMail(graph, { service, sender, body, id });
      return graph.attempts > 1 ? { ...outcome, attempts: graph.attempts } : outcome;
    } finally {
      mailbox.release();
    }
  }

  #slot(
    account: Account,
    authorization: Authorization,
    address: string,
    client: WaitingClient | undefined,
    mayWait: boolean,
  ): LimitedMailbox | Promise<LimitedMailbox | WaitEnd> {
    return this.#limiter.acquire(...slotName(account, authorization, address), client, mayWait);
  }

  /** Deletes a delivery's draft, even after its time is over or while the relay stops. */
  async #cleanUp(
    authorization: Authorization,
    mailbox: LimitedMailbox,
    request: GraphRequest,
    expected: readonly number[],
  ): Promise<GraphResult> {
    const { stop } = this.#options;
    const begin = () =>
      this.#graphClient(authorization, mailbox, stop.aborted ? LAST_CLEANUP_TIME : CLEANUP_TIME)
        .request(request, expected);
    const before = stop.aborted;
    const result = await begin();
    // The stop has ended it with all other requests.
    const aborted = result.type === "failed" && result.outcome.code === "ABORTED";
    return aborted && !before ? await begin() : result;
  }

  /**
   * @param time milliseconds for all requests together
   * @param more what concerns requests that send
   */
  #graphClient(
    authorization: Authorization,
    pace: LimitedMailbox,
    time: number,
    { stop, steps, patience, beforeSending }: Pick<
      GraphClientOptions,
      "stop" | "steps" | "beforeSending" | "patience"
    > = {},
  ): DeliveryClient {
    const { http, scope, timeout } = this.#options;
    const clock = this.#clock;
    const deadline = clock.now() + time;
    // One object for each message, without another that is copied into it.
    return new DeliveryClient({
      http,
      authorization,
      scope,
      timeout,
      deadline,
      clock,
      pace,
      stop,
      steps,
      patience,
      beforeSending,
    });
  }

  /** @param octets of the message in base64 */
  #deliveryTime(octets: number): number {
    const { requestLimit, deliveryTimeout } = this.#options;
    if (octets <= requestLimit) return Math.min(deliveryTimeout, LONGEST_DELIVERY);
    const more = Math.ceil((octets - requestLimit) / OCTETS_A_SECOND) * 1000;
    return Math.min(deliveryTimeout + more, LONGEST_DELIVERY);
  }
}

function slotName(
  { tenantId, clientId }: Account,
  authorization: Authorization,
  address: string,
): [tenantId: string, app: string, address: string] {
  // A login that only claims to be an app must not use up the slots of that app.
  return [tenantId, clientId + (authorization.unverified() ?? ""), address];
}

/** Tells what finds the message later. @param message as it is sent */
function recorder(
  beforeSending: BeforeSending,
  mailbox: string,
  message: LazyContent,
): (draft?: string) => Promise<NotSent | undefined> {
  const messageId = messageIdIn(message);
  const found = { mailbox, ...(messageId === undefined ? {} : { messageId }) };
  return (draft) =>
    reasonNotToSend(beforeSending, draft === undefined ? found : { ...found, draft });
}

function tooLarge(length: number, limit: number): NotSent {
  const detail = `${length} octets as base64; one request to Graph takes ${limit}`;
  return {
    type: "refused",
    reply: reply(
      552,
      "5.3.4",
      `Message is too large for Graph: ${detail}. Send less, or set LARGE_MESSAGES=upload`,
    ),
    ambiguous: false,
    code: "GRAPH_REQUEST_LIMIT",
    detail,
  };
}

function outOfTurn(timeout: number): NotSent {
  const detail = "the mailbox has more mail than Graph accepts from it: no slot within " +
    `${timeout / 1000} s; nothing was sent`;
  return {
    type: "later",
    reply: reply(451, "4.3.2", `PACING_TIMEOUT: ${detail}`),
    ambiguous: false,
    code: "PACING_TIMEOUT",
    detail,
  };
}
