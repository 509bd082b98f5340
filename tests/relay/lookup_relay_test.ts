/**
 * A whole relay with the lookup table in Azurite and the imitated Entra ID and Graph: who gets in, who
 * a message comes from, what happens when the table goes away, and what the log says of it all.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, before, describe, it } from "node:test";
import { CommandError, EXIT } from "../../src/exit.ts";
import type { Relay } from "../../src/relay/relay.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import {
  ACCOUNT_KEY,
  admin,
  type Azurite,
  CONNECTION_STRING,
  startAzurite,
} from "../support/azurite.ts";
import { readersOf } from "../message/readers/readers.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { closedPort } from "../support/raw_server.ts";
import { DOUBTFUL, ESCAPES } from "../support/sender_escapes.ts";
import { type Line, SECRET, TestRelays } from "../support/relay.ts";

const IDS = { tenant_id: TENANT, client_id: CLIENT };
/** The one reply to all that fail by an id, whatever the reason. */
const WRONG = /^535 5\.7\.8 The username or the password is wrong, or the account may not log in; /;

describe("a relay with a lookup table", () => {
  let azurite: Azurite;
  let cloud: CloudServer;
  let stage: ReturnType<typeof admin>;
  const relays = new TestRelays();
  /** All that was logged, at DEBUG, by each relay. */
  const logs: (readonly Line[])[] = [];

  before(async () => {
    [azurite, cloud] = await Promise.all([startAzurite(), startCloud()]);
    stage = admin(azurite, "users");
    await stage.client.createTable();
  });
  afterEach(async () => {
    await cloud.inbox.clear();
  });
  after(async () => {
    stage.close();
    await Promise.all([azurite.stop(), cloud.close()]);
  });

  async function start(environment: Readonly<Record<string, string>> = {}) {
    const started = await relays.start({
      cloud,
      environment: {
        AZURE_TABLES_URL: azurite.url("users"),
        AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
        ...environment,
      },
    });
    logs.push(started.lines);
    return started;
  }

  async function login(
    { addresses: { smtp } }: Relay,
    username: string,
    reply: RegExp,
  ): Promise<SmtpClient> {
    const client = relays.keep(new SmtpClient(smtp[0]!.port));
    assert.match(await client.login(username, SECRET), reply);
    return client;
  }

  /** The envelope, then the message with these header fields. @returns the last reply */
  async function send(client: SmtpClient, from: string, header: string): Promise<string> {
    const mail = await client.say(`MAIL FROM:<${from}>`);
    if (!mail.startsWith("250")) return mail;
    await client.say("RCPT TO:<bob@example.org>");
    await client.say("DATA");
    return client.say(`${header}To: <bob@example.org>\r\nSubject: x\r\n\r\nText\r\n.`);
  }

  const newest = () => cloud.inbox.list()[0];
  const raw = () => Buffer.from(cloud.inbox.get(newest()!.id)!.raw).toString("utf8");

  it("sends as from_email and from_name, whatever envelope and From say", async () => {
    await stage.put("scanner", {
      ...IDS,
      from_email: "scanner@example.com",
      from_name: "Scanner, 2nd floor",
    });
    const { relay, lines } = await start();
    const client = await login(relay, "scanner@lookup", /^235 2\.7\.0 /);
    assert.match(
      await send(client, "root@localhost", "From: <root@localhost>\r\n"),
      /^250 2\.0\.0 /,
    );
    const { id } = newest()!;
    assert.equal(cloud.inbox.get(id)!.mailbox, "scanner@example.com");
    assert.match(raw(), /^From: "Scanner, 2nd floor" <scanner@example\.com>\r$/m);
    assert(!raw().includes("root@localhost"));
    const told = (message: string) => lines.find((line) => line.message === message);
    assert.equal(told("Login succeeded")?.["entry"], "scanner");
    assert.equal(told("Message sent")?.["entry"], "scanner");
  });

  it("refuses with 535 what the table refuses; the log names row and column", async () => {
    await stage.put("off", { ...IDS, disabled: true });
    await stage.put("typo", { ...IDS, allowed_senders: "example.com" });
    const { relay, lines } = await start();
    for (const id of ["off", "typo", "nobody"]) await login(relay, `${id}@lookup`, WRONG);
    const refused = lines.filter(({ message }) => message === "Login refused");
    assert.deepEqual(refused.map(({ level }) => level), ["WARNING", "WARNING", "WARNING"]);
    assert.match(String(refused[0]!["detail"]), /^entry "off" of the lookup table is disabled$/);
    assert.match(String(refused[1]!["detail"]), /^entry "typo" .*: allowed_senders must be /);
    assert.match(String(refused[2]!["detail"]), /no entry with this id as its RowKey/);
  });

  // What an id could do to a query, a path or the log; 2 KiB are more than a username may have.
  const HOSTILE = [
    "' or '1' eq '1",
    "a/b",
    "a\\b",
    "a#b?c",
    "o'neil",
    "x".repeat(2048),
    "%27",
    "é",
  ];
  for (const id of HOSTILE) {
    it(`answers the id ${id.slice(0, 20)} with a clean 535`, async () => {
      const { relay } = await start();
      const client = await login(relay, `${id}@lookup`, /^535 5\.7\.8 /);
      assert.match(await client.say("NOOP"), /^250 /);
    });
  }

  it("wants an entry of every login with AZURE_TABLES_FORCE_USAGE", async () => {
    await stage.put("app", { ...IDS, from_email: "app@example.com" }, "forced");
    const { relay } = await start({
      AZURE_TABLES_FORCE_USAGE: "true",
      AZURE_TABLES_PARTITION_KEY: "forced",
    });
    const client = await login(relay, USERNAME.toUpperCase(), /^235 /);
    assert.match(await send(client, "me@example.com", "From: me@example.com\r\n"), /^250 /);
    assert.equal(cloud.inbox.get(newest()!.id)!.mailbox, "app@example.com");
    await login(relay, "app@lookup", /^235 /);
    await login(
      relay,
      `${CLIENT}@${TENANT}`,
      /^535 5\.7\.8 The lookup has no entry for this t/,
    );
    await login(relay, "other@lookup", WRONG);
  });

  it("does not start with AZURE_TABLES_FORCE_USAGE where the table does not answer: 69", async () => {
    const down = `http://127.0.0.1:${await closedPort()}/devstoreaccount1/users`;
    for (
      const [url, problem] of [
        [
          down,
          /^AZURE_TABLES_FORCE_USAGE needs the lookup table: ECONNREFUSED: .*cannot be reached/,
        ],
        [
          azurite.url("nobodys"),
          /: TableNotFound: the table does not exist: .* \(the table is http:\S+\/nobodys\)$/,
        ],
      ] as const
    ) {
      const started = start({ AZURE_TABLES_FORCE_USAGE: "true", AZURE_TABLES_URL: url });
      await assert.rejects(started, (error) => {
        assert(error instanceof CommandError);
        assert.equal(error.status, EXIT.unavailable);
        assert.match(error.lines[0]!, problem);
        return true;
      });
    }
    // Without it, only who needs the table notices.
    const { relay } = await start({ AZURE_TABLES_URL: down });
    await login(relay, USERNAME, /^235 /);
    await login(relay, "scanner@lookup", /^454 4\.7\.0 .*ECONNREFUSED/);
  });

  describe("with ALLOWED_SENDERS", () => {
    const LISTS = { ALLOWED_SENDERS: "scanner@example.com,@example.org" };
    const NO = /^550 5\.7\.1 Sender not allowed: it is not in ALLOWED_SENDERS/;

    const cases: readonly (readonly [what: string, from: string, header: string, reply: RegExp])[] =
      [
        ["a sender who is listed", "scanner@example.com", "From: scanner@example.com\r\n", /^250 /],
        ["another spelling", "Scanner@EXAMPLE.com", "From: S <SCANNER@example.com>\r\n", /^250 /],
        ["a sender of a listed domain", "any@example.org", "From: other@example.org\r\n", /^250 /],
        ["no From at all", "any@example.org", "", /^250 /],
        ["an envelope that is not listed", "eve@example.com", "From: scanner@example.com\r\n", NO],
        ["a subdomain", "any@sub.example.org", "From: any@example.org\r\n", NO],
        ["the null sender, by its From", "", "From: scanner@example.com\r\n", /^250 /],
        ["the null sender, by another From", "", "From: boss@example.com\r\n", NO],
        ["a From that is not listed", "any@example.org", "From: boss@example.com\r\n", NO],
        [
          "one of several in From",
          "any@example.org",
          "From: any@example.org, boss@example.com\r\n",
          NO,
        ],
        [
          "one in a group",
          "any@example.org",
          "From: g: any@example.org, boss@example.com;\r\n",
          NO,
        ],
        [
          "a Sender that is not listed",
          "any@example.org",
          "From: any@example.org\r\nSender: boss@example.com\r\n",
          NO,
        ],
        [
          "a From that others may read differently",
          "any@example.org",
          "From: boss@example.com any@example.org\r\n",
          NO,
        ],
        [
          "an encoded word in the place of an address",
          "any@example.org",
          "From: =?utf-8?q?boss=40example.com?=, any@example.org\r\n",
          NO,
        ],
        [
          "an address as a display name, which is a name",
          "any@example.org",
          'From: "boss@example.com" <any@example.org>\r\n',
          /^250 /,
        ],
      ];
    for (const [what, from, header, reply] of cases) {
      it(`${reply === NO ? "refuses" : "sends"} with ${what} (RFC 6409 §6.1)`, async () => {
        const { relay, lines } = await start(LISTS);
        const client = await login(relay, USERNAME, /^235 /);
        assert.match(await send(client, from, header), reply);
        assert.equal(cloud.inbox.list().length, reply === NO ? 0 : 1);
        const refused = lines.filter(({ message }) => /refused/i.test(message));
        assert.deepEqual(refused.map(({ level }) => level), reply === NO ? ["WARNING"] : []);
      });
    }

    it("takes from_email as the sender, and the entry's own list besides", async () => {
      await stage.put("over", { ...IDS, from_email: "scanner@example.com" });
      await stage.put("foreign", { ...IDS, from_email: "boss@example.com" });
      await stage.put("own", { ...IDS, allowed_senders: "a@example.org" });
      const { relay, lines } = await start(LISTS);
      const over = await login(relay, "over@lookup", /^235 /);
      assert.match(await send(over, "eve@evil.example", "From: eve@evil.example\r\n"), /^250 /);
      const foreign = await login(relay, "foreign@lookup", /^235 /);
      const reply = await send(foreign, "scanner@example.com", "");
      assert.match(reply, /^550 5\.7\.1 .*ALLOWED_SENDERS \(boss@example\.com\)/);
      const own = await login(relay, "own@lookup", /^235 /);
      assert.match(await send(own, "b@example.org", ""), /^550 5\.7\.1 .*allowed_senders of this/);
      assert.match(await send(own, "a@example.org", "From: b@example.org\r\n"), /^550 5\.7\.1 /);
      assert.match(await send(own, "a@example.org", "From: a@example.org\r\n"), /^250 /);
      const codes = lines.filter(({ message }) => message === "Message refused")
        .map(({ code }) => code);
      assert.deepEqual(codes, ["SENDER_NOT_ALLOWED", "SENDER_NOT_ALLOWED"]);
    });
  });

  describe("lets no reader see another author than it has checked", () => {
    const ANN = "ann@sender.example";
    const accounts: readonly {
      readonly what: string;
      readonly entry: Readonly<Record<string, string>>;
      readonly environment: Readonly<Record<string, string>>;
      readonly author: string;
    }[] = [
      {
        what: "with ALLOWED_SENDERS",
        entry: {},
        environment: { ALLOWED_SENDERS: ANN },
        author: ANN,
      },
      {
        what: "with allowed_senders of its entry",
        entry: { allowed_senders: "@sender.example" },
        environment: {},
        author: ANN,
      },
      { what: "with from_email", entry: { from_email: ANN }, environment: {}, author: ANN },
      {
        what: "with another from_email",
        entry: { from_email: "own@sender.example" },
        environment: {},
        author: "own@sender.example",
      },
    ];
    for (const { what, entry, environment, author } of accounts) {
      it(`${what} (RFC 5322 §3.6.2)`, async () => {
        await stage.put("escape", { ...IDS, ...entry });
        const { relay } = await start(environment);
        const client = await login(relay, "escape@lookup", /^235 /);
        const headers: Buffer[] = [];
        for (const text of ESCAPES) {
          const header = `From: ${text}\r\nSender: ${text}\r\n`;
          for (const path of ["ann@sender.example", ""]) {
            assert.match(await send(client, path, header), /^250 /, text);
            const sent = Buffer.from(cloud.inbox.get(newest()!.id)!.raw);
            assert.match(sent.toString("latin1"), new RegExp(`^From: <${author}>\r$`, "m"));
            headers.push(sent.subarray(0, sent.indexOf("\r\n\r\n") + 4));
          }
        }
        for (const { from, sender } of await readersOf(headers)) {
          for (const found of [...Object.values(from), ...Object.values(sender)]) {
            assert.deepEqual(new Set([author, ...found]), new Set([author]));
          }
        }
        const overridden = entry["from_email"] !== undefined;
        for (const text of DOUBTFUL) {
          for (const header of [`From: ${text}\r\n`, `From: ${ANN}\r\nSender: ${text}\r\n`]) {
            const reply = await send(client, ANN, header);
            assert.match(reply, overridden ? /^250 / : /^550 5\.7\.1 Sender not allowed: /, text);
          }
        }
      });
    }

    it("and sends what a printer writes, where nothing is restricted", async () => {
      const { relay } = await start();
      const client = await login(relay, USERNAME, /^235 /);
      const header = "From: printer@example.com <printer@example.com>\r\n";
      assert.match(await send(client, "printer@example.com", header), /^250 /);
      assert.match(raw(), /^From: <printer@example\.com>\r$/m);
    });
  });

  it("refuses other tenants than ALLOWED_TENANTS without asking Entra", async () => {
    await stage.put("mine", IDS);
    const before = cloud.seen.length;
    const { relay } = await start({ ALLOWED_TENANTS: CLIENT });
    await login(relay, USERNAME, /^535 5\.7\.8 This tenant may not use the relay/);
    await login(relay, "mine@lookup", /^535 5\.7\.8 This tenant may not use the relay/);
    assert.equal(cloud.seen.length, before);
  });

  it("goes on with what it has read while the table is away, not when it was deleted", async () => {
    const own = await startAzurite();
    const { port } = own;
    const seed = async (azurite: Azurite) => {
      const stage = admin(azurite, "users");
      await stage.client.createTable();
      await stage.put("scanner", { ...IDS, from_email: "scanner@example.com" });
      return stage;
    };
    const first = await seed(own);
    const { relay, url, lines } = await start({
      AZURE_TABLES_URL: own.url("users"),
      HTTP_LISTEN: "127.0.0.1:0",
    });
    /** It stays ready through all of it: a restart would only forget. */
    const tablePart = async () => {
      const answer = await fetch(`${url}/readyz`);
      const { ready, parts } = await answer.json() as {
        ready: boolean;
        parts: { table: Record<string, unknown> };
      };
      assert.deepEqual([answer.status, ready, parts.table["ready"]], [200, true, true]);
      return parts.table;
    };
    assert.deepEqual(await tablePart(), { ready: true });
    await login(relay, "scanner@lookup", /^235 /);
    assert.deepEqual(await tablePart(), { ready: true, answers: true });

    first.close();
    await own.stop();
    await login(relay, "another@lookup", /^454 4\.7\.0 .*ECONNREFUSED/);
    assert.deepEqual(await tablePart(), { ready: true, answers: false, code: "ECONNREFUSED" });
    const client = await login(relay, "scanner@lookup", /^235 /);
    assert.match(await send(client, "me@example.com", ""), /^250 /);

    const again = await startAzurite({ port });
    const second = await seed(again);
    await login(relay, "third@lookup", WRONG);
    assert.deepEqual(await tablePart(), { ready: true, answers: true });
    await second.client.deleteTable();
    second.close();
    await login(relay, "other@lookup", /^454 4\.7\.0 .*TableNotFound: the table does not exist/);
    await login(relay, "scanner@lookup", /^454 4\.7\.0 .*TableNotFound/);
    assert.deepEqual(await tablePart(), { ready: true, answers: false, code: "TableNotFound" });
    const deferred = lines.filter(({ message }) => message === "Login deferred");
    assert.deepEqual(deferred.map(({ level }) => level), ["WARNING", "WARNING", "WARNING"]);
    const back = lines.filter(({ message }) => message === "Lookup table answers again");
    assert.deepEqual(back.map(({ level }) => level), ["WARNING"]);
    await again.stop();
  });

  it("has said no secret, key or token in all of this, at DEBUG", () => {
    const written = JSON.stringify(logs);
    assert(written.length > 10_000, "all of the above has been logged");
    for (const secret of [SECRET, ACCOUNT_KEY, CONNECTION_STRING, "AccountKey", "eyJ", "Bearer"]) {
      assert(!written.includes(secret), secret);
    }
    assert(!written.includes(encodeURIComponent(ACCOUNT_KEY)));
    assert(!written.includes(Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64")));
  });
});
