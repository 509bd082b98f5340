/** PKCS#12 without a password (RFC 7292), in each form that Key Vault and OpenSSL make. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { Pkcs12Error, readPkcs12 } from "../../src/certificates/pkcs12.ts";
import { type Chain, issueChain, type KeyKind } from "../support/chains.ts";
import { makePkcs12 } from "../support/pkcs12.ts";

const OPENSSL = spawnSync("openssl", ["version"]).status === 0;

for (const kind of ["RSA", "EC"] as const satisfies readonly KeyKind[]) {
  describe(`a PKCS#12 with an ${kind} key`, () => {
    let chain: Chain;
    before(async () => {
      chain = await issueChain({ key: kind });
    });

    async function assertSame(octets: Uint8Array): Promise<void> {
      const { certificates, keys } = await readPkcs12(octets);
      assert.deepEqual(certificates.toSorted(), chain.certificates.toSorted());
      assert.equal(keys.length, 1);
      assert.ok(new X509Certificate(chain.certificates[0]).checkPrivateKey(
        createPrivateKey(keys[0]!),
      ));
    }

    for (const encryption of ["3des", "aes256"] as const) {
      it(`is read if it is encrypted by ${encryption}, certificates octet for octet`, async () => {
        const { certificates, privateKey } = chain;
        await assertSame(makePkcs12({ certificates, privateKey, encryption }));
      });

      it(`is refused if it has a password (${encryption})`, async () => {
        const { certificates, privateKey } = chain;
        const octets = makePkcs12({ certificates, privateKey, encryption, password: "x" });
        await assert.rejects(
          readPkcs12(octets),
          (error: Error) =>
            error instanceof Pkcs12Error && /has a password, or is damaged/.test(error.message),
        );
      });
    }

    for (
      const [name, options] of [
        ["as OpenSSL makes it today", []],
        ["as OpenSSL made it of old (RC2, 3DES)", ["-legacy"]],
        ["without encryption", ["-keypbe", "NONE", "-certpbe", "NONE"]],
        ["with no MAC", ["-nomac"]],
      ] as const
    ) {
      it(`is read ${name}`, { skip: OPENSSL ? false : "openssl is not installed" }, async (t) => {
        const directory = mkdtempSync(join(tmpdir(), "relay-pkcs12-"));
        try {
          const file = (part: string) => join(directory, part);
          writeFileSync(file("key.pem"), chain.privateKey);
          writeFileSync(file("leaf.pem"), chain.certificates[0]);
          writeFileSync(file("chain.pem"), chain.certificates.slice(1).join("\n"));
          const { status, stderr } = spawnSync("openssl", [
            "pkcs12",
            "-export",
            ...["-inkey", file("key.pem"), "-in", file("leaf.pem")],
            ...["-certfile", file("chain.pem"), "-passout", "pass:"],
            ...options,
            ...["-out", file("out.pfx")],
          ]);
          if (status !== 0) return t.skip?.(`this openssl cannot: ${stderr}`);
          await assertSame(readFileSync(file("out.pfx")));
        } finally {
          rmSync(directory, { recursive: true });
        }
      });
    }
  });
}

describe("data that is not PKCS#12", () => {
  it("is refused with one line and without its content", async () => {
    const { certificates, privateKey } = await issueChain();
    const good = makePkcs12({ certificates, privateKey });
    for (
      const octets of [
        new Uint8Array(),
        new TextEncoder().encode("-----BEGIN NONSENSE-----"),
        good.subarray(0, good.length - 10),
        new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x03]),
        new Uint8Array([0x30, 0x80, 0x00, 0x00]),
      ]
    ) {
      await assert.rejects(
        readPkcs12(octets),
        (error: Error) => error instanceof Pkcs12Error && /is no PKCS#12/.test(error.message),
      );
    }
  });
});
