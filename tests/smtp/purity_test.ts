// The session is pure: src/smtp does no I/O, so that all of it can be tested in memory and runs
// unchanged on every runtime.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";

const FOLDER = new URL("../../src/smtp/", import.meta.url);
const FILES = readdirSync(FOLDER).filter((name) => name.endsWith(".ts"));

/** Modules from outside of src/smtp that it may use; none of them does I/O. */
const ALLOWED = new Set(["../octets.ts", "../secret.ts", "node:buffer"]);

/** `from "x"`, `import "x"`, `import("x")`, `require("x")`, types included. */
const IMPORT = /(?<!\.)\b(?:from|import|require)\s*\(?\s*(["'`])(.*?)\1/g;
/** A call whose module's name is not written down could import anything. */
const COMPUTED_IMPORT = /(?<!\.)\b(?:import|require)\s*\((?!\s*["'])/;
/** What a runtime offers without an import: clock, chance, network, process. */
const GLOBALS =
  /(?<![#.\w])(?:Deno|Bun|process|globalThis|fetch|WebSocket|setTimeout|setInterval|setImmediate|queueMicrotask|console|Date|performance|crypto|Math\.random)\b/g;

function withoutComments(source: string): string {
  return source.replace(/\/\*[^]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "");
}

describe("src/smtp, octets in and effects out", () => {
  it("has files to look at", () => {
    assert.ok(FILES.includes("session.ts"));
  });

  for (const name of FILES) {
    const source = withoutComments(readFileSync(new URL(name, FOLDER), "utf8"));

    it(`imports nothing that does I/O: ${name}`, () => {
      const imported = [...source.matchAll(IMPORT)].map((match) => match[2]!);
      const foreign = imported.filter((module) => {
        return !ALLOWED.has(module) && !FILES.includes(module.replace(/^\.\//, ""));
      });
      assert.deepEqual(foreign, []);
      assert.doesNotMatch(source, COMPUTED_IMPORT);
    });

    it(`knows neither time nor chance nor runtime: ${name}`, () => {
      assert.deepEqual(source.match(GLOBALS) ?? [], []);
    });
  }
});
