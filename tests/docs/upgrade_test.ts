/** docs/upgrade.md: who goes back to an older version must know which queue it opens. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";
import metadata from "../../package.json" with { type: "json" };
import { MIGRATIONS } from "../../src/queue/sqlite/schema.ts";

it("has the queue's schema of this minor version, or of the last one that changed it", () => {
  const page = readFileSync(new URL("../../docs/upgrade.md", import.meta.url), "utf8");
  const rows = [...page.matchAll(/^\| (\d+)\.(\d+) +\| (\d+) +\|$/gm)].map((row) =>
    row.slice(1).map(Number) as [number, number, number]
  );
  const [major, minor, schema] = rows.at(-1)!;
  assert.equal(schema, MIGRATIONS.length, "a new schema needs a row");
  const [ownMajor, ownMinor] = metadata.version.split(".").map(Number) as [number, number];
  // A row for the next version is there before its release.
  assert.ok(major > ownMajor || major === ownMajor && minor <= ownMinor + 1, "the row's version");
});
