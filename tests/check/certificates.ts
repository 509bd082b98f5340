/** Certificates with chosen faults. */
import "reflect-metadata";
import { Buffer } from "node:buffer";
import * as x509 from "@peculiar/x509";

const DAY_MS = 86_400_000;

export interface Wishes {
  /** Common name. */
  readonly name: string;
  /** Self-signed by default. */
  readonly issuer?: Made;
  /** Subject alternative names; none by default. */
  readonly names?: readonly string[];
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
  /** Bits of an RSA key; an EC key by default. */
  readonly bits?: number;
  /** May sign others. */
  readonly ca?: boolean;
}

export interface Made {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly keys: CryptoKeyPair;
  readonly subject: string;
  readonly rsa: boolean;
}

export async function make(wishes: Wishes): Promise<Made> {
  const { name, issuer, names, from = -1, until = 90, bits, ca = false } = wishes;
  const subject = `CN=${name}`;
  const rsa = bits !== undefined;
  const keys = await crypto.subtle.generateKey(
    rsa
      ? { ...RSA, modulusLength: bits, publicExponent: new Uint8Array([1, 0, 1]) }
      : { ...EC, namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  ) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.create({
    subject,
    issuer: issuer?.subject ?? subject,
    notBefore: new Date(Date.now() + from * DAY_MS),
    notAfter: new Date(Date.now() + until * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: (issuer?.rsa ?? rsa) ? RSA : EC,
    extensions: [
      ...(ca ? [new x509.BasicConstraintsExtension(true, undefined, true)] : []),
      ...(names === undefined ? [] : [
        new x509.SubjectAlternativeNameExtension(
          names.map((value) => ({ type: "dns" as const, value })),
        ),
      ]),
    ],
  });
  return {
    certificate: certificate.toString("pem") + "\n",
    privateKey: await pemOf(keys.privateKey),
    keys,
    subject,
    rsa,
  };
}

const RSA = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const EC = { name: "ECDSA", hash: "SHA-256" };

async function pemOf(key: CryptoKey): Promise<string> {
  const octets = Buffer.from(await crypto.subtle.exportKey("pkcs8", key));
  const lines = octets.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
