// Checks a device's own password against the hashes of its entry.
//
// Each check that fails has made two scrypt derivations, whatever hashes there are: with none, with SHA-256 alone,
// for an id that does not exist. So neither the time nor the memory of a login tells which ids exist. A derivation
// takes 16 MiB and up to 0.1 s: two are made at once, inside MAX_MEMORY, and the addresses take turns.

import { Buffer } from "node:buffer";
import { createHash, scrypt, timingSafeEqual } from "node:crypto";
import { BoundedMap } from "../bounded_map.ts";
import { type Clock, realClock } from "../clock.ts";
import { KeyedHash } from "../keyed_hash.ts";
import { FairTurns } from "../limits/fair_turns.ts";
import type { Secret } from "../secret.ts";
import {
  formatPasswordHash,
  HASH_LENGTH,
  type PasswordHash,
  SCRYPT_COST,
  type ScryptHash,
} from "./password_hash.ts";

/** scrypt with {@link SCRYPT_COST}. */
export type Derive = (password: Uint8Array, salt: Uint8Array) => Promise<Uint8Array>;

export interface DevicePasswordsOptions {
  /** Of MAX_MEMORY; without, memory is not limited. */
  readonly memory?: DerivationMemory | undefined;
  readonly derive?: Derive;
  readonly clock?: Pick<Clock, "now" | "alarm">;
}

export interface DerivationMemory {
  /**
   * @param octets of memory
   * @param timeout milliseconds
   * @returns gives it back; undefined if there was none in time
   */
  acquire(octets: number, timeout: number): Promise<(() => void) | undefined>;
}

/** What is checked. */
export interface PasswordCheck {
  readonly password: Secret;
  /** Each is valid; none if there is no such entry. */
  readonly hashes: readonly PasswordHash[];
  /** The entry's id, whether it exists or not. */
  readonly id: string;
  /** The client's address or network. */
  readonly client: string;
}

/** `crowded`: too many passwords are being checked, or there is no memory for one more. */
export type PasswordResult =
  | { readonly type: "right"; readonly hash: PasswordHash }
  | { readonly type: "wrong" | "crowded" };

/** Derivations at once, and for each check that fails. */
export const DERIVATIONS_AT_ONCE = 2;
export const DERIVATIONS_PER_FAILURE = 2;
/** Octets of memory for one (RFC 7914 §2: 128 × r × N). */
export const DERIVATION_MEMORY = 128 * SCRYPT_COST.r * SCRYPT_COST.N;
/** Milliseconds that a check waits for its turn and for memory; a device waits for its reply meanwhile. */
export const CHECK_TIMEOUT = 30_000;
/** Checks that wait at most. */
export const MAX_WAITING_CHECKS = 1000;
/** Right passwords remembered at most. */
const MAX_REMEMBERED = 10_000;

const WRONG: PasswordResult = { type: "wrong" };
const CROWDED: PasswordResult = { type: "crowded" };

/** What is derived from where there is no hash to compare with. */
const DUMMY: ScryptHash = {
  type: "scrypt",
  salt: Buffer.from("no entry's salt."),
  hash: Buffer.alloc(HASH_LENGTH),
};

export class DevicePasswords {
  readonly #memory: DerivationMemory | undefined;
  readonly #derive: Derive;
  readonly #clock: Pick<Clock, "now" | "alarm">;
  readonly #turns: FairTurns;
  readonly #names = new KeyedHash();
  /** Right passwords, each by its hash and itself: it is right as long as the entry has that hash. */
  readonly #right = new BoundedMap<true>({ max: MAX_REMEMBERED });
  /** Checks under way, each shared by all logins of a client with the same credentials. */
  readonly #pending = new Map<string, Promise<PasswordResult>>();

  constructor(options: DevicePasswordsOptions = {}) {
    const { memory, derive = deriveScrypt, clock = realClock } = options;
    this.#memory = memory;
    this.#derive = derive;
    this.#clock = clock;
    this.#turns = new FairTurns({
      atOnce: DERIVATIONS_AT_ONCE,
      waiting: MAX_WAITING_CHECKS,
      clock,
    });
  }

  /** The hash that the password matches, where no derivation is needed to find it. */
  quickMatch({ password, hashes }: Pick<PasswordCheck, "password" | "hashes">):
    | PasswordHash
    | undefined {
    const octets = Buffer.from(password.reveal(), "utf8");
    return hashes.find((hash) =>
      hash.type === "scrypt" ? this.#right.get(this.#nameOf(hash, password)) : matches(hash, octets)
    );
  }

  /** Never fails for what a client has sent. */
  check(check: PasswordCheck): Promise<PasswordResult> | PasswordResult {
    const { password, hashes, id, client } = check;
    const quick = this.quickMatch(check);
    if (quick !== undefined) return { type: "right", hash: quick };
    const name = this.#names.of(client, id, password.reveal(), ...hashes.map(formatPasswordHash));
    const pending = this.#pending.get(name);
    if (pending !== undefined) return pending;
    const result = this.#inTurn(check).finally(() => this.#pending.delete(name));
    this.#pending.set(name, result);
    return result;
  }

  /** Checks that wait end as crowded: the relay is stopping. */
  stop(): void {
    this.#turns.stop();
  }

  async #inTurn(check: PasswordCheck): Promise<PasswordResult> {
    const end = this.#clock.now() + CHECK_TIMEOUT;
    const endTurn = await this.#turns.acquire(check.client, CHECK_TIMEOUT);
    if (endTurn === undefined) return CROWDED;
    try {
      const left = Math.max(0, end - this.#clock.now());
      const release = await this.#memory?.acquire(DERIVATION_MEMORY, left);
      if (this.#memory !== undefined && release === undefined) return CROWDED;
      try {
        return await this.#compare(check);
      } finally {
        release?.();
      }
    } finally {
      endTurn();
    }
  }

  /** Ends early only if the password is right. */
  async #compare(check: PasswordCheck): Promise<PasswordResult> {
    const octets = Buffer.from(check.password.reveal(), "utf8");
    const hashes = check.hashes.filter((hash) => hash.type === "scrypt");
    for (let i = 0; i < Math.max(hashes.length, DERIVATIONS_PER_FAILURE); i++) {
      const hash = hashes[i];
      const { salt, hash: expected } = hash ?? DUMMY;
      const isEqual = timingSafeEqual(await this.#derive(octets, salt), expected);
      if (hash === undefined || !isEqual) continue;
      this.#right.set(this.#nameOf(hash, check.password), true);
      return { type: "right", hash };
    }
    return WRONG;
  }

  #nameOf(hash: PasswordHash, password: Secret): string {
    return this.#names.of(formatPasswordHash(hash), password.reveal());
  }
}

function matches({ salt, hash }: PasswordHash, password: Uint8Array): boolean {
  return timingSafeEqual(createHash("sha256").update(salt).update(password).digest(), hash);
}

/** In another thread. */
export function deriveScrypt(password: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_LENGTH, SCRYPT_COST, (error, hash) => {
      // One runtime gives undefined where Node gives null.
      if (!error) resolve(hash);
      else reject(error);
    });
  });
}
