/** The `queue` command: its command line, and what each action does and prints. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import { shortId } from "../../src/accounts/username.ts";
import { act } from "../../src/commands/queue_actions.ts";
import {
  accountMatcher,
  type QueueOptions,
  readCommand,
} from "../../src/commands/queue_arguments.ts";
import { CommandError } from "../../src/exit.ts";
import { QueueInspection } from "../../src/queue/inspection.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import { FakeQueue, QUEUED_SECRET, queueKey, RECORD } from "../support/fake_queue.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { noSmallDisk, smallDisk } from "../queue/sqlite/support.ts";

const NOW = Date.parse("2026-11-05T06:07:08Z");
const HOUR = 3_600_000;
const OTHER = "33333333-3333-3333-3333-333333333333";
const sealer = new Sealer([queueKey()]);

interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly lines: readonly string[];
  readonly asked: readonly string[];
}

/** Runs a command line on a queue. */
async function run(
  queue: FakeQueue,
  words: readonly string[],
  options: QueueOptions = {},
  { by = sealer, answer = true, columns }: {
    readonly by?: Sealer | "none";
    readonly answer?: boolean;
    readonly columns?: number;
  } = {},
): Promise<Ran> {
  const written: Uint8Array[] = [];
  const asked: string[] = [];
  const result = (status: number, lines: readonly string[]) => {
    const stdout = Buffer.concat(written).toString();
    assert(!(stdout + lines + asked).includes(QUEUED_SECRET), "the secret was shown");
    return { status, stdout, lines, asked };
  };
  try {
    await act(readCommand(words, options), {
      administration: queue,
      inspection: new QueueInspection(queue, by === "none" ? undefined : by),
      delimiter: "@",
      json: options.json ?? false,
      ...(columns === undefined ? {} : { columns }),
      now: NOW,
      write: (octets) => {
        written.push(Buffer.from(octets as string));
        return Promise.resolve();
      },
      ...(options.yes ? {} : {
        ask: (question: string) => {
          asked.push(question);
          return Promise.resolve(answer);
        },
      }),
    });
    return result(0, []);
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return result(error.status, error.lines);
  }
}

function account(more: Partial<Account>) {
  return { record: { account: { ...RECORD.account, ...more } } };
}

