// Certificates that change under the running program, from files and from Key Vault: on SIGHUP and by
// itself, with mail in flight; and starts that fail because there is no certificate.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type Chain, issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { startVault, type Vault, VAULT_SECRET, type VaultFault } from "../support/vault.ts";
import {
  type Program,
  PROGRAMS,
  type Relay,
  run,
  type Running,
  SECRET,
  serve,
  USERNAME,
} from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const EX_UNAVAILABLE = 69;
const EX_CONFIG = 78;
const CLIENTS = 50;
const NAME = "smtp-relay";

let cloud: CloudServer;
let vault: Vault;
let directory: string;
let one: Chain;
let other: Chain;
/** The program checks every ten seconds by itself: the other tests run meanwhile. */
const volumes = new Map<Program, Promise<void>>();
before(async () => {
  cloud = await startCloud();
  vault = await startVault(cloud);
  directory = mkdtempSync(join(tmpdir(), "relay-certificates-"));
  one = await issueChain({ key: "RSA" });
  other = await issueChain({ key: "EC" });
  for (const program of PROGRAMS) {
    const followed = followVolume(program);
    followed.catch(() => {});
    volumes.set(program, followed);
  }
});
after(async () => {
  await Promise.allSettled(volumes.values());
  await vault.close();
  await cloud.close();
  rmSync(directory, { recursive: true });
});

function write({ certificate, privateKey }: Chain, name = ""): Record<string, string> {
  const path = (file: string) => join(directory, `${name}${file}`);
  for (const [file, text] of [["cert.pem", certificate], ["key.pem", privateKey]] as const) {
    writeFileSync(path(`${file}.new`), text);
    renameSync(path(`${file}.new`), path(file));
  }
  return { TLS_CERT_FILEPATH: path("cert.pem"), TLS_KEY_FILEPATH: path("key.pem") };
}

function environment(more: Record<string, string>): Record<string, string> {
  return {
    SMTP_LISTEN: "127.0.0.1:0",
    SMTPS_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "127.0.0.1:0",
    LOG_LEVEL: "DEBUG",
    // The SDK's own log too, which may be switched on to find a fault.
    AZURE_LOG_LEVEL: "verbose",
    AZURE_AUTHORITY_HOST: cloud.authority.href,
    GRAPH_ENDPOINT: cloud.endpoint.href,
    ...more,
  };
}

/** Makes the program check, and waits for its log line. */
async function hangup({ running }: Pick<Relay, "running">, answer: RegExp): Promise<void> {
  const before = running.stderr.length;
  process.kill(running.child.pid!, "SIGHUP");
  await running.until("stderr", new RegExp(`(?<=^[^]{${before}}[^]*)${answer.source}`));
}

const replaced = ({ serial }: Chain) => new RegExp(`INFO Certificate replaced .*serial=${serial}`);

async function shown({ smtps }: Relay): Promise<string> {
  const client = new SmtpClient(smtps, "127.0.0.1", true);
  await client.reply();
  const { serial } = client;
  client.destroy();
  return serial;
}

/** No key, no secret, no token, in no form. */
function assertClean({ stdout, stderr }: Running): void {
  const output = stdout + stderr;
  const keys = [one, other].flatMap(({ privateKey }) => privateKey.split("\n").slice(1, -2));
  // A PKCS#12 is one long line, of which any piece is secret.
  const pieces = [...vault.values].filter((value) => !value.includes("-----"))
    .flatMap((value) => value.match(/.{40}/g) ?? []);
  const secrets = ["PRIVATE KEY", VAULT_SECRET, SECRET, "eyJ", ...vault.tokens];
  for (const hidden of [...keys, ...pieces, ...secrets]) {
    assert.ok(!output.includes(hidden), `the output holds ${hidden.slice(0, 12)}…`);
  }
}

const SOURCES = {
  file: {
    put: (chain: Chain) => write(chain),
    settings: (chain: Chain): Record<string, string> => write(chain),
  },
  "Key Vault": {
    put: (chain: Chain) => vault.putPkcs12(NAME, chain),
    settings(chain: Chain): Record<string, string> {
      vault.putPkcs12(NAME, chain);
      return vault.environment(NAME);
    },
  },
} as const;

