// The log as an administrator reads it: levels, lines, the ids that replies contain too, no secret.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, PROGRAMS, type Relay, serve, TENANT, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

/** A secret without characters to escape, so that it is found wherever it is printed. */
const SECRET = "S3cret-that-must-not-show";

interface Line {
  readonly time: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

for (const program of PROGRAMS) {
  describe(`the log on ${program.name}`, () => {
    let cloud: CloudServer;
    before(async () => {
      cloud = await startCloud({
        graph: {
          hasMailbox: (mailbox) => !mailbox.startsWith("nobody@"),
          intercept: (context) => {
            const mailbox = context.req.param("mailbox") ?? "";
            if (mailbox.startsWith("busy@")) {
              return context.json({ error: { code: "ApplicationThrottled" } }, 429);
            }
            if (mailbox.startsWith("broken@")) return context.text("<html>Bad gateway</html>", 502);
            return undefined;
          },
        },
      });
    });
    after(() => cloud.close());

    const start = (environment: Record<string, string>) =>
      serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        // One mailbox is always throttled here.
        DELIVERY_TIMEOUT: "1s",
        ...environment,
      });

    /** Does everything that is logged, once. @returns the replies to the messages, by sender */
    async function everything({ smtp }: Relay): Promise<Map<string, string>> {
      const silent = new SmtpClient(smtp);
      await silent.reply();
      silent.destroy();
      const stranger = new SmtpClient(smtp);
      assert.match(await stranger.login(USERNAME, "wrong-secret"), /^535 5\.7\.8/);
      stranger.destroy();
      const client = new SmtpClient(smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      const replies = new Map<string, string>();
      for (const sender of ["printer", "nobody", "busy", "broken"]) {
        replies.set(sender, await client.send(`${sender}@example.com`, "to@example.org"));
      }
      await client.say("QUIT");
      await client.closed();
      return replies;
    }

    const parsed = (text: string) =>
      text.trimEnd().split("\n").map((line) => JSON.parse(line) as Line);

    it("warns of TLS on a plain-text port, and of plain text on a TLS port", async () => {
      const directory = mkdtempSync(join(tmpdir(), "relay-log-"));
      const { certificate, privateKey } = await selfSignedCertificate();
      writeFileSync(join(directory, "both.pem"), certificate + privateKey);
      const relay = await start({
        TLS_SOURCE: "file",
        REQUIRE_TLS: "true",
        TLS_CERT_FILEPATH: join(directory, "both.pem"),
        TLS_KEY_FILEPATH: join(directory, "both.pem"),
        SMTPS_LISTEN: "127.0.0.1:0",
        LOG_LEVEL: "WARNING",
      });
      const tls = connectTls({ host: "127.0.0.1", port: relay.smtp, rejectUnauthorized: false });
      tls.on("error", () => {});
      await relay.running.until("stderr", /WARNING TLS on a port that begins in plain text .*\n/);
      const plain = connect({ host: "127.0.0.1", port: relay.smtps });
      plain.on("error", () => {}).write("EHLO scanner\r\n");
      const [line] = await relay.running.until("stderr", /WARNING Plain text on a port .*\n/);
      assert.match(line, /Plain text on a port that begins with TLS connection=\w+ client=127/);
      tls.destroy();
      plain.destroy();
      assert.equal(await relay.running.stop(), 0);
      rmSync(directory, { recursive: true });
    });

    it("has a line for each message's outcome, with the id of the reply", async () => {
      const relay = await start({ LOG_LEVEL: "DEBUG", LOG_FORMAT: "json" });
      const replies = await everything(relay);
      assert.equal(await relay.running.stop(), 0);
      const lines = parsed(relay.running.stderr);
      const of = (sender: string) =>
        lines.find((line) => line["sender"] === `${sender}@example.com`)!;

      const sent = of("printer");
      assert.deepEqual([sent.level, sent.message], ["INFO", "Message sent"]);
      assert.ok(replies.get("printer")!.includes(String(sent["id"])), "the id is in the 250");
      assert.deepEqual([sent["tenant"], sent["app"], sent["recipients"]], [TENANT, CLIENT, 1]);

      for (
        const [sender, message, reply, code] of [
          ["nobody", "Message refused", "550 5.1.0", "ErrorInvalidUser"],
          ["busy", "Message deferred", "451 4.3.2", "ApplicationThrottled"],
          ["broken", "Message may have been sent", "451 4.3.0", "HTTP 502"],
        ] as const
      ) {
        const line = of(sender);
        assert.deepEqual([line.level, line.message, line["code"]], ["WARNING", message, code]);
        const said = replies.get(sender)!;
        assert.ok(said.startsWith(reply), said);
        assert.ok(said.includes(code), "the service's own code is in the reply");
      }
    });

    it("warns of failed logins, and logs connections, at DEBUG if nothing was sent", async () => {
      const relay = await start({ LOG_LEVEL: "DEBUG", LOG_FORMAT: "json" });
      await everything(relay);
      assert.equal(await relay.running.stop(), 0);
      const lines = parsed(relay.running.stderr);
      const named = (message: string) => lines.filter((line) => line.message === message);
      const [login] = named("Login refused");
      assert.equal(login?.level, "WARNING");
      assert.equal(login?.["username"], USERNAME);
      assert.match(String(login?.["detail"]), /^AADSTS7000215: the client secret is wrong/);
      const ends = named("Connection ended").map(({ level, messages }) => [level, messages]);
      assert.deepEqual(ends.sort(), [["DEBUG", 0], ["INFO", 0], ["INFO", 4]]);
      assert.ok(lines.every((line) => !Number.isNaN(Date.parse(line.time))));
    });

    it("finds a message by id, Message-ID, device and recipient, with what took time", async () => {
      const directory = mkdtempSync(join(tmpdir(), "relay-log-"));
      const { certificate, privateKey } = await selfSignedCertificate();
      writeFileSync(join(directory, "both.pem"), certificate + privateKey);
      const relay = await start({
        TLS_SOURCE: "file",
        REQUIRE_TLS: "true",
        TLS_CERT_FILEPATH: join(directory, "both.pem"),
        TLS_KEY_FILEPATH: join(directory, "both.pem"),
        SMTPS_LISTEN: "127.0.0.1:0",
        LOG_LEVEL: "DEBUG",
        LOG_FORMAT: "json",
        LOG_RECIPIENTS: "true",
      });
      const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
      assert.match(await client.login(USERNAME, SECRET), /^235/);
      const reply = await client.send("printer@example.com", "to@example.org");
      await client.say("QUIT");
      await client.closed();
      assert.equal(await relay.running.stop(), 0);
      rmSync(directory, { recursive: true });
      const lines = parsed(relay.running.stderr);
      const sent = lines.find(({ message }) => message === "Message sent")!;
      const id = String(sent["id"]);
      assert.ok(reply.includes(id), reply);
      // The message had none: the relay has made it of its id.
      assert.match(String(sent["message_id"]), new RegExp(`^<${id}@[^>]+>$`));
      assert.deepEqual([sent["username"], sent["to"], sent["attempts"]], [
        USERNAME,
        ["to@example.org"],
        1,
      ]);
      const login = lines.find(({ message }) => message === "Login succeeded")!;
      for (const field of ["username", "connection", "client"]) {
        assert.equal(sent[field], login[field], field);
      }
      assert.match(String(sent["tls_version"]), /^TLSv1\.[23]$/);
      assert.match(String(sent["tls_cipher"]), /^[A-Z0-9_-]+$/);
      for (const field of ["ms", "ms_received", "ms_prepared", "ms_graph"]) {
        assert.ok(Number.isInteger(sent[field]), `${field} ${sent[field]}`);
      }
      assert.ok(Number(sent["ms_graph"]) <= Number(sent["ms"]));
      assert.ok(lines.some((line) => line.message === "Relay started" && !("hint" in line)));
    });

    it("says at the start, with the bare default, that messages are not logged", async () => {
      const bare = await start({});
      assert.equal(await bare.running.stop(), 0);
      assert.match(
        bare.running.stderr,
        /WARNING Relay started .*hint="LOG_LEVEL is not set, so it is WARNING: /,
      );
      const chosen = await start({ LOG_LEVEL: "WARNING" });
      assert.equal(await chosen.running.stop(), 0);
      assert.ok(!chosen.running.stderr.includes("hint="));
    });

    it("shows only warnings by default, the start among them, one line each", async () => {
      const relay = await start({});
      await everything(relay);
      assert.equal(await relay.running.stop(), 0);
      const messages = relay.running.stderr.trimEnd().split("\n").map((line) => {
        const match = /^\d{4}-\d\d-\d\dT[\d:.]+Z WARNING (.+?)(?: \w+=.*)?$/.exec(line);
        assert.ok(match !== null, line);
        return match[1];
      });
      assert.match(relay.running.stderr, / Relay started .* memory_bytes=\d+\n/);
      assert.deepEqual(messages, [
        "REQUIRE_TLS is false: passwords may cross the network in plain text",
        "Relay started",
        "Login refused",
        "Message refused",
        "Message deferred",
        "Message may have been sent",
        "Relay is stopping",
        "Relay stopped",
      ]);
    });

    it("never shows a secret or a token, at any level and in any form", async () => {
      for (const LOG_FORMAT of ["text", "json"]) {
        const relay = await start({ LOG_LEVEL: "DEBUG", LOG_FORMAT });
        await everything(relay);
        assert.equal(await relay.running.stop(), 0);
        const output = relay.running.stdout + relay.running.stderr;
        const base64 = Buffer.from(`\0${USERNAME}\0${SECRET}`).toString("base64");
        for (const hidden of [SECRET, base64, base64.slice(8, -8), "eyJ"]) {
          assert.ok(!output.includes(hidden), `the log holds ${hidden.slice(0, 4)}…`);
        }
      }
    });
  });
}
