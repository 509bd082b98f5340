// The certificate source that watches two PEM files.

import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { CertificateError, together } from "./certificate.ts";
import {
  asProblem,
  certificateFrom,
  partsIn,
  type PemSettings,
  readPem,
  readPemAsync,
  TLS_FILES,
} from "./pem_files.ts";
import type { CertificateSource, ReadRequest, ReadResult } from "./source.ts";

/** Milliseconds between two reads of the files: a change must be in use within 60 s. */
const INTERVAL = 10_000;
/** Milliseconds that new files must stay unchanged before they are used: they may still be written. */
const SETTLE = 500;
/** How often one read waits for that. */
const SETTLE_TRIES = 10;

export interface FileSourceOptions {
  readonly certificatePath: string;
  readonly keyPath: string;
  /** The settings that name them; those of TLS when left out. */
  readonly settings?: PemSettings;
  /** Milliseconds between two reads; 10 s when left out. */
  readonly interval?: number;
  /** Milliseconds that new files must stay the same; 500 when left out. */
  readonly settle?: number;
}

/**
 * Compares the content of the files, not their times or inodes. That works for certbot's renames, for
 * the symbolic links of Kubernetes, and for files that are written in place.
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

  async read({ known, complete, signal }: ReadRequest): Promise<ReadResult | undefined> {
    const { certificatePath, keyPath, settle = SETTLE } = this.#options;
    let texts = await this.#texts(known === undefined ? readPem : readPemAsync);
    let revision = revisionOf(texts);
    if (revision === known) return undefined;
    // The first read does not wait: the relay has to start.
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
    return {
      certificate: certificateFrom(certificatePath, keyPath, certificate, key, [], this.#settings),
      revision,
    };
  }

  get #settings(): PemSettings {
    return this.#options.settings ?? TLS_FILES;
  }

  get #both(): string {
    const { certificatePath, keyPath } = this.#options;
    const { certificate, key } = this.#settings;
    return `${certificate} "${certificatePath}" and ${key} "${keyPath}"`;
  }

  /** @param read how a file is read; the first time at once, because a thread takes longer and only the start waits */
  async #texts(
    read: (setting: string, path: string) => string | Promise<string> = readPemAsync,
  ): Promise<readonly [certificate: string, key: string]> {
    const { certificatePath, keyPath } = this.#options;
    const problems: CertificateError[] = [];
    const note = (error: unknown): undefined => {
      problems.push(asProblem(error));
    };
    const settings = this.#settings;
    const readOr = async (setting: string, path: string) => await read(setting, path);
    const certificate = await readOr(settings.certificate, certificatePath).catch(note);
    const key = await readOr(settings.key, keyPath).catch(note);
    if (certificate !== undefined && key !== undefined) return [certificate, key];
    // The problems of the other file belong into the same error.
    partsIn(certificatePath, keyPath, { certificate, key }, problems, settings);
    throw together(problems);
  }
}

function revisionOf(texts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(texts)).digest("hex");
}
