// What a message and a start cost in counted work, as figures.json has it, and what has become of it.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Numbers by what they count. */
export type Figures = Readonly<Record<string, number>>;

/** A difference that is none, in the figure's own unit: for what now and then happens. */
export type Slack = (name: string) => number;
const NONE: Slack = () => 0;

const FILE = fileURLToPath(new URL("figures.json", import.meta.url));
const UPDATE = "UPDATE_WORK";
const HINT = `if it is meant to be so: ${UPDATE}=1 npm test -- tests/work`;

/**
 * Asserts that measured figures are within a tenth of those in figures.json; with UPDATE_WORK it stores them
 * there instead.
 *
 * @param part of the file
 */
export function assertAsRecorded(part: string, measured: Figures, slack = NONE): void {
  const file = JSON.parse(readFileSync(FILE, "utf8")) as Record<string, Figures>;
  if (process.env[UPDATE]) {
    file[part] = measured;
    const sorted = Object.entries(file).toSorted(([a], [b]) => a < b ? -1 : 1);
    writeFileSync(FILE, JSON.stringify(Object.fromEntries(sorted), undefined, 2) + "\n");
    return;
  }
  const found = differences(file[part] ?? {}, measured, slack);
  assert.ok(found.length === 0, [`${part}: the work has changed`, ...found, HINT].join("\n"));
}

/** A line for each figure that is more than a tenth higher or lower than the recorded one. */
export function differences(recorded: Figures, measured: Figures, slack = NONE): string[] {
  const names = new Set([...Object.keys(recorded), ...Object.keys(measured)]);
  return [...names].flatMap((name) => {
    const before = recorded[name] ?? 0;
    const now = measured[name] ?? 0;
    const difference = now - before;
    if (Math.abs(difference) <= Math.max(before / 10, slack(name))) return [];
    const change = before === 0
      ? "which was not there"
      : `${difference > 0 ? "+" : ""}${Math.round((100 * difference) / before)} %`;
    const what = difference > 0 ? "more than recorded" : "less: record it, so that it stays so";
    return [`  ${name}: ${before} → ${now}, ${change}: ${what}`];
  });
}

/** With two decimals below 100, else whole. */
export function rounded(figure: number): number {
  return figure < 100 ? Math.round(figure * 100) / 100 : Math.round(figure);
}
