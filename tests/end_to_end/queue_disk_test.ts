// A queue whose disk is in trouble, with the real program: clear replies, no 250, nothing half stored, and
// all that was acknowledged is delivered once the cause is gone. Disks are small ones of their own, which
// needs root, as CI has it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, it } from "node:test";
import { command, directory, noSmallDisk, smallDisk } from "../queue/sqlite/support.ts";
import { PROGRAMS } from "./programs.ts";
import { begin, beginContent, content, newKey, QueueWorld, send, untilIs } from "./queue_world.ts";

/** A content of so many octets has a file of its own. */
const LARGE = 350_000;
/** More than the room that the queue leaves free. */
const DISK = 96 * 1024 * 1024;

for (const program of PROGRAMS) {
  describe(`a queue on a disk in trouble, on ${program.name}`, () => {
    const ends: (() => void | Promise<void>)[] = [];
    afterEach(async () => {
      for (const end of ends.splice(0).reverse()) await end();
    });

    async function world(environment: Record<string, string> = {}): Promise<QueueWorld> {
      const world = await QueueWorld.open(program, environment);
      ends.push(() => world.close());
      return world;
    }

    function disk(): ReturnType<typeof smallDisk> {
      const disk = smallDisk(DISK);
      ends.push(() => disk.remove());
      return disk;
    }

    it(
      "that is full gets 452, and sends what it has, even after a crash",
      { skip: noSmallDisk },
      async () => {
        const { path } = disk();
        const queue = join(path, "queue.db");
        const filled = await world({ QUEUE_URL: `sqlite:${queue}` });
        filled.holdGraph();
        let relay = await filled.start();
        const client = await filled.logIn(relay);
        for (const [subject, octets] of [["small", 10], ["large", LARGE], ["other", 10]] as const) {
          assert.match(await send(client, subject, octets), /^250 2\.0\.0 .*queued as/);
        }
        const small = await filled.logIn(relay);
        await beginContent(small);
        const large = await filled.logIn(relay);
        await beginContent(large);
        fill(path);
        assert.match(await small.say(content("no room")), /^452 4\.3\.1 /);
        assert.match(await large.say(content("no room", LARGE)), /^452 4\.3\.1 /);
        // It looks at the disk once a second.
        await untilIs(async () => {
          await small.say("RSET");
          return await small.say("MAIL FROM:<a@example.com>");
        }, (reply) => reply.startsWith("452 4.3.1 "));
        assert.equal(readdirSync(`${queue}.d`).length, 1, "nothing is half stored");
        relay.running.stop("SIGKILL");
        await relay.running.exited;
        filled.freeGraph();
        // It sends all the same.
        relay = await filled.start();
        assert.match(await begin(await filled.logIn(relay)), /^452 4\.3\.1 /);
        await untilIs(() => filled.list(), (list) => list.length === 0);
        assert.deepEqual([...new Set(filled.arrived)], ["large", "other", "small"]);
        assert.deepEqual(readdirSync(`${queue}.d`), []);
        makeRoom(path);
        const last = await filled.logIn(relay);
        await untilIs(() => send(last, "later", LARGE), (reply) => reply.startsWith("250"));
        await untilIs(() => filled.arrived, (subjects) => subjects.includes("later"));
        assert.equal(await relay.running.stop(), 0);
      },
    );

    it(
      "that becomes read-only gets 451, and does not start on it",
      { skip: noSmallDisk },
      async () => {
        const { path, remount } = disk();
        const queue = join(path, "queue.db");
        const stopped = await world({ QUEUE_URL: `sqlite:${queue}` });
        stopped.holdGraph();
        const relay = await stopped.start();
        const client = await stopped.logIn(relay);
        assert.match(await send(client, "small"), /^250/);
        assert.match(await send(client, "large", LARGE), /^250/);
        // What the relay has open for writing keeps the whole disk from becoming read-only.
        command("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", `${queue}.d`);
        try {
          assert.match(await send(client, "no room", LARGE), /^451 4\.3\.0 .*EROFS/);
        } finally {
          command("umount", `${queue}.d`);
        }
        assert.match(await send(client, "again", LARGE), /^250/);
        const free = await withoutWrites(relay.running.child.pid!, `${queue}-wal`);
        try {
          assert.match(await send(client, "no room"), /^451 4\.3\.0 SQLITE_IOERR: /);
        } finally {
          await free();
        }
        assert.match(await send(client, "small again"), /^250/);
        relay.running.stop("SIGKILL");
        await relay.running.exited;
        remount("ro");
        const { status, stderr } = await stopped.command(["serve"]);
        assert.equal(status, 69);
        assert.match(
          stderr,
          /^smtp-oauth-relay: QUEUE_URL: .*queue\.db cannot be written \(SQLITE_READONLY\): the relay's user/m,
        );
        remount("rw");
        stopped.freeGraph();
        const next = await stopped.start();
        await untilIs(() => stopped.list(), (list) => list.length === 0);
        assert.deepEqual([...new Set(stopped.arrived)], ["again", "large", "small", "small again"]);
        assert.equal(await next.running.stop(), 0);
      },
    );

    it("that is damaged does not start, and has all once the database is put back", async () => {
      const place = directory();
      ends.push(() => place.remove());
      const queue = join(place.path, "queue.db");
      const damaged = await world({ QUEUE_URL: `sqlite:${queue}` });
      damaged.holdGraph();
      const relay = await damaged.start();
      const client = await damaged.logIn(relay);
      assert.match(await send(client, "small"), /^250/);
      assert.match(await send(client, "large", LARGE), /^250/);
      assert.equal(await relay.running.stop("SIGKILL"), null);
      const db = new DatabaseSync(queue);
      db.prepare("pragma wal_checkpoint(truncate)").get();
      db.close();
      const octets = readFileSync(queue);
      const page = 4096;
      const zeros = Buffer.from(octets).fill(0, 100, 4 * page);
      for (
        const [bad, message] of [
          [
            Buffer.from("This is not a database. ".repeat(500)),
            /queue\.db is not an SQLite database/,
          ],
          [zeros, /queue\.db is damaged: keep a copy/],
          [octets.subarray(0, octets.length / 2), /queue\.db is damaged: keep a copy/],
        ] as const
      ) {
        writeFileSync(queue, bad);
        const { status, stderr } = await damaged.command(["serve"]);
        assert.equal(status, 69, stderr);
        assert.match(stderr, /^smtp-oauth-relay: QUEUE_URL: [^\n]+$/m);
        assert.match(stderr, message);
        assert(readFileSync(queue).equals(bad), "it is left as it is");
        assert.equal(readdirSync(`${queue}.d`).length, 1, "and so is the content beside it");
      }
      writeFileSync(queue, octets);
      damaged.freeGraph();
      const next = await damaged.start();
      await untilIs(() => damaged.list(), (list) => list.length === 0);
      assert.deepEqual([...new Set(damaged.arrived)], ["large", "small"]);
      assert.equal(await next.running.stop(), 0);
    });

    it("needs its key, and takes another one besides it", async () => {
      const key = newKey();
      const sealed = await world({ QUEUE_KEY: key });
      sealed.holdGraph();
      const relay = await sealed.start();
      const client = await sealed.logIn(relay);
      assert.match(await send(client, "sealed"), /^250/);
      assert.match(await send(client, "sealed too", LARGE), /^250/);
      assert.equal(await relay.running.stop("SIGKILL"), null);
      const other = newKey();
      const { status, stderr } = await sealed.command(["serve"], { QUEUE_KEY: other });
      assert.equal(status, 78);
      assert.match(
        stderr,
        /^smtp-oauth-relay: QUEUE_KEY is not the key of the queue in QUEUE_URL/m,
      );
      assert(!stderr.includes(key) && !stderr.includes(other));
      assert.equal((await sealed.list()).length, 2);
      sealed.freeGraph();
      const next = await sealed.start({ QUEUE_KEY: `${other},${key}` });
      await untilIs(() => new Set(sealed.arrived), ({ size }) => size === 2);
      assert.equal(await next.running.stop(), 0);
    });

    it("is for one relay, until that one is gone", async () => {
      const shared = await world();
      const first = await shared.start();
      shared.holdGraph();
      assert.match(await send(await shared.logIn(first), "before", LARGE), /^250/);
      const { status, stderr } = await shared.command(["serve"]);
      assert.equal(status, 69);
      assert.match(stderr, /^smtp-oauth-relay: QUEUE_URL: .* is in use by another relay/m);
      assert.match(await send(await shared.logIn(first), "goes on"), /^250/);
      shared.freeGraph();
      await untilIs(() => shared.arrived, ({ length }) => length === 2);
      assert.deepEqual(shared.arrived, ["before", "goes on"]);
      assert.equal(await first.running.stop("SIGKILL"), null);
      const second = await shared.start();
      assert.equal(await second.running.stop(), 0);
    });
  });
}

