// Makes any value fit for a log line: bounded, and without secrets, whether they have the type
// Secret or only the form of a client secret.
//
// Clients and services decide how long a text is, and errors of libraries carry whole requests with
// their tokens. So every value is converted here before it is written.

import { Secret, withoutSecrets } from "../secret.ts";
import { withoutCredentials } from "../service_text.ts";

/** Characters of one text at most; the rest is only counted. */
const MAX_TEXT = 2048;
/** Entries of one object or list, and objects within objects. */
const MAX_ENTRIES = 50;
const MAX_DEPTH = 10;

/** A list whose length was bounded before: it is written in full. */
export class BoundedTexts {
  constructor(readonly texts: readonly string[]) {}
}

/** A field, ready to be written as JSON; undefined if it has no form there. */
export function loggable(value: unknown): unknown {
  return plainValue(value, MAX_DEPTH);
}

/** The text, cut to the length for a log line, and without what looks like a secret. */
export function shortened(text: string): string {
  if (text.length <= MAX_TEXT) return withoutSecrets(text);
  // Secrets first: half a secret would not look like one.
  const shown = withoutSecrets(text.slice(0, 2 * MAX_TEXT)).slice(0, MAX_TEXT).toWellFormed();
  return `${shown}… (${text.length - MAX_TEXT} more)`;
}

function plainValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case "string":
      return shortened(value);
    case "bigint":
      return String(value);
    case "object":
      return value === null ? null : plainObject(value, depth);
    // JSON has no such types, and would call a function named toJSON.
    case "function":
    case "symbol":
      return undefined;
    default:
      return value;
  }
}

function plainObject(value: object, depth: number): unknown {
  // Its properties may be anything, such as a request with its header.
  if (value instanceof Error) {
    return shortened(withoutCredentials(bounded(`${value.name}: ${value.message}`)));
  }
  // A query may hold a signature or a token.
  if (value instanceof URL) return shortened(`${value.origin}${value.pathname}`);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `${value.byteLength} octets`;
  }
  if (value instanceof Secret || value instanceof Date) return value.toJSON();
  if (value instanceof BoundedTexts) return value.texts.map(shortened);
  if (depth <= 0) return "…";
  if (Array.isArray(value)) {
    return value.slice(0, MAX_ENTRIES).map((entry) => plainValue(entry, depth - 1));
  }
  // An object of a class, such as a request or a credential, may hold anything.
  const kind: unknown = Object.getPrototypeOf(value);
  if (kind !== null && kind !== Object.prototype) return `[${value.constructor?.name ?? "object"}]`;
  return Object.fromEntries(
    Object.entries(value).slice(0, MAX_ENTRIES)
      .map(([name, entry]) => [shortened(name), plainValue(entry, depth - 1)]),
  );
}

/** The message and stack of a thrown error, without its other properties. */
export function thrown(error: unknown): string {
  if (error instanceof Error) {
    return withoutCredentials(bounded(error.stack ?? `${error.name}: ${error.message}`));
  }
  return typeof error === "object" && error !== null ? "an object was thrown" : String(error);
}

/** Characters of an error's message that are read: an SDK puts whole responses there. */
const MAX_READ = 16 * 1024;

function bounded(text: string): string {
  return text.slice(0, MAX_READ);
}
