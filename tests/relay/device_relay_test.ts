/**
 * A whole relay with devices that have a password of their own: what they may send, what is shown of their
 * passwords, and what a queue does with their mail.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { setTimeout } from "node:timers/promises";
import { credentialUnset, unreachable } from "../../src/entra/entra_errors.ts";
import { openSqliteAdministration } from "../../src/queue/sqlite/administration.ts";
import type { SmtpClient } from "../end_to_end/smtp_client.ts";
import { readersOf } from "../message/readers/readers.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import {
  DEVICE,
  DEVICE_PASSWORD as PASSWORD,
  DeviceWorld,
  HIDDEN,
} from "../support/device_world.ts";
import { USERNAME } from "../support/logins.ts";
import { hashOf } from "../support/passwords.ts";
import { type TestRelay, TestRelays } from "../support/relay.ts";
import { DOUBTFUL, ESCAPES } from "../support/sender_escapes.ts";
import { until } from "../support/until.ts";

const WRONG = /^535 5\.7\.8 The username or the password is wrong, or the account may not log in; /;
const AWAY = unreachable("ECONNREFUSED", "refused");

describe("a relay with devices that have a password of their own", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let world: DeviceWorld;
  before(async () => {
    cloud = await startCloud();
  });
  afterEach(async () => {
    world.close();
    cloud.faults.clear();
    await cloud.inbox.clear();
  });
  after(() => cloud.close());

  async function start(
    rows: Record<string, Record<string, unknown>> = { scanner: DEVICE },
    environment: Readonly<Record<string, string>> = {},
  ): Promise<TestRelay> {
    world = new DeviceWorld(cloud, rows);
    return await relays.start({
      ...{ cloud, environment, entries: world.entries, tokens: world.tokens() },
    });
  }

  /** @returns the last reply */
  async function send(client: SmtpClient, from: string, header: string): Promise<string> {
    const mail = await client.say(`MAIL FROM:<${from}>`);
    if (!mail.startsWith("250")) return mail;
    await client.say("RCPT TO:<bob@example.org>");
    await client.say("DATA");
    return client.say(`${header}To: <bob@example.org>\r\nSubject: x\r\n\r\nText\r\n.`);
  }

  const newest = () => cloud.inbox.get(cloud.inbox.list()[0]!.id)!;

  it("sends with its own credential, and shows neither password nor hash anywhere", async () => {
    const relay = await start({ scanner: DEVICE, "scanner@printers.example": DEVICE }, {
      HTTP_LISTEN: "127.0.0.1:0",
      LOG_RECIPIENTS: "true",
    });
    const { lines, url, linesOf } = relay;
    for (const username of ["scanner", "scanner@lookup", "scanner@printers.example"]) {
      const client = await relay.authed(username, PASSWORD);
      assert.match(await send(client, "root@localhost", "From: <root@localhost>\r\n"), /^250 /);
      assert.equal(newest().mailbox, "scanner@example.com");
      assert.match(await relay.connect().login(username, `${PASSWORD}.`), WRONG);
    }
    assert.match(await relay.connect().login("nobody", PASSWORD), WRONG);
    assert.match(await relay.connect().login(PASSWORD, "scanner"), WRONG);
    const names = linesOf("Message sent").map(({ username, entry }) => [username, entry]);
    assert.deepEqual(names, [
      ["scanner", "scanner"],
      ["scanner@lookup", "scanner"],
      ["scanner@printers.example", "scanner@printers.example"],
    ]);
    const refused = linesOf("Login refused").map(({ username, code }) => [username, code]);
    assert.deepEqual(refused, [
      ["scanner", "WRONG_PASSWORD"],
      ["scanner@lookup", "WRONG_PASSWORD"],
      ["scanner@printers.example", "WRONG_PASSWORD"],
      ["(6 characters, not shown)", undefined],
      [`(${PASSWORD.length} characters, not shown)`, undefined],
    ]);
    const pages = await Promise.all(
      ["/", "/metrics", "/readyz", "/status.json"].map(async (path) => {
        return await (await fetch(url + path)).text();
      }),
    );
    const shown = JSON.stringify(lines) + pages.join("");
    for (const text of HIDDEN) assert(!shown.includes(text), text);
    // One token for all devices of the app, and no request with a device's password.
    assert.deepEqual([world.asked, cloud.seen.filter((seen) => seen.includes("/token")).length], [
      1,
      1,
    ]);
  });

  describe("lets a device send as its entry's senders alone (RFC 5322 §3.6.2)", () => {
    const ANN = "ann@sender.example";
    const ENTRIES: readonly (readonly [what: string, entry: object, author: string])[] = [
      ["allowed_senders", { from_email: "", allowed_senders: "@sender.example" }, ANN],
      ["allowed_senders of one", { from_email: "", allowed_senders: ANN }, ANN],
      ["from_email", { from_email: ANN }, ANN],
      ["both", { from_email: ANN, allowed_senders: ANN }, ANN],
      ["another from_email", { from_email: "own@sender.example" }, "own@sender.example"],
    ];
    for (const [what, entry, author] of ENTRIES) {
      const overridden = !what.startsWith("allowed");
      it(`by ${what}, whatever From, Sender, Resent fields and envelope say`, async () => {
        const relay = await start({ scanner: { ...DEVICE, ...entry } });
        const client = await relay.authed("scanner", PASSWORD);
        const headers: Buffer[] = [];
        const accepted = async (path: string, fields: string) => {
          assert.match(await send(client, path, fields), /^250 /, fields);
          assert.equal(newest().mailbox, author);
          const sent = Buffer.from(newest().raw);
          assert.match(sent.toString("latin1"), new RegExp(`^From: <?${author}>?\r$`, "m"));
          headers.push(sent.subarray(0, sent.indexOf("\r\n\r\n") + 4));
        };
        for (const text of ESCAPES) {
          for (const path of [ANN, ""]) {
            await accepted(path, `From: ${text}\r\nSender: ${text}\r\n`);
            await accepted(
              path,
              `From: ${ANN}\r\nResent-From: ${text}\r\nResent-Sender: ${text}\r\n`,
            );
          }
        }
        const BOSS = "boss@corp.example";
        await accepted(ANN, `Resent-From: ${BOSS}\r\nResent-Sender: ${BOSS}\r\nFrom: ${ANN}\r\n`);
        for (const { from, sender } of await readersOf(headers)) {
          for (const found of [...Object.values(from), ...Object.values(sender)]) {
            assert.deepEqual(new Set([author, ...found]), new Set([author]));
          }
        }
        assert(headers.every((header) => !/^Resent-/im.test(header.toString("latin1"))));
        // What nobody can be sure of, and what is plainly somebody else.
        const foreign = [...DOUBTFUL, BOSS, `${ANN}, ${BOSS}`, `g: ${BOSS};`];
        const before = cloud.inbox.list().length;
        for (const text of foreign) {
          for (const header of [`From: ${text}\r\n`, `From: ${ANN}\r\nSender: ${text}\r\n`]) {
            const reply = await send(client, ANN, header);
            assert.match(reply, overridden ? /^250 / : /^550 5\.7\.1 Sender not allowed: /, text);
            if (overridden) assert.equal(newest().mailbox, author);
          }
        }
        for (const path of [BOSS, "ann@sub.sender.example", "ann@sender.example.evil.example"]) {
          const reply = await send(client, path, `From: ${ANN}\r\n`);
          assert.match(reply, overridden ? /^250 / : /^550 5\.7\.1 Sender not allowed: /, path);
          if (overridden) assert.equal(newest().mailbox, author);
        }
        if (!overridden) assert.equal(cloud.inbox.list().length, before);
        assert.match(await send(client, "", `From: ${BOSS}\r\n`), overridden ? /^250 / : /^550 /);
      });
    }
  });

  it("lets a trusted network send as a device, whose password is the setting's", async () => {
    world = new DeviceWorld(cloud, { scanner: DEVICE });
    const relay = await relays.start({
      cloud,
      environment: {
        TRUSTED_NETWORKS: "127.0.0.0/8",
        TRUSTED_USERNAME: USERNAME,
        TRUSTED_PASSWORD: PASSWORD,
        ALLOWED_SENDERS: "@example.com",
      },
      // Only with AZURE_TABLES_URL may it be an id alone.
      settings: { TRUSTED_USERNAME: "scanner" },
      entries: world.entries,
      tokens: world.tokens(),
    });
    const client = await relay.ehlo();
    assert.match(await send(client, "root@localhost", "From: <root@localhost>\r\n"), /^250 /);
    assert.equal(newest().mailbox, "scanner@example.com");
  });

  it("defers a device's login while the relay's own credential fails, as often as it tries", async () => {
    const relay = await start();
    for (
      const [refusal, reply] of [
        [credentialUnset("certificate"), /^454 4\.7\.0 .*CREDENTIAL_UNSET/],
        [AWAY, /^454 4\.7\.0 .*ECONNREFUSED/],
      ] as const
    ) {
      world.refusal = refusal;
      for (let i = 0; i < 15; i++) {
        const answer = await relay.connect().login("scanner", PASSWORD);
        assert.match(answer, reply);
      }
    }
    world.refusal = undefined;
    await relay.authed("scanner", PASSWORD);
    assert(relay.linesOf("Login deferred").every(({ username }) => username === "scanner"));
    assert.deepEqual(relay.linesOf("Login refused"), []);
  });

  it("counts a check of a password in MAX_MEMORY, and waits for mail to leave it room", async () => {
    const quick = { ...DEVICE, password_hash: hashOf(PASSWORD, "sha256") };
    const relay = await start({ scanner: DEVICE, quick }, {
      ...{ MAX_MEMORY: "16m", MAX_MESSAGE_SIZE: "10m", HTTP_LISTEN: "127.0.0.1:0" },
    });
    const used = async () => {
      const page = await (await fetch(`${relay.url}/metrics`)).text();
      return Number(/^smtp_oauth_relay_mail_memory_bytes (\d+)/m.exec(page)![1]);
    };
    const sender = await relay.sending();
    sender.write(`From: a@example.com\r\n\r\n${`${"x".repeat(998)}\r\n`.repeat(9_000)}`);
    while (await used() < 13_000_000);
    let answered = false;
    const login = relay.connect().login("scanner", PASSWORD).finally(() => answered = true);
    await relay.authed("quick", PASSWORD);
    await setTimeout(500);
    assert.equal(answered, false);
    sender.destroy();
    assert.match(await login, /^235 /);
  });

  it("defers a message of a session while the relay's own credential fails", async () => {
    const relay = await start();
    const client = await relay.authed("scanner", PASSWORD);
    world.refusal = credentialUnset("certificate");
    // Graph takes the token no more, so that another is asked for.
    cloud.faults.add({ on: "sendMail", status: 401, code: "InvalidAuthenticationToken", times: 1 });
    const header = "From: scanner@example.com\r\n";
    const reply = await send(client, "scanner@example.com", header);
    assert.match(reply, /^451 4\.7\.0 /);
    world.refusal = undefined;
    assert.match(await send(client, "scanner@example.com", header), /^250 /);
  });
});

