/**
 * docs/performance.md: that its tables are those of the stored results is tested with all others (docs_test.ts);
 * here, that the results are of one commit, and that no goal is left out of the page.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SECTIONS } from "../../bench/peers/figures.ts";
import { GOALS, isMet } from "../../bench/peers/goals.ts";
import { goalsTable, goalText } from "../../bench/peers/report.ts";
import { ratioOf, type Results } from "../../bench/peers/results.ts";
import { publishedResults } from "../../scripts/performance_tables.ts";

const PAGE = readFileSync(
  fileURLToPath(new URL("../../docs/performance.md", import.meta.url)),
  "utf8",
);

describe("performance.md", () => {
  const results = publishedResults();

  it("says the commit and the machine", () => {
    assert.match(results.commit, /^[0-9a-f]{12}\+?$/);
    assert.ok(PAGE.includes(`Commit \`${results.commit}\``));
    assert.ok(PAGE.includes(results.machine.processor));
  });

  for (const goal of GOALS) {
    it(`has the goal "${goal.title}", and what was measured`, () => {
      const measured = goal.measured(results);
      const row = PAGE.split("\n").find((line) => line.startsWith(`| ${goal.title} |`)) ?? "";
      assert.ok(row.includes(` ${goalText(goal)} |`), row);
      const end = measured === undefined
        ? "| not measured |  |"
        : isMet(goal, measured)
        ? "| met |"
        : "| **missed** |";
      assert.ok(row.endsWith(end), row);
    });
  }

  it("has every scenario", () => {
    for (const { scenario, title, figures } of SECTIONS) {
      const [, section = ""] = PAGE.split(`### ${title}\n`);
      const isMeasured = scenario in results.seconds;
      const rows = Object.values(figures).map((figure) => `\n| ${figure.title} | `);
      for (const row of isMeasured ? rows : ["\nNot measured.\n"]) {
        assert.ok(section.includes(row), `${title}: ${row}`);
      }
    }
  });
});

describe("the table of goals", () => {
  const empty: Results = { ...publishedResults(), figures: {}, seconds: {} };

  it("says what was not measured, and judges nothing then", () => {
    const rows = goalsTable(empty).split("\n").slice(2);
    assert.equal(rows.length, GOALS.length);
    for (const row of rows) assert.match(row, /\| not measured \| {2}\|$/);
  });

  it("calls a goal missed that is missed", () => {
    const figures = { "steady.rate": { "ours": [129], "smtp-server": [100] } };
    const [, , row] = goalsTable({ ...empty, figures }).split("\n");
    assert.match(row!, /\| ≥ 1\.30 × \| 1\.29 × \| \*\*missed\*\* \|$/);
  });

  it("takes ratios round by round", () => {
    // Pairs: 2, 2, 0.1; medians alone would say 10 to 10.
    const figures = { "x": { "ours": [20, 10, 1], "go-smtp": [10, 5, 10] } };
    assert.equal(ratioOf({ ...empty, figures }, ["x", "ours"], ["x", "go-smtp"]), 2);
  });
});
