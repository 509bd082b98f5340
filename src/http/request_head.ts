// Request line and header fields (RFC 9112 §3, §5).

import type { HttpRequest } from "./types.ts";

/** ASCII: whatever is in a value, it cannot end its line or leave the character set. */
export function requestHead({ method, url, headers, body }: HttpRequest): string {
  let head = `${method} ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n`;
  for (const name in headers) head += `${name}: ${fieldValue(headers[name]!)}\r\n`;
  return body === undefined ? `${head}\r\n` : `${head}Content-Length: ${body.length}\r\n\r\n`;
}

/** What RFC 9110 §5.5 allows without encoding. */
const PLAIN = /^[\t\x20-\x7e]*$/;

function fieldValue(value: string): string {
  if (PLAIN.test(value)) return value;
  // deno-lint-ignore no-control-regex
  return value.replace(/[\x00-\x1f\x7f]/g, " ").replace(/[^\x20-\x7e]/g, "?");
}
