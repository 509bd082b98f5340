// Attacks by the log: a client that causes lines without end, and a stopped reader of standard error.
// An honest client is served meanwhile, `/healthz` answers, and lost lines are counted.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { type Program, PROGRAMS, type Relay, run, SECRET, serve, TENANT } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

/** Milliseconds within which an honest client gets its 250, whatever others do. */
const SERVED = 2_000;
/** Milliseconds of an attack. */
const ATTACK = 5_000;
/** Refused recipients in one transaction. */
const RECIPIENTS = 400;

const account = (n: number) => `${TENANT}@${String(n).repeat(8)}-1111-1111-1111-111111111111`;
const HONEST = account(9);

/** The relay's quotation of it is six times as long in the log. */
const RECIPIENT = Buffer.from(`RCPT TO:<${"\u200b".repeat(160)}>\r\n`).toString("latin1");

/**
 * Logs in, then has each of its recipients refused, again and again.
 *
 * @param n which attacker: each has its own address and account
 * @param most the number of times
 * @returns a function that stops it and returns how many recipients have been refused
 */
async function attack(port: number, n: number, most = Infinity): Promise<() => number> {
  const username = account(n);
  const socket = connect({ port, host: "127.0.0.1", localAddress: `127.0.1.${n}` });
  socket.on("error", () => {});
  let open = 0;
  let rounds = 0;
  const login = Buffer.from(`\0${username}\0${SECRET}`).toString("base64");
  const round = Buffer.from(
    `MAIL FROM:<a@example.com>\r\n${RECIPIENT.repeat(RECIPIENTS)}RSET\r\n`,
    "latin1",
  );
  const attacking = Promise.withResolvers<void>();
  let text = "";
  socket.on("data", (octets: Uint8Array) => {
    if (open === 0) {
      text += Buffer.from(octets).toString("latin1");
      if (!/^235 /m.test(text)) return;
      attacking.resolve();
    } else open -= octets.reduce((lines, octet) => lines + Number(octet === 0x0a), 0);
    if (open > 0 || rounds === most) return;
    rounds++;
    open = RECIPIENTS + 2;
    socket.write(round);
  });
  socket.write(`EHLO attacker.example\r\nAUTH PLAIN ${login}\r\n`);
  await attacking.promise;
  return () => {
    socket.destroy();
    return rounds * RECIPIENTS;
  };
}

