// The program's TLS as seen by scanners and old clients.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { PROGRAMS, type Relay, sandbox, SECRET, serve, USERNAME } from "./programs.ts";

const absent = ["sslscan", "openssl", "swaks"].find((tool) =>
  spawnSync(tool, ["--version"]).error !== undefined
);
const skip = absent === undefined ? false : `${absent} is not installed`;

/** Runs a tool to its end, with this input. @returns all of its output */
function execute(tool: string, args: readonly string[], input = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(tool, args, {
      env: { PATH: process.env["PATH"] },
      timeout: 60_000,
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => output += text);
    child.stderr.setEncoding("utf8").on("data", (text: string) => output += text);
    child.on("error", reject);
    child.on("close", () => resolve(output));
    child.stdin.on("error", () => {});
    child.stdin.end(input);
  });
}

interface Scan {
  /** Protocols that were accepted, such as `tls 1.2`. */
  readonly protocols: readonly string[];
  readonly ciphers: readonly { version: string; name: string; bits: number; strength: string }[];
  readonly heartbleed: boolean;
}

/** sslscan fails when a probe is refused before all of it has been sent: then it is run again. */
async function scan(args: readonly string[]): Promise<Scan> {
  for (let tries = 1;; tries++) {
    const xml = await scanOnce(args);
    if (tries === 10 || !/<error><!\[CDATA\[send\(\) failed: Connection reset/.test(xml)) {
      return readScan(xml);
    }
  }
}

function scanOnce(args: readonly string[]): Promise<string> {
  return execute("sslscan", [
    // Deno's TLS lets a client that offers only unknown groups wait until the handshake's
    // deadline; the groups do not matter here.
    ...["--no-colour", "--no-failed", "--no-groups", "--xml=-"],
    ...args,
  ]);
}

function readScan(xml: string): Scan {
  const attributes = (element: string) =>
    [...xml.matchAll(new RegExp(`<${element} ([^>]*)/>`, "g"))].map((match) =>
      Object.fromEntries(
        [...match[1]!.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!]),
      )
    );
  const ciphers = attributes("cipher").map(({ sslversion, cipher, bits, strength }) => ({
    version: sslversion!,
    name: cipher!,
    bits: Number(bits),
    strength: strength!,
  }));
  assert.ok(ciphers.length > 0, xml);
  return {
    protocols: attributes("protocol").filter(({ enabled }) => enabled === "1")
      .map(({ type, version }) => `${type} ${version}`),
    ciphers,
    heartbleed: attributes("heartbleed").some(({ vulnerable }) => vulnerable === "1"),
  };
}

/** Forward secrecy and AEAD, for TLS 1.2 and 1.3 (RFC 9325 §4.1, §4.2). */
const STRONG = /^(?:ECDHE-(?:RSA|ECDSA)-(?:AES\d+-GCM-SHA\d+|CHACHA20-POLY1305)|TLS_\w+)$/;
/** RSA key exchange, and CBC with and without forward secrecy: what TLS 1.2 offers to old devices. */
const OLD = ["AES128-SHA", "AES256-SHA", "AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"];

/** Names that must not be part of any offered cipher suite (RFC 9325 §4.1). */
const WEAK = /RC4|DES|NULL|EXP|ADH|AECDH|anon|MD5|PSK|SEED|IDEA/;

for (const program of PROGRAMS) {
  describe(`TLS on ${program.name}, scanned`, { skip }, () => {
    let directory: string;
    let relay: Relay;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "tls-scan-"));
      // RSA has more cipher suites than EC, and the weaker ones.
      await execute("openssl", [
        ...[
          "req",
          "-x509",
          "-newkey",
          "rsa:2048",
          "-nodes",
          "-days",
          "2",
          "-subj",
          "/CN=localhost",
        ],
        ...["-keyout", join(directory, "key.pem"), "-out", join(directory, "cert.pem")],
      ]);
      relay = await serve(program, {
        TLS_CERT_FILEPATH: join(directory, "cert.pem"),
        TLS_KEY_FILEPATH: join(directory, "key.pem"),
        SMTPS_LISTEN: "127.0.0.1:0",
      });
    });
    after(async () => {
      assert.equal(await relay.running.stop(), 0);
      rmSync(directory, { recursive: true });
    });

    for (const starttls of [true, false]) {
      it(`offers only TLS 1.2 and 1.3, without a weak cipher, ${starttls ? "by STARTTLS" : "as implicit TLS"}`, async () => {
        const { protocols, ciphers, heartbleed } = await scan(
          starttls ? ["--starttls-smtp", `127.0.0.1:${relay.smtp}`] : [`127.0.0.1:${relay.smtps}`],
        );
        assert.deepEqual(protocols, ["tls 1.2", "tls 1.3"]);
        const weak = ciphers.filter(({ name, bits, strength }) =>
          WEAK.test(name) || bits < 128 || !["strong", "acceptable"].includes(strength)
        );
        assert.deepEqual(weak, []);
        assert.deepEqual(ciphers.filter(({ name }) => !STRONG.test(name)), []);
        const first = ciphers.find(({ version }) => version === "TLSv1.2");
        assert.match(first!.name, /^ECDHE-RSA-.*(?:GCM|POLY1305)/);
        assert.equal(heartbleed, false);
      });
    }

    it("refuses RSA key exchange and CBC (RFC 9325 §4.1), as old clients request them", async () => {
      for (const cipher of [...OLD, "kRSA"]) {
        const found = await execute("openssl", [
          ...["s_client", "-connect", `127.0.0.1:${relay.smtps}`, "-tls1_2"],
          ...["-cipher", `${cipher}:@SECLEVEL=0`],
        ]);
        assert.doesNotMatch(found, /^220 /m, cipher);
        assert.match(found, /Cipher is \(NONE\)/, cipher);
      }
    });

    it("announces secure renegotiation (RFC 5746), and never renegotiates", async () => {
      const found = await execute("openssl", [
        ...["s_client", "-connect", `127.0.0.1:${relay.smtps}`, "-tls1_2"],
      ], "R\n");
      assert.match(found, /Secure Renegotiation IS supported/);
      assert.match(found, /RENEGOTIATING\n[^]*no renegotiation/);
    });

    it("refuses a client that knows nothing newer than TLS 1.1 (RFC 8996)", async () => {
      for (const version of ["-tls1", "-tls1_1"]) {
        const found = await execute("openssl", [
          ...["s_client", "-connect", `127.0.0.1:${relay.smtps}`, version],
          ...["-cipher", "ALL:@SECLEVEL=0"],
        ]);
        assert.doesNotMatch(found, /^220 /m);
        assert.match(found, /Cipher is \(NONE\)/);
      }
    });

    // Deno's TLS has no other ciphers, and no cipher strings: there the setting stops the start, as
    // start_test.ts shows.
    const byCipherSuite = program.name === "Deno" ? () => {} : it;
    byCipherSuite("has them by TLS_CIPHER_SUITE, for devices with nothing better", async () => {
      const old = await serve(program, {
        TLS_CERT_FILEPATH: join(directory, "cert.pem"),
        TLS_KEY_FILEPATH: join(directory, "key.pem"),
        SMTPS_LISTEN: "127.0.0.1:0",
        // As docs/clients.md shows it.
        TLS_CIPHER_SUITE: "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:RSA+AES",
      });
      for (const cipher of OLD) {
        const found = await execute("openssl", [
          ...["s_client", "-connect", `127.0.0.1:${old.smtps}`, "-tls1_2", "-quiet"],
          ...["-cipher", `${cipher}:@SECLEVEL=0`],
        ], "QUIT\n");
        assert.match(found, /^220 /m, cipher);
      }
      const { ciphers } = await scan([`127.0.0.1:${old.smtps}`]);
      assert.match(ciphers.find(({ version }) => version === "TLSv1.2")!.name, STRONG);
      assert.equal(await old.running.stop(), 0);
    });

    it("accepts no weak parameters: no export keys, no small groups", async () => {
      const { ciphers } = await scan([`127.0.0.1:${relay.smtps}`]);
      // Finite-field groups are the server's choice, and have been too small (CVE-2015-4000).
      assert.deepEqual(ciphers.filter(({ name }) => /^DHE|^EDH/.test(name)), []);
    });
  });

  // Deno has no TLS below 1.2: there the setting stops the start, as start_test.ts shows.
  if (program.name !== "Deno") {
    describe(`TLS_MIN_VERSION=1.0 on ${program.name}`, { skip }, () => {
      it("accepts mail from an old client by TLS 1.0", async () => {
        const relay = await sandbox(program, { TLS_MIN_VERSION: "1.0" });
        const output = await execute("swaks", [
          ...["--server", `127.0.0.1:${relay.smtp}`, "--tls", "--tls-protocol", "tlsv1"],
          ...["--tls-cipher", "DEFAULT:@SECLEVEL=0"],
          ...["--auth", "PLAIN", "--auth-user", USERNAME, "--auth-password", SECRET],
          ...["--from", "printer@example.com", "--to", "reader@example.org"],
        ]);
        assert.match(output, /TLS started with cipher TLSv1:/);
        assert.match(output, /250 2\.0\.0 /);
        const { protocols, ciphers } = await scan([`127.0.0.1:${relay.smtps}`]);
        assert.deepEqual(protocols, ["tls 1.0", "tls 1.1", "tls 1.2", "tls 1.3"]);
        assert(ciphers.some(({ version, name }) => version === "TLSv1.0" && /-SHA$/.test(name)));
        assert.deepEqual(ciphers.filter(({ name }) => WEAK.test(name)), []);
        assert.equal(await relay.running.stop("SIGINT"), 0);
      });
    });
  }
}
