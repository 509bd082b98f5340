// One connection to a service, with at most one request on it at a time (RFC 9112 §9.3).

import type { Connect, Outbound, OutboundHandler, ServiceTrust } from "../runtime/runtime.ts";
import { ResponseReader } from "./response_reader.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "./client.ts";
import type { Timed } from "./deadlines.ts";
import { requestHead } from "./request_head.ts";
import { serviceCode, serviceWords } from "../service_text.ts";

/** The pool that a connection belongs to. */
export interface ConnectionOwner {
  readonly connect: Connect;
  readonly trust: ServiceTrust;
  /** Octets of a response's body that are read at most. */
  readonly maxResponse: number;
  /** Milliseconds that it is kept unused. */
  readonly keepAlive: number;
  /** Its deadline has been set. */
  waiting(connection: HttpConnection): void;
  /** It has a request, and a connection to send it on: {@link HttpConnection.leave} does. */
  ready(connection: HttpConnection): void;
  /** It is free for another request. */
  reusable(connection: HttpConnection): void;
  /** It can carry no more requests. */
  gone(connection: HttpConnection): void;
}

interface Running {
  readonly reader: ResponseReader;
  readonly resolve: (result: HttpResponse | HttpFailure) => void;
  readonly reject: (bug: unknown) => void;
  readonly request: HttpRequest;
  /**
   * What is left of the body. It stays here behind the last part until the connection has room again,
   * though the service may have read all by then: {@link fullySent} knows.
   */
  rest: Iterator<string | Uint8Array> | undefined;
  /** What {@link fullySent} has found out. */
  fullySent?: boolean;
  /** Listens to the request's signal; called no more as soon as the request is over. */
  readonly abort: (() => void) | undefined;
}

export class HttpConnection implements OutboundHandler, Timed {
  readonly origin: string;
  deadline = Infinity;
  readonly #owner: ConnectionOwner;
  readonly #socket: Outbound;
  #running: Running | undefined;
  #connected = false;
  #gone = false;
  /** Whether any octet of the running request has been given to the socket. */
  #sent = false;

