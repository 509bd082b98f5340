/**
 * Messages made to keep a reader busy (CWE-400, CWE-1333): the time for each is in proportion to
 * its size. A pattern that tries each position anew takes seconds for 60 kB, and minutes for 250 kB; the
 * bounds are far above what a slow machine needs for one pass.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { describe, it } from "node:test";
import { senderRefusal } from "../../src/accounts/senders.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import type { SenderOverride } from "../../src/message/originator.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import type { Content } from "../../src/smtp/content.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";
import { THOROUGH } from "../support/thorough.ts";

/** As it arrives from a socket. */
function content(text: string): Content {
  const octets = Buffer.from(text, "latin1");
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < octets.length; at += 65_536) pieces.push(octets.subarray(at, at + 65_536));
  return pieces;
}

const LIST = SenderList.parse("me@x.test, @y.test")!;

/** Every pass of the relay over a message. @returns the result */
function read(text: string, account: SenderOverride = {}): string {
  const result = prepareMessage(content(text), envelope(["a@x.test"]), { ...OPTIONS, account });
  if (result.type !== "prepared") return result.code;
  for (const { text: named } of result.named()) {
    senderRefusal(named, { allowed: LIST, ofEntry: undefined });
  }
  extractAttachments(result.content, 1000);
  return "prepared";
}

/** Milliseconds of CPU: other work of the machine is not counted. What is over the bound is tried again. */
function timeOf(action: () => void, bound: number): number {
  let best = Infinity;
  for (let i = 0; i < 3 && best >= bound; i++) {
    const before = process.cpuUsage();
    action();
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / 1000);
  }
  return best;
}

/** Milliseconds for a header of {@link SIZE}: five are usual. */
const FIELD_BOUND = 1000;
/** Milliseconds for a whole message of some megabytes. */
const MESSAGE_BOUND = 5000;
const SIZE = 60_000;

/** From has a test of its own. */
const FIELDS = [
  "To: ",
  "Cc: ",
  "Bcc: ",
  "Sender: ",
  "Date: ",
  "Subject: ",
  "Content-Type: multipart/mixed; boundary=",
  "Content-Type: text/plain; name=",
  "Content-Transfer-Encoding: ",
  "Content-Disposition: attachment; filename=",
  "Content-ID: ",
];
const REPEATED = [
  '"',
  '\\"',
  '"\\"',
  '"a" ',
  "\\",
  "@",
  "a@",
  "a@b,",
  "a@b ",
  "a@[",
  "(",
  "((a)",
  "(\\",
  "a@b (",
  "<",
  "<a@b",
  "<>",
  ">",
  "a:",
  "a:;",
  ";",
  ",",
  "[",
  "=?",
  "=?utf-8?B?",
  "=?utf-8?Q?a?= ",
  "=?u?q?",
  "*0=",
  'a;b="',
  "%41",
  "'",
  " ",
  "\t",
  "\r\n ",
  "\r\n\t \r\n ",
  "\r",
  "\r ",
  "\0",
  "\n",
  "\nTo: ",
  "\ncontent-a",
  "\n.",
  "é",
  "a b ",
];
const ENDS = ["", '")> @x.test'];

describe("a header field of 60 kB", () => {
  for (const field of FIELDS) {
    it(`takes time in proportion to its size, whatever it repeats: ${field}`, () => {
      for (const piece of REPEATED) {
        const body = piece.repeat(SIZE / piece.length);
        for (const [i, end] of ENDS.entries()) {
          const text = `From: me@x.test\r\n${field}${body}${end}\r\n\r\nText\r\n`;
          // With an address in its entry, From is rewritten: another code path.
          const account = i % 2 === 0 ? {} : { fromEmail: "me@x.test" };
          const took = timeOf(() => void read(text, account), FIELD_BOUND);
          assert.ok(took < FIELD_BOUND, `${JSON.stringify(piece)} ${end}: ${Math.round(took)} ms`);
        }
      }
    });
  }

  it("takes time in proportion in From, with and without an address in the account's entry", () => {
    for (const [i, piece] of REPEATED.entries()) {
      for (
        const account of [{}, { fromEmail: "me@x.test" }, { fromEmail: "me@x.test", fromName: "N" }]
      ) {
        for (const end of THOROUGH ? ENDS : [ENDS[i % ENDS.length]!]) {
          const text = `From: ${piece.repeat(SIZE / piece.length)}${end}\r\n\r\nText\r\n`;
          const took = timeOf(() => void read(text, account), FIELD_BOUND);
          assert.ok(took < FIELD_BOUND, `${JSON.stringify(piece)} ${end}: ${Math.round(took)} ms`);
        }
      }
    }
  });
});

function nested(levels: number, same: boolean): string {
  let text = "";
  for (let i = 0; i < levels; i++) {
    const boundary = same ? "b" : `b${i}`;
    text += `Content-Type: multipart/mixed; boundary=${boundary}\r\n\r\n--${boundary}\r\n`;
  }
  return text;
}

const HEAD = "From: me@x.test\r\nTo: a@x.test\r\n";
const MIXED = `${HEAD}Content-Type: multipart/mixed; boundary="----=_Part"\r\n\r\n`;
const MEGABYTES = 4_000_000;

function filled(piece: string, octets = MEGABYTES): string {
  return piece.repeat(Math.ceil(octets / piece.length));
}

