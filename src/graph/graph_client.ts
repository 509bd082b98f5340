// One delivery's requests to Graph: with its token, within its deadline. A request is repeated only
// if the service certainly accepted nothing: no connection, 429, a 503 that reports throttling, 401
// and 403 (once, with a new token: the old one may lack a permission that was granted meanwhile).
// graph_errors.ts classifies the responses.
// https://learn.microsoft.com/graph/throttling

import type { Authorization } from "../accounts/account.ts";
import type { NotSent } from "../delivery/delivery.ts";
import type { Steps } from "../delivery/steps.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { AccessToken } from "../entra/token.ts";
import type {
  HttpClient,
  HttpFailure,
  HttpResponse,
  HttpUrl,
  RequestBody,
} from "../http/client.ts";
import { retryAfter } from "../retry_after.ts";
import { reply, replyText } from "../smtp/reply.ts";
import { classifyFailure, classifyResponse, outcomeOf, stopped } from "./graph_errors.ts";
import { type Clock, realClock } from "../clock.ts";

export interface GraphRequest {
  readonly method: "POST" | "PUT" | "GET" | "DELETE";
  readonly url: HttpUrl;
  /** All but Authorization. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Whether it carries the account's token. Upload URLs carry their own right, and must not get it. */
  readonly authorized: boolean;
  /** Whether it may send the message: then an unclear response is ambiguous. */
  readonly submits: boolean;
  /** The immutable id of the draft that it sends, if it sends one. */
  readonly draft?: string;
}

/** The result of a request, after all repeats. */
export type GraphResult =
  /** One of the expected statuses. */
  | { readonly type: "response"; readonly response: HttpResponse }
  /** Anything else, with the outcome for the client, and the response or failure that it comes from. */
  | {
    readonly type: "failed";
    readonly outcome: NotSent;
    readonly result?: HttpResponse | HttpFailure;
  };

export interface GraphClientOptions {
  readonly http: Pick<HttpClient, "request">;
  readonly authorization: Authorization;
  /** Of the tokens, such as `https://graph.microsoft.com/.default`. */
  readonly scope: string;
  /** Milliseconds for one request. */
  readonly timeout: number;
  /** When the delivery must be over, on the clock's `now`. */
  readonly deadline: number;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Informed of throttling and accepted messages. */
  readonly pace?: Pace;
  /** Once it is aborted, no request is begun. */
  readonly stop?: AbortSignal | undefined;
  /** Notes the time of tokens, requests and pauses. */
  readonly steps?: Steps | undefined;
  /** Milliseconds between two tries at most; if it takes longer, the delivery ends. Default: its deadline. */
  readonly patience?: number | undefined;
  /**
   * Awaited before each request that may send: the reason why it must not, if there is one. It is not
   * interrupted, not even at the deadline: whether the sending is recorded must be known when the delivery ends.
   *
   * @param draft the immutable id of the draft that is sent
   */
  readonly beforeSending?: ((draft?: string) => Promise<NotSent | undefined>) | undefined;
}

/** Slows down when a mailbox is throttled. */
export interface Pace {
  /** @param wait milliseconds, if Graph has said how long */
  throttled(wait: number | undefined): void;
  /** Graph has accepted a message. */
  accepted(): void;
}

/** The requests of one delivery. */
export interface GraphClient {
  request(request: GraphRequest, expected: readonly number[]): Promise<GraphResult>;
  /** Waits between two requests; a stop ends it early. Half of the time is random. */
  pause(milliseconds: number): Promise<void>;
}

/** Milliseconds of the first wait at most, if Graph does not say how long; doubled each time. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8_000;
/** Milliseconds at most by which deliveries with the same Retry-After are spread. */
const LONGEST_SPREAD = 1_000;
/**
 * Milliseconds that must be left to begin a request that sends, or to repeat any. With less, it
 * would most likely be cut off, and a clear result (a refusal, or that nothing was sent) would
 * become ambiguous.
 */
const WORTH_BEGINNING = 500;

export class DeliveryClient implements GraphClient {
  readonly #options: GraphClientOptions;
  readonly #clock: Clock;
  /** Milliseconds that must be left for a first try that sends: fewer if there are few in all. */
  readonly #worthSending: number;
  #attempts = 0;

