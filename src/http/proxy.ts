// Which connections go through the proxy: all TLS connections, except to exempt services.

import type { Connect, Proxy } from "../runtime/runtime.ts";
import { connectThrough } from "../runtime/tunnel.ts";

/**
 * Connects through the proxy, or directly. Plain connections are always direct: they stay on this
 * machine (http is for loopback addresses), on its link (Azure's metadata service) or in its network (a
 * collector of traces).
 *
 * @param connect makes the direct connections
 * @param exempt whether a service is reached without the proxy
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
