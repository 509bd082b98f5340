/**
 * A message is found everywhere by the id of its 250, and by its Message-ID: in the log, on the status page,
 * among the webhook's events and among the spans.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import type { StatusView } from "../../src/status/view.ts";
import { TestRelays } from "../support/relay.ts";
import { until } from "../support/until.ts";
import { type Collector, startCollector } from "../traces/collector.ts";
import { type Receiver, startReceiver, WEBHOOK_SECRET } from "../webhook/receiver.ts";

const OWN = "smtp_oauth_relay.";

describe("a message's id and its Message-ID lead to its lines, its row, its events and its spans", () => {
  const relays = new TestRelays();
  let cloud: CloudServer;
  let receiver: Receiver;
  let collector: Collector;
  let directory: string;
  beforeEach(async () => {
    cloud = await startCloud();
    receiver = await startReceiver();
    collector = await startCollector();
    directory = mkdtempSync(join(tmpdir(), "relay-find-"));
  });
  afterEach(async () => {
    await collector.close();
    await receiver.close();
    await cloud.close();
    rmSync(directory, { recursive: true });
  });

  const queue = (): Readonly<Record<string, string>> => ({
    DELIVERY_MODE: "queue",
    QUEUE_URL: `sqlite:${directory}/queue.db`,
    QUEUE_KEY: randomBytes(32).toString("base64"),
  });
  const MODES = [
    ["directly", () => ({}), ["Message sent"], ["message"]],
    ["with a queue", queue, ["Message queued", "Queued message sent"], ["message", "queue try"]],
  ] as const;

  for (const [mode, settings, lines, spans] of MODES) {
    it(`${mode}`, async () => {
      const relay = await relays.start({
        cloud,
        environment: {
          HTTP_LISTEN: "127.0.0.1:0",
          ...{ WEBHOOK_URL: receiver.url, WEBHOOK_SECRET },
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
          ...settings(),
        },
      });
      const client = await relay.authed();
      const replies = [
        await client.send("scanner@example.com", "reader@example.org", "looked for"),
        await client.send("scanner@example.com", "reader@example.org", "another one"),
      ];
      const [id, other] = replies.map((reply) =>
        /^250 2\.0\.0 OK(?: id=|: queued as )([0-9a-f]{16})/.exec(reply)?.[1]
      );
      assert(id !== undefined && other !== undefined && id !== other);
      await until(() => relay.linesOf(lines.at(-1)!).length === 2);
      const response = await fetch(`${relay.url}/status/data`);
      const { messages } = await response.json() as StatusView;
      client.destroy();
      await relay.stop();

      const byId = {
        lines: relay.lines.filter((line) => line["id"] === id).map(({ message }) => message),
        rows: messages.filter((row) => row.id === id).map(({ fate }) => fate),
        events: receiver.events.filter(({ data }) => data["id"] === id).map(({ type }) => type),
        spans: collector.spans.filter(({ attributes }) => attributes[`${OWN}id`] === id)
          .map(({ name }) => name),
      };
      const events = lines.length > 1 ? ["message.queued", "message.sent"] : ["message.sent"];
      assert.deepEqual(byId, {
        lines,
        rows: ["sent"],
        events: ["message.accepted", ...events],
        spans,
      });
      const [span] = collector.spans.filter(({ spanId }) => spanId === id);
      assert.equal(span?.name, "message");

      const messageId = span?.attributes[`${OWN}message_id`];
      assert.match(String(messageId), /^<.+@.+>$/);
      const byMessageId = {
        lines: relay.lines.filter((line) => line["message_id"] === messageId)
          .map(({ message }) => message),
        rows: messages.filter((row) => row.messageId === messageId).map(({ fate }) => fate),
        events: receiver.events.filter(({ data }) => data["message_id"] === messageId)
          .map(({ type }) => type),
        spans: collector.spans.filter(({ attributes }) =>
          attributes[`${OWN}message_id`] === messageId
        ).map(({ name }) => name),
      };
      assert.deepEqual(byMessageId, byId);
    });
  }
});
