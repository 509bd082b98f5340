/**
 * A device that fails all day is summed up: it gets the lines that a first diagnosis needs, then one at growing
 * intervals with the number, and one when it succeeds again.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginFailure } from "../../src/accounts/account.ts";
import type { NotSent, Outcome } from "../../src/delivery/delivery.ts";
import { type FailureNumbers, FailureStreaks } from "../../src/observe/failure_streaks.ts";
import { createLog, type LogLevel } from "../support/log.ts";
import type { QueueEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import type { Client, Principal } from "../../src/submission/submission_service.ts";
import {
  ACCOUNT,
  entryAccount,
  listeners,
  loginEvent,
  PRINCIPAL,
  principalOf,
  refusedEvent,
  submissionEvent,
} from "../support/events.ts";
import { USERNAME } from "../support/logins.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** 08:12 in Unix time. */
const MORNING = Date.UTC(2026, 10, 5, 8, 12);

const client: Client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const other: Client = { ...client, address: "192.0.2.8" };

interface Line {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

function open(level: LogLevel = "WARNING") {
  const lines: Line[] = [];
  let now = 0;
  const write = (line: string) => void lines.push(JSON.parse(line) as Line);
  const log = createLog({ level, format: "json", write });
  const date = () => MORNING + now;
  const { notify, close } = listeners(log, () => now, undefined, { date });
  return {
    lines,
    notify,
    close,
    pass: (milliseconds: number) => now += milliseconds,
    /** The lines since the last call: text, number and since. */
    told: () =>
      lines.splice(0).map(({ message, failed_times }) =>
        failed_times === undefined ? message : `${message} ${failed_times}`
      ),
  };
}

const REFUSED: LoginFailure = {
  type: "refused",
  reply: reply(535, "5.7.8", "No"),
  code: "AADSTS7000215",
  detail: "AADSTS7000215: the client secret is wrong",
};

function login(result: Principal | LoginFailure, from = client, username = USERNAME): RelayEvent {
  return loginEvent({ mechanism: "PLAIN", username, password: new Secret("x") }, from, result);
}

const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const DENIED: NotSent = {
  type: "refused",
  reply: reply(550, "5.7.1", "No"),
  ambiguous: false,
  code: "ErrorSendAsDenied",
  detail: "may not send as ann@x.test",
};
const LATER: NotSent = {
  ...DENIED,
  type: "later",
  reply: reply(451, "4.3.2", "Later"),
  code: "ApplicationThrottled",
};

function mail(from: string): RelayEvent {
  return refusedEvent(
    {
      command: "MAIL",
      reply: reply(550, "5.7.1", "Sender not allowed"),
      authenticated: true,
      argument: `FROM:<${from}> SIZE=${Math.floor(Math.random() * 1e6)}`,
    },
    client,
    PRINCIPAL,
  );
}

/** What can fail all day, and what it is called. */
const KINDS: Readonly<Record<string, readonly [message: string, () => RelayEvent]>> = {
  "a refused login": ["Login refused", () => login(REFUSED)],
  "a deferred login": ["Login deferred", () => login({ ...REFUSED, type: "later" })],
  "a refused message": ["Message refused", () => submissionEvent(DENIED, client)],
  "a deferred message": ["Message deferred", () => submissionEvent(LATER, client)],
  "a sender that the relay refuses": ["Refused by the relay", () => mail("ann@x.test")],
  "a login that is malformed": [
    "Login refused",
    () =>
      refusedEvent(
        { command: "AUTH", reply: reply(535, "5.7.8", "No"), authenticated: false },
        client,
      ),
  ],
  "a client without a login": [
    "Refused by the relay",
    () =>
      refusedEvent(
        { command: "MAIL", reply: reply(530, "5.7.0", "No"), authenticated: false },
        client,
      ),
  ],
};

describe("a device that fails all day", () => {
  for (const [what, [message, event]] of Object.entries(KINDS)) {
    it(`has its first line at once, then a few, and one an hour in the end: ${what}`, () => {
      const { lines, notify, pass } = open();
      const at: number[] = [];
      for (let minute = 0; minute < 24 * 60; minute++) {
        const before = lines.length;
        notify(event());
        if (lines.length > before) at.push(minute);
        pass(MINUTE);
      }
      assert.deepEqual(at.slice(0, 6), [0, 1, 6, 21, 81, 141]);
      assert.equal(at.length, 27);
      for (const [i, line] of lines.entries()) {
        assert.deepEqual([line.level, line.message], ["WARNING", message]);
        assert.equal(line["failed_times"], i === 0 ? undefined : at[i]! + 1);
        if (i > 0) assert.equal(line["failed_since"], "2026-11-05T08:12:00.000Z");
      }
    });
  }

  it("has each line in the first minute: what came first may not be what matters", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 12; i++, pass(5_000)) notify(login(REFUSED));
    assert.deepEqual(told(), Array(12).fill("Login refused"));
    notify(login(REFUSED));
    assert.deepEqual(told(), []);
    pass(55_000);
    notify(login(REFUSED));
    assert.deepEqual(told(), ["Login refused 14"]);
  });

