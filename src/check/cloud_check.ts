// Whether Entra ID and Graph can be reached, and if not, why. Each gets a request that needs no login.

import { isUntrusted } from "../graph/graph_errors.ts";
import type { HttpClient, HttpFailure, HttpResponse } from "../http/client.ts";
import type { Proxy } from "../runtime/runtime.ts";
import { asBuffer } from "../octets.ts";
import type { ClockReading } from "./clock_findings.ts";
import { type Finding, finding } from "./finding.ts";
import { type Peer, presentedCertificate } from "./presented_certificate.ts";

export type Service = "authority" | "graph";

export interface ServiceTools {
  readonly http: Pick<HttpClient, "request">;
  /** Milliseconds for one request. */
  readonly timeout: number;
  /** The proxy on the way to a service, if there is one. */
  proxyFor(hostname: string, port: number): Proxy | undefined;
}

export interface ServiceResult {
  readonly findings: readonly Finding[];
  /** The service's own clock, where its response has a Date field. */
  readonly clock?: ClockReading;
}

interface Asked {
  readonly path: string;
  /** Whether the response is the service's own, and not a page of a proxy or firewall. */
  own(response: HttpResponse, json: unknown): boolean;
}

const ASKED: Readonly<Record<Service, Asked>> = {
  // OpenID Connect Discovery 1.0 §4, as Entra ID serves it to everybody.
  authority: {
    path: "/common/v2.0/.well-known/openid-configuration",
    own: ({ status }, json) => status === 200 && isObject(json) && "token_endpoint" in json,
  },
  // Answered with 401 and Graph's form of an error (https://learn.microsoft.com/graph/errors).
  graph: {
    path: "/v1.0/me",
    own: (_, json) => isObject(json) && isObject(json["error"]) && "code" in json["error"],
  },
};

/** @param base such as `https://graph.microsoft.com`; a path is for loopback tests */
export async function checkService(
  service: Service,
  base: URL,
  tools: ServiceTools,
): Promise<ServiceResult> {
  const { http, timeout } = tools;
  const { path, own } = ASKED[service];
  const url = new URL(base.href.replace(/(?<!\/)\/+$/, "") + path);
  const begun = performance.now();
  const result = await http.request({
    method: "GET",
    url,
    headers: { Accept: "application/json" },
    timeout,
  });
  const took = performance.now() - begun;
  if (result.type === "failure") {
    const peer = isUntrusted(result) ? await peerAt(url, tools) : undefined;
    return { findings: [judgeFailure(service, url, result, peer)] };
  }
  if (!own(result, parsed(result.body))) {
    const what = `${url.host} answers with status ${result.status}, but not as the service does`;
    return { findings: [finding(`${service}.unexpected`, what)] };
  }
  const clock = readingOf(url, result, took);
  const ok = finding(`${service}.ok`, `${url.host} answers (${Math.round(took)} ms)`);
  return { findings: [ok], ...(clock === undefined ? {} : { clock }) };
}

/**
 * The clock of a service whose responses are judged elsewhere.
 *
 * @returns undefined if it does not answer, or without a Date field
 */
export async function clockAt(
  url: URL,
  { http, timeout }: Pick<ServiceTools, "http" | "timeout">,
): Promise<ClockReading | undefined> {
  const begun = performance.now();
  const result = await http.request({ method: "GET", url, headers: {}, timeout });
  if (result.type === "failure") return undefined;
  return readingOf(url, result, performance.now() - begun);
}

/** @param took milliseconds */
function readingOf(url: URL, { headers }: HttpResponse, took: number): ClockReading | undefined {
  const theirs = Date.parse(headers.get("date") ?? "");
  return Number.isNaN(theirs) ? undefined : { host: url.host, theirs, ours: Date.now(), took };
}

function peerAt(url: URL, { timeout, proxyFor }: ServiceTools): Promise<Peer | undefined> {
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  const port = url.port === "" ? 443 : Number(url.port);
  return presentedCertificate({ hostname, port, proxy: proxyFor(hostname, port), timeout });
}

/** @param peer the certificate that is not trusted, where it could be read */
export function judgeFailure(
  service: Service,
  url: URL,
  failure: HttpFailure,
  peer: Peer | undefined,
  now = Date.now(),
): Finding {
  const { code, message } = failure;
  const where = url.host;
  if (isUntrusted(failure)) {
    if (/ALTNAME|HOSTNAME/.test(code)) {
      const whose = peer === undefined ? "" : ` for "${peer.subject}" from "${peer.issuer}"`;
      return finding(
        `${service}.name`,
        `${where} shows a certificate${whose}: it is for another name`,
      );
    }
    const outOfTime = peer !== undefined && (now >= peer.until || now < peer.from);
    if (outOfTime || /EXPIRED|NOT_YET_VALID/.test(code)) {
      const times = peer === undefined
        ? ""
        : ` (${new Date(peer.from).toISOString()} to ${new Date(peer.until).toISOString()})`;
      const what =
        `the certificate of ${where} is outside its validity period${times}; this machine's clock ` +
        `says ${new Date(now).toISOString()}`;
      return finding(`${service}.expired`, what);
    }
    const issuer = peer === undefined ? "" : ` "${peer.issuer}"`;
    const what = `${where} shows a certificate from an authority${issuer} that is not trusted ` +
      `(${code})`;
    return finding(`${service}.intercepted`, what);
  }
  const what = `${where}: ${code}: ${message}`;
  // The codes of runtime/tunnel.ts; a proxy that does not answer is known by the message.
  if (code.startsWith("PROXY_") || / through the proxy /.test(message)) {
    return finding(`${service}.proxy`, what);
  }
  switch (code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
      return finding(`${service}.dns`, `the name of ${where} cannot be resolved (${code})`);
    case "ECONNREFUSED":
    case "EHOSTUNREACH":
    case "ENETUNREACH":
      return finding(`${service}.refused`, what);
    case "ETIMEDOUT":
      return finding(`${service}.timeout`, what);
    default:
      return finding(`${service}.broken`, what);
  }
}

function parsed(body: Uint8Array): unknown {
  try {
    return JSON.parse(asBuffer(body).toString("utf8"));
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
