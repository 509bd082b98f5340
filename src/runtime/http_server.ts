// The interface to an HTTP server, with requests and responses as the Fetch standard has them.

export interface HttpServerOptions {
  /** IP address or name; `::` takes IPv4 too. */
  readonly hostname: string;
  /** 0 for any free port. */
  readonly port: number;
  /** What the address of a request has in place of a missing Host. */
  readonly withoutHost: string;
  respond(request: Request, peer: HttpPeer): Response | Promise<Response>;
}

/** @throws Error with a `code` such as `EADDRINUSE` */
export type ServeHttp = (options: HttpServerOptions) => HttpBound;

/** The client that a request is from. */
export interface HttpPeer {
  /** The client's IP address; empty if it has gone. */
  clientAddress(): string;
}

export interface HttpBound {
  /** All addresses as bound, one at least. */
  readonly addresses: readonly { readonly hostname: string; readonly port: number }[];
  /** Ends open connections too. */
  close(): Promise<void>;
}
