// The trace of one message or login: its SMTP dialogue, and the requests that the relay made for
// it. Without tokens, passwords and bodies.

import type { HttpFailure, HttpRequest, HttpResponse } from "../../http/client.ts";
import type { Dialogue, DialogueLine } from "./dialogue.ts";

/** One request to Entra ID or Graph. */
export interface TracedRequest {
  readonly method: string;
  /** Without the query, which may hold the right to upload. */
  readonly path: string;
  /** Octets of its body. */
  readonly sent: number;
  /** Of the response; before it comes, there is neither this nor `error`. */
  readonly status?: number;
  /** Octets of the response's body. */
  readonly received?: number;
  /** Why there is no response: a code such as `ECONNRESET`. */
  readonly error?: string;
  /** Milliseconds until the response or the error. */
  readonly milliseconds?: number;
}

/** A trace, with the fields of the API. */
export interface ShownTrace {
  /** Empty for a message of another relay. */
  readonly client: string;
  readonly dialogue: readonly DialogueLine[];
  readonly requests: readonly TracedRequest[];
  /** Number of further requests. */
  readonly moreRequests: number;
}

const MAX_REQUESTS = 100;
/** Characters of a path: draft ids are some hundred long. */
const MAX_PATH = 600;

export class Trace {
  readonly #client: string;
  readonly #dialogue: () => readonly DialogueLine[];
  readonly #login: Trace | undefined;
  readonly #requests: TracedRequest[] = [];
  #moreRequests = 0;

  /**
   * @param client its IP address
   * @param login the trace of the login before the message
   */
  constructor(client: string, dialogue: Dialogue | undefined, login?: Trace) {
    this.#client = client;
    this.#dialogue = dialogue?.excerpt() ?? (() => []);
    this.#login = login;
  }

  /** Records a request and, once it has come, its response. */
  async request(
    { method, url, body }: HttpRequest,
    response: Promise<HttpResponse | HttpFailure>,
  ): Promise<void> {
    if (this.#requests.length >= MAX_REQUESTS) return void this.#moreRequests++;
    const begun = performance.now();
    const path = url.pathname.slice(0, MAX_PATH);
    const begin = { method, path, sent: body?.length ?? 0 };
    const at = this.#requests.push(begin) - 1;
    const result = await response;
    const milliseconds = Math.round(performance.now() - begun);
    this.#requests[at] = result.type === "response"
      ? { ...begin, status: result.status, received: result.body.length, milliseconds }
      : { ...begin, error: result.code, milliseconds };
  }

  show(): ShownTrace {
    const before = this.#login === undefined ? [] : this.#login.#requests;
    return {
      client: this.#client,
      dialogue: this.#dialogue(),
      requests: [...before, ...this.#requests],
      moreRequests: this.#moreRequests,
    };
  }
}

/** For a message without a trace. */
export const NO_TRACE: ShownTrace = { client: "", dialogue: [], requests: [], moreRequests: 0 };
