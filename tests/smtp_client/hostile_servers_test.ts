// Servers that are silent, hang up, talk without end or say nonsense, at each step: the right result in
// bounded time and memory, on one connection, and no message sent twice.

import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { Secret } from "../../src/secret.ts";
import type { Login, SendResult, Stage } from "../../src/smtp_client/mail_client.ts";
import { SmtpClient, type SmtpClientOptions } from "../../src/smtp_client/smtp_client.ts";
import { createAuthority } from "../support/authority.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { closedPort } from "../support/raw_server.ts";
import { message, NO_LOGIN, OPTIONS, server } from "./client.ts";
import {
  type Answer,
  type MailServerOptions,
  type Question,
  startMailServer,
} from "./mail_server.ts";

const authority = await createAuthority("the tests' authority");
const stranger = await createAuthority("somebody else's authority");
const certificate = await authority.issue({ names: ["localhost"] });
const WRONG = [
  ["of another name", await authority.issue({ names: ["example.com"] }), /ALTNAME/],
  ["of an unknown authority", await stranger.issue({ names: ["localhost"] }), /./],
  ["that has expired", await authority.issue({ names: ["localhost"], from: -9, until: -1 }), /./],
] as const;
const LOGIN: Login = { type: "password", username: "user", password: new Secret("a-secret") };

/** The steps, with the stage that a fault in each of them is reported for. */
const STEPS: readonly (readonly [question: Question, stage: Stage])[] = [
  ["connect", "greeting"],
  ["EHLO", "EHLO"],
  ["STARTTLS", "STARTTLS"],
  ["AUTH", "AUTH"],
  ["MAIL", "MAIL"],
  ["RCPT", "RCPT"],
  ["DATA", "DATA"],
  ["content", "content"],
];

const STAGES: readonly Stage[] = ["connect", ...STEPS.map(([, stage]) => stage)];

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of opened.splice(0).reverse()) await thing.close();
});

async function start(options: MailServerOptions, client: Partial<SmtpClientOptions> = {}) {
  const clock = new FakeClock();
  const mail = await startMailServer({ certificate, extensions: ["AUTH PLAIN"], ...options });
  const smtp = new SmtpClient({
    name: "client.example",
    authorities: [authority.certificate],
    clock,
    ...client,
  });
  opened.push(mail);
  const target = server(mail.port, { hostname: "localhost", tls: "starttls" });
  return {
    clock,
    mail,
    smtp,
    send: (options = OPTIONS) => smtp.send(target, LOGIN, message(), options),
    /** Nothing is left behind. */
    async over() {
      const closing = smtp.close();
      await clock.passUntil(closing);
      assert.equal(smtp.connections, 0);
      assert.equal(clock.alarms, 0, "a timer is left");
    },
  };
}

/** Answers one question so, and the others as a good server does. */
const at = (asked: Question, answer: Answer) => (question: Question) =>
  question === asked ? answer : undefined;

function brief(result: SendResult): unknown[] {
  const { type } = result;
  if (type === "accepted") return [type];
  if (type === "refused") return [type, result.stage, result.reply.code];
  return [type, result.stage, result.code, result.ambiguous];
}

