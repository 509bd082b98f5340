// The certificate out of two PEM files: reading them, and what is wrong with them.
//
// The settings that name the files are TLS_CERT_FILEPATH and TLS_KEY_FILEPATH, unless others are given.

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import process from "node:process";
import { readSmallFile, readSmallFileSync } from "../small_file.ts";
import {
  belongsTo,
  type Certificate,
  CertificateError,
  certificatesIn,
  isWhole,
  keysIn,
  together,
  unservedKey,
} from "./certificate.ts";

/** Octets: of a certificate with its chain and key, or of all authorities of a system. */
const MAX_FILE = 4 * 1024 * 1024;

/** The settings that name the two files, for errors. */
export interface PemSettings {
  readonly certificate: string;
  readonly key: string;
}

export const TLS_FILES: PemSettings = {
  certificate: "TLS_CERT_FILEPATH",
  key: "TLS_KEY_FILEPATH",
};

/**
 * Reads a certificate and its key, and checks that they belong together.
 *
 * @throws CertificateError
 */
export function readCertificate(certificatePath: string, keyPath: string): Certificate {
  const problems: CertificateError[] = [];
  const certificate = tried(problems, () => readPem("TLS_CERT_FILEPATH", certificatePath));
  const key = tried(problems, () => readPem("TLS_KEY_FILEPATH", keyPath));
  return certificateFrom(certificatePath, keyPath, certificate, key, problems);
}

/** @param problems that there were with what is undefined */
export function certificateFrom(
  certificatePath: string,
  keyPath: string,
  certificate: string | undefined,
  privateKey: string | undefined,
  problems: CertificateError[] = [],
  settings = TLS_FILES,
): Certificate {
  const { leaf, key } = partsIn(
    certificatePath,
    keyPath,
    { certificate, key: privateKey },
    problems,
    settings,
  );
  if (
    certificate === undefined || privateKey === undefined || leaf === undefined || key === undefined
  ) {
    throw together(problems);
  }
  if (!belongsTo(leaf, key)) {
    throw new CertificateError(
      `${settings.key} "${keyPath}" is not the key of the certificate in "${certificatePath}"`,
      "mismatch",
    );
  }
  return {
    certificate: blocksOnly(certificate, certificatesIn),
    privateKey: blocksOnly(privateKey, keysIn),
    leaf,
  };
}

/** Removes blocks of other kinds: one file may contain all, and not every runtime ignores the others. */
export function blocksOnly(pem: string, blocksIn: (pem: string) => string[]): string {
  const blocks = blocksIn(pem);
  const all = pem.match(/^-----BEGIN /gm)?.length ?? 0;
  return blocks.length === 0 || blocks.length === all ? pem : blocks.join("\n") + "\n";
}

/** Parses what can be parsed. @param problems receives the errors of the rest */
export function partsIn(
  certificatePath: string,
  keyPath: string,
  texts: { readonly certificate: string | undefined; readonly key: string | undefined },
  problems: CertificateError[],
  settings = TLS_FILES,
): { readonly leaf: X509Certificate | undefined; readonly key: KeyObject | undefined } {
  const { certificate, key } = texts;
  const swapped = swappedFiles(certificatePath, keyPath, texts, settings);
  if (swapped !== undefined) {
    problems.push(swapped);
    return { leaf: undefined, key: undefined };
  }
  return {
    leaf: certificate === undefined
      ? undefined
      : tried(problems, () => leafIn(certificatePath, certificate, settings.certificate)),
    key: key === undefined ? undefined : tried(problems, () => keyIn(keyPath, key, settings.key)),
  };
}

/** The error where each file contains only what belongs into the other one. */
export function swappedFiles(
  certificatePath: string,
  keyPath: string,
  { certificate = "", key = "" }: {
    readonly certificate: string | undefined;
    readonly key: string | undefined;
  },
  settings = TLS_FILES,
): CertificateError | undefined {
  const [first, second] = [contentOf(certificate), contentOf(key)];
  if (first.certificate || !first.key || !second.certificate || second.key) return undefined;
  return new CertificateError(
    `${settings.certificate} "${certificatePath}" holds the private key and ${settings.key} ` +
      `"${keyPath}" the certificate`,
    "swapped",
    "exchange the two",
  );
}

