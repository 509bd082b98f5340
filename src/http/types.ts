// The requests and responses of the HTTP client.

/** What a request needs of a URL. */
export type HttpUrl = Readonly<
  Pick<URL, "href" | "origin" | "protocol" | "host" | "hostname" | "port" | "pathname" | "search">
>;

export interface HttpRequest {
  readonly method: string;
  readonly url: HttpUrl;
  /** Header fields besides Host, Content-Length and Connection. Not to be changed: their text is kept. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: RequestBody;
  /** Milliseconds for the whole request, from connecting to the last octet of the response. */
  readonly timeout: number;
  /** Aborts the request: it fails with `ABORTED`. */
  readonly signal?: AbortSignal;
  /** Octets of the response's body that are read at most; the client's own limit when left out. */
  readonly maxResponse?: number;
}

/** A body that is made while it is sent, so that it need not be held in memory a second time. */
export interface RequestBody {
  /** Octets. */
  readonly length: number;
  /** ASCII strings or octets, `length` in sum. Octets are valid until the next part is asked for. */
  parts(): Iterable<string | Uint8Array>;
}

export interface ResponseHead {
  readonly status: number;
  /** Names in lower case; of several fields with one name, the last. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface HttpResponse extends ResponseHead {
  readonly type: "response";
  readonly body: Uint8Array;
}

/** With the response's head, if that had arrived complete and after the whole request was sent. */
export interface HttpFailure extends Partial<ResponseHead> {
  readonly type: "failure";
  /** Whether the service may have seen any of the request. */
  readonly sent: boolean;
  /**
   * Such as `ECONNREFUSED`, `ETIMEDOUT`, `TRUNCATED`, `MALFORMED`, `TOOLONG`, `ABORTED`; `EARLY` for a
   * success that arrived before the whole request was sent, `UNASKED` for a response that arrived
   * before any of it was.
   */
  readonly code: string;
  readonly message: string;
}
