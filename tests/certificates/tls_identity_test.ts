/** TLS settings are tested at the start: unsupported ones stop the start, not the first client. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Certificate, CertificateError } from "../../src/certificates/certificate.ts";
import { loadIdentity } from "../../src/certificates/tls_identity.ts";
import { testHandshake } from "../../src/certificates/test_handshake.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime, TlsVersion } from "../../src/runtime/runtime.ts";
import { issueChain } from "../support/chains.ts";
import {
  BRAINPOOL,
  ED25519,
  ED448,
  type KindOfKey,
  P224,
  P384,
  P521,
  RSA_PSS,
  SECP256K1,
  SECP256K1_OLD_FORM,
} from "../support/key_kinds.ts";
import { writeCertificate } from "../support/certificates.ts";
import { settingsOf } from "../support/settings.ts";

let directory: string;
let made: { readonly EC: Certificate; readonly RSA: Certificate };
let runtime: Runtime;

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "relay-identity-"));
  made = { EC: await selfSignedCertificate(), RSA: await issueChain({ key: "RSA" }) };
  runtime = await currentRuntime();
});
after(() => rmSync(directory, { recursive: true }));

async function load(environment: Record<string, string>, certificate = made.EC) {
  const { identity } = await loadIdentity(settingsOf(environment), runtime, certificate);
  return identity;
}

/** The line with which the start fails. */
async function refusal(
  environment: Record<string, string>,
  certificate = made.EC,
): Promise<string> {
  try {
    await load(environment, certificate);
  } catch (error) {
    assert(error instanceof CertificateError, String(error));
    assert(!/[\r\n]/.test(error.message));
    return error.message;
  }
  assert.fail("it was taken");
}

/** The protocol that a client of this version negotiates; undefined if it fails. */
async function handshake(identity: Awaited<ReturnType<typeof load>>, version: TlsVersion) {
  try {
    return (await testHandshake(runtime, identity, version)).protocol;
  } catch {
    return undefined;
  }
}

