// A session as its connection sees it, beyond the dialogue: stops, states, blocks.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { Secret } from "../../src/secret.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import type { Reservation } from "../../src/smtp/reservation.ts";
import { Session, type SessionOptions } from "../../src/smtp/session.ts";
import { driverIn, STATES } from "./driver.ts";

const OPTIONS: SessionOptions = {
  hostname: "relay.example",
  greeting: "ready",
  maxMessageSize: 1000,
  maxRecipients: 10,
  requireTls: false,
  offerTls: false,
};
const STOPPING = reply(421, "4.3.2", "relay.example is stopping");

describe("a session that is ended by the server (RFC 5321 §3.8)", () => {
  for (const state of Object.keys(STATES).filter((name) => name !== "closed")) {
    it(`replies 421 and closes, ${state}`, () => {
      const driver = driverIn(state, { late: true });
      const effects = driver.session.abort(STOPPING, "the relay stops");
      assert.deepEqual(effects, [
        { type: "reply", text: "421 4.3.2 relay.example is stopping\r\n" },
        { type: "close", reason: "the relay stops" },
      ]);
      assert.deepEqual(driver.session.receive(new Uint8Array([10])), []);
      assert.deepEqual(driver.session.submitted(reply(250, "2.0.0", "OK")), []);
    });
  }

  it("sends nothing after it has closed", () => {
    assert.deepEqual(driverIn("closed").session.abort(STOPPING, "the relay stops"), []);
  });
});

describe("what a session awaits decides about timeouts (RFC 5321 §4.5.3.2)", () => {
  const awaited = (state: string) => driverIn(state, { late: true }).session.progress.awaits;

  const table: Readonly<Record<string, readonly string[]>> = {
    owner: [
      "before a TLS handshake",
      "while a login is checked",
      "while the trusted account logs in",
      "while a message is delivered",
    ],
    content: [
      "in DATA",
      "in DATA after a half end",
      "in DATA beyond the limit",
      "in a chunk",
      "in a refused chunk",
    ],
    command: [
      "after the greeting",
      "in a command that is too long",
      "at the empty challenge of AUTH PLAIN",
      "between chunks",
      "after RCPT",
    ],
  };
  for (const [what, states] of Object.entries(table)) {
    for (const state of states) {
      it(`awaits ${what}: ${state}`, () => assert.equal(awaited(state), what));
    }
  }
});

describe("exchanges, each of which restarts COMMAND_TIMEOUT, are counted", () => {
  const cases: readonly [what: string, state: string, sent: string, exchanges: number][] = [
    ["at a command's end", "after EHLO", "NOOP\r\n", 1],
    ["for each command of a segment", "after EHLO", "NOOP\r\nNOOP\r\n", 2],
    ["not before a command's end", "after EHLO", "NOOP", 0],
    ["at a SASL response's end", "at the first challenge of AUTH LOGIN", "dXNlcg==\r\n", 1],
    ["with MAIL", "logged in", "MAIL FROM:<a@b>\r\n", 1],
    ["with a recipient", "after RCPT", "RCPT TO:<a@b>\r\n", 1],
    ["with RSET", "after RCPT", "RSET\r\n", 1],
    ["not with what leaves an open transaction as it was", "after RCPT", "NOOP\r\nXYZZY\r\n", 0],
    ["with DATA", "after RCPT", "DATA\r\n", 1],
    ["not inside a content", "in DATA", "x\r\nx\r\n", 0],
    ["at a content's end", "in DATA", "x\r\n.\r\n", 1],
    ["with BDAT", "after RCPT", "BDAT 3\r\n", 1],
    ["not inside a chunk", "in a chunk", "x".repeat(26), 0],
    ["at a chunk's end", "in a chunk", "x".repeat(27), 1],
    ["at the end of a refused chunk", "in a refused chunk", "x".repeat(27), 1],
    ["with an empty chunk", "between chunks", "BDAT 0\r\n", 1],
  ];
  for (const [what, state, sent, exchanges] of cases) {
    it(what, () => {
      const { session } = driverIn(state, { late: true });
      const before = session.progress.exchanges;
      session.receive(latin1(sent));
      assert.equal(session.progress.exchanges - before, exchanges);
    });
  }

  const answered = ["while a login is checked", "while the trusted account logs in"];
  for (const state of [...answered, "while a message is delivered"]) {
    it(`with the answer ${state}`, () => {
      const driver = driverIn(state, { late: true });
      const before = driver.session.progress.exchanges;
      driver.settle();
      assert.equal(driver.session.progress.exchanges - before, 1);
    });
  }

  it("with a TLS handshake", () => {
    const driver = driverIn("before a TLS handshake");
    const before = driver.session.progress.exchanges;
    driver.tlsStarted();
    assert.equal(driver.session.progress.exchanges - before, 1);
  });
});

