// A stop with mail in the queue: in time, with exit status 0, and nothing is lost. What surely was not sent
// is not in doubt afterwards.

import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { afterEach, describe, it } from "node:test";
import { CONNECTION_STRING } from "../support/azurite.ts";
import { type AzuriteStorage, startAzuriteStorage } from "../support/azurite_storage.ts";
import { PROGRAMS } from "./programs.ts";
import { QueueWorld, send, untilIs } from "./queue_world.ts";

const SUBJECTS = ["1", "2", "3", "4", "5", "6", "7", "8"];
/** Milliseconds beyond SHUTDOWN_TIMEOUT on a busy machine. */
const MORE = 4000;

for (const program of PROGRAMS) {
  describe(`a stop with queued mail, on ${program.name}`, () => {
    let world: QueueWorld;
    let azurite: AzuriteStorage | undefined;
    afterEach(async () => {
      await world.close();
      await azurite?.stop();
      azurite = undefined;
    });

    async function storage(): Promise<Record<string, string>> {
      azurite = await startAzuriteStorage();
      const { blobs, queues } = azurite.endpoints;
      return {
        QUEUE_URL: "azure-storage:",
        QUEUE_CONNECTION_STRING:
          `${CONNECTION_STRING};BlobEndpoint=${blobs.href};QueueEndpoint=${queues.href}`,
      };
    }

    for (const [store, settings] of [["SQLite", () => ({})], ["Azure", storage]] as const) {
      it(`leaves all of it queued in ${store} while Graph cannot be reached`, async () => {
        world = await QueueWorld.open(program, await settings());
        const relay = await world.start({ GRAPH_ENDPOINT: await nowhere() });
        const client = await world.logIn(relay);
        for (const subject of SUBJECTS) assert.match(await send(client, subject), /^250/);
        await relay.running.until("stderr", /Queued message deferred .*ECONNREFUSED/);
        const begun = performance.now();
        assert.equal(await relay.running.stop(), 0);
        assert(performance.now() - begun < MORE, "nothing was under way");
        const list = await world.list();
        assert.deepEqual(list.map(({ state }) => state), SUBJECTS.map(() => "queued"));
        const next = await world.start();
        await untilIs(() => world.arrived, ({ length }) => length === SUBJECTS.length);
        assert.deepEqual(world.arrived, SUBJECTS);
        assert.equal(await next.running.stop(), 0);
      });
    }

    it("leaves in doubt only what was on its way to a Graph that does not answer", async () => {
      const timeout = 1;
      world = await QueueWorld.open(program, {
        SHUTDOWN_TIMEOUT: `${timeout}s`,
        GRAPH_CONCURRENCY: "2",
        LOG_LEVEL: "INFO",
      });
      world.holdGraph();
      const relay = await world.start();
      for (const subject of SUBJECTS) {
        assert.match(await send(await world.logIn(relay), subject), /^250/);
      }
      await untilIs(() => world.held, (held) => held === 2);
      const begun = performance.now();
      assert.equal(await relay.running.stop(), 0);
      assert(performance.now() - begun < timeout * 1000 + MORE);
      assert.equal(world.held, 2, "nothing more is begun");
      const list = await world.list();
      assert.equal(list.length, SUBJECTS.length);
      assert.equal(list.filter(({ attempts }) => attempts > 0).length, 2, JSON.stringify(list));
      const doubtful = list.filter(({ state }) => state === "sending");
      assert(doubtful.every(({ attempts }) => attempts > 0), JSON.stringify(list));
      world.freeGraph();
      const next = await world.start();
      await untilIs(() => world.list(), (rest) => rest.length === 0);
      assert.deepEqual([...new Set(world.arrived)], SUBJECTS);
      assert(world.arrived.length <= SUBJECTS.length + 2, world.arrived.join());
      assert.equal(await next.running.stop(), 0);
    });

    it("does not wait for the pauses of a Graph that is busy", async () => {
      world = await QueueWorld.open(program);
      world.cloud.faults.add({ on: "sendMail", status: 503, times: 1000 });
      const relay = await world.start();
      const client = await world.logIn(relay);
      for (const subject of SUBJECTS) assert.match(await send(client, subject), /^250/);
      await untilIs(() => world.cloud.graph.requests, (requests) => requests > 0);
      const begun = performance.now();
      assert.equal(await relay.running.stop(), 0);
      assert(performance.now() - begun < MORE, `${performance.now() - begun} ms`);
      const list = await world.list();
      assert.deepEqual(list.map(({ state }) => state), SUBJECTS.map(() => "queued"));
      world.cloud.faults.clear();
      const next = await world.start();
      await untilIs(() => world.arrived, ({ length }) => length === SUBJECTS.length);
      assert.deepEqual(world.arrived, SUBJECTS);
      assert.equal(await next.running.stop(), 0);
    });

    it("does not wait for an Entra ID that does not answer", async () => {
      world = await QueueWorld.open(program);
      world.holdGraph();
      const relay = await world.start();
      const client = await world.logIn(relay);
      for (const subject of SUBJECTS) assert.match(await send(client, subject), /^250/);
      assert.equal(await relay.running.stop("SIGKILL"), null);
      world.freeGraph();
      const asked = tokenRequests(world);
      world.cloud.faults.add({ on: "token", after: "head", connection: "blackhole", times: 1000 });
      const deaf = await world.start();
      await untilIs(() => tokenRequests(world), (requests) => requests > asked);
      const begun = performance.now();
      assert.equal(await deaf.running.stop(), 0);
      assert(performance.now() - begun < MORE, `${performance.now() - begun} ms`);
      world.cloud.faults.clear();
      const next = await world.start();
      await untilIs(() => new Set(world.arrived), ({ size }) => size === SUBJECTS.length);
      assert.equal(await next.running.stop(), 0);
    });
  });
}

function tokenRequests({ cloud }: QueueWorld): number {
  return cloud.seen.filter((request) => request.endsWith("/token")).length;
}

/** An address where nothing listens. */
async function nowhere(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}/graph`;
}
