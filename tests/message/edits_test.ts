/** Edits of a message: kept octets are shared, wherever the blocks are split. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { applyEdits } from "../../src/message/edits.ts";
import { content, inBlocks, octets, textOf } from "../support/content.ts";

describe("edits", () => {
  it("are made wherever the blocks are split", () => {
    const edit = fc.tuple(fc.nat(6), fc.nat(9), fc.string({ unit: "binary-ascii", maxLength: 3 }));
    fc.assert(fc.property(
      fc.string({ unit: "binary-ascii", maxLength: 40 }),
      fc.integer({ min: 1, max: 9 }),
      fc.array(edit, { maxLength: 6 }),
      (text, size, gaps) => {
        let position = 0;
        let expected = "";
        const edits = [];
        for (const [gap, length, replacement] of gaps) {
          const start = position + gap;
          const end = start + length;
          if (end > text.length) break;
          edits.push({ start, end, octets: octets(replacement) });
          expected += text.slice(position, start) + replacement;
          position = end;
        }
        expected += text.slice(position);
        const message = inBlocks(text, size);
        const edited = applyEdits(message, edits);
        assert.equal(textOf(edited), expected);
        assert(edited.every((block) => block.length > 0));
        assert.equal(textOf(message), text);
      },
    ));
  });

  it("share blocks that they do not touch", () => {
    const message = content("head", "body", "tail");
    assert.equal(applyEdits(message, []), message);
    const edited = applyEdits(message, [{ start: 1, end: 3, octets: octets("x") }]);
    assert.equal(textOf(edited), "hxdbodytail");
    assert.equal(edited.at(-1), message[2]);
    assert.equal(edited.at(-2), message[1]);
  });

  it("are made at the very end, and in an empty message", () => {
    const last = { start: 4, end: 4, octets: octets("!") };
    assert.equal(textOf(applyEdits(content("te", "xt"), [last])), "text!");
    assert.equal(textOf(applyEdits([], [{ start: 0, end: 0, octets: octets("!") }])), "!");
  });
});