describe("answers that are not awaited", () => {
  it("change nothing while another answer is awaited", () => {
    const login = driverIn("while a login is checked", { late: true });
    assert.deepEqual(login.session.submitted(reply(250, "2.0.0", "OK")), []);
    assert.equal(login.session.progress.awaits, "owner");
    const message = driverIn("while a message is delivered", { late: true });
    assert.deepEqual(message.session.authenticated(reply(235, "2.7.0", "OK")), []);
    assert.equal(message.session.progress.awaits, "owner");
  });

  it("change nothing: no login, no reply (RFC 4954 §4)", () => {
    const driver = driverIn("after EHLO");
    assert.deepEqual(driver.session.authenticated(reply(235, "2.7.0", "OK")), []);
    assert.deepEqual(driver.session.submitted(reply(250, "2.0.0", "OK")), []);
    assert.deepEqual(driver.session.tlsStarted(), []);
    driver.feed("MAIL FROM:<alice@example.com>\r\n");
    assert.equal(driver.replies, "530 5.7.0 Authentication required\r\n");
  });
});

describe("a submitted content", () => {
  it("stays unchanged while the next message arrives (RFC 5321 §3.3)", () => {
    const driver = driverIn("after RCPT", { late: true });
    const blocks = driver.session.receive(latin1("DATA\r\nfirst\r\n.\r\n"))
      .flatMap((effect) => effect.type === "submit" ? effect.content : []);
    const before = blocks.map((block) => block.slice());
    driver.session.submitted(reply(250, "2.0.0", "OK"));
    driver.feed("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nsecond message\r\n.\r\n");
    assert.equal(driver.submissions[0]?.content, "second message\r\n");
    assert.deepEqual(blocks, before);
  });
});

describe("a message to many", () => {
  it("has as many recipients as LIMITS RCPTMAX says, in order (RFC 5321 §4.5.3.1.8)", () => {
    const recipients = Array.from({ length: 500 }, (_, index) => `user${index}@example.net`);
    const driver = driverIn("after MAIL", { maxRecipients: 500 });
    driver.feed(recipients.map((address) => `RCPT TO:<${address}>\r\n`).join(""));
    driver.feed("RCPT TO:<one-more@example.net>\r\nDATA\r\n.\r\n");
    assert.deepEqual(driver.submissions[0]?.envelope.recipients, recipients);
    assert.equal(driver.replies.match(/^250 2\.1\.5 /gm)?.length, 500);
    assert.equal(driver.replies.match(/^452 4\.5\.3 /gm)?.length, 1);
  });
});

describe("a session that is to stop (RFC 5321 §3.8)", () => {
  const stopped = (state: string) => {
    const driver = driverIn(state, { late: true });
    driver.carryOut(driver.session.stop(STOPPING, "the relay stops"));
    return driver;
  };

  it("stops immediately if nothing is in progress", () => {
    const states = ["after the greeting", "in the middle of a command", "after RCPT"];
    for (const state of [...states, "at the empty challenge of AUTH PLAIN", "between chunks"]) {
      const driver = stopped(state);
      assert.equal(driver.replies, "421 4.3.2 relay.example is stopping\r\n", state);
      assert.equal(driver.closed, true, state);
    }
  });

  it("first receives the current message, and waits for its reply", () => {
    const driver = stopped("in DATA");
    assert.equal(driver.closed, false);
    driver.feed("x\r\n.\r\nMAIL FROM:<a@b>\r\n");
    assert.equal(driver.closed, false);
    driver.settle();
    assert.equal(
      driver.replies,
      "250 2.0.0 Accepted as 1\r\n421 4.3.2 relay.example is stopping\r\n",
    );
    assert.equal(driver.closed, true);
  });

  it("waits for the answer to a login, and for a refused chunk", () => {
    const login = stopped("while a login is checked");
    login.settle();
    assert.match(login.replies, /^235 [^\r]+\r\n421 [^\r]+\r\n$/);
    // The client gets no further challenge after a mechanism's error.
    const token = driverIn("at the empty challenge of AUTH XOAUTH2", { late: true });
    token.feed("dXNlcj11c2VyAWF1dGg9QmVhcmVyIGJhZAEB\r\n");
    token.carryOut(token.session.stop(STOPPING, "the relay stops"));
    token.settle();
    assert.match(token.replies, /^535 [^\r]+\r\n421 [^\r]+\r\n$/);
    const chunk = stopped("in a refused chunk");
    chunk.feed("x".repeat(27));
    assert.match(chunk.replies, /^503 [^\r]+\r\n421 [^\r]+\r\n$/);
    assert.equal(chunk.closed, true);
  });
});

