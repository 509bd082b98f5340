// Commands, and errors at the start: one clear line each, the contract's exit status,
// nothing half started.

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { PROGRAMS, run, serve, startable } from "./programs.ts";
import { P224 } from "../support/key_kinds.ts";
import { startRawServer } from "../support/raw_server.ts";

const EX_USAGE = 2;
const EX_UNAVAILABLE = 69;
const EX_CONFIG = 78;

const PLAIN = { TLS_SOURCE: "off", REQUIRE_TLS: "false" };
/** A service that refuses connections. */
const NOWHERE = "http://127.0.0.1:1";
const FREE = { SMTP_LISTEN: "127.0.0.1:0", HTTP_LISTEN: "127.0.0.1:0" };

/** Takes the default port of HTTP_LISTEN. A run on the other runtime may have it just now. */
async function takeDefaultPort(): Promise<{ close(): Promise<void> }> {
  for (let tries = 0;; tries++) {
    // The relay asks whether another relay has the port, and is refused.
    const server = createServer((socket) => socket.destroy());
    const taken = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false)).listen(8026, "127.0.0.1", () => resolve(true));
    });
    if (taken) return { close: () => new Promise((resolve) => server.close(() => resolve())) };
    // Another program has it for good: that serves this test as well.
    if (tries === 100) return { close: () => Promise.resolve() };
    await sleep(200);
  }
}

