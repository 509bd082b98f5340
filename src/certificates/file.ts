// The certificate from two PEM files, and the watch over them.

import { createHash, createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { type Certificate, CertificateError, isWhole } from "./certificate.ts";
import type { CertificateSource, Found, Look } from "./source.ts";

/** Milliseconds between two looks at the files: a change is in force within 60 s, with room. */
const INTERVAL = 10_000;
/** Milliseconds that new files must stay the same before they are taken: nobody writes any more. */
const SETTLE = 500;
/** How often it is waited for that in one look. */
const SETTLE_TRIES = 10;

export interface FileSourceOptions {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** Milliseconds between two looks; 10 s when left out. */
  readonly interval?: number;
  /** Milliseconds that new files must stay the same; 500 when left out. */
  readonly settle?: number;
}

/**
 * Looks at what the files hold, not at their times or inodes: that holds for renames as certbot does
 * them, for the symbolic links of Kubernetes, and for files that are written in place.
 */
export class FileSource implements CertificateSource {
  readonly name = "file";
  readonly interval: number;
  readonly patience = 1;
  readonly #options: FileSourceOptions;

  constructor(options: FileSourceOptions) {
    this.#options = options;
    this.interval = options.interval ?? INTERVAL;
  }

  async read({ known, complete, signal }: Look): Promise<Found | undefined> {
    const { certificatePath, keyPath, settle = SETTLE } = this.#options;
    let texts = await this.#texts();
    let revision = revisionOf(texts);
    if (revision === known) return undefined;
    // The first one is not waited for: the relay is to start.
    if (known !== undefined && !complete) {
      for (let tries = 0;; tries++) {
        await sleep(settle, undefined, { signal });
        const before = revision;
        texts = await this.#texts();
        revision = revisionOf(texts);
        if (revision === before) break;
        if (tries === SETTLE_TRIES) throw new CertificateError(`${this.#both} keep changing`);
      }
      if (revision === known) return undefined;
    }
    const [certificate, key] = texts;
    return { certificate: fit(certificatePath, keyPath, certificate, key), revision };
  }

  get #both(): string {
    const { certificatePath, keyPath } = this.#options;
    return `TLS_CERT_FILEPATH "${certificatePath}" and TLS_KEY_FILEPATH "${keyPath}"`;
  }

  async #texts(): Promise<readonly [certificate: string, key: string]> {
    const { certificatePath, keyPath } = this.#options;
    return [
      await readPemLater("TLS_CERT_FILEPATH", certificatePath),
      await readPemLater("TLS_KEY_FILEPATH", keyPath),
    ];
  }
}

function revisionOf(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}

/**
 * Reads a certificate and its key, and makes sure that they fit.
 *
 * @throws CertificateError
 */
export function readCertificate(certificatePath: string, keyPath: string): Certificate {
  const certificate = readPem("TLS_CERT_FILEPATH", certificatePath);
  const key = readPem("TLS_KEY_FILEPATH", keyPath);
  return fit(certificatePath, keyPath, certificate, key);
}

/** @param paths for the errors */
function fit(
  certificatePath: string,
  keyPath: string,
  certificate: string,
  privateKey: string,
): Certificate {
  const leaf = leafIn(certificatePath, certificate);
  const key = keyIn(keyPath, privateKey);
  if (!leaf.checkPrivateKey(key)) {
    throw new CertificateError(
      `TLS_KEY_FILEPATH "${keyPath}" is not the key of the certificate in "${certificatePath}"`,
      "mismatch",
    );
  }
  return { certificate, privateKey, leaf };
}

/**
 * The server's own certificate, which is the first.
 *
 * @param path for the errors
 * @throws CertificateError
 */
export function leafIn(path: string, certificate: string): X509Certificate {
  let leaf: X509Certificate;
  try {
    leaf = new X509Certificate(certificate);
  } catch {
    throw new CertificateError(
      `TLS_CERT_FILEPATH "${path}" holds no certificate in PEM form`,
    );
  }
  if (!isWhole(certificate)) {
    throw new CertificateError(
      `TLS_CERT_FILEPATH "${path}" is cut off: it has a beginning of a certificate without its end`,
    );
  }
  return leaf;
}

/**
 * @param path for the errors
 * @throws CertificateError
 */
export function keyIn(path: string, privateKey: string): KeyObject {
  try {
    return createPrivateKey(privateKey);
  } catch {
    throw new CertificateError(
      `TLS_KEY_FILEPATH "${path}" holds no private key in PEM form without a passphrase`,
    );
  }
}

/** @throws CertificateError */
export function readPem(setting: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw unreadable(setting, path, error);
  }
}

/** The same without stopping the mail meanwhile: files may lie on a network. */
async function readPemLater(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw unreadable(setting, path, error);
  }
}

function unreadable(setting: string, path: string, error: unknown): CertificateError {
  const problem = explain(setting, error as NodeJS.ErrnoException);
  const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
  return new CertificateError(
    `${setting} "${path}" ${problem}`,
    missing ? "missing" : "unreadable",
  );
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
