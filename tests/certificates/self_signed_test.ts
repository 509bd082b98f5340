import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { subjectKeyIdentifier } from "../support/certificates.ts";

describe("the sandbox's own certificate", () => {
  it("has a Subject Key Identifier, the SHA-1 of its public key (RFC 5280 §4.2.1.2)", async () => {
    const { certificate } = await selfSignedCertificate();
    const { publicKey } = new X509Certificate(certificate);
    // The point on P-256 is all of the BIT STRING, the last 65 octets of the SubjectPublicKeyInfo.
    const point = publicKey.export({ type: "spki", format: "der" }).subarray(-65);
    assert.equal(
      await subjectKeyIdentifier(certificate),
      createHash("sha1").update(point).digest("hex"),
    );
  });
});
