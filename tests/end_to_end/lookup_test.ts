// The lookup table with the program as its users run it, against Azurite: the `lookup` command, and a
// relay that reads the table as an identity, over https.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { createAuthority } from "../support/authority.ts";
import {
  ACCOUNT_KEY,
  admin,
  type Azurite,
  CONNECTION_STRING,
  startAzurite,
} from "../support/azurite.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import {
  CLIENT,
  PROGRAMS,
  root,
  run,
  Running,
  sandbox,
  SECRET,
  serve,
  startable,
  startableIt,
  TENANT,
  USERNAME,
} from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";
import { NO_SCRIPT } from "./terminal.ts";

const IDS = [`tenant_id=${TENANT}`, `client_id=${CLIENT}`];
const IDENTITY_SECRET = "1dentity-secret-that-must-not-show";

for (const program of PROGRAMS) {
  describe(`the lookup command, on ${program.name}`, () => {
    const itStarts = startableIt(program);
    let azurite: Azurite;
    let stage: ReturnType<typeof admin>;
    let output = "";
    before(async () => {
      azurite = await startAzurite();
      stage = admin(azurite, "users");
      await stage.client.createTable();
    });
    after(async () => {
      stage.close();
      await azurite.stop();
    });

    const lookup = async (args: readonly string[], environment: Record<string, string> = {}) => {
      const running = run(program, ["lookup", ...args], {
        AZURE_TABLES_URL: azurite.url("users"),
        AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
        ...environment,
      });
      const status = await running.exited;
      output += running.stdout + running.stderr;
      return { status, stdout: running.stdout, stderr: running.stderr };
    };

    itStarts("makes, shows, changes and deletes entries", async () => {
      const list = await lookup(["list"]);
      assert.deepEqual([list.status, list.stdout, list.stderr], [
        0,
        "The table has no entries.\n",
        "",
      ]);
      const made = await lookup(["set", "o'neil", ...IDS, "from_email=oneil@example.com"]);
      assert.deepEqual([made.status, made.stdout], [0, 'Entry "o\'neil" created: ok\n']);
      const changed = await lookup(["set", "o'neil", "disabled=TRUE", "from_email="]);
      assert.deepEqual([changed.status, changed.stdout], [
        0,
        'Entry "o\'neil" changed: disabled\n',
      ]);
      const got = await lookup(["get", "o'neil"]);
      assert.equal(
        got.stdout,
        `id         o'neil\ntenant_id  ${TENANT}\nclient_id  ${CLIENT}\ndisabled   true\n` +
          "state      disabled\n",
      );
      const json = JSON.parse((await lookup(["get", "o'neil", "--json"])).stdout);
      assert.deepEqual([json.disabled, json.usable, "problem" in json], [true, false, false]);
      const deleted = await lookup(["delete", "o'neil", "--yes"]);
      assert.deepEqual([deleted.status, deleted.stdout], [0, 'Entry "o\'neil" deleted\n']);
      const gone = await lookup(["get", "o'neil"]);
      assert.deepEqual([gone.status, gone.stderr], [
        1,
        'smtp-oauth-relay: there is no entry "o\'neil"\n',
      ]);
    });

    itStarts("shows all entries in aligned columns, with what is wrong with them", async () => {
      await stage.put("b", { tenant_id: "contoso.example", client_id: CLIENT, description: "x" });
      await stage.put("a", { tenant_id: TENANT, client_id: "x\u001b[2J\ny" });
      const { status, stdout } = await lookup(["list"]);
      assert.equal(status, 0);
      const [head = "", a = "", b = "", ...rest] = stdout.split("\n");
      assert.match(head, /^id +tenant_id +client_id +description +state$/);
      assert.match(a, /^a +11111111-\S+ +x\?\[2J\?y +client_id must be a UUID$/);
      assert.match(b, /^b +contoso\.example +22222222-\S+ +x +ok$/);
      assert.equal(a.indexOf("client_id must"), head.indexOf("state"));
      assert.deepEqual(rest, [""]);
      const json = JSON.parse((await lookup(["list", "--json"])).stdout);
      assert.deepEqual(json, [
        {
          id: "a",
          tenant_id: TENANT,
          client_id: "x\u001b[2J\ny",
          disabled: false,
          usable: false,
          problem: "client_id must be a UUID",
        },
        {
          id: "b",
          tenant_id: "contoso.example",
          client_id: CLIENT,
          description: "x",
          disabled: false,
          usable: true,
        },
      ]);
      for (const id of ["a", "b"]) await lookup(["delete", id, "--yes"]);
    });

    itStarts("gives an entry a password, and shows no hash", async () => {
      const sender = ["credential=certificate", "allowed_senders=@example.com"];
      await lookup(["set", "device", ...IDS, ...sender]);
      const made = await lookup(["set-password", "device"]);
      assert.equal(made.status, 0, made.stderr);
      assert.match(made.stdout, /^[2-9A-Za-z]{24}\n$/);
      assert.match((await lookup(["list"])).stdout, /^device .* set \(sha256\) .* ok$/m);
      const next = await lookup(["set-password", "device", "--next", "--length=20", "--json"]);
      assert.equal(JSON.parse(next.stdout).password_hash_next, "set (scrypt)");
      assert.equal((await lookup(["set-password", "device", "--promote"])).status, 0);
      const { stdout } = await lookup(["get", "device", "--json"]);
      const { password_hash, usable, ...rest } = JSON.parse(stdout);
      assert.deepEqual([password_hash, usable], ["set (scrypt)", true]);
      assert(!("password_hash_next" in rest));
      assert.doesNotMatch(output, /\$(?:sha256|scrypt)\$/);
      await lookup(["delete", "device", "--yes"]);
    });

    itStarts("writes ids as the Python relay compares them", async () => {
      const { stdout } = await lookup([
        "set",
        "short",
        "tenant_id=EREREREREREREREREREREQ",
        "client_id=IiIiIiIiIiIiIiIiIiIiIg",
        "--json",
      ]);
      const { tenant_id, client_id, change } = JSON.parse(stdout);
      assert.deepEqual([tenant_id, client_id, change], [TENANT, CLIENT, "created"]);
      await lookup(["delete", "short", "--yes"]);
    });

    itStarts("explains why a readable entry cannot be used", async () => {
      const made = await lookup([
        "set",
        "scanner",
        ...IDS,
        "from_email=a@other.org",
        "allowed_senders=@example.com",
      ]);
      const problem = "from_email is not in allowed_senders";
      assert.deepEqual([made.status, made.stdout], [0, `Entry "scanner" created: ${problem}\n`]);
      const changed = await lookup(["set", "scanner", "from_email=", "from_name=Scanner"]);
      const hint = "from_name has no effect without from_email";
      assert.equal(changed.stdout, `Entry "scanner" changed: ok; ${hint}\n`);

      // Created elsewhere: it serves no login, but it can be shown and deleted.
      await stage.put("scanner@lookup", { tenant_id: TENANT, client_id: CLIENT });
      const idProblem = 'the id may not contain "@", the USERNAME_DELIMITER';
      assert.match(
        (await lookup(["list"])).stdout,
        /^scanner@lookup .* the id may not contain "@"/m,
      );
      const json = JSON.parse((await lookup(["get", "scanner@lookup", "--json"])).stdout);
      assert.deepEqual([json.usable, json.problem], [false, idProblem]);
      const colon = await lookup(["list"], {
        USERNAME_DELIMITER: ":",
        ALLOWED_SENDERS: "@other.org",
      });
      assert.match(colon.stdout, /^scanner@lookup .* ok$/m);
      // It may serve logins by tenant and client: it can be disabled without deleting it.
      const shut = await lookup(["set", "scanner@lookup", "disabled=true"]);
      assert.deepEqual([shut.status, shut.stdout], [
        0,
        'Entry "scanner@lookup" changed: disabled\n',
      ]);
      assert.equal((await lookup(["delete", "scanner@lookup", "--yes"])).status, 0);
      const gone = await lookup(["delete", "scanner@lookup", "--yes"]);
      assert.equal(gone.status, 1);
      assert.match(gone.stderr, /there is no entry "scanner@lookup"; did you mean "scanner"\?/);

      await lookup(["set", "scanner", "from_email=a@example.com"]);
      const foreign = await lookup(["get", "scanner"], { ALLOWED_SENDERS: "@other.org" });
      assert.match(foreign.stdout, /^state +from_email is not in ALLOWED_SENDERS$/m);
      await lookup(["delete", "scanner", "--yes"]);
    });

    itStarts("lists all mistakes of a `set` together", async () => {
      const wrong = await lookup([
        "set",
        "a/b",
        "from_email=bad",
        "allowed_senders=x,y",
        "client_id=foo",
        "disabled=true",
        "disabled=false",
        "colour=red",
      ]);
      assert.equal(wrong.status, 2);
      const lines = wrong.stderr.trimEnd().split("\n");
      assert.deepEqual(
        lines.map((line) =>
          /^smtp-oauth-relay: (.*? (?:must|can|may|is|column)\b)/.exec(line)?.[1]
        ),
        [
          'ID "a/b" can',
          "from_email must",
          "allowed_senders must",
          "client_id must",
          "disabled is",
          "unknown column",
        ],
      );
    });

    itStarts("deletes nothing when it cannot ask for confirmation", async () => {
      await stage.put("kept", { tenant_id: TENANT, client_id: CLIENT });
      const { status, stdout, stderr } = await lookup(["delete", "kept"]);
      assert.deepEqual([status, stdout], [2, ""]);
      assert.match(stderr, /lookup delete asks for confirmation, .*: add --yes\n$/);
      assert.equal((await lookup(["get", "kept"])).status, 0);
      assert.equal((await lookup(["delete", "kept", "--yes"])).status, 0);
    });

    it("asks before it deletes, on a terminal", { skip: NO_SCRIPT }, async () => {
      await stage.put("old", { tenant_id: TENANT, client_id: CLIENT, from_email: "old@x.test" });
      const answerWith = async (answer: string) => {
        const command = [...program.command, "lookup", "delete", "old"];
        const quoted = command.map((word) => `'${word}'`).join(" ");
        // Standard output is for results alone: the question is not written there.
        const child = spawn("script", ["-qec", `${quoted} > /dev/null`, "/dev/null"], {
          cwd: root,
          env: {
            PATH: process.env["PATH"],
            HOME: process.env["HOME"],
            SHELL: "/bin/sh",
            DENO_NO_UPDATE_CHECK: "1",
            AZURE_TABLES_URL: azurite.url("users"),
            AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
          },
        });
        const running = new Running(child);
        await running.until("stdout", /Delete entry "old" \(from_email old@x\.test\)\? \[y\/N\] /);
        child.stdin.end(`${answer}\n`);
        return { status: await running.exited, text: running.stdout };
      };
      for (const answer of ["n", "", "yesterday"]) {
        const { status, text } = await answerWith(answer);
        assert.equal(status, 1, text);
        assert.match(text, /smtp-oauth-relay: not deleted/);
      }
      assert.equal((await lookup(["get", "old"])).status, 0);
      assert.equal((await answerWith("Y")).status, 0);
      assert.equal((await lookup(["get", "old"])).status, 1);
    });

    const WRONG: readonly (readonly [args: readonly string[], status: number, line: RegExp])[] = [
      [[], 2, /missing required argument 'ACTION'/],
      [["lst"], 2, /unknown action "lst" of lookup: did you mean list\?/],
      [["get"], 2, /lookup get needs an ID/],
      [["get", "a/b"], 2, /ID "a\/b" can be no key of a table/],
      [["set", "", ...IDS], 2, /: ID is empty$/m],
      [["get", ""], 2, /: ID is empty$/m],
      [["set", "x".repeat(2000), ...IDS], 2, /: ID "x{128}…" is over 1 KiB, which is the most/],
      [["set", "x".repeat(1020), ...IDS], 2, /: ID "x{128}…" is too long for a username$/m],
      [["set", "a@b", ...IDS], 2, /: ID "a@b" may not contain "@", the USERNAME_DELIMITER$/m],
      [
        ["set", "scanner@lookup", ...IDS],
        2,
        /the USERNAME_DELIMITER: give the id alone, "scanner"$/m,
      ],
      [["set", "x"], 2, /lookup set needs COLUMN=VALUE/],
      [["set", "x", "from_emial=a@b"], 2, /unknown column "from_emial": did you mean from_email\?/],
      [["set", "x", "colour=red"], 2, /unknown column "colour": there are tenant_id, client_id/],
      [["set", "x", "from_email"], 2, /"from_email" must be COLUMN=VALUE/],
      [["set", "x", "from_email=ann"], 2, /from_email must be one mail address/],
      [["set", "x", "client_id=secret~value"], 2, /client_id must be a UUID$/m],
      [["set", "x", "tenant_id="], 2, /tenant_id cannot be removed/],
      [["set", "x", "disabled=yes"], 2, /disabled must be true or false/],
      [["set", "x", "allowed_senders=example.com"], 2, /allowed_senders must be addresses or @dom/],
      [["list", "x"], 2, /lookup list takes no ID/],
      [["set", "x", "disabled=true"], 1, /there is no entry "x"; a new one needs tenant_id and cl/],
      [["delete", "x", "--yes"], 1, /there is no entry "x"/],
      [["delete", "x"], 2, /there is no terminal: add --yes$/m],
      [["delete", "x", "--json"], 2, /there is no terminal: add --yes$/m],
    ];
    for (const [args, status, line] of startable(program, WRONG)) {
      it(`exits with ${status} and one line for: lookup ${args.join(" ").slice(0, 60)}`, async () => {
        const result = await lookup(args);
        assert.equal(result.status, status, result.stderr);
        assert.match(result.stderr, /^smtp-oauth-relay: .*\n$/);
        assert.match(result.stderr, line);
        assert.equal(result.stdout, "");
      });
    }

    itStarts(
      "exits with 78 for a bad setting, with 1 for a table that cannot be read",
      async () => {
        const unset = await lookup(["list"], { AZURE_TABLES_URL: "" });
        assert.deepEqual([unset.status, unset.stdout], [78, ""]);
        assert.match(unset.stderr, /AZURE_TABLES_URL must be set/);
        const near = await lookup(["list"], { AZURE_TABLES_URL: "", AZURE_TABLE_URL: "https://x" });
        assert.match(
          near.stderr,
          /AZURE_TABLE_URL is not a setting: did you mean AZURE_TABLES_URL/,
        );
        const bad = await lookup(["list"], {
          AZURE_TABLES_CONNECTION_STRING: "AccountKey=hunter2",
        });
        assert.equal(bad.status, 78);
        assert(!bad.stderr.includes("hunter2"));
        const missing = await lookup(["list"], { AZURE_TABLES_URL: azurite.url("nobodys") });
        assert.equal(missing.status, 1);
        assert.match(
          missing.stderr,
          /^smtp-oauth-relay: TableNotFound: the table does not exist.*http:\/\/\S+\/nobodys\)\n$/,
        );
      },
    );

    it("shows no key", () => {
      assert(output.length > 100 && !output.includes(ACCOUNT_KEY));
    });
  });

  describe(`the sandbox's own lookup table, on ${program.name}`, () => {
    it("has an entry to try, which it prints", async () => {
      const { running, smtp, http } = await sandbox(program, {
        REQUIRE_TLS: "false",
        USERNAME_DELIMITER: ":",
      });
      assert.match(running.stdout, /scanner:lookup, from a simulated lookup table/);
      const client = new SmtpClient(smtp);
      assert.match(await client.login("scanner:lookup", SECRET), /^235 /);
      assert.match(await client.send("root@localhost", "bob@example.org"), /^250 /);
      client.destroy();
      const stranger = new SmtpClient(smtp);
      // The device is there, and has a password of its own.
      assert.match(
        await stranger.login("printer:lookup", SECRET),
        /^535 5\.7\.8 The username or the password is wrong/,
      );
      stranger.destroy();
      const answer = await fetch(`http://127.0.0.1:${http}/api/messages`);
      const [message] = await answer.json() as { from: string }[];
      assert.match(message!.from, /scanner@example\.com/);
      assert.equal(await running.stop(), 0);
    });

    it("has devices without secrets, whose passwords it prints and its page shows", async () => {
      const { running, smtp, http } = await sandbox(program, { REQUIRE_TLS: "false" });
      const printed = [
        ...running.stdout.matchAll(/^ *Device +(\S+) with the password (\S+)$/gm),
      ].map(([, username, password]) => ({ username: username!, password: password! }));
      assert.deepEqual(printed.map(({ username }) => username), [
        "printer",
        "copier@printers.example",
      ]);
      const page = await (await fetch(`http://127.0.0.1:${http}/api/connection`)).json();
      assert.deepEqual(
        page.devices.map(({ username, password }: typeof printed[number]) => ({
          username,
          password,
        })),
        printed,
      );
      for (const { username, password } of printed) {
        const client = new SmtpClient(smtp);
        assert.match(await client.login(username, password), /^235 /, username);
        assert.match(await client.send("bob@example.com", "bob@example.org"), /^250 /, username);
        client.destroy();
      }
      assert.equal(await running.stop(), 0);
    });
  });

  describe(`a relay that reads the table as an identity, on ${program.name}`, () => {
    let folder: string;
    let azurite: Azurite;
    let cloud: CloudServer;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "lookup-test-"));
      const company = await createAuthority("a company's authority");
      const service = await company.issue({ addresses: ["127.0.0.1"] });
      const file = (name: string, text: string) => {
        writeFileSync(join(folder, name), text);
        return join(folder, name);
      };
      file("ca.pem", company.certificate);
      const tls = {
        certificate: file("cert.pem", service.certificate),
        key: file("key.pem", service.privateKey),
      };
      [azurite, cloud] = await Promise.all([startAzurite({ tls }), startCloud()]);
      const stage = admin(azurite, "users", company.certificate);
      await stage.client.createTable();
      await stage.put("scanner", {
        tenant_id: TENANT,
        client_id: CLIENT,
        from_email: "scanner@example.com",
      });
      stage.close();
    });
    after(async () => {
      await Promise.all([azurite.stop(), cloud.close()]);
      rmSync(folder, { recursive: true });
    });

    it("looks users up and sends as from_email, and shows no secret at DEBUG", async () => {
      const { running, smtp } = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        LOG_LEVEL: "DEBUG",
        // The SDK's own log, which is not the relay's, but on the same standard error.
        AZURE_LOG_LEVEL: "verbose",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        EXTRA_CA_CERTS_FILEPATH: join(folder, "ca.pem"),
        AZURE_TABLES_URL: azurite.url("users"),
        AZURE_TABLES_FORCE_USAGE: "true",
        AZURE_TENANT_ID: "33333333-3333-3333-3333-333333333333",
        AZURE_CLIENT_ID: "44444444-4444-4444-4444-444444444444",
        AZURE_CLIENT_SECRET: IDENTITY_SECRET,
      });
      for (const username of ["scanner@lookup", USERNAME]) {
        const client = new SmtpClient(smtp);
        assert.match(await client.login(username, SECRET), /^235 2\.7\.0 /);
        assert.match(await client.send("root@localhost", "bob@example.org"), /^250 2\.0\.0 /);
        client.destroy();
        const [message] = cloud.inbox.list();
        assert.equal(cloud.inbox.get(message!.id)!.mailbox, "scanner@example.com");
      }
      const stranger = new SmtpClient(smtp);
      assert.match(await stranger.login("nobody@lookup", SECRET), /^535 5\.7\.8 /);
      stranger.destroy();
      assert.equal(await running.stop(), 0);
      const output = running.stdout + running.stderr;
      assert.match(output, /Login succeeded .* entry=scanner\b/);
      for (const secret of [IDENTITY_SECRET, SECRET, "eyJ", "Bearer"]) {
        assert(!output.includes(secret), secret);
      }
    });
  });
}