/** The files of a secret volume, changed as the kubelet does: by one symbolic link. */
async function followVolume(program: Program): Promise<void> {
  const volume = join(directory, `volume ${program.name}`);
  const publish = (version: string, { certificate, privateKey }: Chain) => {
    mkdirSync(join(volume, version), { recursive: true });
    writeFileSync(join(volume, version, "tls.crt"), certificate);
    writeFileSync(join(volume, version, "tls.key"), privateKey);
    symlinkSync(version, join(volume, "..data_tmp"));
    renameSync(join(volume, "..data_tmp"), join(volume, "..data"));
  };
  publish("..1", one);
  symlinkSync("..data/tls.crt", join(volume, "tls.crt"));
  symlinkSync("..data/tls.key", join(volume, "tls.key"));
  const relay = await serve(
    program,
    environment({
      TLS_CERT_FILEPATH: join(volume, "tls.crt"),
      TLS_KEY_FILEPATH: join(volume, "tls.key"),
    }),
  );
  assert.equal(await shown(relay), one.serial);
  publish("..2", other);
  const begun = performance.now();
  await relay.running.until("stderr", replaced(other));
  assert.ok(performance.now() - begun < 60_000);
  assert.equal(await shown(relay), other.serial);
  assert.equal(await relay.running.stop(), 0);
}

