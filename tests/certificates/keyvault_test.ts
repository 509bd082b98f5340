/**
 * The certificate from Key Vault, through the SDK and its challenge, from a simulated vault and a
 * simulated Entra ID; and the messages when it is not available.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createPrivateKey, X509Certificate } from "node:crypto";
import process from "node:process";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { HttpClient as PipelineClient } from "@azure/core-rest-pipeline";
import { azureCredential } from "../../src/azure/credential.ts";
import { azureClientOptions, azureTransport } from "../../src/azure/transport.ts";
import {
  type Certificate,
  CertificateError,
  certificatesIn,
  CertificateUnavailable,
} from "../../src/certificates/certificate.ts";
import { CertificateManager } from "../../src/certificates/certificate_manager.ts";
import { KeyVaultSource } from "../../src/certificates/keyvault.ts";
import type { HttpClient } from "../../src/http/client.ts";
import { EventLog } from "../../src/observe/event_log.ts";
import { createLog } from "../support/log.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import { WRONG_SECRET } from "../../src/sandbox/entra.ts";
import { Secret } from "../../src/secret.ts";
import { type Chain, issueChain, type KeyKind } from "../support/chains.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { httpClient } from "../support/http.ts";
import { makePkcs12 } from "../support/pkcs12.ts";
import {
  startVault,
  type Vault,
  VAULT_CLIENT,
  VAULT_SECRET,
  VAULT_TENANT,
  type VaultFault,
} from "../support/vault.ts";
import { settingsOf } from "../support/settings.ts";

const IDENTITY = {
  AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
  AZURE_TENANT_ID: VAULT_TENANT,
  AZURE_CLIENT_ID: VAULT_CLIENT,
  AZURE_CLIENT_SECRET: undefined,
};
const NAME = "smtp-relay";

let kept: (readonly [name: string, value: string | undefined])[];
let cloud: CloudServer;
let vault: Vault;
let http: HttpClient;
const chains = new Map<KeyKind, Chain>();

before(async () => {
  kept = Object.keys(IDENTITY).map((name) => [name, process.env[name]] as const);
  setAll(Object.entries(IDENTITY));
  chains.set("RSA", await issueChain({ key: "RSA" }));
  chains.set("EC", await issueChain({ key: "EC" }));
});
after(() => setAll(kept));
beforeEach(async () => {
  cloud = await startCloud();
  vault = await startVault(cloud);
  http = httpClient();
});
afterEach(async () => {
  http.close();
  await vault.close();
  await cloud.close();
});

function setAll(values: readonly (readonly [string, string | undefined])[]): void {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

interface Wishes {
  readonly url?: string;
  readonly secret?: string;
  readonly authority?: URL;
  readonly imitated?: boolean;
  readonly interval?: number;
}

async function source(wishes: Wishes = {}): Promise<KeyVaultSource> {
  const { url = vault.url, secret = VAULT_SECRET, authority = cloud.authority } = wishes;
  return new KeyVaultSource({
    vault: new URL(url),
    name: NAME,
    credential: await azureCredential({
      http,
      authorityHost: authority,
      clientSecret: new Secret(secret),
    }),
    client: {
      ...azureClientOptions(http),
      ...(url === vault.url ? {} : { httpClient: leadingHere(url) }),
    },
    imitated: wishes.imitated ?? true,
    ...(wishes.interval === undefined ? {} : { interval: wishes.interval }),
  });
}

/** Makes the simulated vault respond for another address. */
function leadingHere(url: string): PipelineClient {
  const transport = azureTransport(http);
  return {
    async sendRequest(request) {
      const asked = request.url;
      assert.ok(asked.startsWith(`${url}/`), asked);
      request.url = vault.url + asked.slice(url.length);
      request.allowInsecureConnection = true;
      try {
        return await transport.sendRequest(request);
      } finally {
        request.url = asked;
      }
    },
  };
}

const look = (known?: string) => ({
  known,
  complete: false,
  signal: new AbortController().signal,
});

/** The one line of its error, and whether the vault is the cause. */
async function problem(wishes: Wishes = {}): Promise<{ line: string; unavailable: boolean }> {
  try {
    await (await source(wishes)).read(look());
  } catch (error) {
    assert.ok(error instanceof CertificateError, String(error));
    assert.ok(!/[\r\n]/.test(error.message), error.message);
    for (const hidden of [VAULT_SECRET, "PRIVATE KEY", "eyJ", ...vault.tokens]) {
      assert.ok(!error.message.includes(hidden), `the line shows ${hidden}`);
    }
    return { line: error.message, unavailable: error instanceof CertificateUnavailable };
  }
  assert.fail("it was read");
}

