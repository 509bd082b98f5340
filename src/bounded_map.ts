// A map with a limited number of entries, which forgets the least recently used one. An LRUCache
// takes all of its memory when it is made, so it is made with the first entry: most relays never
// use most maps.

import { LRUCache } from "lru-cache";
import type { Clock } from "./clock.ts";

export interface BoundedMapOptions {
  /** Entries. */
  readonly max: number;
  /** Milliseconds after which an entry is forgotten; default: never. */
  readonly lifetime?: number;
  /** Needed for `lifetime`. */
  readonly clock?: Pick<Clock, "now">;
}

export class BoundedMap<V extends object | true> {
  readonly #options: BoundedMapOptions;
  #entries: LRUCache<string, V> | undefined;

  constructor(options: BoundedMapOptions) {
    this.#options = options;
  }

  /** Counts as use of the entry. */
  get(key: string): V | undefined {
    return this.#entries?.get(key);
  }

  /** Does not count as use of the entry. */
  peek(key: string): V | undefined {
    return this.#entries?.peek(key);
  }

  /** Does not count as use of the entry. */
  has(key: string): boolean {
    return this.#entries?.has(key) ?? false;
  }

  set(key: string, value: V): void {
    this.#entries ??= this.#make();
    this.#entries.set(key, value);
  }

  delete(key: string): void {
    this.#entries?.delete(key);
  }

  clear(): void {
    this.#entries?.clear();
  }

  #make(): LRUCache<string, V> {
    const { max, lifetime, clock } = this.#options;
    if (lifetime === undefined) return new LRUCache({ max });
    const time = clock === undefined ? {} : { perf: { now: () => clock.now() } };
    return new LRUCache({ max, ttl: lifetime, ttlResolution: 0, ...time });
  }
}
