/** The form of AUTH_RATE_LIMIT and MESSAGE_RATE_LIMIT. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { loadSettings } from "../../src/settings/load.ts";
import { rateOrOff } from "../../src/settings/parsers.ts";

const GOOD: readonly (readonly [text: string, most: number, window: number])[] = [
  ["10/1m", 10, 60_000],
  ["1/1s", 1, 1000],
  ["30/1M", 30, 60_000],
  ["500/1h", 500, 3_600_000],
  ["10000/1d", 10_000, 86_400_000],
  ["10 / 15m", 10, 900_000],
  ["1000000/24d", 1_000_000, 24 * 86_400_000],
];

const BAD = [
  "10",
  "10/",
  "/1m",
  "0/1m",
  "-1/1m",
  "1.5/1m",
  "10/0m",
  "10/1",
  "10/m",
  "10/25d",
  "10/1w",
  "10/1m/1h",
  "1000001/1m",
  "10 per minute",
  "10/1m, 50/1h",
  "none",
];

describe("a rate", () => {
  for (const [text, most, window] of GOOD) {
    it(`is read from ${text}`, () => assert.deepEqual(rateOrOff.parse(text), { most, window }));
  }

  it("is off in any case", () => {
    for (const text of ["off", "OFF", "Off"]) assert.equal(rateOrOff.parse(text), "off");
  });

  for (const text of BAD) {
    it(`is not read from ${text}`, () => assert.equal(rateOrOff.parse(text), undefined));
  }

  it("stops the start if it is malformed, with one line that gives the allowed values", () => {
    const loaded = loadSettings({ AUTH_RATE_LIMIT: "10", MESSAGE_RATE_LIMIT: "0/1m" });
    assert(loaded.type === "problems");
    assert.equal(loaded.problems.length, 2);
    assert.match(loaded.problems[0]!, /^AUTH_RATE_LIMIT "10" must be a number .* as in "10\/1m"; /);
    assert.match(loaded.problems[1]!, /^MESSAGE_RATE_LIMIT "0\/1m" must be a number from 1 to /);
  });
});
