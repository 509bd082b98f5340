// What is known of the way of one message, or of one login: the SMTP dialogue that it came in, and the
// requests that it became. Never a token, a password or a body.

import type { HttpFailure, HttpRequest, HttpResponse } from "../../http/client.ts";
import type { Dialogue, DialogueLine } from "./dialogue.ts";

/** One request to Entra ID or Graph. */
export interface TracedRequest {
  readonly method: string;
  /** Without the query, which may hold the right to upload. */
  readonly path: string;
  /** Octets of its body. */
  readonly sent: number;
  /** Of the answer; neither this nor `error` is there while it is awaited. */
  readonly status?: number;
  /** Octets of the answer's body. */
  readonly received?: number;
  /** Why there is no answer: a code such as `ECONNRESET`. */
  readonly error?: string;
  /** Milliseconds up to its end. */
  readonly milliseconds?: number;
}

/** A trace in the words of the API. */
export interface ShownTrace {
  /** Empty where the message came by way of another relay. */
  readonly client: string;
  readonly dialogue: readonly DialogueLine[];
  readonly requests: readonly TracedRequest[];
  /** Requests beyond those. */
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
   * @param login the trace of the login that the message was sent by
   */
  constructor(client: string, dialogue: Dialogue | undefined, login?: Trace) {
    this.#client = client;
    this.#dialogue = dialogue?.excerpt() ?? (() => []);
    this.#login = login;
  }

  /** Notes a request and, once it has come, its answer. */
  async request(
    { method, url, body }: HttpRequest,
    answer: Promise<HttpResponse | HttpFailure>,
  ): Promise<void> {
    if (this.#requests.length >= MAX_REQUESTS) return void this.#moreRequests++;
    const begun = performance.now();
    const path = url.pathname.slice(0, MAX_PATH);
    const asked = { method, path, sent: body?.length ?? 0 };
    const at = this.#requests.push(asked) - 1;
    const result = await answer;
    const milliseconds = Math.round(performance.now() - begun);
    this.#requests[at] = result.type === "response"
      ? { ...asked, status: result.status, received: result.body.length, milliseconds }
      : { ...asked, error: result.code, milliseconds };
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

/** Of a message whose way nobody has seen. */
export const NO_TRACE: ShownTrace = { client: "", dialogue: [], requests: [], moreRequests: 0 };
