// The systems that are told about mail: the webhook's receiver, and the collector of traces. Mail does not
// depend on them, so nothing here is worse than a warning.

import { Buffer } from "node:buffer";
import type { HttpClient, HttpFailure, HttpRequest, HttpResponse } from "../http/client.ts";
import { tracesUrl } from "../relay/traces.ts";
import type { Settings } from "../settings/schema.ts";
import { type Finding, finding } from "./finding.ts";

export interface WatcherTools {
  readonly http: Pick<HttpClient, "request">;
  /** Milliseconds for one request. */
  readonly timeout: number;
}

/** No event is sent: the receiver would take it for a real one. */
export async function checkWebhook(
  { WEBHOOK_URL: secret }: Pick<Settings, "WEBHOOK_URL">,
  { http, timeout }: WatcherTools,
): Promise<readonly Finding[]> {
  if (secret === undefined) return [];
  const url = new URL(secret.reveal());
  // A method that changes nothing (RFC 9110 §9.2.1); any answer will do.
  const result = await http.request({ method: "OPTIONS", url, headers: {}, timeout });
  return result.status === undefined
    ? [finding("webhook.unreachable", `${url.host}: ${codeOf(result)}`)]
    : [finding("webhook.ok", `${url.host} answers`)];
}

/** Sends a request with no span in it. */
export async function checkTraces(
  settings: Pick<Settings, "OTEL_EXPORTER_OTLP_ENDPOINT" | "OTEL_EXPORTER_OTLP_HEADERS">,
  { http, timeout }: WatcherTools,
): Promise<readonly Finding[]> {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: keys } = settings;
  if (endpoint === undefined) return [];
  const url = tracesUrl(endpoint);
  const body = Buffer.from('{"resourceSpans":[]}');
  const headers: Record<string, string> = { "Content-Type": "application/json" };
  for (const [name, value] of keys ?? []) headers[name] = value.reveal();
  const request: HttpRequest = {
    ...{ method: "POST", url, headers, timeout },
    body: { length: body.length, parts: () => [body] },
  };
  const result = await http.request(request);
  const { status } = result;
  if (status === undefined) {
    return [finding("traces.unreachable", `${url.host}: ${codeOf(result)}`)];
  }
  return status >= 200 && status < 300
    ? [finding("traces.ok", `${url.host} takes spans`)]
    : [finding("traces.refused", `${url.host} answers with status ${status}`)];
}

function codeOf(result: HttpResponse | HttpFailure): string {
  return result.type === "failure" ? `${result.code}: ${result.message}` : "no answer";
}
