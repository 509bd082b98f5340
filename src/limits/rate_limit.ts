// So many uses in so much time, for each of many: addresses that fail to log in, accounts that send.
//
// The window slides: at no moment have there been more than `most` uses in the time that lies
// behind it. What is under way takes its place already, so that many at once are no way around it.

import { LRUCache } from "lru-cache";

/** Such as `10/1m`. */
export interface Rate {
  /** Uses, at least 1. */
  readonly most: number;
  /** Milliseconds. */
  readonly window: number;
}

/** Ends a use that was under way. @param counts whether it is one, now that it is over */
export type EndUse = (counts: boolean) => void;

/** Uses that lie close together are kept as one, so that a key's memory does not grow with `most`. */
interface Burst {
  readonly first: number;
  last: number;
  uses: number;
}

/** A burst is this part of the window at most: so much later its uses may be forgotten. */
const BURSTS = 60;

export interface RateLimitOptions {
  readonly rate: Rate;
  /** Keys remembered at most; the least recently used is forgotten. */
  readonly capacity?: number;
  /** Milliseconds, of a clock that never goes back. */
  now(): number;
}

export class RateLimit {
  readonly rate: Rate;
  readonly #now: () => number;
  readonly #capacity: number;
  #made: LRUCache<string, Burst[]> | undefined;
  /** Has who has something under way, and nobody else. */
  readonly #underWay = new Map<string, number>();

  constructor({ rate, capacity = 10_000, now }: RateLimitOptions) {
    this.rate = rate;
    this.#now = now;
    this.#capacity = capacity;
  }

  /** The oldest first. Made when it is needed: it takes its whole room at once, and the start waits. */
  get #bursts(): LRUCache<string, Burst[]> {
    return this.#made ??= new LRUCache({ max: this.#capacity });
  }

  /** Uses within the window, without those under way. */
  used(key: string): number {
    const bursts = this.#bursts.get(key);
    if (bursts === undefined) return 0;
    const since = this.#now() - this.rate.window;
    while (bursts.length > 0 && bursts[0]!.last <= since) bursts.shift();
    if (bursts.length === 0) this.#bursts.delete(key);
    return bursts.reduce((sum, { uses }) => sum + uses, 0);
  }

  /** Whether no use is left, whatever becomes of those under way. */
  reached(key: string): boolean {
    return this.used(key) >= this.rate.most;
  }

  /** Whether a use could begin now. */
  free(key: string): boolean {
    return this.used(key) + (this.#underWay.get(key) ?? 0) < this.rate.most;
  }

  /** Begins a use. @returns undefined where none is free */
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

  /** Counts a use that has not been begun here. */
  count(key: string): void {
    const now = this.#now();
    const bursts = this.#bursts.get(key) ?? [];
    const latest = bursts.at(-1);
    if (latest !== undefined && now - latest.first < this.rate.window / BURSTS) {
      latest.last = now;
      latest.uses++;
    } else {
      bursts.push({ first: now, last: now, uses: 1 });
    }
    // Those who only ever count would not see the old ones off.
    if (bursts.length > BURSTS + 2) bursts.shift();
    this.#bursts.set(key, bursts);
  }
}
