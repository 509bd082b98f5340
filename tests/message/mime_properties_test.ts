/**
 * For any MIME message (RFC 2045, RFC 2046): what a reader finds in each part is the same after the
 * repair and after large parts were extracted, and what is signed, encrypted or nested stays.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { canonical } from "../../src/graph/canonical.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import type { Content } from "../../src/smtp/content.ts";
import { inBlocks, textOf } from "../support/content.ts";
import { type Leaf, readLeaves, render, TREE, type Tree } from "./mime_tree.ts";

/** Octets of a piece. */
const CUTS = fc.constantFrom(1, 3, 7, 64, 100_000, 100_000);

/** Large ones in fewer pieces. */
function cutUp(message: string, size: number): Content {
  return inBlocks(message, Math.max(size, Math.ceil(message.length / 500)));
}

type Found = Pick<Leaf, "type" | "content">;

/** The repaired line ends of a text. */
function withLineEnds(text: string): string {
  return text.replace(/\r*\n|\r/g, (end) => end === "\r" ? " " : "\r\n");
}

/** The repair of lines that would be a lone dot without the NULs in them. */
function withoutHiddenDots(text: string): string {
  return text.split("\n").map((line) =>
    /^[\0\r]*\.[\0\r]*$/.test(line) ? line.replaceAll("\0", " ") : line
  ).join("\n");
}

/** What a reader of the repaired message must find. */
function expected({ type, encoding, content, raw }: Leaf, isMessage: boolean): string {
  const isEncoded = encoding === "base64" || encoding === "quoted-printable";
  const isBinary = encoding === "binary" || !type.startsWith("text/");
  if (isEncoded) return content;
  if (raw) return withoutHiddenDots(content);
  if (isBinary && encoding !== "x-own") return content;
  // The line end before a delimiter is the delimiter's, but CRs before it are dropped with it.
  const text = isMessage ? withLineEnds(content) : withLineEnds(`${content}\r\n`).slice(0, -2);
  // Content with NULs and a known encoding is re-encoded.
  return encoding === "x-own" ? withoutHiddenDots(text) : text;
}

/** Found by chance: content in an unknown encoding keeps its NULs, except for these. */
const HIDDEN_DOT: [Tree, number][] = [[{
  kind: "leaf",
  type: "text/plain; charset=utf-8",
  extra: "",
  encoding: "x-own",
  label: "Content-Transfer-Encoding: ",
  content: ".\0",
  width: 76,
}, 1]];

describe("the canonical form of any message", () => {
  for (const reencodeQuotedPrintable of [true, false]) {
    it(`has the same contents, quoted-printable re-encoded: ${reencodeQuotedPrintable}`, () => {
      fc.assert(
        fc.property(TREE, CUTS, (tree, cut) => {
          const message = render(tree);
          const result = textOf(canonical(cutUp(message, cut), { reencodeQuotedPrintable }));
          const before = readLeaves(message);
          const after = readLeaves(result);
          assert.deepEqual(
            after.map(({ type, content }) => ({ type, content })),
            before.map((leaf) => ({
              type: leaf.type,
              content: expected(leaf, tree.kind !== "multipart"),
            })),
          );
          assert.ok(!/\r(?!\n)|(?<!\r)\n/.test(result), "only CRLF ends lines (RFC 5322 §2.3)");
          for (const { encoding, content, raw } of after) {
            if (raw || encoding === "x-own" || content === "") continue;
            if (reencodeQuotedPrintable) assert.notEqual(encoding, "quoted-printable");
            if (encoding === "base64" || encoding === "quoted-printable") continue;
            assert.ok(!/\0|[^\n]{1000}/.test(content), "998 octets a line (RFC 5322 §2.1.1)");
          }
          const again = canonical(cutUp(result, cut), { reencodeQuotedPrintable });
          assert.equal(textOf(again), result);
        }),
        { numRuns: 150, examples: HIDDEN_DOT },
      );
    });
  }

  it("exists for any octets", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "\r\n",
        "\n",
        "\r",
        "\0",
        "Content-Type: ",
        "multipart/mixed; boundary=b",
        "Content-Transfer-Encoding: ",
        "quoted-printable",
        "base64",
        "\r\n\r\n",
        "\r\n--b",
        "--",
        "=",
        "(",
        '"',
        "x".repeat(999),
      ),
      fc.string({ unit: "binary-ascii", maxLength: 6 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), CUTS, fc.nat(300), (parts, cut, limit) => {
        const content = inBlocks(parts.join(""), cut);
        const result = textOf(canonical(content, { reencodeQuotedPrintable: true }));
        assert.ok(!/\r(?!\n)|(?<!\r)\n/.test(result));
        assert.equal(
          result,
          textOf(canonical(inBlocks(parts.join(""), 100_000), { reencodeQuotedPrintable: true })),
          "however it is cut",
        );
        const detached = extractAttachments(content, limit);
        if (detached.type === "extracted") assert.ok(textOf(detached.rest).length <= limit);
      }),
      { numRuns: 300 },
    );
  });
});

describe("any message without its large parts", () => {
  it("has the same contents, together with them", () => {
    fc.assert(
      fc.property(TREE, CUTS, fc.double({ min: 0, max: 1, noNaN: true }), (tree, cut, share) => {
        const message = render(tree);
        const limit = Math.floor(message.length * share);
        const result = extractAttachments(cutUp(message, cut), limit);
        if (result.type === "tooLarge") return;
        const rest = textOf(result.rest);
        assert.ok(rest.length <= limit);
        const taken = result.attachments.map(({ octets, size, contentType }) => {
          const content = textOf([...octets()]);
          assert.equal(content.length, size);
          assert.equal(textOf([...octets()]), content, "a second time");
          return { type: contentType, content };
        });
        // The replacements of extracted parts, and others that look like them.
        const isFiller = ({ type, content }: Found) =>
          type === "text/plain" && content.trim() === "";
        const keys = (leaves: readonly Found[]) =>
          leaves.filter((leaf) => !isFiller(leaf)).map(({ type, content }) => `${type}\n${content}`)
            .sort();
        assert.deepEqual(keys([...readLeaves(rest), ...taken]), keys(readLeaves(message)));
      }),
      { numRuns: 150 },
    );
  });
});
