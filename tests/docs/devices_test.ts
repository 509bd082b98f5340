/**
 * docs/devices/: each make's page is in the index, says that it was not tried, leads to the values that
 * hold for all devices, and has its sources.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";

const FOLDER = new URL("../../docs/devices/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, FOLDER), "utf8");
const pages = readdirSync(FOLDER).filter((name) => name !== "README.md");

describe("the pages of the makes", () => {
  it("are those of the index", () => {
    const listed = [...read("README.md").matchAll(/^\| \[[^\]]+\]\(([a-z_]+\.md)\)/gm)]
      .map((match) => match[1]!);
    assert.ok(listed.length >= 14);
    assert.deepEqual(listed.toSorted(), pages.toSorted());
  });

  for (const name of pages) {
    it(`${name} has what each of them has`, () => {
      const text = read(name);
      const words = text.replace(/\s+/g, " ");
      assert.match(words, /\*\*Not tried on a device\*\*/);
      assert.match(words, /\[connect devices\]\(\.\.\/clients\.md\)/);
      const headings = [...text.matchAll(/^## (.+)$/gm)].map((match) => match[1]!);
      assert.deepEqual(headings, ["Where the fields are", "What to know"]);
      assert.match(words, /[Ww]e (?:have found no|could not)/, "nothing that is not known?");
    });

    it(`${name} names its sources, by names that will still say who they are`, () => {
      const sources = [...read(name).matchAll(/\]\((https?:\/\/[^)\s]+)/g)].map((match) =>
        match[1]!
      );
      assert.ok(sources.length >= 2, String(sources));
      for (const source of sources) assert.doesNotMatch(source, /^https?:\/\/[\d.]+[:/]/);
    });
  }
});
