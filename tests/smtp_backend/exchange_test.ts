/** A relay that sends by SMTP with XOAUTH2 to the imitation of Exchange's submission server. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Fault } from "../../src/sandbox/faults.ts";
import { createAuthority } from "../support/authority.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { TestRelays } from "../support/relay.ts";
import { fetchToken, jwt } from "../support/tokens.ts";

const HEADER = "From: Ann <ann@x.test>\r\nTo: bea@x.test\r\nBcc: eve@x.test\r\nSubject: s\r\n";
const MESSAGE = `${HEADER}Resent-Bcc: max@x.test\r\n\r\nGr\xfc\xdfe\r\n..\r\n`;

describe("a relay with BACKEND=exchange", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  before(async () => {
    cloud = await startCloud();
  });
  after(() => cloud.close());

  const start = async (environment: Record<string, string> = {}) =>
    await relays.start({
      cloud,
      environment: {
        BACKEND: "exchange",
        EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
        ...environment,
      },
    });

  const send = async (
    relay: Awaited<ReturnType<typeof start>>,
    message = MESSAGE,
    recipients: readonly string[] = ["bea@x.test", "eve@x.test"],
    from = "ann@x.test",
  ): Promise<string> => {
    const client = await relay.authed();
    assert.match(await client.say(`MAIL FROM:<${from}>`), /^250/);
    for (const recipient of recipients) {
      assert.match(await client.say(`RCPT TO:<${recipient}>`), /^250/);
    }
    assert.match(await client.say("DATA"), /^354/);
    const stuffed = message.replace(/^\./gm, "..");
    return await client.say(`${stuffed}.`);
  };

  /** With the figures of this message alone. */
  const sendWith = async (fault: Fault, environment: Record<string, string> = {}) => {
    const relay = await start(environment);
    await cloud.inbox.clear();
    const { figures } = cloud.exchange;
    const before = { ...figures };
    cloud.faults.add(fault);
    const answer = await send(relay);
    cloud.faults.clear();
    return {
      relay,
      answer: answer.trimEnd(),
      connections: figures.connections - before.connections,
      logins: figures.logins - before.logins,
      arrived: cloud.inbox.list().length,
    };
  };

  it("sends the message as it came, with Received added and without Bcc", async () => {
    await cloud.inbox.clear();
    const relay = await start();
    assert.match(await send(relay), /^250 2\.0\.0 OK id=/);
    const [{ id } = { id: "" }] = cloud.inbox.list();
    const { raw, recipients, mailbox } = cloud.inbox.get(id)!;
    const text = Buffer.from(raw).toString("latin1");
    assert.match(text, /^Received: from client\.example /);
    assert.match(text, /\r\nMessage-ID: <[0-9a-f]{16}@/);
    // The body to the octet, and no hidden recipient in the header.
    assert(text.endsWith("\r\n\r\nGr\xfc\xdfe\r\n..\r\n"), text);
    assert.doesNotMatch(text, /bcc|eve@|max@/i);
    assert(text.includes("From: Ann <ann@x.test>\r\nTo: bea@x.test\r\nSubject: s\r\n"));
    assert.deepEqual([...recipients].sort(), ["bea@x.test", "eve@x.test"]);
    assert.equal(mailbox, "ann@x.test");
    assert.equal(cloud.graph.requests, 0);
    const [line] = relay.linesOf("Message sent");
    assert.equal(line?.["backend"], "exchange");
    assert.equal(line?.["request"], "sandbox.prod.example");
  });

  it("asks for a token of Exchange's scope alone, and keeps its connection", async () => {
    const relay = await start();
    const before = { ...cloud.exchange.figures };
    const tokens = cloud.seen.filter((one) => one.includes("/oauth2/")).length;
    for (let i = 0; i < 3; i++) assert.match(await send(relay), /^250/);
    assert.equal(cloud.exchange.figures.connections - before.connections, 1);
    assert.equal(cloud.seen.filter((one) => one.includes("/oauth2/")).length - tokens, 1);
  });

  const cases:
    readonly (readonly [string, Fault, RegExp, { connections: number; arrived?: number }])[] = [
      [
        "a greeting of 421: tried again, then deferred",
        { on: "smtpConnect", status: 421, code: "4.3.1", times: 9 },
        /^451 4\.4\.1 SMTP 421 4\.3\.1: the server does not talk to the relay/,
        { connections: 3 },
      ],
      [
        "a connection that is closed at once",
        { on: "smtpConnect", connection: "reset", times: 9 },
        /^451 4\.4\.1 (?:CLOSED|ECONNRESET): the server cannot be reached/,
        { connections: 3 },
      ],
      [
        "SMTP AUTH that is off in the tenant",
        {
          on: "smtpLogin",
          status: 535,
          code: "5.7.139",
          message: "SmtpClientAuthentication is disabled for the Tenant",
        },
        /^550 5\.7\.1 SMTP 535 5\.7\.139: SMTP AUTH is switched off .* says: SmtpClientAuth/,
        { connections: 1 },
      ],
      [
        "a missing permission: once more with a new token",
        { on: "smtpLogin", status: 535, code: "5.7.3", times: 9 },
        /^454 4\.7\.0 SMTP 535 5\.7\.3: the app may not log in as this mailbox/,
        { connections: 2 },
      ],
      [
        "a token about to expire, in the place of which a new one is good",
        { on: "smtpLogin", status: 535, code: "5.7.142" },
        /^250 2\.0\.0 OK/,
        { connections: 2, arrived: 1 },
      ],
      [
        "too many connections: it waits",
        { on: "smtpLogin", status: 432, code: "4.3.2" },
        /^250 2\.0\.0 OK/,
        { connections: 2, arrived: 1 },
      ],
      [
        "a sender who may not send as From",
        { on: "smtpSender", status: 550, code: "5.7.60" },
        /^550 5\.7\.60 SMTP 550 5\.7\.60: the mailbox may not send as/,
        { connections: 1 },
      ],
      [
        "a full mailbox",
        { on: "smtpSend", status: 554, code: "5.2.2" },
        /^452 4\.2\.2 SMTP 554 5\.2\.2/,
        { connections: 1 },
      ],
      [
        "the day's limit",
        { on: "smtpSend", status: 554, code: "5.2.0" },
        /^451 4\.2\.0 SMTP 554 5\.2\.0/,
        { connections: 1 },
      ],
      [
        "a message that is too large for the mailbox",
        { on: "smtpSend", status: 554, code: "5.2.270" },
        /^552 5\.2\.270 SMTP 554 5\.2\.270/,
        { connections: 1 },
      ],
      [
        "a refusal in general",
        { on: "smtpSend", status: 550, code: "5.7.1", message: "no \x07bell" },
        /^554 5\.7\.1 SMTP 550 5\.7\.1: the server does not accept the message\. The server says: no/,
        { connections: 1 },
      ],
      [
        "a deferral in general",
        { on: "smtpSend", status: 451, code: "4.4.62" },
        /^451 4\.4\.62 SMTP 451 4\.4\.62: the server cannot take the message now/,
        { connections: 1 },
      ],
      [
        "a connection that is lost after the message: nothing is sent twice",
        { on: "smtpSend", after: "take", connection: "reset" },
        /^451 4\.4\.2 (?:CLOSED|ECONNRESET): .* may have been sent/,
        { connections: 1, arrived: 1 },
      ],
    ];
  for (const [what, fault, reply, { connections, arrived = 0 }] of cases) {
    it(`meets ${what}`, async () => {
      const met = await sendWith(fault);
      assert.match(met.answer, reply);
      assert.deepEqual([met.connections, met.arrived], [connections, arrived], met.answer);
    });
  }

  it("logs a message that may have been sent as such", async () => {
    const { relay } = await sendWith({ on: "smtpSend", after: "take", connection: "close" });
    const [line] = relay.linesOf("Message may have been sent");
    assert.equal(line?.["backend"], "exchange");
  });

  it("answers for all when one recipient is refused, before anything is sent", async () => {
    const relay = await start();
    await cloud.inbox.clear();
    cloud.faults.add({
      on: "smtpRecipient",
      skip: 1,
      status: 550,
      code: "5.1.1",
      message: "no eve",
    });
    assert.match(
      await send(relay),
      /^550 5\.1\.1 SMTP 550 5\.1\.1: .*no recipient got the message.*no eve/,
    );
    assert.equal(cloud.inbox.list().length, 0);
    // The final refusal counts, in whatever order they come.
    cloud.faults.add({ on: "smtpRecipient", status: 450, code: "4.2.1" });
    cloud.faults.add({ on: "smtpRecipient", status: 550, code: "5.1.1" });
    assert.match(await send(relay), /^550 5\.1\.1/);
    cloud.faults.add({ on: "smtpRecipient", status: 450, code: "4.2.1" });
    assert.match(await send(relay), /^451 4\.2\.1/);
    assert.equal(cloud.inbox.list().length, 0);
    assert.match(await send(relay), /^250/);
  });

  it("refuses what it cannot send without asking", async () => {
    const relay = await start({ SMARTHOST_URL: "smtp://mail.example" });
    const { logins } = cloud.exchange.figures;
    assert.match(
      await send(relay, "Subject: x\r\n\r\nx\r\n", undefined, ""),
      /^550 5\.1\.7 No sender/,
    );
    assert.equal(cloud.exchange.figures.logins, logins);
  });

  it("takes a client's own token for Exchange, and none for Graph", async () => {
    const relay = await start({ AUTH_MECHANISMS: "XOAUTH2" });
    const logIn = async (scope: string) => {
      const token = await fetchToken(cloud.authority, scope);
      const client = await relay.ehlo();
      const response = Buffer.from(`user=ann@x.test\x01auth=Bearer ${token}\x01\x01`);
      const answer = await client.say(`AUTH XOAUTH2 ${response.toString("base64")}`);
      return { client, answer };
    };
    const { client, answer } = await logIn("https://outlook.office365.com/.default");
    assert.match(answer, /^235 /);
    assert.match(await client.send("ann@x.test", "bea@x.test", "own token"), /^250 /);
    assert.match((await logIn(`${cloud.endpoint.origin}/.default`)).answer, /^334 /);
    // Forged: Exchange refuses it, so the login counts as failed.
    const forged = jwt({
      aud: "https://outlook.office365.com",
      ...{ tid: TENANT, appid: CLIENT, nbf: 0, iat: 0, exp: 4_000_000_000 },
    });
    const liar = await relay.ehlo();
    const response = Buffer.from(`user=ann@x.test\x01auth=Bearer ${forged}\x01\x01`).toString(
      "base64",
    );
    assert.match(await liar.say(`AUTH XOAUTH2 ${response}`), /^235 /);
    assert.match(
      await liar.send("ann@x.test", "bea@x.test", "forged"),
      /^454 4\.7\.0 SMTP 535 5\.7\.3/,
    );
    assert.match(await (await relay.ehlo()).say(`AUTH XOAUTH2 ${response}`), /^334 /);
  });

  it("shows no token, whatever the server says", async () => {
    const { answer, relay } = await sendWith({
      on: "smtpLogin",
      status: 535,
      code: "5.7.3",
      message: "no: Bearer eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.eyJhdWQi.x",
      times: 2,
    });
    assert.match(answer, /\[redacted\]/);
    assert.doesNotMatch(answer + JSON.stringify(relay.lines), /eyJ0eXAi/);
  });
});

