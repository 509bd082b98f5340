// Request line and header fields (RFC 9112 §3, §5).

import type { HttpRequest } from "./types.ts";

/** Printable ASCII: no value can end its line or start another field. */
export function requestHead({ method, url, headers, body }: HttpRequest): string {
  const head = `${method} ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n${
    fieldLines(headers)
  }`;
  return body === undefined ? `${head}\r\n` : `${head}Content-Length: ${body.length}\r\n\r\n`;
}

/** Kept while the fields are: those of a token, which has 2 KB, are the same for all of its requests. */
const linesOf = new WeakMap<HttpRequest["headers"], string>();

function fieldLines(headers: HttpRequest["headers"]): string {
  let lines = linesOf.get(headers);
  if (lines !== undefined) return lines;
  lines = "";
  for (const name in headers) lines += `${name}: ${fieldValue(headers[name]!)}\r\n`;
  linesOf.set(headers, lines);
  return lines;
}

/** Values that RFC 9110 §5.5 allows as they are. */
const PLAIN = /^[\t\x20-\x7e]*$/;

function fieldValue(value: string): string {
  if (PLAIN.test(value)) return value;
  // deno-lint-ignore no-control-regex
  return value.replace(/[\x00-\x1f\x7f]/g, " ").replace(/[^\x20-\x7e]/g, "?");
}