for (const program of PROGRAMS) {
  describe(`the command line, on ${program.name}`, () => {
    let directory: string;
    before(async () => {
      directory = mkdtempSync(join(tmpdir(), "relay-test-"));
      const [mine, other] = [await selfSignedCertificate(), await selfSignedCertificate()];
      writeFileSync(join(directory, "cert.pem"), mine.certificate);
      writeFileSync(join(directory, "key.pem"), mine.privateKey);
      writeFileSync(join(directory, "other-key.pem"), other.privateKey);
      writeFileSync(join(directory, "p224.pem"), P224.certificate);
      writeFileSync(join(directory, "p224-key.pem"), P224.privateKey);
      writeFileSync(join(directory, "empty.pem"), "");
      mkdirSync(join(directory, "directory.pem"));
    });
    after(() => rmSync(directory, { recursive: true }));

    /** Runs it to its end. */
    const ends = async (args: readonly string[], environment: Record<string, string> = {}) => {
      const running = run(program, args, environment);
      const status = await running.exited;
      return { status, stdout: running.stdout, stderr: running.stderr };
    };
    const certificate = (cert: string, key: string) => ({
      ...FREE,
      TLS_CERT_FILEPATH: join(directory, cert),
      TLS_KEY_FILEPATH: join(directory, key),
    });

    it("prints name, version and runtime", async () => {
      for (const args of [["version"], ["--version"]]) {
        const { status, stdout } = await ends(args);
        assert.equal(status, 0);
        assert.match(
          stdout,
          /^smtp-oauth-relay \d+\.\d+\.\d+ \(.+\) on (?:Bun|Deno) \d+\.\d+\.\d+\n$/,
        );
      }
    });

    it("has --help for every command", async () => {
      for (
        const command of [
          "serve",
          "sandbox",
          "username",
          "check",
          "lookup",
          "healthcheck",
          "install-service",
          "version",
        ]
      ) {
        const { status, stdout, stderr } = await ends([command, "--help"]);
        assert.equal(status, 0);
        assert.match(stdout, new RegExp(`^Usage: smtp-oauth-relay ${command}`));
        assert.equal(stderr, "");
      }
    });

    it("prints the username long and short (RFC 9562 octet order)", async () => {
      const id = "12345678-1234-1234-1234-123456789abc";
      const { status, stdout } = await ends(["username", id, id], {
        USERNAME_DELIMITER: ":",
        MAX_RECIPIENTS: "of no matter here",
      });
      assert.equal(status, 0);
      assert.equal(stdout, `${id}:${id}\nEjRWeBI0EjQSNBI0VniavA:EjRWeBI0EjQSNBI0VniavA\n`);
    });

    it("decodes a username, also a short one that looks like an option", async () => {
      const id = "fbefbeff-fbef-4bef-bfbe-fffbefbefffe";
      const made = await ends(["username", id, id, "--json"]);
      assert.equal(made.status, 0);
      const json = JSON.parse(made.stdout);
      assert.match(json.short, /^-/);
      for (const args of [["username", json.short], ["username", json.long]]) {
        const { status, stdout, stderr } = await ends(args);
        assert.equal(status, 0, stderr);
        assert.equal(stdout, `tenant id  ${id}\nclient id  ${id}\n`);
      }
      const [half] = json.short.split("@");
      const again = await ends(["username", half, "--json", half]);
      assert.deepEqual(JSON.parse(again.stdout), json);
      const lookup = await ends(["username", "printer@lookup", "--json"]);
      assert.deepEqual(JSON.parse(lookup.stdout), { type: "lookup", id: "printer" });
    });

    it("reads settings from --env-file, which the environment overrides", async () => {
      const file = join(directory, "settings.env");
      writeFileSync(file, "USERNAME_DELIMITER=|\n");
      const id = "12345678-1234-1234-1234-123456789abc";
      const fromFile = await ends(["username", id, id, "--env-file", file]);
      assert.match(fromFile.stdout, /^[0-9a-f-]{36}\|/);
      const overruled = await ends(["--env-file", file, "username", id, id], {
        USERNAME_DELIMITER: ":",
      });
      assert.match(overruled.stdout, /^[0-9a-f-]{36}:/);
    });

    const usageErrors: readonly [name: string, args: string[], line: RegExp][] = [
      ["an unknown command", ["srve"], /unknown command 'srve'.*serve/],
      ["help for an unknown command", ["srve", "--help"], /unknown command 'srve'/],
      ["help on an unknown command", ["--help", "srve"], /unknown command 'srve'/],
      ["help on an unknown command, in words", ["help", "srve"], /unknown command 'srve'/],
      ["an unknown flag", ["serve", "--prot"], /unknown option '--prot'/],
      [
        "an unknown flag with a value",
        ["serve", "--enf-file", "x"],
        /unknown option '--enf-file'.*--env-file/,
      ],
      [
        "an unknown flag with a value, before any command",
        ["--enf-file", "x"],
        /unknown option '--enf-file'.*--env-file/,
      ],
      // The value may be a secret.
      ["the same joined", ["--enf-file=x"], /unknown option '--enf-file=…'.*--env-file/],
      [
        "an unknown flag before a command",
        ["--enf-file", "x", "serve"],
        /unknown option '--enf-file'.*--env-file/,
      ],
      [
        "a flag that another command has",
        ["lookup", "list", "--jsn"],
        /unknown option '--jsn'.*--json/,
      ],
      ["a flag unlike any other", ["--nonsense"], /unknown option '--nonsense'/],
      ["a missing argument", ["username"], /TENANT_ID/],
      ["a malformed id", ["username", "x", "y"], /TENANT_ID \(1 character\) must be a UUID/],
      ["a malformed username", ["username", "x@y"], /tenant id is neither/],
      [
        "a username that no table can have",
        ["username", "a/b@lookup"],
        /cannot be a key of the lookup table/,
      ],
      ["an unknown flag of username", ["username", "--jsn", "x@lookup"], /unknown option '--jsn'/],
    ];
    for (const [name, args, line] of startable(program, usageErrors)) {
      it(`exits with 2 and one line for ${name}`, async () => {
        assertRefusal(await ends(args), EX_USAGE, [line]);
      });
    }

    it("names all bad settings together, with the allowed values", async () => {
      const result = await ends(["serve"], {
        LOG_LEVEL: "LOUD",
        SMTP_LISTEN: "8025",
        USERNAME_DELIMITER: "#",
        HTTP_PASSWORD_FILE: join(directory, "absent"),
        TLS_SOURC: "off",
      });
      assertRefusal(result, EX_CONFIG, [
        /TLS_SOURC is not a setting: did you mean TLS_SOURCE\?/,
        /LOG_LEVEL "LOUD" must be "DEBUG", "INFO", "WARNING", "ERROR" or "CRITICAL"/,
        /USERNAME_DELIMITER "#" must be "@", ":" or "\|"/,
        /SMTP_LISTEN "8025" must be host:port.*; did you mean ":8025"\?/,
        /HTTP_PASSWORD_FILE ".*absent" cannot be read: there is no such file or directory \(ENOENT\)/,
      ]);
    });

    const certificates: readonly [name: string, cert: string, key: string, line: RegExp][] = [
      ["is missing", "absent.pem", "key.pem", /TLS_CERT_FILEPATH ".*absent\.pem" does not exist/],
      ["has no key", "cert.pem", "absent.pem", /TLS_KEY_FILEPATH ".*absent\.pem" does not exist/],
      // A directory stands for what cannot be read: tests may run as root, who reads every file.
      [
        "cannot be read",
        "directory.pem",
        "key.pem",
        /TLS_CERT_FILEPATH ".*directory\.pem" is a directory/,
      ],
      ["is empty", "empty.pem", "key.pem", /TLS_CERT_FILEPATH ".*empty\.pem" holds no certificate/],
      ["does not fit its key", "cert.pem", "other-key.pem", /is not the key of the certificate/],
      ["is exchanged with its key", "key.pem", "cert.pem", /: exchange the two$/],
      [
        "has a key of a kind that cannot be served",
        "p224.pem",
        "p224-key.pem",
        /of the kind EC P-224.*: get a certificate with an RSA key of 2048 bits or more/,
      ],
    ];
    for (const [name, cert, key, line] of startable(program, certificates)) {
      it(`does not start with a certificate that ${name}`, async () => {
        assertRefusal(await ends(["serve"], certificate(cert, key)), EX_CONFIG, [line]);
      });
    }

    it("reports a missing certificate, key and authorities together", async () => {
      assertRefusal(
        await ends(["serve"], {
          ...certificate("absent.pem", "absent-key.pem"),
          EXTRA_CA_CERTS_FILEPATH: join(directory, "no-authorities.pem"),
        }),
        EX_CONFIG,
        [
          /TLS_CERT_FILEPATH ".*absent\.pem" does not exist/,
          /TLS_KEY_FILEPATH ".*absent-key\.pem" does not exist/,
          /EXTRA_CA_CERTS_FILEPATH ".*no-authorities\.pem" does not exist/,
        ],
      );
    });

    it("does not start with ciphers or a TLS version that the runtime does not support", async () => {
      const result = await ends(["serve"], {
        ...certificate("cert.pem", "key.pem"),
        TLS_CIPHER_SUITE: "NONSENSE",
      });
      assertRefusal(result, EX_CONFIG, [/TLS_CIPHER_SUITE "NONSENSE" cannot be used/]);
    });

    it("ignores a security level that the TLS library does not know, and warns", async () => {
      const relay = await serve(program, {
        ...certificate("cert.pem", "key.pem"),
        TLS_CIPHER_SUITE: "DEFAULT@SECLEVEL=0",
      });
      assert.match(relay.running.stderr, /WARNING TLS_CIPHER_SUITE .*@SECLEVEL=0 is dropped: /);
      assert.equal(await relay.running.stop(), 0);
    });

    for (const setting of ["SMTP_LISTEN", "HTTP_LISTEN"]) {
      it(`exits with 69 when the port of ${setting} is in use, and listens nowhere`, async () => {
        const taken = createServer();
        await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
        const { port } = taken.address() as AddressInfo;
        const result = await ends(["serve"], { ...PLAIN, ...FREE, [setting]: `127.0.0.1:${port}` });
        taken.close();
        const [, ...lines] = result.stderr.trimEnd().split("\n");
        assertRefusal({ ...result, stderr: lines.join("\n") + "\n" }, EX_UNAVAILABLE, [
          new RegExp(`${setting} 127\\.0\\.0\\.1:${port}: the port is in use by another program`),
        ]);
      });
    }

    for (const command of ["serve", "sandbox"]) {
      it(`exits with 78, and says what to do, when ${command} finds no LOOKUP_FILE`, async () => {
        const absent = join(directory, "absent.json");
        const result = await ends([command], { ...PLAIN, ...FREE, LOOKUP_FILE: absent });
        assert.equal(result.status, EX_CONFIG);
        assert.match(
          result.stderr,
          /LOOKUP_FILE ".*": there is no such file .* lookup set; \{\} is a/,
        );
      });
    }

    it("starts without HTTP, and warns, when the default HTTP port is in use", async () => {
      const taken = await takeDefaultPort();
      const running = run(program, ["serve"], { ...PLAIN, SMTP_LISTEN: "127.0.0.1:0" });
      const [line] = await running.until("stderr", /.*Relay started.*\n/);
      assert.doesNotMatch(line, / http=/);
      assert.match(
        running.stderr,
        /WARNING No health, metrics and pages: HTTP_LISTEN is not set, .* reason="HTTP_LISTEN 127\.0\.0\.1:8026: the port is in use by another program/,
      );
      const found = await ends(["check"], {
        ...PLAIN,
        SMTP_LISTEN: "127.0.0.1:0",
        AZURE_AUTHORITY_HOST: NOWHERE,
        GRAPH_ENDPOINT: NOWHERE,
      });
      assert.match(found.stdout, /^warn ports: HTTP_LISTEN .* \[ports\.http-taken\]$/m);
      assert.equal(await running.stop(), 0);
      await taken.close();
    });

    for (const setting of ["SMTP_LISTEN", "HTTP_LISTEN"]) {
      it(`exits with 69 when the name in ${setting} cannot be resolved`, async () => {
        const given = {
          [setting]: "nosuchhost.invalid:19025",
          HTTP_PASSWORD: "x",
          LOG_LEVEL: "ERROR",
        };
        assertRefusal(await ends(["serve"], { ...PLAIN, ...FREE, ...given }), EX_UNAVAILABLE, [
          new RegExp(`${setting} nosuchhost\\.invalid:19025: the host name cannot be resolved$`),
        ]);
      });
    }

    for (const needed of ["true", "false"]) {
      it(`exits with 78 when its own identity for the table cannot be created, needed: ${needed}`, async () => {
        const result = await ends(["serve"], {
          ...PLAIN,
          ...FREE,
          LOG_LEVEL: "ERROR",
          AZURE_TABLES_URL: "https://account.table.core.windows.net/users",
          AZURE_TABLES_FORCE_USAGE: needed,
          AZURE_TOKEN_CREDENTIALS: "bogus",
        });
        // Up to the last of the allowed names, not cut off inside a word.
        assertRefusal(result, EX_CONFIG, [
          /: the relay's own identity cannot be made: .*AZURE_TOKEN_CREDENTIALS = bogus\..*Credential/,
        ]);
      });
    }

    it("reports whether it is ready, and stops cleanly on SIGTERM and SIGINT", async () => {
      for (const signal of ["SIGTERM", "SIGINT"] as const) {
        const relay = await serve(program, PLAIN);
        const HTTP_LISTEN = `127.0.0.1:${relay.http}`;
        // Other errors in the environment do not concern it.
        assert.deepEqual(await ends(["healthcheck"], { HTTP_LISTEN, LOG_LEVEL: "LOUD" }), {
          status: 0,
          stdout: "ready\n",
          stderr: "",
        });
        // An idle client gets a reply (RFC 5321 §3.8).
        const idle = connect(relay.smtp, "127.0.0.1");
        let said = "";
        await new Promise<void>((resolve) =>
          idle.on("data", (octets) => {
            said += octets;
            resolve();
          })
        );
        const closed = new Promise<void>((resolve) => idle.on("close", () => resolve()));
        assert.equal(await relay.running.stop(signal), 0);
        await closed;
        assert.match(said, /^220 [^\r]*\r\n421 4\.3\.2 [^\r]*\r\n$/);
        const { status, stderr } = await ends(["healthcheck"], { HTTP_LISTEN });
        assert.equal(status, 1);
        assert.match(stderr, /does not answer: ECONNREFUSED/);
      }
    });

    it("exits with 0 when the reader of its output has gone, as with head -1", async () => {
      const running = run(program, ["version"]);
      running.child.stdout!.destroy();
      const [status] = await once(running.child, "exit");
      assert.deepEqual([status, running.stderr], [0, ""]);
    });

    it("does not take another server's response for the relay's health", async () => {
      const stranger = await startRawServer(async (connection) => {
        await connection.request();
        connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
      });
      const HTTP_LISTEN = `127.0.0.1:${stranger.port}`;
      assertRefusal(await ends(["healthcheck"], { HTTP_LISTEN }), 1, [
        /answers 200, but is not this/,
      ]);
      await stranger.close();
    });
  });
}

/** One line each on standard error, nothing on standard output. */
function assertRefusal(
  { status, stdout, stderr }: { status: number | null; stdout: string; stderr: string },
  expected: number,
  lines: readonly RegExp[],
): void {
  assert.equal(status, expected, stderr);
  assert.equal(stdout, "");
  const said = stderr.trimEnd().split("\n");
  assert.equal(said.length, lines.length, stderr);
  for (const [i, line] of said.entries()) {
    assert.match(line, /^smtp-oauth-relay: /);
    assert.ok(lines.some((pattern) => pattern.test(line)), `${i}: ${line}`);
  }
}