describe("queue list", () => {
  it("shows messages in order of arrival, in columns", async () => {
    const queue = new FakeQueue();
    queue.add({ sealer, id: "a".repeat(16), receivedAt: NOW, content: "x".repeat(1234) });
    queue.add({
      sealer,
      id: "b".repeat(16),
      receivedAt: NOW + HOUR,
      progress: { state: "dead", attempts: 7, code: "ErrorSendAsDenied" },
      record: {
        envelope: { from: "", recipients: ["x@y.test"] },
        account: { ...RECORD.account, entry: { id: "scanner", foundBy: "id" } },
      },
    });
    const { status, stdout } = await run(queue, ["list"]);
    assert.equal(status, 0);
    assert.equal(
      stdout,
      `id                state   received              due                   size  attempts  code               from            to             account
aaaaaaaaaaaaaaaa  queued  2026-11-05T06:07:08Z  2026-11-05T06:07:08Z  1234  0         -                  scanner@x.test  ann@x.test +1  ${TENANT}@${CLIENT}
bbbbbbbbbbbbbbbb  dead    2026-11-05T07:07:08Z  -                     17    7         ErrorSendAsDenied  <>              x@y.test       scanner
`,
    );
  });

  it("has two lines for a message where the terminal is narrower than the table", async () => {
    const queue = new FakeQueue();
    const many = Array.from({ length: 600 }, (_, i) => i);
    for (const i of many) {
      queue.add({
        sealer,
        id: String(i).padStart(16, "0"),
        receivedAt: NOW,
        progress: { attempts: 7, code: "ErrorMailboxMove" },
      });
    }
    queue.add({ sealer: new Sealer([queueKey()]), id: "f".repeat(16), receivedAt: NOW + HOUR });
    const { stdout } = await run(queue, ["list"], {}, { columns: 80 });
    const lines = stdout.trimEnd().split("\n");
    assert.deepEqual(lines.slice(0, 3), [
      "id                state   received              attempts  code",
      "0000000000000000  queued  2026-11-05T06:07:08Z  7         ErrorMailboxMove",
      "    scanner@x.test to ann@x.test +1",
    ]);
    assert.equal(lines.length, 1 + 2 * 601, "in all pages");
    assert.equal(lines.at(-1), "    (sealed with another QUEUE_KEY)");
    assert(lines.every(({ length }) => length <= 80));
    const wide = await run(queue, ["list"], {}, { columns: 300 });
    assert.equal(wide.stdout, (await run(queue, ["list"])).stdout);
    assert.equal(wide.stdout.trimEnd().split("\n").length, 602);
  });

  it("says that there are none, or none that match", async () => {
    assert.equal((await run(new FakeQueue(), ["list"])).stdout, "No messages.\n");
    const queue = new FakeQueue();
    queue.add({ sealer });
    const dead = { state: "dead" };
    for (const action of ["list", "retry", "delete"]) {
      assert.equal((await run(queue, [action], dead)).stdout, "No message matches.\n");
    }
    assert.equal((await run(new FakeQueue(), ["list"], { json: true })).stdout, "[]\n");
  });

  it("prints one JSON array, with everything but the secret", async () => {
    const queue = new FakeQueue();
    const id = queue.add({
      sealer,
      receivedAt: NOW,
      progress: { state: "held", code: "AADSTS7000222", attempts: 1 },
      note: { detail: "the secret has expired", doubt: true, firstAttempt: NOW },
      ...account({ entry: { id: "scanner", foundBy: "id" }, fromEmail: "s@x.test" }),
    });
    queue.add({ sealer });
    const messages = JSON.parse((await run(queue, ["list"], { json: true })).stdout);
    assert.equal(messages.length, 2);
    assert.deepEqual(messages[0], {
      id,
      state: "held",
      receivedAt: "2026-11-05T06:07:08Z",
      due: "2026-11-05T06:07:08Z",
      size: 17,
      attempts: 1,
      code: "AADSTS7000222",
      detail: "the secret has expired",
      firstAttempt: "2026-11-05T06:07:08Z",
      doubt: true,
      kind: "message",
      from: "scanner@x.test",
      to: ["ann@x.test", "bea@x.test"],
      account: { entry: "scanner", tenantId: TENANT, clientId: CLIENT, fromEmail: "s@x.test" },
      client: "192.0.2.7",
      tls: true,
    });
  });

  it("filters by state, age and account, all of them together", async () => {
    const queue = new FakeQueue();
    const old = queue.add({ sealer, receivedAt: NOW - 3 * HOUR, progress: { state: "dead" } });
    const young = queue.add({ sealer, receivedAt: NOW - HOUR, progress: { state: "dead" } });
    const held = queue.add({ sealer, receivedAt: NOW - 3 * HOUR, progress: { state: "held" } });
    const other = queue.add({
      sealer,
      receivedAt: NOW - 3 * HOUR,
      ...account({ clientId: OTHER }),
    });
    const ids = async (options: QueueOptions) => {
      const { stdout } = await run(queue, ["list"], { ...options, json: true });
      return (JSON.parse(stdout) as { id: string }[]).map(({ id }) => id);
    };
    assert.deepEqual(await ids({ state: "dead" }), [old, young]);
    assert.deepEqual(await ids({ state: "Dead, held" }), [old, young, held]);
    assert.deepEqual(await ids({ olderThan: "2h" }), [old, held, other]);
    assert.deepEqual(await ids({ account: OTHER }), [other]);
    assert.deepEqual(await ids({ account: TENANT, state: "dead", olderThan: "2h" }), [old]);
    assert.deepEqual(await ids({ account: "nobody" }), []);
    assert.deepEqual(await ids({ limit: "2" }), [old, young]);
  });

  it("reads a page at a time and counts a limit over all of them", async () => {
    const queue = new FakeQueue();
    for (let i = 0; i < 1100; i++) queue.add({ sealer, receivedAt: NOW + i });
    const lines = async (options: QueueOptions) =>
      (await run(queue, ["list"], options)).stdout.trimEnd().split("\n").length - 1;
    assert.equal(await lines({}), 1100);
    assert.equal(await lines({ limit: "700" }), 700);
    const wrong = await run(queue, ["list"], { limit: "3" }, { by: "none" });
    assert.deepEqual(wrong.lines, ["3 messages could not be opened: QUEUE_KEY is not set"]);
    // One login can queue messages of which each takes half a megabyte here.
    assert.ok(queue.longest <= 20, `${queue.longest} at once`);
  });

  it("lists what cannot be read, says why, and ends with 1", async () => {
    const queue = new FakeQueue();
    const id = queue.add({ sealer, receivedAt: NOW });
    queue.add({ sealer: new Sealer([queueKey()]) });
    for (
      const [by, count, problem] of [
        [sealer, "1 message", "sealed with another QUEUE_KEY"],
        ["none", "2 messages", "QUEUE_KEY is not set"],
      ] as const
    ) {
      const { status, stdout, lines } = await run(queue, ["list"], {}, { by });
      assert.equal(status, 1);
      assert.deepEqual(lines, [`${count} could not be opened: ${problem}`]);
      assert.match(stdout, new RegExp(`^${id} +queued +2026-11-05T06:07:08Z`, "m"));
      assert.match(stdout, new RegExp(`\\(${problem}\\)$`, "m"));
      const json = await run(queue, ["list"], { json: true }, { by });
      assert.equal(JSON.parse(json.stdout)[1].problem, problem);
    }
    const filtered = await run(queue, ["list"], { account: TENANT });
    assert.deepEqual(filtered.lines, [
      "1 message left out, because the account cannot be read: sealed with another QUEUE_KEY",
    ]);
  });

  it("lets nothing reach the terminal that it would obey", async () => {
    const queue = new FakeQueue();
    const hostile = "\x1b]0;x\x07\x9b2J\u202e\n@x.test";
    const id = queue.add({
      sealer,
      progress: { code: hostile },
      note: { detail: hostile },
      record: {
        envelope: { from: hostile, recipients: [hostile] },
        account: { ...RECORD.account, entry: { id: hostile, foundBy: "id" } },
        client: hostile,
      },
    });
    for (const words of [["list"], ["show", id], ["delete", id]]) {
      for (const json of words[0] === "delete" ? [false] : [false, true]) {
        const { stdout, asked } = await run(queue, words, { json }, { answer: false, columns: 20 });
        const text = stdout + asked;
        // deno-lint-ignore no-control-regex -- what a terminal obeys
        assert.doesNotMatch(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/, text);
        assert(text.includes("@x.test"));
      }
    }
  });
});