for (const program of PROGRAMS) {
  describe(`a certificate that changes, on ${program.name}`, () => {
    for (const [name, source] of Object.entries(SOURCES)) {
      it(`in ${name}: ${CLIENTS} connections go on sending, the next handshake uses the new one`, async () => {
        const relay = await serve(program, environment(source.settings(one)));
        assert.match(relay.running.stderr, new RegExp(`Certificate loaded .*serial=${one.serial}`));
        const clients = await Promise.all(Array.from({ length: CLIENTS }, async (_, i) => {
          const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
          assert.match(await client.login(USERNAME, SECRET), /^235 /);
          assert.equal(client.serial, one.serial);
          const from = `sender${i}@example.com`;
          assert.match(await client.send(from, "to@example.org"), /^250 2\.0\.0/);
          // In the middle of the second one.
          await client.say(`MAIL FROM:<${from}>`);
          await client.say("RCPT TO:<to@example.org>");
          assert.match(await client.say("DATA"), /^354/);
          client.write(`From: <${from}>\r\nTo: <to@example.org>\r\n\r\nHalf of`);
          return { client, from };
        }));
        const before = cloud.graph.requests;
        source.put(other);
        await hangup(relay, replaced(other));
        assert.equal(await shown(relay), other.serial);
        await Promise.all(clients.map(async ({ client, from }) => {
          assert.match(await client.say(" it\r\n."), /^250 2\.0\.0/);
          assert.match(await client.send(from, "to@example.org"), /^250 2\.0\.0/);
          assert.match(await client.say("QUIT"), /^221 /);
        }));
        assert.equal(cloud.graph.requests - before, 2 * CLIENTS);
        assert.equal(await relay.running.stop(), 0);
        assert.doesNotMatch(relay.running.stderr, /ERROR|TLS handshake failed/);
        assertClean(relay.running);
      });
    }

    it("to files that do not match is not used, which is logged, until they match", async () => {
      const relay = await serve(program, environment(write(one)));
      await hangup(relay, /INFO Certificate unchanged/);
      writeFileSync(join(directory, "cert.pem"), other.certificate);
      await hangup(
        relay,
        /WARNING New certificate rejected, keeping the current one .* reason="TLS_KEY_FILEPATH .* is not the key/,
      );
      assert.equal(await shown(relay), one.serial);
      write(other);
      await hangup(relay, replaced(other));
      assert.equal(await shown(relay), other.serial);
      assert.equal(await relay.running.stop(), 0);
      assertClean(relay.running);
    });

    it("in a vault that refuses is not used until it can be read; the days left are logged", async () => {
      const relay = await serve(program, environment(SOURCES["Key Vault"].settings(one)));
      vault.fault = "forbidden by role";
      await hangup(
        relay,
        /WARNING Certificate not refreshed, keeping the current one .*ByRbac\)" days=89/,
      );
      vault.fault = undefined;
      vault.setEnabled(NAME, false);
      await hangup(
        relay,
        /WARNING Certificate not refreshed, keeping the current one .*SecretDisabled/,
      );
      assert.equal(await shown(relay), one.serial);
      vault.putPem(NAME, other);
      await hangup(relay, replaced(other));
      assert.equal(await shown(relay), other.serial);
      assert.equal(await relay.running.stop(), 0);
      assertClean(relay.running);
    });

    it("and has expired prevents neither start nor readiness, but is warned about", async () => {
      const expired = await issueChain({ from: -90, until: -1.5 });
      const relay = await serve(program, {
        ...environment(write(expired, "expired-")),
        LOG_LEVEL: "WARNING",
      });
      const [line] = await relay.running.until("stderr", /WARNING Certificate expired.*\n/);
      for (const field of [`serial=${expired.serial}`, "days=-1", "subject=", "expires="]) {
        assert.ok(line.includes(field), line);
      }
      const answer = await fetch(`http://127.0.0.1:${relay.http}/readyz`);
      const { parts } = await answer.json() as { parts: { tls: Record<string, unknown> } };
      assert.equal(answer.status, 200);
      assert.deepEqual(parts.tls, {
        ready: true,
        source: "file",
        expires: new Date(expired.leaf.validTo).toISOString(),
        expired: true,
      });
      assert.equal(await shown(relay), expired.serial);
      assert.equal(await relay.running.stop(), 0);
    });

    it("does not matter without TLS: SIGHUP ends nothing", async () => {
      const relay = await serve(
        program,
        environment({ TLS_SOURCE: "off", REQUIRE_TLS: "false", SMTPS_LISTEN: "" }),
      );
      await hangup(relay, /INFO Reading certificates and LOOKUP_FILE again/);
      const client = new SmtpClient(relay.smtp);
      assert.match(await client.login(USERNAME, SECRET), /^235 /);
      client.destroy();
      assert.equal(await relay.running.stop(), 0);
    });
  });

  describe(`a start with a certificate in Key Vault, on ${program.name}`, () => {
    /** @returns its one line */
    async function refusal(status: number, settings: Record<string, string>): Promise<string> {
      const running = run(program, ["serve"], environment(settings));
      assert.equal(await running.exited, status, running.stderr);
      assertClean(running);
      const [line, ...more] = running.stderr.trimEnd().split("\n")
        .filter((line) => line.startsWith("smtp-oauth-relay: "));
      assert.deepEqual(more, []);
      return line!;
    }

    it("exits with 69 when the vault does not return it", async () => {
      vault.putPkcs12(NAME, one);
      const faults: readonly [VaultFault, RegExp][] = [
        ["forbidden by role", /role "Key Vault Secrets User"/],
        ["hangs up", /it cannot be reached/],
      ];
      for (const [fault, words] of faults) {
        vault.fault = fault;
        assert.match(await refusal(EX_UNAVAILABLE, vault.environment(NAME)), words);
      }
      vault.fault = undefined;
      const missing = await refusal(EX_UNAVAILABLE, vault.environment("other-name"));
      assert.match(missing, /it has no certificate "other-name"/);
      const wrong = { ...vault.environment(NAME), AZURE_CLIENT_SECRET: "wrong-secret" };
      assert.match(await refusal(EX_UNAVAILABLE, wrong), /gets no token for it: AADSTS7000215/);
    });

    it("exits with 78 when the certificate or the settings cannot be used", async () => {
      vault.putPem(NAME, one, one.certificate);
      assert.match(await refusal(EX_CONFIG, vault.environment(NAME)), /it has no private key/);
      const unset = { ...vault.environment(NAME), AZURE_KEY_VAULT_CERT_NAME: "" };
      assert.match(await refusal(EX_CONFIG, unset), /AZURE_KEY_VAULT_CERT_NAME must be set when/);
      const unknown = { ...vault.environment(NAME), AZURE_TOKEN_CREDENTIALS: "Nonsense" };
      assert.match(
        await refusal(EX_CONFIG, unknown),
        /identity cannot be made: .*AZURE_TOKEN_CRED/,
      );
    });
  });
}

// Last, so that as little waiting as possible is left.
for (const program of PROGRAMS) {
  describe(`a certificate that changes, on ${program.name}`, () => {
    it("in a Kubernetes volume is seen without a signal, within 60 s", async () => {
      await volumes.get(program);
    });
  });
}
