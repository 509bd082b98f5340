// Properties of the session that hold for any octets, in any segments.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { reply } from "../../src/smtp/reply.ts";
import { type Driver, driverIn, STATES } from "./driver.ts";
import { joinOctets } from "./script.ts";

const latin1 = (text: string) => Buffer.from(text, "latin1");

/** Commands that advance a session, whole and in pieces: pure noise would never leave EHLO. */
const WORDS = [
  ..."\r\n|\n|\r|.|\r\n.\r\n|\n.\n|\r\n.|..| |\t|\0|<|>|:|=|*|\x16|\xff|\xc3\xa0|LAST".split("|"),
  ..."EHLO a\r\n|HELO\r\n|STARTTLS\r\n|RSET\r\n|NOOP\n|HELP x\r\n|VRFY a\r\n|QUIT\r\n".split("|"),
  ..."GET / HTTP/1.1\r\n|EXPN a\r\n|AUTH PLAIN\r\n|AUTH LOGIN\r\n|AUTH PLAIN =\r\n".split("|"),
  ..."AUTH PLAIN AHVzZXIAZ29vZA==\r\n|AUTH PLAIN AHVzZXIAYmFk\r\n|dXNlcg==\r\n|*\r\n".split("|"),
  ..."MAIL FROM:<alice@example.com>\r\n|MAIL FROM:<> SIZE=5000\r\n|MAIL FROM: a@b\n".split("|"),
  ..."MAIL FROM:<\xc3\xbc@b> SMTPUTF8\r\n|RCPT TO:<\xc3\xbc@b>\r\n|RCPT TO:<\xfc@b>\r\n".split("|"),
  ..."RCPT TO:<bob@example.net>\r\n|RCPT TO:<Postmaster>\r\n|RCPT TO:<\r\n|DATA\r\n".split("|"),
  ..."BDAT 3\r\n|BDAT 0 LAST\r\n|BDAT 12 LAST\r\n|BDAT 3000\r\n|BDAT x\r\n".split("|"),
  "x".repeat(600),
  "MAIL FROM:<" + "y".repeat(5000),
];

const octets = fc.array(
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...WORDS).map(latin1) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  ),
  { maxLength: 30 },
).map(joinOctets);

/** Enough, or for one message and not the largest one, or for none. */
const memory = fc.constantFrom(1_000_000, 1_000_000, 2_500, 700, 0);

const cuts = fc.array(fc.nat(), { maxLength: 20 });

/** Answers everything, and starts TLS if requested. */
function finish(driver: Driver): void {
  driver.settle();
  if (driver.awaitsTls) driver.tlsStarted();
}

describe("any octets from a client (RFC 5321 §4.2)", () => {
  for (const state of Object.keys(STATES)) {
    it(`get well-formed replies or a close, ${state}`, () => {
      fc.assert(
        fc.property(octets, cuts, fc.boolean(), memory, (sent, cuts, late, maxMemory) => {
          // The driver checks each effect: form of replies, nothing after a close.
          const driver = driverIn(state, { late, maxMemory });
          driver.feedCut(sent, cuts);
          finish(driver);
          driver.feedCut(sent, cuts);
          finish(driver);
          if (!driver.closed) {
            driver.carryOut(driver.session.abort(reply(421, "4.3.2", "Stopping"), "the test ends"));
          }
          assert.equal(driver.closed, true);
          assert.equal(driver.memory.used, 0, "room in memory that is not given back");
          assertSilent(driver);
        }),
        { numRuns: 40 },
      );
    });

    it(`have the same effects however they are cut, ${state}`, () => {
      fc.assert(
        fc.property(octets, cuts, fc.boolean(), memory, (sent, cuts, late, maxMemory) => {
          const whole = driverIn(state, { maxMemory });
          whole.feed(sent);
          const cut = driverIn(state, { late, maxMemory });
          cut.feedCut(sent, cuts);
          cut.settle();
          assert.deepEqual(cut.outcome(), whole.outcome());
          finish(whole);
          finish(cut);
          whole.feed("NOOP\r\n");
          cut.feed("NOOP\r\n");
          // It may have been the end of a message.
          cut.settle();
          assert.deepEqual(cut.outcome(), whole.outcome());
        }),
        { numRuns: 40 },
      );
    });
  }

  it("never submit a message if they are noise alone", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), cuts, (sent, cuts) => {
        const driver = driverIn("on TLS");
        driver.feedCut(sent, cuts);
        assert.deepEqual(driver.submissions, []);
      }),
    );
  });
});

