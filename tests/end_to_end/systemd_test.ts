// Under a service manager: notifications to it (sd_notify(3)), and sockets from it (sd_listen_fds(3)).
// tests/deploy/systemd_real.sh uses a real systemd.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { Managed, type ManagerOptions } from "../support/service_manager.ts";
import { absent } from "../support/tools.ts";
import { PROGRAMS, root, run } from "./programs.ts";

const EX_UNAVAILABLE = 69;
const EX_CONFIG = 78;
const PLAIN = { TLS_SOURCE: "off", REQUIRE_TLS: "false" };
const HTTP = { HTTP_LISTEN: "127.0.0.1:0" };

/** The server's first octets. */
function greeting(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.once("data", (octets: Uint8Array) => {
      socket.destroy();
      resolve(String(octets));
    });
  });
}
const greetedOn = (port: number, host = "127.0.0.1") => greeting(connectTcp(port, host));
const greetedInTls = (port: number) =>
  greeting(connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }));

const noActivation = absent("systemd-socket-activate");

for (const program of PROGRAMS) {
  describe(`under a service manager, ${program.name}`, { skip: absent("python3") }, () => {
    let directory: string;
    let files: Record<string, string>;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-test-"));
      const { certificate, privateKey } = await selfSignedCertificate();
      files = {
        TLS_CERT_FILEPATH: join(directory, "cert.pem"),
        TLS_KEY_FILEPATH: join(directory, "key.pem"),
      };
      writeFileSync(files["TLS_CERT_FILEPATH"]!, certificate);
      writeFileSync(files["TLS_KEY_FILEPATH"]!, privateKey);
    });
    after(() => rmSync(directory, { recursive: true }));

    let count = 0;
    /** Runs `serve` during a test. */
    async function managed(
      environment: Record<string, string>,
      test: (managed: Managed) => Promise<void>,
      options: Partial<ManagerOptions> = {},
    ): Promise<void> {
      const running = new Managed([...program.command, "serve"], {
        // Every second one is abstract.
        notify: count++ % 2 === 0
          ? join(directory, `notify-${count}`)
          : `@relay-test-${process.pid}-${count}`,
        environment: {
          PATH: process.env["PATH"] ?? "",
          HOME: process.env["HOME"] ?? "",
          DENO_NO_UPDATE_CHECK: "1",
          AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
          SMTP_LISTEN: "127.0.0.1:0",
          ...HTTP,
          ...environment,
        },
        ...options,
      });
      try {
        await test(running);
      } finally {
        await running.end();
      }
    }
    const portIn = (text: string) => Number(/127\.0\.0\.1:(\d+)/.exec(text)![1]);

    it("sends READY when it listens, reloads on SIGHUP, and stops", async () => {
      await managed({ ...files, LOG_LEVEL: "INFO" }, async (managed) => {
        const ready = await managed.notification(
          /^READY=1\nSTATUS=Listening on 127\.0\.0\.1:\d+; 0 conn/,
        );
        assert.deepEqual(managed.notifications[0], ready, "nothing comes before");
        assert.match(managed.stderr, /Relay started/);
        assert.match(await greetedOn(portIn(ready.text)), /^220 /);

        const sent = await managed.signal("SIGHUP");
        const reloading = await managed.notification(/^RELOADING=1$/m);
        // systemd accepts only a time after its own request (systemd.service(5), notify-reload).
        const usec = Number(/^MONOTONIC_USEC=(\d+)$/m.exec(reloading.text)![1]);
        assert.ok(sent <= usec && usec <= reloading.at, `${sent} ${usec} ${reloading.at}`);
        await managed.notification(/^READY=1$/m, 2);
        assert.equal(managed.notifications.length, 3);

        await managed.signal("SIGTERM");
        assert.equal(await managed.ended(), 0);
        const [stopping, extended, ...rest] = managed.notifications.slice(3);
        assert.equal(stopping!.text, "STOPPING=1");
        assert.match(extended!.text, /^EXTEND_TIMEOUT_USEC=20000000\nSTATUS=Stopping: /);
        assert.equal(rest.at(-1)!.text, "STATUS=Stopped");
      });
    });

    it("notifies the watchdog in time, and not while it is frozen", async () => {
      const every = 400_000; // microseconds
      await managed({ ...PLAIN, WATCHDOG_USEC: String(every) }, async (managed) => {
        const beats = () => managed.notifications.filter(({ text }) => text === "WATCHDOG=1");
        await managed.notification(/^READY=1/);
        while (beats().length < 6) {
          await managed.notification(/^WATCHDOG=1$/, managed.notifications.length);
        }
        const gaps = beats().slice(1).map(({ at }, i) => at - beats()[i]!.at);
        assert.ok(gaps.every((gap) => gap < every), `the watchdog would have bitten: ${gaps}`);
        assert.ok(gaps.reduce((a, b) => a + b) / gaps.length > every / 4, `too often: ${gaps}`);

        const frozen = await managed.signal("SIGSTOP");
        // Real time must pass to show that nothing is sent.
        await new Promise((resolve) => setTimeout(resolve, 3 * every / 1000));
        const thawed = await managed.signal("SIGCONT");
        await managed.notification(/^WATCHDOG=1$/, managed.notifications.length);
        // One may have been in flight when it was frozen.
        const meanwhile = beats().filter(({ at }) => at > frozen + every / 10 && at < thawed);
        assert.deepEqual(meanwhile, []);
      });
    });

    it("ignores a watchdog that is meant for another process", async () => {
      const environment = { ...PLAIN, WATCHDOG_USEC: "2000", WATCHDOG_PID: "1" };
      await managed(environment, async (managed) => {
        await managed.notification(/^READY=1/);
        await managed.signal("SIGTERM");
        assert.equal(await managed.ended(), 0);
        assert.ok(!managed.notifications.some(({ text }) => text.includes("WATCHDOG=1")));
      });
    });

    it("reports why it does not start", async () => {
      await managed({ ...PLAIN, LOG_LEVEL: "LOUD" }, async (managed) => {
        assert.equal(await managed.ended(), EX_CONFIG);
        assert.deepEqual(managed.notifications.map(({ text }) => text), [
          'STATUS=LOG_LEVEL "LOUD" must be "DEBUG", "INFO", "WARNING", "ERROR" or "CRITICAL"',
        ]);
      });
    });

    it("runs when the service manager cannot be notified, with one warning", async () => {
      const nowhere = join(directory, "absent");
      const relay = run(program, ["serve"], {
        ...PLAIN,
        ...HTTP,
        SMTP_LISTEN: "127.0.0.1:0",
        NOTIFY_SOCKET: nowhere,
        WATCHDOG_USEC: "20000",
      });
      await relay.until("stderr", /WARNING Cannot notify the service manager .*socket=\S*absent/);
      await relay.until("stderr", /Relay started/);
      assert.equal(await relay.stop(), 0);
      assert.equal(relay.stderr.match(/Cannot notify the service manager/g)!.length, 1);
    });

    it("serves on the passed sockets, by their names", async () => {
      const sockets = [
        ["http", "tcp", "127.0.0.1"],
        ["smtp", "tcp", "127.0.0.1"],
        ["smtps", "tcp-blocking", "127.0.0.1"],
        ["smtp", "tcp-blocking", "::"],
        ["http", "tcp-blocking", "127.0.0.1"],
      ] as const;
      // Cannot be bound: RFC 5737's addresses belong to no machine.
      const settings = {
        SMTP_LISTEN: "192.0.2.1:25",
        SMTPS_LISTEN: "192.0.2.1:465",
        HTTP_LISTEN: "192.0.2.1:80",
        HTTP_PASSWORD: "secret",
      };
      await managed({ ...files, ...settings }, async (managed) => {
        const [http, smtp, smtps, dual, http2] = await managed.ports() as number[];
        await managed.notification(/^READY=1/);
        const started = /Relay started .*/.exec(managed.stderr)![0];
        assert.ok(started.includes(` smtp=127.0.0.1:${smtp},[::]:${dual} `), started);
        assert.ok(started.includes(` smtps=127.0.0.1:${smtps} `), started);
        assert.ok(started.includes(` http=127.0.0.1:${http},127.0.0.1:${http2} `), started);
        assert.match(started, / handed_over=smtp,smtps,http$/);
        // Twice, because a blocking socket would hang after the first.
        for (let i = 0; i < 2; i++) {
          assert.match(await greetedOn(smtp!), /^220 /);
          assert.match(await greetedOn(dual!), /^220 /, "IPv4 on a dual-stack socket");
          assert.match(await greetedOn(dual!, "::1"), /^220 /);
          assert.match(await greetedInTls(smtps!), /^220 /);
          for (const port of [http, http2]) {
            const answer = await fetch(`http://127.0.0.1:${port}/readyz`);
            const { parts } = await answer.json();
            assert.deepEqual(parts.smtp.listening, [
              `127.0.0.1:${smtp}`,
              `[::]:${dual}`,
              `127.0.0.1:${smtps}`,
            ]);
            const locked = await fetch(`http://127.0.0.1:${port}/metrics`);
            assert.equal(locked.status, 401);
            await locked.body?.cancel();
          }
        }
        await managed.signal("SIGTERM");
        assert.equal(await managed.ended(), 0, managed.stderr);
      }, { sockets });
    });

    it("listens as its settings say when a name has no socket, or the sockets are for another process", async () => {
      const one = [["http", "tcp", "127.0.0.1"]] as const;
      await managed(PLAIN, async (managed) => {
        const { text } = await managed.notification(/^READY=1/);
        assert.match(await greetedOn(portIn(text)), /^220 /);
        const [http] = await managed.ports();
        assert.equal((await fetch(`http://127.0.0.1:${http}/healthz`)).status, 200);
      }, { sockets: one });
      await managed(PLAIN, async (managed) => {
        const { text } = await managed.notification(/^READY=1/);
        assert.notEqual(portIn(text), (await managed.ports())[0]);
      }, { sockets: [["smtp", "tcp", "127.0.0.1"]], listen_pid: "1" });
    });

    it("refuses a socket that it cannot serve, and reports which and why", async () => {
      const unix = join(directory, "relay.sock");
      await managed(PLAIN, async (managed) => {
        assert.equal(await managed.ended(), EX_CONFIG);
        const lines = managed.stderr.match(/^smtp-oauth-relay: .*$/gm) ?? [];
        assert.equal(lines.length, 3, managed.stderr);
        assert.match(
          lines[0]!,
          /socket 3 .*\(submission\): FileDescriptorName= must be smtp, smtps/,
        );
        assert.match(
          lines[1]!,
          /socket 4 .*\(smtp\) is an AF_UNIX socket: it must be a TCP socket/,
        );
        assert.match(lines[2]!, /socket 5 .*\(http\) is not a TCP socket/);
      }, {
        sockets: [
          ["submission", "tcp", "127.0.0.1"],
          ["smtp", "unix", unix],
          ["http", "udp", "127.0.0.1"],
        ],
      });
      await managed(PLAIN, async (managed) => {
        assert.equal(await managed.ended(), EX_CONFIG);
        assert.match(
          managed.stderr,
          /socket smtps needs a certificate: TLS_SOURCE must not be off/,
        );
        assert.match(managed.stderr, /HTTP_PASSWORD must be set when the socket http is not of a/);
      }, { sockets: [["smtps", "tcp", "127.0.0.1"], ["http", "tcp", "0.0.0.0"]] });
    });

    it(
      "is started by systemd-socket-activate with a client's connection",
      { skip: noActivation },
      async () => {
        // systemd's own tool reports no port: use one that was free a moment ago.
        const { createServer } = await import("node:net");
        const port = await new Promise<number>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => {
            const { port } = server.address() as { port: number };
            server.close(() => resolve(port));
          });
        });
        const environment = {
          PATH: process.env["PATH"] ?? "",
          HOME: process.env["HOME"] ?? "",
          DENO_NO_UPDATE_CHECK: "1",
          AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
          ...PLAIN,
          HTTP_LISTEN: "off",
        };
        const names = Object.keys(environment).flatMap((name) => ["-E", name]);
        const child = spawn("systemd-socket-activate", [
          ...names,
          "-l",
          `127.0.0.1:${port}`,
          ...program.command,
          "serve",
        ], { env: environment, stdio: ["ignore", "ignore", "pipe"] });
        const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
        let said = "";
        const until = async (pattern: RegExp) => {
          const matched = new Promise<void>((resolve) => {
            const look = () => void (pattern.test(said) && resolve());
            child.stderr.on("data", look);
            look();
          });
          await Promise.race([matched, ended]);
          assert.match(said, pattern);
        };
        child.stderr.setEncoding("utf8").on("data", (text: string) => said += text);
        await until(/Listening on/);
        // The client that triggers the start is greeted itself: no connection is lost.
        assert.match(await greetedOn(port), /^220 /);
        // The relay may greet it before it logs that it has started.
        await until(new RegExp(`Relay started .* smtp=127\\.0\\.0\\.1:${port} `));
        process.kill(child.pid!, "SIGTERM");
        assert.equal(await ended, 0);
      },
    );

    it("prints its units as they are in deploy/systemd, and installs them only where it can", async () => {
      const file = (name: string) =>
        readFileSync(`${root}deploy/systemd/${name}`, "utf8").trimEnd();
      const printed = run(program, ["install-service", "--print"]);
      assert.equal(await printed.exited, 0);
      assert.ok(printed.stdout.endsWith(
        `\n# /etc/systemd/system/smtp-oauth-relay.service\n${file("smtp-oauth-relay.service")}\n`,
      ));
      assert.match(printed.stdout, /^# +systemctl enable --now smtp-oauth-relay\.service$/m);
      const heading = printed.stdout.slice(0, printed.stdout.indexOf("\n\n"));
      assert.ok(heading.split("\n").every((line) => line.startsWith("#")), "it is a unit itself");

      const args = ["install-service", "--print", "--socket-activation", "--no-start"];
      const sockets = run(program, args);
      assert.equal(await sockets.exited, 0);
      for (
        const name of [
          "smtp-oauth-relay.socket",
          "smtp-oauth-relay-smtps.socket",
          "smtp-oauth-relay-certificate.path",
          "smtp-oauth-relay-certificate.service",
        ]
      ) {
        assert.ok(
          sockets.stdout.includes(`\n# /etc/systemd/system/${name}\n${file(name)}\n`),
          name,
        );
      }
      assert.match(sockets.stdout, /^# +systemctl enable smtp-oauth-relay\.service smtp-oauth-/m);

      if (program.name === "the executable") return;
      // A run from source can never be installed.
      const refused = run(program, ["install-service"]);
      assert.equal(await refused.exited, EX_UNAVAILABLE);
      assert.match(refused.stderr, /this is a run from source: build it first/);
    });
  });
}
