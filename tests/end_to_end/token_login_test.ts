// Clients that log in with a token, through a whole relay to the simulated Graph, which knows the tokens of
// the simulated Entra ID and no others.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterEach, describe, it } from "node:test";
import { createTransport } from "nodemailer";
import type { Relay } from "../../src/relay/relay.ts";
import { type CloudServer, type CloudServerOptions, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { type Line, TestRelays } from "../support/relay.ts";
import { fetchToken, jwt } from "../support/tokens.ts";
import { execute, missing } from "./clients.ts";
import { SmtpClient } from "./smtp_client.ts";

const USER = "printer@example.com";
const TO = "reader@example.org";
const INVALID = "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=";

interface World {
  readonly cloud: CloudServer;
  readonly relay: Relay;
  readonly port: number;
  /** The log, at DEBUG. */
  readonly lines: readonly Line[];
  /** A token for Graph. */
  token(): Promise<string>;
  /** A token with the same claims, which Graph does not know. */
  forged(signature?: string): string;
}

describe("a client that logs in with a token", () => {
  const relays = new TestRelays();
  const ends: (() => Promise<void> | void)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  async function start(
    environment: Readonly<Record<string, string>> = {},
    graph: CloudServerOptions["graph"] = {},
  ): Promise<World> {
    const cloud = await startCloud({ graph });
    ends.push(() => cloud.close());
    const { relay, port, lines } = await relays.start({
      cloud,
      environment: { AUTH_MECHANISMS: "PLAIN, login, xoauth2, OAuthBearer", ...environment },
    });
    const exp = Math.floor(Date.now() / 1000) + 3600;
    return {
      cloud,
      relay,
      port,
      lines,
      token: () => fetchToken(cloud.authority, `${cloud.url}/.default`),
      forged: (signature) =>
        jwt({ aud: cloud.url, exp, tid: TENANT, appid: CLIENT, roles: ["Mail.Send"] }, signature),
    };
  }

  /** A connection after EHLO. */
  async function greeted({ port }: World): Promise<{ client: SmtpClient; ehlo: string }> {
    const client = new SmtpClient(port);
    ends.push(() => client.destroy());
    await client.reply();
    return { client, ehlo: await client.say("EHLO client.example") };
  }

  const xoauth2 = (token: string, user = USER) =>
    `AUTH XOAUTH2 ${
      Buffer.from(`user=${user}\x01auth=Bearer ${token}\x01\x01`).toString("base64")
    }`;

  const subjects = ({ cloud }: World) => cloud.inbox.list().map(({ subject }) => subject);

  for (const client of CLIENTS) {
    it(`sends as ${client.name}`, { skip: client.absent }, async () => {
      const world = await start({ AUTH_MECHANISMS: client.mechanism });
      await client.send(world.port, await world.token());
      assert.deepEqual(subjects(world), ["A token of mine"]);
      const login = world.lines.find(({ message }) => message === "Login succeeded")!;
      assert.deepEqual(
        [login["username"], login["mechanism"], login["tenant"], login["app"], login["proved"]],
        [USER, client.mechanism, TENANT, CLIENT, false],
      );
      const sent = world.lines.find(({ message }) => message === "Message sent")!;
      // Graph has accepted it: the account is verified now.
      assert.deepEqual([sent["tenant"], sent["app"], sent["proved"]], [TENANT, CLIENT, undefined]);
    });

    it(
      `is told as ${client.name} that its token has expired`,
      { skip: client.absent },
      async () => {
        const world = await start({ AUTH_MECHANISMS: client.mechanism });
        const token = jwt({ aud: world.cloud.url, exp: 1_000_000_000, tid: TENANT, appid: CLIENT });
        await assert.rejects(client.send(world.port, token), client.refused);
        const refused = world.lines.filter(({ level }) => level === "WARNING");
        // One line for one login, although its reply has two steps.
        assert.equal(refused.length, client.tries);
        for (const { message, reply, detail } of refused) {
          assert.deepEqual([message, reply], ["Login refused", 535]);
          assert.match(String(detail), /^TOKEN_EXPIRED: .* 2001-09-09T01:46:40/);
        }
        assert.deepEqual(world.cloud.seen, []);
      },
    );
  }

  it("is offered XOAUTH2 and OAUTHBEARER only if AUTH_MECHANISMS has them, in its order", async () => {
    const standard = await start({ AUTH_MECHANISMS: "" });
    const { client, ehlo } = await greeted(standard);
    assert.match(ehlo, /^250[- ]AUTH LOGIN PLAIN$/m);
    const reply = await client.say(xoauth2(await standard.token()));
    assert.equal(reply, "504 5.5.4 Only AUTH LOGIN and AUTH PLAIN are supported");
    const tokens = await greeted(await start({ AUTH_MECHANISMS: "OAUTHBEARER,XOAUTH2" }));
    assert.match(tokens.ehlo, /^250[- ]AUTH OAUTHBEARER XOAUTH2$/m);
    assert.equal(
      await tokens.client.say("AUTH PLAIN AHVzZXIAcGFzcw=="),
      "504 5.5.4 Only AUTH OAUTHBEARER and AUTH XOAUTH2 are supported",
    );
  });

  it("gets an error for a token that Graph does not accept, and cannot log in with it again", async () => {
    const world = await start();
    const { client } = await greeted(world);
    assert.match(await client.say(xoauth2(world.forged())), /^235 /);
    assert.match(await client.send(USER, TO), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    const requests = world.cloud.seen.length;
    assert.equal(requests, 1, "the same token is not tried twice");
    for (const from of [USER, ""]) {
      assert.match(await client.say(`MAIL FROM:<${from}>`), /^451 4\.7\.0 TOKEN_REFUSED: /);
    }
    const again = (await greeted(world)).client;
    assert.equal(await again.say(xoauth2(world.forged())), `334 ${INVALID}`);
    assert.match(await again.say(""), /^535 5\.7\.8 .*TOKEN_REFUSED: .*log in with a new one/);
    // The same session continues with a good one.
    assert.match(await again.say(xoauth2(await world.token())), /^235 /);
    assert.match(await again.send(USER, TO), /^250 2\.0\.0 /);
    const deferred = world.lines.find(({ message }) => message === "Message deferred")!;
    assert.deepEqual([deferred["code"], deferred["proved"]], ["InvalidAuthenticationToken", false]);
  });

  it("can guess no more often with tokens than with passwords: AUTH_RATE_LIMIT", async () => {
    const world = await start({ AUTH_RATE_LIMIT: "3/1m" });
    for (const number of [1, 2, 3]) {
      const { client } = await greeted(world);
      assert.match(await client.say(xoauth2(world.forged(`Zm9yZ2Vk${number}`))), /^235 /);
      assert.match(await client.send(USER, TO), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    }
    const { client } = await greeted(world);
    assert.match(
      await client.say(xoauth2(world.forged("Zm9yZ2Vk4"))),
      /^421 4\.7\.0 Too many failed/,
    );
    assert.equal(world.cloud.seen.length, 3);
  });

  it("is asked for a new token when its own is revoked during the session", async () => {
    const world = await start();
    const { client } = await greeted(world);
    const token = await world.token();
    assert.match(await client.say(xoauth2(token)), /^235 /);
    assert.match(await client.send(USER, TO), /^250 /);
    world.cloud.entra.revoke(token);
    assert.match(await client.send(USER, TO), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    assert.match(await client.send(USER, TO), /^451 4\.7\.0 TOKEN_REFUSED: |^503 /);
    assert.equal(world.cloud.seen.filter((request) => request.includes("/token")).length, 1);
  });

  it("uses no turn of the app that it claims to be, before Graph has accepted the token", async () => {
    const held = Promise.withResolvers<undefined>();
    const arrived = Promise.withResolvers<void>();
    let forgers = 0;
    const world = await start({ GRAPH_CONCURRENCY: "1" }, {
      intercept(context) {
        if (!context.req.header("authorization")?.includes(".Zm9yZ2Vk")) return undefined;
        if (++forgers === 3) arrived.resolve();
        return held.promise;
      },
    });
    const answers = await Promise.all([1, 2, 3].map(async (number) => {
      const { client } = await greeted(world);
      assert.match(await client.say(xoauth2(world.forged(`Zm9yZ2Vk${number}`))), /^235 /);
      return { answer: client.send(USER, TO) };
    }));
    await arrived.promise;
    const honest = (await greeted(world)).client;
    const login = Buffer.from(`\0${USERNAME}\0a secret`).toString("base64");
    assert.match(await honest.say(`AUTH PLAIN ${login}`), /^235 /);
    assert.match(await honest.send(USER, TO), /^250 /);
    held.resolve(undefined);
    for (const { answer } of answers) assert.match(await answer, /^451 4\.7\.0 /);
  });

  it("shows its token in no log, reply or error, good or bad", async () => {
    const world = await start();
    const { client } = await greeted(world);
    let said = "";
    const say = async (line: string) => said += await client.say(line);
    const foreign = jwt({ aud: "https://outlook.office365.com", exp: 1, tid: TENANT });
    const tokens = [foreign, "S3cret.that.must-not-show", world.forged(), await world.token()];
    for (const token of tokens.slice(0, 2)) {
      await say(xoauth2(token));
      await say("AQ==");
    }
    // Also in forms that are not understood.
    await say(xoauth2(`${tokens[1]}\x01`));
    await say(`AUTH XOAUTH2 ${tokens[1]}!`);
    await say(`AUTH ${tokens[1]}`);
    await say(xoauth2(tokens[2]!));
    said += await client.send(USER, TO);
    const other = (await greeted(world)).client;
    said += await other.say(xoauth2(tokens[3]!));
    said += await other.send(USER, TO);
    assert.equal(subjects(world).length, 1);
    await world.relay.stop();
    const all = said + world.lines.map((line) => JSON.stringify(line)).join("\n");
    for (const token of tokens) {
      const parts = [...token.split("."), xoauth2(token).slice(40, 100)];
      for (const part of parts.filter((part) => part.length > 7)) {
        assert.ok(!all.includes(part), `found ${part.slice(0, 6)}…`);
      }
    }
  });
});

interface TokenClient {
  readonly name: string;
  readonly mechanism: "XOAUTH2" | "OAUTHBEARER";
  readonly absent: string | false;
  /** The number of its login attempts. */
  readonly tries: number;
  /** Its error message after that. */
  readonly refused: RegExp;
  send(port: number, token: string): Promise<void>;
}

const MESSAGE = `From: <${USER}>\r\nTo: <${TO}>\r\nSubject: A token of mine\r\n\r\nText\r\n`;

const CLIENTS: readonly TokenClient[] = [
  {
    name: "nodemailer",
    mechanism: "XOAUTH2",
    absent: false,
    tries: 2,
    refused: /535 5\.7\.8 .*TOKEN_EXPIRED/,
    async send(port, accessToken) {
      const transport = createTransport({
        host: "127.0.0.1",
        port,
        ignoreTLS: true,
        auth: { type: "OAuth2", user: USER, accessToken },
      });
      try {
        await transport.sendMail({ envelope: { from: USER, to: TO }, raw: MESSAGE });
      } finally {
        transport.close();
      }
    },
  },
  curl("XOAUTH2", false),
  curl("OAUTHBEARER", false),
  curl("OAUTHBEARER", true),
  {
    name: "smtplib",
    mechanism: "XOAUTH2",
    absent: missing("python3"),
    tries: 1,
    refused: /SMTPAuthenticationError: \(535, b'5\.7\.8 .*TOKEN_EXPIRED/,
    send: (port, token) =>
      execute("python3", ["-c", SMTPLIB, String(port), USER, token, TO], MESSAGE),
  },
];

/** @param initial whether it sends its response with AUTH (RFC 4954 §4) or waits for the challenge */
function curl(mechanism: "XOAUTH2" | "OAUTHBEARER", initial: boolean): TokenClient {
  return {
    name: `curl with ${mechanism}${initial ? " and an initial response" : ""}`,
    mechanism,
    absent: missing("curl"),
    tries: 1,
    // 67: CURLE_LOGIN_DENIED.
    refused: /curl ended with 67/,
    send: (port, token) =>
      execute("curl", [
        "--silent",
        "--show-error",
        "--url",
        `smtp://127.0.0.1:${port}`,
        "--user",
        USER,
        "--oauth2-bearer",
        token,
        "--login-options",
        `AUTH=${mechanism}`,
        ...(initial ? ["--sasl-ir"] : []),
        "--mail-from",
        USER,
        "--mail-rcpt",
        TO,
        "--upload-file",
        "-",
      ], MESSAGE),
  };
}

const SMTPLIB = `
import smtplib, sys
port, user, token, to = sys.argv[1:]
smtp = smtplib.SMTP("127.0.0.1", int(port))
smtp.ehlo()
asked = []
def response(challenge=None):
    if asked:
        return ""
    asked.append(True)
    return "user=%s\\x01auth=Bearer %s\\x01\\x01" % (user, token)
smtp.auth("XOAUTH2", response)
smtp.sendmail(user, [to], sys.stdin.buffer.read())
smtp.quit()
`;
