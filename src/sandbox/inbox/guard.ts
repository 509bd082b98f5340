/**
 * Keeps other web sites out of the sandbox. It listens on the loopback, where every page that the
 * developer's browser has open can send requests: a name that its owner points at 127.0.0.1 (DNS
 * rebinding) shows in Host, a request from another page (CSRF) in Origin and Sec-Fetch-Site
 * (RFC 6454, W3C Fetch Metadata).
 */
import type { MiddlewareHandler } from "hono";

const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?$/;
/** An address is nobody's name: no web site can have it and point it elsewhere. */
const ADDRESS = /^(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])(?::\d{1,5})?$/;

/**
 * Refuses, with 403 and a line of JSON that says why, what does not come from the inbox's own page
 * or from a program.
 *
 * @param allowedHosts hosts besides the loopback's, `name` (any port) or `name:port`.
 * @throws TypeError if one of them can be no Host header.
 */
export function ownSiteOnly(allowedHosts: readonly string[] = []): MiddlewareHandler {
  return guard(LOOPBACK, allowedHosts);
}

/**
 * The same for the imitated services, which programs use and no page: a relay may reach them by any
 * address that the machine has, but by a name only if it is known.
 *
 * @param allowedHosts as for {@link ownSiteOnly}
 * @throws TypeError likewise
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
    // Programs of the same process (and tests) call without a Host header: the URL has it.
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

/** Whether an Origin header names the host that the Host header does, port included. */
function sameHost(origin: string, host: string): boolean {
  const parts = /^(https?:)\/\/([^/?#]+)$/i.exec(origin);
  if (parts === null) return false; // also "null", the origin of sandboxed documents
  const scheme = (parts[1] ?? "").toLowerCase();
  const named = normalHost(scheme, parts[2] ?? "");
  return named !== undefined && named === normalHost(scheme, host);
}

/** Lower case and without the scheme's own port, or undefined if it is no host at all. */
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
