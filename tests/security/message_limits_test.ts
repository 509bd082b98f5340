/**
 * MAX_HEADER_SIZE, MAX_MIME_DEPTH and MAX_MIME_PARTS of a whole relay: the reply, the log line and the
 * counter of each. What counts as a part or a level is in tests/message/structure_test.ts.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openDoor } from "./door.ts";

const HEADER = "From: alice@example.com\r\nTo: bob@example.net\r\n";

function parts(count: number): string {
  return `${HEADER}Content-Type: multipart/mixed; boundary=b\r\n\r\n` +
    "--b\r\n\r\nText\r\n".repeat(count) + "--b--";
}

function levels(count: number): string {
  return `${HEADER}${"Content-Type: message/rfc822\r\n\r\n".repeat(count)}Subject: s\r\n\r\nText`;
}

/** @param octets of a field that is added */
function header(octets: number): string {
  return `${HEADER}${"X: 89\r\n".repeat(octets / 7)}\r\nText`;
}

interface Limit {
  readonly setting: string;
  readonly value: string;
  readonly message: (size: number) => string;
  /** Sizes that pass; the last one is the largest. */
  readonly good: readonly number[];
  readonly bad: readonly number[];
  readonly reply: RegExp;
  readonly code: string;
}

const LIMITS: readonly Limit[] = [
  {
    setting: "MAX_MIME_PARTS",
    value: "5",
    message: parts,
    good: [1, 4, 5],
    bad: [6, 5000],
    reply: /^554 5\.6\.0 The message has more parts than MAX_MIME_PARTS, which is 5$/,
    code: "MIME_TOO_MANY_PARTS",
  },
  {
    setting: "MAX_MIME_DEPTH",
    value: "5",
    message: levels,
    good: [1, 4, 5],
    bad: [6, 5000],
    reply: /^554 5\.6\.0 Parts are nested deeper than MAX_MIME_DEPTH, which is 5$/,
    code: "MIME_TOO_DEEP",
  },
  {
    setting: "MAX_HEADER_SIZE",
    value: "8k",
    message: header,
    good: [7, 7000, 7700],
    bad: [8190, 700_000],
    reply: /^552 5\.3\.4 The header has \d+ octets or more; MAX_HEADER_SIZE is 8192$/,
    code: "HEADER_TOO_LARGE",
  },
];

for (const { setting, value, message, good, bad, reply, code } of LIMITS) {
  describe(setting, () => {
    it("accepts messages within the limit; refuses, logs and counts those over it", async () => {
      const door = await openDoor({
        environment: { [setting]: value, HTTP_LISTEN: "127.0.0.1:0" },
      });
      try {
        const talk = await door.login();
        for (const size of good) {
          assert.match(await talk.message(message(size)), /^250 /, `${size}`);
        }
        assert.equal(door.messages().length, good.length);
        const before = await (await fetch(door.metrics!)).text();
        assert.ok(before.includes(`limit_hits_total{setting="${setting}"} 0\n`), before);
        for (const size of bad) assert.match(await talk.message(message(size)), reply, `${size}`);
        assert.equal(door.messages().length, good.length, "Graph receives none of them");
        const page = await (await fetch(door.metrics!)).text();
        const counted = `smtp_oauth_relay_limit_hits_total{setting="${setting}"} ${bad.length}`;
        assert.ok(page.includes(counted), page);
        const lines = door.log.map((line) => JSON.parse(line) as Record<string, unknown>)
          .filter((line) => line["message"] === "Message refused");
        assert.deepEqual(
          lines.map((line) => [line["level"], line["code"]]),
          bad.map(() => [
            "WARNING",
            code,
          ]),
        );
        // The session continues.
        assert.match(await talk.message(message(good[0]!)), /^250 /);
      } finally {
        await door.close();
      }
    });
  });
}
