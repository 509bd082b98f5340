// The spans of an event. Each one is finished when it is made: an event comes at the end of what it tells of.
//
// Names are those of OpenTelemetry's semantic conventions where they have one
// (https://opentelemetry.io/docs/specs/semconv/), otherwise `smtp_oauth_relay.` and the name that the log
// has. Recipients, subjects and what services say in words are in no span: a collector may be a stranger's.

import { randomBytes } from "node:crypto";
import type { BackendName } from "../backend_name.ts";
import type { Outcome } from "../delivery/delivery.ts";
import type { Step } from "../delivery/steps.ts";
import { shortened } from "../observe/fields.ts";
import { accountIds, attemptsOf, mailboxOf, senderOf } from "../observe/message_facts.ts";
import type {
  ConnectionEvent,
  LoginEvent,
  MessageEvent,
  QueueEvent,
  RelayEvent,
} from "../observe/relay_event.ts";
import { failureResult, messageResult } from "../observe/results.ts";
import { lengthOf } from "../smtp/content.ts";
import type { Client } from "../submission/submission_service.ts";
import { type Attributes, type Span, type SpanIds, traceOf } from "./span.ts";

export interface SpanContext {
  /** Milliseconds of Unix time. */
  readonly now: number;
  /** The same by the clock of {@link Step.at}, which does not follow changes of the machine's time. */
  readonly steady: number;
  readonly services: Services;
}

/** The host names of the services. */
export interface Services {
  readonly graph: string;
  readonly entra: string;
  /** Of the server of a back end that is reached by SMTP. */
  readonly smtp?: (backend: BackendName) => string | undefined;
}

/** UTF-16 code units of a text. */
const MAX_TEXT = 256;

export function spansOf(event: RelayEvent, context: SpanContext): readonly Span[] {
  switch (event.type) {
    case "connection":
      return sessionSpans(event, context);
    case "login":
      return loginSpans(event, context);
    case "message":
      return messageSpans(event, context);
    case "queue":
      return trySpans(event, context);
    default:
      return [];
  }
}

function sessionSpans(event: ConnectionEvent, { now }: SpanContext): readonly Span[] {
  const { client, received, messages, milliseconds, reason, handshakeFailed, error } = event;
  // A probe of a load balancer: it connects and leaves.
  if (received === 0 && !handshakeFailed && !error) return [];
  const { trace, session } = traceOf(client.connection, client.address);
  return [{
    ids: { trace, span: session },
    name: "SMTP session",
    kind: "server",
    start: now - milliseconds,
    end: now,
    attributes: {
      ...clientAttributes(client),
      "client.port": client.port,
      "network.peer.address": client.proxy ?? client.address,
      "network.transport": "tcp",
      "network.protocol.name": "smtp",
      ...(client.tls === undefined ? {} : {
        "tls.protocol.name": "tls",
        "tls.protocol.version": client.tls.version.replace(/^TLSv/, ""),
        "tls.cipher": client.tls.cipher,
      }),
      ...own({ messages, received, reason: text(reason) }),
    },
    ...failed(handshakeFailed ? "tls_handshake" : error ? "connection" : undefined),
  }];
}

function loginSpans(event: LoginEvent, context: SpanContext): readonly Span[] {
  const { client, credentials, result, milliseconds, trusted, steps } = event;
  const { trace, session } = traceOf(client.connection, client.address);
  const ids = { trace, span: newSpanId(), parent: session };
  const { username, mechanism } = credentials;
  const error = "account" in result ? undefined : result.code ?? "MALFORMED";
  return [{
    ids,
    name: "login",
    kind: "internal",
    start: beginning(milliseconds, steps, context),
    end: context.now,
    attributes: {
      ...clientAttributes(client),
      ...own({
        username: text(username),
        ...(trusted ? { trusted } : { mechanism }),
        ...("account" in result
          ? texts(accountIds(result.account))
          : { reply: result.reply.code, result: failureResult(result) }),
      }),
    },
    ...failed(error),
  }, ...stepSpans(steps, ids, context)];
}

function messageSpans(event: MessageEvent, context: SpanContext): readonly Span[] {
  const { client, submission, outcome, receiving, milliseconds, steps } = event;
  const { id, messageId, username, account, envelope, content } = submission;
  const { trace, session } = traceOf(client.connection, client.address);
  const ids = { trace, span: id, parent: session };
  const end = context.now;
  const received = beginning(milliseconds, steps, context);
  const start = received - receiving;
  const receive: Span = {
    ids: { trace, span: newSpanId(), parent: id },
    name: "receive",
    kind: "internal",
    start,
    end: received,
    attributes: {},
  };
  return [
    {
      ids,
      name: "message",
      kind: outcome.type === "queued" ? "producer" : "internal",
      start,
      end,
      attributes: {
        ...clientAttributes(client),
        ...own({
          id,
          ...(messageId === undefined ? {} : { message_id: text(messageId) }),
          username: text(username),
          ...texts(accountIds(account)),
          ...texts(senderOf(envelope.from, mailboxOf(outcome))),
          recipients: envelope.recipients.length,
          bytes: lengthOf(content),
          reply: outcome.reply.code,
          ...outcomeFields(outcome, steps),
        }),
      },
      ...failed("code" in outcome ? outcome.code : undefined),
    },
    receive,
    ...stepSpans(steps, ids, context),
  ];
}

