/** Where a header without an empty line ends: at its own delimiter (RFC 5322 §2.1, RFC 2046 §5.1.1). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import PostalMime from "postal-mime";
import { inBlocks, octets, textOf } from "../support/content.ts";
import {
  DATE,
  envelope,
  MESSAGE_ID,
  OPTIONS,
  prepared,
  prepareMessage,
  RECEIVED,
} from "../graph/preparing.ts";

const HEADER = `From: me@x.test\r\n${DATE}${MESSAGE_ID}To: a@x.test\r\nMIME-Version: 1.0\r\n`;
const TYPE = 'Content-Type: multipart/mixed; boundary="abc"\r\n';
const PARTS = "--abc\r\nContent-Type: text/plain\r\n\r\nhello\r\n--abc--\r\n";

function sent(message: string): string {
  for (const size of [1, 7]) {
    assert.equal(textOf(prepared(inBlocks(message, size), ["a@x.test"])), sentWhole(message));
  }
  return sentWhole(message).slice(RECEIVED.length);
}

function sentWhole(message: string): string {
  return textOf(prepared(inBlocks(message, 1e6), ["a@x.test"]));
}

function refusal(message: string): string {
  const result = prepareMessage(inBlocks(message, 1e6), envelope(["a@x.test"]), OPTIONS);
  return result.type === "rejected" ? result.code : result.type;
}

describe("a header without an empty line after it", () => {
  it("ends before a delimiter line of its own boundary", async () => {
    const text = sent(HEADER + TYPE + PARTS);
    assert.equal(text, `${HEADER}${TYPE}\r\n${PARTS}`);
    assert.equal((await PostalMime.parse(octets(text))).text?.trim(), "hello");
  });

  const types: readonly (readonly [type: string, boundary: string])[] = [
    ["Content-Type: multipart/mixed; boundary=abc\r\nX: y\r\n", "abc"],
    ["Content-Type: multipart/mixed;\r\n boundary=abc\r\n", "abc"],
    ['content-type:multipart/alternative;boundary="=_abc(1)"\r\n', "=_abc(1)"],
    // It looks like a field.
    ['Content-Type: multipart/mixed; boundary="abc:1"\r\n', "abc:1"],
    ['Content-Type: multipart/mixed; boundary="----=_Part:"\r\n', "----=_Part:"],
    ['Content-Type: multipart/mixed; boundary*0="ab"; boundary*1="c"\r\n', "abc"],
    ["Content-Type: multipart/mixed; boundary*=us-ascii''a%20b\r\n", "a b"],
    ["Content-Type: multipart/mixed; boundary=never\r\n" + TYPE, "abc"],
  ];
  for (const [type, boundary] of types) {
    it(`ends there with any form of the boundary: ${JSON.stringify(type)}`, () => {
      for (const padding of ["", " ", "\t ", "--"]) {
        const parts = `--${boundary}${padding}\r\nContent-Type: text/plain\r\n\r\nhello\r\n`;
        assert.equal(sent(HEADER + type + parts), `${HEADER}${type}\r\n${parts}`);
        const lines = (HEADER + type + parts).replaceAll("\r\n", "\n");
        assert.equal(sent(lines), `${HEADER}${type}\r\n${parts}`);
      }
    });
  }

  const preambles = [
    "This is a multi-part message in MIME format.\r\n",
    "This is a multi-part message.\r\nYour program: does not read it.\r\nX-Own: 1\r\n",
    "Hello there\r\n--ab\r\n--abcd\r\n",
    "X Mailer: foo\r\n",
  ];
  for (const preamble of preambles) {
    it(`ends before a preamble followed by such a delimiter: ${JSON.stringify(preamble)}`, () => {
      assert.equal(
        sent(HEADER + TYPE + preamble + PARTS),
        `${HEADER}${TYPE}\r\n${preamble}${PARTS}`,
      );
    });
  }

  it("ends before a preamble also if it declares an encoding that a multipart cannot have", () => {
    const encoding = "Content-Transfer-Encoding: base64\r\n";
    const [preamble] = preambles;
    assert.equal(
      sent(HEADER + encoding + TYPE + preamble + PARTS),
      `${HEADER}${encoding}${TYPE}\r\n${preamble}${PARTS}`,
    );
  });

  it("continues to the delimiter if recognizable fields precede it", () => {
    const bcc = "Bcc: z@z.test\r\n";
    assert.equal(refusal(HEADER + TYPE + "Hello there\r\n" + bcc + PARTS), "BROKEN_HEADER");
    const text = sent(HEADER + TYPE + "X Mailer: foo\r\n" + bcc + PARTS);
    assert.equal(text, `${HEADER}${TYPE}\r\n${PARTS}`);
  });

  it("is still broken by another line, which is not its own delimiter", () => {
    for (const line of ["--ab", "--abcd", "--abc d", " --abc", "-abc", "--ABC", "Hello"]) {
      const message = HEADER + TYPE + `${line}\r\n` + PARTS.replace("--abc\r\n", "");
      if (line.startsWith(" ")) assert.equal(refusal(message), "prepared");
      else assert.equal(refusal(message), "BROKEN_HEADER", line);
    }
    assert.equal(refusal(HEADER + "Content-Type: text/plain\r\n" + PARTS), "BROKEN_HEADER");
    assert.equal(refusal(HEADER + PARTS), "BROKEN_HEADER");
  });

  it("is read in linear time, however many lines are almost delimiters", () => {
    for (
      const lines of [
        "--abcd\r\n".repeat(60_000),
        `Content-Type: multipart/mixed; boundary=abc\r\nno field\r\n`.repeat(9000),
        `${"-".repeat(500_000)}\r\n`,
        "no field: x\r\n".repeat(40_000),
      ]
    ) {
      const before = performance.now();
      refusal(HEADER + TYPE.replace("abc", "-") + TYPE + lines + PARTS);
      assert.ok(performance.now() - before < 3000);
    }
  });
});
