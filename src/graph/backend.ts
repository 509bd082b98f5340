// Microsoft Graph as the service that takes the mail: a message waits its turn, then it is sent in
// one request, or by way of a draft where it is too large for that.

import type { Account } from "../accounts/accounts.ts";
import type { Backend, Outcome, Submission } from "../delivery/outcome.ts";
import type { HttpClient } from "../http/client.ts";
import type { Content } from "../smtp/content.ts";
import { reply } from "../smtp/reply.ts";
import { STOPPING } from "./answers.ts";
import { base64Body } from "./base64_body.ts";
import { DeliveryCalls } from "./calls.ts";
import { type Clock, realClock } from "./clock.ts";
import { type Lane, Lanes } from "./lanes.ts";
import { sendMail } from "./send_mail.ts";
import { uploadAndSend } from "./upload.ts";

/** All times are milliseconds. */
export interface GraphOptions {
  readonly http: Pick<HttpClient, "request">;
  /** Such as `https://graph.microsoft.com`. */
  readonly endpoint: URL;
  /** For one request. */
  readonly timeout: number;
  /** Octets of base64 in one request. */
  readonly requestLimit: number;
  /** Deliveries at once for one app and mailbox. */
  readonly concurrency: number;
  /** For waiting until a delivery's turn comes. */
  readonly pacingTimeout: number;
  /** For a delivery whose turn has come, repeats included; more for large messages. */
  readonly deliveryTimeout: number;
  /** What becomes of messages over `requestLimit`. */
  readonly largeMessages: "upload" | "reject";
  /** Time itself when left out. */
  readonly clock?: Clock;
}

/** Octets over the request limit for which a delivery gets a second more. */
const OCTETS_A_SECOND = 100_000;
/** Milliseconds for a delivery at most: clients wait 10 minutes (RFC 5321 §4.5.3.2.6). */
const LONGEST_DELIVERY = 540_000;
/** Milliseconds for deleting a draft, repeats included: the client waits for its reply. */
const CLEANUP_TIME = 5_000;

export class GraphBackend implements Backend {
  readonly #options: GraphOptions;
  readonly #base: string;
  readonly #lanes: Lanes;
  readonly #clock: Clock;
  readonly #stop = new AbortController();

  constructor(options: GraphOptions) {
    this.#options = options;
    this.#base = options.endpoint.href.replace(/\/+$/, "");
    this.#clock = options.clock ?? realClock;
    this.#lanes = new Lanes({
      concurrency: options.concurrency,
      timeout: options.pacingTimeout,
      clock: this.#clock,
    });
  }

  /** Apps and mailboxes for which something is under way. */
  get lanes(): number {
    return this.#lanes.size;
  }

  async send({ id, account }: Submission, sender: string, message: Content): Promise<Outcome> {
    const { requestLimit, pacingTimeout, largeMessages } = this.#options;
    const body = base64Body(message);
    const large = body.length > requestLimit;
    if (large && largeMessages === "reject") return tooLarge(body.length, requestLimit);

    const turn = this.#lanes.enter(account.tenantId, account.clientId, sender);
    const lane = turn instanceof Promise ? await turn : turn;
    if (lane === undefined) return this.#stop.signal.aborted ? stopped() : outOfTurn(pacingTimeout);
    try {
      const calls = this.#calls(account, lane, this.#deliveryTime(body.length));
      const base = this.#base;
      const outcome = large
        ? await uploadAndSend(calls, {
          base,
          sender,
          message,
          requestLimit,
          id,
          // What a delivery that has run out of time leaves behind is taken back all the same.
          cleanup: {
            call: (call, expected) => this.#calls(account, lane, CLEANUP_TIME).call(call, expected),
          },
        })
        : await sendMail(calls, { base, sender, body, id });
      return calls.attempts > 1 ? { ...outcome, attempts: calls.attempts } : outcome;
    } finally {
      lane.leave();
    }
  }

  /** Begins nothing more: what waits for its turn or for a repeat gets its reply now. */
  stop(): void {
    this.#stop.abort();
    this.#lanes.close();
  }

  /** @param time milliseconds for all of them together */
  #calls(account: Account, pace: Lane, time: number): DeliveryCalls {
    const { http, timeout } = this.#options;
    const clock = this.#clock;
    return new DeliveryCalls({
      http,
      account,
      timeout,
      deadline: clock.now() + time,
      clock,
      pace,
      stop: this.#stop.signal,
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

function tooLarge(length: number, limit: number): Outcome {
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

function stopped(): Outcome {
  const detail = `${STOPPING.text}; nothing was sent`;
  return {
    type: "later",
    reply: reply(STOPPING.code, STOPPING.enhanced, `STOPPING: ${detail}`),
    ambiguous: false,
    code: "STOPPING",
    detail,
  };
}

function outOfTurn(timeout: number): Outcome {
  const detail = "the mailbox has more mail than Graph takes from it: no turn within " +
    `${timeout / 1000} s; nothing was sent`;
  return {
    type: "later",
    reply: reply(451, "4.3.2", `PACING_TIMEOUT: ${detail}`),
    ambiguous: false,
    code: "PACING_TIMEOUT",
    detail,
  };
}
