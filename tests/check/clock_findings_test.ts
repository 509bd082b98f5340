// This machine's clock against a service's Date, which has no fraction of a second and was written at
// some time between request and response.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { judgeClock } from "../../src/check/clock_findings.ts";
import { clockAt } from "../../src/check/cloud_check.ts";
import type { HttpFailure, HttpResponse } from "../../src/http/types.ts";

const NOON = Date.parse("2026-11-24T12:00:00Z");
/** @param offset of this machine's clock, seconds; @param took seconds */
const reading = (offset: number, took = 0) => ({
  host: "login.example",
  theirs: NOON,
  ours: NOON + offset * 1000,
  took: took * 1000,
});

describe("the clock", () => {
  const cases: readonly [offset: number, took: number, code: string][] = [
    [0, 0, "clock.ok"],
    [59, 0, "clock.ok"],
    [-59, 0, "clock.ok"],
    [62, 0, "clock.off"],
    [-61, 0, "clock.off"],
    [290, 0, "clock.off"],
    [302, 0, "clock.wrong"],
    [-301, 0, "clock.wrong"],
    // A slow response says less.
    [65, 8, "clock.ok"],
    [-65, 8, "clock.off"],
  ];
  for (const [offset, took, code] of cases) {
    it(`that is ${offset} s ahead after a response of ${took} s is ${code}`, () => {
      assert.equal(judgeClock([reading(offset, took)]).code, code);
    });
  }

  it("is reported with its difference and direction", () => {
    assert.equal(judgeClock([reading(-600)]).what, "10 min behind login.example");
    assert.equal(judgeClock([reading(7201)]).what, "2 h ahead of login.example");
  });

  it("is not wrong if one of two services agrees with it", () => {
    assert.equal(judgeClock([reading(-600), reading(0)]).code, "clock.ok");
  });

  it("is unknown if no service has responded", () => {
    assert.equal(judgeClock([]).code, "clock.unknown");
  });
});

describe("the clock of a service that is asked for nothing else", () => {
  const ask = async (response: HttpResponse | HttpFailure) => {
    const http = { request: () => Promise.resolve(response) };
    return await clockAt(new URL("https://mail.blob.core.windows.net"), { http, timeout: 1000 });
  };
  const response = (...headers: [string, string][]): HttpResponse => ({
    type: "response",
    status: 400,
    headers: new Map(headers),
    body: new Uint8Array(),
  });

  it("is read from any response, a refusal too (RFC 9110 §6.6.1)", async () => {
    const reading = await ask(response(["date", "Thu, 05 Nov 2026 06:07:08 GMT"]));
    assert.equal(reading?.host, "mail.blob.core.windows.net");
    assert.equal(reading.theirs, Date.UTC(2026, 10, 5, 6, 7, 8));
    assert.ok(Math.abs(reading.ours - Date.now()) < 10_000 && reading.took >= 0);
  });

  it("is not known without a date or an answer", async () => {
    assert.equal(await ask(response()), undefined);
    assert.equal(await ask(response(["date", "today"])), undefined);
    const failure = { type: "failure", sent: false, code: "ECONNREFUSED", message: "x" } as const;
    assert.equal(await ask(failure), undefined);
  });
});
