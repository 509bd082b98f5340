// A finished span, and the ids of traces and spans.
//
// The ids of sessions and messages follow from what is known of them, so that the relay that sends a queued
// message, which may be another process on another machine, names the same parents without any stored state.

import { createHash } from "node:crypto";

export interface Span {
  readonly ids: SpanIds;
  /** Of few different values; what is particular is in the attributes. */
  readonly name: string;
  readonly kind: keyof typeof KINDS;
  /** Milliseconds of Unix time, with fractions. */
  readonly start: number;
  readonly end: number;
  readonly attributes: Attributes;
  /** What went wrong, as a code: the span has an error, of this `error.type`. */
  readonly error?: string;
}

export interface SpanIds {
  /** 32 hexadecimal digits. */
  readonly trace: string;
  /** 16 hexadecimal digits. */
  readonly span: string;
  /** Of the parent, which is in the same trace; left out if there is none. */
  readonly parent?: string;
  /** The parent may be of another process. */
  readonly remote?: true;
}

export type Attributes = Readonly<Record<string, string | number | boolean>>;

/** `SpanKind` of OTLP. */
export const KINDS = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 } as const;

/** The trace of a connection, and the span of its session. */
export interface TraceIds {
  readonly trace: string;
  readonly session: string;
}

/**
 * @param connection its name
 * @param client the client's IP address
 */
export function traceOf(connection: string, client: string): TraceIds {
  const hash = createHash("sha256").update(`trace ${connection} ${client}`).digest("hex");
  return { trace: hash.slice(0, 32), session: hash.slice(32, 48) };
}