describe("a message that does not end", () => {
  it("gets 552 in its middle, 64 MiB over the limit, and a close (RFC 5321 §7.8)", () => {
    const driver = driverIn("in DATA");
    const block = new Uint8Array(1024 * 1024).fill(120);
    for (let i = 0; i < 64; i++) driver.feed(block);
    assert.equal(driver.replies, "");
    driver.feed(block);
    assert.equal(driver.replies, "552 5.3.4 Message exceeds the maximum size\r\n");
    assert.equal(driver.closed, true);
    assert.equal(driver.memory.used, 0);
  });
});

describe("room in memory", () => {
  const inFlight = (recipients: readonly string[]) => {
    const driver = driverIn("logged in", { late: true, maxRecipients: 500 });
    const paths = recipients.map((to) => `RCPT TO:<${to}>\r\n`).join("");
    driver.feed(`MAIL FROM:<a@example.com>\r\n${paths}`);
    const before = driver.memory.used;
    driver.feed("BDAT 1 LAST\r\nx");
    return [before, driver.memory.used] as const;
  };

  it("is reserved for recipients as well, as they arrive and while the message is sent", () => {
    const name = (i: number) => `${i}${"x".repeat(50)}@${"y".repeat(60)}.${"z".repeat(60)}.example`;
    const [before, after] = inFlight(Array.from({ length: 500 }, (_, i) => name(i)));
    assert(before > 3 * 500 * 180);
    assert(after > 3 * 500 * 180);
  });

  it("is reserved for the smallest message, so that their number is bounded", () => {
    assert.equal(inFlight(["b@example.org"])[1], 16 * 1024 * 1.5);
  });

  const TAKEN = ["after MAIL", "after RCPT", "in DATA", "in a chunk", "between chunks"];
  for (const state of [...TAKEN, "while a message is delivered"]) {
    it(`is reserved ${state}`, () => {
      assert.ok(driverIn(state, { late: true }).memory.used > 0);
    });
  }

  const FREE = ["logged in", "in DATA beyond the limit", "in a refused chunk"];
  for (const state of [...FREE, "after a refused chunk"]) {
    it(`is free ${state}: nothing of the message is kept`, () => {
      assert.equal(driverIn(state).memory.used, 0);
    });
  }

  it("is released when TLS begins inside a transaction (RFC 3207 §4.2)", () => {
    const driver = driverIn("after RCPT");
    driver.feed("STARTTLS\r\n");
    driver.tlsStarted();
    assert.equal(driver.memory.used, 0);
  });
});