/** A closed session ignores all input and has no effects. */
function assertSilent({ session }: Driver): void {
  const answer = reply(250, "2.0.0", "OK");
  assert.deepEqual(session.receive(latin1("NOOP\r\n")), []);
  assert.deepEqual(session.tlsStarted(), []);
  assert.deepEqual(session.authenticated(answer), []);
  assert.deepEqual(session.submitted(answer), []);
  assert.deepEqual(session.abort(answer, "again"), []);
  assert.equal(session.progress.awaits, "nothing");
}

/** Content with many line ends and dots, whole and broken. */
const content = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("\r\n", "\r\n", ".", ".", "\r", "\n", "\0", "Ab c") },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 9 }).map((it) => toText(it)) },
  ),
  { maxLength: 60 },
).map((parts) => parts.join(""));

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}

/** RFC 5321 §4.5.2 as a client does it, an octet at a time; the content ends in CRLF or is empty. */
function stuffed(content: string): string {
  let out = "";
  for (let i = 0; i < content.length; i++) {
    const lineBegins = i === 0 || (content[i - 2] === "\r" && content[i - 1] === "\n");
    if (lineBegins && content[i] === ".") out += ".";
    out += content[i];
  }
  return out + ".\r\n";
}

describe("a message's content arrives unchanged (RFC 5321 §4.5.2, RFC 3030 §2)", () => {
  it("survives dot-stuffing, octet for octet, in any segments", () => {
    fc.assert(
      fc.property(content, cuts, (text, cuts) => {
        const message = text === "" || text.endsWith("\r\n") ? text : text + "\r\n";
        const driver = driverIn("in DATA");
        driver.feedCut(latin1(stuffed(message)), cuts);
        assert.deepEqual(driver.submissions.map(({ content }) => content), [message]);
        assert.equal(driver.replies, "250 2.0.0 Accepted as 1\r\n");
      }),
      { numRuns: 1000 },
    );
  });

  it("survives BDAT in any chunks and any segments", () => {
    fc.assert(
      fc.property(fc.array(content, { minLength: 1, maxLength: 6 }), cuts, (chunks, cuts) => {
        const last = chunks.length - 1;
        const sent = chunks.map((chunk, i) =>
          `BDAT ${chunk.length}${i === last ? " LAST" : ""}\r\n${chunk}`
        );
        const driver = driverIn("after RCPT");
        driver.feedCut(latin1(sent.join("")), cuts);
        assert.deepEqual(driver.submissions.map(({ content }) => content), [chunks.join("")]);
        assert.equal(driver.replies.match(/^250 2\.0\.0 /gm)?.length, chunks.length);
      }),
      { numRuns: 500 },
    );
  });

  it("is kept whole over many blocks, whatever the client announced", () => {
    fc.assert(
      fc.property(fc.nat(5_000_000), fc.nat(3_000_000), cuts, (length, announced, cuts) => {
        const driver = driverIn("logged in", { maxMessageSize: 5_000_000 });
        driver.feed(`MAIL FROM:<> SIZE=${announced}\r\nRCPT TO:<bob@example.net>\r\n`);
        const message = Buffer.alloc(length, "0123456789abcdef0123456789abcdef\r\n");
        driver.feed(`BDAT ${length} LAST\r\n`);
        driver.feedCut(message, cuts);
        assert.ok(driver.submissions[0]?.content === toText(message), "the content differs");
      }),
      { numRuns: 10 },
    );
  });
});