  constructor(options: GraphClientOptions) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
    this.#worthSending = Math.min(WORTH_BEGINNING, (options.deadline - this.#clock.now()) / 2);
  }

  /** How often a request that sends has been tried. */
  get attempts(): number {
    return this.#attempts;
  }

  async request(request: GraphRequest, expected: readonly number[]): Promise<GraphResult> {
    const { http, authorization, scope, timeout, deadline, pace, stop, beforeSending, steps } =
      this.#options;
    const { method, url, body, authorized, submits, draft } = request;
    const clock = this.#clock;
    /** The token that Graph has refused. */
    let refused: AccessToken | undefined;
    /** The result of the last try. */
    let last: Extract<GraphResult, { readonly type: "failed" }> | undefined;
    for (let repeats = 0;; repeats++) {
      if (stop?.aborted) return last ?? STOPPED;
      let headers = request.headers;
      let token: AccessToken | undefined;
      if (authorized) {
        const pending = authorization.token(scope);
        const asked = pending instanceof Promise ? steps?.begin("token") : undefined;
        const got = pending instanceof Promise
          ? await within(pending, deadline - clock.now(), clock, stop)
          : pending;
        asked?.(got !== undefined && "code" in got ? got.code : undefined);
        if (stop?.aborted) return last ?? STOPPED;
        if (got === undefined) return last ?? TOO_LATE;
        // The login was accepted before; now it is refused, or Entra ID cannot tell.
        if ("type" in got) return { type: "failed", outcome: withoutToken(got) };
        if (got === refused) return last!;
        token = got;
        headers = authorizedFields(token, headers);
      }
      let left = deadline - clock.now();
      if (this.#isTooLate(left, submits)) return last ?? TOO_LATE;
      if (submits && beforeSending !== undefined) {
        const outcome = await beforeSending(draft);
        if (outcome !== undefined) return { type: "failed", outcome };
        if (stop?.aborted) return last ?? STOPPED;
        left = deadline - clock.now();
        if (this.#isTooLate(left, submits)) return last ?? TOO_LATE;
      }

      if (submits) this.#attempts++;
      const time = Math.min(timeout, Math.ceil(left));
      const answered = steps?.begin("request", targetOf(request));
      const result = await http.request(
        body === undefined
          ? { method, url, headers, timeout: time }
          : { method, url, headers, body, timeout: time },
      );
      answered?.(result.type === "response" ? result.status : result.code);
      const response = responseIn(result, submits);
      if (response !== undefined && expected.includes(response.status)) {
        if (submits) {
          if (token !== undefined) authorization.confirm(token);
          pace?.accepted();
        }
        return { type: "response", response };
      }

      const classification = result.type === "failure"
        ? classifyFailure(result, submits)
        : classifyResponse(result, submits, credentialsIn(url, token));
      last = { type: "failed", outcome: outcomeOf(classification), result };
      let asked: number | undefined;
      if (result.type === "response") {
        const { status } = result;
        if (token !== undefined && (status === 401 || status === 403)) {
          authorization.reject(token, status);
        }
        if (status === 429 || status >= 500) asked = retryAfter(result.headers, clock.date());
        if (classification.retry === "later" || asked !== undefined) pace?.throttled(asked);
        // A service that always says 0 says nothing.
        if (asked !== undefined && asked > 0) {
          last = { ...last, outcome: { ...last.outcome, retryAfter: asked } };
        }
      }
      if (classification.retry === undefined) return last;
      if (classification.retry === "newToken") {
        if (token === undefined || refused !== undefined) return last;
        refused = token;
        continue;
      }
      const wait = this.#wait(asked, repeats);
      if (stop?.aborted || clock.now() + wait + WORTH_BEGINNING > deadline) return last;
      if (wait > (this.#options.patience ?? Infinity)) return last;
      const over = steps?.begin("pause");
      await clock.sleep(wait, stop);
      over?.();
    }
  }

  pause(milliseconds: number): Promise<void> {
    // Random, so that requests that failed together are not repeated together.
    const time = milliseconds * (0.5 + this.#clock.random() / 2);
    return this.#clock.sleep(time, this.#options.stop);
  }

  /** @param left milliseconds until the deadline */
  #isTooLate(left: number, submits: boolean): boolean {
    return left <= 0 || submits && left < this.#worthSending;
  }

  /** Milliseconds until the next try. */
  #wait(asked: number | undefined, repeats: number): number {
    const chance = this.#clock.random();
    // A service that always says 0 would be asked without end.
    if (asked !== undefined && asked > 0) {
      return asked + chance * Math.min(asked / 10, LONGEST_SPREAD);
    }
    // Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    return chance * Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** repeats);
  }
}

/** The fields of the last request with each token. */
const lastFields = new WeakMap<AccessToken, AuthorizedFields>();

interface AuthorizedFields {
  /** Without the token. */
  readonly given: GraphRequest["headers"];
  readonly fields: GraphRequest["headers"];
}

/**
 * The fields with the token. The same object while the same is asked for, so that a message costs neither a copy
 * nor a check of the token's octets (see `requestHead`).
 */
function authorizedFields(
  token: AccessToken,
  given: GraphRequest["headers"],
): GraphRequest["headers"] {
  const last = lastFields.get(token);
  if (last?.given === given) return last.fields;
  const fields = { Authorization: `Bearer ${token.value.reveal()}`, ...given };
  lastFields.set(token, { given, fields });
  return fields;
}

/** Ends of paths; that of nearly all messages comes first. */
const ACTIONS = ["/sendMail", "/messages", "/send", "/createUploadSession", "/attachments"];

/** What the request is for. An upload's URL is the service's own, and may hold anything. */
function targetOf({ method, url, authorized }: GraphRequest): string {
  if (!authorized) return `${method} upload`;
  const { pathname } = url;
  const action = ACTIONS.find((one) => pathname.endsWith(one)) ?? "/message";
  return `${method} ${action.slice(1)}`;
}

/** The response; after the head of a 202, a failure of the rest does not matter. */
function responseIn(
  result: HttpResponse | HttpFailure,
  submits: boolean,
): HttpResponse | undefined {
  if (result.type === "response") return result;
  const { status, headers = new Map<string, string>() } = result;
  if (!submits || status !== 202) return undefined;
  return { type: "response", status, headers, body: new Uint8Array(0) };
}

/** Credentials that a service could echo: the token, or the right in an upload URL's query. */
function credentialsIn({ search }: HttpUrl, token: AccessToken | undefined): readonly string[] {
  return token === undefined ? [search.slice(1)] : [token.value.reveal()];
}

function withoutToken({ type, code, detail, credential, reply: ofLogin }: EntraRefusal): NotSent {
  // What an administrator does about the relay's own credential is for the log.
  const text = credential === undefined ? `${code}: ${detail}` : replyText(ofLogin);
  return {
    type,
    reply: type === "later" ? reply(451, "4.7.0", text) : reply(550, "5.7.0", text),
    ambiguous: false,
    code,
    detail,
  };
}

/** The deadline is over or too near to begin, and no request has had a result. */
const TOO_LATE: GraphResult = {
  type: "failed",
  outcome: {
    type: "later",
    reply: reply(451, "4.4.1", "DELIVERY_TIMEOUT: the delivery took too long; nothing was sent"),
    ambiguous: false,
    code: "DELIVERY_TIMEOUT",
    detail: "the delivery took too long; nothing was sent",
    outage: true,
  },
};

/** The relay stopped before a request was begun. */
const STOPPED: GraphResult = { type: "failed", outcome: stopped() };

/** The result of `pending` within `time` milliseconds and before the stop, or undefined. */
function within<T>(
  pending: Promise<T>,
  time: number,
  clock: Clock,
  stop: AbortSignal | undefined,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const giveUp = () => resolve(undefined);
    const cancel = clock.alarm(Math.max(0, time), giveUp);
    stop?.addEventListener("abort", giveUp);
    pending.then(resolve, reject);
    pending.then(end, end);
    function end() {
      cancel();
      stop?.removeEventListener("abort", giveUp);
    }
  });
}
