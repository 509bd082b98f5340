// The relay's own credentials towards Entra ID, by name, and the token requests that are made with them.

import {
  type AppProof,
  CREDENTIAL_NAMES,
  type CredentialName,
  type RelayCredentials,
} from "./app_credentials.ts";
import { credentialUnset, type EntraRefusal } from "./entra_errors.ts";
import { ownRefusal } from "./own_refusal.ts";
import type { CredentialFacts, ProofSource } from "./proof_source.ts";
import type { AccessToken } from "./token.ts";

/**
 * Asks Entra ID for a token.
 *
 * @param explain applied to a refusal, says what it means for the relay's own credential
 */
export type Ask = (
  proof: AppProof,
  explain: (refusal: EntraRefusal) => EntraRefusal,
) => Promise<AccessToken | EntraRefusal>;

/** The assertion is not within its valid time range. */
const ENDED = "AADSTS700024";

export class OwnCredentials {
  readonly #sources: ReadonlyMap<CredentialName, ProofSource>;
  readonly #now: () => number;

  /** @param now milliseconds of Unix time */
  constructor(sources: readonly ProofSource[] = [], now: () => number = Date.now) {
    this.#sources = new Map(sources.map((source) => [source.facts.name, source]));
    this.#now = now;
  }

  /** Those that are configured, and what is known of them now. */
  list(): readonly CredentialFacts[] {
    return CREDENTIAL_NAMES.flatMap((name) => this.#sources.get(name)?.facts ?? []);
  }

  /**
   * What the next token request with this credential would show to Entra ID. Afterwards `list` has its facts.
   *
   * @returns a refusal (454) if it is unset, or cannot be read
   */
  async proof(name: CredentialName): Promise<AppProof | EntraRefusal> {
    return await this.#sources.get(name)?.proof() ?? credentialUnset(name);
  }

  /**
   * Makes a token request with one of the credentials.
   *
   * @returns no refusal but one of type `later`: the device is not at fault
   */
  async token(app: RelayCredentials, ask: Ask): Promise<AccessToken | EntraRefusal> {
    const source = this.#sources.get(app.credential);
    if (source === undefined) return credentialUnset(app.credential);
    const explain = (refusal: EntraRefusal) =>
      refusal.type === "later" ? refusal : ownRefusal(refusal, source.facts, app, this.#now());
    const proof = await source.proof();
    if ("reply" in proof) return proof;
    const result = await ask(proof, explain);
    if (!("type" in result) || result.credential === undefined) return result;
    // The machine's clock was wrong when it was kept.
    if (result.code === ENDED && proof.type === "assertion") await source.refresh();
    // It may have been renewed while the request was under way.
    const now = await source.proof();
    return "reply" in now || !isRenewed(proof, now) ? result : await ask(now, explain);
  }

  /** Reads all of them again at once. Never fails. */
  async refresh(): Promise<void> {
    await Promise.all(this.#sources.values().map((source) => source.refresh()));
  }

  close(): void {
    for (const source of this.#sources.values()) source.close();
  }
}

/** Whether another request is worth it. Each certificate's proof is an object of its own. */
function isRenewed(before: AppProof, now: AppProof): boolean {
  if (before.type !== "assertion" || now.type !== "assertion") return before !== now;
  return before.assertion.reveal() !== now.assertion.reveal();
}