for (const extensions of [["AUTH PLAIN"], ["AUTH PLAIN", "PIPELINING"]]) {
  const way = extensions.includes("PIPELINING") ? "with PIPELINING" : "without PIPELINING";
  describe(`a server, ${way},`, () => {
    for (const [question, stage] of STEPS) {
      const begin = (answer: Answer) => start({ extensions, answer: at(question, answer) });

      it(`that says 421 at ${question} is a refusal of that step (RFC 5321 §3.8)`, async () => {
        const { mail, send, over } = await begin({ say: "421 4.3.2 Going down\r\n" });
        assert.deepEqual(brief(await send()), ["refused", stage, 421]);
        await over();
        assert.equal(mail.connections.length, 1);
      });

      for (const answer of ["close", "reset"] as const) {
        it(`that hangs up at ${question} (${answer}) is lost there`, async () => {
          const { mail, send, over } = await begin(answer);
          const result = await send();
          assert.ok(result.type === "failed");
          assert.match(result.code, /^(?:CLOSED|ECONNRESET)$/);
          assert.equal(result.ambiguous, question === "content");
          if (answer === "close") assert.equal(result.stage, stage);
          // An RST may overtake the replies before it.
          else assert.ok(STAGES.indexOf(result.stage) <= STAGES.indexOf(stage), result.stage);
          assert.equal(result.conversation.connections, 1);
          await over();
          assert.equal(mail.connections.length, 1);
        });
      }

      it(`that is silent at ${question} is given up in time (RFC 5321 §4.5.3.2)`, async () => {
        const { clock, mail, send, over } = await begin("silence");
        const sending = send();
        await mail.until(() => mail.connections[0]?.hasHeard(question) === true);
        let settled = false;
        void sending.then(() => settled = true);
        clock.pass(29_000);
        await Promise.resolve();
        assert.equal(settled, false, "given up too soon");
        clock.pass(600_000);
        const result = await sending;
        assert.ok(result.type === "failed");
        assert.deepEqual([result.code, result.ambiguous], ["ETIMEDOUT", question === "content"]);
        // What came before it may still be on its way.
        const isSure = !extensions.includes("PIPELINING") && question !== "connect";
        if (isSure) assert.equal(result.stage, stage);
        else assert.ok(STAGES.indexOf(result.stage) <= STAGES.indexOf(stage), result.stage);
        await over();
        assert.equal(mail.connections.length, 1);
      });

      it(`that talks without end at ${question} is hung up on`, async () => {
        const line = `250-${"x".repeat(996)}\r\n`;
        const lines = extensions.includes("PIPELINING") ? 1000 : 10_000;
        const { mail, send, over } = await start({
          extensions,
          answer: (asked) => asked === question ? { say: line.repeat(lines) } : undefined,
        });
        assert.deepEqual(brief(await send()), [
          "failed",
          stage,
          "TOOLONG",
          question === "content",
        ]);
        await over();
        await mail.connections[0]!.ended;
      });

      it(`that says nonsense at ${question} is hung up on`, async () => {
        const { send, over } = await begin({ say: "\x16\x03\x01\r\n" });
        assert.deepEqual(brief(await send()), [
          "failed",
          stage,
          "MALFORMED",
          question === "content",
        ]);
        await over();
      });

      it(`that says what no command expects at ${question} is hung up on`, async () => {
        const { send, over } = await begin({
          say: question === "DATA" || question === "AUTH" ? "250-a\r\n199 b\r\n" : "354 Go on\r\n",
        });
        const result = await send();
        assert.ok(result.type === "failed");
        assert.match(result.code, /^(?:UNEXPECTED|MALFORMED)$/);
        assert.deepEqual([result.stage, result.ambiguous], [stage, question === "content"]);
        await over();
      });
    }
  });
}

describe("a server's TLS", () => {
  it("begins after nothing but EHLO and STARTTLS", async () => {
    const { mail, send, over } = await start({});
    assert.deepEqual(brief(await send()), ["accepted"]);
    assert.deepEqual(mail.connections[0]!.commands.slice(0, 4), [
      "EHLO client.example",
      "STARTTLS",
      "EHLO client.example",
      "AUTH PLAIN AHVzZXIAYS1zZWNyZXQ=",
    ]);
    await over();
  });

  for (const [what, wrong, code] of WRONG) {
    for (const implicit of [false, true]) {
      it(`is not used with a certificate ${what}${implicit ? ", implicit" : ""}`, async () => {
        const { mail, smtp, over } = await start({ certificate: wrong, implicit });
        const result = await smtp.send(
          server(mail.port, { hostname: "localhost", tls: implicit ? "implicit" : "starttls" }),
          LOGIN,
          message(),
          OPTIONS,
        );
        assert.ok(result.type === "failed");
        assert.match(result.code, code);
        assert.deepEqual([result.stage, result.ambiguous], [
          implicit ? "connect" : "STARTTLS",
          false,
        ]);
        assert.ok(!mail.connections[0]!.commands.some((line) => line.startsWith("AUTH")));
        await over();
      });
    }
  }

  for (const more of ["250 injected\r\n", "x"]) {
    it(`is not begun if octets follow the reply to STARTTLS: ${JSON.stringify(more)}`, async () => {
      const { mail, send, over } = await start({
        answer: at("STARTTLS", { say: `220 Ready\r\n${more}` }),
      });
      assert.deepEqual(brief(await send()), ["failed", "STARTTLS", "INJECTION", false]);
      await over();
      assert.deepEqual(mail.connections[0]!.commands, ["EHLO client.example", "STARTTLS"]);
    });
  }

  it("takes no plain text for the server's words that comes instead of the handshake", async () => {
    const { mail, send, over } = await start({
      answer(question, _, connection) {
        if (question !== "STARTTLS") return undefined;
        connection.write("220 Ready\r\n");
        setTimeout(() => connection.write("250 injected\r\n".repeat(3)), 20);
        return "silence";
      },
    });
    const result = await send();
    assert.ok(result.type === "failed");
    assert.deepEqual([result.stage, result.ambiguous], ["STARTTLS", false]);
    await over();
    assert.equal(mail.connections.length, 1);
  });

  it("is given up in time if the handshake never ends", async () => {
    let inHandshake = false;
    const { clock, mail, send, over } = await start({
      answer(question) {
        // The random octets of a ClientHello may hold what looks like the end of a command.
        if (inHandshake) return "silence";
        inHandshake = question === "STARTTLS";
        return inHandshake ? { say: "220 Ready\r\n" } : undefined;
      },
    });
    const sending = send();
    await mail.until(() => mail.connections[0]?.hasHeard("STARTTLS") === true);
    await clock.passUntil(sending);
    assert.deepEqual(brief(await sending), ["failed", "STARTTLS", "ETIMEDOUT", false]);
    await over();
  });

  it("is verified from the first octet where it is implicit (RFC 8314 §3.3)", async () => {
    const { mail, smtp, over } = await start({ implicit: true });
    const target = server(mail.port, { hostname: "localhost", tls: "implicit" });
    const result = await smtp.send(target, LOGIN, message(), OPTIONS);
    assert.deepEqual(brief(result), ["accepted"]);
    assert.equal(result.conversation.tls, true);
    await over();
  });
});

