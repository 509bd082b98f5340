// Makes a self-signed certificate for the sandbox, for loopback names only. It is never stored.

import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import type { Certificate } from "./certificate.ts";

const DAY_MS = 86_400_000;

/** A new P-256 key and a certificate for localhost, good for thirty days. */
export async function selfSignedCertificate(): Promise<Certificate> {
  // The X.509 library asks for this polyfill; both are loaded only here, where they are needed.
  await import("./reflect_metadata.ts");
  const x509 = await import("@peculiar/x509");
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const now = Date.now();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + 30 * DAY_MS),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new x509.SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
      ]),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      // By which a client finds a certificate among those that it trusts (RFC 5280 §4.2.1.2).
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  const pem = certificate.toString("pem") + "\n";
  return { certificate: pem, privateKey: pemOf(key), leaf: new X509Certificate(pem) };
}

function pemOf(pkcs8: ArrayBuffer): string {
  const lines = Buffer.from(pkcs8).toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
