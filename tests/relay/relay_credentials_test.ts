/** The relay's own credentials, opened from the settings; and their renewal under load. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { after, afterEach, before, describe, it } from "node:test";
import { formatPasswordHash } from "../../src/accounts/password_hash.ts";
import { CertificateError, CertificateUnavailable } from "../../src/certificates/certificate.ts";
import { requestToken } from "../../src/entra/msal.ts";
import { TokenSource } from "../../src/entra/tokens.ts";
import { CommandError } from "../../src/exit.ts";
import { HttpClient } from "../../src/http/client.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { openCredentials } from "../../src/relay/relay_credentials.ts";
import type { RegisteredApp } from "../../src/sandbox/client_assertion.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { EXCHANGE, type IdentityServer, makeIssuer, startIdentity } from "../support/assertions.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, SCOPE, TENANT } from "../support/logins.ts";
import { SECRET, TestRelays } from "../support/relay.ts";
import { plainSettings } from "../support/settings.ts";
import { startVault, type Vault, VAULT_SECRET } from "../support/vault.ts";

const IDENTITY = "cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const SUBJECT = "dddddddd-bbbb-4ccc-8ddd-eeeeeeeeeeee";
const OWN_SECRET = "0wn-secret-that-must-not-show";
const NAME = "relay-entra";
const issuer = makeIssuer(`https://login.microsoftonline.com/${TENANT}/v2.0`);

let cloud: CloudServer;
let vault: Vault;
let identity: IdentityServer;
let directory: string;
let chain: Chain;
let renewed: Chain;
/** What every app trusts. */
let trusted: RegisteredApp = {};
/** Of the process, which the SDK reads for the vault. */
const kept = new Map<string, string | undefined>();
before(async () => {
  directory = mkdtempSync(join(tmpdir(), "relay-own-"));
  cloud = await startCloud({ entra: { app: () => trusted } });
  vault = await startVault(cloud);
  identity = await startIdentity(issuer, { [IDENTITY]: SUBJECT });
  [chain, renewed] = await Promise.all([
    issueChain({ key: "RSA", until: 90 }),
    issueChain({ key: "RSA", until: 400 }),
  ]);
  for (const [name, value] of Object.entries(vault.environment(NAME))) {
    if (!/^AZURE_(?:TENANT|CLIENT|TOKEN)/.test(name)) continue;
    kept.set(name, process.env[name]);
    process.env[name] = value;
  }
});
after(async () => {
  for (const [name, value] of kept) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await Promise.all([vault.close(), identity.close()]);
  await cloud.close();
  rmSync(directory, { recursive: true });
});
const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
  trusted = {};
});

/** By renames, the key first. */
function write({ certificate, privateKey }: Chain): Record<string, string> {
  const path = (name: string) => join(directory, name);
  for (const [name, text] of [["key.pem", privateKey], ["cert.pem", certificate]] as const) {
    writeFileSync(path(`${name}.new`), text);
    renameSync(path(`${name}.new`), path(name));
  }
  return { CLIENT_CERTIFICATE_FILEPATH: path("cert.pem"), CLIENT_KEY_FILEPATH: path("key.pem") };
}

function vaultSettings(): Record<string, string> {
  return {
    AZURE_KEY_VAULT_URL: vault.url,
    AZURE_KEY_VAULT_CLIENT_CERT_NAME: NAME,
    AZURE_AUTHORITY_HOST: cloud.authority.href,
    AZURE_CLIENT_SECRET: VAULT_SECRET,
  };
}

async function open(
  environment: Readonly<Record<string, string>>,
  variables: Readonly<Record<string, string>> = {},
) {
  const http = new HttpClient();
  ends.push(() => http.close());
  const events: RelayEvent[] = [];
  const renewals: string[] = [];
  const { credentials, certificate } = await openCredentials({
    settings: plainSettings(environment),
    http,
    notify: (event) => void events.push(event),
    renewed(name) {
      renewals.push(name);
      tokens.renewed(name);
    },
    variables,
  });
  ends.push(() => credentials.close());
  const tokens = new TokenSource({
    maxAge: 3_600_000,
    request(app, scope) {
      if (!("credential" in app)) throw new Error("a client's secret");
      return credentials.token(app, async (proof, explain) => {
        const options = { http, authorityHost: cloud.authority, scope, timeout: 10_000 };
        const result = await requestToken(app, proof, options);
        return "type" in result ? explain(result) : result;
      });
    },
  });
  return { credentials, certificate, events, renewals, tokens };
}

/** Waits for a condition without an event, up to 20 s. */
async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!condition()) {
    assert(performance.now() < end, "it has not come");
    await setImmediate();
  }
}

