/**
 * What clients may log in a minute (CWE-779: a log that somebody can fill hides what matters, and fills
 * the disk): each account, each address, all together; and nothing is left out unseen.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/accounts.ts";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { Events } from "../../src/observe/events.ts";
import { createLog, type LogLevel } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { Secret } from "../../src/secret.ts";
import type { Client, ConnectionSummary } from "../../src/server/handlers.ts";
import { reply } from "../../src/smtp/reply.ts";
import { USERNAME } from "../support/logins.ts";
import { accountWith, submissionOf, tokenOf } from "../support/submissions.ts";

const client: Client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const account = accountWith(tokenOf("t0ken"));
const entry = (entry: string): Account => ({ ...account, entry });
const no = reply(550, "5.1.1", "No such recipient");

/** Lines of one source and level a minute, and of all sources. */
const EACH = 300;
const ALL = 3_000;

interface Line {
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

function open(level: LogLevel = "DEBUG") {
  const lines: Line[] = [];
  const clock = { now: 0 };
  const metrics = new Metrics();
  const write = (line: string) => void lines.push(JSON.parse(line) as Line);
  const log = createLog({ level, format: "json", write });
  const events = new Events(log, () => clock.now, metrics);
  const refuse = (account: Account | undefined, from = client) =>
    events.refused(
      { command: "RCPT", reply: no, authenticated: true, argument: "x" },
      from,
      account,
    );
  const settle = (account: Account, outcome: Outcome, from = client) =>
    events.message(submissionOf(account), outcome, from, 1);
  return {
    lines,
    clock,
    events,
    refuse,
    send: (account: Account) => settle(account, SENT),
    settle,
    suppressed: () => metrics.value("log_lines_suppressed", {}),
    /** Lines that count others. */
    counts: () => lines.filter(({ message }) => message.startsWith("… and ")),
  };
}

const SENT: Outcome = { type: "sent", reply: reply(250, "2.0.0", "OK") };
const REFUSED: Outcome = {
  type: "refused",
  reply: no,
  ambiguous: false,
  code: "ErrorInvalidUser",
  detail: "no",
};
const LATER: Outcome = { ...REFUSED, type: "later", reply: reply(451, "4.3.2", "Later") };
const AMBIGUOUS: Outcome = { ...LATER, ambiguous: true };

/** Every kind of line that a client can cause, by what makes it. */
const KINDS: Readonly<Record<string, (events: Events, client: Client) => void>> = {
  "logins that are refused": (events, client) => login(events, client, "refused"),
  "logins that are put off": (events, client) => login(events, client, "later"),
  "logins that succeed": (events, client) => login(events, client, "account"),
  "refusals by the session": (events, client) =>
    events.refused({ command: "RCPT", reply: no, authenticated: true }, client, account),
  "refusals of strangers": (events, client) =>
    events.refused({ command: "MAIL", reply: no, authenticated: false }, client, undefined),
  "malformed logins": (events, client) =>
    events.refused(
      { command: "AUTH", reply: reply(535, "5.7.8", "No"), authenticated: false },
      client,
      undefined,
    ),
  "messages refused": (events, client) => events.message(submissionOf(account), REFUSED, client, 1),
  "messages put off": (events, client) => events.message(submissionOf(account), LATER, client, 1),
  "messages that may have been sent": (events, client) =>
    events.message(submissionOf(account), AMBIGUOUS, client, 1),
  "messages that were sent before": (events, client) =>
    events.message(submissionOf(account), { type: "alreadySent", reply: no, id: "x" }, client, 1),
  "limits reached": (events, client) => events.limited("MAX_ERRORS", client, "Too many errors"),
  "limits of an account": (events, client) =>
    events.limited("MESSAGE_RATE_LIMIT", client, "Too many messages", account),
  "PROXY headers": (events, client) =>
    events.proxyRefused({ reason: "foreign", detail: "x" }, client),
  "connections": (events, client) => events.connection({ ...summary, client }),
  "connections that said nothing": (events, client) =>
    events.connection({ ...summary, client, received: 0 }),
  "TLS handshakes": (events, client) =>
    events.connection({ ...summary, client, received: 0, handshakeFailed: true, error: true }),
  "connections to the wrong port": (events, client) =>
    events.connection({ ...summary, client, wrongPort: "tls" }),
  "faults": (events, client) => events.bug(new Error("x"), client),
};

const summary: Omit<ConnectionSummary, "client"> = {
  secure: true,
  handshakeFailed: false,
  received: 100,
  messages: 0,
  milliseconds: 5,
  reason: "QUIT",
  error: false,
};

function login(events: Events, client: Client, type: "refused" | "later" | "account"): void {
  const credentials = {
    mechanism: "PLAIN",
    username: USERNAME,
    password: new Secret("x"),
  } as const;
  const result = type === "account"
    ? { type, account, reply: no }
    : { type, reply: no, detail: "no" };
  events.login(credentials, client, result);
}

describe("what one client may log", () => {
  for (const [what, cause] of Object.entries(KINDS)) {
    it(`is ${EACH} lines of each level in a minute, then counted: ${what}`, () => {
      const { lines, clock, events, suppressed, counts } = open();
      for (let i = 0; i < 2_000; i++) cause(events, client);
      // A kind may have one line at WARNING and the others at DEBUG.
      assert.ok(lines.length <= EACH + 1 && lines.length >= EACH, `${lines.length} lines`);
      const left = 2_000 - lines.length;
      assert.equal(suppressed(), left);
      assert.deepEqual(counts(), []);
      clock.now = 60_000;
      cause(events, { ...client, address: "198.51.100.1" });
      assert.equal(counts().reduce((sum, { lines }) => sum + Number(lines), 0), left);
      const [count] = counts();
      assert.match(
        count!.message,
        /^… and \d+ more lines like this from this (account|address) in/,
      );
      assert.equal(count!["like"], lines[1]!.message);
      // The next minute has lines of its own.
      cause(events, client);
      assert.equal(lines.at(-1)!.message, count!["like"]);
    });
  }

  it("names the account in the line that counts, or the network of the address", () => {
    const { events, refuse, send, counts } = open();
    send(entry("scanner"));
    for (let i = 0; i < EACH + 5; i++) refuse(entry("scanner"));
    const address = (i: number) => ({ ...client, address: `2001:db8::${i + 1}` });
    for (let i = 0; i < EACH + 1; i++) events.connection({ ...summary, client: address(i) });
    events.stop();
    const [account, network] = counts();
    assert.match(
      account!.message,
      /^… and 5 more lines like this from this account in the last minute$/,
    );
    assert.deepEqual([account!.level, account!["entry"], account!["lines"]], [
      "WARNING",
      "scanner",
      5,
    ]);
    assert.match(
      network!.message,
      /^… and 1 more line like this from this address in the last minute$/,
    );
    assert.deepEqual([network!.level, network!["client"]], ["INFO", "2001:db8:0:0::/64"]);
  });

  it("is one account's whatever addresses it comes from, and one address's whatever accounts", () => {
    const spread = open();
    for (let i = 0; i < 1_000; i++) {
      spread.refuse(account, { ...client, address: `10.0.${i >> 8}.${i & 255}` });
    }
    assert.equal(spread.lines.length, EACH);
    const many = open();
    for (let i = 0; i < 1_000; i++) many.refuse(entry(`e${i}`));
    assert.equal(many.lines.length, EACH);
  });

  it("takes nothing from an account that has sent mail, at the same address too", () => {
    const { lines, refuse, send } = open();
    send(entry("honest"));
    for (let i = 0; i < 10_000; i++) refuse(entry(`bad${i % 50}`));
    const before = lines.length;
    refuse(entry("honest"));
    assert.equal(lines[before]!["entry"], "honest");
  });

  it("leaves out nothing that was sent", () => {
    const { lines, send, suppressed } = open("INFO");
    for (let i = 0; i < 10_000; i++) send(account);
    assert.deepEqual([lines.length, suppressed()], [10_000, 0]);
  });

  it("is not used up by what a token says that nobody has verified", () => {
    const { lines, refuse, send } = open();
    send(account);
    for (let i = 0; i < 10_000; i++) refuse({ ...account, unproved: () => "forged" });
    const before = lines.length;
    refuse(account);
    assert.equal(lines.length, before + 1);
  });

  it("counts nothing that LOG_LEVEL leaves out anyway", () => {
    const { lines, events, suppressed } = open("WARNING");
    for (let i = 0; i < 10_000; i++) events.connection({ ...summary, client });
    assert.deepEqual([lines.length, suppressed()], [0, 0]);
  });

  it("is told at the stop, where the minute is not over", () => {
    const { events, refuse, counts } = open();
    for (let i = 0; i < EACH + 7; i++) refuse(account);
    events.stop();
    events.stop();
    assert.deepEqual(counts().map(({ lines }) => lines), [7]);
  });
});

describe("what all clients may log", () => {
  it(`is ${ALL} lines of each level in a minute, and few that count the others`, () => {
    const { lines, clock, events, suppressed, counts } = open("INFO");
    for (let i = 0; i < 50_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      events.connection({ ...summary, client: { ...client, address } });
    }
    assert.equal(lines.length, ALL);
    assert.equal(suppressed(), 50_000 - ALL);
    clock.now = 60_000;
    events.connection({ ...summary, client });
    assert.deepEqual(counts().map(({ message, lines }) => [message, lines]), [
      ["… and 47000 more lines like this from others in the last minute", 47_000],
    ]);
  });

  it("is apart for accounts that have sent mail: a crowd of others hides none of theirs", () => {
    const { lines, refuse, send } = open();
    send(entry("honest"));
    for (let i = 0; i < 20_000; i++) {
      refuse(entry(`bad${i}`), { ...client, address: `10.0.${i >> 8}.${i & 255}` });
    }
    const before = lines.length;
    refuse(entry("honest"));
    assert.equal(lines[before]!["entry"], "honest");
  });
});
