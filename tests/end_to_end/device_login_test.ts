// Devices without secrets, from nothing: a lookup file and passwords made by the program's own commands, a
// certificate registered with the app, and real clients that log in by id and by address. Then nothing that the
// relay shows, anywhere, has a password, a hash or a key in it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import {
  selfSignedCertificate,
  selfSignedClientCertificate,
} from "../../src/certificates/self_signed.ts";
import { writeCertificate } from "../support/certificates.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENTS } from "./clients.ts";
import {
  CLIENT,
  type Program,
  PROGRAMS,
  type Relay,
  root,
  run,
  serve,
  TENANT,
} from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const CHOSEN = "chosen-Passw0rd-of-the-copier";
const WRONG = "wr0ng-password-that-must-not-show";
const PRINTER = "printer@example.com";
const ADDRESS = "copier@printers.example";
const TO = "reader@example.org";
const REREAD = /Lookup file (?:loaded again|unchanged)/g;
const ONE_REPLY =
  "535 5.7.8 The username or the password is wrong, or the account may not log in; see the relay's log";

for (const program of PROGRAMS) {
  describe(`devices without secrets, on ${program.name}`, () => {
    const ends: (() => unknown)[] = [];
    let directory: string;
    let cloud: CloudServer;
    let relay: Relay;
    let environment: Record<string, string>;
    let password: string;
    /** The bodies of the token requests. */
    const asked: string[] = [];
    /** All that was shown. */
    const shown: Record<string, string> = {};

    const path = (name: string) => join(directory, name);
    const command = async (...args: string[]) => {
      const running = run(program, args, environment);
      const status = await running.exited;
      shown[args.join(" ")] = running.stdout + running.stderr;
      return { status, stdout: running.stdout, stderr: running.stderr };
    };

    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-devices-"));
      ends.push(() => rmSync(directory, { recursive: true }));
      const own = await selfSignedClientCertificate();
      const ownFiles = writeCertificate(directory, "client", own);
      const tlsFiles = writeCertificate(directory, "tls", await selfSignedCertificate());
      cloud = await startCloud({
        entra: {
          app: (client) => client === CLIENT ? { certificates: [own.certificate] } : undefined,
          async intercept(context) {
            asked.push(await context.req.raw.clone().text());
            return undefined;
          },
        },
      });
      ends.push(() => cloud.close());
      environment = {
        TLS_CERT_FILEPATH: tlsFiles.certificatePath,
        TLS_KEY_FILEPATH: tlsFiles.keyPath,
        CLIENT_CERTIFICATE_FILEPATH: ownFiles.certificatePath,
        CLIENT_KEY_FILEPATH: ownFiles.keyPath,
        LOOKUP_FILE: path("lookup.json"),
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        SMTPS_LISTEN: "127.0.0.1:0",
        AUTH_RATE_LIMIT: "off",
        LOG_LEVEL: "DEBUG",
      };
    });
    after(async () => {
      if (relay !== undefined) await relay.running.stop();
      for (const end of ends.reverse()) await end();
    });

    it("get their entries and passwords by the commands of the page", async () => {
      const app = [`tenant_id=${TENANT}`, `client_id=${CLIENT}`, "credential=certificate"];
      assert.equal(
        (await command("lookup", "set", "printer", ...app, `from_email=${PRINTER}`)).status,
        0,
      );
      const made = await command("lookup", "set-password", "printer");
      assert.equal(made.status, 0, made.stderr);
      password = made.stdout.trimEnd();
      assert.match(password, /^[a-zA-Z2-9]{24}$/);
      // It is shown there, and nowhere else.
      delete shown["lookup set-password printer"];

      assert.equal(
        (await command("lookup", "set", ADDRESS, ...app, "allowed_senders=@example.com")).status,
        0,
      );
      assert.equal(await chosen(program, environment, ADDRESS, CHOSEN), 0);
      const entries = JSON.parse(readFileSync(path("lookup.json"), "utf8"));
      assert.match(entries["printer"].password_hash, /^\$sha256\$/);
      assert.match(entries[ADDRESS].password_hash, /^\$scrypt\$ln=14,r=8,p=1\$/);
      relay = await serve(program, environment);
    });

    for (const client of CLIENTS) {
      for (const implicitTls of [false, true]) {
        const way = implicitTls ? "TLS from the start" : "STARTTLS";
        it(`${client.name} logs in by id, id@lookup and address over ${way}`, {
          skip: client.absent,
        }, async () => {
          const logins = [
            ["printer", password, PRINTER, "boss@example.com"],
            ["printer@lookup", password, PRINTER, PRINTER],
            [ADDRESS, CHOSEN, "anna@example.com", "anna@example.com"],
          ] as const;
          for (const [username, secret, mailbox, from] of logins) {
            const subject = `${client.name}-${implicitTls}-${username}`;
            await client.send({
              port: implicitTls ? relay.smtps : relay.smtp,
              implicitTls,
              username,
              password: secret,
              from,
              to: [TO],
              message: messageOf(from, subject),
            });
            const [arrived, ...others] = cloud.inbox.list().filter((message) =>
              message.subject.trim() === subject
            );
            assert.ok(arrived !== undefined && others.length === 0, subject);
            // Whatever the message says, the entry decides.
            assert.ok(arrived.from.includes(mailbox), arrived.from);
            assert.deepEqual(arrived.to, [TO]);
          }
        });
      }
    }

    it("are refused with one reply, whatever is wrong", async () => {
      const secret = `${TENANT}@${CLIENT}`;
      for (
        const username of [
          "printer",
          "printer@lookup",
          ADDRESS,
          "nobody",
          "nobody@lookup",
          "no@body",
        ]
      ) {
        const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
        assert.equal(await client.login(username, WRONG), ONE_REPLY, username);
        client.destroy();
      }
      assert.ok(!asked.join().includes(secret));
    });

    // The corpus of escapes is in tests/security; here, that the entry's rules hold for such a login at all.
    it("may not send as anybody else, neither in the envelope nor in From or Sender", async () => {
      const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
      assert.match(await client.login(ADDRESS, CHOSEN), /^235 /);
      const refused = /^550 5\.7\.1 Sender not allowed/;
      assert.match(await client.say("MAIL FROM:<boss@other.example>"), refused);
      const before = cloud.inbox.list().length;
      for (
        const fields of [
          "From: boss@other.example",
          "From: anna@example.com\r\nSender: boss@other.example",
        ]
      ) {
        assert.match(await client.say("MAIL FROM:<anna@example.com>"), /^250 /);
        assert.match(await client.say(`RCPT TO:<${TO}>`), /^250 /);
        assert.match(await client.say("DATA"), /^354 /);
        assert.match(await client.say(`${fields}\r\nSubject: no\r\n\r\nno\r\n.`), refused);
      }
      assert.equal(cloud.inbox.list().length, before);
      client.destroy();
    });

    it("change their password without a failed login, while they send", async () => {
      const old = password;
      let current = old;
      let failed = "";
      let logins = 0;
      let stop = false;
      const device = async () => {
        while (!stop) {
          const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
          const reply = await client.login("printer", current);
          client.destroy();
          logins++;
          if (!reply.startsWith("235 ")) failed ||= reply;
        }
      };
      const devices = Promise.all([device(), device(), device()]);
      const reads = () => relay.running.stderr.match(REREAD)?.length ?? 0;
      /** Until the relay has read the file again, by itself or as it is told. */
      const reload = async () => {
        const count = reads() + 1;
        process.kill(relay.running.child.pid!, "SIGHUP");
        await relay.running.until("stderr", new RegExp(`(?:${REREAD.source}[^]*?){${count}}`));
      };
      const next = await command("lookup", "set-password", "--next", "printer");
      assert.equal(next.status, 0, next.stderr);
      delete shown["lookup set-password --next printer"];
      await reload();
      // Both are valid now: the administrator enters the new one in the device.
      current = password = next.stdout.trimEnd();
      const entered = logins;
      while (logins < entered + 20) await new Promise((resolve) => setImmediate(resolve));
      assert.equal((await command("lookup", "set-password", "--promote", "printer")).status, 0);
      await reload();
      const promoted = logins;
      while (logins < promoted + 20) await new Promise((resolve) => setImmediate(resolve));
      stop = true;
      await devices;
      assert.equal(failed, "");
      const thief = new SmtpClient(relay.smtps, "127.0.0.1", true);
      assert.equal(await thief.login("printer", old), ONE_REPLY);
      thief.destroy();
    });

    it("are tried by check, with the certificate's thumbprint", async () => {
      writeFileSync(path("password"), password);
      const { status, stdout } = await command(
        ...["check", "--json", "--username", "printer", "--password-file", path("password")],
        ...["--from", PRINTER, "--to", TO],
      );
      const { findings } = JSON.parse(stdout);
      const codes = findings.map(({ code }: { code: string }) => code);
      for (
        const code of ["lookup.ok", "credential.found", "credential.ok", "login.ok", "message.sent"]
      ) assert.ok(codes.includes(code), `${code}: ${stdout}`);
      assert.ok(
        !codes.some((code: string) => /^(?:lookup|credential|login)\..*-/.test(code)),
        stdout,
      );
      assert.equal(status, 0, stdout);
      const wrong = path("wrong");
      writeFileSync(wrong, WRONG);
      const refused = await command("check", "--username", "printer", "--password-file", wrong);
      assert.match(refused.stdout, /login\.password-wrong/);
    });

    it("had their passwords verified by the relay alone: Entra ID saw assertions only", () => {
      assert.ok(asked.length > 0);
      for (const body of asked) {
        const form = new URLSearchParams(body);
        assert.ok(form.get("client_assertion"), body);
        assert.equal(form.get("client_secret"), null);
      }
      for (const text of [password, CHOSEN, WRONG]) {
        assert.ok(!asked.join().includes(text) && !asked.join().includes(encodeURIComponent(text)));
      }
    });

    it("show no password, hash or key in anything that the relay prints or serves", async () => {
      const base = `http://127.0.0.1:${relay.http}`;
      for (const page of ["/", "/status/data", "/metrics", "/readyz", "/healthz"]) {
        shown[page] = await (await fetch(base + page)).text();
      }
      for (
        const args of [
          ["settings"],
          ["settings", "--json"],
          ["lookup", "list"],
          ["lookup", "list", "--json"],
          ["lookup", "get", "printer"],
          ["lookup", "get", ADDRESS, "--json"],
          ["username", "printer"],
        ]
      ) await command(...args);
      shown["the log and standard output"] = relay.running.stderr + relay.running.stdout;

      const hidden = [password, CHOSEN, WRONG, ...hashes(), ...keyLines()];
      for (const [what, text] of Object.entries(shown)) {
        assert.ok(text.length > 0, what);
        for (const secret of hidden) {
          const octets = Buffer.from(secret);
          for (
            const form of [
              secret,
              octets.toString("base64").replace(/=+$/, ""),
              octets.toString("hex"),
            ]
          ) {
            assert.ok(!text.includes(form), `${what} has ${form.slice(0, 8)}…`);
          }
        }
        assert.doesNotMatch(text, /\$(?:scrypt|sha256)\$|eyJ[\w-]{20}/, what);
      }
      assert.match(shown["lookup get printer"]!, /password_hash +set/);
      // These have what they could have shown it with.
      assert.match(relay.running.stderr, /Login refused .*username=printer .*code=WRONG_PASSWORD/);
      assert.match(shown["/status/data"]!, /WRONG_PASSWORD/);
    });

    /** Salts and hashes, as they are written. */
    function hashes(): string[] {
      const entries = JSON.parse(readFileSync(path("lookup.json"), "utf8"));
      return Object.values(entries).flatMap((entry) =>
        (entry as { password_hash: string }).password_hash.split("$").slice(-2)
      );
    }

    function keyLines(): string[] {
      return readFileSync(path("client-key.pem"), "utf8").split("\n").filter((line) =>
        line.length > 40
      );
    }
  });
}

function messageOf(from: string, subject: string): Buffer {
  return Buffer.from(
    [
      `From: <${from}>`,
      `To: <${TO}>`,
      `Subject: ${subject}`,
      "Date: Mon, 30 Nov 2026 08:00:00 +0000",
      `Message-ID: <${subject.replaceAll("@", ".")}@example.com>`,
      "",
      "text",
      "",
    ].join("\r\n"),
  );
}

/** `lookup set-password --stdin`. */
function chosen(
  program: Program,
  environment: Record<string, string>,
  id: string,
  password: string,
): Promise<number | null> {
  const [file, ...before] = program.command;
  const child = spawn(file!, [...before, "lookup", "set-password", "--stdin", id], {
    cwd: root,
    env: { PATH: process.env["PATH"], HOME: process.env["HOME"], ...environment },
    stdio: ["pipe", "ignore", "ignore"],
  });
  child.stdin.end(`${password}\n`);
  return new Promise((resolve) => child.once("close", resolve));
}