describe("queue show", () => {
  it("shows everything but the secret", async () => {
    const queue = new FakeQueue();
    const id = queue.add({
      sealer,
      receivedAt: NOW,
      progress: { state: "held", due: NOW + HOUR, attempts: 2, code: "AADSTS7000222" },
      note: { detail: "the secret has expired", doubt: true, firstAttempt: NOW },
      ...account({ entry: { id: "scanner", foundBy: "id" }, fromEmail: "s@x.test" }),
    });
    const { status, stdout } = await run(queue, ["show", id]);
    assert.equal(status, 0);
    assert.equal(
      stdout,
      `id             ${id}
state          held
received       2026-11-05T06:07:08Z
since          2026-11-05T07:07:08Z
size           17 bytes
attempts       2
code           AADSTS7000222
detail         the secret has expired
first attempt  2026-11-05T06:07:08Z
in doubt       yes: it may have been sent
from           scanner@x.test
to             ann@x.test
to             bea@x.test
sent as        s@x.test
entry          scanner
tenant ID      ${TENANT}
client ID      ${CLIENT}
came from      192.0.2.7, with TLS
`,
    );
  });

  it("ends with 1 for a message that is not there, or that cannot be read", async () => {
    const queue = new FakeQueue();
    const absent = await run(queue, ["show", "abc"]);
    assert.deepEqual([absent.status, absent.lines], [1, [
      'there is no message "abc" in the queue',
    ]]);
    const id = queue.add({ sealer: new Sealer([queueKey()]), receivedAt: NOW });
    const { status, stdout, lines } = await run(queue, ["show", id]);
    assert.deepEqual([status, lines], [1, [`message "${id}": sealed with another QUEUE_KEY`]]);
    assert.match(stdout, /^problem +sealed with another QUEUE_KEY$/m);
  });
});

