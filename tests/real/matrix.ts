// Runs the cases one after the other, and says of each fact what they have shown.

import type { Bench } from "./bench.ts";
import type { Case, Result, Sends, Verdict } from "./case.ts";
import { type Fact, FACTS } from "./facts.ts";
import { missing, type RealSettings, type Role } from "./settings.ts";

/** Messages at most, by recipient; what cases share counts once. */
export function announced(cases: readonly Case[]): ReadonlyMap<Role, number> {
  const sum = new Map<Role, number>();
  for (const sends of new Set<Sends>(cases.map((one) => one.sends))) {
    for (const [role, count] of Object.entries(sends) as [Role, number][]) {
      sum.set(role, (sum.get(role) ?? 0) + count);
    }
  }
  return sum;
}

/** Those for which the settings have what they need. */
export function runnable(cases: readonly Case[], settings: RealSettings): readonly Case[] {
  return cases.filter(({ needs }) => missing(settings, needs).length === 0);
}

/** @param each called with each result; a case that fails is one that has not run */
export async function runCases(
  bench: Bench,
  cases: readonly Case[],
  each: (result: Result) => void = () => {},
): Promise<readonly Result[]> {
  const results: Result[] = [];
  for (const one of cases) {
    const begun = performance.now();
    const verdict = await verdictOf(bench, one);
    const result = { case: one, verdict, seconds: (performance.now() - begun) / 1000 };
    results.push(result);
    each(result);
  }
  return results;
}

async function verdictOf(bench: Bench, one: Case): Promise<Verdict> {
  const lacking = missing(bench.settings, one.needs);
  if (lacking.length > 0) {
    return { type: "notRun", why: `the settings have no ${lacking.join(" and no ")}` };
  }
  try {
    const { agrees, seen } = await one.run(bench);
    return { type: agrees === undefined ? "look" : agrees ? "confirmed" : "refuted", seen };
  } catch (error) {
    return { type: "notRun", why: error instanceof Error ? error.message : String(error) };
  }
}

export interface Answer {
  readonly fact: Fact;
  readonly verdict: Verdict;
}

/** One answer for each fact. A single case that has seen something else refutes it. */
export function answers(results: readonly Result[]): readonly Answer[] {
  return FACTS.map((fact) => ({ fact, verdict: answer(fact, results) }));
}

function answer(fact: Fact, results: readonly Result[]): Verdict {
  if (fact.beyond !== undefined) return { type: "notRun", why: fact.beyond };
  const of = results.filter((result) => result.case.fact === fact.id);
  const ran = of.flatMap(({ case: { id }, verdict }) =>
    verdict.type === "notRun" ? [] : [{ id, ...verdict }]
  );
  // What decides comes first.
  const order = ["refuted", "confirmed", "look"];
  ran.sort((one, other) => order.indexOf(one.type) - order.indexOf(other.type));
  const [decisive] = ran;
  if (decisive === undefined) {
    const reasons = of.map(({ case: { id }, verdict }) =>
      verdict.type === "notRun" ? `${id}: ${verdict.why}` : ""
    );
    return { type: "notRun", why: reasons.join("; ") || "no case of it was chosen" };
  }
  const seen = ran.map((one) => `${one.id}: ${one.seen}`).join("; ");
  return { type: decisive.type, seen };
}
