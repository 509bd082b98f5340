// The certificate from two PEM files.

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import process from "node:process";

export interface Certificate {
  /** PEM: the certificate, and the chain where the file holds one. */
  readonly certificate: string;
  /** PEM. */
  readonly privateKey: string;
  /** What is in it, for the log: the server's own certificate. */
  readonly leaf: X509Certificate;
}

/** What is wrong with a certificate: for programs, where the line is for people. */
export type CertificateFault =
  /** There is no such file. */
  | "missing"
  | "unreadable"
  /** No certificate, or no key, in PEM form. */
  | "malformed"
  /** The key is another certificate's. */
  | "mismatch"
  /** The runtime cannot serve TLS with it and the settings. */
  | "unusable";

/** One line for the administrator: which file, what is wrong with it, what to do. */
export class CertificateError extends Error {
  readonly fault: CertificateFault;

  constructor(fault: CertificateFault, message: string) {
    super(message);
    this.fault = fault;
  }
}

/**
 * Reads a certificate and its key, and makes sure that they fit.
 *
 * @throws CertificateError
 */
export function readCertificate(certificatePath: string, keyPath: string): Certificate {
  const { certificate, leaf } = readLeaf(certificatePath);
  const { privateKey, key } = readKey(keyPath);
  if (!leaf.checkPrivateKey(key)) {
    throw new CertificateError(
      "mismatch",
      `TLS_KEY_FILEPATH "${keyPath}" is not the key of the certificate in "${certificatePath}"`,
    );
  }
  return { certificate, privateKey, leaf };
}

/** @throws CertificateError */
export function readLeaf(certificatePath: string): Pick<Certificate, "certificate" | "leaf"> {
  const certificate = readPem("TLS_CERT_FILEPATH", certificatePath);
  try {
    return { certificate, leaf: new X509Certificate(certificate) };
  } catch {
    throw new CertificateError(
      "malformed",
      `TLS_CERT_FILEPATH "${certificatePath}" holds no certificate in PEM form`,
    );
  }
}

/** @throws CertificateError */
export function readKey(keyPath: string): { privateKey: string; key: KeyObject } {
  const privateKey = readPem("TLS_KEY_FILEPATH", keyPath);
  try {
    return { privateKey, key: createPrivateKey(privateKey) };
  } catch {
    throw new CertificateError(
      "malformed",
      `TLS_KEY_FILEPATH "${keyPath}" holds no private key in PEM form without a passphrase`,
    );
  }
}

/** @throws CertificateError */
export function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const problem = explain(setting, error as NodeJS.ErrnoException);
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new CertificateError(
      missing ? "missing" : "unreadable",
      `${setting} "${path}" ${problem}`,
    );
  }
}

function explain(setting: string, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "ENOENT":
      return setting.startsWith("TLS_")
        ? "does not exist (set TLS_SOURCE=off to run without TLS)"
        : "does not exist";
    case "EACCES":
    case "EPERM": {
      const user = process.getuid?.();
      return `cannot be read by this user${user === undefined ? "" : ` (uid ${user})`}: ` +
        "change the file's owner or mode";
    }
    case "EISDIR":
      return "is a directory";
    default:
      return `cannot be read: ${code ?? message}`;
  }
}
