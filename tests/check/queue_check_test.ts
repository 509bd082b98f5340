/** What `check` finds of a queue: its place, its store, its key, its room. */
import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { Finding } from "../../src/check/finding.ts";
import {
  checkQueue,
  codeFor,
  judgeDisk,
  judgeQueue,
  type QueuePlace,
  type QueueSurvey,
  survey,
} from "../../src/check/queue_check.ts";
import { HttpClient } from "../../src/http/client.ts";
import { KEY_NOTE } from "../../src/queue/key_note.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import type { Statfs } from "../../src/queue/sqlite/file_system.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { loadSettings } from "../../src/settings/load.ts";
import { noSmallDisk, smallDisk } from "../queue/sqlite/support.ts";
import { FakeQueue, newMessage, queueKey } from "../support/fake_queue.ts";

const root = process.getuid?.() === 0;
const KEY = queueKey();
const sealer = new Sealer([KEY]);
/** A disk of this machine with room. */
const GOOD: Statfs = () => Promise.resolve({ type: 0xef53, bsize: 4096, blocks: 1e9, bavail: 5e8 });

let http: HttpClient;
before(async () => {
  const { connect } = await currentRuntime();
  http = new HttpClient({ connect });
});
after(() => http.close());

let folder: string;
beforeEach(() => folder = mkdtempSync(join(tmpdir(), "relay-queue-check-")));
afterEach(() => rmSync(folder, { recursive: true }));

interface Given {
  readonly url?: string;
  readonly key?: string;
  readonly environment?: Record<string, string>;
  readonly statfs?: Statfs;
  readonly place?: QueuePlace;
}

async function check(given: Given = {}): Promise<readonly Finding[]> {
  const { url = "sqlite:queue.db", key = KEY.reveal(), statfs = GOOD } = given;
  const { place = { directory: folder, isMade: () => false } } = given;
  const loaded = loadSettings({
    DELIVERY_MODE: "queue",
    QUEUE_URL: url,
    QUEUE_KEY: key,
    ...given.environment,
  });
  assert(loaded.type === "settings", JSON.stringify(loaded));
  return await checkQueue({ settings: loaded.settings, http, place, statfs });
}

async function codes(given?: Given): Promise<readonly string[]> {
  return (await check(given)).map(({ code }) => code);
}

/** Makes the queue that {@link check} looks at. */
async function make(count = 1, by = sealer): Promise<void> {
  const store = await openSqliteQueue(join(folder, "queue.db"), { statfs: GOOD });
  for (let i = 0; i < count; i++) await store.add(newMessage({ sealer: by }));
  await store.close();
}

