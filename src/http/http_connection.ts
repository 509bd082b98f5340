// One connection to a service, with at most one request on it at a time (RFC 9112 §9.3).

import type { Clock } from "../clock.ts";
import type { Connect, Outbound, OutboundHandler, ServiceTrust } from "../runtime/runtime.ts";
import { serviceCode, serviceWords } from "../service_text.ts";
import type { Timed } from "./deadlines.ts";
import { requestHead } from "./request_head.ts";
import { ResponseReader } from "./response_reader.ts";
import type { HttpFailure, HttpRequest, HttpResponse, HttpUrl } from "./types.ts";

export interface ConnectionSettings {
  readonly connect: Connect;
  readonly trust: ServiceTrust;
  /** Octets of a response's body that are read at most. */
  readonly maxResponse: number;
  /** Milliseconds that an unused connection is kept. */
  readonly keepAlive: number;
  readonly clock: Pick<Clock, "now">;
}

/** The pool that a connection belongs to. */
export interface ConnectionPool {
  /** The connection's deadline has been set. */
  waiting(connection: HttpConnection): void;
  /** It is connected and has a request, which {@link HttpConnection.sendRequest} sends. */
  ready(connection: HttpConnection): void;
  /** It is free for another request. */
  reusable(connection: HttpConnection): void;
  /** It can carry no more requests. */
  gone(connection: HttpConnection): void;
}

/** Failure codes are shown in log lines and replies, so their spelling stays. */
const UNSOLICITED_RESPONSE = "UNASKED";
const EARLY_RESPONSE = "EARLY";

interface Running {
  readonly reader: ResponseReader;
  readonly resolve: (result: HttpResponse | HttpFailure) => void;
  readonly reject: (bug: unknown) => void;
  readonly request: HttpRequest;
  /**
   * The unsent parts of the body. After the last part it stays set until the connection has room
   * again, though the service may have read everything by then; {@link fullySent} tells.
   */
  unsent: Iterator<string | Uint8Array> | undefined;
  /** What {@link fullySent} has found. */
  fullySent?: boolean;
  /** Listens to the request's signal; removed when the request ends. */
  readonly abort: (() => void) | undefined;
}

export class HttpConnection implements OutboundHandler, Timed {
  readonly origin: string;
  deadline = Infinity;
  readonly #settings: ConnectionSettings;
  readonly #pool: ConnectionPool;
  readonly #socket: Outbound;
  #running: Running | undefined;
  #connected = false;
  #gone = false;
  /** Whether any octet of the running request has been given to the socket. */
  #sent = false;

