// Remembers what Entra ID has refused, so that it is not asked the same again at once.

import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import type { AppCredentials, CredentialName } from "./app_credentials.ts";
import type { EntraRefusal } from "./entra_errors.ts";

/**
 * Milliseconds that Entra ID is not asked again about credentials that it has refused. A device with an
 * old password that tries in a loop would otherwise get its tenant throttled (AADSTS90055), with all
 * devices in it. No longer, because a new secret takes a moment to reach all of Entra ID, and the
 * administrator who has just created it waits for that.
 */
const REMEMBER_REFUSAL = 30_000;
/** Refusals remembered at most; separate from tokens, so that guesses do not push these out. */
const MAX_REFUSALS = 10_000;

interface Refusal {
  readonly refusal: EntraRefusal;
  /** When Entra ID refused. */
  readonly at: number;
  /** How often the relay's own credential had been renewed when it was asked. */
  readonly renewals: number;
}

export class RememberedRefusals {
  /** By login: a wrong secret is wrong for each scope. Refusals of a scope are kept by login and scope. */
  readonly #refusals = new BoundedMap<Refusal>({ max: MAX_REFUSALS });
  /** How often each of the relay's own credentials has been renewed. */
  readonly #renewals = new Map<CredentialName, number>();
  readonly #clock: Pick<Clock, "now">;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  /** What was refused with the old credential is not remembered any more. */
  renewed(credential: CredentialName): void {
    this.#renewals.set(credential, (this.#renewals.get(credential) ?? 0) + 1);
  }

  /** To be taken before Entra ID is asked, and given to `add`. */
  renewalsOf(credentials: AppCredentials): number {
    return "credential" in credentials ? this.#renewals.get(credentials.credential) ?? 0 : 0;
  }

  /** @param key of the login, or of login and scope where the scope is the reason */
  add(key: string, refusal: EntraRefusal, renewals: number): void {
    this.#refusals.set(key, { refusal, at: this.#clock.now(), renewals });
  }

  delete(key: string): void {
    this.#refusals.delete(key);
  }

  /**
   * The recent refusal of the same credentials, which Entra ID would repeat.
   *
   * @param keys of the login, and of login and scope
   * @param mayAskAgain whether a client may have Entra ID asked again after that time
   */
  find(
    keys: readonly string[],
    credentials: AppCredentials,
    mayAskAgain: () => boolean = () => true,
  ): EntraRefusal | undefined {
    let found: Refusal | undefined;
    for (const key of keys) found ??= this.#refusals.get(key);
    if (found === undefined || found.renewals !== this.renewalsOf(credentials)) return undefined;
    const age = this.#clock.now() - found.at;
    // A refusal of the relay's own credential is no guess of a client.
    const isGuess = found.refusal.credential === undefined;
    if (age >= REMEMBER_REFUSAL && (!isGuess || mayAskAgain())) return undefined;
    const seconds = Math.round(age / 1000);
    const { detail } = found.refusal;
    return {
      ...found.refusal,
      detail: `${detail} (remembered: Entra ID said so ${seconds} s ago and was not asked again)`,
    };
  }
}
