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

/** One line for the administrator: which file, what is wrong with it, what to do. */
export class CertificateError extends Error {}

/**
 * Reads a certificate and its key, and makes sure that they fit.
 *
 * @throws CertificateError
 */
export function readCertificate(certificatePath: string, keyPath: string): Certificate {
  const certificate = readPem("TLS_CERT_FILEPATH", certificatePath);
  const privateKey = readPem("TLS_KEY_FILEPATH", keyPath);
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch {
    throw new CertificateError(
      `TLS_CERT_FILEPATH "${certificatePath}" holds no certificate in PEM form`,
    );
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(privateKey);
  } catch {
    throw new CertificateError(
      `TLS_KEY_FILEPATH "${keyPath}" holds no private key in PEM form without a passphrase`,
    );
  }
  if (!leaf.checkPrivateKey(key)) {
    throw new CertificateError(
      `TLS_KEY_FILEPATH "${keyPath}" is not the key of the certificate in "${certificatePath}"`,
    );
  }
  return { certificate, privateKey, leaf };
}

/** @throws CertificateError */
export function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const problem = explain(setting, error as NodeJS.ErrnoException);
    throw new CertificateError(`${setting} "${path}" ${problem}`);
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