const MESSAGES: Readonly<Record<string, readonly [text: () => string, outcome: RegExp]>> = {
  "a megabyte of nested multiparts": [
    () => HEAD + nested(18_000, false),
    /^MIME_TOO_DEEP$/,
  ],
  "a megabyte of multiparts with one boundary": [
    () => HEAD + nested(18_000, true),
    /^MIME_TOO_MANY_PARTS$/,
  ],
  "nested attached messages": [
    () => HEAD + filled("Content-Type: message/rfc822\r\n\r\n", 1_000_000),
    /^MIME_TOO_DEEP$/,
  ],
  "a million parts": [() => MIXED + filled("------=_Part\r\n\r\n"), /^MIME_TOO_MANY_PARTS$/],
  "1000 parts without an empty line": [
    () => MIXED + (`------=_Part\r\n${filled("X: y\r\n", 8000)}`).repeat(1000),
    /^prepared$/,
  ],
  "lines that are nearly delimiters": [
    () => `${MIXED}------=_Part\r\n\r\n${filled("------=_Parx\r\n")}`,
    /^prepared$/,
  ],
  "lines that continue after the delimiter": [
    () => `${MIXED}------=_Part\r\n\r\n${filled("------=_Part x\r\n")}`,
    /^prepared$/,
  ],
  "hyphens": [() => `${MIXED}------=_Part\r\n\r\n${filled("-".repeat(76) + "\r\n")}`, /^prepared$/],
  "a multipart whose lines end in LF": [
    () => MIXED.replaceAll("\r", "") + filled("------=_Parx\n"),
    /^prepared$/,
  ],
  "100,000 header fields": [() => `${filled("X: y\r\n", 600_000)}\r\nText`, /^HEADER_TOO_LARGE$/],
  "40,000 header fields, which is as many as fit": [
    () => `${HEAD}${"X: y\r\n".repeat(40_000)}\r\nText`,
    /^prepared$/,
  ],
  "a header field of 30 MB": [() => `X: ${filled("x", 30_000_000)}\r\n\r\n`, /^HEADER_TOO_LARGE$/],
  "a header of 30 MB in short lines": [() => filled("X: y\r\n", 30_000_000), /^HEADER_TOO_LARGE$/],
  "100,000 addresses in To": [
    () =>
      `From: me@x.test\r\nTo: ${
        filled("someone@example.com,\r\n ", 2_300_000)
      }x@x.test\r\n\r\nText`,
    /^HEADER_TOO_LARGE$/,
  ],
  // The old field stays as X-Original-To, so To may use half of the header.
  "10,000 addresses in To, none of the envelope": [
    () => `From: me@x.test\r\nTo: ${"b@example.com,\r\n ".repeat(10_000)}a@x.test\r\n\r\nText`,
    /^prepared$/,
  ],
  "nested comments in addresses": [
    () => `From: me@x.test\r\nTo: ${"(".repeat(50_000)}${")".repeat(50_000)} a@x.test\r\n\r\nText`,
    /^prepared$/,
  ],
  "encoded words without an end": [
    () => `From: ${filled("=?utf-8?Q?=41?=\r\n ", 200_000)}<me@x.test>\r\n\r\nText`,
    /^prepared$/,
  ],
  "a file name in 200 pieces, each of encoded words (RFC 2231)": [
    () =>
      `${HEAD}Content-Type: application/pdf` +
      Array.from({ length: 200 }, (_, i) => `;\r\n name*${i}="${"=?utf-8?Q?a?=".repeat(60)}"`).join(
        "",
      ) +
      `\r\nContent-Transfer-Encoding: base64\r\n\r\n${filled("QUJD\r\n", 100_000)}`,
    /^prepared$/,
  ],
  "quoted-printable that decodes to nothing": [
    () => `${HEAD}Content-Transfer-Encoding: quoted-printable\r\n\r\n${filled("=\r\n")}`,
    /^prepared$/,
  ],
  "base64 with line ends alone": [
    () => `${HEAD}Content-Transfer-Encoding: base64\r\n\r\n${filled("\r\n")}`,
    /^prepared$/,
  ],
  "line feeds alone": [() => `${HEAD}\n${filled("\n")}`, /^prepared$/],
  "carriage returns alone": [() => `${HEAD}\r\n${filled("\r")}\n`, /^prepared$/],
  "carriage returns in the header": [
    () => `${HEAD}X: ${filled("\r", 200_000)}y\r\n\r\n`,
    /^prepared$/,
  ],
  "NULs": [() => `${HEAD}\r\n${filled("\0")}`, /^prepared$/],
  "NULs and dots in what is signed": [
    () =>
      `${HEAD}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n${
        filled("\0.\r\n")
      }--b--`,
    /^prepared$/,
  ],
  "one line of text": [() => `${HEAD}\r\n${filled("x")}`, /^prepared$/],
  "words and colons with no header": [
    () => filled("word word: \n", 500_000),
    /^(?:prepared|[A-Z_]+)$/,
  ],
};

describe("a message of some megabytes", () => {
  for (const [what, [text, outcome]] of Object.entries(MESSAGES)) {
    it(`is read or refused quickly: ${what}`, () => {
      const message = text();
      let became = "";
      const took = timeOf(() => became = read(message), MESSAGE_BOUND);
      assert.match(became, outcome);
      assert.ok(took < MESSAGE_BOUND, `${Math.round(took)} ms`);
    });
  }
});