describe("the TLS identity", () => {
  it("is read from the files that the settings name", async () => {
    const { certificatePath, keyPath } = writeCertificate(directory, "good", made.EC);
    const { identity, certificate } = await loadIdentity(
      settingsOf({ TLS_CERT_FILEPATH: certificatePath, TLS_KEY_FILEPATH: keyPath }),
      runtime,
    );
    assert.equal(identity.certificate, made.EC.certificate);
    assert.equal(certificate.leaf.fingerprint256, made.EC.leaf.fingerprint256);
    assert.equal(await handshake(identity, "1.3"), "TLSv1.3");
  });

  it("is refused with the file's problem, if there is one", async () => {
    await assert.rejects(
      loadIdentity(settingsOf({ TLS_CERT_FILEPATH: join(directory, "missing") }), runtime),
      CertificateError,
    );
  });

  it("accepts TLS 1.2 and 1.3 by default (RFC 9325 §3.1.1)", async () => {
    const identity = await load({});
    assert.equal(await handshake(identity, "1.2"), "TLSv1.2");
    assert.equal(await handshake(identity, "1.3"), "TLSv1.3");
    assert.equal(await handshake(identity, "1.1"), undefined);
    assert.equal(await handshake(identity, "1.0"), undefined);
  });

  it("accepts nothing older than TLS_MIN_VERSION=1.3", async () => {
    const identity = await load({ TLS_MIN_VERSION: "1.3" });
    assert.equal(await handshake(identity, "1.3"), "TLSv1.3");
    assert.equal(await handshake(identity, "1.2"), undefined);
  });

  for (const version of ["1.0", "1.1"] as const) {
    it(`accepts TLS ${version} if the runtime supports it, else TLS_MIN_VERSION=${version} stops the start`, async () => {
      if (runtime.name === "Bun") {
        const identity = await load({ TLS_MIN_VERSION: version });
        assert.equal(await handshake(identity, version), version === "1.0" ? "TLSv1" : "TLSv1.1");
        assert.equal(await handshake(identity, "1.3"), "TLSv1.3");
      } else {
        const line = await refusal({ TLS_MIN_VERSION: version });
        const named = `TLS_MIN_VERSION "${version}" cannot be used on ${runtime.name}`;
        assert(line.startsWith(`${named} ${runtime.version}: `), line);
        const both = await refusal({ TLS_MIN_VERSION: version, TLS_CIPHER_SUITE: "HIGH" });
        assert(both.startsWith(`${named} ${runtime.version}: `), both);
      }
    });
  }

  it("is refused with a TLS_CIPHER_SUITE that names no cipher", async () => {
    for (const ciphers of ["NOT-A-CIPHER", ":", "NOT-A-CIPHER:NEITHER-IS-THIS"]) {
      const line = await refusal({ TLS_CIPHER_SUITE: ciphers });
      const named = `TLS_CIPHER_SUITE "${ciphers}" cannot be used on`;
      assert(line.startsWith(`${named} ${runtime.name} ${runtime.version}: `), line);
      // Neither the version nor the certificate is the cause.
      assert(!/TLS_MIN_VERSION|with this certificate/.test(line), line);
    }
  });

  for (const [key, kind] of [["EC", "ECDSA"], ["RSA", "RSA"]] as const) {
    const other = kind === "RSA" ? "ECDSA" : "RSA";
    it(`is refused with a TLS_CIPHER_SUITE that an ${key} key cannot be used with (RFC 8422 §2)`, async () => {
      const suite = `ECDHE-${other}-AES128-GCM-SHA256`;
      const line = await refusal({ TLS_CIPHER_SUITE: suite }, made[key]);
      assert(line.startsWith(`TLS_CIPHER_SUITE "${suite}" cannot be used on `), line);
      assert.equal(/ with this certificate: /.test(line), runtime.name === "Bun", line);
    });

    for (const cipher of [`ECDHE-${kind}-AES128-GCM-SHA256`, `ECDHE-${kind}-AES256-GCM-SHA384`]) {
      it(`uses ${cipher} from TLS_CIPHER_SUITE if the runtime supports it, else stops the start`, async () => {
        if (runtime.name === "Bun") {
          const identity = await load({ TLS_CIPHER_SUITE: cipher }, made[key]);
          assert.equal((await testHandshake(runtime, identity, "1.2")).cipher, cipher);
          assert.equal((await testHandshake(runtime, identity, "1.3")).protocol, "TLSv1.3");
        } else {
          const line = await refusal({ TLS_CIPHER_SUITE: cipher }, made[key]);
          assert.match(line, /ignores cipher strings/);
        }
      });
    }

    it(`reports the result of handshakes with an ${key} key, in each version from the oldest`, async () => {
      const { handshakes } = await loadIdentity(settingsOf({}), runtime, made[key]);
      assert.deepEqual(handshakes.map(({ protocol }) => protocol), ["TLSv1.2", "TLSv1.3"]);
      assert.match(handshakes[0]!.cipher, new RegExp(`^ECDHE-${kind}-`));
      assert.match(handshakes[1]!.cipher, /^TLS_/);
      const newest = await loadIdentity(settingsOf({ TLS_MIN_VERSION: "1.3" }), runtime, made[key]);
      assert.deepEqual(newest.handshakes.map(({ protocol }) => protocol), ["TLSv1.3"]);
    });
  }

  it("is not judged by its cipher string if only TLS 1.3 is left, which the string does not cover", async () => {
    const identity = await load({
      TLS_MIN_VERSION: "1.3",
      TLS_CIPHER_SUITE: "ECDHE-ECDSA-AES256-GCM-SHA384",
    });
    assert.equal(await handshake(identity, "1.3"), "TLSv1.3");
  });

  it("is refused by the handshake itself when key and certificate do not match", async () => {
    const other = await selfSignedCertificate();
    await assert.rejects(
      loadIdentity(settingsOf({}), runtime, { ...made.EC, privateKey: other.privateKey }),
      CertificateError,
    );
  });
});

/** The error of a start with these in the files. */
async function refusalOf(certificate: string, privateKey: string): Promise<string> {
  const files = {
    TLS_CERT_FILEPATH: join(directory, "kind.pem"),
    TLS_KEY_FILEPATH: join(directory, "kind-key.pem"),
  };
  writeFileSync(files.TLS_CERT_FILEPATH, certificate);
  writeFileSync(files.TLS_KEY_FILEPATH, privateKey);
  try {
    await loadIdentity(settingsOf(files), runtime);
    return "";
  } catch (error) {
    assert(error instanceof CertificateError, String(error));
    return error.message;
  }
}

