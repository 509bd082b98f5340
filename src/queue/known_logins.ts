// The credentials that have logged in lately, kept across restarts. While Entra ID does not answer, an
// account with them may go on queueing mail; a stranger may not (QUEUE_OFFLINE_LOGIN).
//
// A login is found by a keyed hash of its tenant, app and secret. The secret that an account has logged in
// with last is kept sealed: mail that waits is sent with it once the one that it came with has ended.

import { Buffer } from "node:buffer";
import type { Account } from "../accounts/account.ts";
import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import type { ClientCredentials } from "../entra/app_credentials.ts";
import { asBuffer } from "../octets.ts";
import { Secret } from "../secret.ts";
import { type Sealer, SealError } from "./sealing.ts";
import { type Notes, StoreError } from "./store.ts";

export interface KnownLoginsOptions {
  readonly notes: Notes;
  readonly sealer: Sealer;
  readonly clock: Pick<Clock, "date" | "now">;
  readonly times: KnownLoginTimes;
  /** Called if a good login cannot be noted: it counts all the same. */
  failed(error: unknown): void;
}

/** Milliseconds. */
export interface KnownLoginTimes {
  /** After the last good login; or never without Entra ID. */
  readonly offline: number | "off";
  /** For which an account's last secret is kept: as long as its mail may wait. */
  readonly secret: number;
}

/** Milliseconds between two notes about the same login, at most; and as a share of the time it is for. */
const NOTE_INTERVAL = 3_600_000;
const NOTE_SHARE = 10;
/** Logins that are remembered to have been noted. */
const MAX_NOTED = 10_000;

export class KnownLogins {
  readonly #options: KnownLoginsOptions;
  readonly #noted: BoundedMap<true>;
  /** Notes that are being written. */
  readonly #writes = new Set<Promise<void>>();

  constructor(options: KnownLoginsOptions) {
    this.#options = options;
    const { clock, times: { offline } } = options;
    const lifetime = offline === "off"
      ? NOTE_INTERVAL
      : Math.max(1, Math.min(NOTE_INTERVAL, offline / NOTE_SHARE));
    this.#noted = new BoundedMap({ max: MAX_NOTED, lifetime, clock });
  }

  /** Entra ID has verified these credentials. The caller need not wait. */
  succeeded(credentials: ClientCredentials): Promise<void> {
    return this.#during(this.#note(credentials));
  }

  /** Resolves when all notes so far are written. */
  async written(): Promise<void> {
    await Promise.all(this.#writes);
  }

  async #during(write: Promise<void>): Promise<void> {
    this.#writes.add(write);
    try {
      await write;
    } finally {
      this.#writes.delete(write);
    }
  }

  async #note(credentials: ClientCredentials): Promise<void> {
    const [key] = this.#keysOf(credentials);
    if (this.#noted.get(key)) return;
    this.#noted.set(key, true);
    const { notes, sealer, clock, times, failed } = this.#options;
    const now = clock.date();
    try {
      const [name] = secretKeys(sealer, credentials);
      const secret = Buffer.from(credentials.clientSecret.reveal(), "utf8");
      await notes.set(name, sealer.seal(secret, name), now + times.secret);
      if (times.offline !== "off") {
        // The store's own time of a note is not sealed, and the setting may change.
        const at = Buffer.from(String(Math.floor(now)));
        await notes.set(key, sealer.seal(at, key), now + times.offline);
      }
    } catch (error) {
      this.#noted.delete(key);
      failed(error);
    }
  }

  /** Entra ID refuses these credentials: they may not log in without it any more. Never fails. */
  refused(credentials: ClientCredentials): Promise<void> {
    return this.#during(this.#forget(credentials));
  }

  async #forget(credentials: ClientCredentials): Promise<void> {
    const { notes, clock, times, failed } = this.#options;
    if (times.offline === "off") return;
    const [key] = this.#keysOf(credentials);
    try {
      // Those of strangers cost no write.
      if (!await this.isKnown(credentials)) return;
      this.#noted.delete(key);
      for (const name of this.#keysOf(credentials)) {
        await notes.set(name, new Uint8Array(0), clock.date());
      }
    } catch (error) {
      failed(error);
    }
  }

  /** Whether these credentials have logged in within QUEUE_OFFLINE_LOGIN. */
  async isKnown(credentials: ClientCredentials): Promise<boolean> {
    const { notes, sealer, clock, times: { offline } } = this.#options;
    if (offline === "off") return false;
    for (const key of this.#keysOf(credentials)) {
      const at = await opened(notes, sealer, key);
      if (at === undefined) continue;
      // The machine's time may have been set back since.
      const age = Math.abs(clock.date() - Number(asBuffer(at).toString("latin1")));
      if (age < offline) return true;
    }
    return false;
  }

  /** The secret that the account's app has logged in with last. */
  async latestSecret(account: Pick<Account, "tenantId" | "clientId">): Promise<Secret | undefined> {
    const { notes, sealer } = this.#options;
    const secret = await firstOpened(notes, sealer, secretKeys(sealer, account));
    return secret && new Secret(asBuffer(secret).toString("utf8"));
  }

  #keysOf({ tenantId, clientId, clientSecret }: ClientCredentials): Names {
    const { sealer } = this.#options;
    const names = sealer.hashes("login", tenantId, clientId, clientSecret.reveal());
    return names.map((name) => `login-${name}`) as unknown as Names;
  }
}

/** By each key of QUEUE_KEY: a note outlasts a change of the key. The first is that of new notes. */
type Names = readonly [string, ...string[]];

function secretKeys(
  sealer: Sealer,
  { tenantId, clientId }: Pick<Account, "tenantId" | "clientId">,
): Names {
  const names = sealer.hashes("secret", tenantId, clientId);
  return names.map((name) => `secret-${name}`) as unknown as Names;
}

async function firstOpened(
  notes: Notes,
  sealer: Sealer,
  names: Names,
): Promise<Uint8Array | undefined> {
  for (const name of names) {
    const found = await opened(notes, sealer, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @returns undefined also for a note that was changed, or that the store cannot read */
async function opened(
  notes: Notes,
  sealer: Sealer,
  key: string,
): Promise<Uint8Array | undefined> {
  try {
    const sealed = await notes.get(key);
    return sealed && sealer.open(sealed, key);
  } catch (error) {
    if (error instanceof SealError || error instanceof StoreError) return undefined;
    throw error;
  }
}
