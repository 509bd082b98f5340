/** A relay with DELIVERY_MODE=queue as a whole, against the imitated cloud. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, it } from "node:test";
import { CommandError, EXIT } from "../../src/exit.ts";
import { HttpClient } from "../../src/http/client.ts";
import { createLog } from "../support/log.ts";
import { reportId } from "../../src/queue/failure_reports.ts";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import { RelayQueue } from "../../src/relay/queue.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { TENANT } from "../support/logins.ts";
import { type TestRelay, TestRelays } from "../support/relay.ts";
import { plainSettings } from "../support/settings.ts";
import { fetchToken } from "../support/tokens.ts";
import { until } from "../support/until.ts";

const FROM = "scanner@example.com";
const TO = "reader@example.org";

describe("a relay with a queue", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let directory: string;
  const key = randomBytes(32).toString("base64");
  beforeEach(async () => {
    cloud = await startCloud();
    directory = mkdtempSync(join(tmpdir(), "relay-queue-"));
  });
  afterEach(async () => {
    await cloud.close();
    rmSync(directory, { recursive: true, force: true });
  });

  function start(environment: Readonly<Record<string, string>> = {}): Promise<TestRelay> {
    return relays.start({
      cloud,
      environment: {
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${directory}/queue.db`,
        QUEUE_KEY: key,
        ...environment,
      },
    });
  }

  const idIn = (reply: string) =>
    /^250 2\.0\.0 OK: queued as ([0-9a-f]{16})\r?\n?$/.exec(reply)?.[1];
  const subjects = () => cloud.inbox.list().map(({ subject }) => subject);

  it("answers with the id of its log lines, and then sends the message", async () => {
    const relay = await start();
    const client = await relay.authed();
    const id = idIn(await client.send(FROM, TO, "first"));
    assert(id !== undefined);
    await until(() => relay.linesOf("Queued message sent").length === 1);
    assert.deepEqual(subjects(), ["first"]);
    assert.equal(relay.linesOf("Message queued")[0]!["id"], id);
    assert.equal(relay.linesOf("Queued message sent")[0]!["id"], id);
  });

  it("sends what it holds after a restart, when Graph is there again", async () => {
    cloud.faults.add({ on: "sendMail", status: 503, code: "Unknown", times: 1000 });
    const first = await start();
    const client = await first.authed();
    assert(idIn(await client.send(FROM, TO, "kept")) !== undefined);
    await until(() => first.linesOf("Queued message may have been sent").length > 0);
    client.destroy();
    await first.relay.stop();
    assert.deepEqual(subjects(), []);
    cloud.faults.clear();
    const second = await start();
    await until(() => second.linesOf("Queued message sent").length === 1);
    assert.deepEqual(subjects(), ["kept"]);
  });

  it("holds what was queued for a tenant that ALLOWED_TENANTS has no more", async () => {
    cloud.faults.add({ on: "sendMail", status: 429, code: "Throttled", retryAfter: 3600 });
    const first = await start();
    const client = await first.authed();
    assert(idIn(await client.send(FROM, TO, "kept")) !== undefined);
    await until(() => first.linesOf("Queued message deferred").length > 0);
    client.destroy();
    await first.relay.stop();
    const database = new DatabaseSync(`${directory}/queue.db`);
    database.exec("delete from pause");
    database.close();
    const second = await start({ ALLOWED_TENANTS: "99999999-9999-4999-8999-999999999999" });
    await until(() => second.linesOf("Queued message held").length === 1);
    const [line] = second.linesOf("Queued message held");
    assert.equal(line!["code"], "LOOKUP_ENTRY");
    assert.match(String(line!["detail"]), /is not in ALLOWED_TENANTS/);
    assert.deepEqual(subjects(), []);
  });

  it("reports what is refused for good to its sender, if QUEUE_BOUNCE is set", async () => {
    cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
    const relay = await start({ QUEUE_BOUNCE: "true" });
    const client = await relay.authed();
    const id = idIn(await client.send(FROM, TO, "refused"))!;
    await until(() => relay.linesOf("Queued message sent").length === 1);
    const [report] = cloud.inbox.list();
    assert.equal(report!.subject, "Undelivered mail returned to sender");
    const stored = cloud.inbox.get(report!.id)!;
    assert.equal(stored.mailbox, FROM);
    assert.deepEqual(stored.recipients, [FROM]);
    const [given] = relay.linesOf("Queued message given up");
    assert.deepEqual([given!["id"], given!["code"]], [id, "ErrorInvalidRecipients"]);
    const [sent] = relay.linesOf("Queued message sent");
    assert.deepEqual([sent!["id"], sent!["report"]], [reportId(id), true]);
  });

  it("reports nothing otherwise", async () => {
    cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
    const relay = await start();
    await (await relay.authed()).send(FROM, TO, "refused");
    await until(() => relay.linesOf("Queued message given up").length === 1);
    await (await relay.authed()).send(FROM, TO, "next");
    await until(() => relay.linesOf("Queued message sent").length === 1);
    assert.deepEqual(subjects(), ["next"]);
  });

  it("takes mail of a known login while Entra ID is away, and of no stranger", async () => {
    const first = await start();
    await first.authed();
    await first.relay.stop();
    cloud.faults.add({ on: "token", status: 503, code: "temporarily_unavailable", times: 1000 });
    const second = await start();
    const client = await second.authed();
    assert(idIn(await client.send(FROM, TO, "offline")) !== undefined);
    const stranger = second.connect();
    assert.match(
      await stranger.login(`${TENANT}@99999999-bbbb-4ccc-8ddd-eeeeeeeeeeee`, "some secret"),
      /^454 4\.7\.0/,
    );
    cloud.faults.clear();
    await until(() => second.linesOf("Queued message sent").length === 1);
    assert.deepEqual(subjects(), ["offline"]);
  });

  it("answers 452 at MAIL while it is full, but not to mail that is not queued", async () => {
    cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
    const relay = await start({
      QUEUE_MAX_MESSAGES: "1",
      AUTH_MECHANISMS: "PLAIN, LOGIN, XOAUTH2",
    });
    const client = await relay.authed();
    assert(idIn(await client.send(FROM, TO, "dead")) !== undefined);
    await until(() => relay.linesOf("Queued message given up").length === 1);
    assert.match(await client.say(`MAIL FROM:<${FROM}>`), /^452 4\.3\.1 .*QUEUE_MAX_MESSAGES/);
    const own = await relay.ehlo();
    const token = await fetchToken(cloud.authority, `${cloud.url}/.default`);
    const words = Buffer.from(`user=${FROM}\x01auth=Bearer ${token}\x01\x01`).toString("base64");
    assert.match(await own.say(`AUTH XOAUTH2 ${words}`), /^235/);
    assert.match(await own.send(FROM, TO, "direct"), /^250 2\.0\.0 OK id=/);
    assert.deepEqual(subjects(), ["direct"]);
  });

  it("stops soon while Graph does not answer, and keeps what it holds", async () => {
    cloud.faults.add({ on: "sendMail", status: 429, retryAfter: 600, times: 1000 });
    const relay = await start();
    const client = await relay.authed();
    for (let i = 0; i < 5; i++) await client.send(FROM, TO, `${i}`);
    await until(() => relay.linesOf("Queued message deferred").length > 0);
    client.destroy();
    const begun = performance.now();
    await relay.relay.stop();
    assert(performance.now() - begun < 5_000);
    cloud.faults.clear();
    const { length } = cloud.seen;
    const second = await start();
    const later = await second.authed();
    await later.send("other@example.com", TO, "another mailbox");
    await until(() => second.linesOf("Queued message sent").length === 1);
    assert.deepEqual(subjects(), ["another mailbox"], "the first has been asked to wait");
    assert.equal(cloud.seen.slice(length).filter((request) => request.includes(FROM)).length, 0);
  });

  it("does not start with another key, and says what to do", async () => {
    const first = await start();
    await first.relay.stop();
    const other = randomBytes(32).toString("base64");
    await assert.rejects(
      start({ QUEUE_KEY: other }),
      (error) =>
        error instanceof CommandError && error.status === EXIT.config &&
        /QUEUE_KEY is not the key/.test(error.message),
    );
    const both = await start({ QUEUE_KEY: `${other},${key}` });
    await both.relay.stop();
    await (await start({ QUEUE_KEY: other })).relay.stop();
  });

  it("does not start on a network file system, and names the setting and the way out", async () => {
    const path = `${directory}/queue.db`;
    const settings = plainSettings({
      DELIVERY_MODE: "queue",
      QUEUE_URL: `sqlite:${path}`,
      QUEUE_KEY: key,
    });
    const log = createLog({ level: "ERROR", format: "text", write: () => {} });
    const smb = { type: 0xff534d42, bsize: 4096, blocks: 1e9, bavail: 5e8 };
    await assert.rejects(
      RelayQueue.open(
        { settings, http: new HttpClient(), log, notify: () => {} },
        () => openSqliteQueue(path, { statfs: () => Promise.resolve(smb) }),
      ),
      (error) =>
        error instanceof CommandError && error.status === EXIT.unavailable &&
        /^QUEUE_URL: .*queue\.db is on SMB: [^\n]*azure-storage:[^\n]*$/.test(error.message),
    );
  });
});
