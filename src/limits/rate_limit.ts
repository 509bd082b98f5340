// A sliding-window rate limit per key: failed logins by address, messages by account.
//
// In any period as long as the window there are `most` uses at most. A use that is under way counts
// already, so that many at once cannot exceed the limit.

import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";

/** Such as `10/1m`. */
export interface Rate {
  /** Uses, at least 1. */
  readonly most: number;
  /** Milliseconds. */
  readonly window: number;
}

/** Ends a use that was under way. @param counts whether it still counts as a use */
export type EndUse = (counts: boolean) => void;

/** Uses close together in time, kept as one, so that a key's memory does not grow with `most`. */
interface Burst {
  readonly first: number;
  last: number;
  uses: number;
}

/** Parts of the window: a burst lasts one part at most, and its uses may count that much too long. */
const BURSTS = 60;

export interface RateLimitOptions {
  readonly rate: Rate;
  /** Keys remembered at most; the least recently used is forgotten. */
  readonly capacity?: number;
  readonly clock: Pick<Clock, "now">;
}

export class RateLimit {
  readonly rate: Rate;
  readonly #clock: Pick<Clock, "now">;
  /** The oldest first. */
  readonly #bursts: BoundedMap<Burst[]>;
  /** How many uses of a key are under way; holds no key that has none. */
  readonly #underWay = new Map<string, number>();

  constructor({ rate, capacity: max = 10_000, clock }: RateLimitOptions) {
    this.rate = rate;
    this.#clock = clock;
    this.#bursts = new BoundedMap({ max });
  }

  /** Uses within the window, without those under way. */
  used(key: string): number {
    const bursts = this.#bursts.get(key);
    if (bursts === undefined) return 0;
    const since = this.#clock.now() - this.rate.window;
    while (bursts.length > 0 && bursts[0]!.last <= since) bursts.shift();
    if (bursts.length === 0) this.#bursts.delete(key);
    return bursts.reduce((sum, { uses }) => sum + uses, 0);
  }

  /** Whether no use is left, even if none of those under way should count. */
  reached(key: string): boolean {
    return this.used(key) >= this.rate.most;
  }

  /** Whether a use could begin now. */
  free(key: string): boolean {
    return this.used(key) + (this.#underWay.get(key) ?? 0) < this.rate.most;
  }

  /** Begins a use. @returns undefined if the limit is reached */
  begin(key: string): EndUse | undefined {
    if (!this.free(key)) return undefined;
    this.#underWay.set(key, (this.#underWay.get(key) ?? 0) + 1);
    let over = false;
    return (counts) => {
      if (over) return;
      over = true;
      const left = this.#underWay.get(key)! - 1;
      if (left > 0) this.#underWay.set(key, left);
      else this.#underWay.delete(key);
      if (counts) this.count(key);
    };
  }

  /** Counts a use that was not begun with {@link begin}. */
  count(key: string): void {
    const now = this.#clock.now();
    const bursts = this.#bursts.get(key) ?? [];
    const latest = bursts.at(-1);
    if (latest !== undefined && now - latest.first < this.rate.window / BURSTS) {
      latest.last = now;
      latest.uses++;
    } else {
      bursts.push({ first: now, last: now, uses: 1 });
    }
    // A key that is only counted would otherwise keep its old bursts.
    if (bursts.length > BURSTS + 2) bursts.shift();
    this.#bursts.set(key, bursts);
  }
}