  constructor(url: HttpUrl, settings: ConnectionSettings, pool: ConnectionPool) {
    this.origin = url.origin;
    this.#settings = settings;
    this.#pool = pool;
    const secure = url.protocol === "https:";
    this.#socket = settings.connect({
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (secure ? 443 : 80) : Number(url.port),
      ...(secure ? { tls: settings.trust } : {}),
    }, this);
  }

  run(request: HttpRequest): Promise<HttpResponse | HttpFailure> {
    return new Promise((resolve, reject) => {
      const maxResponse = request.maxResponse ?? this.#settings.maxResponse;
      const reader = new ResponseReader(maxResponse, request.method);
      const abort = request.signal === undefined ? undefined : () => this.abort();
      if (abort !== undefined) request.signal!.addEventListener("abort", abort);
      this.#running = { reader, resolve, reject, request, unsent: undefined, abort };
      this.#sent = false;
      this.deadline = this.#settings.clock.now() + request.timeout;
      this.#pool.waiting(this);
      if (this.#connected) this.#pool.ready(this);
    });
  }

  /** Sends the request announced by {@link ConnectionPool.ready}, unless it has ended meanwhile. */
  sendRequest(): void {
    const running = this.#running;
    if (running !== undefined && !this.#sent) this.#write(running, () => this.#send(running));
  }

  connected(): void {
    this.#connected = true;
    this.sendRequest();
  }

  data(octets: Uint8Array): void {
    const running = this.#running;
    // Octets that no request asked for: the connection cannot be trusted with another one.
    if (running === undefined) return this.destroy();
    // The request has not been sent, so this is no response to it: perhaps to the one before.
    if (!this.#sent) {
      return this.#fail(UNSOLICITED_RESPONSE, "the service spoke before it was asked");
    }
    const progress = running.reader.push(octets);
    if (progress === "malformed") this.#fail("MALFORMED", malformed(running.reader));
    else if (progress === "tooLong") this.#fail("TOOLONG", "the answer is too long");
    else if (progress === "complete") this.#complete(running);
  }

  drained(): void {
    const running = this.#running;
    if (running?.unsent !== undefined) this.#write(running, () => this.#sendUnsent(running));
  }

  closed(error?: Error): void {
    const running = this.#running;
    if (running?.reader.end()) return this.#complete(running);
    // The message can quote a certificate's names, which come from a stranger.
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

  /** Ends the running request, if there is one, and the connection. */
  abort(): void {
    this.#fail("ABORTED", "given up by the relay");
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#pool.gone(this);
    this.#socket.destroy();
  }

  /** A body that cannot be made ends its own request, and no other. */
  #write(running: Running, write: () => void): void {
    try {
      write();
    } catch (bug) {
      this.#finish(running);
      this.destroy();
      running.reject(bug);
    }
  }

  #send(running: Running): void {
    const { body } = running.request;
    const head = requestHead(running.request);
    this.#sent = true;
    if (body === undefined) {
      this.#socket.write(head);
      return;
    }
    const unsent = running.unsent = body.parts()[Symbol.iterator]();
    // Most bodies have one part: then head and body are written together.
    const first = unsent.next();
    if (this.#socket.write(head, first.done === true ? undefined : first.value)) {
      this.#sendUnsent(running);
    }
  }

  #sendUnsent(running: Running): void {
    const unsent = running.unsent!;
    for (;;) {
      const part = unsent.next();
      if (part.done === true) {
        running.unsent = undefined;
        return;
      }
      if (!this.#socket.write(part.value)) return;
    }
  }

  #complete(running: Running): void {
    const { reader } = running;
    const response = reader.response();
    const success = response.status >= 200 && response.status < 300;
    // The service cannot have accepted what was not sent: such a success is not about this request.
    if (success && !fullySent(running)) {
      const message = `status ${response.status} before all of the request had left`;
      return this.#fail(EARLY_RESPONSE, message);
    }
    this.#finish(running);
    // A response that came before the whole request was sent ends the connection (RFC 9112 §9.6).
    if (reader.reusable && (running.fullySent ?? running.unsent === undefined)) {
      this.deadline = this.#settings.clock.now() + this.#settings.keepAlive;
      this.#pool.waiting(this);
      this.#pool.reusable(this);
    } else {
      this.destroy();
    }
    running.resolve(response);
  }

  /** Comes before `resolve`: the connection may carry the next request before the caller runs. */
  #finish({ request, abort }: Running): void {
    this.#running = undefined;
    if (abort !== undefined) request.signal!.removeEventListener("abort", abort);
  }

  #fail(code: string, message: string): void {
    const running = this.#running;
    if (running !== undefined) this.#finish(running);
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
 * Whether the connection has been given the whole request. Finds out by taking one more part, so
 * nothing may be sent afterwards.
 */
function fullySent(running: Running): boolean {
  return running.fullySent ??= running.unsent === undefined || running.unsent.next().done === true;
}

function malformed({ fault, head }: ResponseReader): string {
  const status = head === undefined ? "" : ` with status ${head.status}`;
  return `the answer${status} is not HTTP: ${fault}`;
}

function codeOf(error: Error | undefined): string {
  if (error === undefined) return "ECONNRESET";
  return serviceCode((error as { code?: unknown }).code) ?? "EUNKNOWN";
}
