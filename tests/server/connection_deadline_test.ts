// How long a client may take (COMMAND_TIMEOUT, DATA_TIMEOUT, MIN_DATA_RATE), without a clock.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConnectionDeadline, type Timeouts } from "../../src/server/connection_deadline.ts";

const TIMEOUTS: Timeouts = {
  command: 300_000,
  data: 180_000,
  dataRate: 500,
  handshake: 30_000,
  unread: 20_000,
  linger: 5_000,
};

const idle = (exchanges: number) => ({ exchanges, contentBegun: false, endMissed: false });
const content = { exchanges: 1, contentBegun: true, endMissed: false };

describe("deadline", () => {
  it("for a command counts from the last complete one, however much of the next has arrived", () => {
    const deadline = new ConnectionDeadline(TIMEOUTS);
    deadline.update("command", idle(1), 0, 1_000);
    for (const now of [100_000, 200_000, 300_000]) deadline.update("command", idle(1), now, now);
    assert.deepEqual([deadline.at, deadline.setting], [301_000, "COMMAND_TIMEOUT"]);
    deadline.update("command", idle(2), 9, 300_500);
    assert.equal(deadline.at, 600_500);
  });

  it("is off while the client waits for the relay, and starts again with the reply", () => {
    const deadline = new ConnectionDeadline(TIMEOUTS);
    deadline.update("command", idle(1), 0, 0);
    deadline.update("relay", idle(2), 0, 10);
    assert.equal(deadline.at, Infinity);
    deadline.update("command", idle(2), 0, 500_000);
    assert.equal(deadline.at, 800_000);
  });

  for (const waitingFor of ["handshake", "client reading"] as const) {
    it(`for a ${waitingFor} is never extended`, () => {
      const deadline = new ConnectionDeadline(TIMEOUTS);
      deadline.update("command", idle(1), 0, 0);
      deadline.update(waitingFor, idle(2), 0, 1_000);
      const { at } = deadline;
      deadline.update(waitingFor, idle(3), 5_000, 15_000);
      assert.equal(deadline.at, at);
      assert.equal(deadline.setting, undefined);
    });
  }

  it("inside a message limits silence to DATA_TIMEOUT", () => {
    const deadline = new ConnectionDeadline(TIMEOUTS);
    deadline.update("content", content, 0, 0);
    deadline.update("content", content, 1_000_000, 170_000);
    assert.deepEqual([deadline.at, deadline.setting], [350_000, "DATA_TIMEOUT"]);
  });

  const rates: readonly [name: string, octetsEachMinute: number, late: boolean][] = [
    ["at MIN_DATA_RATE", 30_000, false],
    ["above it", 31_000, false],
    ["below it", 20_000, true],
    ["an octet a minute", 1, true],
  ];
  for (const [name, octets, late] of rates) {
    it(`inside a message that arrives ${name}: ${late ? "expires" : "is extended"}`, () => {
      const deadline = new ConnectionDeadline(TIMEOUTS);
      let ended = false;
      for (let minute = 0; minute < 600 && !ended; minute++) {
        ended = minute * 60_000 >= deadline.at;
        deadline.update("content", content, minute * octets, minute * 60_000);
      }
      assert.equal(ended, late);
    });
  }

  it("does not count the time in which the relay did not read", () => {
    const deadline = new ConnectionDeadline(TIMEOUTS);
    deadline.update("content", content, 0, 0);
    deadline.update("client reading", content, 10, 100_000);
    deadline.update("content", content, 10, 115_000);
    deadline.update("content", content, 10, 150_000);
    assert.deepEqual([deadline.at, deadline.setting], [195_020, "MIN_DATA_RATE"]);
  });

  it("counts all chunks of one message together, and starts again with the next message (RFC 3030)", () => {
    const deadline = new ConnectionDeadline(TIMEOUTS);
    for (let minute = 0; minute < 4; minute++) {
      deadline.update(
        "content",
        { exchanges: minute, contentBegun: true, endMissed: false },
        0,
        minute * 60_000,
      );
      deadline.update(
        "command",
        { exchanges: minute + 1, contentBegun: true, endMissed: false },
        0,
        minute * 60_000 + 1,
      );
    }
    assert.deepEqual([deadline.at, deadline.setting], [180_000, "MIN_DATA_RATE"]);
    deadline.update("relay", idle(5), 0, 170_000);
    deadline.update("command", idle(6), 0, 171_000);
    assert.deepEqual([deadline.at, deadline.setting], [471_000, "COMMAND_TIMEOUT"]);
  });

  it("requires no rate when MIN_DATA_RATE is off", () => {
    const deadline = new ConnectionDeadline({ ...TIMEOUTS, dataRate: "off" });
    for (let minute = 0; minute < 600; minute++) {
      deadline.update("content", content, minute, minute * 60_000);
      assert.equal(deadline.at, minute * 60_000 + 180_000);
    }
  });
});
