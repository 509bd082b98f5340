/** The README's table of alternatives: each cell has its source in docs/alternatives.md. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const PAGE = read("docs/alternatives.md");

/** The rows of the first table in a text, the heading first. */
function tableIn(text: string): string[][] {
  const lines = /(?:^\|.*\|\n)+/m.exec(text)?.[0].trimEnd().split("\n") ?? [];
  const rows = lines.map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  return rows.filter((_, i) => i !== 1);
}

/** The part of the page below a heading, by the heading's fragment. */
function sectionOf(anchor: string): string {
  const sections = PAGE.split(/^## /m).slice(1);
  return sections.find((section) =>
    section.split("\n")[0]!.toLowerCase().replace(/[^\p{L}\p{N} -]/gu, "").replaceAll(" ", "-") ===
      anchor
  ) ?? "";
}

const [, readme = ""] = read("README.md").split("\n## Beside the alternatives\n");
const [heading = [], ...rows] = tableIn(readme);
const columns = heading.slice(1);
const alternatives = rows.map(([name = "", ...cells]) => ({
  anchor: /^\**\[[^\]]+\]\(docs\/alternatives\.md#([^)]+)\)\**$/.exec(name)?.[1] ?? `none: ${name}`,
  cells,
}));

describe("the README's table of alternatives", () => {
  it("has those that administrators ask about", () => {
    assert.ok(columns.length >= 5);
    const anchors = new Set(alternatives.map(({ anchor }) => anchor));
    for (
      const wanted of [
        ...["this-relay", "the-python-relay", "smtp2graph", "email-oauth2-proxy"],
        ...["postfix-with-sasl-xoauth2", "direct-send", "high-volume-email"],
        "azure-communication-services",
      ]
    ) assert.ok(anchors.has(wanted), wanted);
  });

  for (const { anchor, cells } of alternatives) {
    it(`has each cell of ${anchor} with its source on the page`, () => {
      const [, ...sources] = tableIn(sectionOf(anchor));
      assert.deepEqual(
        sources.map(([column, cell]) => [column, cell]),
        columns.map((column, i) => [column, cells[i]]),
      );
      for (const [column = "", , source = ""] of sources) {
        assert.ok(/\]\([^)]+\)/.test(source) || source === "there is nothing between", column);
      }
      if (anchor !== "this-relay") {
        assert.match(sectionOf(anchor), /^\*\*It has, and this relay does not:\*\*/m);
      }
    });
  }
});

describe("alternatives.md", () => {
  it("says when it was looked up, and has the files of others as they were then", () => {
    assert.match(PAGE, /looked up on \d+ [A-Z][a-z]+ \d{4}/);
    const files = [...PAGE.matchAll(/github\.com\/[\w.-]+\/[\w.-]+\/(?:blob|tree)\/([^/)]+)/g)];
    assert.ok(files.length > 10);
    for (const [link, commit] of files) assert.match(commit!, /^[0-9a-f]{40}$/, link);
  });

  it("has no section that the README does not lead to", () => {
    const sections = [...PAGE.matchAll(/^## (.+)$/gm)].map(([, name]) =>
      name!.toLowerCase().replace(/[^\p{L}\p{N} -]/gu, "").replaceAll(" ", "-")
    );
    assert.deepEqual(sections, alternatives.map(({ anchor }) => anchor));
  });
});
