// The settings of tracing, as OpenTelemetry defines them: their parsers, and whether they go together.
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/

import { Secret } from "../secret.ts";
import { isLoopback } from "./listen_address.ts";
import type { SettingName, Settings } from "./schema.ts";
import type { Parser } from "./setting.ts";

/** `http` to any host is allowed: collectors inside a cluster rarely have a certificate. */
export const collectorUrl: Parser<URL> = {
  allowed:
    "an http or https URL without user, password and query, and without /v1/traces at its end",
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol)) return undefined;
    if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
      return undefined;
    }
    return /\/v1\/traces\/*$/.test(url.pathname) ? undefined : url;
  },
  meant: (text) => /^(https?:\/\/\S+?)\/+v1\/traces\/*$/i.exec(text.trim())?.[1],
};

/** Fields that the request has already. */
const OWN = /^(?:host|connection|content-.*|transfer-encoding|user-agent)$/i;

/** Header fields by name; as W3C Baggage, so that values may have percent signs for other characters. */
export const collectorHeaders: Parser<ReadonlyMap<string, Secret>> = {
  allowed: 'header fields of the form "name=value", with commas between them',
  parse(text) {
    const fields = new Map<string, Secret>();
    for (const entry of text.split(",")) {
      const [, name = "", encoded = ""] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(.*?)\s*$/.exec(entry) ??
        [];
      const value = decoded(encoded);
      if (name === "" || OWN.test(name) || value === undefined) return undefined;
      fields.set(name, new Secret(value));
    }
    return fields;
  },
};

/** @returns undefined if it cannot be the value of a header field */
function decoded(text: string): string | undefined {
  try {
    const value = decodeURIComponent(text);
    return /^[\x20-\x7e]+$/.test(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** @param valid whether these settings have values that can be judged */
export function traceProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
): string[] {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_EXPORTER_OTLP_HEADERS: headers } = settings;
  const isJudged = valid("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS");
  if (!isJudged || url === undefined || headers === undefined) return [];
  if (url.protocol === "https:" || isLoopback(url.hostname)) return [];
  return [
    "OTEL_EXPORTER_OTLP_HEADERS needs an https URL in OTEL_EXPORTER_OTLP_ENDPOINT: a key must not " +
    "cross the network in plain text",
  ];
}

/** @param given the settings that have a value of their own */
export function traceDoubts(settings: Settings, given: ReadonlySet<SettingName>): string[] {
  const { OTEL_EXPORTER_OTLP_ENDPOINT: url } = settings;
  if (url === undefined) {
    if (!given.has("OTEL_EXPORTER_OTLP_HEADERS")) return [];
    return ["OTEL_EXPORTER_OTLP_HEADERS has no effect without OTEL_EXPORTER_OTLP_ENDPOINT"];
  }
  if (url.port !== "4317") return [];
  return [
    "OTEL_EXPORTER_OTLP_ENDPOINT has the usual port of OTLP/gRPC, which the relay does not speak: " +
    "OTLP/HTTP is mostly on 4318",
  ];
}
