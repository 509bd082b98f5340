// The form of everything on standard error: JSON from the first octet where LOG_FORMAT asks for it, also where
// the relay does not start; priorities where standard error is the journal (sd-daemon(3)).

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PROGRAMS, root, run, serve } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const EX_USAGE = 2;
const EX_UNAVAILABLE = 69;
const EX_CONFIG = 78;

const PLAIN = {
  TLS_SOURCE: "off",
  REQUIRE_TLS: "false",
  SMTP_LISTEN: "127.0.0.1:0",
  HTTP_LISTEN: "127.0.0.1:0",
};

interface Line {
  readonly level: string;
  readonly message: string;
  readonly exit_status?: number;
}

const parsed = (text: string) => text.trimEnd().split("\n").map((line) => JSON.parse(line) as Line);

for (const program of PROGRAMS) {
  describe(`LOG_FORMAT=json on ${program.name}`, () => {
    let directory: string;
    before(() => {
      directory = mkdtempSync(join(tmpdir(), "relay-log-form-"));
    });
    after(() => rmSync(directory, { recursive: true }));

    /** The lines of a start that fails, without their time. */
    async function fails(args: readonly string[], environment: Record<string, string>) {
      const running = run(program, args, { LOG_FORMAT: "json", ...environment });
      const status = await running.exited;
      return { status, lines: parsed(running.stderr) };
    }

    it("has a line for each bad setting (78)", async () => {
      const { status, lines } = await fails(["serve"], {
        ...PLAIN,
        LOG_LEVEL: "LOUD",
        MAX_RECIPIENTS: "many",
      });
      assert.equal(status, EX_CONFIG);
      assert.deepEqual(lines.map(({ level, exit_status }) => [level, exit_status]), [
        ["CRITICAL", EX_CONFIG],
        ["CRITICAL", EX_CONFIG],
      ]);
      assert.match(lines[0]!.message, /^LOG_LEVEL "LOUD" must be /);
      assert.match(lines[1]!.message, /^MAX_RECIPIENTS /);
    });

    it("has one for a missing certificate (78), after the warnings", async () => {
      const missing = join(directory, "missing.pem");
      const { status, lines } = await fails([], {
        ...PLAIN,
        TLS_SOURCE: "file",
        TLS_CERT_FILEPATH: missing,
        TLS_KEY_FILEPATH: missing,
      });
      assert.equal(status, EX_CONFIG);
      assert.equal(lines[0]!.level, "WARNING");
      assert.match(lines[0]!.message, /^REQUIRE_TLS is false/);
      assert.equal(lines.at(-1)!.exit_status, EX_CONFIG);
      assert.ok(lines.at(-1)!.message.includes(missing));
    });

    it("has one for a port that is taken (69)", async () => {
      const other = createServer().listen(0, "127.0.0.1");
      await once(other, "listening");
      const { port } = other.address() as AddressInfo;
      const { status, lines } = await fails(["serve"], {
        ...PLAIN,
        SMTP_LISTEN: `127.0.0.1:${port}`,
      });
      other.close();
      assert.equal(status, EX_UNAVAILABLE);
      assert.equal(lines.at(-1)!.exit_status, EX_UNAVAILABLE);
      assert.match(lines.at(-1)!.message, new RegExp(`127\\.0\\.0\\.1:${port}`));
    });

    it("is read from --env-file too", async () => {
      const file = join(directory, "settings.env");
      writeFileSync(file, "LOG_FORMAT=json\nLOG_LEVEL=LOUD\n");
      const running = run(program, ["serve", "--env-file", file]);
      assert.equal(await running.exited, EX_CONFIG);
      assert.match(parsed(running.stderr)[0]!.message, /^LOG_LEVEL/);
    });

    it("holds for a file of settings that cannot be read", async () => {
      const file = join(directory, "nowhere.env");
      const { status, lines } = await fails(["serve", "--env-file", file], {});
      assert.equal(status, EX_CONFIG);
      assert.ok(lines[0]!.message.includes(file));
    });

    it("holds for a wrong command line of a service (2), and not of a command for people", async () => {
      for (const args of [["serve", "--bad"], ["serv"]]) {
        const { status, lines } = await fails(args, {});
        assert.equal(status, EX_USAGE);
        assert.equal(lines.length, 1);
        assert.match(lines[0]!.message, /^unknown (?:option '--bad'|command 'serv')/);
      }
      const running = run(program, ["check", "--bad"], { LOG_FORMAT: "json" });
      assert.equal(await running.exited, EX_USAGE);
      assert.equal(running.stderr, "smtp-oauth-relay: unknown option '--bad'\n");
    });

    it("leaves a start error as it was where LOG_FORMAT itself is what is wrong", async () => {
      const running = run(program, ["serve"], { ...PLAIN, LOG_FORMAT: "xml" });
      assert.equal(await running.exited, EX_CONFIG);
      assert.match(running.stderr, /^smtp-oauth-relay: LOG_FORMAT "xml" must be .*\n$/);
    });
  });

  describe(`the journal on ${program.name}`, () => {
    let directory: string;
    before(() => {
      directory = mkdtempSync(join(tmpdir(), "relay-journal-"));
    });
    after(() => rmSync(directory, { recursive: true }));

    /** Runs it with a standard error that is the stream of JOURNAL_STREAM. */
    function withJournal(name: string, environment: Record<string, string>) {
      const path = join(directory, name);
      const stream = openSync(path, "w");
      const { dev, ino } = statSync(path, { bigint: true });
      const [command, ...args] = program.command;
      const child = spawn(command!, [...args, "serve"], {
        cwd: root,
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          DENO_NO_UPDATE_CHECK: "1",
          AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
          JOURNAL_STREAM: `${dev}:${ino}`,
          ...environment,
        },
        stdio: ["ignore", "ignore", stream],
      });
      const exited = once(child, "close").then(([status]) => status as number | null);
      const lines = () => readFileSync(path, "utf8").trimEnd().split("\n");
      return { child, exited, lines };
    }

    it("gets a priority in each line, and no time", async () => {
      const { child, exited, lines } = withJournal("running", { ...PLAIN, LOG_LEVEL: "INFO" });
      while (!lines().some((line) => line.includes("Relay started"))) await sleep(20);
      const [, port] = /smtp=127\.0\.0\.1:(\d+)/.exec(lines().join("\n"))!;
      const client = new SmtpClient(Number(port));
      await client.reply();
      await client.say("QUIT");
      await client.closed();
      while (!lines().some((line) => line.includes("Connection ended"))) await sleep(20);
      // Not `child.kill`: after it, Deno reports the signal instead of the exit status.
      process.kill(child.pid!, "SIGTERM");
      assert.equal(await exited, 0);
      const told = lines().map((line) =>
        /^<(\d)>([A-Z]+) ([A-Z].*?)(?: \w+=.*)?$/.exec(line)?.slice(1)
      );
      assert.deepEqual(told, [
        ["4", "WARNING", "REQUIRE_TLS is false: passwords may cross the network in plain text"],
        ["6", "INFO", "Memory for mail"],
        ["4", "WARNING", "Relay started"],
        ["6", "INFO", "Connection ended"],
        ["4", "WARNING", "Relay is stopping"],
        ["4", "WARNING", "Relay stopped"],
      ]);
    });

    it("gets JSON without a time after the priority", async () => {
      const { exited, lines } = withJournal("json", {
        ...PLAIN,
        LOG_FORMAT: "json",
        LOG_LEVEL: "LOUD",
      });
      assert.equal(await exited, EX_CONFIG);
      const [line] = lines();
      const { message, ...rest } = JSON.parse(line!.replace(/^<2>/, ""));
      assert.match(message, /^LOG_LEVEL/);
      assert.deepEqual(rest, { level: "CRITICAL", exit_status: EX_CONFIG });
    });

    it("gets a start error with its priority", async () => {
      const { exited, lines } = withJournal("error", { ...PLAIN, LOG_LEVEL: "LOUD" });
      assert.equal(await exited, EX_CONFIG);
      assert.match(lines()[0]!, /^<2>CRITICAL LOG_LEVEL .* exit_status=78$/);
    });

    it("is not what another standard error is, whatever the variable says", async () => {
      const { running } = await serve(program, { ...PLAIN, JOURNAL_STREAM: "8:12345" });
      assert.match(running.stderr, /^\d{4}-\d\d-\d\dT/);
      assert.equal(await running.stop(), 0);
    });
  });
}
