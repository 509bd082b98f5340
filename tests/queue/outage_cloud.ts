/**
 * Entra ID and Graph on a clock of the test, with Graph's limits for an app and mailbox: 4 requests at a
 * time, 10,000 in 10 minutes (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
 */
import { Buffer } from "node:buffer";
import type { Clock } from "../../src/clock.ts";
import type { HttpFailure, HttpRequest, HttpResponse, RequestBody } from "../../src/http/types.ts";
import { Throttle } from "../../src/sandbox/graph/throttle.ts";
import { jwt } from "../support/tokens.ts";

/** How Graph fails: it cannot be reached, it does not answer, it answers that it cannot work. */
export type Trouble = "refused" | "silent" | "unavailable";

const WINDOW = 600_000;
const IN_WINDOW = 10_000;
/** Milliseconds of an answer. In steps, so that several come in the same moment. */
const LATENCY = [200, 400] as const;

interface Window {
  readonly end: number;
  requests: number;
}

export interface Arrival {
  readonly mailbox: string;
  readonly subject: string;
}

export class OutageCloud {
  readonly #clock: Clock;
  readonly #throttle = new Throttle(4);
  readonly #windows = new Map<string, Window>();
  /** From when until when Graph has asked not to be asked for a mailbox. */
  readonly #asked = new Map<string, { readonly from: number; readonly until: number }>();
  /** What Graph does for a mailbox; undefined: it works. */
  trouble: (mailbox: string) => Trouble | undefined = () => undefined;
  /** Requests of a mailbox that Graph takes in a minute, where that is less than its limits. */
  perMinute: (mailbox: string) => number | undefined = () => undefined;
  arrived: (arrival: Arrival) => void = () => {};
  /** Requests that sent a message, or tried. */
  requests = 0;
  /** Requests for a token. */
  tokens = 0;
  /** Requests that were answered with 429. */
  throttled = 0;
  /** Requests that came although Graph had asked to wait. */
  impatient = 0;
  #answers = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The most requests for one mailbox at a time. */
  get mostOfMailbox(): number {
    return this.#throttle.most;
  }

  /** Requests that were more than four at a time. */
  get tooMany(): number {
    return this.#throttle.refused;
  }

  readonly http = {
    request: (request: HttpRequest): Promise<HttpResponse | HttpFailure> => this.#answer(request),
    abort: () => {},
  };

  /** A token that a client has of its own. */
  static token(client: string, tenant: string): string {
    const exp = Math.floor(Date.now() / 1000) + 10 * 3600;
    return jwt({
      aud: "https://graph.microsoft.com",
      exp,
      tid: tenant,
      appid: client,
      roles: ["Mail.Send"],
    });
  }

  async #answer(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    const { pathname } = request.url;
    if (pathname.endsWith("/token")) return await this.#token(request);
    const [, mailbox] = /^\/v1\.0\/users\/([^/]+)\/sendMail$/.exec(pathname)!;
    return await this.#send(request, decodeURIComponent(mailbox!));
  }

  async #token({ url, body }: HttpRequest): Promise<HttpResponse> {
    this.tokens++;
    const client = new URLSearchParams(textOf(body!)).get("client_id")!;
    await this.#clock.sleep(100);
    const token = OutageCloud.token(client, url.pathname.split("/")[1]!);
    return response(200, { token_type: "Bearer", expires_in: 86_399, access_token: token });
  }

  async #send(request: HttpRequest, mailbox: string): Promise<HttpResponse | HttpFailure> {
    this.requests++;
    const trouble = this.trouble(mailbox);
    if (trouble !== undefined) return await this.#fail(trouble, request);
    const now = this.#clock.now();
    const { from = now, until = now } = this.#asked.get(mailbox) ?? {};
    if (now > from && now < until) this.impatient++;
    const window = this.#window(mailbox);
    window.requests++;
    const limit = this.perMinute(mailbox) ?? IN_WINDOW;
    const leave = window.requests > limit ? undefined : this.#throttle.enter(mailbox);
    if (leave === undefined) {
      this.throttled++;
      const wait = Math.ceil((window.requests > limit ? window.end - now : 1000) / 1000);
      await this.#clock.sleep(50);
      const from = this.#clock.now();
      this.#asked.set(mailbox, { from, until: from + wait * 1000 });
      const error = { code: "ApplicationThrottled" };
      return response(429, { error }, { "retry-after": String(wait) });
    }
    const text = Buffer.from(textOf(request.body!), "base64").toString("latin1");
    const [, subject] = /^Subject: (.*)\r$/m.exec(text)!;
    this.arrived({ mailbox, subject: subject! });
    await this.#clock.sleep(LATENCY[this.#answers++ % LATENCY.length]!);
    leave();
    return response(202, {});
  }

  async #fail(trouble: Trouble, { timeout }: HttpRequest): Promise<HttpResponse | HttpFailure> {
    if (trouble === "unavailable") {
      await this.#clock.sleep(100);
      return response(503, { error: { code: "ServiceUnavailable" } });
    }
    const isSilent = trouble === "silent";
    await this.#clock.sleep(isSilent ? timeout : 10);
    return {
      type: "failure",
      sent: isSilent,
      code: isSilent ? "ETIMEDOUT" : "ECONNREFUSED",
      message: `Graph is ${trouble}`,
    };
  }

  #window(mailbox: string): Window {
    const now = this.#clock.now();
    const length = this.perMinute(mailbox) === undefined ? WINDOW : 60_000;
    let window = this.#windows.get(mailbox);
    if (window === undefined || window.end <= now) {
      window = { end: now + length, requests: 0 };
      this.#windows.set(mailbox, window);
    }
    return window;
  }
}

function response(
  status: number,
  body: object,
  headers: Readonly<Record<string, string>> = {},
): HttpResponse {
  return {
    type: "response",
    status,
    headers: new Map(Object.entries({ "content-type": "application/json", ...headers })),
    body: Buffer.from(JSON.stringify(body)),
  };
}

function textOf(body: RequestBody): string {
  let text = "";
  for (const part of body.parts()) {
    text += typeof part === "string" ? part : Buffer.from(part).toString("latin1");
  }
  return text;
}