describe("queue retry", () => {
  it("makes messages due by their ids", async () => {
    const queue = new FakeQueue();
    const [one, two] = [0, 1].map(() => queue.add({ sealer, progress: { state: "dead" } }));
    const { status, stdout } = await run(queue, ["retry", one!, two!, one!]);
    assert.deepEqual([status, stdout], [
      0,
      `Message "${one}" is due now\nMessage "${two}" is due now\n`,
    ]);
    assert.deepEqual(queue.calls, [`retry ${one}`, `retry ${two}`]);
    assert.equal(queue.state(one!), "queued");
  });

  it("goes on after one that is not there or is being sent, and ends with 1", async () => {
    const queue = new FakeQueue();
    const sending = queue.add({ sealer, progress: { state: "sending" } });
    const held = queue.add({ sealer, progress: { state: "held" } });
    const { status, lines } = await run(queue, ["retry", "abc", sending, held]);
    assert.equal(status, 1);
    assert.equal(lines[0], 'there is no message "abc" in the queue');
    assert.match(lines[1]!, new RegExp(`^message "${sending}" is being sent now`));
    assert.equal(queue.state(held), "queued");
    const json = await run(queue, ["retry", "abc", sending, held], { json: true });
    assert.deepEqual(JSON.parse(json.stdout), [
      { id: "abc", result: "unknown" },
      { id: sending, result: "sending" },
      { id: held, result: "done" },
    ]);
  });

  it("makes those of an account due, and says how many", async () => {
    const queue = new FakeQueue();
    for (let i = 0; i < 3; i++) {
      queue.add({ sealer, progress: { state: "held" }, ...account({ clientId: OTHER }) });
    }
    const other = queue.add({ sealer, progress: { state: "held" } });
    const { status, stdout } = await run(queue, ["retry"], { account: `${TENANT}@${OTHER}` });
    assert.deepEqual([status, stdout], [0, "3 messages are due now\n"]);
    assert.equal(queue.state(other), "held");
  });

  it("needs no key without --account", async () => {
    const queue = new FakeQueue();
    queue.add({ sealer, progress: { state: "dead" } });
    const all = await run(queue, ["retry"], { all: true }, { by: "none" });
    assert.deepEqual([all.status, all.stdout], [0, "1 message is due now\n"]);
    const some = await run(queue, ["retry"], { account: TENANT }, { by: "none" });
    assert.equal(some.status, 1);
    assert.match(some.lines[0]!, /^1 message left out.*QUEUE_KEY is not set$/);
  });

  it("says when messages are being sent, or when there are none", async () => {
    const queue = new FakeQueue();
    assert.equal((await run(queue, ["retry"], { all: true })).stdout, "No messages.\n");
    queue.add({ sealer, progress: { state: "sending" } });
    const { status, stdout, lines } = await run(queue, ["retry"], { all: true });
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(lines[0]!, /^1 message is being sent now/);
  });
});