  it("keeps all that a line has: who, from where, and what the service said last", () => {
    const { lines, notify, pass } = open();
    notify(login(REFUSED));
    pass(MINUTE);
    notify(login(REFUSED, { ...client, connection: "beef" }));
    const line = lines[1]!;
    assert.deepEqual(
      [line["connection"], line["client"], line["username"], line["detail"], line["reply"]],
      ["beef", "192.0.2.7", USERNAME, REFUSED.detail, 535],
    );
  });

  it("has a line at once when it fails in another way", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 5; i++, pass(MINUTE / 2)) notify(login(REFUSED));
    told();
    notify(login({ ...REFUSED, code: "AADSTS7000222", detail: "the client secret has expired" }));
    assert.deepEqual(told(), ["Login refused"]);
  });

  it("hides no other one: of the same username elsewhere, of another one there, another sender", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 10; i++, pass(MINUTE / 2)) {
      notify(login(REFUSED));
      notify(submissionEvent(DENIED, client));
    }
    told();
    notify(login(REFUSED, other));
    notify(login(REFUSED, client, "scanner@lookup"));
    notify(submissionEvent(DENIED, other));
    notify(submissionEvent(DENIED, client, principalOf(entryAccount("scanner"))));
    const envelope = { from: "bob@x.test", recipients: ["bea@x.test"] };
    notify(submissionEvent(DENIED, client, PRINCIPAL, { envelope }));
    notify(submissionEvent({ ...DENIED, detail: "no mailbox cee@x.test" }, client));
    notify(mail("bob@x.test"));
    assert.deepEqual(told(), [
      "Login refused",
      "Login refused",
      ...Array(4).fill("Message refused"),
      "Refused by the relay",
    ]);
  });

  it("has all lines at DEBUG", () => {
    const { lines, notify, pass } = open("DEBUG");
    for (let i = 0; i < 100; i++, pass(MINUTE)) notify(submissionEvent(DENIED, client));
    assert.equal(lines.length, 100);
    assert.equal(lines.filter(({ level }) => level === "DEBUG").length, 95);
  });

  it("has a line of each message that may have been sent", () => {
    const { notify, pass, told } = open();
    const ambiguous: Outcome = { ...LATER, ambiguous: true };
    for (let i = 0; i < 100; i++, pass(MINUTE)) notify(submissionEvent(ambiguous, client));
    assert.deepEqual(told(), Array(100).fill("Message may have been sent"));
  });

  it("is a new one after a day without a failure", () => {
    const { notify, pass, told } = open();
    notify(login(REFUSED));
    pass(DAY);
    notify(login(REFUSED));
    assert.deepEqual(told(), ["Login refused", "Login refused"]);
  });
});

