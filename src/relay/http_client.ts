// The HTTP client of all outgoing requests, with the authorities and the proxy of the settings.

import { readAuthorities } from "../certificates/authorities.ts";
import { HttpClient } from "../http/client.ts";
import { proxied } from "../http/proxy.ts";
import type { Connect, Proxy, Runtime } from "../runtime/runtime.ts";
import { isExempt, proxyOf } from "../settings/proxy.ts";
import type { Settings } from "../settings/schema.ts";

export type ProxySettings = Pick<Settings, "HTTPS_PROXY" | "NO_PROXY">;

/** @param authorities those of EXTRA_CA_CERTS_FILEPATH, PEM, one each */
export function outgoingClient(
  settings: ProxySettings,
  { connect }: Pick<Runtime, "connect">,
  authorities: readonly string[],
): HttpClient {
  return new HttpClient({ connect: outgoing(settings, connect), authorities });
}

/** The client of a listener of events. It is made before the relay knows whether its authorities are good. */
export function listenerClient(settings: Settings, runtime: Pick<Runtime, "connect">): HttpClient {
  return outgoingClient(settings, runtime, authoritiesOf(settings));
}

function authoritiesOf(settings: Settings): readonly string[] {
  try {
    return readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH);
  } catch {
    // The relay does not start with them; `openOutside` says why.
    return [];
  }
}

function outgoing(settings: ProxySettings, connect: Connect): Connect {
  const proxy = proxyIn(settings);
  if (proxy === undefined) return connect;
  const exemptions = settings.NO_PROXY?.exemptions ?? [];
  return proxied(connect, proxy, (hostname, port) => isExempt(exemptions, hostname, port));
}

/** The proxy for a service, if there is one. */
export function proxyFor(settings: Settings, hostname: string, port: number): Proxy | undefined {
  return isExempt(settings.NO_PROXY?.exemptions ?? [], hostname, port)
    ? undefined
    : proxyIn(settings);
}

/** The proxy of the settings, if there is one. */
export function proxyIn({ HTTPS_PROXY }: Pick<Settings, "HTTPS_PROXY">): Proxy | undefined {
  return HTTPS_PROXY === undefined ? undefined : proxyOf(HTTPS_PROXY);
}