describe("a queue in SQLite", () => {
  it("is in order if it can be read and changed, beside a running relay too", async () => {
    const store = await openSqliteQueue(join(folder, "queue.db"), { statfs: GOOD });
    try {
      await store.add(newMessage({ sealer }));
      const [found, ...others] = await check();
      assert.deepEqual(others, []);
      assert.equal(found!.code, "queue.ok");
      assert.equal(found!.what, `${join(folder, "queue.db")} has 1 message (1 queued)`);
      await store.add(newMessage({ sealer }));
      assert.match((await check())[0]!.what, /has 2 messages/);
    } finally {
      await store.close();
    }
  });

  it("that does not exist yet is made by the relay, and not by the check", async () => {
    assert.deepEqual(await codes(), ["queue.new"]);
    assert.deepEqual(readdirSync(folder), []);
  });

  it("may be in a directory that systemd makes", async () => {
    const directory = join(folder, "state");
    const place = { directory, isMade: (path: string) => path === directory };
    assert.deepEqual(await codes({ place }), ["queue.new"]);
    assert.deepEqual(await codes({ place: { ...place, isMade: () => false } }), [
      "queue.directory",
    ]);
    assert(!existsSync(directory));
  });

  it("needs a directory that can be written", { skip: root && noSmallDisk }, async () => {
    // root may write into any directory, but on no disk that is read-only.
    const disk = root ? smallDisk(1_000_000) : undefined;
    const directory = disk?.path ?? folder;
    try {
      if (disk === undefined) chmodSync(folder, 0o500);
      else disk.remount("ro");
      const place = { directory, isMade: () => false };
      assert.deepEqual(await codes({ place }), ["queue.unwritable"]);
    } finally {
      if (disk === undefined) chmodSync(folder, 0o700);
      else disk.remove();
    }
  });

  it("is not for a file system of the network, and has a risk on others", async () => {
    await make();
    const on = (type: number): Given => ({
      statfs: () => Promise.resolve({ type, bsize: 4096, blocks: 1e9, bavail: 5e8 }),
    });
    assert.deepEqual(await codes(on(0xfe534d42)), ["queue.file-system"]);
    assert.deepEqual(await codes(on(0x01021994)), ["queue.file-system-risk", "queue.ok"]);
  });

  it("that is no database, or another program's, is named", async () => {
    writeFileSync(join(folder, "queue.db"), "no database ".repeat(1000));
    assert.deepEqual(await codes(), ["queue.damaged"]);
    const { DatabaseSync } = await import("node:sqlite");
    const other = new DatabaseSync(join(folder, "other.db"));
    other.exec("create table other (x)");
    other.close();
    assert.deepEqual(await codes({ url: "sqlite:other.db" }), ["queue.schema"]);
    mkdirSync(join(folder, "directory.db"));
    const [directory] = await check({ url: "sqlite:directory.db" });
    assert.equal(directory!.code, "queue.directory");
    assert.match(directory!.what, /directory\.db is a directory: name a file in it, such as /);
  });

  it("has to be opened with its key, or with its old one after the new one", async () => {
    await make(3, new Sealer([queueKey()]));
    const findings = await check();
    assert.deepEqual(findings.map(({ code }) => code), ["queue.ok", "queue.message-key"]);
    assert.match(
      findings[1]!.what,
      /^3 of the messages .* are sealed with a key that is not in QUEUE_KEY$/,
    );
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    await make();
    assert.deepEqual(await codes({ key: `${queueKey().reveal()},${KEY.reveal()}` }), ["queue.ok"]);
  });

  it("has to be opened with the key that the relay was last started with, even if empty", async () => {
    const store = await openSqliteQueue(join(folder, "queue.db"), { statfs: GOOD });
    const sealed = sealer.seal(new Uint8Array(), KEY_NOTE);
    await store.notes.set(KEY_NOTE, sealed, Date.now() + 60_000);
    await store.close();
    assert.deepEqual(await codes(), ["queue.ok"]);
    assert.deepEqual(await codes({ key: queueKey().reveal() }), ["queue.ok", "queue.key"]);
    const both = `${queueKey().reveal()},${KEY.reveal()}`;
    assert.deepEqual(await codes({ key: both }), ["queue.ok"]);
  });

  it("needs room on its disk", async () => {
    await make();
    const full: Statfs = () =>
      Promise.resolve({ type: 0xef53, bsize: 4096, blocks: 1e9, bavail: 1e7 });
    assert.deepEqual(await codes({ statfs: full }), ["queue.ok", "queue.disk"]);
  });
});

