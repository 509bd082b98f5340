// Which connections go through the proxy: all that are encrypted, but for those that are exempt.

import type { Connect, Proxy } from "../runtime/runtime.ts";
import { connectThrough } from "../runtime/tunnel.ts";

/**
 * A way to connect that takes the proxy where it should. What is not encrypted never does: it stays
 * on this machine (http is for loopback addresses), or on its link (Azure's metadata service).
 *
 * @param connect for the others
 * @param exempt whether a service is to be reached without the proxy
 */
export function proxied(
  connect: Connect,
  proxy: Proxy,
  exempt: (hostname: string, port: number) => boolean,
): Connect {
  return (options, handler) => {
    const { hostname, port, tls } = options;
    if (tls === undefined || exempt(hostname, port)) return connect(options, handler);
    return connectThrough(proxy, { hostname, port, tls }, handler);
  };
}