describe("the client", () => {
  it("reports a server that cannot be reached", async () => {
    const { smtp, over } = await start({});
    const port = await closedPort();
    const result = await smtp.send(server(port), NO_LOGIN, message(), OPTIONS);
    assert.deepEqual(brief(result), ["failed", "connect", "ECONNREFUSED", false]);
    assert.match(result.type === "failed" ? result.message : "", /127\.0\.0\.1:\d+/);
    await over();
  });

  it("stops sending where the server refuses in the middle of a large content", async () => {
    const { smtp, mail, over } = await start({
      certificate: undefined,
      extensions: [],
      answer: at("DATA", { say: "354 Go on\r\n552 5.3.4 Too much\r\n" }),
    });
    let read = 0;
    const piece = new TextEncoder().encode(`${"x".repeat(70)}\r\n`.repeat(1000));
    function* content() {
      for (; read < 1000; read++) yield piece;
    }
    const result = await smtp.send(server(mail.port), NO_LOGIN, {
      ...message(),
      content: content(),
      size: 1000 * piece.length,
    }, OPTIONS);
    assert.deepEqual(brief(result), ["refused", "content", 552]);
    assert.ok(read < 1000, "all of it was sent");
    await over();
  });

  it("gives up a server that does not take the content, and says that it was not sent", async () => {
    const { clock, smtp, mail, over } = await start({ extensions: [], certificate: undefined });
    const piece = new TextEncoder().encode(`${"x".repeat(70)}\r\n`.repeat(1000));
    const stuck = Promise.withResolvers<void>();
    let read = 0;
    function* content() {
      // Far more than the buffers of the loopback hold.
      for (; read < 10_000; read++) {
        if (read === 1) stuck.resolve();
        yield piece;
      }
    }
    // The server reads nothing after DATA.
    const blocked = await startMailServer({
      answer(question, _, connection) {
        if (question === "DATA") connection.pause();
        return undefined;
      },
    });
    opened.push(blocked);
    const sending = smtp.send(server(blocked.port), NO_LOGIN, {
      ...message(),
      content: content(),
      size: 10_000 * piece.length,
    }, OPTIONS);
    await stuck.promise;
    const began = clock.now();
    await clock.passUntil(sending);
    // RFC 5321 §4.5.3.2.5
    assert.ok(clock.now() - began < 200_000, `after ${clock.now() - began} ms`);
    assert.deepEqual(brief(await sending), ["failed", "content", "ETIMEDOUT", false]);
    assert.ok(read < 10_000);
    assert.equal(mail.connections.length, 0);
    await over();
  });

  it("keeps the caller's own time over all steps", async () => {
    const { clock, mail, send, over } = await start({ answer: at("RCPT", "silence") });
    const sending = send({ ...OPTIONS, timeout: 30_000 });
    await mail.until(() => mail.connections[0]?.hasHeard("RCPT") === true);
    clock.pass(31_000);
    assert.deepEqual(brief(await sending), ["failed", "RCPT", "ETIMEDOUT", false]);
    await over();
  });

  it("can be told to give up, at any time", async () => {
    for (const [question, ambiguous] of [["MAIL", false], ["content", true]] as const) {
      const { mail, send, over } = await start({ answer: at(question, "silence") });
      const stop = new AbortController();
      const sending = send({ ...OPTIONS, signal: stop.signal });
      await mail.until(() => mail.connections[0]?.hasHeard(question) === true);
      stop.abort();
      assert.deepEqual(brief(await sending), ["failed", question, "ABORTED", ambiguous]);
      await over();
    }
    const { send, mail, over } = await start({});
    const result = await send({ ...OPTIONS, signal: AbortSignal.abort() });
    assert.deepEqual(brief(result), ["failed", "connect", "ABORTED", false]);
    assert.equal(mail.connections.length, 0);
    await over();
  });

  it("gives a message its result if everything is said and closed in one segment", async () => {
    const { mail, smtp, over } = await start({
      certificate: undefined,
      answer(question, _, connection) {
        if (question !== "connect") return undefined;
        connection.write("220 x\r\n250 x\r\n250 x\r\n");
        return "close";
      },
    });
    const result = await smtp.send(server(mail.port), NO_LOGIN, message(), OPTIONS);
    assert.equal(result.type, "failed");
    await over();
  });

  it("sends nothing if that is decided right before", async () => {
    for (const extensions of [["PIPELINING"], ["CHUNKING"]]) {
      const { mail, smtp, over } = await start({ extensions, certificate: undefined });
      let asked = 0;
      const result = await smtp.send(server(mail.port), NO_LOGIN, message(), {
        ...OPTIONS,
        beforeSending: () => Promise.resolve(asked++ > 0),
      });
      assert.deepEqual(brief(result), ["failed", "content", "STOPPED", false]);
      await mail.connections[0]!.ended;
      assert.deepEqual([asked, mail.connections[0]!.contents], [1, []]);
      const again = await smtp.send(server(mail.port), NO_LOGIN, message(), {
        ...OPTIONS,
        beforeSending: () => Promise.resolve(asked++ > 0),
      });
      assert.equal(again.type, "accepted");
      await over();
    }
  });

  it("passes on what the content and the caller's own question throw, and hangs up", async () => {
    const { mail, smtp, over } = await start({ extensions: [], certificate: undefined });
    function* content(): Generator<Uint8Array> {
      yield new Uint8Array([65]);
      throw new Error("cannot be read");
    }
    const broken = { ...message(), content: content(), size: 100 };
    await assert.rejects(smtp.send(server(mail.port), NO_LOGIN, broken, OPTIONS), /cannot be read/);
    const asking = {
      ...OPTIONS,
      beforeSending: () => Promise.reject(new Error("cannot be noted")),
    };
    await assert.rejects(smtp.send(server(mail.port), NO_LOGIN, message(), asking), /be noted/);
    const longer = { ...message(), size: 3 };
    await assert.rejects(smtp.send(server(mail.port), NO_LOGIN, longer, OPTIONS), RangeError);
    await over();
    assert.deepEqual(mail.connections.flatMap(({ contents }) => contents), []);
  });

  it("refuses content with a stray line end, and addresses with control characters", async () => {
    const { mail, smtp, over } = await start({
      extensions: ["PIPELINING"],
      certificate: undefined,
    });
    const smuggled = message({ text: "a\r\n\n.\r\nMAIL FROM:<x@example.com>\r\n" });
    const result = await smtp.send(server(mail.port), NO_LOGIN, smuggled, OPTIONS);
    assert.ok(result.type === "refused");
    assert.deepEqual([result.own, result.reply.code], ["content", 554]);
    for (const address of ["a@b>\r\nDATA", "a@b\0", "a\x7f@b"]) {
      const odd = message({ recipients: [address] });
      await assert.rejects(smtp.send(server(mail.port), NO_LOGIN, odd, OPTIONS), TypeError);
    }
    await over();
    assert.deepEqual(mail.connections.flatMap(({ contents }) => contents), []);
  });
});
