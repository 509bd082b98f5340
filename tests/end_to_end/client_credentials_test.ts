// The relay's own credentials with the program as its users run it: devices with passwords of their own,
// whose mail is sent as the app by certificate, managed identity and workload identity.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { formatPasswordHash } from "../../src/accounts/password_hash.ts";
import type { RegisteredApp } from "../../src/sandbox/client_assertion.ts";
import { EXCHANGE, type IdentityServer, makeIssuer, startIdentity } from "../support/assertions.ts";
import { admin, type Azurite, CONNECTION_STRING, startAzurite } from "../support/azurite.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { PROGRAMS, run, SECRET, serve, TENANT } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const EX_CONFIG = 78;
const IDENTITY = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const SUBJECT = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const POD = "system:serviceaccount:mail:relay";
const OWN_SECRET = "0wn-secret-that-must-not-show";
const machine = makeIssuer(`https://login.microsoftonline.com/${TENANT}/v2.0`);
const cluster = makeIssuer("https://cluster.example/");

/** The entries, by their ids: one app each. */
const CLIENTS = {
  certificate: "aaaaaaaa-bbbb-4ccc-8ddd-000000000001",
  renewed: "aaaaaaaa-bbbb-4ccc-8ddd-000000000002",
  "managed-identity": "aaaaaaaa-bbbb-4ccc-8ddd-000000000003",
  "workload-identity": "aaaaaaaa-bbbb-4ccc-8ddd-000000000004",
  secret: "aaaaaaaa-bbbb-4ccc-8ddd-000000000005",
} as const;

let azurite: Azurite;
let cloud: CloudServer;
let identity: IdentityServer;
let directory: string;
let one: Chain;
let other: Chain;
const apps = new Map<string, RegisteredApp>();
before(async () => {
  directory = mkdtempSync(join(tmpdir(), "relay-own-"));
  [azurite, cloud, identity, one, other] = await Promise.all([
    startAzurite(),
    startCloud({ entra: { app: (client) => apps.get(client) } }),
    startIdentity(machine, { [IDENTITY]: SUBJECT }),
    issueChain({ key: "RSA" }),
    issueChain({ key: "RSA" }),
  ]);
  apps.set(CLIENTS.certificate, { certificates: [one.certificates[0]] });
  apps.set(CLIENTS.renewed, { certificates: [other.certificates[0]] });
  apps.set(CLIENTS["managed-identity"], { federated: [machine.credential(SUBJECT)] });
  apps.set(CLIENTS["workload-identity"], { federated: [cluster.credential(POD)] });
  const stage = admin(azurite, "users");
  await stage.client.createTable();
  const salt = randomBytes(16);
  const hash = createHash("sha256").update(salt).update(SECRET).digest();
  for (const [id, client_id] of Object.entries(CLIENTS)) {
    await stage.client.createEntity({
      partitionKey: "user",
      rowKey: id,
      tenant_id: TENANT,
      client_id,
      from_email: `${id}@example.com`,
      password_hash: formatPasswordHash({ type: "sha256", salt, hash }),
      credential: id === "renewed" ? "certificate" : id,
    });
  }
  stage.close();
});
after(async () => {
  await Promise.all([azurite.stop(), cloud.close(), identity.close()]);
  rmSync(directory, { recursive: true });
});

function write({ certificate, privateKey }: Chain): Record<string, string> {
  const path = (name: string) => join(directory, name);
  for (const [name, text] of [["cert.pem", certificate], ["key.pem", privateKey]] as const) {
    writeFileSync(path(`${name}.new`), text);
    renameSync(path(`${name}.new`), path(name));
  }
  return { CLIENT_CERTIFICATE_FILEPATH: path("cert.pem"), CLIENT_KEY_FILEPATH: path("key.pem") };
}

for (const program of PROGRAMS) {
  describe(`credentials of the relay's own, on ${program.name}`, () => {
    it("send the mail of devices that have no secret of the app", async () => {
      const tokenFile = join(directory, "token");
      writeFileSync(tokenFile, cluster.token({ sub: POD, aud: [EXCHANGE] }));
      const { running, smtp } = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        LOG_LEVEL: "DEBUG",
        AZURE_LOG_LEVEL: "verbose",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        AZURE_TABLES_URL: azurite.url("users"),
        AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${directory}/${program.name}.db`,
        QUEUE_KEY: randomBytes(32).toString("base64"),
        ...write(one),
        ...identity.variables,
        MANAGED_IDENTITY_CLIENT_ID: IDENTITY,
        AZURE_FEDERATED_TOKEN_FILE: tokenFile,
        CLIENT_SECRET: OWN_SECRET,
      });
      const send = async (id: string) => {
        const client = new SmtpClient(smtp);
        assert.match(await client.login(`${id}@lookup`, SECRET), /^235 /);
        assert.match(await client.send(`${id}@example.com`, "to@example.org"), /^250 /);
        client.destroy();
        const sent = new RegExp(`Queued message sent .* sender=${id}@example\\.com `);
        await running.until("stderr", sent);
      };
      for (const id of ["certificate", "managed-identity", "workload-identity", "secret"]) {
        await send(id);
      }
      write(other);
      process.kill(running.child.pid!, "SIGHUP");
      await running.until("stderr", /INFO Client certificate replaced .*thumbprint=/);
      await send("renewed");
      assert.equal(await running.stop(), 0);
      const output = running.stdout + running.stderr;
      const keys = [one, other].flatMap(({ privateKey }) => privateKey.split("\n").slice(1, -2));
      const header = identity.variables["IDENTITY_HEADER"]!;
      for (const hidden of [...keys, "PRIVATE KEY", OWN_SECRET, SECRET, "eyJ", header]) {
        assert.ok(!output.includes(hidden), `the output holds ${hidden.slice(0, 12)}…`);
      }
      assert.doesNotMatch(output, /AADSTS/);
    });

    it("stop the start if they contradict each other, or cannot be used", async () => {
      const start = async (environment: Record<string, string>) => {
        const running = run(program, ["serve"], { TLS_SOURCE: "off", ...environment });
        assert.equal(await running.exited, EX_CONFIG);
        return running.stderr;
      };
      assert.match(
        await start({ CLIENT_CERTIFICATE_FILEPATH: "x", AZURE_KEY_VAULT_CLIENT_CERT_NAME: "y" }),
        /CLIENT_KEY_FILEPATH must be set when [^]*are both set[^]*AZURE_KEY_VAULT_URL must be set/,
      );
      const settings = write({ ...one, privateKey: other.privateKey });
      assert.match(
        await start(settings),
        /CLIENT_KEY_FILEPATH ".*" is not the key of the certificate/,
      );
    });
  });
}