describe("the findings about what is in a queue", () => {
  const limits = { QUEUE_MAX_MESSAGES: 100, QUEUE_MAX_BYTES: 1000 };
  const judged = (given: Partial<QueueSurvey>) =>
    judgeQueue("q", {
      messages: new Map(),
      octets: 0,
      startProblem: undefined,
      unreadable: new Map(),
      whole: true,
      ...given,
    }, limits)
      .map(({ code }) => code);

  it("name messages that wait for somebody", () => {
    const messages = new Map([["queued", 5], ["held", 1], ["dead", 2]] as const);
    assert.deepEqual(judged({ messages }), ["queue.ok", "queue.set-aside"]);
    const [, found] = judgeQueue(
      "q",
      { messages, octets: 0, startProblem: undefined, unreadable: new Map(), whole: false },
      limits,
    );
    assert.equal(found!.what, "1 held, 2 dead");
  });

  it("name the room that is left, by number or by size", () => {
    assert.deepEqual(judged({ messages: new Map([["queued", 79]]), octets: 799 }), ["queue.ok"]);
    for (const [count, octets] of [[80, 0], [0, 800]] as const) {
      const messages = new Map([["queued", count]] as const);
      assert.deepEqual(judged({ messages, octets }), ["queue.ok", "queue.nearly-full"]);
    }
    for (const [count, octets] of [[100, 0], [0, 1000]] as const) {
      const messages = new Map([["queued", count]] as const);
      assert.deepEqual(judged({ messages, octets }), ["queue.ok", "queue.full"]);
    }
  });

  it("name the bound that is reached", () => {
    const messages = new Map([["queued", 90]] as const);
    const survey = { octets: 2000, startProblem: undefined, unreadable: new Map(), whole: true };
    const found = judgeQueue("q", { messages, ...survey }, limits).slice(1);
    assert.deepEqual(found.map(({ code, what }) => [code, what]), [
      ["queue.nearly-full", "90 % of QUEUE_MAX_MESSAGES is used"],
      ["queue.full", "200 % of QUEUE_MAX_BYTES is used"],
    ]);
  });

  it("tell another key from damage and from another version", () => {
    const unreadable = new Map([["key", 1], ["tampered", 2], ["version", 3]] as const);
    assert.deepEqual(judged({ unreadable }), [
      "queue.ok",
      "queue.message-key",
      "queue.damaged-message",
      "queue.damaged-message",
    ]);
  });

  it("name a disk with less than 5 % or 64 MiB", () => {
    const disk = (free: number, total: number) => judgeDisk({ free, total }).length;
    assert.equal(disk(50, 1000), 1, "64 MiB are more than all of it");
    assert.equal(disk(51e9, 1000e9), 0);
    assert.equal(disk(49e9, 1000e9), 1);
    assert.equal(disk(63 * 1024 ** 2, 100 * 1024 ** 2), 1);
    assert.deepEqual(judgeDisk(undefined), []);
  });
});

describe("a survey of a queue", () => {
  it("counts all, opens the first ones and some of the others, and changes nothing", async () => {
    const queue = new FakeQueue();
    const other = new Sealer([queueKey()]);
    for (let i = 0; i < 1500; i++) {
      queue.add({ sealer: i < 500 ? other : sealer, receivedAt: i, content: "x".repeat(10) });
    }
    queue.add({ sealer, receivedAt: 2000, progress: { state: "dead" } });
    const found = await survey(queue, sealer);
    assert.deepEqual([...found.messages], [["queued", 1500], ["dead", 1]]);
    assert.deepEqual([...found.unreadable], [["key", 500]]);
    assert.equal(found.octets, 1500 * 10 + 17);
    assert.equal(found.whole, true);
    assert.deepEqual(queue.calls, []);
    assert.equal(queue.ids.length, 1501);
    const later = (await survey(queue, other)).unreadable.get("key")!;
    assert(later >= 15 && later < 100, `${later} of those after the first ones were opened`);
  });
});

describe("an error of a queue's store", () => {
  for (
    const [code, expected] of [
      ["SQLITE_CORRUPT", "queue.damaged"],
      ["EROFS", "queue.unwritable"],
      // https://learn.microsoft.com/azure/storage/queues/assign-azure-role-data-access
      ["AuthorizationPermissionMismatch", "queue.forbidden"],
      ["AuthorizationFailure", "queue.forbidden"],
      ["KeyBasedAuthenticationNotPermitted", "queue.forbidden"],
      ["HTTP 403", "queue.forbidden"],
      ["NO_IDENTITY", "queue.identity"],
      ["AADSTS7000215", "queue.identity"],
      ["ENOTFOUND", "queue.unreachable"],
      ["PROXY_407", "queue.unreachable"],
      ["ETIMEDOUT", "queue.unreachable"],
      ["ContainerBeingDeleted", "queue.refused"],
      ["SQLITE_BUSY", "queue.refused"],
      ["constructor", "queue.refused"],
    ] as const
  ) {
    it(`${code} is ${expected}`, () => assert.equal(codeFor(code), expected));
  }
});
