/** Retry-After (RFC 9110 §10.2.3). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { retryAfter } from "../src/retry_after.ts";

const NOW = Date.UTC(2026, 10, 5, 6, 7, 8);

function wait(value: string | undefined, date?: string): number | undefined {
  const headers = new Map<string, string>();
  if (value !== undefined) headers.set("retry-after", value);
  if (date !== undefined) headers.set("date", date);
  return retryAfter(headers, NOW);
}

const CASES: readonly (readonly [value: string, milliseconds: number | undefined])[] = [
  ["0", 0],
  ["1", 1000],
  ["120", 120_000],
  [" 7 ", 7000],
  ["007", 7000],
  ["1.5", 1500],
  ["86400", 86_400_000],
  // No server means that, and no timer can count it.
  ["99999999999999999999", 86_400_000],
  // The three forms of an HTTP-date (RFC 9110 §5.6.7); the last is UTC too.
  ["Thu, 05 Nov 2026 06:07:28 GMT", 20_000],
  ["Thursday, 05-Nov-26 06:07:28 GMT", 20_000],
  ["Thu Nov  5 06:07:28 2026", 20_000],
  // Gone already.
  ["Thu, 05 Nov 2026 06:07:00 GMT", 0],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
  // A year of two digits that is more than 50 years ahead is of the past century.
  ["Sunday, 06-Nov-94 08:49:37 GMT", 0],
  ["Thursday, 05-Nov-76 06:07:28 GMT", 86_400_000],
  ["", undefined],
  ["-1", undefined],
  ["soon", undefined],
  ["1e3", undefined],
  ["0x10", undefined],
  ["5 seconds", undefined],
  ["Thu, 05 Nov 2026 06:07:28", undefined],
  ["Thu, 05 Nov 2026 06:07:28 CET", undefined],
  ["Thu, 05 Foo 2026 06:07:28 GMT", undefined],
  ["2026-11-05T06:07:28Z", undefined],
];

describe("Retry-After", () => {
  for (const [value, milliseconds] of CASES) {
    it(`${JSON.stringify(value)} means ${milliseconds} ms`, () => {
      assert.equal(wait(value), milliseconds);
    });
  }

  it("means nothing where it is missing", () => {
    assert.equal(wait(undefined), undefined);
  });

  it("as a date counts from the answer's own Date, so that a wrong clock does no harm", () => {
    const date = "Thu, 05 Nov 2026 09:00:00 GMT";
    assert.equal(wait("Thu, 05 Nov 2026 09:00:30 GMT", date), 30_000);
    assert.equal(wait("Thu, 05 Nov 2026 06:07:28 GMT", "yesterday"), 20_000);
    assert.equal(wait("30", date), 30_000);
  });
});
