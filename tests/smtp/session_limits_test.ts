// What counts for MAX_ERRORS and MAX_IDLE_COMMANDS. The dialogues too_many_*.txt show the same as the
// client sees it.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SessionLimits } from "../../src/smtp/session_limits.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";

const FAILED = reply(535, "5.7.8", "Authentication credentials invalid");

function limits(maxErrors = 20, maxIdleCommands = 100, maxRecipients = 500): SessionLimits {
  return new SessionLimits({ maxErrors, maxIdleCommands, maxRecipients });
}

/** How often a refusal is possible before the session ends; at most a thousand times. */
function allowed(verb: string, answer: Reply, authenticated: boolean, subject = limits()): number {
  for (let count = 1; count <= 1000; count++) {
    subject.refused(verb, answer, authenticated);
    if (subject.reached !== undefined) return count;
  }
  return Infinity;
}

describe("MAX_ERRORS=20", () => {
  const cases: readonly [verb: string, answer: Reply, authenticated: boolean, times: number][] = [
    ["XYZZY", REPLIES.unknown, false, 20],
    ["XYZZY", REPLIES.unknown, true, 20],
    ["", REPLIES.empty, false, 20],
    ["AUTH", FAILED, false, 20],
    ["MAIL", REPLIES.mustAuthenticate, false, 20],
    ["RCPT", REPLIES.mustAuthenticate, false, 20],
    ["MAIL", REPLIES.senderNotAllowed, true, 20],
    // Refused because the relay lacks something.
    ["MAIL", REPLIES.outOfMemory, true, Infinity],
    ["RCPT", REPLIES.tooManyRecipients, true, Infinity],
    ["AUTH", reply(454, "4.7.0", "Try again later"), false, Infinity],
    // As many bad recipients as a message may have, and what counts after them.
    ["RCPT", reply(501, "5.1.3", "RCPT TO has no valid address"), true, 520],
    ["RCPT", REPLIES.mailFirst, true, 520],
    ["DATA", REPLIES.rcptFirst, true, 520],
  ];
  for (const [verb, answer, authenticated, times] of cases) {
    const when = authenticated ? "after" : "before";
    it(`ends a session ${when} its login with ${times} times ${answer.code} ${answer.text} to ${verb}`, () => {
      assert.equal(allowed(verb, answer, authenticated), times);
    });
  }

  it("starts again with an accepted message, and recipients with each accepted MAIL", () => {
    const subject = limits();
    for (let i = 0; i < 100; i++) {
      for (let j = 0; j < 19; j++) subject.refused("XYZZY", REPLIES.unknown, true);
      subject.mailBegan();
      for (let j = 0; j < 500; j++) subject.refused("RCPT", REPLIES.mailFirst, true);
      subject.messageSent();
    }
    assert.equal(subject.reached, undefined);
    assert.equal(allowed("XYZZY", REPLIES.unknown, true, subject), 20);
  });

  it("of 1 does not end a session for a failed login before the third (RFC 4954 §9)", () => {
    assert.equal(allowed("AUTH", FAILED, false, limits(1)), 3);
    assert.equal(allowed("XYZZY", REPLIES.unknown, false, limits(1)), 1);
    const subject = limits(2);
    subject.refused("XYZZY", REPLIES.unknown, false);
    subject.refused("AUTH", FAILED, false);
    assert.equal(subject.reached, undefined);
  });
});

describe("MAX_IDLE_COMMANDS=100", () => {
  it("ends a session before its login with the hundredth in a row", () => {
    const subject = limits();
    const settings: (string | undefined)[] = [];
    for (let i = 0; i < 100; i++) {
      subject.answered(false, false);
      settings.push(subject.reached?.setting);
    }
    assert.deepEqual(settings.slice(-2), [undefined, "MAX_IDLE_COMMANDS"]);
  });

  it("starts again with each stage", () => {
    const subject = limits();
    for (let i = 0; i < 500; i++) subject.answered(i % 99 === 0, false);
    assert.equal(subject.reached, undefined);
  });

  it("allows any number of NOOPs after the login", () => {
    const subject = limits();
    for (let i = 0; i < 10_000; i++) subject.answered(false, true);
    assert.equal(subject.reached, undefined);
  });
});
