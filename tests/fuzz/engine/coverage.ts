// What instrumented code records while it runs: which branches, and what it compared.
//
// `instrument.ts` puts calls into the code that go to the global object `Fuzzer`.

import { Buffer } from "node:buffer";

type Pair = readonly [found: Uint8Array, wanted: Uint8Array];

/** Comparisons that are remembered. */
const MAX_PAIRS = 512;
const MAX_OPERAND = 64;
/** Comparisons of a run that are examined: a loop over a long text must not take seconds by them. */
const MAX_LOOKED_AT = 4096;

export class Coverage {
  /** How often each branch was taken in this run. */
  readonly #counts: Uint8Array;
  /** The branches that were. */
  readonly #touched: Int32Array;
  #taken = 0;
  /** For each branch, how often it has been taken in any run, by powers of two. */
  readonly #seen: Uint8Array;
  #edges = 0;
  /** The comparisons of this run that came out unequal. */
  readonly #compared = new Map<string, Pair>();
  #lookedAt = 0;
  readonly #wanted: Pair[] = [];
  readonly #known = new Set<string>();

  /** @param size branches in the code */
  constructor(readonly size: number) {
    this.#counts = new Uint8Array(size);
    this.#touched = new Int32Array(size);
    this.#seen = new Uint8Array(size);
  }

  /** Takes the calls of the instrumented code from now on. */
  listen(): void {
    const counts = this.#counts;
    const touched = this.#touched;
    const compare = (one: unknown, other: unknown) => this.#compare(one, other);
    (globalThis as { Fuzzer?: unknown }).Fuzzer = {
      coverageTracker: {
        incrementCounter: (edge: number) => {
          const count = counts[edge]!;
          if (count === 0) touched[this.#taken++] = edge;
          if (count < 255) counts[edge] = count + 1;
        },
      },
      tracer: {
        traceStrCmp(one: string, other: string, operator: string) {
          if (one !== other) compare(one, other);
          return compared(one, other, operator);
        },
        traceNumberCmp(one: number, other: number, operator: string) {
          return compared(one, other, operator);
        },
        traceAndReturn(have: unknown, want: unknown) {
          if (have !== want) compare(have, want);
          return want;
        },
      },
    };
  }

  /** Branches that have been taken so far. */
  get edges(): number {
    return this.#edges;
  }

  get wanted(): readonly Pair[] {
    return this.#wanted;
  }

  /** Forgets the run that is over. */
  begin(): void {
    for (let i = 0; i < this.#taken; i++) this.#counts[this.#touched[i]!] = 0;
    this.#taken = 0;
    this.#compared.clear();
    this.#lookedAt = 0;
  }

  /** @returns whether the run did what none has done before */
  news(): boolean {
    let news = false;
    for (let i = 0; i < this.#taken; i++) {
      const edge = this.#touched[i]!;
      const bit = 1 << Math.min(7, 31 - Math.clz32(this.#counts[edge]!));
      const seen = this.#seen[edge]!;
      if ((seen & bit) !== 0) continue;
      if (seen === 0) this.#edges++;
      this.#seen[edge] = seen | bit;
      news = true;
    }
    if (news) this.#learn();
    return news;
  }

  #compare(found: unknown, wanted: unknown): void {
    if (typeof found !== "string" || typeof wanted !== "string") return;
    if (++this.#lookedAt > MAX_LOOKED_AT) return;
    if (found.length > MAX_OPERAND || wanted.length > MAX_OPERAND) return;
    if (this.#compared.size >= 64) return;
    const octets = (text: string) => Buffer.from(text, "latin1");
    const key = `${found}\0${wanted}`;
    // Either may be the one that the code has, and the other the input's.
    if (!this.#known.has(key)) this.#compared.set(key, [octets(found), octets(wanted)]);
  }

  #learn(): void {
    for (const [key, pair] of this.#compared) {
      if (this.#known.size >= MAX_PAIRS) return;
      this.#known.add(key);
      this.#wanted.push(pair, [pair[1], pair[0]]);
    }
  }
}

function compared<T>(one: T, other: T, operator: string): boolean {
  switch (operator) {
    case "==":
    case "===":
      return one === other;
    case "!=":
    case "!==":
      return one !== other;
    case "<":
      return one < other;
    case "<=":
      return one <= other;
    case ">":
      return one > other;
    default:
      return one >= other;
  }
}
