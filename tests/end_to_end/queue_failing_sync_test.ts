// A queue whose disk fails to sync, or takes its time: no 250 without a sync, and what has one is kept.
// strace(1) attaches itself to the real program and has the kernel's calls fail or wait, which needs root, as
// CI has it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterEach, describe, it } from "node:test";
import { PROGRAMS, type Relay } from "./programs.ts";
import { absent } from "../support/tools.ts";
import { beginContent, content, QueueWorld, send, untilIs } from "./queue_world.ts";

/** A content of so many octets has a file of its own. */
const LARGE = 350_000;
/** Milliseconds that a sync takes. */
const DELAY = 250;

for (const program of PROGRAMS) {
  describe(`a queue whose disk has trouble with its syncs, on ${program.name},`, {
    skip: absent("strace"),
  }, () => {
    const ends: (() => void | Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end();
    });

    /** A queue in a directory of its own, whose Graph does not answer yet. */
    async function held(): Promise<{ readonly world: QueueWorld; readonly contents: string }> {
      const directory = mkdtempSync(join(tmpdir(), "relay-sync-"));
      ends.push(() => rmSync(directory, { recursive: true }));
      const queue = join(directory, "queue.db");
      const world = await QueueWorld.open(program, { QUEUE_URL: `sqlite:${queue}` });
      ends.push(() => world.close());
      world.holdGraph();
      return { world, contents: `${queue}.d` };
    }

    /** @param fault as strace(1) takes it. @returns what ends it */
    async function syncsOf({ running }: Relay, fault: string): Promise<() => Promise<void>> {
      const syncs = "fsync,fdatasync";
      const strace = spawn("strace", [
        ...["-f", "-p", `${running.child.pid}`, "-o", "/dev/null"],
        ...["-e", `trace=${syncs}`, "-e", `inject=${syncs}:${fault}`],
      ], { stdio: ["ignore", "ignore", "pipe"] });
      const exited = new Promise<void>((resolve) => strace.once("close", () => resolve()));
      const end = async () => {
        if (strace.exitCode === null && strace.signalCode === null) process.kill(strace.pid!);
        await exited;
      };
      ends.push(end);
      let said = "";
      await new Promise<void>((resolve, reject) => {
        strace.stderr!.setEncoding("utf8").on("data", (text: string) => {
          said += text;
          if (/attached/.test(said)) resolve();
        });
        strace.once("error", reject);
        void exited.then(() => reject(new Error(said)));
      });
      return end;
    }

    it("replies 451 while they fail, and sends what had its 250", async () => {
      const { world, contents } = await held();
      const relay = await world.start();
      const client = await world.logIn(relay);
      assert.match(await send(client, "small before"), /^250/);
      assert.match(await send(client, "large before", LARGE), /^250/);
      const end = await syncsOf(relay, "error=EIO");
      for (const octets of [10, LARGE, 10]) {
        assert.match(await send(client, "failed", octets), /^451 4\.3\.0 /);
      }
      assert.equal(readdirSync(contents).length, 1, "nothing is half stored");
      await end();
      assert.match(await send(client, "small after"), /^250/);
      assert.match(await send(client, "large after", LARGE), /^250/);
      world.freeGraph();
      const all = ["large after", "large before", "small after", "small before"];
      await untilIs(() => world.arrived, ({ length }) => length === all.length);
      await untilIs(() => world.list(), ({ length }) => length === 0);
      assert.deepEqual(world.arrived, all);
      assert.equal(await relay.running.stop(), 0);
    });

    it("loses nothing when it is killed while they fail", async () => {
      const { world } = await held();
      const relay = await world.start();
      const client = await world.logIn(relay);
      assert.match(await send(client, "small before"), /^250/);
      assert.match(await send(client, "large before", LARGE), /^250/);
      const end = await syncsOf(relay, "error=EIO");
      for (const octets of [LARGE, 10]) {
        assert.match(await send(client, "failed", octets), /^451 4\.3\.0 /);
      }
      assert.equal(await relay.running.stop("SIGKILL"), null);
      await end();
      world.freeGraph();
      const next = await world.start();
      await untilIs(() => world.list(), ({ length }) => length === 0);
      // What got 451 may have reached the disk all the same: its client sends it again.
      const arrived = new Set(world.arrived);
      assert(arrived.has("small before") && arrived.has("large before"), world.arrived.join());
      assert.equal(await next.running.stop(), 0);
    });

    it("lets clients wait for their 250 while they are slow, and nobody else", async () => {
      const { world } = await held();
      const relay = await world.start();
      const client = await world.logIn(relay);
      const other = await world.logIn(relay);
      await beginContent(client);
      const end = await syncsOf(relay, `delay_enter=${DELAY * 1000}`);
      for (const [octets, syncs] of [[10, 1], [LARGE, 3]] as const) {
        if (syncs > 1) await beginContent(client);
        const begun = performance.now();
        let waited = 0;
        const reply = client.say(content("slow", octets)).finally(() =>
          waited = performance.now() - begun
        );
        let answers = 0;
        while (waited === 0) {
          assert.match(await other.say("NOOP"), /^250/);
          answers++;
        }
        assert.match(await reply, /^250 2\.0\.0 .*queued as/);
        assert(waited >= DELAY * syncs, `${waited} ms for ${syncs} syncs`);
        assert(answers > 5 * syncs, `${answers} answers meanwhile`);
      }
      await end();
      world.freeGraph();
      await untilIs(() => world.arrived, ({ length }) => length === 2);
      assert.equal(await relay.running.stop(), 0);
    });
  });
}