describe("a relay with BACKEND=exchange and STARTTLS", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let directory: string;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "exchange-"));
    const authority = await createAuthority("Submission CA");
    writeFileSync(join(directory, "ca.pem"), authority.certificate);
    const certificate = await authority.issue({ addresses: ["127.0.0.1"] });
    cloud = await startCloud({ exchange: { identity: { ...certificate, minVersion: "1.2" } } });
  });
  after(async () => {
    await cloud.close();
    rmSync(directory, { recursive: true });
  });

  const sendTo = async (environment: Record<string, string>) => {
    const relay = await relays.start({
      cloud,
      environment: {
        BACKEND: "exchange",
        EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
        DELIVERY_TIMEOUT: "3s",
        ...environment,
      },
    });
    const client = await relay.sending();
    return await client.say("From: a@example.com\r\n\r\nx\r\n.");
  };

  it("sends in TLS once the certificate is trusted", async () => {
    const EXTRA_CA_CERTS_FILEPATH = join(directory, "ca.pem");
    assert.match(await sendTo({ EXTRA_CA_CERTS_FILEPATH }), /^250/);
    assert.equal(cloud.inbox.list().length, 1);
  });

  it("sends nothing, not even the login, to a server that it does not trust", async () => {
    const { logins } = cloud.exchange.figures;
    assert.match(await sendTo({}), /^451 4\.4\.1 /);
    assert.equal(cloud.exchange.figures.logins, logins);
  });
});
