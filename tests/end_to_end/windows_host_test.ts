// The relay under the host of its Windows service, whose side of the pipes is played here, on any system. The host
// itself is tried by tests/deploy/windows.sh.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { describe, it } from "node:test";
import { PROGRAMS } from "./programs.ts";

const EX_CONFIG = 78;

for (const program of PROGRAMS) {
  describe(`under the host of a Windows service, ${program.name}`, () => {
    function start(environment: Record<string, string> = {}) {
      const [command, ...args] = program.command;
      const relay = spawn(command!, [...args, "serve"], {
        env: {
          PATH: process.env["PATH"] ?? "",
          HOME: process.env["HOME"] ?? "",
          DENO_NO_UPDATE_CHECK: "1",
          AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
          ...{ SMTP_LISTEN: "127.0.0.1:0", HTTP_LISTEN: "off" },
          ...{ TLS_SOURCE: "off", REQUIRE_TLS: "false", LOG_LEVEL: "INFO" },
          ...{ NOTIFY_SOCKET: "-", WATCHDOG_USEC: "60000000" },
          ...environment,
        },
        stdio: ["pipe", "pipe", "pipe"],
      });
      let [said, logged] = ["", ""];
      const waiting = new Set<() => void>();
      const wake = () => waiting.forEach((look) => look());
      relay.stdout.setEncoding("utf8").on("data", (text: string) => (said += text, wake()));
      relay.stderr.setEncoding("utf8").on("data", (text: string) => (logged += text, wake()));
      const ended = once(relay, "close").then(([status]) => status as number | null);
      /** Waits until the relay has said a line to its host, or logged a text. */
      const until = (has: () => boolean) =>
        Promise.race([
          new Promise<void>((resolve) => {
            const look = () => {
              if (!has()) return;
              waiting.delete(look);
              resolve();
            };
            waiting.add(look);
            look();
          }),
          ended.then(() => assert.ok(has(), `${said}\n${logged}`)),
        ]);
      return {
        relay,
        ended,
        says: (line: string) => until(() => said.split("\n").includes(line)),
        logs: (text: string) => until(() => logged.includes(text)),
        said: () => said,
      };
    }

    it("says when it is ready, reloads on request, and stops at the end of its input", async () => {
      const { relay, ended, says, logs, said } = start();
      try {
        await says("READY=1");
        await says("WATCHDOG=1");
        relay.stdin.write("reload\n");
        await says("RELOADING=1");
        await logs("Reading certificates and LOOKUP_FILE again");
        relay.stdin.end();
        assert.equal(await ended, 0);
        await logs('Relay is stopping by="the service manager"');
        assert.match(said(), /^STOPPING=1\nEXTEND_TIMEOUT_USEC=\d+$/m);
      } finally {
        relay.kill("SIGKILL");
      }
    });

    it("stops if that was asked for before it was ready", async () => {
      const { relay, ended, logs } = start();
      try {
        relay.stdin.end();
        assert.equal(await ended, 0);
        await logs("Relay stopped");
      } finally {
        relay.kill("SIGKILL");
      }
    });

    it("says why it does not start", async () => {
      const { relay, ended, said } = start({ SMTP_LISTEN: "nonsense" });
      try {
        assert.equal(await ended, EX_CONFIG);
        assert.match(said(), /^STATUS=SMTP_LISTEN "nonsense" must be /);
      } finally {
        relay.kill("SIGKILL");
      }
    });
  });
}
