/** An OTLP collector on the loopback: what it takes, by span, and answers that a test hands it. */
import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { ServerCertificate } from "../support/authority.ts";

/** A span as it came. */
export interface CollectedSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly flags: number;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: Readonly<Record<string, unknown>>;
  readonly status?: { readonly code: number; readonly message: string };
  /** Attributes of its resource. */
  readonly resource: Readonly<Record<string, unknown>>;
}

export interface Collector {
  /** Without a slash at the end. */
  readonly url: string;
  readonly spans: readonly CollectedSpan[];
  /** Each request, whatever its answer: its path, its header and how many spans it has. */
  readonly requests: readonly CollectorRequest[];
  /** Answers the next requests, one each, in place of taking their spans. */
  answers: ((response: ServerResponse) => void)[];
  /** The spans with this name. */
  named(name: string): readonly CollectedSpan[];
  close(): Promise<void>;
}

export interface CollectorRequest {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly spans: number;
}

/** @param identity with one, it speaks https */
export async function startCollector(identity?: ServerCertificate): Promise<Collector> {
  const spans: CollectedSpan[] = [];
  const requests: CollectorRequest[] = [];
  const collector = {
    url: "",
    spans,
    requests,
    answers: [] as Collector["answers"],
    named: (name: string) => spans.filter((span) => span.name === name),
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    let body = "";
    for await (const piece of request.setEncoding("utf8")) body += piece;
    const sent = spansIn(JSON.parse(body));
    const { url: path = "", headers } = request;
    requests.push({ path, headers, spans: sent.length });
    const other = collector.answers.shift();
    if (other !== undefined) return other(response);
    spans.push(...sent);
    response.writeHead(200, { "content-type": "application/json" }).end("{}");
  };
  const server = identity === undefined
    ? createServer(answer)
    : createTlsServer({ cert: identity.certificate, key: identity.privateKey }, answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  collector.url = `${identity === undefined ? "http" : "https"}://127.0.0.1:${
    (server.address() as AddressInfo).port
  }`;
  return collector;
}

/** An answer with this status. */
export function status(code: number, headers: Record<string, string> = {}, body = "") {
  return (response: ServerResponse) => void response.writeHead(code, headers).end(body);
}

interface KeyValue {
  readonly key: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The spans of a request's body, in the form that opentelemetry-proto 1.x and its JSON mapping ask for. */
export function spansIn(body: unknown): CollectedSpan[] {
  const { resourceSpans } = body as {
    resourceSpans: {
      resource: { attributes: KeyValue[] };
      scopeSpans: {
        scope: { name: string };
        spans: (Omit<CollectedSpan, "attributes"> & {
          attributes: KeyValue[];
        })[];
      }[];
    }[];
  };
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => {
        assert.match(span.traceId, /^(?!0{32})[0-9a-f]{32}$/);
        assert.match(span.spanId, /^(?!0{16})[0-9a-f]{16}$/);
        if (span.parentSpanId !== undefined) assert.match(span.parentSpanId, /^[0-9a-f]{16}$/);
        assert.match(span.startTimeUnixNano, /^\d{19}$/);
        assert(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano), span.name);
        return {
          ...span,
          attributes: valuesOf(span.attributes),
          resource: valuesOf(resource.attributes),
        };
      })
    )
  );
}

function valuesOf(attributes: readonly KeyValue[]): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({ key, value }) => {
    const [[kind, content] = [], ...others] = Object.entries(value);
    assert.deepEqual(others, []);
    assert.match(kind!, /^(?:string|bool|int|double)Value$/);
    return [key, content];
  }));
}
