// Spans in the JSON of OTLP/HTTP: the JSON mapping of Protobuf, with ids in hexadecimal digits.
// https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding and
// https://github.com/open-telemetry/opentelemetry-proto, trace/v1/trace.proto

import { Buffer } from "node:buffer";
import { type Attributes, KINDS, type Span } from "./span.ts";

/** What the spans are of: https://opentelemetry.io/docs/specs/semconv/resource/ */
export interface Resource {
  readonly attributes: Attributes;
  /** The name and the version of what has made the spans. */
  readonly scope: { readonly name: string; readonly version: string };
}

/** `STATUS_CODE_ERROR`. A span without an error has no status. */
const ERROR = 2;
/** W3C's flag `sampled`, and whether it is known if the parent is remote; that it is. */
const SAMPLED = 0x101;
const REMOTE = 0x200;

/** The body of a request to `/v1/traces`. */
export function traceRequest(spans: readonly Span[], { attributes, scope }: Resource): Buffer {
  return Buffer.from(JSON.stringify({
    resourceSpans: [{
      resource: { attributes: keyValues(attributes) },
      scopeSpans: [{ scope, spans: spans.map(spanJson) }],
    }],
  }));
}

function spanJson({ ids, name, kind, start, end, attributes, error }: Span): object {
  return {
    traceId: ids.trace,
    spanId: ids.span,
    ...(ids.parent === undefined ? {} : { parentSpanId: ids.parent }),
    flags: ids.remote ? SAMPLED | REMOTE : SAMPLED,
    name,
    kind: KINDS[kind],
    startTimeUnixNano: nanoseconds(start),
    endTimeUnixNano: nanoseconds(end),
    attributes: keyValues(
      error === undefined ? attributes : { ...attributes, "error.type": error },
    ),
    ...(error === undefined ? {} : { status: { code: ERROR, message: error } }),
  };
}

/** A text: the number is too large for JSON's readers. */
function nanoseconds(milliseconds: number): string {
  const whole = Math.floor(milliseconds);
  return String(BigInt(whole) * 1_000_000n + BigInt(Math.floor((milliseconds - whole) * 1e6)));
}

function keyValues(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value: string | number | boolean): object {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isSafeInteger(value) ? { intValue: value } : { doubleValue: value };
}

/** How many spans the collector has not taken, as its answer says; and why. */
export function partialSuccess(
  body: Uint8Array,
): { rejected: number; message: string } | undefined {
  let answer: unknown;
  try {
    answer = JSON.parse(Buffer.from(body).toString("utf8"));
  } catch {
    // Nothing, or another form: the status has said that it took them.
    return undefined;
  }
  const part = (answer as { partialSuccess?: Record<string, unknown> } | null)?.partialSuccess;
  // A number of 64 bits may be a text.
  const rejected = Number(part?.["rejectedSpans"] ?? 0);
  if (!(rejected > 0)) return undefined;
  const message = part?.["errorMessage"];
  return { rejected, message: typeof message === "string" ? message : "" };
}
