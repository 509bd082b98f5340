/** The positions of a message's parts (RFC 2046 §5.1.1), and how much of a message is examined. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Part, readMime } from "../../src/message/mime.ts";
import { ContentView } from "../../src/message/content_view.ts";
import { inBlocks, textOf } from "../support/content.ts";

/** A part as its kind, or as its body, or as the list of its parts. */
type Outline = string | Outline[];

function outline(text: string, size = 1000): Outline {
  const pieces = new ContentView(inBlocks(text, size));
  const draw = (part: Part): Outline => {
    if (part.kind === "multipart") return part.parts.map(draw);
    if (part.kind !== "leaf") return part.kind;
    return textOf(pieces.slice(part.bodyStart, part.bodyEnd));
  };
  return draw(readMime(pieces));
}

const HEAD = "Content-Type: multipart/mixed; boundary=b\r\n\r\n";

describe("the parts of a message", () => {
  const cases: readonly (readonly [name: string, text: string, parts: Outline])[] = [
    ["no header", "\r\nbody\r\n", "body\r\n"],
    ["no body", "Subject: s", ""],
    ["a preamble and an epilogue", `${HEAD}x\r\n--b\r\n\r\none\r\n--b--\r\ny\r\n--b\r\n`, ["one"]],
    ["a delimiter first", `${HEAD}--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--`, ["one", "two"]],
    ["white space behind it", `${HEAD}--b \t\r\n\r\none\r\n--b-- `, ["one"]],
    ["no end", `${HEAD}--b\r\n\r\none\r\n`, ["one\r\n"]],
    ["an end of a line alone", `${HEAD}--b`, [""]],
    ["empty parts", `${HEAD}--b\r\n--b\r\n\r\n--b\r\n\r\n\r\n--b--`, ["", "", ""]],
    ["parts without a body", `${HEAD}--b\r\nX: y\r\n--b\r\nX: y\r\n\r\n--b--`, ["", ""]],
    ["line ends within", `${HEAD}--b\r\n\r\none\r\n\r\n--b--`, ["one\r\n"]],
    ["LF alone", `${HEAD}--b\r\n\r\none\r\n\r\n--b--`.replaceAll("\r\n", "\n"), ["one\n"]],
    ["a longer boundary", `${HEAD}--bb\r\n--b\r\n\r\none--b\r\n--b-\r\n--b--`, ["one--b\r\n--b-"]],
    [
      "multiparts in multiparts, the inner one not closed",
      `${HEAD}--b\r\n${
        HEAD.replace("=b", '="c b:?"')
      }--c b:?\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--`,
      [["one"], "two"],
    ],
    [
      "a boundary that is folded, commented and quoted",
      `Content-Type: multipart/mixed (a; boundary=x);\r\n\tBOUNDARY = "b (c" (d)\r\n\r\n` +
      "--b (c\r\n\r\none\r\n--b (c--",
      ["one"],
    ],
    ["a multipart whose boundary is that of the one around it", `${HEAD}--b\r\n${HEAD}--b--`, [
      "opaque",
    ]],
    ["mbox lines", `From a b\r\n>From a b\r\n${HEAD}--b\r\n\r\none\r\n--b--`, ["one"]],
    ["a From with a space before its colon", `From : a\r\n b\r\n${HEAD}--b\r\n\r\none`, ["one"]],
    ["an mbox line that is folded", `From a b\r\n c\r\n${HEAD}--b\r\n\r\none`, "opaque"],
    ["an mbox line in its header", `X: y\r\nFrom a b\r\n${HEAD}--b\r\n\r\none`, "opaque"],
    ["an mbox line in a part", `${HEAD}--b\r\nFrom a b\r\n\r\none\r\n--b--`, ["opaque"]],
    ["a nested message", `${HEAD}--b\r\nContent-Type: message/rfc822\r\n\r\n\r\n--b--`, [
      "message",
    ]],
    ["an end alone", `${HEAD}--b--\r\n--b\r\n\r\n`, "opaque"],
    ["no delimiter", `${HEAD}text`, "opaque"],
    ["no type after multipart", "Content-Type: multipart; boundary=b\r\n\r\n--b\r\n", "message"],
    ["a boundary of nothing", `${HEAD.replace("=b", '=" "')}--\r\n\r\none\r\n----`, "opaque"],
  ];
  for (const [name, text, parts] of cases) {
    it(`are found with ${name}, wherever the pieces are split`, () => {
      for (const size of [1, 2, 3, 5, 7, 11, 1000]) {
        assert.deepEqual(outline(text, size), parts, `pieces of ${size}`);
      }
    });
  }

  it("are found far into a large message", () => {
    const text = `${HEAD}--b\r\n\r\n${"x\r\n--c\r\n".repeat(20_000)}\r\n--b\r\n\r\ntwo\r\n--b--`;
    for (const size of [4096, 65_521, 1_000_000]) assert.equal(outline(text, size)[1], "two");
  });
});

describe("a message that would take too long", () => {
  it("is opaque: very many parts", () => {
    assert.equal(outline(HEAD + "--b\r\n\r\n".repeat(10_000)), "opaque");
    assert.equal(outline(HEAD + "--b\r\n\r\n".repeat(9000), 1e6).length, 9000);
  });

  it("is opaque: very many lines that are almost delimiters", () => {
    assert.equal(outline(`${HEAD}--b\r\n${"--bc\r\n".repeat(10_001)}`, 1e6), "opaque");
  });

  it("is opaque: very many nested multiparts", () => {
    let text = "";
    for (let i = 0; i < 1000; i++) {
      text += `Content-Type: multipart/mixed; boundary=b${i}x\r\n\r\n--b${i}x\r\n`;
    }
    let depth = 0;
    let inner = outline(text + "\r\n".repeat(100_000), 1e6);
    while (typeof inner !== "string") {
      inner = inner[0]!;
      depth++;
    }
    assert.equal(inner, "opaque");
    // Each of them is searched for its boundary to its end.
    assert.ok(depth > 5 && depth <= 10);
  });

  it("is opaque: more than 50 nested multiparts, however short the inner ones are", () => {
    let text = "\r\n";
    for (let i = 0; i < 60; i++) {
      // Small enough that searching all of them is not too long either.
      const preamble = "x\r\n".repeat(Math.ceil(text.length / 15));
      text = `Content-Type: multipart/mixed; boundary=b${i}x\r\n\r\n${preamble}--b${i}x\r\n${text}`;
    }
    let depth = 0;
    let inner = outline(text, 1e6);
    for (; typeof inner !== "string"; depth++) inner = inner[0]!;
    assert.equal(inner, "opaque");
    assert.equal(depth, 50);
  });

  for (
    const [name, boundary] of [
      ["white space that does not stand at its end", `"${" ".repeat(400_000)}x"`],
      ["quotes with backslashes, and no end", `"${'\\"'.repeat(200_000)}\\`],
    ]
  ) {
    it(`is read in linear time: a boundary of ${name}`, () => {
      const before = performance.now();
      assert.equal(outline(`${HEAD.replace("b\r\n", `${boundary}\r\n`)}text`, 1e6), "opaque");
      assert.ok(performance.now() - before < 3000);
    });
  }

  it("is malformed: a header of more than a megabyte", () => {
    assert.equal(outline(`X: ${"y".repeat(3_000_000)}\r\n\r\nbody`, 1e6), "opaque");
  });
});
