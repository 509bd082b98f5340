// Real clients without TLS and AUTH, from trusted and other addresses of 127.0.0.0/8, through the whole
// program to the simulated cloud; and its log.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { Buffer } from "node:buffer";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { missing } from "./clients.ts";
import { CLIENT, PROGRAMS, type Relay, sandbox, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const TRUSTED = "127.0.0.2";
const STRANGER = "127.0.0.3";
const SECRET = "S3cret-that-must-not-show";
const FROM = "scanner@example.com";
const TO = "reader@example.org";

interface Ended {
  readonly status: number | null;
  readonly output: string;
}

/** How to run a client without TLS and AUTH, from one of this machine's addresses. */
const CLIENTS: Readonly<
  Record<string, (port: number, address: string, from: string) => readonly [string[], string]>
> = {
  swaks: (port, address, from) => [[
    ...["swaks", "--server", `127.0.0.1:${port}`, "--local-interface", address],
    ...["--from", from, "--to", TO, "--h-Subject", "from-swaks", "--body", "Scan"],
  ], ""],
  curl: (port, address, from) => [[
    ...["curl", "--silent", "--show-error", "--verbose", "--interface", address],
    ...["--url", `smtp://127.0.0.1:${port}/printer`],
    ...["--mail-from", from, "--mail-rcpt", TO, "--upload-file", "-"],
  ], `From: <${from}>\r\nTo: <${TO}>\r\nSubject: from-curl\r\n\r\nScan\r\n`],
};

function execute([command, ...args]: readonly string[], input: string): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env["PATH"], HOME: process.env["HOME"] };
    const child = spawn(command!, args, { env });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    child.once("error", reject);
    child.once("close", (status) => resolve({ status, output }));
    child.stdin.end(input);
  });
}

for (const program of PROGRAMS) {
  describe(`trusted networks on ${program.name}`, () => {
    let cloud: CloudServer;
    let relay: Relay;
    before(async () => {
      cloud = await startCloud();
      relay = await serve(program, {
        LOG_LEVEL: "DEBUG",
        // Without a certificate, no other client can send.
        TLS_SOURCE: "off",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        TRUSTED_NETWORKS: `10.20.0.0/16,${TRUSTED}`,
        TRUSTED_USERNAME: USERNAME,
        TRUSTED_PASSWORD: SECRET,
        ALLOWED_SENDERS: FROM,
      });
    });
    after(async () => {
      assert.equal(await relay.running.stop(), 0);
      await cloud.close();
    });

    it("are logged at the start, in a WARNING with networks and account", () => {
      const line = relay.running.stderr.split("\n").find((text) =>
        /Clients in TRUSTED_N/.test(text)
      );
      assert.match(
        line ?? "",
        /^\S+ WARNING Clients in TRUSTED_NETWORKS send without a login, as TRUSTED_USERNAME networks=/,
      );
      assert.ok(line!.includes(` networks=10.20.0.0/16,${TRUSTED}/32 username=${USERNAME}`));
    });

    for (const [name, command] of Object.entries(CLIENTS)) {
      const run = (address: string, from = FROM) => execute(...command(relay.smtp, address, from));

      it(`let ${name} send without TLS and AUTH`, { skip: missing(name) }, async () => {
        const { status, output } = await run(TRUSTED);
        assert.equal(status, 0, output);
        const [arrived] = cloud.inbox.list().filter(({ subject }) => subject === `from-${name}`);
        assert.ok(arrived !== undefined, output);
        assert.deepEqual([arrived.from, arrived.to], [FROM, [TO]]);
        const raw = Buffer.from(cloud.inbox.get(arrived.id)!.raw).toString("latin1");
        assert.match(raw, /^Received: from \S+ \(\[127\.0\.0\.2\]\)\r\n/);
        assert.match(raw, /\r\n\tby \S+ with ESMTP \(trusted network\) id [0-9a-f]{16};\r\n/);
        const [, id] = / id ([0-9a-f]{16});/.exec(raw)!;
        await relay.running.until(
          "stderr",
          new RegExp(
            `INFO Message sent id=${id} .*client=127\\.0\\.0\\.2 trusted=true .*app=${CLIENT}`,
          ),
        );
      });

      it(`let ${name} send only as the allowed sender`, { skip: missing(name) }, async () => {
        const before = cloud.inbox.list().length;
        const { status, output } = await run(TRUSTED, "director@example.com");
        assert.notEqual(status, 0);
        assert.match(output, /550 5\.7\.1 Sender not allowed/);
        assert.equal(cloud.inbox.list().length, before);
      });

      it(`refuse ${name} from other addresses`, { skip: missing(name) }, async () => {
        const before = cloud.inbox.list().length;
        const { status, output } = await run(STRANGER);
        assert.notEqual(status, 0);
        assert.match(output, /530 5\.7\.0 /);
        assert.equal(cloud.inbox.list().length, before);
      });
    }

    const noClient = Object.keys(CLIENTS).every(missing) && "no client is installed";
    it("show no secret and no token in the log", { skip: noClient }, () => {
      const { stdout, stderr } = relay.running;
      assert.ok(stderr.includes("Message sent"), "there is a log to look at");
      for (const hidden of [SECRET, Buffer.from(SECRET).toString("base64"), "eyJ"]) {
        assert.ok(!(stdout + stderr).includes(hidden), `the log holds ${hidden.slice(0, 4)}…`);
      }
    });
  });

  describe(`a trusted network in the sandbox, on ${program.name}`, () => {
    it("sends as the entry of the simulated table, which needs no AZURE_TABLES_URL", async () => {
      const { smtp, running } = await sandbox(program, {
        TRUSTED_NETWORKS: TRUSTED,
        TRUSTED_USERNAME: "scanner@lookup",
        TRUSTED_PASSWORD: SECRET,
        AZURE_TABLES_FORCE_USAGE: "true",
        LOG_LEVEL: "INFO",
      });
      const printer = new SmtpClient(smtp, "127.0.0.1", false, TRUSTED);
      assert.match(await printer.reply(), /^220/);
      assert.match(await printer.say("EHLO printer"), /^250/);
      assert.match(await printer.say("MAIL FROM:<root>"), /^250/);
      assert.match(await printer.say(`RCPT TO:<${TO}>`), /^250/);
      assert.match(await printer.say("DATA"), /^354/);
      assert.match(await printer.say("Subject: Scan\r\n\r\nScan\r\n."), /^250 2\.0\.0/);
      await printer.say("QUIT");
      await running.until(
        "stderr",
        /Message sent .*client=127\.0\.0\.2 trusted=true .*entry=scanner sender=scanner@example\.com/,
      );
      assert.equal(await running.stop(), 0);
    });
  });
}
