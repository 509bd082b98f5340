/**
 * What clients may log in a minute (CWE-779: a log that somebody can fill hides what matters, and fills
 * the disk): each account, each address, all together; and nothing is left out unseen.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { createLog, type LogLevel } from "../support/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import { Secret } from "../../src/secret.ts";
import { reply } from "../../src/smtp/reply.ts";
import type { Client, Principal } from "../../src/submission/submission_service.ts";
import {
  connectionEvent,
  entryAccount,
  limitEvent,
  listeners,
  loginEvent,
  PRINCIPAL,
  principalOf,
  proxyHeaderEvent,
  refusedEvent,
  submissionEvent,
} from "../support/events.ts";
import { USERNAME } from "../support/logins.ts";

const client: Client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };
const entry = (id: string) => principalOf(entryAccount(id));
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
  const { notify, close } = listeners(log, () => clock.now, metrics);
  const refuse = (principal: Principal | undefined, from = client) =>
    notify(refusedEvent(
      { command: "RCPT", reply: no, authenticated: true, argument: "x" },
      from,
      principal,
    ));
  const settle = (principal: Principal, outcome: Outcome, from = client) =>
    notify(submissionEvent(outcome, from, principal));
  return {
    lines,
    clock,
    notify,
    close,
    refuse,
    send: (principal: Principal) => settle(principal, SENT),
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

const SUMMARY: Partial<ConnectionEvent> = { messages: 0 };

/** Every kind of line that a client can cause, by the event that makes it. */
const KINDS: Readonly<Record<string, (client: Client) => RelayEvent>> = {
  "logins that are refused": (client) => login(client, { type: "refused", ...NO }),
  "logins that are put off": (client) => login(client, { type: "later", ...NO }),
  "logins that succeed": (client) => login(client, PRINCIPAL),
  "refusals by the session": (client) =>
    refusedEvent({ command: "RCPT", reply: no, authenticated: true }, client, PRINCIPAL),
  "refusals of strangers": (client) =>
    refusedEvent({ command: "MAIL", reply: no, authenticated: false }, client),
  "malformed logins": (client) =>
    refusedEvent(
      { command: "AUTH", reply: reply(535, "5.7.8", "No"), authenticated: false },
      client,
    ),
  "messages refused": (client) => submissionEvent(REFUSED, client),
  "messages put off": (client) => submissionEvent(LATER, client),
  "messages that may have been sent": (client) => submissionEvent(AMBIGUOUS, client),
  "messages that were sent before": (client) =>
    submissionEvent({ type: "alreadySent", reply: no, id: "x" }, client),
  "limits reached": (client) => limitEvent("MAX_ERRORS", client, "Too many errors"),
  "limits of an account": (client) =>
    limitEvent("MESSAGE_RATE_LIMIT", client, "Too many messages", PRINCIPAL),
  "PROXY headers": (client) => proxyHeaderEvent({ reason: "foreign", detail: "x" }, client),
  "connections": (client) => connectionEvent(client, SUMMARY),
  "connections that said nothing": (client) => connectionEvent(client, { received: 0 }),
  "TLS handshakes": (client) =>
    connectionEvent(client, { received: 0, handshakeFailed: true, error: true }),
  "connections to the wrong port": (client) => connectionEvent(client, { wrongPort: "tls" }),
  "faults": (client) => ({ type: "connectionFault", error: new Error("x"), client }),
};

const NO = { reply: no, detail: "no" };

function login(client: Client, result: Parameters<typeof loginEvent>[2]): RelayEvent {
  const credentials = {
    mechanism: "PLAIN",
    username: USERNAME,
    password: new Secret("x"),
  } as const;
  return loginEvent(credentials, client, result);
}