describe("credentials and addresses arrive unchanged", () => {
  const base64 = (text: string) => Buffer.from(text).toString("base64");
  const text = fc.string({ unit: "binary" });
  const withoutNul = text.filter((it) => !it.includes("\0"));

  it("AUTH PLAIN: any UTF-8 but NUL, in username and password (RFC 4616 §2)", () => {
    fc.assert(
      fc.property(withoutNul, withoutNul, withoutNul, (identity, username, password) => {
        const driver = driverIn("at the empty challenge of AUTH PLAIN");
        driver.feed(base64(`${identity}\0${username}\0${password}`) + "\r\n");
        assert.deepEqual(driver.logins, [{ mechanism: "PLAIN", username, password }]);
      }),
    );
  });

  it("AUTH LOGIN: any UTF-8, in username and password (RFC 4954 §4)", () => {
    fc.assert(
      fc.property(text, text, (username, password) => {
        const driver = driverIn("at the first challenge of AUTH LOGIN");
        driver.feed(`${base64(username)}\r\n${base64(password)}\r\n`);
        assert.deepEqual(driver.logins, [{ mechanism: "LOGIN", username, password }]);
      }),
    );
  });

  const token = fc.stringMatching(/^[A-Za-z0-9._~+/-]+=*$/);
  const withoutSeparator = text.filter((it) => it !== "" && !it.includes("\x01"));

  it("AUTH XOAUTH2: any UTF-8 but its separator as the user", () => {
    fc.assert(
      fc.property(withoutSeparator, token, (username, password) => {
        const driver = driverIn("at the empty challenge of AUTH XOAUTH2");
        driver.feed(base64(`user=${username}\x01auth=Bearer ${password}\x01\x01`) + "\r\n");
        assert.deepEqual(driver.logins, [{ mechanism: "XOAUTH2", username, password }]);
      }),
    );
  });

  it("AUTH OAUTHBEARER: any UTF-8 but NUL and its separator, or none (RFC 7628 §3.1)", () => {
    fc.assert(
      fc.property(withoutSeparator, fc.boolean(), token, (text, named, password) => {
        const username = named ? text.replaceAll("\0", "") : "";
        const name = username.replaceAll("=", "=3D").replaceAll(",", "=2C");
        const driver = driverIn("at the empty challenge of AUTH OAUTHBEARER");
        driver.feed(
          base64(
            `n,${name === "" ? "" : `a=${name}`},\x01host=relay.example\x01port=587\x01` +
              `auth=Bearer ${password}\x01\x01`,
          ) + "\r\n",
        );
        assert.deepEqual(driver.logins, [{ mechanism: "OAUTHBEARER", username, password }]);
      }),
    );
  });

  it("paths: dot-strings and quoted strings, in ASCII or beyond (RFC 5321 §4.1.2)", () => {
    const letter = fc.constantFrom(..."abcXYZ019!#$%&'*+-/=?^_`{|}~", "ü", "à", "例", "🙂");
    const atom = fc.array(letter, { minLength: 1, maxLength: 5 }).map((it) => it.join(""));
    const inQuotes = fc.constantFrom(..."a .@<>,:;()[]", "à", '\\"', "\\\\");
    const local = fc.oneof(
      fc.array(atom, { minLength: 1, maxLength: 3 }).map((it) => it.join(".")),
      fc.array(inQuotes, { maxLength: 10 }).map((it) => `"${it.join("")}"`),
    );
    const label = fc.constantFrom("example", "a-b", "x", "xn--bcher-kva", "bücher", "à", "09");
    const domain = fc.array(label, { minLength: 1, maxLength: 4 }).map((it) => it.join("."));
    const address = fc.tuple(local, domain).map((it) => it.join("@"));
    fc.assert(
      fc.property(address, address, fc.boolean(), fc.boolean(), (from, to, brackets, space) => {
        const path = (it: string) => (space ? " " : "") + (brackets ? `<${it}>` : it);
        const driver = driverIn("logged in");
        driver.feed(Buffer.from(`MAIL FROM:${path(from)} SMTPUTF8\r\nRCPT TO:${path(to)}\r\n`));
        driver.feed("BDAT 0 LAST\r\n");
        assert.deepEqual(driver.submissions[0]?.envelope, { from, recipients: [to] });
      }),
      { numRuns: 500 },
    );
  });
});
