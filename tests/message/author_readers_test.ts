/**
 * Readers see no other author than the relay has accepted: postal-mime, mailparser, and
 * both parsers of Python. `npm run bench -- authors` does the same for longer, with fresh seeds.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { compare, generated, shown } from "./readers/differential.ts";
import { hasPython, readersOf } from "./readers/readers.ts";

const SEED = 20261129;
const COUNT = 3000;

/** Earlier findings. */
const EXAMPLES: readonly string[] = [
  // Python decodes an unterminated encoded word, and takes the brackets in it for an address.
  " 0c=3E=ann@sender.example =?utf-8?q?=3Cb=4",
  " xample=3E?=, <ann@sender.example>;Doe?, John, =?utf-8?q?=3Cann=40sender=2Ee",
  " =?x?q?ceo@corp.example?==40<ann@sender.example>",
  " () boss@\r\n corp_example <bea@sender.example>",
  " bea@sender.example Doe, John",
  " \x81[ <bea@sender.example>",
];

describe("the authors that mail readers find", () => {
  it("are read by all four", async (test) => {
    if (!await hasPython()) return test.skip("there is no Python 3");
    const header = "From: Boss <boss@corp.example>\r\nSender: ann@sender.example\r\n\r\n";
    const [found] = await readersOf([Buffer.from(header)]);
    for (const reader of ["postal-mime", "mailparser", "legacy", "modern"]) {
      assert.deepEqual([...new Set(found?.from[reader])], ["boss@corp.example"], reader);
      assert.deepEqual([...new Set(found?.sender[reader])], ["ann@sender.example"], reader);
    }
  });

  it(`are those that the relay accepted, in ${COUNT} generated headers`, async () => {
    const { sent, refused, found, differences } = await compare(generated(SEED, COUNT));
    assert.deepEqual(differences.slice(0, 5).map(shown), []);
    // Most are accepted, and readers find an author in most of these.
    assert(sent > COUNT * 2 && refused > COUNT / 4 && found > sent * 2);
  });

  it("are those that the relay accepted, in earlier findings", async () => {
    const bodies = EXAMPLES.flatMap((
      body,
    ): [string, string?][] => [[body], [" ann@sender.example", body]]);
    const { differences } = await compare(bodies);
    assert.deepEqual(differences.map(shown), []);
  });
});