  constructor(origin: string, url: URL, owner: ConnectionOwner) {
    this.origin = origin;
    this.#owner = owner;
    const secure = url.protocol === "https:";
    this.#socket = owner.connect({
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      ...(secure ? { tls: owner.trust } : {}),
    }, this);
  }

  run(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    return new Promise((resolve, reject) => {
      const maxResponse = request.maxResponse ?? this.#owner.maxResponse;
      const reader = new ResponseReader(maxResponse, request.method);
      const abort = request.signal === undefined ? undefined : () => this.abort();
      if (abort !== undefined) request.signal!.addEventListener("abort", abort);
      this.#running = { reader, resolve, reject, request, rest: undefined, abort };
      this.#sent = false;
      this.deadline = performance.now() + request.timeout;
      this.#owner.waiting(this);
      if (this.#connected) this.#owner.ready(this);
    });
  }

  /** Sends the request that {@link ConnectionOwner.ready} has been told of, if it still is to be. */
  leave(): void {
    const running = this.#running;
    if (running === undefined || this.#sent) return;
    try {
      this.#send(running);
    } catch (bug) {
      // A body that cannot be made is its own request's end, and nobody else's.
      this.#over(running);
      this.destroy();
      running.reject(bug);
    }
  }

  connected(): void {
    this.#connected = true;
    this.leave();
  }

  data(octets: Uint8Array): void {
    const running = this.#running;
    // Octets that nobody asked for: the connection cannot be trusted with another request.
    if (running === undefined) return this.destroy();
    // A response to a request that has not left is a response to none: perhaps to the one before.
    if (!this.#sent) return this.#fail("UNASKED", "the service spoke before it was asked");
    const progress = running.reader.push(octets);
    if (progress === "malformed") this.#fail("MALFORMED", malformed(running.reader));
    else if (progress === "tooLong") this.#fail("TOOLONG", "the answer is too long");
    else if (progress === "complete") this.#complete(running);
  }

  drained(): void {
    if (this.#running?.rest !== undefined) this.#sendRest(this.#running);
  }

  closed(error?: Error): void {
    const running = this.#running;
    if (running?.reader.end()) return this.#complete(running);
    // A certificate's names can be in it, and they are a stranger's.
    const words = serviceWords(error?.message);
    if (!this.#connected) {
      const message = words ?? "closed by the other side";
      return this.#fail(codeOf(error), `no connection to ${this.origin}: ${message}`);
    }
    if (error !== undefined) return this.#fail(codeOf(error), words ?? "the connection broke");
    const begun = running?.reader.begun === true;
    const what = begun ? "in the middle of the answer" : "without an answer";
    this.#fail(begun ? "TRUNCATED" : "ECONNRESET", `connection closed ${what}`);
  }

  expired(): void {
    const running = this.#running;
    if (running === undefined) return this.destroy();
    const { via } = this.#socket;
    const way = via === undefined ? "" : ` through ${via}`;
    const step = this.#connected ? "answer" : `connection${way}`;
    this.#fail("ETIMEDOUT", `no ${step} within ${running.request.timeout / 1000} s`);
  }

  /** Ends the request that is under way, if there is one, and the connection. */
  abort(): void {
    this.#fail("ABORTED", "given up by the relay");
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#owner.gone(this);
    this.#socket.destroy();
  }

  #send(running: Running): void {
    const { body } = running.request;
    const head = requestHead(running.request);
    this.#sent = true;
    if (body === undefined) {
      this.#socket.write(head);
      return;
    }
    const rest = running.rest = body.parts()[Symbol.iterator]();
    // Most bodies are one part: head and body then leave in one piece.
    const first = rest.next();
    if (this.#socket.write(head, first.done === true ? undefined : first.value)) {
      this.#sendRest(running);
    }
  }

  #sendRest(running: Running): void {
    const rest = running.rest!;
    for (;;) {
      const part = rest.next();
      if (part.done === true) {
        running.rest = undefined;
        return;
      }
      if (!this.#socket.write(part.value)) return;
    }
  }

  #complete(running: Running): void {
    const { reader } = running;
    const response = reader.response();
    const success = response.status >= 200 && response.status < 300;
    // Nobody can have taken what has not left: a success that comes first is not about this request.
    if (success && !fullySent(running)) {
      return this.#fail("EARLY", `status ${response.status} before all of the request had left`);
    }
    this.#over(running);
    // A response that came before all of the request had left ends the connection (RFC 9112 §9.6).
    if (reader.reusable && (running.fullySent ?? running.rest === undefined)) {
      this.deadline = performance.now() + this.#owner.keepAlive;
      this.#owner.waiting(this);
      this.#owner.reusable(this);
    } else {
      this.destroy();
    }
    running.resolve(response);
  }

  /** At once: the connection may carry another request before anybody hears of this one's end. */
  #over({ request, abort }: Running): void {
    this.#running = undefined;
    if (abort !== undefined) request.signal!.removeEventListener("abort", abort);
  }

  #fail(code: string, message: string): void {
    const running = this.#running;
    if (running !== undefined) this.#over(running);
    this.destroy();
    if (running === undefined) return;
    const { head } = running.reader;
    running.resolve({
      type: "failure",
      sent: this.#sent,
      code,
      message,
      ...(head !== undefined && fullySent(running) ? head : {}),
    });
  }
}

/**
 * Whether the connection has been given all of the request. Makes sure of it by asking for one more
 * part, so that nothing may be sent afterwards.
 */
function fullySent(running: Running): boolean {
  return running.fullySent ??= running.rest === undefined || running.rest.next().done === true;
}

function malformed({ fault, head }: ResponseReader): string {
  const status = head === undefined ? "" : ` with status ${head.status}`;
  return `the answer${status} is not HTTP: ${fault}`;
}

function codeOf(error: Error | undefined): string {
  if (error === undefined) return "ECONNRESET";
  return serviceCode((error as { code?: unknown }).code) ?? "EUNKNOWN";
}