function assertChain({ certificate, privateKey, leaf }: Certificate, chain: Chain): void {
  assert.deepEqual(certificatesIn(certificate), chain.certificates, "leaf, intermediate, root");
  assert.equal(leaf.serialNumber.toLowerCase(), chain.serial);
  assert.ok(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(privateKey)));
}

for (const kind of ["RSA", "EC"] as const) {
  describe(`a certificate with an ${kind} key in Key Vault`, () => {
    for (const encryption of ["3des", "aes256"] as const) {
      it(`is read as PKCS#12 (${encryption}) in any order, and put in order`, async () => {
        const chain = chains.get(kind)!;
        for (const certificates of [chain.certificates, chain.certificates.toReversed()]) {
          vault.putPkcs12(NAME, chain, { encryption, certificates });
          const found = await (await source()).read(look());
          assertChain(found!.certificate, chain);
        }
      });
    }

    it("is read as PEM in any order, and put in order", async () => {
      const chain = chains.get(kind)!;
      const [leaf, intermediate, root] = chain.certificates;
      for (
        const text of [
          undefined,
          [root, chain.privateKey, intermediate, leaf].join("\n"),
          [leaf, intermediate, root, chain.privateKey].join("\r\n").replaceAll("\n", "\r\n"),
        ]
      ) {
        vault.putPem(NAME, chain, text);
        const found = await (await source()).read(look());
        const { certificate } = found!.certificate;
        assertChain({
          ...found!.certificate,
          certificate: certificate.replaceAll("\r\n", "\n").replaceAll("\r", ""),
        }, chain);
      }
    });
  });
}

describe("a read of Key Vault", () => {
  it("answers the challenge once, and is one request afterwards", async () => {
    const chain = chains.get("EC")!;
    const version = vault.putPkcs12(NAME, chain);
    const opened = await source();
    const found = await opened.read(look());
    assert.equal(found!.revision, version);
    assert.deepEqual(found!.detail, { vault: new URL(vault.url).host, version });
    assert.equal(await opened.read(look(version)), undefined, "it is known");
    const path = `GET /secrets/${NAME}/`;
    assert.deepEqual(vault.seen.map((line) => line.replace(`${NAME} `, `${NAME}/ `)), [
      `${path} 401`,
      `${path} 200`,
      `${path} 200`,
    ]);
    assert.equal(cloud.seen.length, 1, "one token");
    const next = vault.putPem(NAME, chain);
    assert.equal((await opened.read(look(version)))!.revision, next);
  });

  it("is repeated while the certificate is current, and finds a new version", async () => {
    vault.putPkcs12(NAME, chains.get("RSA")!);
    const replaced = Promise.withResolvers<string>();
    const manager = await CertificateManager.open({
      source: await source({ interval: 10 }),
      settings: settingsOf({}),
      runtime: await currentRuntime(),
      notify: new EventLog(createLog({
        level: "INFO",
        format: "json",
        write(line) {
          const { message, serial } = JSON.parse(line) as { message: string; serial: string };
          if (message === "Certificate replaced") replaced.resolve(serial);
        },
      })).notify,
    });
    try {
      await vault.answered();
      await vault.answered();
      vault.putPem(NAME, chains.get("EC")!);
      assert.equal(await replaced.promise, chains.get("EC")!.serial);
      assert.ok(manager.identity.privateKey === chains.get("EC")!.privateKey.trimEnd());
    } finally {
      manager.close();
    }
  });

  it("leaves out what does not belong to the chain", async () => {
    const chain = chains.get("EC")!;
    const other = chains.get("RSA")!;
    vault.putPkcs12(NAME, chain, { certificates: [...other.certificates, ...chain.certificates] });
    assertChain((await (await source()).read(look()))!.certificate, chain);
  });
});

