// The credential `workload-identity`: a token of Kubernetes, in a file that the cluster renews.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation

import { setTimeout as sleep } from "node:timers/promises";
import { lengthShown, Secret } from "../secret.ts";
import { readSmallFile, type SmallFileCode } from "../small_file.ts";
import type { AssertionProof } from "./app_credentials.ts";
import { assertionFacts } from "./assertion_claims.ts";
import { type EntraRefusal, unasked } from "./entra_errors.ts";
import type { CredentialFacts, ProofSource } from "./proof_source.ts";

/** Milliseconds for one read: a file on a network may never answer. */
const TIMEOUT = 5_000;
/** Octets. A token has some kilobytes at most. */
const MAX_LENGTH = 64 * 1024;

/** Reads the file for each request: the cluster replaces the token long before it ends. */
export class TokenFile implements ProofSource {
  readonly #path: string;
  #facts: CredentialFacts = { name: "workload-identity", source: "file" };
  /** The read that is under way: of one that hangs, no second one is begun. */
  #reading: Promise<string> | undefined;

  /** @param path AZURE_FEDERATED_TOKEN_FILE */
  constructor(path: string) {
    this.#path = path;
  }

  get facts(): CredentialFacts {
    return this.#facts;
  }

  async proof(): Promise<AssertionProof | EntraRefusal> {
    let text: string;
    try {
      text = (await within(TIMEOUT, this.#read())).trim();
    } catch (error) {
      const { code = "EIO" } = error as NodeJS.ErrnoException;
      return this.#unusable(WORDS[code] ?? `cannot be read (${code})`);
    }
    const facts = assertionFacts(text);
    if (facts === undefined) return this.#unusable("has no token in it");
    this.#facts = { ...this.#facts, assertion: facts };
    return { type: "assertion", assertion: new Secret(text) };
  }

  #read(): Promise<string> {
    return this.#reading ??= readSmallFile(this.#path, MAX_LENGTH).finally(() => {
      this.#reading = undefined;
    });
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}

  #unusable(why: string): EntraRefusal {
    const path = this.#path;
    // A client reads this too: it may be the token itself that was set.
    const shown = assertionFacts(path) === undefined
      ? `"${path}"`
      : `(${lengthShown(path)}, not shown: a token in place of its file's path)`;
    return unasked(
      "TOKEN_FILE",
      `the relay's own credential "workload-identity": AZURE_FEDERATED_TOKEN_FILE ${shown} ${why}`,
    );
  }
}

/** By the code of the error. */
const WORDS: Readonly<Record<string, string>> = {
  NOT_A_FILE: "is not a regular file",
  TOO_LARGE: "has no token in it",
} satisfies Record<SmallFileCode, string>;

async function within<T>(milliseconds: number, read: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = sleep(milliseconds, undefined, { signal: over.signal }).then(() => {
    throw Object.assign(new Error("no answer in time"), { code: "ETIMEDOUT" });
  });
  try {
    return await Promise.race([read, late]);
  } finally {
    over.abort();
    late.catch(() => {});
  }
}