describe("a session's own refusal is notified once:", () => {
  const BIG = "x".repeat(2001);
  const MAIL = { command: "MAIL", authenticated: true } as const;
  type ExpectedRefusal = Partial<Refusal> & { readonly code: number };
  const cases: Readonly<
    Record<string, readonly [state: string, sent: string, expected: ExpectedRefusal[]]>
  > = {
    "AUTH with a password that is not UTF-8": [
      "after EHLO",
      "AUTH PLAIN AGEA/w==\r\n",
      [{ command: "AUTH", authenticated: false, code: 535, tried: new Secret("61 ff") }],
    ],
    "AUTH with an unknown mechanism": [
      "after EHLO",
      "AUTH CRAM-MD5\r\n",
      [{ command: "AUTH", authenticated: false, code: 504 }],
    ],
    "AUTH with a line that is too long": [
      "after EHLO",
      "AUTH PLAIN " + "A".repeat(13_000) + "\r\n",
      [{ command: "AUTH", authenticated: false, code: 500 }],
    ],
    "MAIL without a login": [
      "after EHLO",
      "MAIL FROM:<a@b>\r\n",
      [{ command: "MAIL", authenticated: false, code: 530 }],
    ],
    "MAIL with a bad address": [
      "logged in",
      "MAIL FROM:<\xc3\xbc>\r\n",
      [{ ...MAIL, code: 501, argument: "FROM:<ü>" }],
    ],
    "MAIL with a SIZE that is too large": [
      "logged in",
      "MAIL FROM:<a@b> SIZE=2001\r\n",
      [{ ...MAIL, code: 552, argument: "FROM:<a@b> SIZE=2001" }],
    ],
    "RCPT with a bad address": [
      "after MAIL",
      "RCPT TO:<bob>\r\n",
      [{ ...MAIL, command: "RCPT", code: 501, argument: "TO:<bob>", from: "alice@example.com" }],
    ],
    "RCPT beyond the limit": [
      "after RCPT",
      "RCPT TO:<c@d>\r\n".repeat(5),
      [{ ...MAIL, command: "RCPT", code: 452, argument: "TO:<c@d>", from: "alice@example.com" }],
    ],
    "DATA that is too large": [
      "in DATA",
      BIG + "\r\n.\r\n",
      [{ ...MAIL, command: "DATA", code: 552, from: "alice@example.com" }],
    ],
    "BDAT that is too large": [
      "after RCPT",
      "BDAT 2001\r\n" + BIG + "BDAT 3 LAST\r\nabc",
      [{ ...MAIL, command: "BDAT", code: 552, from: "alice@example.com" }],
    ],
    "BDAT that is endless": [
      "after RCPT",
      "BDAT 999999999999\r\n",
      [{ ...MAIL, command: "BDAT", code: 552, from: "alice@example.com" }],
    ],
    "nothing that is merely out of order": [
      "logged in",
      "DATA\r\nRCPT TO:<a@b>\r\nNOOP\r\nFOO\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nDATA\r\n",
      [],
    ],
    "nothing of a stranger's chunk": ["after EHLO", "BDAT 3 LAST\r\nabc", []],
  };
  for (const [what, [state, sent, expected]] of Object.entries(cases)) {
    it(what, () => {
      const driver = driverIn(state);
      driver.feed(sent);
      const seen = driver.refusals.map(({ reply, ...rest }) => ({ ...rest, code: reply.code }));
      assert.deepEqual(seen, expected);
    });
  }

  it("a password that is not UTF-8, with what tells it from others", () => {
    const driver = driverIn("after EHLO");
    for (const octets of ["\0a\0\xff", "\0a\xff\0", "\0a\0\xff"]) {
      driver.feed(`AUTH PLAIN ${Buffer.from(octets, "latin1").toString("base64")}\r\n`);
    }
    const tried = driver.refusals.map(({ tried }) => tried?.reveal());
    assert.deepEqual(tried, ["61 ff", "61ff ", "61 ff"]);
  });

  it("a message without room in memory", () => {
    const atMail = driverIn("logged in", { maxMemory: 0 });
    atMail.feed("MAIL FROM:<a@b>\r\n");
    const inData = driverIn("in DATA", { maxMemory: 1500 });
    inData.feed("x".repeat(1001) + "\r\n.\r\n");
    const refusals = [...atMail.refusals, ...inData.refusals];
    assert.deepEqual(refusals.map(({ command, reply }) => `${command} ${reply.code}`), [
      "MAIL 452",
      "DATA 452",
    ]);
  });
});

describe("the loss of a message in chunks, whose memory was released for others, is notified once, with the next reply", () => {
  /** A session within BDAT, and what takes its room away. */
  function chunked(): { session: Session; giveUp(): void } {
    let room = true;
    const reservation: Reservation = {
      expect: () => room,
      ensure: () => room,
      settle() {},
      release() {},
      giveUp: undefined,
    };
    const session = new Session(OPTIONS, false, { open: () => reservation });
    session.open();
    session.receive(latin1(`EHLO x\r\nAUTH PLAIN ${btoa("\0user\0secret")}\r\n`));
    session.authenticated(REPLIES.authenticated);
    session.receive(latin1("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\n"));
    session.receive(latin1("BDAT 3\r\nabcBDAT 3\r\nd"));
    const giveUp = () => {
      room = false;
      reservation.giveUp?.();
    };
    return { session, giveUp };
  }

  const cases: Readonly<Record<string, readonly [before: string, after: string]>> = {
    "in a chunk": ["", "efBDAT 3 LAST\r\nghi"],
    "between chunks": ["ef", "BDAT 3\r\nghiBDAT 3 LAST\r\njkl"],
    "before the last one": ["ef", "BDAT 0 LAST\r\n"],
  };
  for (const [where, [before, after]] of Object.entries(cases)) {
    it(where, () => {
      const { session, giveUp } = chunked();
      session.receive(latin1(before));
      giveUp();
      const effects = session.receive(latin1(after));
      const refusals = effects.filter((effect) => effect.type === "refused");
      assert.deepEqual(
        refusals.map(({ refusal: { command, from, reply } }) => [command, from, reply.code]),
        [["BDAT", "a@example.com", 452]],
      );
      const said = effects.map((effect) => effect.type === "reply" ? effect.text : "").join("");
      assert.match(said, /^(?:452 [^\r]*\r\n)+$/);
    });
  }
});

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
