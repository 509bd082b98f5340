// HTTP/1.1 requests (RFC 9112) that are sent once and never again.
//
// A POST that hands a message to Graph must not be repeated by any layer, and it must be known
// whether any octet of it may have left. The runtimes' own clients promise neither (Deno's resends
// a POST when a kept-alive connection breaks, Bun's stops at 256 requests at once), so this is the
// small part of HTTP that the relay needs, the same on both: keep-alive, no redirects, no content
// coding, answers read to a bound.

import { connect as connectTcp, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { AnswerReader } from "./answer_reader.ts";

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  /** Header fields besides Host, Content-Length and Connection. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Milliseconds for all of it, from connecting to the last octet of the answer. */
  readonly timeout: number;
}

/** A body that is made while it is sent, so that it need not be held a second time. */
export interface RequestBody {
  /** Octets. */
  readonly length: number;
  /** ASCII strings or octets, `length` in sum. */
  parts(): Iterable<string | Uint8Array>;
}

export interface HttpAnswer {
  readonly type: "answer";
  readonly status: number;
  /** Names in lower case; of several fields with one name, the last. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

export interface HttpFailure {
  readonly type: "failure";
  /** Whether the service may have seen any of the request. */
  readonly sent: boolean;
  /** Such as `ECONNREFUSED`, `ETIMEDOUT`, `TRUNCATED`, `MALFORMED`. */
  readonly code: string;
  readonly message: string;
}

export interface HttpClientOptions {
  /** Octets of an answer's body that are read at most; 1 MiB when left out. */
  readonly maxAnswer?: number;
  /** Milliseconds that an unused connection is kept; services close theirs after a minute or more. */
  readonly keepAlive?: number;
  /** Unused connections kept for one service. */
  readonly maxIdle?: number;
}

const DEFAULTS = { maxAnswer: 1024 * 1024, keepAlive: 20_000, maxIdle: 256 };

/** A pool of connections, one request on each at a time. */
export class HttpClient {
  readonly #options: Required<HttpClientOptions>;
  readonly #idle = new Map<string, Exchange[]>();
  #closed = false;

  constructor(options: HttpClientOptions = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Sends a request once. Trouble is a value: see {@link HttpFailure}. */
  request(request: HttpRequest): Promise<HttpAnswer | HttpFailure> {
    const { url } = request;
    const exchanges = this.#idle.get(url.origin);
    // The most recently used connection is the least likely to be closed by the other side.
    const exchange = exchanges?.pop() ??
      new Exchange(url, this.#options.maxAnswer, {
        reusable: (free) => this.#keep(url.origin, free),
        gone: (free) => this.#forget(url.origin, free),
      });
    return exchange.run(request, this.#options.keepAlive);
  }

  /** Closes the unused connections, and those in use as soon as they are done. */
  close(): void {
    this.#closed = true;
    for (const exchanges of this.#idle.values()) {
      for (const exchange of exchanges.splice(0)) exchange.destroy();
    }
  }

  #keep(origin: string, exchange: Exchange): void {
    let exchanges = this.#idle.get(origin);
    if (exchanges === undefined) this.#idle.set(origin, exchanges = []);
    if (this.#closed || exchanges.length >= this.#options.maxIdle) exchange.destroy();
    else exchanges.push(exchange);
  }

  #forget(origin: string, exchange: Exchange): void {
    const exchanges = this.#idle.get(origin);
    const index = exchanges?.lastIndexOf(exchange) ?? -1;
    if (index >= 0) exchanges!.splice(index, 1);
  }
}

interface Owner {
  reusable(exchange: Exchange): void;
  gone(exchange: Exchange): void;
}

interface Running {
  readonly reader: AnswerReader;
  readonly resolve: (result: HttpAnswer | HttpFailure) => void;
  readonly request: HttpRequest;
  readonly keepAlive: number;
  rest: Iterator<string | Uint8Array> | undefined;
}

