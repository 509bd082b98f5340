// `check`, run against sound and broken set-ups: it names the fault, and no other.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { CODES } from "../../src/check/codes.ts";
import { type Case, CASES } from "./check_cases.ts";
import { createWorld, SECRET, USERNAME, type World } from "./check_world.ts";
import { CONNECTION_STRING } from "../support/azurite.ts";
import { THOROUGH } from "../support/thorough.ts";
import { type Program, PROGRAMS, root, run, Running, serve, startable } from "./programs.ts";
import { NO_SCRIPT } from "./terminal.ts";

const MESSAGE = ["--from", "scanner@example.com", "--to", "you@example.org"];
/** `FAIL certificate: what. Fix: what to do [certificate.expired]` */
const LINE =
  /^(ok {2}|skip|warn|FAIL) ([a-z]+): (.+?)(?:(?<=[.?!]) Fix: (.+))? \[([a-z-]+\.[a-z-]+)\]$/;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the cases use instead. */
const WRONG_SECRETS = ["wrong-secret", "expired-secret", "V3Jvbmcta2V5LXRoYXQtbXVzdC1ub3Qtc2hvdw"];

let world: World;

before(async () => {
  world = await createWorld();
});
after(async () => {
  await world.close();
});

async function check(
  program: Program,
  args: readonly string[],
  settings: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  const running = run(program, ["check", ...args], { ...world.sound, ...settings });
  const status = await running.exited;
  const { stdout, stderr } = running;
  assertNoSecret(stdout + stderr);
  return { status, stdout, stderr };
}

/** Asserts that nothing printed contains the password in any form, a key or a token. */
function assertNoSecret(printed: string): void {
  const base64 = Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64");
  for (const hidden of [...world.secrets, base64, base64.slice(8, -8), "eyJ", ...WRONG_SECRETS]) {
    assert.ok(!printed.includes(hidden), `the output holds ${hidden.slice(0, 4)}…`);
  }
}

interface Line {
  readonly level: string;
  readonly code: string;
  readonly fix: string | undefined;
}

/** The findings in the text form; the last line counts them. */
function linesOf(stdout: string): Line[] {
  const lines = stdout.trimEnd().split("\n");
  const summary = lines.pop()!;
  const findings = lines.map((line) => {
    const match = LINE.exec(line);
    assert.ok(match !== null, `not a finding: ${line}`);
    const [, level, subject, , fix, code] = match;
    assert.ok(code! in CODES, line);
    assert.ok(code!.startsWith(`${subject}.`), line);
    return { level: level!.trim(), code: code!, fix };
  });
  const count = (level: string) => findings.filter((finding) => finding.level === level).length;
  const counted = ["ok", "skip", "warn", "FAIL"].map((level) => `${count(level)} ${level}`);
  assert.equal(summary, counted.join(", "));
  return findings;
}

async function tryCase(
  program: Program,
  { settings, args, faults = [], vaultFault, ...expected }: Case,
) {
  for (const fault of faults) world.cloud.faults.add(fault);
  world.vault.fault = vaultFault;
  const given = args?.(world) ?? ["--username", USERNAME];
  const { status, stdout, stderr } = await check(program, given, await settings?.(world));
  world.cloud.faults.clear();
  world.vault.fault = undefined;
  assert.equal(stderr, "");
  const wrong = linesOf(stdout).filter(({ level }) => level === "warn" || level === "FAIL");
  assert.deepEqual(wrong.map(({ code }) => code), expected.codes, stdout);
  for (const { fix, code } of wrong) assert.ok(fix, `${code} has a fix`);
  for (const pattern of expected.says) assert.match(stdout, pattern);
  assert.equal(status, wrong.some(({ level }) => level === "FAIL") ? 1 : 0);
  if (expected.example !== undefined) assertInDocs(expected.example, stdout);
}

const PAGE = readFileSync(`${root}docs/check.md`, "utf8");

