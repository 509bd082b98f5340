/** Ways out to any SMTP server: a smarthost, and the presets for HVE and ACS. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import { type Envelope } from "../../src/smtp/effects.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import { loginFor, serverOf } from "../../src/relay/smtp_services.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { TestRelays } from "../support/relay.ts";
import { settingsOf } from "../support/settings.ts";
import { type TestHandlers, TestServers } from "../support/smtp_server.ts";
import { jwt } from "../support/tokens.ts";

const SMARTHOST = { BACKEND: "smarthost", ALLOWED_TENANTS: TENANT };

interface Taken {
  readonly envelope: Envelope;
  readonly text: string;
}

describe("a smarthost", () => {
  const relays = new TestRelays();
  const servers = new TestServers();
  let cloud: CloudServer;
  before(async () => {
    cloud = await startCloud();
  });
  after(() => cloud.close());

  const smarthost = async (handlers: TestHandlers = {}, session = {}) => {
    const taken: Taken[] = [];
    const logins: string[] = [];
    const server = await servers.start({
      session,
      // A smarthost that trusts this machine asks for no login.
      isTrusted: () => true,
      handlers: {
        authenticate(credentials) {
          if (credentials !== "trusted" && "password" in credentials) {
            logins.push(`${credentials.username}:${credentials.password.reveal()}`);
          }
          return Promise.resolve({ reply: REPLIES.authenticated, account: true });
        },
        submit: (_principal, { envelope, content }) => {
          taken.push({ envelope, text: Buffer.concat([...content]).toString("latin1") });
          return Promise.resolve(reply(250, "2.0.0", "Ok: queued as 4B7F21C0"));
        },
        ...handlers,
      },
    });
    return { url: `smtp://127.0.0.1:${server.port}`, taken, logins };
  };

  const start = (SMARTHOST_URL: string, environment: Record<string, string> = {}) =>
    relays.start({
      cloud,
      environment: {
        BACKEND: "smarthost",
        ALLOWED_TENANTS: TENANT,
        SMARTHOST_URL,
        ...environment,
      },
    });

  it("gets the message without a login, and its own id of it is in the log", async () => {
    const { url, taken, logins } = await smarthost();
    const relay = await start(url);
    const client = await relay.authed();
    assert.match(await client.send("a@x.test", "b@x.test", "hello"), /^250 2\.0\.0 OK id=/);
    assert.deepEqual(taken[0]?.envelope, { from: "a@x.test", recipients: ["b@x.test"] });
    assert.match(taken[0]!.text, /^Received: from .*\r\n.*\r\n.*\r\n[^]*\r\nSubject: hello\r\n/);
    assert.deepEqual(logins, []);
    const [line] = relay.linesOf("Message sent");
    assert.deepEqual([line?.["backend"], line?.["request"]], ["smarthost", "4B7F21C0"]);
  });

  it("gets the relay's password, which is in no line and no reply", async () => {
    const { url, logins } = await smarthost({
      authenticate(credentials) {
        if (credentials !== "trusted" && "password" in credentials) {
          logins.push(`${credentials.username}:${credentials.password.reveal()}`);
        }
        return Promise.resolve({ reply: reply(535, "5.7.8", "hunter2-hunter2 is wrong") });
      },
    });
    const relay = await start(url, {
      SMARTHOST_USERNAME: "relay",
      SMARTHOST_PASSWORD: "hunter2-hunter2",
    });
    const client = await relay.authed();
    const answer = await client.send("a@x.test", "b@x.test", "hello");
    // The device is not at fault: its mail keeps.
    assert.match(answer, /^454 4\.7\.0 SMTP 535 5\.7\.8: the server refuses the relay's login/);
    assert.doesNotMatch(answer + JSON.stringify(relay.lines), /hunter2/);
    assert.deepEqual(logins, ["relay:hunter2-hunter2"]);
  });

  it("needs no permission in Entra ID, but the device's login is verified there", async () => {
    const { url, taken } = await smarthost();
    const relay = await start(url);
    const client = relay.connect();
    assert.match(await client.login(`${TENANT}@${CLIENT}`, "wrong-secret"), /^535 /);
    const other = await relay.authed(undefined, "no-permission");
    assert.match(await other.send("a@x.test", "b@x.test", "hello"), /^250/);
    assert.equal(taken.length, 1);
  });

  it("gets nothing from a client with a token of its own that nobody has verified", async () => {
    const { url, taken } = await smarthost();
    const relay = await relays.start({
      cloud,
      entries: new SandboxTable([{
        id: "bulk",
        columns: { tenant_id: TENANT, client_id: CLIENT, backend: "smarthost" },
      }]),
      environment: { SMARTHOST_URL: url, AUTH_MECHANISMS: "XOAUTH2" },
    });
    const claims = { aud: cloud.endpoint.origin, tid: TENANT, appid: CLIENT, exp: 4_000_000_000 };
    const forged = jwt({ ...claims, nbf: 0, iat: 0, roles: ["Mail.Send"] });
    const client = await relay.ehlo();
    const response = Buffer.from(`user=bulk@lookup\x01auth=Bearer ${forged}\x01\x01`);
    assert.match(await client.say(`AUTH XOAUTH2 ${response.toString("base64")}`), /^235/);
    assert.match(
      await client.send("a@x.test", "b@x.test", "spam"),
      /^550 5\.7\.1 TOKEN_UNVERIFIED/,
    );
    assert.equal(taken.length, 0);
  });

  it("gets the null reverse-path of a report as it is", async () => {
    const { url, taken } = await smarthost();
    const relay = await start(url);
    const client = await relay.authed();
    await client.say("MAIL FROM:<>");
    await client.say("RCPT TO:<b@x.test>");
    await client.say("DATA");
    assert.match(await client.say("From: box@x.test\r\n\r\nreport\r\n."), /^250/);
    assert.equal(taken[0]?.envelope.from, "");
  });

  it("gets a message of several megabytes to the octet", async () => {
    const { url, taken } = await smarthost();
    const relay = await start(url);
    const client = await relay.sending();
    const line = `${"0123456789abcdef".repeat(4)}\r\n`;
    const body = line.repeat(60_000) + "\r\n..\r\n";
    assert.match(await client.say(`From: a@example.com\r\n\r\n${body}.`), /^250/);
    const text = taken[0]!.text;
    assert(text.slice(text.indexOf("\r\n\r\n") + 4) === body.replaceAll("..\r\n", ".\r\n"));
  });

  it("says for itself what it does not take", async () => {
    const { url } = await smarthost({}, { maxMessageSize: 1000 });
    const relay = await start(url);
    const client = await relay.authed();
    await client.say("MAIL FROM:<a@x.test>");
    await client.say("RCPT TO:<b@x.test>");
    await client.say("DATA");
    assert.match(
      await client.say(`From: a@x.test\r\n\r\n${"x".repeat(900)}\r\n${"x".repeat(900)}\r\n.`),
      /^552 5\.3\.4 SMTP_SIZE: the message is larger than the server takes/,
    );
  });

  it("is chosen by an entry of the lookup table, for its messages alone", async () => {
    const { url, taken } = await smarthost();
    const entry = (id: string, backend: string) => ({
      id,
      columns: { tenant_id: TENANT, client_id: CLIENT, backend },
    });
    const relay = await relays.start({
      cloud,
      entries: new SandboxTable([entry("bulk", "smarthost"), entry("acs", "acs"), entry("g", "")]),
      environment: { SMARTHOST_URL: url },
    });
    await cloud.inbox.clear();
    for (const name of ["bulk", "g"]) {
      const client = await relay.authed(`${name}@lookup`);
      assert.match(await client.send("a@x.test", "b@x.test", name), /^250/);
    }
    assert.equal(taken.length, 1);
    assert.match(taken[0]!.text, /Subject: bulk/);
    assert.deepEqual(cloud.inbox.list().map(({ subject }) => subject), ["g"]);
    const client = await relay.authed("acs@lookup");
    assert.match(
      await client.send("a@x.test", "b@x.test", "x"),
      /^451 4\.3\.5 BACKEND_UNSET: .*SMARTHOST_USERNAME and SMARTHOST_PASSWORD must be set/,
    );
  });

  it("with hve takes 50 recipients and 10 MB, which is said before anything is sent", async () => {
    const { url, taken } = await smarthost({}, { maxRecipients: 100 });
    const relay = await start(url, {
      BACKEND: "hve",
      SMARTHOST_USERNAME: "a@x.test",
      SMARTHOST_PASSWORD: "p",
    });
    const client = await relay.authed();
    const send = async (recipients: number, octets: number) => {
      await client.say("MAIL FROM:<a@x.test>");
      for (let i = 0; i < recipients; i++) await client.say(`RCPT TO:<b${i}@x.test>`);
      await client.say("DATA");
      const body = `${"x".repeat(70)}\r\n`.repeat(Math.ceil(octets / 72));
      return await client.say(`From: a@x.test\r\n\r\n${body}.`);
    };
    assert.match(await send(51, 1), /^550 5\.5\.3 SMTP_RECIPIENTS: .*51 recipients; hve takes 50/);
    assert.match(
      await send(1, 10 * 1024 * 1024 + 1),
      /^552 5\.3\.4 SMTP_SIZE: .*hve takes 10485760/,
    );
    assert.equal(taken.length, 0);
    assert.match(await send(50, 1), /^250/);
  });
});

describe("the presets of a smarthost", () => {
  it("have their own servers, in whose place SMARTHOST_URL goes", () => {
    const acs = {
      ALLOWED_TENANTS: TENANT,
      BACKEND: "acs",
      SMARTHOST_USERNAME: "u",
      SMARTHOST_PASSWORD: "p",
    };
    const cases = [
      [{ BACKEND: "hve" }, "hve", "smtp.hve.mx.microsoft"],
      [acs, "acs", "smtp.azurecomm.net"],
      [{ ...acs, SMARTHOST_URL: "smtps://other.example" }, "acs", "other.example"],
      [{}, "exchange", "smtp.office365.com"],
      [{}, "hve", "smtp.hve.mx.microsoft"],
    ] as const;
    for (const [environment, name, host] of cases) {
      const server = serverOf(settingsOf(environment), name);
      assert(typeof server === "object");
      assert.equal(server.hostname, host);
      assert.notEqual(server.tls, "loopback");
    }
  });

  it("are not taken from the settings of another one that BACKEND names", () => {
    const settings = settingsOf({ ...SMARTHOST, SMARTHOST_URL: "smtp://mail.example" });
    assert.match(String(serverOf(settings, "hve")), /SMARTHOST_\* are set for smarthost/);
    assert.match(String(serverOf(settingsOf({}), "smarthost")), /SMARTHOST_URL must be set/);
  });

  it("log in with the app's token to hve, and with a password where one is set", () => {
    const scope = "https://outlook.office365.com/.default";
    assert.deepEqual(loginFor(settingsOf({ BACKEND: "hve" }), "hve"), { type: "token", scope });
    const password = { ALLOWED_TENANTS: TENANT, SMARTHOST_USERNAME: "u", SMARTHOST_PASSWORD: "p" };
    assert.equal(loginFor(settingsOf({ BACKEND: "hve", ...password }), "hve").type, "password");
    // Exchange gets the token, whatever the smarthost's password is.
    assert.equal(
      loginFor(settingsOf({ BACKEND: "exchange,hve", ...password }), "exchange").type,
      "token",
    );
    const plain = settingsOf({ ...SMARTHOST, SMARTHOST_URL: "smtp://mail.example" });
    assert.equal(loginFor(plain, "smarthost").type, "none");
  });
});
