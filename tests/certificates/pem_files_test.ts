/** The certificate from two files, and the messages when it cannot be used. */
import assert from "node:assert/strict";
import { createPrivateKey } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { type Certificate, CertificateError } from "../../src/certificates/certificate.ts";
import { FileSource } from "../../src/certificates/file_source.ts";
import { readCertificate } from "../../src/certificates/pem_files.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { type CertificateFiles, writeCertificate } from "../support/certificates.ts";

let directory: string;
let made: Certificate;
let other: Certificate;
let good: CertificateFiles;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "relay-certificates-"));
  made = await selfSignedCertificate();
  other = await selfSignedCertificate();
  good = writeCertificate(directory, "good", made);
});
after(() => rmSync(directory, { recursive: true }));

/** The one line of its error. */
function problem(certificatePath: string, keyPath: string): string {
  try {
    readCertificate(certificatePath, keyPath);
  } catch (error) {
    assert(error instanceof CertificateError);
    assert(!/[\r\n]/.test(error.message));
    return error.message;
  }
  assert.fail("it was read");
}

/** A file with this text. */
function file(name: string, text: string): string {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
}

describe("the certificate's files", () => {
  it("are read if they match", () => {
    const read = readCertificate(good.certificatePath, good.keyPath);
    assert.equal(read.certificate, made.certificate);
    assert.equal(read.privateKey, made.privateKey);
    assert.equal(read.leaf.fingerprint256, made.leaf.fingerprint256);
    assert.match(read.leaf.subject, /localhost/);
  });

  it("may contain the chain after the certificate, which comes first", () => {
    const chain = file("chain.pem", made.certificate + other.certificate);
    const read = readCertificate(chain, good.keyPath);
    assert.equal(read.leaf.fingerprint256, made.leaf.fingerprint256);
    assert(read.certificate.includes(other.certificate));
  });

  it("are reported missing by setting and name, with the remedy", () => {
    const missing = join(directory, "missing.pem");
    assert.equal(
      problem(missing, good.keyPath),
      `TLS_CERT_FILEPATH "${missing}" does not exist (docs/installation.md has a command for one; TLS_SOURCE=off runs without TLS)`,
    );
    assert.match(problem(good.certificatePath, missing), /^TLS_KEY_FILEPATH ".*" does not exist/);
  });

  it("are refused when they cannot be read, as a directory cannot", () => {
    const path = join(directory, "a directory");
    mkdirSync(path);
    assert.equal(problem(path, good.keyPath), `TLS_CERT_FILEPATH "${path}" is a directory`);
    assert.equal(problem(good.certificatePath, path), `TLS_KEY_FILEPATH "${path}" is a directory`);
  });

  const NO_PEM: readonly (readonly [what: string, text: string])[] = [
    ["nothing", ""],
    ["text", "hello\n"],
    ["DER", "\x30\x82\x01\x00\x02"],
    ["PEM of nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    ["a key of nonsense", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
  ];
  for (const [what, text] of NO_PEM) {
    it(`are refused when they contain ${what} (RFC 7468)`, () => {
      const path = file("no.pem", text);
      assert.match(problem(path, good.keyPath), /^TLS_CERT_FILEPATH ".*" holds no certificate/);
      assert.match(
        problem(good.certificatePath, path),
        /^TLS_KEY_FILEPATH ".*" holds no private key/,
      );
    });
  }

  it("are recognised when they are swapped, with what to do", () => {
    assert.equal(
      problem(good.keyPath, good.certificatePath),
      `TLS_CERT_FILEPATH "${good.keyPath}" holds the private key and TLS_KEY_FILEPATH ` +
        `"${good.certificatePath}" the certificate: exchange the two`,
    );
    // One file with both is not such a mistake, whichever of the two names it.
    const both = file("both.pem", made.privateKey + made.certificate);
    assert.equal(readCertificate(both, both).leaf.fingerprint256, made.leaf.fingerprint256);
  });

  it("are reported by their content when both settings name the same one", () => {
    assert.match(
      problem(good.keyPath, good.keyPath),
      /no certificate in PEM form, but a private key$/,
    );
    assert.match(
      problem(good.certificatePath, good.certificatePath),
      /no private key in PEM form without a passphrase, but a certificate$/,
    );
  });

  it("are refused when they are cut off at any point", () => {
    for (const length of [40, 300, made.certificate.length - 30]) {
      const half = file("half.pem", made.certificate.slice(0, length));
      assert.equal(
        problem(half, good.keyPath),
        `TLS_CERT_FILEPATH "${half}" is cut off: a certificate begins in it and does not end`,
      );
    }
    const half = file("half.pem", made.privateKey.slice(0, 80));
    assert.equal(
      problem(good.certificatePath, half),
      `TLS_KEY_FILEPATH "${half}" is cut off: a key begins in it and does not end`,
    );
    const chain = file("half.pem", made.certificate + other.certificate.slice(0, 100));
    assert.match(problem(chain, good.keyPath), /is cut off/);
  });

  it("are refused when the key has a passphrase, with the command that removes it", () => {
    const key = createPrivateKey(made.privateKey);
    const locked = { cipher: "aes-256-cbc", passphrase: "x", format: "pem" } as const;
    const pkcs8 = key.export({ ...locked, type: "pkcs8" }) as string;
    // In the form of RFC 1421, only the header shows it.
    const older = made.privateKey.replace(
      /(-----BEGIN) (PRIVATE KEY-----\n)/,
      "$1 EC $2Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
    ).replace("-----END ", "-----END EC ");
    for (const text of [pkcs8, older]) {
      const path = file("locked.pem", text);
      assert.equal(
        problem(good.certificatePath, path),
        `TLS_KEY_FILEPATH "${path}" has a passphrase, which the relay cannot enter: ` +
          "remove it with openssl pkey -in key.pem -out plain.pem",
      );
    }
  });

  it("are both reported if both are wrong, in any way", async () => {
    const missing = join(directory, "missing.pem");
    const nonsense = file("nonsense.pem", "nonsense");
    const expected = [
      /^TLS_CERT_FILEPATH .*(?:exist|PEM form)/,
      /^TLS_KEY_FILEPATH .*(?:exist|PEM)/,
    ];
    for (const [cert, key] of [[missing, missing], [missing, nonsense], [nonsense, missing]]) {
      const source = new FileSource({ certificatePath: cert!, keyPath: key! });
      const { signal } = new AbortController();
      const reads = [
        async () => await source.read({ known: undefined, complete: true, signal }),
        async () => await Promise.resolve(readCertificate(cert!, key!)),
      ];
      for (const read of reads) {
        await assert.rejects(read(), (error) => {
          assert(error instanceof CertificateError);
          assert.equal(error.lines.length, 2);
          for (const [i, line] of error.lines.toSorted().entries()) {
            assert.match(line, expected[i]!);
          }
          assert.equal(error.message, error.lines.join("; "));
          return true;
        });
      }
    }
  });

  it("are refused when one is no file: a device may have no end, a pipe no writer", {
    skip: process.platform === "win32",
  }, () => {
    assert.equal(
      problem("/dev/zero", good.keyPath),
      'TLS_CERT_FILEPATH "/dev/zero" is not a regular file',
    );
  });

  it("are refused when one is given instead of the other", () => {
    assert.match(
      problem(good.keyPath, good.keyPath),
      /^TLS_CERT_FILEPATH ".*" holds no certificate/,
    );
    assert.match(
      problem(good.certificatePath, good.certificatePath),
      /^TLS_KEY_FILEPATH ".*" holds no private key/,
    );
  });

  it("are refused when the key is another certificate's, and both are named", () => {
    const { keyPath } = writeCertificate(directory, "other", other);
    assert.equal(
      problem(good.certificatePath, keyPath),
      `TLS_KEY_FILEPATH "${keyPath}" is not the key of the certificate in "${good.certificatePath}"`,
    );
  });

  it("never show the key", () => {
    const lines = made.privateKey.split("\n").slice(1, -2);
    const cut = file("cut.pem", made.privateKey.slice(0, -40));
    assert(!lines.some((line) => problem(good.certificatePath, cut).includes(line)));
  });
});

describe("a self-signed certificate", () => {
  it("is for loopback names only, for thirty days, and new each time", () => {
    const { leaf } = made;
    assert.equal(leaf.checkHost("localhost"), "localhost");
    assert.match(leaf.subjectAltName ?? "", /127\.0\.0\.1/);
    assert.equal(leaf.checkHost("example.com"), undefined);
    const days = (new Date(leaf.validTo).getTime() - Date.now()) / 86_400_000;
    assert(days > 29 && days < 31, `${days} days`);
    assert(new Date(leaf.validFrom).getTime() < Date.now());
    assert.notEqual(made.leaf.fingerprint256, other.leaf.fingerprint256);
    assert.notEqual(made.privateKey, other.privateKey);
  });
});
