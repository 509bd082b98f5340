/** Server certificates with their chain: root, intermediate, leaf; RSA and EC; any dates. */
import "reflect-metadata";
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import * as x509 from "@peculiar/x509";
import type { Certificate } from "../../src/certificates/certificate.ts";

const DAY_MS = 86_400_000;

export type KeyKind = "RSA" | "EC";

export interface Chain extends Certificate {
  /** PEM, without an end of line: leaf, intermediate, root. */
  readonly certificates: readonly [leaf: string, intermediate: string, root: string];
  /** The leaf's, in lower case, as the log has it. */
  readonly serial: string;
}

export interface ChainWishes {
  readonly key?: KeyKind;
  readonly names?: readonly string[];
  /** Days from now. */
  readonly from?: number;
  readonly until?: number;
}

interface Issuer {
  readonly certificate: x509.X509Certificate;
  readonly keys: CryptoKeyPair;
}

/** @returns `certificate` has leaf and intermediate, as a server sends them */
export async function issueChain(wishes: ChainWishes = {}): Promise<Chain> {
  const { key = "EC", names = ["localhost"], from = -1, until = 90 } = wishes;
  const root = await authority(key, "Test root", undefined);
  const intermediate = await authority(key, "Test intermediate", root);
  const keys = await newKeys(key);
  const leaf = await x509.X509CertificateGenerator.create({
    subject: `CN=${names[0]}, O=Test`,
    issuer: intermediate.certificate.subject,
    notBefore: new Date(Date.now() + from * DAY_MS),
    notAfter: new Date(Date.now() + until * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: intermediate.keys.privateKey,
    signingAlgorithm: signing(key),
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: "dns" as const, value })),
      ),
    ],
  });
  const certificates = [leaf, intermediate.certificate, root.certificate]
    .map((certificate) => certificate.toString("pem").trimEnd()) as [string, string, string];
  const own = new X509Certificate(certificates[0]);
  return {
    certificates,
    certificate: `${certificates[0]}\n${certificates[1]}\n`,
    privateKey: await pemOf(keys.privateKey),
    leaf: own,
    serial: own.serialNumber.toLowerCase(),
  };
}

async function authority(key: KeyKind, name: string, issuer: Issuer | undefined): Promise<Issuer> {
  const keys = await newKeys(key);
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: issuer?.certificate.subject ?? `CN=${name}`,
    notBefore: new Date(Date.now() - 1000 * DAY_MS),
    notAfter: new Date(Date.now() + 1000 * DAY_MS),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: signing(key),
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return { certificate, keys };
}

function signing(key: KeyKind) {
  return key === "RSA"
    ? { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }
    : { name: "ECDSA", hash: "SHA-256" };
}

async function newKeys(key: KeyKind): Promise<CryptoKeyPair> {
  const algorithm = key === "RSA"
    ? {
      ...signing(key),
      modulusLength: 2048,
      publicExponent: new Uint8Array([1, 0, 1]),
    }
    : { ...signing(key), namedCurve: "P-256" };
  return await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
}

async function pemOf(key: CryptoKey): Promise<string> {
  const octets = Buffer.from(await crypto.subtle.exportKey("pkcs8", key));
  const lines = octets.toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN PRIVATE KEY-----\n${lines.join("\n")}\n-----END PRIVATE KEY-----\n`;
}
