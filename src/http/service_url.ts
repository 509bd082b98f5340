// A service's URL, parsed once for all of its requests.

import type { HttpUrl } from "./types.ts";

const TRAILING_SLASHES = /(?<!\/)\/+$/;

export class ServiceUrl {
  /** Without a slash at the end. */
  readonly href: string;
  readonly #parts: HttpUrl;

  constructor(url: URL) {
    const { origin, protocol, host, hostname, port, search } = url;
    this.href = url.href.replace(TRAILING_SLASHES, "");
    const pathname = url.pathname.replace(TRAILING_SLASHES, "");
    this.#parts = { href: this.href, origin, protocol, host, hostname, port, pathname, search };
  }

  /**
   * A URL below it, whose parts are values: to parse one for each message, and to ask it for each part, took
   * eight texts of their own.
   *
   * @param path encoded, with its slash, and without dot segments (RFC 3986 §3.3)
   */
  at(path: string): HttpUrl {
    const { href, origin, protocol, host, hostname, port, pathname, search } = this.#parts;
    return {
      href: href + path,
      origin,
      protocol,
      host,
      hostname,
      port,
      pathname: pathname + path,
      search,
    };
  }
}
