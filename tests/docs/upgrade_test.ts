/** docs/upgrade.md: each kind of installation is there, and which queue an older version opens. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { it } from "node:test";
import metadata from "../../package.json" with { type: "json" };
import { MIGRATIONS } from "../../src/queue/sqlite/schema.ts";

const ROOT = new URL("../../", import.meta.url);
const page = readFileSync(new URL("docs/upgrade.md", ROOT), "utf8");

it("has a row for each way of installing that has a page in deploy/", () => {
  const table = page.split("\n").filter((line) => line.startsWith("| [")).join("\n");
  const pages = readdirSync(new URL("deploy", ROOT), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith("README.md") && !path.startsWith("entra"));
  assert.ok(pages.length >= 6);
  for (const path of pages) assert.ok(table.includes(`](../deploy/${path}`), path);
});

it("has the queue's schema of this minor version, or of the last one that changed it", () => {
  const rows = [...page.matchAll(/^\| (\d+)\.(\d+) +\| (\d+) +\|$/gm)].map((row) =>
    row.slice(1).map(Number) as [number, number, number]
  );
  const [major, minor, schema] = rows.at(-1)!;
  assert.equal(schema, MIGRATIONS.length, "a new schema needs a row");
  const [ownMajor, ownMinor] = metadata.version.split(".").map(Number) as [number, number];
  // A row for the next version is there before its release.
  assert.ok(major > ownMajor || major === ownMajor && minor <= ownMinor + 1, "the row's version");
});