/** One connection with at most one request on it. */
class Exchange {
  readonly #socket: Socket;
  readonly #maxAnswer: number;
  readonly #owner: Owner;
  #running: Running | undefined;
  #connected = false;
  /** Whether any octet of the running request has been given to the socket. */
  #sent = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(url: URL, maxAnswer: number, owner: Owner) {
    this.#maxAnswer = maxAnswer;
    this.#owner = owner;
    const host = url.hostname.replace(/^\[|\]$/g, "");
    const secure = url.protocol === "https:";
    const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
    this.#socket = secure
      ? connectTls({
        host,
        port,
        ALPNProtocols: ["http/1.1"],
        // An address is no name to ask for (RFC 6066 §3), but it is checked against the certificate.
        ...(isIP(host) ? {} : { servername: host }),
      })
      : connectTcp({ host, port });
    this.#socket.setNoDelay(true);
    this.#socket.on(secure ? "secureConnect" : "connect", () => {
      this.#connected = true;
      this.#send();
    });
    this.#socket.on("data", (octets: Uint8Array) => this.#received(octets));
    this.#socket.on("drain", () => this.#sendRest());
    this.#socket.on("end", () => this.#ended());
    this.#socket.on("error", (error: NodeJS.ErrnoException) => this.#broken(error));
    this.#socket.on("close", () => this.#ended());
  }

  run(request: HttpRequest, keepAlive: number): Promise<HttpAnswer | HttpFailure> {
    return new Promise((resolve) => {
      const reader = new AnswerReader(this.#maxAnswer, request.method);
      this.#running = { reader, resolve, request, keepAlive, rest: undefined };
      this.#sent = false;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => {
        const step = this.#connected ? "answer" : "connection";
        this.#fail("ETIMEDOUT", `no ${step} within ${request.timeout / 1000} s`);
      }, request.timeout);
      if (this.#connected) this.#send();
    });
  }

  destroy(): void {
    clearTimeout(this.#timer);
    // At once: the socket's own `close` comes later, and a request could be put on it meanwhile.
    this.#owner.gone(this);
    this.#socket.destroy();
  }

  #send(): void {
    const running = this.#running;
    if (running === undefined) return;
    const { method, url, headers, body } = running.request;
    let head = `${method} ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n`;
    for (const name in headers) head += `${name}: ${fieldValue(headers[name]!)}\r\n`;
    if (body !== undefined) head += `Content-Length: ${body.length}\r\n`;
    head += "\r\n";
    this.#sent = true;
    if (body === undefined) {
      this.#socket.write(head, "latin1");
      return;
    }
    running.rest = body.parts()[Symbol.iterator]();
    const first = running.rest.next();
    // Most bodies are one part: head and body then leave in one piece.
    if (first.done !== true && typeof first.value === "string") head += first.value;
    let writable = this.#socket.write(head, "latin1");
    if (first.done !== true && typeof first.value !== "string") {
      writable = this.#socket.write(first.value);
    }
    if (writable) this.#sendRest();
  }

  #sendRest(): void {
    const rest = this.#running?.rest;
    if (rest === undefined) return;
    for (;;) {
      const part = rest.next();
      if (part.done === true) {
        this.#running!.rest = undefined;
        return;
      }
      const writable = typeof part.value === "string"
        ? this.#socket.write(part.value, "latin1")
        : this.#socket.write(part.value);
      if (!writable) return;
    }
  }

  #received(octets: Uint8Array): void {
    const running = this.#running;
    // Octets that nobody asked for: the connection cannot be trusted with another request.
    if (running === undefined) return this.destroy();
    const progress = running.reader.push(octets);
    if (progress === "malformed") return this.#fail("MALFORMED", "the answer is not HTTP");
    if (progress === "tooLong") return this.#fail("TOOLONG", "the answer is too long");
    if (progress === "complete") this.#complete(running);
  }

  #complete(running: Running): void {
    const { reader } = running;
    clearTimeout(this.#timer);
    this.#running = undefined;
    // An answer that came before all of the request had left ends the connection (RFC 9112 §9.6).
    if (reader.reusable && running.rest === undefined && this.#socket.writable) {
      this.#timer = setTimeout(() => this.destroy(), running.keepAlive);
      this.#owner.reusable(this);
    } else {
      this.#socket.destroy();
    }
    running.resolve(reader.answer());
  }

  #ended(): void {
    const running = this.#running;
    if (running !== undefined) {
      if (running.reader.end()) this.#complete(running);
      else if (this.#connected) {
        const what = running.reader.begun ? "in the middle of the answer" : "without an answer";
        this.#fail(running.reader.begun ? "TRUNCATED" : "ECONNRESET", `connection closed ${what}`);
      } else this.#fail("ECONNRESET", "connection closed while connecting");
    }
    this.destroy();
  }

  #broken(error: NodeJS.ErrnoException): void {
    this.#fail(error.code ?? "EUNKNOWN", error.message);
    this.destroy();
  }

  #fail(code: string, message: string): void {
    clearTimeout(this.#timer);
    const running = this.#running;
    this.#running = undefined;
    this.#socket.destroy();
    running?.resolve({ type: "failure", sent: this.#sent, code, message });
  }
}

// deno-lint-ignore no-control-regex -- RFC 9110 §5.5 forbids these three
const FORBIDDEN = /[\r\n\x00]/;

/** A field value cannot end its line: whatever is in it stays in it. */
function fieldValue(value: string): string {
  return FORBIDDEN.test(value) ? value.replace(/\s|\0/g, " ") : value;
}
