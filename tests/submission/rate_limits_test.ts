/**
 * AUTH_RATE_LIMIT and MESSAGE_RATE_LIMIT over sockets: a whole relay with the simulated Entra ID and
 * Graph, which count their requests.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, before, describe, it } from "node:test";
import type { Row } from "../../src/accounts/entry.ts";
import type { EntrySource } from "../../src/accounts/entry_source.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { TestRelays } from "../support/relay.ts";

const LIMIT = /^421 4\.7\.0 Too many failed logins from this address; try later$/;
const TOO_MANY = /^451 4\.7\.0 Too many messages from this account; try again later$/;
const WRONG = "wrong-secret";

/** The username of one of many apps: the requests for each are counted separately. */
function username(number: number): string {
  return `${TENANT}@00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** The number of replies by code. */
function codes(replies: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const reply of replies) counts[reply.slice(0, 3)] = (counts[reply.slice(0, 3)] ?? 0) + 1;
  return counts;
}

describe("a relay", () => {
  let cloud: CloudServer;
  /** Makes Entra ID fail until it is undone. */
  let holding: Promise<void> | undefined;
  const relays = new TestRelays();

  before(async () => {
    const intercept = async () => {
      await holding;
      return undefined;
    };
    cloud = await startCloud({ entra: { intercept } });
  });
  afterEach(async () => {
    holding = undefined;
    await cloud.inbox.clear();
    cloud.faults.clear();
  });
  after(() => cloud.close());

  interface Parts {
    readonly environment?: Readonly<Record<string, string>>;
    readonly entries?: EntrySource;
    /** AZURE_TABLES_FORCE_USAGE, with `entries` as the table. */
    readonly entryNeeded?: boolean;
  }

  async function start({ environment = {}, entries, entryNeeded = false }: Parts = {}) {
    const { relay, url, lines } = await relays.start({
      cloud,
      environment: {
        SMTP_LISTEN: "127.0.0.1:0,[::1]:0",
        HTTP_LISTEN: "127.0.0.1:0",
        ...environment,
      },
      settings: { AZURE_TABLES_FORCE_USAGE: entryNeeded },
      // However slow the machine is, no connection waits too long for its slot.
      clock: new FakeClock(),
      ...(entries === undefined ? {} : { entries }),
    });
    const asked = cloud.seen.length;
    const connect = (host = "127.0.0.1") => {
      const { port } = relay.addresses.smtp.find(({ hostname }) => hostname === host)!;
      return relays.keep(new SmtpClient(port, host));
    };
    return {
      relay,
      connect,
      login: (name: string, password: string, host?: string) => connect(host).login(name, password),
      /** Requests for tokens since the start. */
      asked: () => cloud.seen.slice(asked).filter((line) => line.includes("/token")).length,
      linesOf: (message: string, level = "WARNING") =>
        lines.filter((line) => line.message === message && line.level === level),
      async hits(setting: string): Promise<number> {
        const page = await (await fetch(`${url}/metrics`)).text();
        return Number(new RegExp(`limit_hits_total{setting="${setting}"} (\\d+)`).exec(page)?.[1]);
      },
    };
  }

  describe("with AUTH_RATE_LIMIT at its default, 10/1m", () => {
    it("replies 535 to ten failed logins, 421 to the next without a request to Entra ID, and closes", async () => {
      const { connect, login, asked, linesOf, hits } = await start();
      for (const i of range(10)) assert.match(await login(username(i), WRONG), /^535 5\.7\.8 /);
      assert.equal(asked(), 10);
      const client = connect();
      assert.match(await client.login(username(10), WRONG), LIMIT);
      await client.closed();
      assert.match(await login(username(11), "a secret"), LIMIT);
      assert.equal(asked(), 10);
      // Each failed login is logged; unchecked ones once a minute, and counted.
      assert.equal(linesOf("Login refused").length, 10);
      const unseen = "Login rejected without checking: too many failed logins from this address";
      assert.equal(linesOf(unseen).length, 1);
      assert.equal(linesOf(unseen, "DEBUG").length, 1);
      assert.deepEqual([linesOf(unseen)[0]!["client"], linesOf(unseen)[0]!["setting"]], [
        "127.0.0.1",
        "AUTH_RATE_LIMIT",
      ]);
      assert.equal(await hits("AUTH_RATE_LIMIT"), 2);
    });

    it("does so over one connection as well, and ignores what was pipelined", async () => {
      const { connect, asked } = await start();
      const client = connect();
      assert.match(await client.login(username(0), WRONG), /^535 /);
      const plain = (i: number) =>
        `AUTH PLAIN ${Buffer.from(`\0${username(i)}\0${WRONG}`).toString("base64")}\r\n`;
      client.write(range(20).map((i) => plain(i + 1)).join(""));
      for (const _ of range(9)) assert.match(await client.reply(), /^535 /);
      assert.match(await client.reply(), LIMIT);
      await assert.rejects(client.reply(), /the connection ended; unread: ""/);
      assert.equal(asked(), 10);
    });

    it("lets credentials that have worked pass an address at its limit, and send", async () => {
      const { connect, login } = await start();
      assert.match(await login(USERNAME, "a secret"), /^235 /);
      for (const i of range(10)) assert.match(await login(username(i), WRONG), /^535 /);
      assert.match(await login(username(0), WRONG), LIMIT);
      const client = connect();
      assert.match(await client.login(USERNAME, "a secret"), /^235 /);
      assert.match(await client.send("a@example.com", "b@example.com"), /^250 /);
      assert.match(await login(USERNAME, "another secret"), LIMIT);
    });

    it("counts each address separately", async () => {
      const { login } = await start();
      for (const i of range(10)) assert.match(await login(username(i), WRONG), /^535 /);
      assert.match(await login(username(50), "a secret"), LIMIT);
      assert.match(await login(username(50), "a secret", "::1"), /^235 /);
    });

    it("counts malformed usernames, empty passwords and invalid UTF-8", async () => {
      const { connect, login, asked, linesOf, hits } = await start();
      const notUtf8 = (i: number) => Buffer.from(`\0u${i}\0\xff`, "latin1").toString("base64");
      for (const name of ["user", `${TENANT}@`, "@lookup", "printer@lookup"]) {
        assert.match(await login(name, "a secret"), /^535 /);
      }
      for (const i of range(3)) assert.match(await login(username(i), ""), /^535 .*empty/);
      const client = connect();
      await client.reply();
      await client.say("EHLO client.example");
      for (const i of range(3)) {
        assert.match(await client.say(`AUTH PLAIN ${notUtf8(i)}`), /^535 .*UTF-8/);
      }
      assert.match(await login(username(50), "a secret"), LIMIT);
      assert.equal(asked(), 0);
      // Beyond the limit there is not a line for each, however many follow.
      for (const i of range(3)) {
        assert.match(await client.say(`AUTH PLAIN ${notUtf8(3 + i)}`), /^535 .*UTF-8/);
      }
      assert.equal(linesOf("Login refused").length, 10);
      assert.equal(await hits("AUTH_RATE_LIMIT"), 4);
    });

    it("does not count a login that Entra ID could not check", async () => {
      const { login, asked } = await start();
      cloud.faults.add({ on: "token", times: 15, status: 503 });
      for (const i of range(15)) assert.match(await login(username(i), WRONG), /^454 4\.7\.0 /);
      assert.match(await login(username(50), "a secret"), /^235 /);
      assert.equal(asked(), 16);
    });

    it("checks ten of a hundred concurrent wrong guesses", async () => {
      const { login, asked } = await start();
      const replies = await Promise.all(range(100).map((i) => login(username(i), WRONG)));
      assert.deepEqual(codes(replies), { 421: 90, 535: 10 });
      assert.equal(asked(), 10);
    });

    it("accepts 300 devices behind one address together, one of them with an old password", async () => {
      const { login, asked } = await start();
      const others = range(300).map((i) => login(username(i), "a secret"));
      const old = login(USERNAME, WRONG);
      assert.deepEqual(codes(await Promise.all(others)), { 235: 300 });
      assert.match(await old, /^535 /);
      assert.equal(asked(), 301);
    });

    it("makes one request to Entra ID for a device that tries its old password in a loop", async () => {
      const { login, asked, linesOf } = await start();
      const replies = [];
      for (const _ of range(4)) replies.push(await login(USERNAME, WRONG));
      assert.equal(new Set(replies).size, 1);
      assert.match(replies[0]!, /^535 5\.7\.8 Authentication failed: AADSTS7000215: /);
      assert.equal(asked(), 1);
      const remembered = linesOf("Login refused").map(({ detail }) =>
        /remembered/.test(String(detail))
      );
      assert.deepEqual(remembered, [false, true, true, true]);
    });

    it("serves 15 first logins next to two devices with old secrets, and one that is not UTF-8", async () => {
      const { connect, asked } = await start();
      const latin1 = Buffer.from("\0user\0\xff", "latin1").toString("base64");
      let stopped = false;
      const refusals: string[] = [];
      const attempt = async (name: string, password: string) => {
        const client = connect();
        const reply = await client.login(name, password);
        client.destroy();
        return reply;
      };
      /** Devices that try again and again. */
      const old = async (name: string) => {
        while (!stopped) refusals.push(await attempt(name, WRONG));
      };
      const odd = async () => {
        while (!stopped) {
          const client = connect();
          await client.reply();
          await client.say("EHLO client.example");
          refusals.push(await client.say(`AUTH PLAIN ${latin1}`));
          client.destroy();
        }
      };
      const devices = [old(username(1)), old(username(2)), odd()];
      const replies: string[] = [];
      for (const i of range(15)) {
        const { length } = refusals;
        while (refusals.length < length + 6) await attempt(username(3), "a secret");
        replies.push(await attempt(username(100 + i), "a secret"));
      }
      stopped = true;
      await Promise.all(devices);
      assert.deepEqual(codes(replies), { 235: 15 });
      assert.deepEqual(Object.keys(codes(refusals)), ["535"]);
      assert.equal(asked(), 2 + 1 + 15);
    });

    it("checks ten of a thousand different guesses, and still serves credentials that have worked", async () => {
      const { login, asked } = await start();
      assert.match(await login(USERNAME, "a secret"), /^235 /);
      const replies: string[] = [];
      for (const i of range(20)) {
        const guesses = range(50).map((j) => login(username(i * 50 + j), WRONG));
        replies.push(...await Promise.all(guesses));
      }
      assert.deepEqual(codes(replies), { 421: 990, 535: 10 });
      assert.equal(asked(), 11);
      assert.match(await login(USERNAME, "a secret"), /^235 /);
    });
  });

  it("checks failed logins again when the window is over", async () => {
    const { login } = await start({ environment: { AUTH_RATE_LIMIT: "2/500ms" } });
    const first = performance.now();
    const replies = await Promise.all(range(3).map((i) => login(username(i), WRONG)));
    assert.deepEqual(codes(replies), { 421: 1, 535: 2 });
    // Those refused meanwhile do not prolong it.
    let reply;
    do reply = await login(username(9), "a secret"); while (LIMIT.test(reply));
    assert.match(reply, /^235 /);
    assert(performance.now() - first >= 500);
  });

  it("refuses no login with AUTH_RATE_LIMIT=off, and still remembers refusals", async () => {
    const { login, asked } = await start({ environment: { AUTH_RATE_LIMIT: "off" } });
    for (const _ of range(30)) assert.match(await login(USERNAME, WRONG), /^535 /);
    assert.equal(asked(), 1);
  });

  for (const entryNeeded of [false, true]) {
    const what = entryNeeded
      ? "clients, with AZURE_TABLES_FORCE_USAGE"
      : "ids, each of which costs a question to the table";
    it(`looks up ten guessed ${what}, and no more`, async () => {
      let questions = 0;
      const found: Row[] = [];
      const entries: EntrySource = {
        find: () => Promise.resolve((questions++, undefined)),
        findByClient: () => Promise.resolve((questions++, found)),
      };
      const { login, asked } = await start({ entries, entryNeeded });
      const guess = (i: number) => entryNeeded ? username(i) : `guess-${i}@lookup`;
      const replies = await Promise.all(range(50).map((i) => login(guess(i), "a secret")));
      assert.deepEqual(codes(replies), { 421: 40, 535: 10 });
      assert.deepEqual([questions, asked()], [10, 0]);
    });
  }

  it("ends all waits for a turn when it stops, with or without their clients", async () => {
    const release = Promise.withResolvers<void>();
    holding = release.promise;
    const { relay, connect } = await start({ environment: { AUTH_RATE_LIMIT: "1/1m" } });
    /** The reply to NOOP shows that the login in the same segment is in progress. */
    const logIn = async (number: number) => {
      const client = connect();
      await client.reply();
      await client.say("EHLO client.example");
      const plain = Buffer.from(`\0${username(number)}\0a secret`).toString("base64");
      client.write(`NOOP\r\nAUTH PLAIN ${plain}\r\n`);
      assert.match(await client.reply(), /^250 /);
      return client;
    };
    const first = await logIn(1);
    const second = await logIn(2);
    (await logIn(3)).destroy();
    const begun = performance.now();
    const stopped = relay.stop();
    assert.match(await second.reply(), /^454 4\.7\.0 /);
    assert.match(await second.reply(), /^421 4\.3\.2 /);
    release.resolve();
    assert.match(await first.reply(), /^235 /);
    await stopped;
    assert(performance.now() - begun < 5000);
  });

  describe("with MESSAGE_RATE_LIMIT", () => {
    const LIMITED = { environment: { MESSAGE_RATE_LIMIT: "3/1h" } };

    /** @returns the last reply */
    const send = async (client: SmtpClient, from = "a@example.com"): Promise<string> => {
      const mail = await client.say(`MAIL FROM:<${from}>`);
      if (!mail.startsWith("250")) return mail;
      await client.say("RCPT TO:<b@example.com>");
      await client.say("DATA");
      return client.say("From: a@example.com\r\nSubject: x\r\n\r\nText\r\n.");
    };

    it("sends the allowed messages of an account, then replies 451 4.7.0 to MAIL", async () => {
      const { connect, linesOf, hits } = await start(LIMITED);
      const client = connect();
      await client.login(USERNAME, "a secret");
      for (const _ of range(3)) assert.match(await send(client), /^250 2\.0\.0 /);
      assert.match(await send(client), TOO_MANY);
      assert.match(await send(client, ""), TOO_MANY);
      // All sessions of the account count together; another account counts separately.
      const again = connect();
      await again.login(USERNAME.toUpperCase(), "another secret");
      assert.match(await send(again), TOO_MANY);
      const other = connect("::1");
      await other.login(username(1), "a secret");
      assert.match(await send(other), /^250 /);
      assert.equal(cloud.inbox.list().length, 4);
      const message = "Message deferred: too many messages from this account";
      assert.equal(linesOf(message).length, 1);
      assert.equal(linesOf(message, "DEBUG").length, 2);
      assert.deepEqual([linesOf(message)[0]!["app"], linesOf(message)[0]!["setting"]], [
        CLIENT,
        "MESSAGE_RATE_LIMIT",
      ]);
      assert.equal(await hits("MESSAGE_RATE_LIMIT"), 3);
    });

    it("sends no more than the limit of a burst whose MAIL was accepted before", async () => {
      const { connect, linesOf } = await start(LIMITED);
      const burst = await Promise.all(
        range(10).map(async () => {
          const client = connect();
          await client.login(USERNAME, "a secret");
          assert.match(await client.say("MAIL FROM:<a@example.com>"), /^250 /);
          return client;
        }),
      );
      const replies = await Promise.all(burst.map(async (client) => {
        await client.say("RCPT TO:<b@example.com>");
        await client.say("DATA");
        return client.say("From: a@example.com\r\n\r\nText\r\n.");
      }));
      assert.deepEqual(codes(replies), { 250: 3, 451: 7 });
      for (const reply of replies) if (!reply.startsWith("250")) assert.match(reply, TOO_MANY);
      assert.equal(cloud.inbox.list().length, 3);
      const deferred = linesOf("Message deferred");
      assert.deepEqual(deferred.map(({ code }) => code), Array(7).fill("MESSAGE_RATE_LIMIT"));
    });

    it("does so for a session that is sent in one piece (RFC 2920)", async () => {
      const { connect } = await start(LIMITED);
      const client = connect();
      await client.login(USERNAME, "a secret");
      client.write(
        range(5).map(() =>
          "MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 28 LAST\r\n" +
          "From: a@example.com\r\n\r\nText\n"
        ).join("") + "QUIT\r\n",
      );
      const replies = [];
      for (;;) {
        const reply = await client.reply();
        replies.push(reply);
        if (reply.startsWith("221")) break;
      }
      assert.equal(cloud.inbox.list().length, 3);
      assert.equal(replies.filter((reply) => TOO_MANY.test(reply)).length, 2);
    });

    it("counts what was or may have been sent, not what Graph has certainly refused", async () => {
      const { connect } = await start(LIMITED);
      const client = connect();
      await client.login(USERNAME, "a secret");
      cloud.faults.add({ on: "sendMail", times: 6, status: 403, code: "ErrorAccessDenied" });
      for (const _ of range(5)) assert.match(await send(client), /^550 5\.7\.1 /);
      cloud.faults.add({ on: "sendMail", times: 2, status: 504 });
      for (const _ of range(2)) assert.match(await send(client), /^451 .*may have been sent/);
      cloud.faults.clear();
      assert.match(await send(client), /^250 /);
      assert.match(await send(client), TOO_MANY);
    });
  });
});
