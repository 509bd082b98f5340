// The `queue` command with the program as its users run it, beside a relay that holds the queue open.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { Sealer } from "../../src/queue/sealing.ts";
import { openSqliteQueue } from "../../src/queue/sqlite/sqlite_queue.ts";
import type { MessageState, QueueStore } from "../../src/queue/store.ts";
import { newMessage, QUEUED_SECRET, queueKey } from "../support/fake_queue.ts";
import { PROGRAMS, root, run, Running, startable, startableIt } from "./programs.ts";
import { NO_SCRIPT } from "./terminal.ts";

const KEY = queueKey();
const sealer = new Sealer([KEY]);
const CONTENT = "From: scanner@x.test\r\nSubject: s\r\n\r\nGr\u00fc\u00dfe \x1b[2J\r\n";

for (const program of PROGRAMS) {
  describe(`the queue command, on ${program.name}`, () => {
    const itStarts = startableIt(program);
    let folder: string;
    let relay: QueueStore;
    let output = "";
    before(() => folder = mkdtempSync(join(tmpdir(), "relay-queue-")));
    after(() => rmSync(folder, { recursive: true }));
    beforeEach(async () => {
      // Open as long as the command runs, as by a relay.
      relay = await openSqliteQueue(join(folder, "queue.db"));
    });
    afterEach(async () => {
      await relay.close();
      for (const suffix of ["", "-wal", "-shm", ".lock", ".reserve", ".d"]) {
        rmSync(join(folder, `queue.db${suffix}`), { recursive: true, force: true });
      }
    });

    const environment = () => ({
      QUEUE_URL: `sqlite:${join(folder, "queue.db")}`,
      QUEUE_KEY: KEY.reveal(),
    });

    const queue = async (args: readonly string[], more: Record<string, string> = {}) => {
      const running = run(program, ["queue", ...args], { ...environment(), ...more });
      const status = await running.exited;
      output += running.stdout + running.stderr;
      return { status, stdout: running.stdout, stderr: running.stderr };
    };

    /** Adds a message that the relay has tried and given back in this state. */
    async function add(state: MessageState = "queued", content = CONTENT): Promise<string> {
      const message = newMessage({ sealer, content });
      await relay.add(message);
      if (state === "queued") return message.id;
      const [taken] = await relay.take(1, new Set());
      assert.equal(taken?.stored.id, message.id);
      if (state === "sending") {
        assert(await taken.sending(1, new Uint8Array()));
        return message.id;
      }
      const note = new Uint8Array();
      await taken.giveBack({
        state,
        due: Date.now(),
        attempts: 1,
        code: "ErrorSendAsDenied",
        note,
      });
      return message.id;
    }

    itStarts("lists, shows, retries and deletes what the relay has", async () => {
      assert.deepEqual(await queue(["list"]), { status: 0, stdout: "No messages.\n", stderr: "" });
      const dead = await add("dead");
      const queued = await add();
      const list = await queue(["list"]);
      assert.deepEqual([list.status, list.stderr], [0, ""]);
      const [head = "", first = "", second = "", ...rest] = list.stdout.split("\n");
      assert.match(head, /^id +state +received +due +size +attempts +code +from +to +account$/);
      assert.match(first, new RegExp(`^${dead} +dead .* ErrorSendAsDenied +scanner@x\\.test`));
      assert.match(second, new RegExp(`^${queued} +queued `));
      assert.deepEqual(rest, [""]);
      const json = JSON.parse((await queue(["list", "--state", "dead", "--json"])).stdout);
      assert.deepEqual([json.length, json[0].id, json[0].to], [1, dead, [
        "ann@x.test",
        "bea@x.test",
      ]]);
      const shown = await queue(["show", dead]);
      assert.match(shown.stdout, /^code +ErrorSendAsDenied$/m);

      const retried = await queue(["retry", dead]);
      assert.deepEqual([retried.status, retried.stdout], [0, `Message "${dead}" is due now\n`]);
      assert.equal(JSON.parse((await queue(["show", dead, "--json"])).stdout).state, "queued");
      const deleted = await queue(["delete", dead, queued, "--yes"]);
      assert.equal(deleted.status, 0, deleted.stderr);
      assert.equal((await queue(["list", "--json"])).stdout, "[]\n");
      assert.deepEqual(await relay.take(10, new Set()), []);
    });

    itStarts("leaves a message alone that is being sent", async () => {
      const sending = await add("sending");
      for (const args of [["retry", sending], ["delete", sending, "--yes"]]) {
        const { status, stderr } = await queue(args);
        assert.equal(status, 1);
        assert.match(stderr, new RegExp(`message "${sending}" is being sent now`));
      }
      assert.match((await queue(["list"])).stdout, new RegExp(`^${sending} +sending `, "m"));
    });

    itStarts("exports a message to the octet, small or large", async () => {
      const large = CONTENT + "x".repeat(78).concat("\r\n").repeat(8000);
      for (const content of [CONTENT, large]) {
        const id = await add("queued", content);
        const { status, stdout } = await queue(["export", id]);
        assert.deepEqual([status, stdout.length], [0, content.length]);
        assert(stdout === content);
        const file = join(folder, `${id}.eml`);
        assert.equal((await queue(["export", id, "--output", file])).status, 0);
        assert(readFileSync(file, "utf8") === content);
        const again = await queue(["export", id, "--output", file]);
        assert.equal(again.status, 1);
        assert.match(again.stderr, /exists already$/m);
      }
    });

    itStarts("takes its settings from a service's unit with --service", async () => {
      const id = await add("held");
      writeFileSync(join(folder, "key"), `${KEY.reveal()}\n`);
      const unit = join(folder, "relay.service");
      writeFileSync(
        unit,
        `[Service]\nExecStart=/bin/true serve\nWorkingDirectory=${folder}\n` +
          `LoadCredential=QUEUE_KEY:${folder}/key\n`,
      );
      const own = { QUEUE_URL: "sqlite:/none", QUEUE_KEY: "" };
      const { status, stdout, stderr } = await queue(["list", "--service", unit], own);
      assert.equal(status, 0, stderr);
      assert.match(stdout, new RegExp(`^${id} +held .* scanner@x\\.test`, "m"));
      // Not in the service's working directory.
      const output = relative(root, join(folder, "here", "x.eml"));
      mkdirSync(join(folder, "here"));
      const exported = await queue(["export", id, "--service", unit, "--output", output], own);
      assert.equal(exported.status, 0, exported.stderr);
      assert(readFileSync(join(folder, "here", "x.eml"), "utf8") === CONTENT);
      const none = await queue(["list", "--service", "none-of-this-name"], own);
      assert.equal(none.status, 1);
      assert.match(none.stderr, /there is no unit "none-of-this-name\.service"/);
    });

    it("asks before it deletes, on a terminal", { skip: NO_SCRIPT }, async () => {
      const ids = [await add("dead"), await add("dead")];
      const answerWith = async (answer: string) => {
        const { running, input } = onTerminal(["delete", "--state", "dead"], "> /dev/null");
        await running.until("stdout", /Delete 2 messages \(2 dead\)\? \[y\/N\] /);
        input.end(`${answer}\n`);
        return { status: await running.exited, text: running.stdout };
      };
      const no = await answerWith("n");
      assert.equal(no.status, 1, no.text);
      assert.match(no.text, /smtp-oauth-relay: not deleted/);
      assert.equal((await queue(["show", ids[0]!])).status, 0);
      assert.equal((await answerWith("y")).status, 0);
      assert.equal((await queue(["show", ids[0]!])).status, 1);
    });

    it(
      "does not print a message to a terminal unless it is told to",
      { skip: NO_SCRIPT },
      async () => {
        const id = await add();
        const { running } = onTerminal(["export", id]);
        assert.equal(await running.exited, 2);
        assert.match(running.stdout, /add --output FILE/);
        assert(!running.stdout.includes("Subject"));
        const told = onTerminal(["export", id, "--output", "-"]).running;
        assert.equal(await told.exited, 0);
        assert.match(told.stdout, /Subject: s/);
      },
    );

    /** Runs the command on a terminal. @param redirection for a shell */
    function onTerminal(args: readonly string[], redirection = "") {
      const command = [...program.command, "queue", ...args];
      const quoted = command.map((word) => `'${word}'`).join(" ");
      const child = spawn("script", ["-qec", `${quoted} ${redirection}`, "/dev/null"], {
        cwd: root,
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          SHELL: "/bin/sh",
          DENO_NO_UPDATE_CHECK: "1",
          ...environment(),
        },
      });
      return { running: new Running(child), input: child.stdin };
    }

    const WRONG: readonly (readonly [args: readonly string[], status: number, line: RegExp])[] = [
      [[], 2, /queue needs an action: list/],
      [["lst"], 2, /unknown action "lst" of queue: did you mean list\?/],
      [["list", "--stat", "dead"], 2, /unknown option '--stat' \(Did you mean --state\?\)/],
      [["list", "--state", "ded"], 2, /--state "ded" must be one of .* did you mean dead\?/],
      [["list", "--older-than", "2"], 2, /--older-than "2" must be .*up to 24d\n$/],
      [["show"], 2, /queue show needs an ID/],
      [["show", "abc"], 1, /there is no message "abc" in the queue$/m],
      [["retry"], 2, /queue retry needs IDs, or --state, --account or --older-than, or --all/],
      [["delete", "abc"], 2, /there is no terminal: add --yes$/m],
      [["delete", "--all", "--json"], 2, /there is no terminal: add --yes$/m],
      [["delete", "abc", "--yes"], 1, /there is no message "abc" in the queue$/m],
      [["export", "abc"], 1, /there is no message "abc" in the queue$/m],
      [["list", "--service", "--env-file", "x"], 2, /leave --env-file out/],
    ];
    for (const [args, status, line] of startable(program, WRONG)) {
      it(`exits with ${status} and one line for: queue ${args.join(" ")}`, async () => {
        const result = await queue(args);
        assert.equal(result.status, status, result.stderr);
        assert.match(result.stderr, /^smtp-oauth-relay: .*\n$/);
        assert.match(result.stderr, line);
        assert.equal(result.stdout, "");
      });
    }

    itStarts(
      "exits with 78 for a bad setting, with 1 for a queue that cannot be read",
      async () => {
        const bad = await queue(["list"], { QUEUE_URL: "postgres:x", QUEUE_KEY: "hunter2" });
        assert.equal(bad.status, 78);
        assert.match(bad.stderr, /^smtp-oauth-relay: QUEUE_URL "postgres:x" must be sqlite:PATH;/m);
        assert.match(bad.stderr, /^smtp-oauth-relay: QUEUE_KEY must be 32 bytes in base64/m);
        assert(!bad.stderr.includes("hunter2"));
        const unnamed = await queue(["list"], { QUEUE_URL: "azure-storage:" });
        assert.equal(unnamed.status, 78);
        assert.match(unnamed.stderr, /does not say which account/);
        const missing = await queue(["list"], { QUEUE_URL: `sqlite:${folder}/none.db` });
        assert.equal(missing.status, 1);
        assert.match(
          missing.stderr,
          /^smtp-oauth-relay: the queue: .*none\.db: there is no such file/,
        );
      },
    );

    itStarts("lists with the wrong key what needs none, and ends with 1", async () => {
      const id = await add("dead");
      const { status, stdout, stderr } = await queue(["list"], { QUEUE_KEY: queueKey().reveal() });
      assert.equal(status, 1);
      assert.match(stdout, new RegExp(`^${id} +dead .* \\(sealed with another QUEUE_KEY\\)$`, "m"));
      assert.equal(
        stderr,
        "smtp-oauth-relay: 1 message could not be opened: sealed with another QUEUE_KEY\n",
      );
    });

    it("shows no secret", () => {
      assert(output.length > 100 && !output.includes(QUEUED_SECRET));
      assert(!output.includes(KEY.reveal()));
    });
  });
}