/** The client ID of one of many apps. */
function clientOf(number: number): string {
  return `aaaaaaaa-bbbb-4ccc-8ddd-${String(number).padStart(12, "0")}`;
}

describe("the settings", () => {
  it("configure none, or each that they name", async () => {
    assert.deepEqual((await open({})).credentials.list(), []);
    const { credentials, certificate } = await open({
      ...write(chain),
      CLIENT_SECRET: OWN_SECRET,
      MANAGED_IDENTITY_CLIENT_ID: IDENTITY.toUpperCase(),
    }, { ...identity.variables, AZURE_FEDERATED_TOKEN_FILE: "/var/run/token" });
    assert.deepEqual(credentials.list().map(({ name, source }) => `${name} ${source}`), [
      "secret setting",
      "certificate file",
      "managed-identity identity",
      "workload-identity file",
    ]);
    assert.equal(certificate?.state.expired, false);
  });

  for (
    const [cloudName, audience] of [
      ["public", EXCHANGE],
      ["usgov", "api://AzureADTokenExchangeUSGov"],
      ["usgov-dod", "api://AzureADTokenExchangeUSGov"],
      ["china", "api://AzureADTokenExchangeChina"],
    ] as const
  ) {
    it(`decide the audience of the managed identity's token: ${cloudName}`, async () => {
      const { credentials } = await open(
        { MANAGED_IDENTITY_CLIENT_ID: IDENTITY, AZURE_CLOUD: cloudName },
        identity.variables,
      );
      const proof = await credentials.proof("managed-identity");
      assert("type" in proof && proof.type === "assertion");
      assert.deepEqual(identity.seen.at(-1), { resource: audience, client: IDENTITY });
    });
  }
});

describe("a certificate in Key Vault", () => {
  it("logs in, and a new version is used at once on request", async () => {
    vault.putPkcs12(NAME, chain);
    const { tokens, credentials, renewals } = await open(vaultSettings());
    assert.equal(credentials.list()[0]?.source, "keyvault");
    trusted = { certificates: [chain.certificates[0]] };
    const login = (number: number) =>
      tokens.login({ tenantId: TENANT, clientId: clientOf(number), credential: "certificate" })
        .token(SCOPE);
    assert(!("type" in await login(1)));
    vault.putPem(NAME, renewed);
    await credentials.refresh();
    assert.deepEqual(renewals, ["certificate"]);
    trusted = { certificates: [renewed.certificates[0]] };
    assert(!("type" in await login(2)));
  });

  it("whose key is not exportable is refused with what to do", async () => {
    vault.putPem(NAME, chain, chain.certificates.join("\n"));
    await assert.rejects(
      open(vaultSettings()),
      (error) =>
        error instanceof CertificateError && !(error instanceof CertificateUnavailable) &&
        /it has no private key; make the certificate with an exportable key/.test(error.message),
    );
  });

  it("that is missing is named by its own setting", async () => {
    const settings = { ...vaultSettings(), AZURE_KEY_VAULT_CLIENT_CERT_NAME: "none" };
    await assert.rejects(
      open(settings),
      (error) =>
        error instanceof CertificateUnavailable &&
        /has no certificate "none": check AZURE_KEY_VAULT_CLIENT_CERT_NAME/.test(error.message),
    );
  });
});

describe("a renewal under load", () => {
  it("fails no login: the new one is registered, the files are replaced, the old one goes", async () => {
    trusted = { certificates: [chain.certificates[0], renewed.certificates[0]] };
    const { tokens, credentials, renewals } = await open(write(chain));
    let started = 0;
    let done = 0;
    const failures: string[] = [];
    const login = async (): Promise<void> => {
      const clientId = clientOf(1000 + started++);
      const result = await tokens.login({ tenantId: TENANT, clientId, credential: "certificate" })
        .token(SCOPE);
      if ("type" in result) failures.push(result.detail);
      done++;
    };
    let stopped = false;
    const device = async () => {
      while (!stopped) await login();
    };
    const devices = Promise.all(Array.from({ length: 8 }, device));
    await until(() => done > 30);
    write(renewed);
    await credentials.refresh();
    assert.deepEqual(renewals, ["certificate"]);
    const atRenewal = done;
    await until(() => done > atRenewal + 30);
    // Requests that have begun with it are over by now.
    trusted = { certificates: [renewed.certificates[0]] };
    const atRemoval = done;
    await until(() => done > atRemoval + 30);
    stopped = true;
    await devices;
    assert.deepEqual(failures, []);
    assert.equal(done, started);
  });
});

