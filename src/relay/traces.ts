// Opens the traces: a listener of events with an HTTP client of its own, which outlasts the relay's requests
// when it stops.

import type { Notify } from "../observe/relay_event.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { ExportReport } from "../traces/exporter.ts";
import { listenerClient } from "./http_client.ts";
import type { ListenerParts } from "./listener_parts.ts";
import { serverOf } from "./smtp_services.ts";

export interface OpenTraces {
  readonly notify: Notify;
  /** Sends what it can in little time. */
  close(): Promise<void>;
}

/** Milliseconds that a stop waits for spans. */
const CLOSE_TIME = 2_000;

/** @returns undefined if OTEL_EXPORTER_OTLP_ENDPOINT is not set */
export async function openTraces(parts: ListenerParts): Promise<OpenTraces | undefined> {
  const { settings, runtime, clock } = parts;
  const { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_HEADERS: headers } = settings;
  if (endpoint === undefined) return undefined;
  const { Traces } = await import("../traces/traces.ts");
  const { relayResource } = await import("../traces/resource.ts");
  const http = listenerClient(settings, runtime);
  const { graphEndpoint, authorityHost } = cloudOf(settings);
  const traces = new Traces({
    collector: { url: tracesUrl(endpoint), headers: headers ?? new Map() },
    resource: relayResource(settings.SERVER_HOSTNAME),
    services: {
      graph: graphEndpoint.hostname,
      entra: authorityHost.hostname,
      smtp(backend) {
        const server = serverOf(settings, backend);
        return typeof server === "string" ? undefined : server.hostname;
      },
    },
    http,
    clock,
    report: reportOf(parts),
  });
  return {
    notify: traces.notify,
    async close() {
      await traces.close(CLOSE_TIME);
      http.close();
    },
  };
}

/** https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp */
export function tracesUrl(endpoint: URL): URL {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/traces`;
  return url;
}

function reportOf({ log, metrics, status }: ListenerParts): ExportReport {
  return {
    exported(spans) {
      metrics.count("trace_spans", { result: "exported" }, spans);
      status?.received("Trace collector");
    },
    dropped: (spans) => metrics.count("trace_spans", { result: "dropped" }, spans),
    failed(code, detail) {
      log.warning("Traces do not reach the collector", { code, detail });
      status?.received("Trace collector", { code, detail });
    },
    recovered: () => log.warning("Traces reach the collector again"),
  };
}