describe("a device that succeeds again", () => {
  it("has a line with the number of failures, at WARNING as they were", () => {
    const { lines, notify, pass } = open();
    for (let i = 0; i < 412; i++, pass(MINUTE)) notify(login(REFUSED));
    lines.splice(0);
    notify(login(PRINCIPAL));
    assert.deepEqual(lines.map(({ level, message }) => [level, message]), [
      ["WARNING", "Login succeeds again"],
    ]);
    const [line] = lines;
    assert.deepEqual([line!["failed_times"], line!["failed_since"], line!["username"]], [
      412,
      "2026-11-05T08:12:00.000Z",
      USERNAME,
    ]);
  });

  it("has one for its messages too, which names device and sender", () => {
    const { lines, notify, pass } = open();
    for (let i = 0; i < 10; i++, pass(MINUTE)) notify(submissionEvent(LATER, client));
    for (let i = 0; i < 10; i++, pass(MINUTE)) notify(mail("ann@x.test"));
    lines.splice(0);
    notify(submissionEvent(SENT, client));
    const { time: _, ...line } = lines[0]!;
    assert.deepEqual(line, {
      level: "WARNING",
      message: "Messages are accepted again",
      client: "192.0.2.7",
      username: USERNAME,
      sender: "ann@x.test",
      failed_times: 20,
      failed_since: "2026-11-05T08:12:00.000Z",
    });
  });

  it("has none where each failure had its line, and its next failure has one", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 3; i++, pass(10 * MINUTE)) {
      notify(submissionEvent(LATER, client));
      notify(submissionEvent(SENT, client));
    }
    assert.deepEqual(told(), Array(3).fill("Message deferred"));
  });

  it("has none for a login by a token that nobody has verified", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 10; i++, pass(MINUTE)) notify(login(REFUSED));
    told();
    notify(login(principalOf(ACCOUNT, "claimed")));
    assert.deepEqual(told(), []);
  });
});

describe("queued messages of a mailbox that fails all day", () => {
  function queue(part: Partial<QueueEvent>): QueueEvent {
    const record = {
      kind: "message",
      account: ACCOUNT,
      username: USERNAME,
      envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
      client: "192.0.2.7",
      connection: "c0ffee",
    } as const;
    const message = { id: "0123456789abcdef", size: 57, attempts: 1, age: 0, record };
    return { type: "queue", change: "deferred", message, steps: [], code: "ECONNREFUSED", ...part };
  }

  it("are summed up, but never those that are given up, held or perhaps sent", () => {
    const { notify, pass, told } = open();
    for (let i = 0; i < 300; i++, pass(MINUTE)) notify(queue({}));
    assert.deepEqual(told(), [
      "Queued message deferred",
      ...[2, 7, 22, 82, 142, 202, 262].map((times) => `Queued message deferred ${times}`),
    ]);
    for (let i = 0; i < 3; i++) {
      notify(queue({ change: "dead" }));
      notify(queue({ change: "held" }));
      notify(queue({ ambiguous: true }));
    }
    const each = [
      "Queued message given up; `queue show` has it",
      "Queued message held until `queue retry`",
      "Queued message may have been sent",
    ];
    assert.deepEqual(told(), [...each, ...each, ...each]);
    notify(queue({ change: "sent" }));
    assert.deepEqual(told(), ["Queued messages are sent again 300"]);
  });
});

describe("what was only counted", () => {
  function streaks() {
    const clock = { now: 0 };
    const written: unknown[] = [];
    const room = { left: true };
    const all = new FailureStreaks({
      now: () => clock.now,
      date: () => clock.now,
      write: ({ message, fields }) => {
        if (!room.left) return false;
        written.push([message, fields["failed_times"]]);
        return true;
      },
    });
    const line = { level: "WARNING", message: "Failed", fields: {} } as const;
    const fail = (source: string, way = "way") => all.failed(source, way, line);
    return { clock, written, room, all, line, fail };
  }

  it("is told when it is due, where the device has stopped trying", () => {
    const { clock, written, all, fail } = streaks();
    for (let i = 0; i < 4; i++, clock.now += MINUTE / 2) fail("device");
    clock.now = 7 * MINUTE;
    assert.deepEqual(fail("device"), { failed_times: 5, failed_since: "1970-01-01T00:00:00.000Z" });
    fail("device");
    all.tell();
    assert.deepEqual(written, []);
    clock.now += 15 * MINUTE;
    all.tell();
    all.tell();
    assert.deepEqual(written, [["Failed", 6]]);
    all.close();
    assert.deepEqual(written, [["Failed", 6]]);
  });

  it("is told at the stop", () => {
    const { clock, written, all, fail } = streaks();
    fail("device");
    clock.now = MINUTE;
    fail("device");
    fail("device");
    all.close();
    all.close();
    assert.deepEqual(written, [["Failed", 3]]);
  });

  it("is told when it is forgotten: a thousand devices are remembered, and eight ways each", () => {
    const { clock, written, fail } = streaks();
    for (let i = 0; i < 1_000; i++) fail(`device ${i}`);
    clock.now = MINUTE;
    for (let i = 0; i < 1_000; i++) fail(`device ${i}`);
    for (let i = 0; i < 1_000; i++) assert.equal(fail(`device ${i}`), undefined);
    for (let i = 0; i < 10; i++) fail(`new device ${i}`);
    assert.deepEqual(written, Array(10).fill(["Failed", 3]));
    assert.deepEqual(fail("device 0"), {});
    written.splice(0);
    for (let i = 0; i < 9; i++) fail("device 999", `way ${i}`);
    assert.deepEqual(written, [["Failed", 3]]);
  });

  it("is told a minute later, where there were too many lines", () => {
    const { clock, written, room, all, line, fail } = streaks();
    fail("device");
    clock.now = MINUTE;
    assert.equal((fail("device") as FailureNumbers).failed_times, 2);
    all.missed("device", "way", line);
    clock.now += MINUTE;
    room.left = false;
    all.tell();
    room.left = true;
    assert.deepEqual(written, []);
    clock.now += MINUTE;
    all.tell();
    all.tell();
    assert.deepEqual(written, [["Failed", 2]]);
  });
});

