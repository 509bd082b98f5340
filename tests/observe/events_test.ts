/** Which events make which lines: what went wrong is WARNING, mail that went is INFO. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LoginResult } from "../../src/accounts/accounts.ts";
import type { Outcome } from "../../src/delivery/outcome.ts";
import { Events } from "../../src/observe/events.ts";
import { createLog } from "../../src/observe/log.ts";
import { Secret } from "../../src/secret.ts";
import type { ConnectionSummary } from "../../src/server/handlers.ts";
import { reply } from "../../src/smtp/reply.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { accountWith, MESSAGE, submissionOf, tokenOf } from "../support/submissions.ts";

const client = { connection: "c0ffee", address: "192.0.2.7", port: 4711 };

/** The one line that `tell` makes. */
function lineOf(tell: (events: Events) => void): Record<string, unknown> {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  tell(new Events(createLog({ level: "DEBUG", format: "json", write })));
  assert.equal(lines.length, 1);
  const { time: _, ...line } = JSON.parse(lines[0]!) as Record<string, unknown>;
  return line;
}

const account = accountWith(tokenOf("t0ken"));

describe("a login's line", () => {
  const login = (result: LoginResult, username = USERNAME) =>
    lineOf((events) =>
      events.login(
        { mechanism: "PLAIN", username, password: new Secret("hunter2") },
        client,
        result,
      )
    );

  it("is DEBUG when it succeeded", () => {
    const line = login({ type: "account", account, reply: reply(235, "2.7.0", "OK") });
    assert.deepEqual(line, {
      level: "DEBUG",
      message: "Login succeeded",
      connection: "c0ffee",
      client: "192.0.2.7",
      username: USERNAME,
      mechanism: "PLAIN",
    });
  });

  for (
    const [type, code, message] of [["refused", 535, "Login refused"], [
      "later",
      454,
      "Login deferred",
    ]] as const
  ) {
    it(`is WARNING when it was ${type}, with the reason, and without the password`, () => {
      const line = login({ type, reply: reply(code, "5.7.8", "No"), detail: "because" });
      assert.deepEqual([line["level"], line["message"]], ["WARNING", message]);
      assert.deepEqual([line["detail"], line["reply"]], ["because", code]);
      assert(!JSON.stringify(line).includes("hunter2"));
    });
  }

  it("quotes no more than the beginning of an endless username", () => {
    const refused = { type: "refused", reply: reply(535, "5.7.8", "No"), detail: "long" } as const;
    assert.equal(String(login(refused, "x".repeat(5000))["username"]).length, 256);
  });
});

describe("a message's line", () => {
  const told = (outcome: Outcome) =>
    lineOf((events) => events.message(submissionOf(account), outcome, client, 12.6));
  const failed = { ambiguous: false, code: "ErrorX", detail: "because" };

  it("is INFO when it was sent, with the id of the reply and Graph's", () => {
    assert.deepEqual(told({ type: "sent", reply: reply(250, "2.0.0", "OK"), requestId: "r-1" }), {
      level: "INFO",
      message: "Message sent",
      id: "0123456789abcdef",
      connection: "c0ffee",
      client: "192.0.2.7",
      tenant: TENANT,
      app: CLIENT,
      sender: "ann@x.test",
      recipients: 1,
      bytes: MESSAGE.length,
      ms: 13,
      request: "r-1",
    });
  });

  const OTHERS: readonly (readonly [message: string, outcome: Outcome])[] = [
    ["Message refused", { ...failed, type: "refused", reply: reply(554, "5.6.0", "No") }],
    ["Message deferred", { ...failed, type: "later", reply: reply(451, "4.3.2", "Later") }],
    ["Message may have been sent", {
      ...failed,
      type: "later",
      ambiguous: true,
      reply: reply(451, "4.4.2", "Who knows"),
    }],
  ];
  for (const [message, outcome] of OTHERS) {
    it(`is WARNING and "${message}" for ${outcome.type}, with what the service said`, () => {
      const line = told(outcome);
      assert.deepEqual([line["level"], line["message"]], ["WARNING", message]);
      assert.deepEqual(
        [line["code"], line["detail"], line["reply"], line["id"]],
        ["ErrorX", "because", outcome.reply.code, "0123456789abcdef"],
      );
    });
  }
});

describe("a connection's line", () => {
  const summary: ConnectionSummary = {
    client,
    secure: true,
    handshakeFailed: false,
    received: 100,
    messages: 1,
    milliseconds: 5,
    reason: "QUIT",
    error: false,
  };
  const CASES:
    readonly (readonly [what: string, level: string, part: Partial<ConnectionSummary>])[] = [
      ["that said something", "INFO", {}],
      ["that sent nothing: a port check", "DEBUG", { received: 0 }],
      ["whose TLS handshake failed", "WARNING", {
        received: 0,
        handshakeFailed: true,
        error: true,
      }],
      ["that left inside its TLS handshake", "DEBUG", { received: 0, handshakeFailed: true }],
    ];
  for (const [what, level, part] of CASES) {
    it(`is ${level} for one ${what}`, () => {
      assert.equal(lineOf((events) => events.connection({ ...summary, ...part }))["level"], level);
    });
  }
});

describe("a bug's line", () => {
  it("is ERROR, with the stack, in one line", () => {
    const line = lineOf((events) => events.bug(new Error("oh\nno"), client));
    assert.equal(line["level"], "ERROR");
    assert.match(String(line["error"]), /oh\nno[^]*events_test/);
  });

  it("is written for anything that can be thrown", () => {
    for (const thrown of ["text", undefined, null, 7, { a: 1 }, Object.create(null)]) {
      assert.equal(lineOf((events) => events.bug(thrown, client))["level"], "ERROR");
    }
  });
});
