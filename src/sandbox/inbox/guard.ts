/**
 * Keeps other web sites out of the sandbox. It listens on the loopback, where every page that is open in
 * the developer's browser can send requests. Host reveals a foreign name that points at 127.0.0.1 (DNS
 * rebinding); Origin and Sec-Fetch-Site reveal a request from another page (CSRF; RFC 6454, W3C Fetch
 * Metadata).
 */
import type { MiddlewareHandler } from "hono";

const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;
/** IP addresses are safe: no web site can own one and point it elsewhere. */
const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;

/**
 * Refuses requests that come neither from the inbox's own page nor from a program, with 403 and a line of
 * JSON that says why.
 *
 * @param allowedHosts hosts besides the loopback's, `name` (any port) or `name:port`.
 * @throws TypeError if one of them is not valid in a Host header.
 */
export function ownSiteOnly(allowedHosts: readonly string[] = []): MiddlewareHandler {
  return guard(LOOPBACK, allowedHosts);
}

/**
 * The same for the imitated services, which only programs use: a relay may reach them by any address of
 * the machine, but only by known names.
 *
 * @param allowedHosts as for {@link ownSiteOnly}
 * @throws TypeError as for {@link ownSiteOnly}
 */
export function programsOnly(allowedHosts: readonly string[] = []): MiddlewareHandler {
  return guard(new RegExp(`${LOOPBACK.source}|${ADDRESS.source}`), allowedHosts);
}

function guard(always: RegExp, allowedHosts: readonly string[]): MiddlewareHandler {
  const allowed = new Set(allowedHosts.map((host) => host.toLowerCase()));
  for (const host of allowed) {
    if (normalHost("http:", host) === undefined) {
      throw new TypeError(`allowed host ${JSON.stringify(host)}: want "name" or "name:port"`);
    }
  }

  return async (c, next) => {
    // Calls from the same process (and tests) have no Host header; the URL has the host.
    const host = (c.req.header("host") ?? new URL(c.req.url).host).toLowerCase();
    const known = always.test(host) || allowed.has(host) || allowed.has(withoutPort(host));
    if (!known) {
      const shown = JSON.stringify(host.slice(0, 100));
      const error = `Host ${shown} is not the sandbox's: use localhost or 127.0.0.1`;
      return c.json({ error }, 403);
    }
    const origin = c.req.header("origin");
    if (origin !== undefined && !sameHost(origin, host)) {
      const shown = JSON.stringify(origin.slice(0, 100));
      return c.json({ error: `Origin ${shown} is not the sandbox's page` }, 403);
    }
    if (c.req.header("sec-fetch-site")?.toLowerCase() === "cross-site") {
      const error = "the request comes from another web site: type the address instead";
      return c.json({ error }, 403);
    }
    await next();
  };
}

/** Whether Origin names the same host as the Host header, including the port. */
function sameHost(origin: string, host: string): boolean {
  const parts = /^(https?:)\/\/([^/?#]+)$/i.exec(origin);
  if (parts === null) return false; // also "null", the origin of sandboxed documents
  const scheme = (parts[1] ?? "").toLowerCase();
  const named = normalHost(scheme, parts[2] ?? "");
  return named !== undefined && named === normalHost(scheme, host);
}

/** In lower case and without the scheme's default port; undefined if it is not a host. */
function normalHost(scheme: string, host: string): string | undefined {
  if (!/^(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.test(host)) return undefined;
  try {
    return new URL(`${scheme}//${host}`).host;
  } catch {
    return undefined;
  }
}

function withoutPort(host: string): string {
  return host.replace(/:\d+$/, "");
}
