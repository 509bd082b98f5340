// Makes self-signed certificates for the sandbox: one for TLS, for loopback names only, and one for the relay's
// login to the imitated Entra ID. They are never stored.

import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import type { Certificate } from "./certificate.ts";

const DAY_MS = 86_400_000;

/** A new P-256 key and a certificate for localhost, good for thirty days. */
export async function selfSignedCertificate(): Promise<Certificate> {
  const x509 = await loadX509();
  const algorithm = { name: "ECDSA", namedCurve: "P-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=localhost",
    ...validity(30),
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
  return await withKey(certificate, keys.privateKey);
}

/**
 * A new RSA key of 2048 bits, the only kind that Entra ID takes client assertions from, and a certificate that
 * is good for a year: the relay warns a month before the end of its own.
 */
export async function selfSignedClientCertificate(): Promise<Certificate> {
  const x509 = await loadX509();
  const algorithm = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: "CN=smtp-oauth-relay sandbox",
    ...validity(365),
    keys,
    signingAlgorithm: algorithm,
  });
  return await withKey(certificate, keys.privateKey);
}

async function loadX509() {
  // The X.509 library asks for this polyfill; both are loaded only here, where they are needed.
  await import("./reflect_metadata.ts");
  return await import("@peculiar/x509");
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(now - DAY_MS), notAfter: new Date(now + days * DAY_MS) };
}

async function withKey(
  certificate: { toString(format: "pem"): string },
  privateKey: CryptoKey,
): Promise<Certificate> {
  const key = await crypto.subtle.exportKey("pkcs8", privateKey);
  const pem = certificate.toString("pem") + "\n";
  return { certificate: pem, privateKey: pemOf(key), leaf: new X509Certificate(pem) };
}

function pemOf(pkcs8: ArrayBuffer): string {
  const lines = Buffer.from(pkcs8).toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
