// LOOKUP_FILE with the program as its users run it: the `lookup` command on a file, several at once, and a
// relay whose entries are in a file alone.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import {
  CLIENT,
  PROGRAMS,
  type Relay,
  root,
  run,
  Running,
  SECRET,
  serve,
  startable,
  startableIt,
  TENANT,
  USERNAME,
} from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const IDS = [`tenant_id=${TENANT}`, `client_id=${CLIENT}`];
const ENTRY = { tenant_id: TENANT, client_id: CLIENT };
const DEVICE = [...IDS, "credential=certificate", "from_email=scanner@example.com"];
const HASH = /\$(?:scrypt|sha256)\$/;

for (const program of PROGRAMS) {
  describe(`the lookup command on a file, with ${program.name}`, () => {
    const itStarts = startableIt(program);
    let directory: string;
    let path: string;
    let output = "";
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "lookup-"));
      path = join(directory, "lookup.json");
    });
    afterEach(() => rmSync(directory, { recursive: true }));

    const environment = () => ({ LOOKUP_FILE: path });
    const lookup = async (args: readonly string[], more: Record<string, string> = {}) => {
      const running = run(program, ["lookup", ...args], { ...environment(), ...more });
      const status = await running.exited;
      output += running.stdout + running.stderr;
      return { status, stdout: running.stdout, stderr: running.stderr };
    };
    const content = () => readFileSync(path, "utf8");
    const entries = () => JSON.parse(content()) as Record<string, Record<string, unknown>>;

    itStarts("takes its settings from a service's unit with --service", async () => {
      await lookup(["set", "scanner", ...IDS]);
      const unit = join(directory, "relay.service");
      writeFileSync(join(directory, "environment"), "LOOKUP_FILE=lookup.json\n");
      writeFileSync(
        unit,
        `[Service]\nExecStart=/bin/true serve\nWorkingDirectory=${directory}\n` +
          `EnvironmentFile=${directory}/environment\n`,
      );
      const { status, stdout, stderr } = await lookup(["list", "--service", unit], {
        LOOKUP_FILE: "/none",
      });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^scanner /m);
      const both = await lookup(["list", "--service", unit, "--env-file", "x"]);
      assert.deepEqual([both.status, both.stdout], [2, ""]);
      assert.match(both.stderr, /leave --env-file out/);
    });

    itStarts("makes the file, and makes, shows, changes and deletes entries", async () => {
      const none = await lookup(["list"]);
      assert.deepEqual([none.status, none.stdout], [1, ""]);
      assert.match(
        none.stderr,
        /LOOKUP_FILE ".*": there is no such file; lookup set creates it\n$/,
      );
      const made = await lookup(["set", "b", ...IDS, "from_email=b@example.com"]);
      assert.deepEqual([made.status, made.stdout, made.stderr], [0, 'Entry "b" created: ok\n', ""]);
      if (process.platform !== "win32") assert.equal(statSync(path).mode & 0o777, 0o600);
      await lookup(["set", "a", ...IDS]);
      assert.equal((await lookup(["set", "b", "disabled=true", "from_email="])).status, 0);
      assert.deepEqual(entries(), { b: { ...ENTRY, disabled: true }, a: ENTRY });
      const { stdout } = await lookup(["list"]);
      assert.match(stdout, /^id .*state\nb .* disabled\na .* ok\n$/s);
      assert.equal((await lookup(["delete", "b", "--yes"])).stdout, 'Entry "b" deleted\n');
      const gone = await lookup(["get", "b"]);
      assert.deepEqual([gone.status, gone.stderr], [
        1,
        'smtp-oauth-relay: there is no entry "b"\n',
      ]);
      assert.deepEqual(readdirSync(directory).sort(), ["lookup.json", "lookup.json.lock"]);
    });

    itStarts("keeps order, style, mode and all that it does not know, through a link", async () => {
      const real = join(directory, "real.json");
      const text =
        `\ufeff{\r\n\t"$schema": "lookup.schema.json",\r\n\t"9": { "floor":  [1, 2] },\r\n` +
        `\t"1": {\r\n\t\t"tenant_id": "${TENANT}",\r\n\t\t"client_id": "${CLIENT}"\r\n\t}\r\n}\r\n`;
      writeFileSync(real, text);
      chmodSync(real, 0o640);
      symlinkSync("real.json", path);
      // What a killed program has left.
      writeFileSync(`${real}.new`, "{");
      assert.equal((await lookup(["set", "1", "from_name=Müller", "disabled=true"])).status, 0);
      const end = `"${CLIENT}"`;
      const added = `${end},\r\n\t\t"from_name": "Müller",\r\n\t\t"disabled": true`;
      assert.equal(readFileSync(real, "utf8"), text.replace(end, added));
      assert(lstatSync(path).isSymbolicLink());
      if (process.platform !== "win32") assert.equal(statSync(real).mode & 0o777, 0o640);
      assert(!existsSync(`${real}.new`));
    });

    it("does not follow a link in the place of its lock: its directory may be another user's", {
      skip: process.platform === "win32",
    }, async () => {
      for (const target of ["made", "real"]) {
        writeFileSync(join(directory, "real"), "");
        symlinkSync(target, `${path}.lock`);
        const { status, stderr } = await lookup(["set", "a", ...IDS]);
        assert.equal(status, 1);
        assert.match(stderr, /lookup\.json\.lock is not a regular file: remove it\n$/);
        assert.deepEqual(readdirSync(directory).sort(), ["lookup.json.lock", "real"]);
        rmSync(`${path}.lock`);
      }
    });

    itStarts("loses nothing of many changes at once", async () => {
      const count = 6;
      const changes = Array.from({ length: count }, (_, i) => [
        lookup(["set", `device${i}`, ...IDS]),
        lookup(["set", "shared", ...IDS, [`from_name=x`, `description=y`][i % 2]!]),
      ]).flat();
      for (const { status, stderr } of await Promise.all(changes)) assert.equal(status, 0, stderr);
      const all = entries();
      assert.deepEqual(Object.keys(all).sort(), [
        ...Array.from({ length: count }, (_, i) => `device${i}`),
        "shared",
      ]);
      assert.deepEqual(all["shared"], { ...ENTRY, from_name: "x", description: "y" });
    });

    itStarts("changes nothing in a file with a mistake, and says where it is", async () => {
      const text = '{\n  "a": {},\n  "a": {}\n}';
      writeFileSync(path, text);
      for (const args of [["list"], ["set", "b", ...IDS], ["delete", "a", "--yes"]]) {
        const { status, stdout, stderr } = await lookup(args);
        assert.deepEqual([status, stdout], [1, ""]);
        assert.match(stderr, /: line 3, column 3: the id "a" is there twice: remove one\n$/);
      }
      assert.equal(content(), text);
    });

    itStarts("makes a password, prints it once and alone, and keeps its hash", async () => {
      await lookup(["set", "scanner", ...DEVICE.slice(0, 2)]);
      const refused = await lookup(["set-password", "scanner"]);
      assert.deepEqual([refused.status, refused.stdout], [1, ""]);
      assert.match(
        refused.stderr,
        /: smtp-oauth-relay lookup set scanner credential=certificate from_email=ADDRESS\n$/,
      );
      assert.equal("password_hash" in entries()["scanner"]!, false);
      await lookup(["set", "scanner", ...DEVICE.slice(2)]);
      const made = await lookup(["set-password", "scanner"]);
      assert.equal(made.status, 0, made.stderr);
      assert.match(made.stdout, /^[2-9A-Za-z]{24}\n$/);
      assert.match(entries()["scanner"]!["password_hash"] as string, /^\$sha256\$/);
      const shown = await lookup(["get", "scanner", "--json"]);
      const { password_hash, usable } = JSON.parse(shown.stdout);
      assert.deepEqual([password_hash, usable], ["set (sha256)", true]);
      assert.match((await lookup(["list"])).stdout, /set \(sha256\) .* ok\n$/);
      assert(!content().includes(made.stdout.trim()));

      const json = await lookup(["set-password", "scanner", "--length", "20", "--json"]);
      const { password, change } = JSON.parse(json.stdout);
      assert.deepEqual([password.length, change], [20, "changed"]);
      // 20 characters have fewer than 128 bits of chance.
      assert.match(entries()["scanner"]!["password_hash"] as string, /^\$scrypt\$ln=14,r=8,p=1\$/);
    });

    itStarts("says with the password what still keeps the device from its login", async () => {
      // What looks like a made password is never looked up.
      const id = "abcDEFghi123456789012345";
      await lookup(["set", id, ...DEVICE, "disabled=true"]);
      const disabled = await lookup(["set-password", id]);
      assert.match(disabled.stderr, /: entry "abcDEFghi123456789012345": disabled\n$/);
      await lookup(["set", id, "disabled=false"]);
      const { stdout, stderr } = await lookup(["set-password", id]);
      assert.match(stdout, /^\w{24}\n$/);
      assert.match(stderr, /: ok; its username is id@lookup alone: the id is too long .*\n$/);
    });

    itStarts("keeps two passwords valid for a change, and ends the first", async () => {
      await lookup(["set", "scanner", ...DEVICE]);
      const early = await lookup(["set-password", "scanner", "--next"]);
      assert.deepEqual([early.status, early.stdout], [1, ""]);
      assert.match(early.stderr, /has no password that could stay valid: leave out --next\n$/);
      await lookup(["set-password", "scanner"]);
      const { password_hash: first } = entries()["scanner"]!;
      const next = await lookup(["set-password", "scanner", "--next"]);
      assert.match(
        next.stderr,
        /end it with: smtp-oauth-relay lookup set-password --promote scanner\n/,
      );
      const { password_hash: kept, password_hash_next: second } = entries()["scanner"]!;
      assert.equal(kept, first);
      assert.equal((await lookup(["set-password", "--promote", "scanner"])).status, 0);
      assert.deepEqual(Object.keys(entries()["scanner"]!).at(-1), "password_hash");
      assert.equal(entries()["scanner"]!["password_hash"], second);
    });

    itStarts("takes a chosen password from standard input", async () => {
      await lookup(["set", "scanner", ...DEVICE]);
      const give = async (text: string) => {
        const [command, ...before] = program.command;
        const child = spawn(command!, [...before, "lookup", "set-password", "scanner", "--stdin"], {
          cwd: root,
          env: {
            PATH: process.env["PATH"],
            HOME: process.env["HOME"],
            DENO_NO_UPDATE_CHECK: "1",
            ...environment(),
          },
        });
        const running = new Running(child);
        child.stdin.end(text);
        const status = await running.exited;
        output += running.stdout + running.stderr;
        assert(!(running.stdout + running.stderr).includes("Geheim"));
        return [status, running.stdout, running.stderr] as const;
      };
      const wrong: readonly [text: string, problem: RegExp][] = [
        ["\n", /is empty\n$/],
        ["Geheim1\n", /has fewer than 8 characters\n$/],
        ["Geheimes1\nGeheimes2\n", /has more than one line\n$/],
        ["Geheimes\0Wort\n", /has control characters\n$/],
      ];
      for (const [text, problem] of wrong) {
        const [status, stdout, stderr] = await give(text);
        assert.deepEqual([status, stdout], [2, ""]);
        assert.match(stderr, problem);
      }
      const [status, stdout] = await give("Geheimes Wörtchen\r\n");
      assert.deepEqual([status, stdout], [0, 'Entry "scanner" changed\n']);
      assert.match(entries()["scanner"]!["password_hash"] as string, /^\$scrypt\$/);
    });

    const WRONG: readonly (readonly [args: readonly string[], status: number, line: RegExp])[] = [
      [["set-password"], 2, /lookup set-password needs an ID$/m],
      [["set-pasword", "x"], 2, /did you mean set-password\?$/m],
      [["set-password", "x"], 1, /there is no entry "x"$/m],
      [["set-password", "x", "--length", "19"], 2, /--length must be a number from 20 to 128$/m],
      [["set-password", "x", "--length=24.5"], 2, /--length must be a number from 20 to 128$/m],
      [["set-password", "x", "--stdin", "--length=24"], 2, /exclude each other$/m],
      [["set-password", "x", "--promote", "--next"], 2, /--promote takes no other option$/m],
      [["list", "--next"], 2, /lookup list has no option --next: it is for set-password$/m],
      [["set", "x", ...IDS, "password_hash=hunter2"], 2, /password_hash must be \$scrypt\$ln=14,/],
      [["set", "$schema", ...IDS], 1, /\$schema can be no id there$/m],
    ];
    itStarts("ends with one line for a command line that is wrong", async () => {
      writeFileSync(path, "{}");
      for (const [args, status, line] of startable(program, WRONG)) {
        const result = await lookup(args);
        assert.deepEqual([result.status, result.stdout], [status, ""], result.stderr);
        assert.match(result.stderr, /^smtp-oauth-relay: .*\n$/);
        assert.match(result.stderr, line);
      }
    });

    itStarts(
      "writes to the file and not to the table where both are set, and says so",
      async () => {
        const both = { AZURE_TABLES_URL: "https://account.table.core.windows.net/users" };
        const made = await lookup(["set", "a", ...IDS], both);
        assert.deepEqual([made.status, made.stdout], [0, 'Entry "a" created: ok\n']);
        const { stderr } = await lookup(["list"], both);
        assert.match(
          stderr,
          /these entries are in LOOKUP_FILE; logins look in the table for others\n$/,
        );
      },
    );

    it("has shown no hash and no given password", () => {
      const shown = output.replaceAll("$scrypt$ln=14,r=8,p=1$SALT$HASH or $sha256$SALT$HASH", "");
      assert(shown.length > 100);
      assert.doesNotMatch(shown, HASH);
      assert(!shown.includes("hunter2"));
    });
  });

  describe(`a relay with LOOKUP_FILE, on ${program.name}`, () => {
    let cloud: CloudServer;
    let directory: string;
    let path: string;
    before(async () => {
      cloud = await startCloud();
    });
    after(() => cloud.close());
    beforeEach(() => {
      directory = mkdtempSync(join(tmpdir(), "lookup-"));
      path = join(directory, "lookup.json");
    });
    afterEach(() => rmSync(directory, { recursive: true }));

    const write = (content: object | string) => {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      writeFileSync(`${path}.new`, text, { mode: 0o600 });
      renameSync(`${path}.new`, path);
    };
    const environment = () => ({
      TLS_SOURCE: "off",
      REQUIRE_TLS: "false",
      LOG_LEVEL: "INFO",
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
      AZURE_TABLES_FORCE_USAGE: "true",
      LOOKUP_FILE: path,
    });
    const login = async ({ smtp }: Relay, username: string) => {
      const client = new SmtpClient(smtp);
      const reply = await client.login(username, SECRET);
      client.destroy();
      return reply;
    };
    const hangup = async ({ running }: Relay, answer: RegExp) => {
      const before = running.stderr.length;
      process.kill(running.child.pid!, "SIGHUP");
      await running.until("stderr", new RegExp(`(?<=^[^]{${before}}[^]*)${answer.source}`));
    };
    const readyz = async ({ http }: Relay) => {
      const response = await fetch(`http://127.0.0.1:${http}/readyz`);
      const { parts } = await response.json() as { parts: Record<string, Record<string, unknown>> };
      return { ...parts["lookup"], status: response.status } as Record<string, unknown>;
    };

    it("sends by it alone, reads it again on SIGHUP, and keeps its entries over a bad one", async () => {
      write({ scanner: { ...ENTRY, from_email: "scanner@example.com" }, odd: { tenant_id: "x" } });
      const relay = await serve(program, environment());
      assert.match(relay.running.stderr, /INFO Lookup file loaded entries=2\n/);
      assert.match(
        relay.running.stderr,
        /WARNING Lookup file has entries with mistakes.* entries=1 detail=.*odd.*tenant_id must be/,
      );
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login("scanner@lookup", SECRET), /^235 2\.7\.0 /);
      assert.match(await client.send("root@localhost", "bob@example.org"), /^250 2\.0\.0 /);
      const [message] = cloud.inbox.list();
      assert.equal(cloud.inbox.get(message!.id)!.mailbox, "scanner@example.com");
      assert.match(await login(relay, USERNAME), /^235 /);
      assert.match(await login(relay, "other@lookup"), /^535 5\.7\.8 /);

      if (process.platform !== "win32") {
        write('{"scanner": {');
        await hangup(
          relay,
          /WARNING Lookup file rejected, keeping the entries from before reason=/,
        );
        assert.match(await login(relay, "scanner@lookup"), /^235 /);
        const { status, usable, entries, detail } = await readyz(relay);
        assert.deepEqual([status, usable, entries], [200, false, 2]);
        assert.match(String(detail), /the file ends too early/);

        write({ scanner: { ...ENTRY, disabled: true }, other: ENTRY });
        await hangup(relay, /WARNING Lookup file loaded again entries=2\n/);
        assert.match(await login(relay, "other@lookup"), /^235 /);
        assert.match(await login(relay, "scanner@lookup"), /^535 5\.7\.8 /);
        // The session that is open has lost its right, too.
        assert.match(await client.send("root@localhost", "bob@example.org"), /^550 5\.7\.1 /);
        assert.equal((await readyz(relay)).usable, true);
      }
      client.destroy();
      const page = await fetch(`http://127.0.0.1:${relay.http}/metrics`);
      const metrics = await page.text();
      assert.match(metrics, /^smtp_oauth_relay_lookup_file_entries 2$/m);
      assert.equal(await relay.running.stop(), 0);
    });

    it("does not start with a file that it cannot use, and says what is wrong and where", async () => {
      const cases: readonly [content: string | undefined, line: RegExp][] = [
        [undefined, /: there is no such file or directory \(ENOENT\)\. Create it with: /],
        [
          '{\n "a": {},\n "a": {}\n}',
          /: line 3, column 2: the id "a" is there twice: remove one\n$/,
        ],
        [
          '{"a": {"tenant_id": "x"',
          /: line 1, column 24: the file ends too early: is it complete\?\n$/,
        ],
      ];
      for (const [content, line] of cases) {
        if (content !== undefined) write(content);
        const running = run(program, ["serve"], { ...environment(), HTTP_LISTEN: "off" });
        assert.equal(await running.exited, 78);
        const last = running.stderr.split("\n").at(-2)!;
        assert.match(`${last}\n`, /LOOKUP_FILE "/);
        assert.match(`${last}\n`, line);
      }
    });
  });
}