describe("queue delete", () => {
  it("asks with what it would delete, and deletes nothing without a yes", async () => {
    const queue = new FakeQueue();
    const [one, two] = [0, 1].map(() => queue.add({ sealer, progress: { state: "dead" } }));
    const single = await run(queue, ["delete", one!], {}, { answer: false });
    assert.deepEqual([single.status, single.lines], [1, ["not deleted"]]);
    assert.deepEqual(single.asked, [
      `Delete message "${one}" from "scanner@x.test" to "ann@x.test" and 1 more? [y/N] `,
    ]);
    const both = await run(queue, ["delete", one!, two!], {}, { answer: false });
    assert.deepEqual(both.asked, ["Delete 2 messages (2 dead)? [y/N] "]);
    queue.add({ sealer });
    const all = await run(queue, ["delete"], { all: true }, { answer: false });
    assert.deepEqual(all.asked, ["Delete 3 messages (2 dead, 1 queued)? [y/N] "]);
    assert.deepEqual(queue.calls, []);
    const done = await run(queue, ["delete", one!]);
    assert.deepEqual([done.status, done.stdout], [0, `Message "${one}" is deleted\n`]);
    assert.equal(queue.state(one!), undefined);
  });

  it("does not ask about a message that is not there", async () => {
    const { status, lines, asked } = await run(new FakeQueue(), ["delete", "abc"]);
    assert.deepEqual([status, asked], [1, []]);
    assert.deepEqual(lines, ['there is no message "abc" in the queue', "nothing was deleted"]);
  });

  it("deletes what it asked about, and not what has come meanwhile", async () => {
    const queue = new FakeQueue();
    queue.add({ sealer });
    let late = "";
    await act(readCommand(["delete"], { all: true }), {
      administration: queue,
      inspection: new QueueInspection(queue, sealer),
      delimiter: "@",
      json: false,
      now: NOW,
      write: () => Promise.resolve(),
      ask: () => {
        late = queue.add({ sealer });
        return Promise.resolve(true);
      },
    });
    assert.deepEqual(queue.ids, [late]);
  });

  it("deletes all of a filter over many pages with --yes", async () => {
    const queue = new FakeQueue();
    for (let i = 0; i < 1100; i++) {
      queue.add({
        sealer,
        receivedAt: NOW + i,
        progress: { state: i % 2 === 0 ? "dead" : "queued" },
      });
    }
    const { status, stdout, asked } = await run(queue, ["delete"], { state: "dead", yes: true });
    assert.deepEqual([status, stdout, asked], [0, "550 messages are deleted\n", []]);
    assert.equal(queue.ids.length, 550);
  });
});

