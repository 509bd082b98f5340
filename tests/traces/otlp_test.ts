/** The body of a request, against the serializer of OpenTelemetry's own SDK; and a collector's answer. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { partialSuccess, traceRequest } from "../../src/traces/otlp.ts";
import { relayResource } from "../../src/traces/resource.ts";
import type { Span } from "../../src/traces/span.ts";

const TRACE = "5b8efff798038103d269b633813fc60c";
const START = Date.UTC(2026, 10, 5, 6, 7, 8);
const SPANS: readonly Span[] = [
  {
    ids: { trace: TRACE, span: "eee19b7ec3c1b174" },
    name: "SMTP session",
    kind: "server",
    start: START,
    end: START + 1500,
    attributes: { "client.address": "2001:db8::7", "smtp_oauth_relay.messages": 2 },
  },
  {
    ids: { trace: TRACE, span: "eee19b7ec3c1b173", parent: "eee19b7ec3c1b174" },
    name: "message",
    kind: "producer",
    start: START + 0.25,
    end: START + 1499.5,
    attributes: {
      "smtp_oauth_relay.trusted": true,
      "smtp_oauth_relay.sender": 'ä"\\\u2028<b>@x.test',
    },
  },
  {
    ids: { trace: TRACE, span: "eee19b7ec3c1b172", parent: "eee19b7ec3c1b173", remote: true },
    name: "queue try",
    kind: "consumer",
    start: START + 2000,
    end: START + 2000,
    attributes: { ratio: 0.5 },
    error: "ErrorX",
  },
];
const RESOURCE = relayResource("relay.example.com");
const body = () => JSON.parse(traceRequest(SPANS, RESOURCE).toString("utf8"));

/** What the SDK would send for the same spans. */
function official(): unknown {
  type Spans = Parameters<typeof JsonTraceSerializer.serializeRequest>[0];
  const resource = { attributes: RESOURCE.attributes };
  // `SpanKind` of the API begins at `internal`, 0.
  const kinds = ["internal", "server", "client", "producer", "consumer"];
  const spans = SPANS.map(({ ids, name, kind, start, end, attributes, error }) => ({
    ...{ name, resource, instrumentationScope: RESOURCE.scope },
    kind: kinds.indexOf(kind),
    spanContext: () => ({ traceId: ids.trace, spanId: ids.span, traceFlags: 1 }),
    parentSpanContext: ids.parent === undefined
      ? undefined
      : { traceId: ids.trace, spanId: ids.parent, traceFlags: 1, isRemote: ids.remote },
    startTime: hrTime(start),
    endTime: hrTime(end),
    attributes: error === undefined ? attributes : { ...attributes, "error.type": error },
    status: error === undefined ? { code: 0 } : { code: 2, message: error },
    ...{ events: [], links: [] },
    ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
  }));
  const octets = JsonTraceSerializer.serializeRequest(spans as unknown as Spans)!;
  return withoutDefaults(JSON.parse(Buffer.from(octets).toString("utf8")));
}

/** Seconds and nanoseconds. */
function hrTime(milliseconds: number): [number, number] {
  return [Math.floor(milliseconds / 1000), (milliseconds % 1000) * 1e6];
}

/** Without the fields that have Protobuf's default, which are the same left out. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== "object" || value === null) return value;
  const isDefault = (field: unknown) =>
    field === 0 || Array.isArray(field) && field.length === 0 ||
    JSON.stringify(field) === '{"code":0}';
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => !isDefault(field))
      .map(([name, field]) => [name, withoutDefaults(field)]),
  );
}

describe("the body of a request", () => {
  it("is what OpenTelemetry's SDK makes of the same spans", () => {
    assert.deepEqual(body(), official());
  });

  it("has 19 digits of nanoseconds without a loss", () => {
    const [, message] = body().resourceSpans[0].scopeSpans[0].spans;
    assert.equal(message.startTimeUnixNano, `${START}250000`);
    assert.equal(message.endTimeUnixNano, `${START + 1499}500000`);
  });

  it("names the relay, its version and its host, and this start of it", () => {
    const { attributes } = RESOURCE;
    assert.equal(attributes["service.name"], "smtp-oauth-relay");
    assert.match(String(attributes["service.version"]), /^\d+\.\d+\.\d+$/);
    assert.equal(attributes["host.name"], "relay.example.com");
    const other = relayResource("relay.example.com").attributes;
    assert.notEqual(attributes["service.instance.id"], other["service.instance.id"]);
  });
});

describe("a collector's answer", () => {
  const answer = (text: string) => partialSuccess(Buffer.from(text));

  it("may reject some spans, whose number is a text or a number", () => {
    const partial = (spans: unknown) =>
      answer(JSON.stringify({ partialSuccess: { rejectedSpans: spans, errorMessage: "why" } }));
    assert.deepEqual(partial("3"), { rejected: 3, message: "why" });
    assert.deepEqual(partial(3), { rejected: 3, message: "why" });
    assert.equal(partial(0), undefined);
    assert.equal(partial("0"), undefined);
  });

  it("rejects nothing if it is empty or nonsense", () => {
    for (const text of ["", "{}", "null", "[]", '"x"', "{", '{"partialSuccess":null}', "<html>"]) {
      assert.equal(answer(text), undefined, text);
    }
    assert.deepEqual(answer('{"partialSuccess":{"rejectedSpans":"many"}}'), undefined);
  });
});
