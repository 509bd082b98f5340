// A case of the matrix: one question to the tenant.

import type { Bench } from "./bench.ts";
import type { Need, Role } from "./settings.ts";

/** Messages that a case sends at most, by their recipient. Cases that share a message share this object. */
export type Sends = Readonly<Partial<Record<Role, number>>>;

export const NOTHING: Sends = {};

export interface Seen {
  /** Whether it is as expected; undefined if only the runner can look, as in the mailbox outside. */
  readonly agrees: boolean | undefined;
  /** What was seen, in one line. The report takes secrets and ids out of it. */
  readonly seen: string;
}

export interface Case {
  readonly id: string;
  readonly question: string;
  /** The fact that it answers (facts.ts); left out where there is a source for what is expected. */
  readonly fact?: string;
  /** What the documentation says. */
  readonly expected: string;
  readonly sends: Sends;
  /** What the settings must have; without it, the case is not run. */
  readonly needs: readonly Need[];
  run(bench: Bench): Promise<Seen>;
}

/** Ends a case that cannot answer its question: what it asks about was not reached. */
export function unseen(why: string): never {
  throw new Error(`nothing to see: ${why}`);
}

export type Verdict =
  | { readonly type: "confirmed" | "refuted" | "look"; readonly seen: string }
  | { readonly type: "notRun"; readonly why: string };

export interface Result {
  readonly case: Case;
  readonly verdict: Verdict;
  readonly seconds: number;
}