describe("queue export", () => {
  const content = "Subject: s\r\n\r\nGr\u00fc\u00dfe \x1b[2J\r\n".repeat(20_000);

  it("writes the message as it came, to standard output or to a new file", async () => {
    const folder = mkdtempSync(join(tmpdir(), "relay-export-"));
    try {
      const queue = new FakeQueue();
      const id = queue.add({ sealer, content });
      assert.equal((await run(queue, ["export", id])).stdout, content);
      assert.equal((await run(queue, ["export", id], { output: "-" })).stdout, content);
      const output = join(folder, "message.eml");
      const { status, stdout } = await run(queue, ["export", id], { output });
      assert.deepEqual([status, stdout, readFileSync(output, "utf8")], [0, "", content]);
      if (process.platform !== "win32") assert.equal(statSync(output).mode & 0o777, 0o600);
      assert.equal(queue.state(id), "queued");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("leaves no part of a message on a full disk", { skip: noSmallDisk }, async () => {
    const disk = smallDisk(64 * 1024);
    try {
      const queue = new FakeQueue();
      const id = queue.add({ sealer, content: "x".repeat(200_000) });
      const { status, lines } = await run(queue, ["export", id], {
        output: join(disk.path, "message.eml"),
      });
      assert.equal(status, 1);
      assert.match(lines[0]!, /message\.eml" cannot be written: /);
      assert.deepEqual(readdirSync(disk.path), []);
    } finally {
      disk.remove();
    }
  });

  it("overwrites no file, and says what it cannot write", async () => {
    const folder = mkdtempSync(join(tmpdir(), "relay-export-"));
    try {
      const queue = new FakeQueue();
      const id = queue.add({ sealer });
      const output = join(folder, "message.eml");
      writeFileSync(output, "another");
      const { status, lines } = await run(queue, ["export", id], { output });
      assert.deepEqual([status, lines], [1, [`--output ${JSON.stringify(output)} exists already`]]);
      assert.equal(readFileSync(output, "utf8"), "another");
      const nowhere = await run(queue, ["export", id], { output: join(folder, "none", "x") });
      assert.match(
        nowhere.lines[0]!,
        /cannot be written: there is no such file or directory \(ENOENT\)$/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("writes nothing of a message that cannot be read", async () => {
    const queue = new FakeQueue();
    const id = queue.add({ sealer: new Sealer([queueKey()]) });
    const { status, stdout, lines } = await run(queue, ["export", id]);
    assert.deepEqual([status, stdout], [1, ""]);
    assert.deepEqual(lines, [`message "${id}" cannot be read: sealed with another QUEUE_KEY`]);
    assert.match((await run(queue, ["export", id], {}, { by: "none" })).lines[0]!, /not set$/);
    assert.match((await run(queue, ["export", "abc"])).lines[0]!, /^there is no message/);
  });
});

describe("the command line of queue", () => {
  const refused = (words: readonly string[], options: QueueOptions = {}) => {
    try {
      readCommand(words, options);
    } catch (error) {
      assert(error instanceof CommandError && error.status === 2);
      return error.lines.join();
    }
    assert.fail(`${words} was taken`);
  };

  it("names the nearest action, state and time", () => {
    assert.match(refused(["lst"]), /unknown action "lst" of queue: did you mean list\?/);
    assert.match(refused([]), /^queue needs an action: list, show, retry, delete, export$/);
    assert.match(refused(["purge"]), /one of list, show, retry, delete, export is needed/);
    assert.match(
      refused(["list"], { state: "ded" }),
      /--state "ded" must be one of .*; did you mean dead\?/,
    );
    assert.match(
      refused(["list"], { olderThan: "2 hours" }),
      /--older-than "2 hours" .* did you mean 2h\?/,
    );
    assert.match(refused(["list"], { limit: "0" }), /--limit "0" must be a whole number/);
  });

  it("wants the messages named, by ids or by a filter", () => {
    for (const action of ["retry", "delete"]) {
      assert.match(refused([action]), /needs IDs, or --state, --account or --older-than, or --all/);
      assert.match(refused([action, "a"], { all: true }), /give IDs or --all, not both/);
      assert.match(
        refused([action, "a"], { olderThan: "1h" }),
        /give IDs or --older-than, not both/,
      );
      assert.match(refused([action], { all: true, state: "dead" }), /leave it or --state out/);
    }
    assert.match(refused(["show"]), /needs an ID/);
    assert.match(refused(["export", "a", "b"]), /takes one ID/);
    assert.match(refused(["list", "a"]), /takes no ID/);
    assert.match(refused(["retry", "../x"]), /"..\/x" is not the ID of a message/);
    assert.match(refused(["list"], { account: "" }), /--account must not be empty/);
  });

  it("takes no option that an action has no use for", () => {
    assert.match(refused(["list"], { yes: true }), /--yes is not an option of queue list/);
    assert.match(
      refused(["show", "a"], { state: "dead" }),
      /--state is not an option of queue show/,
    );
    assert.match(
      refused(["retry", "a"], { limit: "1" }),
      /--limit is not an option of queue retry/,
    );
    assert.match(
      refused(["export", "a"], { json: true }),
      /--json is not an option of queue export/,
    );
  });
});

describe("--account", () => {
  const plain: Account = { tenantId: TENANT, clientId: CLIENT };
  const entry: Account = { ...plain, entry: { id: "scanner@x.test", foundBy: "id" } };
  const domain: Account = { tenantId: "contoso.com", clientId: OTHER };

  it("names an account by its username, its entry, its tenant or its client, in any spelling", () => {
    for (
      const [text, expected] of [
        [`${TENANT}@${CLIENT}`, [plain, entry]],
        [`${shortId(TENANT)}@${shortId(CLIENT)}.example.com`, [plain, entry]],
        ["scanner@x.test", [entry]],
        [CLIENT.toUpperCase(), [plain, entry]],
        [shortId(TENANT), [plain, entry]],
        ["Contoso.com", [domain]],
        [OTHER, [domain]],
        ["scanner", []],
        ["", []],
      ] as const
    ) {
      const matches = accountMatcher(text, "@");
      assert.deepEqual([plain, entry, domain].filter(matches), expected, text);
    }
    assert.ok(accountMatcher("s:lookup", ":")({ ...plain, entry: { id: "s", foundBy: "id" } }));
  });
});