describe("a certificate in Key Vault that cannot be used", () => {
  const where = () => `Key Vault ${vault.url}, certificate "${NAME}", version `;

  it("has no private key, because that cannot be exported", async () => {
    const { certificates } = chains.get("RSA")!;
    const stored = Buffer.from(makePkcs12({ certificates })).toString("base64");
    vault.put(NAME, stored, "application/x-pkcs12");
    const { line, unavailable } = await problem();
    assert.ok(line.startsWith(where()), line);
    assert.match(line, /it has no private key; make the certificate with an exportable key$/);
    assert.equal(unavailable, false);
    vault.putPem(NAME, chains.get("EC")!, chains.get("EC")!.certificates.join("\n"));
    assert.match((await problem()).line, /it has no private key/);
  });

  it("has another certificate's key", async () => {
    const { privateKey } = chains.get("EC")!;
    vault.putPkcs12(NAME, { ...chains.get("RSA")!, privateKey });
    assert.match((await problem()).line, /its private key belongs to none of its certificates$/);
  });

  it("has a key and nothing else", async () => {
    vault.putPem(NAME, chains.get("EC")!, chains.get("EC")!.privateKey);
    assert.match((await problem()).line, /it has no certificate$/);
  });

  it("is a PKCS#12 with a password, or something else altogether", async () => {
    vault.putPkcs12(NAME, chains.get("EC")!, { password: "x" });
    assert.match((await problem()).line, /it has a password, or is damaged/);
    for (const value of ["", "hello", "AAAA"]) {
      vault.put(NAME, value, "text/plain");
      assert.match((await problem()).line, /it is no PKCS#12 \(text\/plain\); application/);
    }
    const { privateKey, certificates } = chains.get("EC")!;
    vault.putPem(NAME, chains.get("EC")!, privateKey.replace("MI", "AA") + certificates[0]);
    assert.match((await problem()).line, /its private key cannot be read$/);
  });
});

describe("a vault that does not return it", () => {
  const FAULTS: readonly (readonly [fault: VaultFault, line: RegExp])[] = [
    ["forbidden by role", /give the relay's identity the role "Key Vault Secrets User".*ByRbac\)$/],
    ["forbidden by policy", /access policy must let .* get secrets \(AccessDenied\)$/],
    ["forbidden by firewall", /firewall blocks this machine.* \(ForbiddenByFirewall\)$/],
    ["throttled", /it throttles: it has had too many requests \(Throttled\)$/],
    ["broken", /it answers with HTTP 500: An internal error occurred\. \(InternalError\)$/],
    ["hangs up", /it cannot be reached: /],
  ];
  for (const [fault, words] of FAULTS) {
    it(`is reported in one line: ${fault}`, async () => {
      vault.putPkcs12(NAME, chains.get("EC")!);
      vault.fault = fault;
      const { line, unavailable } = await problem();
      assert.ok(line.startsWith(`Key Vault ${vault.url}: `), line);
      assert.match(line, words);
      assert.equal(unavailable, true);
    });
  }

  it("is reported in one line: no such certificate", async () => {
    const { line, unavailable } = await problem();
    assert.match(line, /it has no certificate "smtp-relay": check AZURE_KEY_VAULT_CERT_NAME/);
    assert.equal(unavailable, true);
  });

  it("is reported in one line: disabled", async () => {
    vault.putPkcs12(NAME, chains.get("EC")!);
    vault.setEnabled(NAME, false);
    assert.match((await problem()).line, /"smtp-relay" is disabled: .* \(SecretDisabled\)$/);
  });

  it("is reported in one line: unreachable", async () => {
    const { url } = vault;
    await vault.close();
    const { line } = await problem({ url });
    assert.match(line, /it cannot be reached: ECONNREFUSED/);
  });

  it("is reported in one line: the relay's own secret is wrong", async () => {
    const { line, unavailable } = await problem({ secret: WRONG_SECRET });
    assert.match(
      line,
      /the relay's own identity gets no token for it: AADSTS7000215: Invalid client/,
    );
    assert.ok(!line.includes(WRONG_SECRET));
    assert.equal(unavailable, true);
  });

  it("is reported in one line: Entra ID is unreachable", async () => {
    const { line } = await problem({ authority: new URL("http://127.0.0.1:9/entra") });
    assert.match(line, /the relay's own identity gets no token for it: Entra ID cannot be reached/);
  });

  it("gets no token if its name is not a Key Vault's: the challenge's resource must be part of it", async () => {
    vault.putPkcs12(NAME, chains.get("EC")!);
    const { line } = await problem({ url: "https://vault.example", imitated: false });
    assert.match(
      line,
      /the server there is not a Key Vault of that name: check AZURE_KEY_VAULT_URL/,
    );
    assert.equal(vault.tokens.size, 0);
    const opened = await source({ url: "https://example.vault.azure.net", imitated: false });
    assertChain((await opened.read(look()))!.certificate, chains.get("EC")!);
  });
});