/** CWE-779: who fills the log hides what matters in it. */
describe("a flood of failures", () => {
  const refuse = (code: number, from: Client): RelayEvent =>
    refusedEvent(
      { command: "AUTH", reply: reply(code, "5.7.8", "No"), authenticated: false },
      from,
    );
  const address = (i: number) => ({
    ...client,
    address: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
  });

  it("in ever other ways has few lines: those that sum up are limited, too", () => {
    const { lines, notify, pass, close } = open();
    for (let minute = 0; minute < 3; minute++, pass(MINUTE)) {
      for (let i = 0; i < 10_000; i++) notify(refuse(500 + i % 20, client));
    }
    close();
    assert.ok(lines.length <= 3 * (300 + 100 + 40), `${lines.length} lines`);
  });

  it("from ever other addresses has few lines", () => {
    const { lines, notify, close } = open();
    for (let i = 0; i < 50_000; i++) {
      for (let j = 0; j < 2; j++) notify(refuse(503, address(i)));
    }
    close();
    assert.ok(lines.length <= 3_000 + 1_000 + 10, `${lines.length} lines`);
  });

  it("at a device's address does not hide the device for longer than it lasts", () => {
    const { lines, notify, close } = open();
    for (let i = 0; i < 1_000; i++) notify(refuse(535, client));
    for (let i = 0; i < 3; i++) notify(login(REFUSED));
    const device = () => lines.filter(({ username }) => username === USERNAME);
    assert.equal(device().length, 0);
    close();
    assert.deepEqual(device().map(({ failed_times }) => failed_times), [3]);
  });

  it("from many addresses does not hide the device, either", () => {
    const { lines, notify, close } = open();
    for (let i = 0; i < 5_000; i++) notify(refuse(535, address(i)));
    notify(login(REFUSED));
    close();
    assert.equal(lines.filter(({ username }) => username === USERNAME).length, 1);
  });
});

describe("a flood of addresses that fail", () => {
  const refused = (i: number) =>
    refusedEvent({ command: "MAIL", reply: reply(530, "5.7.0", "No"), authenticated: false }, {
      ...client,
      address: `10.${i >> 16}.${i >> 8 & 255}.${i & 255}`,
    });

  it("has no more lines than the log has bounds, also when it is forgotten", () => {
    const { notify, close, told, pass } = open();
    for (let i = 0; i < 20_000; i++) {
      notify(refused(i));
      pass(1);
    }
    // log_throttle.ts: a thousand sources in a minute.
    assert.equal(told().length, 1_000);
    close();
    assert.ok(told().length <= 1_000);
  });

  it("has no more than 3,000 a minute, where each address fails twice", () => {
    const { notify, told, pass } = open();
    for (let minute = 0; minute < 3; minute++) {
      for (let i = 0; i < 10_000; i++) for (let twice = 0; twice < 2; twice++) notify(refused(i));
      const lines = told();
      assert.ok(lines.length <= 3_001, `${lines.length}`);
      pass(MINUTE);
    }
  });
});
