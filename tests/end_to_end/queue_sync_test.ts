// No client gets its 250 before its message is on stable storage, as the kernel sees the real program: what
// was written is synced, and each sync has returned, before the reply is handed to the socket. strace(1)
// shows the calls and their returns.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, it } from "node:test";
import { PROGRAMS } from "./programs.ts";
import { absent } from "../support/tools.ts";
import { QueueWorld, send } from "./queue_world.ts";

const SYNCS = ["fsync", "fdatasync"];
const WRITES = ["write", "writev", "sendto", "sendmsg"];
/** How SQLite writes to its log. */
const ROW_WRITES = ["pwrite64"];
/** A frame of the log and more. */
const SHOWN = "4200";
/** A content of so many octets has a file of its own. */
const LARGE = 350_000;

for (const program of PROGRAMS) {
  describe(`a queue, seen by the kernel, on ${program.name}`, { skip: absent("strace") }, () => {
    const ends: (() => void | Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end();
    });

    it("replies 250 once the row, or the file, its name and the row are synced", async () => {
      const directory = mkdtempSync(join(tmpdir(), "relay-sync-"));
      ends.push(() => rmSync(directory, { recursive: true }));
      const queue = join(directory, "queue.db");
      const trace = join(directory, "trace");
      const calls = [...SYNCS, ...WRITES, ...ROW_WRITES].join();
      const strace = ["strace", "-D", "-f", "-y", "-qq", "-s", SHOWN, "-o", trace];
      const world = await QueueWorld.open(
        { ...program, command: [...strace, "-e", `trace=${calls}`, ...program.command] },
        { QUEUE_URL: `sqlite:${queue}` },
      );
      ends.push(() => world.close());
      world.holdGraph();
      const relay = await world.start();
      const client = await world.logIn(relay);
      const ids: string[] = [];
      for (const octets of [10, LARGE, 10, LARGE, LARGE, 10]) {
        const reply = await send(client, "synced", octets);
        ids.push(/^250 2\.0\.0 .*queued as ([\w-]+)$/.exec(reply)?.[1] ?? assert.fail(reply));
      }
      world.freeGraph();
      assert.equal(await relay.running.stop(), 0);
      const seen = eventsIn(readFileSync(trace, "utf8"), `${queue}-wal`, ids);
      for (const [number, id] of ids.entries()) {
        const isLarge = [1, 3, 4].includes(number);
        const file = [`sync ${join(`${queue}.d`, id)}`, `sync ${queue}.d`];
        const row = [`row ${id}`, `sync ${queue}-wal`, `reply ${id}`];
        let at = -1;
        for (const event of isLarge ? [...file, ...row] : row) {
          const next = seen.indexOf(event, at + 1);
          assert(next >= 0, `${event} is missing after ${seen[at]}: ${seen.join("\n")}`);
          at = next;
        }
        assert.equal(seen.indexOf(`reply ${id}`), at, `an early reply for ${id}`);
      }
    });
  });
}

/**
 * `row ID` when a message has been written to the log, `sync PATH` when a sync has returned, `reply ID` when a
 * 250 is handed over to be sent.
 */
function eventsIn(trace: string, log: string, ids: readonly string[]): string[] {
  const begun = new Map<string, string>();
  const events: string[] = [];
  for (const line of trace.split("\n")) {
    const [, thread = "", text = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const unfinished = /^(.*) <unfinished \.\.\.>$/.exec(text)?.[1];
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text)?.[1];
    if (resumed === undefined) {
      const id = /^\w+\(\d+<(?:socket|TCP):.*"250 2\.0\.0 [^"]*queued as ([\w-]+)/.exec(text)?.[1];
      if (id !== undefined && WRITES.includes(text.slice(0, text.indexOf("(")))) {
        events.push(`reply ${id}`);
      }
    }
    if (unfinished !== undefined) {
      begun.set(thread, unfinished);
      continue;
    }
    const call = resumed === undefined ? text : begun.get(thread) + resumed;
    const [, name = "", path = ""] = /^(\w+)\(\d+<([^>]*)>.*\)\s*= \d+/.exec(call) ?? [];
    if (SYNCS.includes(name)) events.push(`sync ${path}`);
    if (!ROW_WRITES.includes(name) || path !== log) continue;
    for (const id of ids) if (call.includes(id)) events.push(`row ${id}`);
  }
  return events;
}
