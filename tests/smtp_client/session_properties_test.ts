// Properties of the client session that hold for any octets of a server, in any segments.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { ClientSession } from "../../src/smtp_client/client_session.ts";
import { ContentStream } from "../../src/smtp_client/content_stream.ts";
import type { ClientEffect } from "../../src/smtp_client/client_session.ts";
import type { SessionResult } from "../../src/smtp_client/session_result.ts";
import { Driver } from "../smtp/driver.ts";
import { Secret } from "../../src/secret.ts";
import * as fc from "../support/property.ts";
import { ClientDriver, LOGINS, type Scenario, TLS_MODES } from "./driver.ts";

/** Replies that advance a session, and others. */
const REPLIES = [
  ..."220 mail.example|250 OK|250-mail.example|250-PIPELINING|250-CHUNKING|250-SIZE 5000".split(
    "|",
  ),
  ..."250-STARTTLS|250-AUTH PLAIN LOGIN XOAUTH2|250 AUTH OAUTHBEARER|250 STARTTLS".split("|"),
  ..."250 OK|250 OK|250 2.1.5 OK|354 go on|334|334 eyJ9|235 OK|221 Bye|251 x|502 what".split("|"),
  ..."421 4.4.2 Bye|550 5.1.1 No|450 4.2.0 Later|535 5.7.8 No|552 5.3.4 Much|nonsense|99 x".split(
    "|",
  ),
];

/** What a server says, reply by reply. */
const replies = fc.array(fc.constantFrom(...REPLIES), { maxLength: 20 });

const scenario: fc.Arbitrary<Scenario> = fc.record({
  login: fc.constantFrom(...LOGINS),
  tls: fc.constantFrom(...TLS_MODES),
  envelopes: fc.array(
    fc.record({
      recipients: fc.constantFrom(["bob@example.org"], ["a@example.org", "b@example.org"]),
      partlyRefused: fc.constantFrom("send" as const, "stop" as const),
      size: fc.constantFrom(1000, 6000),
      eightBit: fc.boolean(),
    }),
    { maxLength: 3 },
  ),
});

/** Greeting and EHLO, which most servers get right. */
const POLITE = ["220 mail.example", "250-mail.example", "250-PIPELINING", "250 8BITMIME"];

describe("any replies of a server", () => {
  it("give each message one result, and end with the connection", () => {
    fc.assert(
      fc.property(scenario, replies, fc.boolean(), (scenario, replies, polite) => {
        const driver = new ClientDriver(scenario);
        for (const reply of [...(polite ? POLITE : []), ...replies]) driver.feed(`${reply}\r\n`);
        driver.end();
      }),
      { numRuns: 500 },
    );
  });

  it("mean the same however each of them is cut", () => {
    const cuts = fc.array(fc.nat(), { maxLength: 5 });
    fc.assert(
      fc.property(scenario, replies, cuts, (scenario, replies, cuts) => {
        const whole = new ClientDriver(scenario);
        const cut = new ClientDriver(scenario);
        for (const reply of [...POLITE, ...replies]) {
          const text = `${reply}\r\n`;
          whole.feed(text);
          let start = 0;
          for (const end of [...cuts.map((at) => at % text.length), text.length].sort(byValue)) {
            if (end > start) cut.feed(text.slice(start, end));
            start = Math.max(start, end);
          }
        }
        whole.end();
        cut.end();
        assert.deepEqual([cut.results, cut.written], [whole.results, whole.written]);
      }),
      { numRuns: 300 },
    );
  });

  it("may be anything at all, in any segments", () => {
    const segment = fc.oneof(
      fc.uint8Array({ maxLength: 30 }).map((octets) => Buffer.from(octets)),
      fc.array(fc.constantFrom(...REPLIES, "\0", "\r", "\n", "\r\n"), { maxLength: 10 })
        .map((words) => Buffer.from(words.join("\r\n"), "latin1")),
    );
    fc.assert(
      fc.property(scenario, fc.array(segment, { maxLength: 10 }), (scenario, segments) => {
        const driver = new ClientDriver(scenario);
        for (const octets of segments) driver.feed(octets);
        driver.end();
      }),
      { numRuns: 300 },
    );
  });

  it("cannot make the client send more than the messages need", () => {
    fc.assert(
      fc.property(scenario, fc.constantFrom(...REPLIES), (scenario, reply) => {
        const driver = new ClientDriver(scenario);
        for (const line of POLITE) driver.feed(`${line}\r\n`);
        for (let i = 0; i < 1000 && !driver.closed; i++) driver.feed(`${reply}\r\n`);
        driver.end();
        assert.ok(driver.written.length < 4000, driver.written);
      }),
    );
  });
});

