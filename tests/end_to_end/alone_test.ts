// The executable alone: nothing beside it in its directory, nothing in its environment but the addresses to
// listen. (tests/deploy/executables.sh goes further: not even a shell around it.)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { root, run, Running, SECRET, SHIPPED, SOURCE, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const LISTEN = { SMTP_LISTEN: "127.0.0.1:0", HTTP_LISTEN: "127.0.0.1:0" };

if (SHIPPED !== SOURCE) {
  const [executable] = SHIPPED.command;

  describe("the executable alone", () => {
    let directory: string;
    before(() => {
      directory = mkdtempSync(join(tmpdir(), "relay-alone-"));
      copyFileSync(executable!, join(directory, "relay"));
    });
    after(() => rmSync(directory, { recursive: true }));

    /** Nothing of this process's environment is passed on. */
    function alone(args: readonly string[], environment: Record<string, string> = {}): Running {
      return new Running(spawn("./relay", args, {
        cwd: directory,
        env: environment,
        stdio: ["ignore", "pipe", "pipe"],
      }));
    }

    it("prints its version and the commit", async () => {
      const running = alone(["version"]);
      assert.equal(await running.exited, 0);
      const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
      const line = /^smtp-oauth-relay (\S+) \((?:[0-9a-f]{12}(?:-dirty)?|.+)\) on Bun [\d.]+\n$/;
      assert.equal(line.exec(running.stdout)?.[1], version);
      assert.doesNotMatch(running.stdout, /from source/);
    });

    it("contains the licence notices of its parts, and no others", async () => {
      const running = alone(["version", "--licenses"]);
      assert.equal(await running.exited, 0);
      for (
        const part of [
          /^hono \d.*\(MIT\)$/m,
          /^reflect-metadata \d.*\(Apache-2\.0\)$/m,
          /^node-forge \d/m,
          /^Bun \d/m,
          /JavaScriptCore/,
          /GNU LESSER GENERAL PUBLIC LICENSE/,
        ]
      ) assert.match(running.stdout, part);
      assert.doesNotMatch(running.stdout, /^(?:thread-stream|open|azurite|deno) \d/m);
    });

    it("prints which settings `serve` lacks, and exits with 78", async () => {
      const running = alone(["serve"], LISTEN);
      assert.equal(await running.exited, 78);
      assert.match(running.stderr, /TLS_CERT_FILEPATH "certs\/cert\.pem" does not exist/);
    });

    it("runs the sandbox, a relay and a check on it, and leaves no files", async () => {
      const sandbox = alone(["sandbox"], LISTEN);
      const [, inbox] = await sandbox.until("stdout", /Inbox +(http:\S+)\/[^]*Ctrl-C ends/);
      const environment = {
        ...LISTEN,
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: `${inbox}/entra`,
        GRAPH_ENDPOINT: `${inbox}/graph`,
      };
      const relay = alone([], environment);
      const [, port] = await relay.until("stderr", /Relay started.* smtp=\S+:(\d+)/);
      const client = new SmtpClient(Number(port));
      assert.match(await client.login(USERNAME, SECRET), /^235 2\.7\.0/);
      assert.match(await client.send("me@example.com", "you@example.org"), /^250 2\.0\.0/);
      client.destroy();
      const list = await (await fetch(`${inbox}/api/messages`)).text();
      assert.match(list, /"to":\["you@example\.org"\]/);

      const check = alone(["check", "--username", USERNAME], {
        ...environment,
        RELAY_PASSWORD: SECRET,
      });
      assert.equal(await check.exited, 0, check.stdout + check.stderr);
      assert.match(check.stdout, /^ok /m);

      for (const running of [relay, sandbox]) assert.equal(await running.stop(), 0);
      assert.deepEqual(readdirSync(directory), ["relay"]);
    });
  });
}

it(`a run from source, on ${SOURCE.name}, prints where its licences are`, async () => {
  const running = run(SOURCE, ["version", "--licenses"]);
  assert.equal(await running.exited, 1);
  assert.equal(running.stdout, "");
  assert.match(
    running.stderr,
    /^smtp-oauth-relay: only the executable contains .* node_modules\n$/,
  );
});
