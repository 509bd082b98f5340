/** DELIVERY_MODE=queue with ways out by SMTP, as a whole. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { TestRelays } from "../support/relay.ts";
import { until } from "../support/until.ts";

const FROM = "scanner@example.com";

describe("a relay with a queue and BACKEND=exchange", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let directory: string;
  const key = randomBytes(32).toString("base64");
  beforeEach(async () => {
    cloud = await startCloud();
    directory = mkdtempSync(join(tmpdir(), "ways-queue-"));
  });
  afterEach(async () => {
    await cloud.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const start = async (environment: Record<string, string> = {}, rows: object[] = []) =>
    await relays.start({
      cloud,
      entries: new SandboxTable(rows as ConstructorParameters<typeof SandboxTable>[0]),
      environment: {
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${directory}/queue.db`,
        QUEUE_KEY: key,
        BACKEND: "exchange",
        EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
        ...environment,
      },
    });

  const arrived = () => cloud.inbox.list().map(({ id }) => cloud.inbox.get(id)!);

  it("answers at once, and sends the message to hidden recipients too", async () => {
    const relay = await start();
    const client = await relay.authed();
    await client.say(`MAIL FROM:<${FROM}>`);
    for (const to of ["bea@x.test", "eve@x.test"]) await client.say(`RCPT TO:<${to}>`);
    await client.say("DATA");
    const message = `From: ${FROM}\r\nTo: bea@x.test\r\nBcc: eve@x.test\r\n\r\nx\r\n.`;
    assert.match(await client.say(message), /^250 2\.0\.0 OK: queued as/);
    await until(() => relay.linesOf("Queued message sent").length === 1);
    const [line] = relay.linesOf("Queued message sent");
    assert.equal(line!["backend"], "exchange");
    const [{ recipients, raw, mailbox }] = arrived() as [ReturnType<typeof arrived>[number]];
    assert.deepEqual([...recipients].sort(), ["bea@x.test", "eve@x.test"]);
    assert.equal(mailbox, FROM);
    assert.doesNotMatch(Buffer.from(raw).toString("latin1"), /bcc|eve@/i);
  });

  it("sends the rest once, and reports a refused recipient to the sender", async () => {
    cloud.faults.add({
      on: "smtpRecipient",
      skip: 1,
      status: 550,
      code: "5.1.1",
      message: "no such recipient",
    });
    const relay = await start({ QUEUE_BOUNCE: "true" });
    const client = await relay.authed();
    await client.say(`MAIL FROM:<${FROM}>`);
    for (const to of ["bea@x.test", "gone@x.test"]) await client.say(`RCPT TO:<${to}>`);
    await client.say("DATA");
    assert.match(await client.say(`From: ${FROM}\r\nSubject: partly\r\n\r\nx\r\n.`), /^250/);
    await until(() => cloud.inbox.list().length === 2);
    const [report, message] = arrived();
    assert.deepEqual(message!.recipients, ["bea@x.test"]);
    assert.deepEqual(report!.recipients, [FROM]);
    const text = Buffer.from(report!.raw).toString("latin1");
    assert.match(text, /gone@x\.test/);
    assert.doesNotMatch(text, /bea@x\.test/);
    assert.equal(relay.linesOf("Queued message given up")[0]?.["code"], "PARTLY_SENT");
  });

  it("sends again what may have been sent, also with QUEUE_AMBIGUOUS=ask, and says so", async () => {
    cloud.faults.add({ on: "smtpSend", connection: "reset" });
    const relay = await start({ QUEUE_AMBIGUOUS: "ask" });
    const client = await relay.authed();
    assert.match(await client.send(FROM, "bea@x.test", "doubt"), /^250/);
    await until(() => relay.linesOf("Queued message sent").length === 1);
    assert.equal(arrived().length, 1);
    assert.equal(relay.linesOf("Queued message may have been sent")[0]?.["backend"], "exchange");
    assert.equal(relay.linesOf("QUEUE_AMBIGUOUS is ask, but only Graph can be asked").length, 1);
    assert.equal(cloud.seen.filter((one) => one.includes("/messages")).length, 0);
  });

  it("keeps the way that the entry named, after a restart too", async () => {
    const row = {
      id: "scanner",
      columns: { tenant_id: TENANT, client_id: CLIENT, from_email: FROM, backend: "exchange" },
    };
    cloud.faults.add({ on: "smtpLogin", status: 535, code: "5.7.3", times: 1000 });
    const first = await start({ BACKEND: "graph" }, [row]);
    const client = await first.authed("scanner@lookup");
    assert.match(await client.send("device@x.test", "bea@x.test", "kept"), /^250/);
    await until(() => first.linesOf("Queued message deferred").length > 0);
    client.destroy();
    await first.stop();
    cloud.faults.clear();
    const second = await start({ BACKEND: "graph" }, [row]);
    await until(() => second.linesOf("Queued message sent").length === 1);
    assert.deepEqual(arrived().map(({ mailbox }) => mailbox), [FROM]);
    assert.equal(cloud.graph.requests, 0);
    const text = Buffer.from(arrived()[0]!.raw).toString("latin1");
    assert.match(text, new RegExp(`\r\nFrom: .*<${FROM}>\r\n`));
  });
});
