/**
 * Many concurrent messages for one mailbox, to a Graph that accepts a few at a time and throttles more
 * (https://learn.microsoft.com/graph/throttling-limits#outlook-service-limits).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, describe, it } from "node:test";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient } from "../../src/http/client.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { accountWith, attemptOf, fetchToken, mailOf } from "../support/submissions.ts";
import { GRAPH_OPTIONS } from "./options.ts";

const http = new HttpClient();
after(() => http.close());

const MESSAGES = 200;
const CONNECTIONS = 20;

function backendFor(cloud: CloudServer, concurrency: number): GraphBackend {
  return new GraphBackend({
    http,
    endpoint: cloud.endpoint,
    ...GRAPH_OPTIONS,
    concurrency,
  });
}

/** Sends all messages: each client one after the other, all clients concurrently. */
async function burst(cloud: CloudServer, backend: GraphBackend): Promise<readonly Outcome[]> {
  const account = accountWith(await fetchToken(cloud.authority));
  const outcomes: Outcome[] = [];
  await Promise.all(Array.from({ length: CONNECTIONS }, async (_, connection) => {
    for (let i = 0; i < MESSAGES / CONNECTIONS; i++) {
      const message = Buffer.from(
        `From: ann@x.test\r\nTo: bea@x.test\r\nSubject: ${connection} ${i}\r\n\r\nText.\r\n`,
      );
      outcomes.push(await backend.deliver(mailOf("ann@x.test", [message]), attemptOf(account)));
    }
  }));
  return outcomes;
}

/** Returns what is wrong unless every message has arrived once, and each client's in order. */
function assertArrived(cloud: CloudServer): void {
  const subjects = cloud.inbox.list().map(({ subject }) => subject.split(" ").map(Number));
  assert.equal(subjects.length, MESSAGES);
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    // The newest comes first.
    const numbers = subjects.filter(([from]) => from === connection).map(([, i]) => i).reverse();
    assert.deepEqual(numbers, Array.from({ length: MESSAGES / CONNECTIONS }, (_, i) => i));
  }
}

function failures(outcomes: readonly Outcome[]): string[] {
  return outcomes.filter(({ type }) => type !== "sent").map(({ reply }) => formatReply(reply));
}

describe("a burst of 200 messages to one mailbox", () => {
  it("is paced so that Graph never throttles it", async () => {
    const cloud = await startCloud({ graph: { concurrency: 4, delay: 10 } });
    try {
      const backend = backendFor(cloud, 4);
      const outcomes = await burst(cloud, backend);
      assert.deepEqual(failures(outcomes), []);
      assertArrived(cloud);
      assert.equal(cloud.graph.throttled, 0);
      assert.equal(cloud.graph.requests, MESSAGES);
      assert.equal(cloud.graph.mostPerMailbox, 4, "as many at once as it may be");
      assert.equal(backend.activeMailboxes, 0);
    } finally {
      await cloud.close();
    }
  });

  it("does not fail when GRAPH_CONCURRENCY is more than Graph allows", async () => {
    const cloud = await startCloud({ graph: { concurrency: 4, delay: 10, retryAfter: 0.1 } });
    try {
      const outcomes = await burst(cloud, backendFor(cloud, 8));
      assert.deepEqual(failures(outcomes), []);
      assertArrived(cloud);
      const { throttled, requests } = cloud.graph;
      assert(throttled > 0);
      assert.equal(requests, MESSAGES + throttled);
      // It adapts instead of running into the limit again and again.
      assert(throttled < MESSAGES / 4, `${throttled} of ${requests} requests were throttled`);
    } finally {
      await cloud.close();
    }
  });
});
