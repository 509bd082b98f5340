// The session is pure: src/smtp does no I/O, so that all of it can be tested in memory and runs
// unchanged on every runtime. That holds for what it imports, too.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, it } from "node:test";

const SRC = new URL("../../src/", import.meta.url);
const ROOM = readdirSync(new URL("smtp/", SRC))
  .filter((name) => name.endsWith(".ts"))
  .map((name) => `smtp/${name}`);

/**
 * All that may run with the room, from its own files on: each of these may import others of these and
 * the modules below, so nothing else is reached from any of them.
 */
const FILES = [...ROOM, "octets.ts", "secret.ts"];
/** Modules of the runtimes that do no I/O. */
const MODULES = new Set(["node:buffer", "node:util"]);

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
  it("has files", () => {
    assert.ok(FILES.includes("smtp/session.ts"));
  });

  for (const path of FILES) {
    const source = withoutComments(readFileSync(new URL(path, SRC), "utf8"));

    it(`imports nothing that does I/O: ${path}`, () => {
      const imported = [...source.matchAll(IMPORT)].map((match) => match[2]!);
      const foreign = imported.filter((module) => {
        return !MODULES.has(module) && !FILES.includes(posix.join(posix.dirname(path), module));
      });
      assert.deepEqual(foreign, []);
      assert.doesNotMatch(source, COMPUTED_IMPORT);
    });

    it(`uses neither clock nor randomness nor runtime: ${path}`, () => {
      assert.deepEqual(source.match(GLOBALS) ?? [], []);
    });
  }
});