/** The page shows what the program printed, but for names, times and numbers of this run. */
function assertInDocs(example: string, stdout: string): void {
  const block = new RegExp(
    `<!-- example: ${example} -->\\n\\n\`\`\`[a-z]*\\n(?:\\$ .*\\n)?([^]*?)\`\`\``,
  );
  const shown = block.exec(PAGE)?.[1];
  assert.ok(shown !== undefined, `docs/check.md has no example of ${example}`);
  assert.equal(alike(shown), alike(stdout));
}

function alike(text: string): string {
  return text
    .replaceAll(world.file(""), "certs")
    .replace(
      /(?:127\.0\.0\.1|localhost|\[::\]|login\.microsoftonline\.com|graph\.microsoft\.com)(?::\d+)?/g,
      "HOST",
    )
    .replace(/\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?/g, "DATE")
    .replace(/[0-9A-F]{64}/g, "SHA256")
    .replace(/[0-9A-F]{40}/g, "SHA1")
    .replace(/\d+ days/g, "DAYS")
    .replace(/\d+ ms/g, "TIME")
    .replace(/\d+ set,/g, "COUNT set,")
    .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "UUID")
    .replace(/id=[0-9a-f]{16}/g, "id=ID")
    .trim();
}

for (const program of PROGRAMS) {
  describe(`check on ${program.name}`, () => {
    it("finds nothing wrong with a sound set-up, and sends the one message asked for", async () => {
      const before = world.cloud.inbox.list().length;
      const { status, stdout, stderr } = await check(program, ["--username", USERNAME, ...MESSAGE]);
      assert.equal(status, 0, stdout + stderr);
      assert.equal(stderr, "");
      assert.deepEqual(linesOf(stdout).map(({ level, code }) => [level, code]), [
        ["ok", "settings.ok"],
        ["ok", "certificate.ok"],
        ["ok", "ports.free"],
        ["ok", "ports.free"],
        ["ok", "ports.free"],
        ["ok", "authority.ok"],
        ["ok", "graph.ok"],
        ["ok", "clock.ok"],
        ["ok", "login.ok"],
        ["ok", "token.ok"],
        ["ok", "message.sent"],
      ]);
      const [arrived] = world.cloud.inbox.list();
      assert.equal(world.cloud.inbox.list().length, before + 1);
      assert.equal(arrived!.subject, "Test message of smtp-oauth-relay");
      assert.deepEqual([arrived!.from, arrived!.to], ["scanner@example.com", ["you@example.org"]]);
      const id = /id=([0-9a-f]{16})/.exec(stdout)?.[1];
      assert.ok(id !== undefined, "the id of the sent message is printed");
    });

    it("prints the same as JSON for scripts: format 1, as docs/check.md describes it", async () => {
      const settings = {
        TLS_KEY_FILEPATH: world.file("other-key.pem"),
        RELAY_PASSWORD: "",
      };
      const args = ["--username", USERNAME, "--password-file", world.file("password"), ...MESSAGE];
      const json = await check(program, ["--json", ...args], settings);
      const text = await check(program, args, settings);
      assert.deepEqual([json.status, json.stderr], [1, ""]);
      const report = JSON.parse(json.stdout) as Record<string, unknown>;
      assert.deepEqual(Object.keys(report), ["format", "result", "findings", "sent"]);
      assert.deepEqual([report["format"], report["result"]], [1, "fail"]);
      const findings = report["findings"] as Record<string, string | null>[];
      for (const finding of findings) {
        assert.deepEqual(Object.keys(finding), ["level", "subject", "code", "what", "fix"]);
        assert.ok(finding["code"]!.startsWith(`${finding["subject"]}.`));
        assert.equal(typeof finding["what"], "string");
        const well = ["ok", "skip"].includes(finding["level"]!);
        assert.equal(finding["fix"] === null, well);
      }
      const shown = linesOf(text.stdout).map(({ level, code }) => [level.toLowerCase(), code]);
      assert.deepEqual(findings.map(({ level, code }) => [level, code]), shown);
      const sent = findings.find(({ code }) => code === "message.sent")!;
      const id = /id=([0-9a-f]{16})/.exec(sent["what"]!)?.[1];
      assert.deepEqual(report["sent"], [id]);
    });

    it("shows no secret when the Azure SDK logs everything", async () => {
      const settings = {
        ...world.vault.environment("good"),
        AZURE_AUTHORITY_HOST: world.sound["AZURE_AUTHORITY_HOST"]!,
        AZURE_TABLES_URL: world.table("users"),
        AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
        AZURE_LOG_LEVEL: "verbose",
      };
      const args = ["--json", "--username", "scanner@lookup", ...MESSAGE];
      const { status, stdout, stderr } = await check(program, args, settings);
      assert.equal(status, 0, stdout);
      assert.match(stderr, /azure:/);
      assert.equal(JSON.parse(stdout).result, "ok");
    });

    it("recognizes its own relay on the ports, and does not disturb it", async () => {
      const relay = await serve(program, { ...world.sound, SMTPS_LISTEN: "127.0.0.1:0" });
      const settings = {
        SMTP_LISTEN: `127.0.0.1:${relay.smtp}`,
        SMTPS_LISTEN: `127.0.0.1:${relay.smtps}`,
        HTTP_LISTEN: `127.0.0.1:${relay.http}`,
      };
      const { status, stdout } = await check(program, [], settings);
      assert.equal(status, 0, stdout);
      const ports = linesOf(stdout).filter(({ code }) => code.startsWith("ports."));
      assert.deepEqual(ports.map(({ code }) => code), [
        "ports.relay",
        "ports.relay",
        "ports.relay",
      ]);
      // The relay listens, but not there: another program has the port.
      const other = await check(program, [], {
        ...settings,
        SMTP_LISTEN: `127.0.0.1:${world.taken}`,
      });
      assert.match(other.stdout, /FAIL ports: SMTP_LISTEN .* in use by another program/);
      const log = relay.running.stderr;
      assert.equal(await relay.running.stop(), 0);
      assert.ok(!log.includes("Connection"), "no connection was made to it");
    });

    it("recognizes it outside the loopback too, where /readyz shows no addresses", async () => {
      const HTTP_PASSWORD = "a password of the pages";
      const environment = { ...world.sound, HTTP_LISTEN: "0.0.0.0:0", HTTP_PASSWORD };
      const relay = await serve(program, { ...environment, SMTPS_LISTEN: "127.0.0.1:0" });
      const settings = {
        SMTP_LISTEN: `127.0.0.1:${relay.smtp}`,
        SMTPS_LISTEN: `127.0.0.1:${relay.smtps}`,
        HTTP_LISTEN: `0.0.0.0:${relay.http}`,
      };
      const stranger = await fetch(`http://127.0.0.1:${relay.http}/readyz`);
      assert.deepEqual((await stranger.json()).parts.smtp, { ready: true });
      const { stdout } = await check(program, [], { ...settings, HTTP_PASSWORD });
      const ports = linesOf(stdout).filter(({ code }) => code.startsWith("ports."));
      const { length } = Object.keys(settings);
      assert.deepEqual(ports.map(({ code }) => code), Array(length).fill("ports.relay"));
      const health = run(program, ["healthcheck"], settings);
      assert.equal(await health.exited, 0, health.stderr);
      assert.equal(await relay.running.stop(), 0);
    });

    it("explains each exit status in its --help", async () => {
      const { stdout } = await check(program, ["--help"]);
      assert.match(stdout, /Exit status: 0 .*, 1 .*, 2 if the command line is wrong\./);
    });

    it("reads the password from standard input: --password-file -", async () => {
      const [command, ...before] = program.command;
      const args = [...before, "check", "--username", USERNAME, "--password-file", "-"];
      const child = spawn(command!, args, {
        cwd: root,
        env: {
          PATH: process.env["PATH"],
          HOME: process.env["HOME"],
          DENO_NO_UPDATE_CHECK: "1",
          ...world.sound,
          RELAY_PASSWORD: "",
        },
      });
      const running = new Running(child);
      child.stdin.end(`${SECRET}\n`);
      assert.equal(await running.exited, 0, running.stdout + running.stderr);
      assert.match(running.stdout, /^ok {3}login: .*\[login\.ok\]$/m);
      assertNoSecret(running.stdout + running.stderr);
    });

    it(
      "shows a terminal colours, its width, and what failed once more",
      { skip: NO_SCRIPT },
      async () => {
        const onTerminal = async (environment: Record<string, string>) => {
          const command = [...program.command, "check"].map((word) => `'${word}'`).join(" ");
          const child = spawn("script", ["-qec", `stty cols 60; ${command}`, "/dev/null"], {
            cwd: root,
            env: {
              PATH: process.env["PATH"],
              HOME: process.env["HOME"],
              SHELL: "/bin/sh",
              TERM: "xterm",
              DENO_NO_UPDATE_CHECK: "1",
              ...world.sound,
              SMTP_LISTEN: `127.0.0.1:${world.taken}`,
              ...environment,
            },
          });
          const running = new Running(child);
          await running.exited;
          return running.stdout.replaceAll("\r", "");
        };
        const coloured = await onTerminal({});
        assert.ok(coloured.includes("\x1b[1;31mFAIL\x1b[0m ports: "), coloured);
        const plain = await onTerminal({ NO_COLOR: "1" });
        assert.ok(!plain.includes("\x1b["), plain);
        const lines = plain.split("\n");
        const narrow = lines.filter((line) => line.trim().includes(" "));
        assert.ok(narrow.length > 10 && narrow.every((line) => line.length <= 60), plain);
        const [, again = ""] = plain.split("\nWhat failed:\n");
        assert.match(again, /^FAIL ports: SMTP_LISTEN [^]*\n\n\d+ ok, 1 skip, 0 warn, 1 FAIL\n$/);
      },
    );

    const mistakes: readonly [args: string[], line: RegExp][] = [
      [["--from", "a@example.com", "--to", "b@example.com"], /--from needs --username/],
      [["--password-file", "x"], /--password-file needs --username/],
      [["--username", "x", "--from", "a@example.com"], /--from needs --to/],
      [["--username", "x", "--to", "a@example.com"], /--to needs --from/],
      [
        ["--username", "x", "--from", "a b", "--to", "c@d.example"],
        /--from "a b" must be an e-mail/,
      ],
      [["--password", "x"], /unknown option '--password'/],
      [["extra"], /too many arguments/],
    ];
    it("refuses options that exclude each other: one line, and status 2", async () => {
      for (const [args, line] of startable(program, mistakes)) {
        const { status, stdout, stderr } = await check(program, args);
        assert.deepEqual([status, stdout], [2, ""], stderr);
        assert.match(stderr, line);
        assert.equal(stderr.trimEnd().split("\n").length, 1, stderr);
      }
      const bare = await check(program, ["--username", USERNAME], { RELAY_PASSWORD: "" });
      assert.equal(bare.status, 2);
      assert.match(bare.stderr, /--username needs --password-file or the variable RELAY_PASSWORD/);
      const file = ["--username", USERNAME, "--password-file", world.file("password")];
      const both = await check(program, file);
      assert.deepEqual([both.status, both.stdout], [2, ""]);
      assert.match(both.stderr, /--password-file and RELAY_PASSWORD are both given: leave one/);
    });

    // A process of Deno costs four times as much as one of the executable.
    const all = THOROUGH || program.name !== "Deno";
    for (const one of CASES.filter(({ everywhere }) => all || everywhere)) {
      it(`names ${one.name}`, () => tryCase(program, one));
    }
  });
}