function outcomeFields(outcome: Outcome, steps: readonly Step[]): Attributes {
  const result = messageResult(outcome);
  if (outcome.type === "queued") return { result };
  if (outcome.type === "alreadySent") return { result, first: outcome.id };
  const attempts = attemptsOf(outcome, steps);
  return {
    result,
    ...(attempts === undefined ? {} : { attempts }),
    ...(outcome.backend === undefined ? {} : { backend: outcome.backend }),
    ...requestFields(outcome.requestId),
  };
}

/** A try to send a queued message. It is a child of the message's span, however long ago that was. */
function trySpans(event: QueueEvent, context: SpanContext): readonly Span[] {
  const { change, message, code, ambiguous, requestId, mailbox, steps } = event;
  const { id, size, attempts, age, record } = message;
  const ids = tryIds(message);
  return [{
    ids,
    name: "queue try",
    kind: "consumer",
    start: beginning(0, steps, context),
    end: context.now,
    attributes: {
      ...(record === undefined ? {} : { "client.address": record.client }),
      ...own({
        id,
        ...(record === undefined ? {} : {
          ...(record.messageId === undefined ? {} : { message_id: text(record.messageId) }),
          username: text(record.username),
          ...texts(accountIds(record.account)),
          ...texts(senderOf(record.envelope.from, mailbox)),
          recipients: record.envelope.recipients.length,
          ...(record.kind === "report" ? { report: true } : {}),
          connection: record.connection,
        }),
        bytes: size,
        attempts,
        age_s: Math.round(age / 1000),
        result: ambiguous ? "ambiguous" : change,
        ...(event.backend === undefined ? {} : { backend: event.backend }),
        ...requestFields(requestId),
      }),
    },
    ...failed(change === "sent" ? undefined : code),
  }, ...stepSpans(steps, ids, context)];
}

function tryIds({ id, record }: QueueEvent["message"]): SpanIds {
  // If the record cannot be opened, its trace is not known.
  const { trace } = traceOf(record?.connection ?? id, record?.client ?? "");
  const ids = { trace, span: newSpanId() };
  // The relay itself has made a report: there is no span of its arrival.
  return record?.kind === "message" ? { ...ids, parent: id, remote: true } : ids;
}

/**
 * When it began that took so long, or its first step did: other listeners may have taken some time before.
 */
function beginning(milliseconds: number, steps: readonly Step[], context: SpanContext): number {
  const { now, steady } = context;
  const first = steps.reduce((least, { at }) => Math.min(least, at), steady);
  return Math.min(now - milliseconds, now - (steady - first));
}

function stepSpans(
  steps: readonly Step[],
  parent: SpanIds,
  { now, steady, services }: SpanContext,
): readonly Span[] {
  return steps.map((step) => {
    const start = now - (steady - step.at);
    return {
      ids: { trace: parent.trace, span: newSpanId(), parent: parent.span },
      start,
      end: start + step.milliseconds,
      ...stepParts(step, services),
    };
  });
}

function stepParts(
  { name, target, result, backend }: Step,
  { graph, entra, smtp }: Services,
): Pick<Span, "name" | "kind" | "attributes" | "error"> {
  const error = typeof result !== "number" || result >= 400 ? result : undefined;
  const errors = failed(error === undefined ? undefined : String(error));
  if (name === "token") return { name, kind: "client", attributes: at(entra), ...errors };
  if (name !== "request") return { name, kind: "internal", attributes: {}, ...errors };
  if (backend !== undefined) {
    const server = smtp?.(backend);
    return {
      name: target ?? name,
      kind: "client",
      attributes: {
        ...(server === undefined ? {} : at(server)),
        "network.protocol.name": "smtp",
        ...own({ backend, ...(typeof result === "number" ? { reply: result } : {}) }),
      },
      ...errors,
    };
  }
  const [method = "", resource] = target?.split(" ") ?? [];
  return {
    name: target ?? name,
    kind: "client",
    attributes: {
      // An upload's address is the service's own choice.
      ...(resource === "upload" ? {} : at(graph)),
      "http.request.method": method,
      ...(typeof result === "number" ? { "http.response.status_code": result } : {}),
    },
    ...errors,
  };
}

function at(hostname: string): Attributes {
  return { "server.address": hostname };
}

function failed(code: string | undefined): { readonly error?: string } {
  return code === undefined ? {} : { error: text(code) };
}

function clientAttributes({ connection, address }: Client): Attributes {
  return { "client.address": address, ...own({ connection }) };
}

function requestFields(requestId: string | undefined): Attributes {
  return requestId === undefined ? {} : { request: text(requestId) };
}

function texts(fields: Readonly<Record<string, string>>): Attributes {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, text(value)]));
}

function own(fields: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [`smtp_oauth_relay.${name}`, value]),
  );
}

/** A text of a client or a service: bounded, and without what looks like a secret. */
function text(value: string): string {
  return shortened(value).slice(0, MAX_TEXT).toWellFormed();
}

function newSpanId(): string {
  return randomBytes(8).toString("hex");
}
