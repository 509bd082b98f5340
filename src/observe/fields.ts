// What may be a field of a log line: everything, but bounded, and without what its type says is secret;
// nor what has the form of a client secret, wherever somebody has put it.
//
// Strangers and services say how long a text is, and errors of libraries carry whole requests with
// their tokens. So each value is made plain here before it is written, whoever logs it.

import { Secret, withoutSecrets } from "../secret.ts";
import { withoutCredentials } from "../service_text.ts";

/** Characters of one text at most; what is cut off is counted. */
const MAX_TEXT = 2048;
/** Entries of one object or list, and objects within objects. */
const MAX_ENTRIES = 50;
const MAX_DEPTH = 10;

/** The fields, ready to be written as JSON. */
export function loggable(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const plain: Record<string, unknown> = {};
  for (const name in fields) plain[name] = plainValue(fields[name], MAX_DEPTH);
  return plain;
}

/** The text, as far as it is not too long for a line of log, and without what looks like a secret. */
export function shortened(text: string): string {
  if (text.length <= MAX_TEXT) return withoutSecrets(text);
  // Looked at before it is cut: half a secret would not look like one.
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
    // JSON has none of these, and would ask a function called toJSON.
    case "function":
    case "symbol":
      return undefined;
    default:
      return value;
  }
}

function plainObject(value: object, depth: number): unknown {
  // Its properties may be anything: a request with its header, a whole answer.
  if (value instanceof Error) {
    return shortened(withoutCredentials(bounded(`${value.name}: ${value.message}`)));
  }
  // A query may hold a signature or a token.
  if (value instanceof URL) return shortened(`${value.origin}${value.pathname}`);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return `${value.byteLength} octets`;
  }
  if (value instanceof Secret || value instanceof Date) return value.toJSON();
  if (depth <= 0) return "…";
  if (Array.isArray(value)) {
    return value.slice(0, MAX_ENTRIES).map((entry) => plainValue(entry, depth - 1));
  }
  // A client, a request, a credential: whatever it holds was not made to be read.
  const kind: unknown = Object.getPrototypeOf(value);
  if (kind !== null && kind !== Object.prototype) return `[${value.constructor?.name ?? "object"}]`;
  return Object.fromEntries(
    Object.entries(value).slice(0, MAX_ENTRIES)
      .map(([name, entry]) => [shortened(name), plainValue(entry, depth - 1)]),
  );
}

/** What was thrown, with where it was: an error's words and its stack, and nothing that it holds besides. */
export function thrown(error: unknown): string {
  if (error instanceof Error) {
    return withoutCredentials(bounded(error.stack ?? `${error.name}: ${error.message}`));
  }
  return typeof error === "object" && error !== null ? "an object was thrown" : String(error);
}

/** Characters of an error's words that are looked at: an SDK puts whole answers there. */
const MAX_READ = 16 * 1024;

function bounded(text: string): string {
  return text.slice(0, MAX_READ);
}
