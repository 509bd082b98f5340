/**
 * The imitation of Exchange's submission server is as strict as the real one: what it takes, the real one would
 * take too.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, before, describe, it } from "node:test";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { SCOPE } from "../support/logins.ts";
import { fetchToken } from "../support/tokens.ts";

const EXCHANGE = "https://outlook.office365.com/.default";

describe("the imitated submission server", () => {
  let cloud: CloudServer;
  let port: number;
  let now = 0;
  const clients: SmtpClient[] = [];
  before(async () => {
    cloud = await startCloud({
      entra: {
        roles: (client, audience) =>
          client.startsWith("f") ? [] : audience.includes("outlook") ? ["SMTP.SendAsApp"] : [],
      },
      exchange: { now: () => now, size: 10_000 },
    });
    port = Number(new URL(await cloud.submissionUrl()).port);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    // Their places are free again.
    while (cloud.exchange.loggedIn.size > 0) await new Promise((end) => setTimeout(end, 5));
    now += 100_000;
  });
  after(() => cloud.close());

  const connect = async () => {
    const client = new SmtpClient(port);
    clients.push(client);
    await client.reply();
    assert.match(await client.say("EHLO relay.test"), /AUTH LOGIN XOAUTH2/);
    return client;
  };

  const logIn = async (mailbox = "ann@x.test", scope = EXCHANGE, app: { client?: string } = {}) => {
    const client = await connect();
    const token = await fetchToken(cloud.authority, scope, app);
    const response = Buffer.from(`user=${mailbox}\x01auth=Bearer ${token}\x01\x01`);
    const answer = await client.say(`AUTH XOAUTH2 ${response.toString("base64")}`);
    // The mechanism's own error comes first, and is answered with an empty line.
    return { client, answer: answer.startsWith("334") ? await client.say("") : answer };
  };

  const send = async (client: SmtpClient, message = "From: ann@x.test\r\n\r\nx\r\n") => {
    for (const line of ["MAIL FROM:<ann@x.test>", "RCPT TO:<bea@x.test>", "DATA"]) {
      await client.say(line);
    }
    return await client.say(`${message}.`);
  };

  it("takes a message with a token of its own audience and role, into the same inbox as Graph's", async () => {
    const { client, answer } = await logIn();
    assert.match(answer, /^235 /);
    assert.match(await send(client), /^250 2\.0\.0 OK/);
    const [{ id } = { id: "" }] = cloud.inbox.list();
    assert.deepEqual(cloud.inbox.get(id)?.recipients, ["bea@x.test"]);
  });

  const refusals: readonly (readonly [string, Parameters<typeof logIn>, RegExp])[] = [
    ["a token for Graph", ["ann@x.test", SCOPE], /^535 5\.7\.3 /],
    [
      "a token without the role",
      ["ann@x.test", EXCHANGE, { client: "ffffffff-bbbb-4ccc-8ddd-eeeeeeeeeeee" }],
      /^535 5\.7\.3 /,
    ],
    ["a mailbox that is none", ["nobody@x.test"], /^535 5\.7\.3 /],
  ];
  for (const [what, login, reply] of refusals) {
    it(`refuses ${what}`, async () => {
      const { answer } = await logIn(...login);
      assert.match(answer, reply);
    });
  }

  it("refuses a password, as it does without Basic", async () => {
    const client = await connect();
    await client.say("AUTH LOGIN");
    await client.say(Buffer.from("ann@x.test").toString("base64"));
    assert.match(await client.say(Buffer.from("secret").toString("base64")), /^535 5\.7\.139 /);
  });

  it("refuses another sender than the mailbox, in MAIL and in From", async () => {
    const { client } = await logIn();
    assert.match(await client.say("MAIL FROM:<bea@x.test>"), /^550 5\.7\.60 /);
    assert.match(await client.say("MAIL FROM:<>"), /^550 5\.7\.60 /);
    assert.match(await send(client, "From: Bea <bea@x.test>\r\n\r\nx\r\n"), /^550 5\.7\.60 /);
    assert.match(await send(client, "Subject: x\r\n\r\nx\r\n"), /^550 5\.7\.60 /);
  });

  it("refuses bare line feeds, and what is too large, after it has read it", async () => {
    const { client } = await logIn();
    assert.match(await send(client, "From: ann@x.test\r\n\r\na\nb\r\n"), /^550 5\.6\.11 /);
    const large = `From: ann@x.test\r\n\r\n${`${"x".repeat(70)}\r\n`.repeat(200)}`;
    assert.match(await send(client, large), /^554 5\.2\.270 /);
  });

  it("has three connections for a mailbox", async () => {
    for (let i = 0; i < 3; i++) assert.match((await logIn()).answer, /^235 /);
    assert.match((await logIn()).answer, /^432 4\.3\.2 /);
    assert.match((await logIn("bea@x.test")).answer, /^235 /);
    clients.shift()!.destroy();
    while (cloud.exchange.loggedIn.get("ann@x.test") === 3) {
      await new Promise((end) => setTimeout(end, 5));
    }
    assert.match((await logIn()).answer, /^235 /);
  });

  it("takes thirty messages a minute", async () => {
    const { client } = await logIn();
    for (let i = 0; i < 30; i++) assert.match(await send(client), /^250 /);
    assert.match(await send(client), /^451 4\.3\.2 /);
    now += 60_001;
    assert.match(await send(client), /^250 /);
  });
});
