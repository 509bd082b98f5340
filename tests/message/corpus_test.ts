/**
 * The e-mail test corpus of CPython (Debian: libpython3.11-testsuite): valid and broken messages, and
 * some other files. Each stays equal, apart from line ends and transfer encodings.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import PostalMime from "postal-mime";
import { canonical } from "../../src/graph/canonical.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { inBlocks, octets, textOf } from "../support/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";

const FOLDER = "/usr/lib/python3.11/test/test_email/data";
const present = existsSync(FOLDER);
/** Those with quoted-printable leaf parts. */
const REENCODED = new Set(["msg_10.txt", "msg_15.txt"]);

/** What an independent reader sees in a message. */
async function seen(text: string) {
  const { attachments, text: plain, html, headers } = await PostalMime.parse(octets(text), {
    attachmentEncoding: "arraybuffer",
    rfc822Attachments: true,
  });
  return {
    headers: headers.filter(({ key }) => key !== "content-transfer-encoding"),
    plain: loosely(plain),
    html: loosely(html),
    attachments: attachments.map(({ content, ...rest }) => ({
      ...rest,
      content: Buffer.from(content as ArrayBuffer).toString("latin1").replaceAll("\r\n", "\n"),
    })),
  };
}

/**
 * postal-mime keeps white space before line ends of quoted-printable, which does not count (RFC 2045
 * §6.7 rule 3), and adds a line end to each text that is not base64.
 */
function loosely(text: string | undefined): string | undefined {
  return text?.replace(/(?:[ \t\r]*\n)+/g, "\n");
}

function withLineEnds(text: string): string {
  return text.replace(/\r*\n|\r/g, (end) => end === "\r" ? " " : "\r\n");
}

/** After the first empty line. */
function bodyOf(text: string): string {
  const at = text.indexOf("\r\n\r\n");
  return at < 0 ? "" : text.slice(at + 4);
}

describe("CPython's test corpus", { skip: present ? false : `${FOLDER} is missing` }, () => {
  const files = present ? readdirSync(FOLDER).sort() : [];

  it("is present", () => assert.ok(files.length >= 60));

  for (const name of files) {
    const original = present ? readFileSync(`${FOLDER}/${name}`).toString("latin1") : "";
    const repaired = withLineEnds(original);

    it(`stays equal, octet for octet, except for line ends: ${name}`, () => {
      for (const size of [1, 100_000]) {
        const result = canonical(inBlocks(original, size), { reencodeQuotedPrintable: false });
        assert.equal(textOf(result), repaired);
      }
    });

    it(`has the same contents without quoted-printable: ${name}`, async () => {
      const options = { reencodeQuotedPrintable: true };
      const result = textOf(canonical(inBlocks(original, 1000), options));
      assert.equal(result !== repaired, REENCODED.has(name));
      assert.deepEqual(await seen(result), await seen(repaired));
    });

    it(`is prepared with its body unchanged, or refused with a reason: ${name}`, () => {
      const blocks = inBlocks(original, 1000);
      const { reencodeQuotedPrintable } = OPTIONS;
      const result = prepareMessage(blocks, envelope(["a@x.test"]), OPTIONS);
      if (result.type === "prepared") {
        const body = bodyOf(textOf(canonical(blocks, { reencodeQuotedPrintable })));
        const sent = textOf(result.content);
        if (sent.endsWith(body)) return;
        // A file without a header is all text, and NULs make that base64.
        assert.equal(Buffer.from(bodyOf(sent), "base64").toString("latin1"), repaired);
      } else {
        assert.ok(result.reply.code >= 500 && result.reply.text.length > 10);
      }
    });

    it(`is split into contents of equal size, or not at all: ${name}`, async () => {
      const result = extractAttachments(inBlocks(original, 1000), Math.floor(original.length / 2));
      if (result.type === "tooLarge") return;
      const before = await seen(original);
      // postal-mime gives nested messages a line end that is the delimiter's (RFC 2046 §5.1.1).
      const contents = before.attachments.map(({ content }) => content.trimEnd());
      for (const attachment of result.attachments) {
        const content = textOf([...attachment.octets()]);
        assert.equal(content.length, attachment.size);
        assert.ok(contents.includes(content.replaceAll("\r\n", "\n").trimEnd()), attachment.name);
      }
    });
  }
});