const byValue = (a: number, b: number) => a - b;

describe("the client's session with the server's", () => {
  const words = fc.constantFrom(
    ..."\r\n|.|..|\r\n.\r\n|a|\xe9|text|\r\n\r\n|Subject: x\r\n".split("|"),
  );
  const content = fc.array(words, { maxLength: 20 }).map((words) => words.join(""));
  const address = fc.constantFrom("bob@example.org", '"a>b"@example.org', "carol@example.net");

  it("hands over envelope and content as they are", () => {
    fc.assert(
      fc.property(
        content,
        fc.array(address, { minLength: 1, maxLength: 4 }),
        fc.constantFrom(...LOGINS.slice(1)),
        fc.constantFrom("CHUNKING", "PIPELINING", "none"),
        fc.nat({ max: 40 }),
        (text, recipients, login, without, cut) => {
          const server = new Driver({
            maxMemory: 1_000_000,
            maxMessageSize: 100_000,
            maxRecipients: 10,
          });
          const octets = Buffer.from(text, "latin1");
          const { results } = converse(server, {
            login: login.type === "password" ? { ...login, password: new Secret("good") } : {
              type: "token",
              username: "user",
              token: new Secret("good"),
            },
            recipients,
            octets,
            without,
            cut,
          });
          assert.equal(results.at(-1)?.type, "accepted", JSON.stringify(results));
          assert.equal(server.submissions.length, 1);
          const [{ envelope, content } = assert.fail()] = server.submissions;
          assert.deepEqual(envelope, { from: "alice@example.com", recipients });
          const byData = without === "CHUNKING";
          const end = !byData || text === "" || text.endsWith("\r\n") ? "" : "\r\n";
          assert.equal(content, text + end);
        },
      ),
      { numRuns: 200 },
    );
  });
});

interface Talk {
  readonly login: Scenario["login"];
  readonly recipients: readonly string[];
  readonly octets: Buffer;
  /** An extension that the client is not told of. */
  readonly without: string;
  /** Octets of a segment; 0 for all. */
  readonly cut: number;
}

/** Lets both sessions talk until neither has more to say. */
function converse(server: Driver, { login, recipients, octets, without, cut }: Talk) {
  const client = new ClientSession({
    name: "client.example",
    server: { hostname: "relay.example", port: 587, tls: "loopback" },
    login,
  });
  client.connected();
  const results: SessionResult[] = [];
  const carryOut = (effects: readonly ClientEffect[]) => {
    for (const effect of effects) {
      if (effect.type === "write") server.feed(Buffer.from(effect.text, "utf8"));
      if (effect.type === "result") {
        results.push(effect.result);
        if (effect.result.type === "ready") {
          carryOut(client.send({
            from: "alice@example.com",
            recipients,
            size: octets.length,
            eightBit: true,
            smtputf8: false,
            partlyRefused: "stop",
          }));
        }
      }
      if (effect.type !== "content") continue;
      const stream = new ContentStream([octets], {
        size: octets.length,
        stuffed: effect.bdat === undefined,
        head: effect.bdat,
      });
      for (let part = stream.next(); part !== undefined; part = stream.next()) {
        if (stream.isLast) client.contentLeaves();
        server.feed(Buffer.from(part));
      }
    }
  };
  server.replies = "220 relay.example\r\n";
  while (server.replies !== "") {
    const replies = server.replies.replace(`250-${without}\r\n`, "");
    server.replies = "";
    const size = cut === 0 ? replies.length : cut;
    for (let at = 0; at < replies.length; at += size) {
      carryOut(client.receive(Buffer.from(replies.slice(at, at + size), "latin1")));
    }
  }
  return { results };
}
