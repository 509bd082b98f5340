// The licence notices, of packages made for the test.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Lock } from "../../scripts/build/lock.ts";
import { notices } from "../../scripts/build/notices.ts";

const FILES: Readonly<Record<string, string>> = {
  "LICENSE": "The program's own licence",
  "scripts/build/notices/bun.txt": "What Bun says",
  "scripts/build/notices/LGPL-2.1.txt": "The LGPL",
  "node_modules/a/LICENSE": "\uFEFFShared licence\r\nof two\r\n",
  "node_modules/@b/c/license.md": "Shared licence\nof two",
  "node_modules/d/LICENSE.txt": "D's licence",
  "node_modules/d/NOTICE": "D's notice",
  "node_modules/d/src/LICENSE": "not at the top",
  "node_modules/e/package.json": JSON.stringify({
    license: "MIT",
    author: { name: "E's author" },
    repository: { url: "https://example.com/e" },
  }),
  "node_modules/unused/LICENSE": "Nobody's licence",
};
const at = (version: string, license: string) => ({ version, license, integrity: "" });
const LOCK: Lock = {
  name: "program",
  version: "1.2.3",
  packages: {
    "node_modules/a": at("1.0.0", "MIT"),
    "node_modules/@b/c": at("2.0.0", "MIT"),
    "node_modules/d": at("3.0.0", "Apache-2.0"),
    "node_modules/e": at("4.0.0", "MIT"),
    "node_modules/unused": at("5.0.0", "MIT"),
    "node_modules/bun": at("9.9.9", "MIT"),
  },
};
const BUNDLED = ["src/main.ts", "a/x.js", "@b/c/deep/y.js", "d/z.js", "e/e.js"]
  .map((file) => file.startsWith("src/") ? file : `node_modules/${file}`);

describe("the licence notices", () => {
  let root: string;
  let text: string;
  before(() => {
    root = `${mkdtempSync(join(tmpdir(), "relay-notices-"))}/`;
    for (const [name, contents] of Object.entries(FILES)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), contents);
    }
    text = notices(root, LOCK, BUNDLED);
  });
  after(() => rmSync(root, { recursive: true }));

  it("have every bundled package's own text, with what else it wants passed on", () => {
    assert.match(text, /d 3\.0\.0 \(Apache-2\.0\)\n=+\n\nD's licence\n\nD's notice\n/);
    assert.doesNotMatch(text, /not at the top/);
  });

  it("say once what two packages share, whatever their line ends", () => {
    assert.match(text, /@b\/c 2\.0\.0 \(MIT\)\na 1\.0\.0 \(MIT\)\n=+\n\nShared licence\nof two\n/);
    assert.equal(text.split("Shared licence").length, 2);
    assert.doesNotMatch(text, /[\r\uFEFF]/);
  });

  it("contain what a package without a text declares", () => {
    assert.match(text, /e 4\.0\.0 \(MIT\)\n=+\n\nThe package has no file .*\nLicence: MIT\n/);
    assert.match(text, /Author: E's author\nSource: https:\/\/example\.com\/e\n/);
  });

  it("begin with the program's own, end with Bun's, and leave out what is not bundled", () => {
    assert.match(text, /^=+\nprogram 1\.2\.3\n=+\n\nThe program's own licence\n/);
    assert.match(text, /Bun 9\.9\.9\n=+\n\nWhat Bun says\n[^]*The LGPL\n$/);
    assert.doesNotMatch(text, /Nobody/);
  });

  it("are the same whatever the order of the files", () => {
    assert.equal(notices(root, LOCK, BUNDLED.toReversed()), text);
  });
});