describe("what one client may log", () => {
  for (const [what, cause] of Object.entries(KINDS)) {
    it(`is ${EACH} lines of each level in a minute, then counted: ${what}`, () => {
      const { lines, clock, notify, suppressed, counts } = open();
      for (let i = 0; i < 2_000; i++) notify(cause(client));
      // A kind may have one line at WARNING and the others at DEBUG.
      assert.ok(lines.length <= EACH + 1 && lines.length >= EACH, `${lines.length} lines`);
      const left = 2_000 - lines.length;
      assert.equal(suppressed(), left);
      assert.deepEqual(counts(), []);
      clock.now = 60_000;
      notify(cause({ ...client, address: "198.51.100.1" }));
      assert.equal(counts().reduce((sum, { lines }) => sum + Number(lines), 0), left);
      const [count] = counts();
      assert.match(
        count!.message,
        /^… and \d+ more lines like this from this (account|address) in/,
      );
      assert.equal(count!["like"], lines[1]!.message);
      // The next minute has lines of its own.
      notify(cause(client));
      assert.equal(lines.at(-1)!.message, count!["like"]);
    });
  }

  it("names the account in the line that counts, or the network of the address", () => {
    const { notify, close, refuse, send, counts } = open();
    send(entry("scanner"));
    for (let i = 0; i < EACH + 5; i++) refuse(entry("scanner"));
    const address = (i: number) => ({ ...client, address: `2001:db8::${i + 1}` });
    for (let i = 0; i < EACH + 1; i++) notify(connectionEvent(address(i), SUMMARY));
    close();
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
      spread.refuse(PRINCIPAL, { ...client, address: `10.0.${i >> 8}.${i & 255}` });
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
    for (let i = 0; i < 10_000; i++) send(PRINCIPAL);
    assert.deepEqual([lines.length, suppressed()], [10_000, 0]);
  });

  it("is not used up by what a token says that nobody has verified", () => {
    const { lines, refuse, send } = open();
    send(PRINCIPAL);
    for (let i = 0; i < 10_000; i++) refuse(principalOf(PRINCIPAL.account, "forged"));
    const before = lines.length;
    refuse(PRINCIPAL);
    assert.equal(lines.length, before + 1);
  });

  it("is a stranger's to who claims to be accounts that have sent, by tokens of its own", () => {
    const { lines, refuse, send } = open();
    const names = Array.from({ length: 20 }, (_, i) => `entry ${i}`);
    for (const name of names) send(entry(name));
    const before = lines.length;
    for (const name of names) {
      for (let i = 0; i < EACH; i++) refuse(principalOf(entryAccount(name), `forged ${name}`));
    }
    assert.ok(lines.length - before <= 2 * EACH, `${lines.length - before} lines`);
    refuse(entry(names[0]!));
    assert.equal(lines.at(-1)!["entry"], names[0]);
    assert.equal(lines.at(-1)!["proved"], undefined);
  });

  it("is not an account's own by what was sent before its token was verified", () => {
    const { lines, refuse, send } = open();
    send(principalOf(entryAccount("claimed"), "a token"));
    for (let i = 0; i < 10_000; i++) refuse(entry(`bad${i % 50}`));
    const before = lines.length;
    refuse(entry("claimed"));
    assert.equal(lines.length, before);
  });

  it("counts nothing that LOG_LEVEL leaves out anyway", () => {
    const { lines, notify, suppressed } = open("WARNING");
    for (let i = 0; i < 10_000; i++) notify(connectionEvent(client, SUMMARY));
    assert.deepEqual([lines.length, suppressed()], [0, 0]);
  });

  it("is told at the stop, where the minute is not over", () => {
    const { close, refuse, counts } = open();
    for (let i = 0; i < EACH + 7; i++) refuse(PRINCIPAL);
    close();
    close();
    assert.deepEqual(counts().map(({ lines }) => lines), [7]);
  });
});

describe("what all clients may log", () => {
  it(`is ${ALL} lines of each level in a minute, and few that count the others`, () => {
    const { lines, clock, notify, suppressed, counts } = open("INFO");
    for (let i = 0; i < 50_000; i++) {
      const address = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
      notify(connectionEvent({ ...client, address }, SUMMARY));
    }
    assert.equal(lines.length, ALL);
    assert.equal(suppressed(), 50_000 - ALL);
    clock.now = 60_000;
    notify(connectionEvent(client, SUMMARY));
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
