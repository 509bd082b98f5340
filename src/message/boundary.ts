// The boundary of a multipart (RFC 2046 §5.1.1). A field may give it in several ways; the delimiter
// lines show which one is meant.

import { isAmbiguous, type Parameterized, valuesOf } from "./parameters.ts";

/** Octets of a boundary at most; RFC 2046 allows 70. */
const MAX_BOUNDARY = 998;
/** Boundaries of one multipart that are searched for. */
const MAX_BOUNDARIES = 8;

/**
 * All boundaries that the field may mean, without white space at the end: the value as it is, whole
 * or in pieces (RFC 2231 §3), and the part of it before a comment or a missing semicolon.
 *
 * @param type the field Content-Type
 */
export function boundariesOf(type: Parameterized): string[] {
  const found = new Set<string>();
  for (const { octets } of valuesOf(type, "boundary")) {
    if (octets.length > MAX_BOUNDARY) continue;
    for (const boundary of [withoutPadding(octets), octets.replace(/[ \t(].*$/s, "")]) {
      if (boundary !== "") found.add(boundary);
    }
  }
  return [...found].slice(0, MAX_BOUNDARIES);
}

/** Without white space at its end. A pattern would be slow for a text with much white space inside. */
function withoutPadding(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(0, end);
}

/** The boundaries that all readers take for the same delimiters. */
export function plainBoundariesOf(type: Parameterized): string[] {
  if (isAmbiguous(type, "boundary")) return [];
  // deno-lint-ignore no-control-regex -- a line end would end the delimiter line
  return boundariesOf(type).filter((boundary) => !/[\x00-\x1f\\]/.test(boundary));
}
