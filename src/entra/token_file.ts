// The credential `workload-identity`: a token of Kubernetes, in a file that the cluster renews.
// https://learn.microsoft.com/entra/workload-id/workload-identity-federation

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { Secret } from "../secret.ts";
import type { AssertionProof } from "./app_credentials.ts";
import { assertionFacts } from "./assertion_claims.ts";
import { type EntraRefusal, unasked } from "./entra_errors.ts";
import type { CredentialFacts, ProofSource } from "./proof_source.ts";

/** Milliseconds for one read: a file on a network may never answer. */
const TIMEOUT = 5_000;
/** A token has some kilobytes at most. */
const MAX_LENGTH = 64 * 1024;

/** Reads the file for each request: the cluster replaces the token long before it ends. */
export class TokenFile implements ProofSource {
  readonly #path: string;
  #facts: CredentialFacts = { name: "workload-identity", source: "file" };

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
      text = (await within(TIMEOUT, readFile(this.#path, "utf8"))).trim();
    } catch (error) {
      const { code = "EIO" } = error as NodeJS.ErrnoException;
      return this.#unusable(`cannot be read (${code})`);
    }
    const facts = text.length > MAX_LENGTH ? undefined : assertionFacts(text);
    if (facts === undefined) return this.#unusable("has no token in it");
    this.#facts = { ...this.#facts, assertion: facts };
    return { type: "assertion", assertion: new Secret(text) };
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}

  #unusable(why: string): EntraRefusal {
    return unasked(
      "TOKEN_FILE",
      `the relay's own credential "workload-identity": AZURE_FEDERATED_TOKEN_FILE "${this.#path}" ${why}`,
    );
  }
}

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