function contentOf(pem: string): { readonly certificate: boolean; readonly key: boolean } {
  return {
    certificate: /^-----BEGIN CERTIFICATE-----/m.test(pem),
    key: /^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/m.test(pem),
  };
}

function tried<T>(problems: CertificateError[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    problems.push(asProblem(error));
    return undefined;
  }
}

export function asProblem(error: unknown): CertificateError {
  if (!(error instanceof CertificateError)) throw error;
  return error;
}

/**
 * The server's own certificate, which is the first.
 *
 * @param path for the errors
 * @throws CertificateError
 */
export function leafIn(
  path: string,
  certificate: string,
  setting = TLS_FILES.certificate,
): X509Certificate {
  // Checked first: the library's error for half a certificate does not say so.
  if (/^-----BEGIN CERTIFICATE-----/m.test(certificate) && !isWhole(certificate)) {
    throw new CertificateError(
      `${setting} "${path}" is cut off: a certificate begins in it and does not end`,
      "cut",
    );
  }
  try {
    return new X509Certificate(certificatesIn(certificate)[0] ?? certificate);
  } catch {
    const { certificate: has, key } = contentOf(certificate);
    const actual = key && !has ? ", but a private key" : "";
    throw new CertificateError(
      `${setting} "${path}" holds no certificate in PEM form${actual}`,
    );
  }
}

/**
 * @param path for the errors
 * @throws CertificateError
 */
export function keyIn(path: string, privateKey: string, setting = TLS_FILES.key): KeyObject {
  const named = `${setting} "${path}"`;
  if (/^-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/m.test(privateKey) && !isWhole(privateKey)) {
    throw new CertificateError(
      `${named} is cut off: a key begins in it and does not end`,
      "cut",
    );
  }
  if (LOCKED.test(privateKey)) {
    throw new CertificateError(
      `${named} has a passphrase, which the relay cannot enter`,
      "malformed",
      "remove it with openssl pkey -in key.pem -out plain.pem",
    );
  }
  try {
    return createPrivateKey(keysIn(privateKey)[0] ?? privateKey);
  } catch {
    const { certificate, key } = contentOf(privateKey);
    const actual = certificate && !key ? ", but a certificate" : "";
    throw unservedKey(privateKey, `the key in ${named}`) ??
      new CertificateError(
        `${named} holds no private key in PEM form without a passphrase${actual}`,
      );
  }
}

/** A key under a passphrase: RFC 7468 §11 and, the older form, RFC 1421 §4.6.1.1. */
const LOCKED = /^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED\s*$/m;

/** @throws CertificateError */
export function readPem(setting: string, path: string): string {
  try {
    return readSmallFileSync(path, MAX_FILE);
  } catch (error) {
    throw unreadable(setting, path, error);
  }
}

/** As {@link readPem}, without blocking: the files may be on a network. */
export async function readPemAsync(setting: string, path: string): Promise<string> {
  try {
    return await readSmallFile(path, MAX_FILE);
  } catch (error) {
    throw unreadable(setting, path, error);
  }
}

function unreadable(setting: string, path: string, error: unknown): CertificateError {
  const { code } = error as NodeJS.ErrnoException;
  return new CertificateError(
    `${setting} "${path}" ${explain(setting, error as NodeJS.ErrnoException)}`,
    code === "ENOENT" ? "missing" : "unreadable",
    code === "EACCES" || code === "EPERM" ? "change the file's owner or mode" : undefined,
  );
}

function explain(setting: string, { code, message }: NodeJS.ErrnoException): string {
  switch (code) {
    case "ENOENT":
      return setting.startsWith("TLS_")
        ? "does not exist (docs/installation.md has a command for one; TLS_SOURCE=off runs without TLS)"
        : "does not exist";
    case "EACCES":
    case "EPERM": {
      const user = process.getuid?.();
      return `cannot be read by this user${user === undefined ? "" : ` (uid ${user})`}`;
    }
    case "EISDIR":
      return "is a directory";
    case "NOT_A_FILE":
      return "is not a regular file";
    case "TOO_LARGE":
      return "is larger than 4 MiB";
    default:
      return `cannot be read: ${code ?? message}`;
  }
}
