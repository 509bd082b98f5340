/** The kind of a key, read from the DER of certificates and private keys. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { kindOfCertificate, kindOfKey } from "../../src/certificates/key_kind.ts";
import { ED25519, P224, P384 } from "../support/key_kinds.ts";

function derOf(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----/g, ""), "base64");
}

describe("the kind of a key", () => {
  for (const { kind, certificate, privateKey } of [P384, P224, ED25519]) {
    it(`is read from certificate and key: ${kind}`, () => {
      assert.deepEqual(kindOfCertificate({ raw: derOf(certificate) }), { name: kind });
      assert.deepEqual(kindOfKey(privateKey), { name: kind });
    });
  }

  it("is read from a certificate of version 1, which has no version field (RFC 5280 §4.1.2.1)", () => {
    const raw = derOf(P384.certificate);
    // SEQUENCE { SEQUENCE { [0] { INTEGER 2 }, …, both with lengths of two octets.
    assert.equal(
      raw.subarray(4, 6).toString("hex") + raw.subarray(8, 13).toString("hex"),
      "3082a003020102",
    );
    const first = Buffer.concat([raw.subarray(0, 8), raw.subarray(13)]);
    first.writeUInt16BE(raw.readUInt16BE(2) - 5, 2);
    first.writeUInt16BE(raw.readUInt16BE(6) - 5, 6);
    assert.deepEqual(kindOfCertificate({ raw: first }), { name: "EC P-384" });
  });

  it("is unknown if the octets are not a whole certificate or key", () => {
    const raw = derOf(P384.certificate);
    for (let length = 0; length < raw.length; length++) {
      assert.equal(kindOfCertificate({ raw: raw.subarray(0, length) }), undefined);
    }
    assert.equal(
      kindOfKey("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
      undefined,
    );
  });
});