describe("a relay", () => {
  const relays = new TestRelays();
  const salt = randomBytes(16);
  const password_hash = formatPasswordHash({
    type: "sha256",
    salt,
    hash: createHash("sha256").update(salt).update(SECRET).digest(),
  });
  /** The device logs in by its own password, which the imitated Entra ID would take as a secret, too. */
  const entries = (credential: string) =>
    new SandboxTable([{
      id: "scanner",
      columns: {
        tenant_id: TENANT,
        client_id: CLIENT,
        from_email: "scanner@example.com",
        password_hash,
        credential,
      },
    }]);
  let number = 0;
  const start = (credential: string, environment: Readonly<Record<string, string>>) =>
    relays.start({
      cloud,
      entries: entries(credential),
      environment: {
        HTTP_LISTEN: "127.0.0.1:0",
        DELIVERY_MODE: "queue",
        QUEUE_URL: `sqlite:${directory}/queue${number++}.db`,
        QUEUE_KEY: randomBytes(32).toString("base64"),
        ...environment,
      },
    });

  it("shows the certificate's end in /readyz and /metrics, and reads the files on request", async () => {
    const { url, relay, linesOf } = await start("certificate", write(chain));
    const read = async (path: string) => await (await fetch(`${url}/${path}`)).text();
    const end = Date.parse(chain.leaf.validTo);
    const { parts } = JSON.parse(await read("readyz"));
    assert.deepEqual(parts.client_certificate, {
      ready: true,
      source: "file",
      expires: new Date(end).toISOString(),
      expired: false,
    });
    const metric = 'client_credential_expires_timestamp_seconds{credential="certificate"} ';
    assert((await read("metrics")).includes(`${metric}${end / 1000}\n`));
    write(renewed);
    await relay.reload();
    assert.equal(linesOf("Client certificate replaced").length, 1);
    const newEnd = Date.parse(renewed.leaf.validTo) / 1000;
    assert((await read("metrics")).includes(`${metric}${newEnd}\n`));
  });

  it("sends a device's mail as the app, by its certificate", async () => {
    await cloud.inbox.clear();
    trusted = { certificates: [renewed.certificates[0]] };
    const { authed } = await start("certificate", write(renewed));
    const client = await authed("scanner@lookup", SECRET);
    assert.match(await client.send("scanner@example.com", "bob@example.org"), /^250 /);
    await until(() => cloud.inbox.list().length === 1);
  });

  it("keeps the mail while Entra ID refuses the certificate, and shows no secret", async () => {
    await cloud.inbox.clear();
    const { authed, lines, linesOf, url } = await start("certificate", {
      ...write(chain),
      CLIENT_SECRET: OWN_SECRET,
      MANAGED_IDENTITY_CLIENT_ID: IDENTITY,
    });
    // Entra ID takes the device's password as a secret, and not the certificate.
    const client = await authed("scanner@lookup", SECRET).catch(() => undefined);
    if (client !== undefined) {
      assert.match(await client.send("scanner@example.com", "bob@example.org"), /^250 /);
      await until(() => linesOf("Queued message deferred").length > 0);
      const [line] = linesOf("Queued message deferred");
      assert.equal(line?.["code"], "AADSTS700027");
      assert.match(
        String(line?.["detail"]),
        /upload the certificate with the thumbprint [0-9A-F]{40} /,
      );
    }
    assert.equal(cloud.inbox.list().length, 0);
    const pages = await Promise.all(
      ["readyz", "metrics", "", "status/data"]
        .map(async (path) => await (await fetch(`${url}/${path}`)).text()),
    );
    const shown = JSON.stringify(lines) + pages.join("");
    assert.match(shown, /Certificate for Entra ID/);
    const key = chain.privateKey.split("\n")[5]!;
    for (const secret of [OWN_SECRET, SECRET, key]) {
      assert(!shown.includes(secret), "a secret is shown");
    }
  });

  it("does not start with a certificate that it cannot use, and says all that is wrong", async () => {
    await assert.rejects(
      start("certificate", {
        TLS_SOURCE: "file",
        TLS_CERT_FILEPATH: join(directory, "none"),
        TLS_KEY_FILEPATH: join(directory, "none"),
        CLIENT_CERTIFICATE_FILEPATH: join(directory, "none"),
        CLIENT_KEY_FILEPATH: join(directory, "none"),
      }),
      (error) => {
        assert(error instanceof CommandError, String(error));
        assert.equal(error.status, 78);
        assert.deepEqual(error.lines.map((line) => line.split(" ")[0]), [
          "TLS_CERT_FILEPATH",
          "TLS_KEY_FILEPATH",
          "CLIENT_CERTIFICATE_FILEPATH",
          "CLIENT_KEY_FILEPATH",
        ]);
        return true;
      },
    );
  });
});
