/**
 * Mail by SMTP to Exchange for devices that have no secret: the relay's own certificate and managed identity get
 * the token of Exchange's scope, which the submission server verifies.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { formatPasswordHash } from "../../src/accounts/password_hash.ts";
import type { RegisteredApp } from "../../src/sandbox/client_assertion.ts";
import { type IdentityServer, makeIssuer, startIdentity } from "../support/assertions.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { PROGRAMS, SECRET, serve, TENANT } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

const IDENTITY = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const SUBJECT = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const machine = makeIssuer(`https://login.microsoftonline.com/${TENANT}/v2.0`);
const CLIENTS = {
  certificate: "aaaaaaaa-bbbb-4ccc-8ddd-000000000001",
  "managed-identity": "aaaaaaaa-bbbb-4ccc-8ddd-000000000003",
} as const;

let cloud: CloudServer;
let identity: IdentityServer;
let chain: Chain;
let directory: string;
const audiences: string[] = [];
before(async () => {
  directory = mkdtempSync(join(tmpdir(), "exchange-own-"));
  const apps = new Map<string, RegisteredApp>();
  [cloud, identity, chain] = await Promise.all([
    startCloud({
      entra: {
        app: (client) => apps.get(client),
        roles(_client, audience) {
          audiences.push(audience);
          return audience.includes("outlook") ? ["SMTP.SendAsApp"] : [];
        },
      },
    }),
    startIdentity(machine, { [IDENTITY]: SUBJECT }),
    issueChain({ key: "RSA" }),
  ]);
  apps.set(CLIENTS.certificate, { certificates: [chain.certificates[0]] });
  apps.set(CLIENTS["managed-identity"], { federated: [machine.credential(SUBJECT)] });
  writeFileSync(join(directory, "cert.pem"), chain.certificate);
  writeFileSync(join(directory, "key.pem"), chain.privateKey);
  const salt = randomBytes(16);
  const hash = createHash("sha256").update(salt).update(SECRET).digest();
  const entries = Object.fromEntries(
    Object.entries(CLIENTS).map(([id, client_id]) => [id, {
      tenant_id: TENANT,
      client_id,
      from_email: `${id}@example.com`,
      password_hash: formatPasswordHash({ type: "sha256", salt, hash }),
      credential: id,
    }]),
  );
  writeFileSync(join(directory, "lookup.json"), JSON.stringify(entries));
});
after(async () => {
  await Promise.all([cloud.close(), identity.close()]);
  rmSync(directory, { recursive: true });
});

for (const program of PROGRAMS) {
  describe(`Exchange by SMTP with the relay's own credentials, on ${program.name}`, () => {
    it("takes the mail of devices without a secret", async () => {
      await cloud.inbox.clear();
      audiences.length = 0;
      const { running, smtp } = await serve(program, {
        TLS_SOURCE: "off",
        REQUIRE_TLS: "false",
        AZURE_AUTHORITY_HOST: cloud.authority.href,
        GRAPH_ENDPOINT: cloud.endpoint.href,
        BACKEND: "exchange",
        EXCHANGE_SMTP_URL: await cloud.submissionUrl(),
        LOOKUP_FILE: join(directory, "lookup.json"),
        CLIENT_CERTIFICATE_FILEPATH: join(directory, "cert.pem"),
        CLIENT_KEY_FILEPATH: join(directory, "key.pem"),
        ...identity.variables,
        MANAGED_IDENTITY_CLIENT_ID: IDENTITY,
        LOG_LEVEL: "INFO",
      });
      try {
        for (const id of Object.keys(CLIENTS)) {
          const client = new SmtpClient(smtp);
          assert.match(await client.login(`${id}@lookup`, SECRET), /^235 /);
          assert.match(await client.send("device@example.com", "you@example.org", id), /^250 /);
          client.destroy();
        }
      } finally {
        assert.equal(await running.stop(), 0);
      }
      const mailboxes = cloud.inbox.list().map(({ id }) => cloud.inbox.get(id)!.mailbox);
      assert.deepEqual(mailboxes.sort(), [
        "certificate@example.com",
        "managed-identity@example.com",
      ]);
      assert.deepEqual(new Set(audiences), new Set(["https://outlook.office365.com"]));
      assert.equal(cloud.graph.requests, 0);
    });
  });
}