/**
 * Lets a process write no more to a file, as on a disk that has become read-only.
 *
 * @returns what lets it write again
 */
async function withoutWrites(pid: number, path: string): Promise<() => Promise<void>> {
  const calls = "pwrite64,pwritev,write,writev";
  const strace = spawn(
    "strace",
    ["-f", "-p", `${pid}`, "-P", path, "-e", `trace=${calls}`, "-e", `inject=${calls}:error=EROFS`],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const ended = new Promise<void>((resolve) => strace.once("close", () => resolve()));
  let said = "";
  await new Promise<void>((resolve, reject) => {
    strace.once("error", reject);
    strace.once("close", () => reject(new Error(said)));
    strace.stderr.setEncoding("utf8").on("data", (text: string) => {
      said += text;
      if (said.includes("attached")) resolve();
    });
  });
  return async () => {
    process.kill(strace.pid!, "SIGINT");
    await ended;
  };
}

/** Takes all the room of a disk. */
function fill(path: string): void {
  for (const octets of [1024 * 1024, 4096]) {
    for (let index = 0;; index++) {
      try {
        writeFileSync(join(path, `filler-${octets}-${index}`), new Uint8Array(octets), {
          flag: "wx",
        });
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ENOSPC");
        break;
      }
    }
  }
}

function makeRoom(path: string): void {
  for (const name of readdirSync(path)) {
    if (name.startsWith("filler")) rmSync(join(path, name));
  }
}