/** An honest client, message after message. @returns the longest time that one took, milliseconds */
async function honest({ smtp, http }: Relay, milliseconds: number): Promise<number> {
  let longest = 0;
  const end = performance.now() + milliseconds;
  while (performance.now() < end) {
    const begun = performance.now();
    const client = new SmtpClient(smtp);
    assert.match(await client.login(HONEST, SECRET), /^235/);
    assert.match(await client.send("a@example.com", "b@example.org"), /^250 2\.0\.0/);
    client.destroy();
    const health = await fetch(`http://127.0.0.1:${http}/healthz`);
    assert.equal(await health.text(), "ok\n");
    longest = Math.max(longest, performance.now() - begun);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return longest;
}

async function counter({ http }: Relay, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
  return Number(new RegExp(`^smtp_oauth_relay_${name} (\\d+)$`, "m").exec(text)![1]);
}

const PLAIN = { TLS_SOURCE: "off", REQUIRE_TLS: "false" };

for (const program of PROGRAMS) {
  describe(`the log on ${program.name}`, () => {
    let cloud: CloudServer;
    let folder: string;
    before(async () => {
      cloud = await startCloud();
      folder = mkdtempSync(join(tmpdir(), "relay-log-"));
    });
    after(async () => {
      await cloud.close();
      rmSync(folder, { recursive: true });
    });

    const start = (program: Program, environment: Record<string, string> = {}) =>
      serve(program, {
        ...PLAIN,
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        ...environment,
      });

    it("has about a hundred lines a minute for one account that is refused without end, and counts the rest", async () => {
      const relay = await start(program);
      const end = await attack(relay.smtp, 1);
      assert.ok(await honest(relay, ATTACK) < SERVED);
      const refused = end();
      assert.ok(refused > 5_000, `${refused} recipients refused`);
      assert.equal(await relay.running.stop(), 0);
      const { stderr } = relay.running;
      const lines = stderr.split("\n").filter((line) => line.includes(" Refused by the relay "));
      // The minute of the limits may end within the attack.
      assert.ok(lines.length >= 300 && lines.length <= 600, `${lines.length} lines`);
      const counts = [...stderr.matchAll(
        /WARNING … and (\d+) more lines like this from this account in the last minute .*\n/g,
      )];
      const counted = counts.reduce((sum, [, lines]) => sum + Number(lines), 0);
      assert.ok(lines.length + counted >= refused - RECIPIENTS, `${lines.length} and ${counted}`);
      assert.match(counts[0]![0], / app=1{8}-.* like="Refused by the relay" lines=\d+$/m);
    });

    if (process.platform !== "win32") {
      /** The program, with a reader of its standard error that can be paused. */
      const readBy = (name: string): { program: Program; signal: (s: NodeJS.Signals) => void } => {
        const pipe = join(folder, name);
        const script = 'mkfifo "$0"; cat "$0" >&2 & echo $! >"$0.pid"; exec "$@" 2>"$0"';
        return {
          program: { ...program, command: ["/bin/sh", "-c", script, pipe, ...program.command] },
          signal: (signal) => process.kill(Number(readFileSync(`${pipe}.pid`, "utf8")), signal),
        };
      };

      it("delays no client when it is not read, and reports lost lines when it is read again", async () => {
        const reader = readBy("stuck");
        const relay = await start(reader.program, { LOG_LEVEL: "DEBUG" });
        reader.signal("SIGSTOP");
        try {
          const ends = await Promise.all(
            [1, 2, 3, 4, 5, 6].map((n) => attack(relay.smtp, n, n === 1 ? Infinity : 3)),
          );
          const longest = await honest(relay, ATTACK);
          assert.ok(longest < SERVED, `${longest} ms`);
          for (const end of ends) end();
          assert.ok(await counter(relay, "log_lines_dropped_total") > 0);
          assert.ok(await counter(relay, "log_lines_suppressed_total") > 0);
        } finally {
          reader.signal("SIGCONT");
        }
        await relay.running.until(
          "stderr",
          / WARNING \d+ log lines were dropped: standard error was not read fast enough\n/,
        );
        assert.equal(await relay.running.stop(), 0);
        assert.match(relay.running.stderr, / WARNING Relay stopped\n$/);
        // No line was cut.
        for (const line of relay.running.stderr.trimEnd().split("\n")) {
          assert.match(line, /^\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARNING) /);
        }
      });

      it("does not hold up a stop when it is not read", async () => {
        const reader = readBy("stopped");
        const relay = await start(reader.program);
        reader.signal("SIGSTOP");
        const ends = await Promise.all([1, 2].map((n) => attack(relay.smtp, n)));
        assert.ok(await honest(relay, 500) < SERVED);
        for (const end of ends) end();
        const stopped = relay.running.stop();
        // The reader is paused, so its input ends only when it continues.
        const ended = new Promise<number | null>((resolve) =>
          relay.running.child.once("exit", (code) => resolve(code))
        );
        assert.equal(await ended, 0);
        reader.signal("SIGCONT");
        await stopped;
      });
    }

    it("is written completely before a failed start exits", async () => {
      const relay = await start(program);
      const failing = run(program, ["serve"], {
        ...PLAIN,
        SMTP_LISTEN: `127.0.0.1:${relay.smtp}`,
        HTTP_LISTEN: "off",
      });
      assert.equal(await failing.exited, 69);
      const lines = failing.stderr.trimEnd().split("\n");
      assert.match(lines[0]!, / WARNING REQUIRE_TLS is false/);
      assert.match(lines.at(-1)!, /^smtp-oauth-relay: SMTP_LISTEN .*in use/);
      assert.equal(await relay.running.stop(), 0);
    });
  });
}
