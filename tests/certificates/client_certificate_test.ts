/** The certificate that the relay logs in to Entra ID with: what it must be, and how it is renewed. */
import assert from "node:assert/strict";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import { createHash, createPrivateKey } from "node:crypto";
import { CertificateError } from "../../src/certificates/certificate.ts";
import { ClientCertificate } from "../../src/certificates/client_certificate.ts";
import { FileSource } from "../../src/certificates/file_source.ts";
import { fixedSource } from "../../src/certificates/source.ts";
import type { CertificateProof } from "../../src/entra/app_credentials.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { type Chain, issueChain } from "../support/chains.ts";
import { P384 } from "../support/key_kinds.ts";

const DAY = 86_400_000;
const SETTINGS = { certificate: "CLIENT_CERTIFICATE_FILEPATH", key: "CLIENT_KEY_FILEPATH" };

let directory: string;
let chain: Chain;
let renewed: Chain;
before(async () => {
  directory = mkdtempSync(join(tmpdir(), "relay-client-"));
  [chain, renewed] = await Promise.all([
    issueChain({ key: "RSA", until: 90 }),
    issueChain({ key: "RSA", until: 400 }),
  ]);
});
after(() => rmSync(directory, { recursive: true }));
const opened: ClientCertificate[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

interface Line {
  readonly level: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const path = (name: string) => join(directory, name);

/** By a rename, as certbot and Kubernetes do. */
function write(name: string, text: string): string {
  writeFileSync(path(`${name}.new`), text);
  renameSync(path(`${name}.new`), path(name));
  return path(name);
}

function filesOf({ certificate, privateKey }: Pick<Chain, "certificate" | "privateKey">) {
  return {
    certificatePath: write("cert.pem", certificate),
    keyPath: write("key.pem", privateKey),
    settings: SETTINGS,
  };
}

async function open(
  source: ConstructorParameters<typeof FileSource>[0] | Chain,
  now?: () => number,
) {
  const lines: Line[] = [];
  let renewals = 0;
  const certificate = await ClientCertificate.open({
    source: "leaf" in source ? fixedSource("file", source) : new FileSource(source),
    notify(event: RelayEvent) {
      assert(event.type === "clientCertificate", event.type);
      lines.push(event);
    },
    renewed: () => renewals++,
    ...(now === undefined ? {} : { now }),
  });
  opened.push(certificate);
  return { certificate, lines, renewals: () => renewals };
}

async function problem(opening: Promise<unknown>): Promise<CertificateError> {
  try {
    await opening;
  } catch (error) {
    assert(error instanceof CertificateError, String(error));
    return error;
  }
  throw new Error("it was accepted");
}

/** Not an assertion of equality, which would print a key. */
function assertShows(proof: CertificateProof, { leaf, privateKey }: Chain): void {
  assert.equal(proof.type, "certificate");
  const thumbprint = createHash("sha256").update(leaf.raw).digest("hex");
  assert.equal(proof.thumbprint.toLowerCase(), thumbprint);
  assert(
    createPrivateKey(proof.key.reveal()).equals(createPrivateKey(privateKey)),
    "it is another key",
  );
}

describe("the client certificate", () => {
  it("comes from two files", async () => {
    const { certificate, lines } = await open(filesOf(chain));
    assertShows(await certificate.proof(), chain);
    assert.equal(await certificate.proof(), await certificate.proof());
    const [line] = lines;
    assert.deepEqual([lines.length, line!.level, line!.text], [
      1,
      "INFO",
      "Client certificate loaded",
    ]);
    const sha1 = createHash("sha1").update(chain.leaf.raw).digest("hex").toUpperCase();
    assert.equal(line!.fields["sha1"], sha1);
    const { facts } = certificate;
    assert.equal(facts.certificate?.sha1, sha1);
    assert.equal(facts.certificate?.notAfter, Date.parse(chain.leaf.validTo));
    assert.deepEqual([facts.name, facts.source], ["certificate", "file"]);
  });

  it("may be one file with certificate, chain and key, in any order", async () => {
    for (
      const text of [chain.certificate + chain.privateKey, chain.privateKey + chain.certificate]
    ) {
      const both = write("both.pem", text);
      const files = { certificatePath: both, keyPath: both, settings: SETTINGS };
      assertShows(await (await open(files)).certificate.proof(), chain);
    }
  });

  it("has an RSA key, which Entra ID needs", async () => {
    const { message } = await problem(open(await issueChain({ key: "EC" })));
    assert.equal(
      message,
      "the relay's own certificate for Entra ID has a key of the kind EC P-256: make one with an " +
        "RSA key of 2048 bits or more",
    );
    assert.match(
      (await problem(open(filesOf(P384)))).message,
      /kind EC P-384: make one with an RSA/,
    );
  });

  const encrypted =
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
  const bad: readonly (readonly [string, () => Parameters<typeof filesOf>[0], RegExp])[] = [
    [
      "a key of another certificate",
      () => ({ ...chain, privateKey: renewed.privateKey }),
      /^CLIENT_KEY_FILEPATH ".*key\.pem" is not the key of the certificate in ".*cert\.pem"$/,
    ],
    [
      "a key with a passphrase",
      () => ({ ...chain, privateKey: encrypted }),
      /^CLIENT_KEY_FILEPATH ".*" has a passphrase, which the relay cannot enter: remove it/,
    ],
    [
      "half a certificate",
      () => ({ ...chain, certificate: chain.certificate.slice(0, 300) }),
      /^CLIENT_CERTIFICATE_FILEPATH ".*" is cut off/,
    ],
    [
      "exchanged files",
      () => ({ certificate: chain.privateKey, privateKey: chain.certificate }),
      /^CLIENT_CERTIFICATE_FILEPATH ".*" holds the private key and CLIENT_KEY_FILEPATH ".*" the/,
    ],
    [
      "empty files, both named",
      () => ({ certificate: "", privateKey: "" }),
      /^CLIENT_CERTIFICATE_FILEPATH ".*" holds no certificate .*; CLIENT_KEY_FILEPATH ".*" holds no/,
    ],
  ];
  for (const [what, files, words] of bad) {
    it(`is refused with ${what}`, async () => {
      const { message } = await problem(open(filesOf(files())));
      assert.match(message, words);
      assert.doesNotMatch(message, /TLS/);
    });
  }

  it("that is missing is named, without a hint about TLS", async () => {
    const files = { certificatePath: path("none"), keyPath: path("none"), settings: SETTINGS };
    const { lines } = await problem(open(files));
    assert.deepEqual(lines, [
      `CLIENT_CERTIFICATE_FILEPATH "${path("none")}" does not exist`,
      `CLIENT_KEY_FILEPATH "${path("none")}" does not exist`,
    ]);
  });

  it("is replaced by a rename of both files, and who uses it is told", async () => {
    const { certificate, lines, renewals } = await open(filesOf(chain));
    filesOf(renewed);
    await certificate.refresh();
    assertShows(await certificate.proof(), renewed);
    assert.equal(renewals(), 1);
    assert.equal(lines.at(-1)!.text, "Client certificate replaced");
    await certificate.refresh();
    assert.equal(lines.at(-1)!.text, "Client certificate unchanged");
    assert.equal(renewals(), 1);
  });

  it("stays when a new one cannot be used, and the log says why", async () => {
    const { certificate, lines, renewals } = await open(filesOf(chain));
    const ec = await issueChain({ key: "EC" });
    for (const files of [{ ...chain, privateKey: renewed.privateKey }, ec]) {
      filesOf(files);
      await certificate.refresh();
      assertShows(await certificate.proof(), chain);
      const { level, text, fields } = lines.at(-1)!;
      assert.deepEqual([level, text], [
        "WARNING",
        "New client certificate rejected, keeping the current one",
      ]);
      assert.match(String(fields["reason"]), files === ec ? /RSA key/ : /is not the key/);
    }
    assert.equal(renewals(), 0);
  });

  it("is warned of from 30 days before its end on, and used after it", async () => {
    const end = Date.parse(chain.leaf.validTo);
    const cases = [
      [end - 31 * DAY, undefined, false],
      [
        end - 29 * DAY,
        "Client certificate expires soon: renew it, and register the new one with the apps",
        false,
      ],
      [end + DAY, "Client certificate expired: Entra ID refuses it", true],
    ] as const;
    for (const [now, text, expired] of cases) {
      const { certificate, lines } = await open(chain, () => now);
      assert.equal(lines.find(({ level }) => level === "WARNING")?.text, text);
      assert.deepEqual(certificate.state, {
        ready: true,
        source: "file",
        expires: new Date(end).toISOString(),
        expired,
      });
      assertShows(await certificate.proof(), chain);
    }
  });
});
