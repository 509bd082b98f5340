import assert from "node:assert/strict";
import process from "node:process";
import { describe, it } from "node:test";
import { readRecipient, readSender } from "../../src/smtp/envelope.ts";

const LINES = 20_000;
const SPACES = " ".repeat(4_000);

/** Of the runtime, in MB. */
function heap(): number {
  return process.memoryUsage().heapUsed / 1e6;
}

// What a client sends counts against MAX_MEMORY by the length of its addresses. Bun's figure leaves texts out, so only
// Deno would notice.
describe("an address", () => {
  const kinds = {
    sender: (i: number) => readSender(line("FROM", i), 1_000_000),
    recipient: (i: number) => readRecipient(line("TO", i), false),
    postmaster: () => readRecipient(["TO:<postmaster>", SPACES].join(""), false),
  };
  for (const [kind, read] of Object.entries(kinds)) {
    it(`does not keep the rest of its command in memory: ${kind}`, () => {
      const before = heap();
      const kept = Array.from({ length: LINES }, (_, i) => read(i));
      const grown = heap() - before;
      assert(grown < LINES * SPACES.length / 1e6 / 2, `${grown} MB more`);
      assert.equal(kept.length, LINES);
    });
  }
});

/** Each is a text of its own. */
function line(word: string, i: number): string {
  return [`${word}:<user${i}@example.com>`, SPACES].join("");
}
