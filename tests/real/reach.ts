// The one door to HTTP services: each request is sent once, by the relay's own client. With an imitation,
// the door leads to the loopback alone.

import { Buffer } from "node:buffer";
import { HttpClient } from "../../src/http/client.ts";
import { connectByNode } from "../../src/runtime/node_connect.ts";
import type { Connect } from "../../src/runtime/runtime.ts";
import { isLoopback } from "../../src/settings/listen_address.ts";

export interface Answer {
  /** 0 if there was none; `code` then says why. */
  readonly status: number;
  /** Of Graph's or Entra ID's error; "" without one. */
  readonly code: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  /** An empty object if the body is not JSON. */
  // deno-lint-ignore no-explicit-any
  readonly json: any;
}

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  /** An object, as JSON. */
  readonly json?: object;
}

/** Milliseconds for one request: 4 MB take a while on a slow line. */
const TIMEOUT = 300_000;
/** Octets of a response: a message with its attachments. */
const MAX_RESPONSE = 256 * 1024 * 1024;

export class Reach {
  /** For what makes its requests itself. */
  readonly http: HttpClient;
  /** Hosts that were asked for something. */
  readonly hosts = new Set<string>();
  readonly #loopbackOnly: boolean;

  constructor(loopbackOnly: boolean) {
    this.#loopbackOnly = loopbackOnly;
    const connect: Connect = (options, handler) => {
      this.check(options.hostname);
      return connectByNode(options, handler);
    };
    this.http = new HttpClient({ connect, maxResponse: MAX_RESPONSE });
  }

  /** @throws Error if the host must not be reached */
  check(hostname: string): void {
    this.hosts.add(hostname);
    if (this.#loopbackOnly && !isLoopback(hostname)) {
      throw new Error(`an imitation was given, and ${hostname} is not on the loopback`);
    }
  }

  async ask(url: string | URL, { method = "GET", headers, body, json }: Ask = {}): Promise<Answer> {
    this.check(new URL(url).hostname);
    const text = json === undefined ? body : JSON.stringify(json);
    const octets = text === undefined ? undefined : Buffer.from(text as string);
    const response = await this.http.request({
      method,
      url: new URL(url),
      headers: {
        ...(json === undefined ? {} : { "Content-Type": "application/json" }),
        ...headers,
      },
      ...(octets && { body: { length: octets.length, parts: () => [octets] } }),
      timeout: TIMEOUT,
    });
    if (response.type === "failure") {
      const { code } = response;
      return { status: 0, code, headers: new Map(), body: Buffer.alloc(0), json: {} };
    }
    const answer = Buffer.from(response.body);
    const parsed = parse(answer);
    return {
      status: response.status,
      code: codeIn(parsed),
      headers: response.headers,
      body: answer,
      json: parsed,
    };
  }

  close(): void {
    this.http.close();
  }
}

// deno-lint-ignore no-explicit-any
function parse(body: Buffer): any {
  try {
    return JSON.parse(body.toString("utf8")) ?? {};
  } catch {
    return {};
  }
}

/** Graph's is in an object, Entra ID's is a word and a list of numbers. */
// deno-lint-ignore no-explicit-any
function codeIn({ error, error_codes: numbers }: any): string {
  if (typeof error === "string") return [error, ...(numbers ?? [])].join(" ");
  return typeof error?.code === "string" ? error.code : "";
}

/** In one line: `202`, `413 ErrorX`, `no answer: ECONNRESET`. */
export function shown({ status, code }: Answer): string {
  return status === 0 ? `no answer: ${code}` : `${status} ${code}`.trim();
}