describe("the kind of key", () => {
  const served: readonly KindOfKey[] = [P384, ED25519];
  for (const { kind, certificate, privateKey } of served) {
    it(`${kind} is usable, as the list of usable kinds says`, async () => {
      assert.equal(await refusalOf(certificate, privateKey), "");
    });
  }

  it("P-256 and RSA from 2048 bits are usable too", async () => {
    for (const { certificate, privateKey } of [made.EC, made.RSA]) {
      assert.equal(await refusalOf(certificate, privateKey), "");
    }
  });

  // P-521 is supported by one of the runtimes.
  const others: readonly KindOfKey[] = [SECP256K1, RSA_PSS, ED448, P224, BRAINPOOL];
  const unserved = "Deno" in globalThis ? others : [P521, ...others];
  for (const { kind, certificate, privateKey } of unserved) {
    it(`${kind} is named as the problem, with the kinds that work`, async () => {
      const line = await refusalOf(certificate, privateKey);
      assert.match(line, new RegExp(`of the kind ${kind}\\b`));
      assert.match(line, /an RSA key of 2048 bits or more, an EC key on P-256 or P-384, or an Ed/);
      assert.doesNotMatch(line, /passphrase|TLS_MIN_VERSION/);
    });
  }

  it("is usable from one file with certificate and key, in either order", async () => {
    const { certificate, privateKey } = made.EC;
    for (const both of [certificate + privateKey, privateKey + certificate]) {
      assert.equal(await refusalOf(both, both), "");
    }
  });

  it("is known of keys in the older form as well (RFC 5915)", async () => {
    const line = await refusalOf(SECP256K1.certificate, SECP256K1_OLD_FORM);
    assert.match(line, /of the kind EC secp256k1\b/);
  });

  it("is not blamed when the key is another certificate's", async () => {
    assert.match(
      await refusalOf(P384.certificate, ED25519.privateKey),
      /is not the key of the certificate/,
    );
  });
});

describe("a security level in TLS_CIPHER_SUITE (OpenSSL's @SECLEVEL)", () => {
  const strings = ["DEFAULT@SECLEVEL=0", "DEFAULT:@SECLEVEL=1", "@SECLEVEL=2"];
  for (const ciphers of strings) {
    it(`is ignored and reported if there is nothing else: ${ciphers}`, async () => {
      const settings = settingsOf({ TLS_CIPHER_SUITE: ciphers });
      const { identity, dropped } = await loadIdentity(settings, runtime, made.EC);
      assert.equal(identity.ciphers, undefined);
      assert.match(dropped!, /^TLS_CIPHER_SUITE ".*": @SECLEVEL=\d is dropped: /);
      assert.equal(await handshake(identity, "1.2"), "TLSv1.2");
    });
  }

  it("leaves the other ciphers in force, if the runtime supports them at all", async () => {
    const TLS_CIPHER_SUITE = "ECDHE-ECDSA-AES256-GCM-SHA384:@SECLEVEL=1";
    if (runtime.name === "Deno") {
      assert.match(
        await refusal({ TLS_CIPHER_SUITE }),
        /^TLS_CIPHER_SUITE "ECDHE-ECDSA-AES256-GCM-SHA384:@SECLEVEL=1" cannot be used/,
      );
      return;
    }
    const settings = settingsOf({ TLS_CIPHER_SUITE });
    const { identity, dropped, handshakes } = await loadIdentity(settings, runtime, made.EC);
    assert.equal(identity.ciphers, "ECDHE-ECDSA-AES256-GCM-SHA384");
    assert.equal(handshakes[0]!.cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
    assert.match(dropped!, /@SECLEVEL=1 is dropped/);
  });

  it("is not reported if there is none", async () => {
    assert.equal((await loadIdentity(settingsOf({}), runtime, made.EC)).dropped, undefined);
  });

  it("that OpenSSL does not know either stops the start", async () => {
    assert.match(await refusal({ TLS_CIPHER_SUITE: "DEFAULT@SECLEVEL=9" }), /cannot be used/);
  });
});
