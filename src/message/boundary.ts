// The boundary of a multipart (RFC 2046 §5.1.1), which a field may give in several ways. Which of them
// is meant, the delimiter lines tell.

import { isAmbiguous, type Parameterized, valuesOf } from "./parameters.ts";

/** Octets of one at most; RFC 2046 allows 70. */
const MAX_BOUNDARY = 998;
/** Boundaries of one multipart that are looked for. */
const MAX_BOUNDARIES = 8;

/**
 * All that a field of this type may mean as its boundary, without white space at the end: what stands
 * there, whole or in pieces (RFC 2231 §3), and what is before a comment or a missing semicolon.
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

/** Without white space at its end: a pattern for that is slow where much of it is elsewhere. */
function withoutPadding(text: string): string {
  let end = text.length;
  while (end > 0 && (text[end - 1] === " " || text[end - 1] === "\t")) end--;
  return text.slice(0, end);
}

/** Those of them that all readers take for the same delimiters. */
export function plainBoundariesOf(type: Parameterized): string[] {
  if (isAmbiguous(type, "boundary")) return [];
  // deno-lint-ignore no-control-regex -- a line end would end the delimiter line
  return boundariesOf(type).filter((boundary) => !/[\x00-\x1f\\]/.test(boundary));
}