describe("a queue with mail of devices", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let world: DeviceWorld;
  let directory: string;
  const key = randomBytes(32).toString("base64");
  before(async () => {
    cloud = await startCloud();
  });
  afterEach(async () => {
    world.close();
    cloud.faults.clear();
    await cloud.inbox.clear();
    rmSync(directory, { recursive: true, force: true });
  });
  after(() => cloud.close());

  /** @returns starts a relay on the same queue */
  function open(): () => Promise<TestRelay> {
    directory = mkdtempSync(join(tmpdir(), "relay-devices-"));
    world = new DeviceWorld(cloud, { scanner: DEVICE });
    return () =>
      relays.start({
        cloud,
        environment: {
          DELIVERY_MODE: "queue",
          QUEUE_URL: `sqlite:${directory}/queue.db`,
          QUEUE_KEY: key,
        },
        entries: world.entries,
        tokens: world.tokens(),
      });
  }

  const subjects = () => cloud.inbox.list().map(({ subject }) => subject);

  it("takes it while Entra ID is away, keeps no secret, and sends it with the relay's credential", async () => {
    const start = open();
    let relay = await start();
    world.refusal = AWAY;
    const client = await relay.authed("scanner", PASSWORD);
    assert.match(
      await client.send("scanner@example.com", "b@example.org", "first"),
      /^250 .*queued/,
    );
    assert.match(await relay.connect().login("scanner", "wrong"), WRONG);
    world.refusal = credentialUnset("certificate");
    assert.match(
      await relay.connect().login("scanner", PASSWORD),
      /^454 4\.7\.0 .*CREDENTIAL_UNSET/,
    );
    await relay.stop();
    for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
      const path = join(directory, name);
      if (!statSync(path).isFile()) continue;
      const octets = readFileSync(path);
      for (const secret of HIDDEN) {
        for (const form of [secret, Buffer.from(secret).toString("base64").slice(0, -3)]) {
          assert(!octets.includes(form), `${name} has ${form}`);
        }
      }
    }
    // The password may be another one by now: the message was accepted.
    world.rows["scanner"] = { ...DEVICE, password_hash: hashOf("another", "sha256") };
    world.refusal = undefined;
    relay = await start();
    await until(() => subjects().length === 1);
    assert.deepEqual(subjects(), ["first"]);
    assert.equal(cloud.inbox.get(cloud.inbox.list()[0]!.id)!.mailbox, "scanner@example.com");
  });

  it("holds it where its entry has no password any more, or is gone; a retry sends it", async () => {
    for (
      const [changed, code] of [
        [{ ...DEVICE, password_hash: "", credential: "" }, "NO_CREDENTIAL"],
        [undefined, "LOOKUP_ENTRY"],
        [{ ...DEVICE, disabled: true }, "LOOKUP_ENTRY"],
      ] as const
    ) {
      const start = open();
      let relay = await start();
      world.refusal = AWAY;
      const client = await relay.authed("scanner", PASSWORD);
      assert.match(await client.send("scanner@example.com", "b@example.org", code), /^250 /);
      await relay.stop();
      world.refusal = undefined;
      if (changed === undefined) delete world.rows["scanner"];
      else world.rows["scanner"] = changed;
      relay = await start();
      await until(() => relay.linesOf("Queued message held").length > 0);
      assert.equal(relay.linesOf("Queued message held")[0]!["code"], code);
      assert.deepEqual(subjects(), []);
      world.rows["scanner"] = DEVICE;
      await relay.stop();
      // As `queue retry` does.
      const queue = await openSqliteAdministration(join(directory, "queue.db"));
      const [held] = await queue.list(10);
      await queue.retry(held!.id);
      await queue.close();
      relay = await start();
      await until(() => subjects().length === 1);
      assert.deepEqual(subjects(), [code]);
      await cloud.inbox.clear();
      await relay.stop();
      rmSync(directory, { recursive: true, force: true });
      world.close();
    }
  });
});
