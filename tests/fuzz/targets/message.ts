// What becomes of a message before Graph gets it: any octets, and messages that are built to play
// with boundaries, folding, encodings and ends that are missing.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { canonical } from "../../../src/graph/canonical.ts";
import { extractAttachments } from "../../../src/graph/extract_attachments.ts";
import { readHeader } from "../../../src/message/header.ts";
import { structureExcess } from "../../../src/message/structure.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { normalized, recipientsOf } from "../../graph/graph_reading.ts";
import { envelope, OPTIONS, prepareMessage } from "../../graph/preparing.ts";
import { assertWellFormed } from "../../smtp/driver.ts";
import { made, textOf } from "../../support/content.ts";
import { inPieces, Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const RECIPIENTS = ["a@x.test", "Bea@Y.test", "c.c@x.test"];
const WANTED = RECIPIENTS.map(normalized).sort();
const STRAY = /\r(?!\n)|(?<!\r)\n/;
const LINE_ENDS = ["\r\n", "\n", "\r\r\n", "\r"];
const BOUNDARIES = ["b", "bb", "b-", "b--", "-b", "b b", "b:1", "x".repeat(70), ""];

/** A message whose parts, boundaries and line ends the input chooses, its texts too. */
function built(input: Input, depth: number): string {
  const end = input.below(6) < 3 ? "\r\n" : input.pick(LINE_ENDS);
  const encoding = input.pick([
    "",
    "7bit",
    "8bit",
    "binary",
    "base64",
    "quoted-printable",
    "(c) Base64;",
    '8-bit"',
    "x-own",
  ]);
  const header = encoding === "" ? "" : `Content-Transfer-Encoding: ${encoding}${end}`;
  const kind = input.below(8);
  if (kind < 3 || depth > 6) {
    const type = input.pick([
      "text/plain; charset=utf-8",
      "text/html",
      "application/pdf; name=a.pdf",
      "image/png; name*=utf-8''%2e%2e%2Fx",
      "application/pkcs7-mime",
      "text/plain; charset=utf-16",
      'application/x; name="a\\"b',
      "application/x; name*1=b(1).x; name*0*=cp932''%97%5C",
      'text/csv; charset=gbk; name="\x81\\"; x=" (c)"',
      "application/ms-tnef",
    ]);
    const disposition = input.pick([
      "",
      "",
      `Content-Disposition: attachment;${end} filename=x${end}`,
    ]);
    const body = input.until(0xff).toString("latin1").repeat(1 << input.below(4));
    return `Content-Type: ${type}${end}${header}${disposition}${end}${body}`;
  }
  if (kind === 3) {
    return `Content-Type: message/rfc822${end}${header}${end}${built(input, depth + 1)}`;
  }
  const boundary = input.pick(BOUNDARIES);
  const subtype = input.pick([
    "mixed",
    "alternative",
    "related",
    "signed; micalg=x",
    "encrypted",
    "digest",
    "mixed; boundary=c",
    "mixed; boundary*0=b; boundary*1=b",
  ]);
  const quoted = input.flag() ? `"${boundary}"` : boundary;
  let text = `Content-Type: multipart/${subtype}; boundary=${quoted}${end}${header}${end}`;
  for (let parts = input.below(4); parts >= 0; parts--) {
    const pad = input.pick(["", "", " ", "\t ", "x", "--"]);
    text += `--${boundary}${pad}${end}${built(input, depth + 1)}${end}`;
  }
  return text +
    input.pick([`--${boundary}--${end}`, "", `--${boundary}`, `--${boundary}--x${end}`]);
}

async function judge(octets: Buffer, choices: number): Promise<void> {
  const whole = octets.length === 0 ? [] : [octets];
  const cut = inPieces(octets, [1 + (choices >> 3), 1, 64]);
  const options = { ...OPTIONS, reencodeQuotedPrintable: (choices & 1) === 0 };

  const fit = canonical(whole, options);
  const text = textOf(fit);
  assert.doesNotMatch(text, STRAY);
  assert.equal(textOf(canonical(cut, options)), text, "however it is cut");

  for (const limits of [{ depth: 1, parts: 3 }, { depth: 3, parts: 1 }]) {
    assert.equal(structureExcess(cut, limits), structureExcess(whole, limits), "the structure");
  }

  const result = prepareMessage(whole, envelope(RECIPIENTS, "me@x.test"), {
    ...options,
    account: (choices & 2) === 0 ? {} : { fromEmail: "own@x.test", fromName: "Own" },
  });
  const again = prepareMessage(cut, envelope(RECIPIENTS, "me@x.test"), {
    ...options,
    account: (choices & 2) === 0 ? {} : { fromEmail: "own@x.test", fromName: "Own" },
  });
  assert.equal(again.type, result.type);
  if (result.type === "rejected" || again.type === "rejected") {
    assert.ok(result.type === "rejected");
    assert.ok(result.reply.code >= 500);
    assertWellFormed(formatReply(result.reply));
    assert.doesNotMatch(result.detail, UNPRINTABLE);
    return;
  }
  const prepared = textOf(result.content);
  assert.equal(textOf(again.content), prepared, "however it is cut");
  assert.doesNotMatch(prepared, STRAY);
  assert.equal(textOf(canonical(made(result.content), options)), prepared, "a second time");
  const header = readHeader(result.content);
  // A word over 998 octets cannot be folded, and stays as it is.
  const long = /[^\r\n]{999}/.test(header.octets.toString("latin1"));
  assert.ok(header.regular || long, "a header that readers disagree about");
  for (const name of ["from", "to", "cc", "bcc", "sender"]) {
    assert.ok(header.fields.filter((field) => field.name === name).length <= 1, `two ${name}`);
  }
  assert.equal(header.fields.filter((field) => field.name === "from").length, 1);
  assert.deepEqual(await recipientsOf(made(result.content)), WANTED, "Graph's recipients");

  const limit = Math.floor(prepared.length * ((choices >> 2) & 7) / 8);
  const detached = extractAttachments(result.content, limit);
  if (detached.type !== "extracted") return;
  const rest = textOf(detached.rest);
  assert.ok(rest.length <= limit);
  if (!/\0/.test(prepared)) assert.doesNotMatch(rest, STRAY);
  for (const { name, contentType, contentId, size, octets } of detached.attachments) {
    assert.ok(name !== "" && name.length <= 255 && !UNPRINTABLE.test(name), JSON.stringify(name));
    assert.doesNotMatch(name, /[/\\]/);
    assert.match(contentType, /^[\x21-\x7e]+\/[\x21-\x7e]+$/);
    assert.ok(contentId === undefined || contentId.length <= 998);
    let length = 0;
    for (const piece of octets()) length += piece.length;
    assert.equal(length, size);
  }
}

const HEAD = "From: me@x.test\r\nTo: a@x.test, Bea <bea@y.test>\r\nSubject: s\r\n";

const WORDS = [
  ..."\r\n|\n|\r|\0|\r\n\r\n|\r\n |\r\n\t|\r\n \r\n|: |--b\r\n|--b--\r\n|\r\n--b|; |=|=\r\n|=3D"
    .split("|"),
  ...'Content-Type: |multipart/mixed; boundary=b|text/plain|message/rfc822|boundary=|"'.split("|"),
  ..."Content-Transfer-Encoding: |base64|quoted-printable|8bit|binary|QUJD|=C3=BC|\xc3\xbc".split(
    "|",
  ),
  ...'To: |Cc: |Bcc: |From: |Sender: |Resent-Bcc: |a@x.test|z@z.test|<|>|,|(|)|\\|"|:;'.split("|"),
  ..."=?utf-8?q?=3Cz=40z.test=3E?=|From x Mon Nov 23 20:27:56 2026\r\n|\xef\xbb\xbf|T: ".split("|"),
  ..."Content-Disposition: attachment; filename=x\r\n|MIME-Version: 1.0\r\n|\xff|Date: x\r\n".split(
    "|",
  ),
  ..."name*0*=|boundary*1=|utf-8''%C3|=?gb2312?B?|?=|winmail.dat|/|..|8-bit|References: |Subject: "
    .split("|"),
  "x".repeat(999),
  `${"y".repeat(998)}\r\n`,
];

export const message: Target = {
  name: "message",
  run(octets) {
    const input = new Input(octets);
    const choices = input.byte();
    return judge(input.rest(), choices);
  },
  seeds: [
    "\x00" + HEAD + "\r\nText\r\n",
    "\x00Subject: none\nTo: z@z.test\n\nText\n.\n",
    "\x07" + HEAD + "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" +
    "--b\r\n\r\nText\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n" +
    "Content-Transfer-Encoding: base64\r\n\r\nQUJDREVG\r\n--b--\r\n",
    "\x0c" + HEAD + 'Content-Type: multipart/related; boundary=b; start="<1>"\r\n\r\n--b\r\n' +
    "Content-Type: text/html\r\nContent-ID: <1>\r\nContent-Transfer-Encoding: quoted-printable\r\n" +
    "\r\n=C3=BC=\r\n x\r\n--b\r\nContent-Type: image/png\r\nContent-ID: <2>\r\n\r\n\0\r\n--b--\r\n",
    '\x01From: A B\r\nTo: T: a@x.test, "x" <bea@y.test>;\r\nCc: (c) z@z.test\r\n \r\n x\r\n\r\nb',
    "\x02To : a@x.test\r\nX\r\nBcc: z@z.test\r\n\r\n",
  ],
  words: WORDS,
  maxLength: 4096,
};

export const mime: Target = {
  name: "mime",
  run(octets) {
    const input = new Input(octets);
    const choices = input.byte();
    return judge(Buffer.from(HEAD + built(input, 0), "latin1"), choices);
  },
  seeds: [
    "\x00\x00\x00\x00\x00\x00Text\r\n\xff\x00",
    "\x04\x00\x00\x04\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00one\xff\x00\x00\x00\x04\x00\x02\x01QUJD\xff\x02",
    "\x08\x00\x03\x05\x01\x01\x00\x03\x00\x00\x05\x00\x01\x00=C3=BC\xff\x00\x02\x00\x02\x03\x01\x00\0\xff\x00",
  ],
  words: WORDS.filter((word) => word.length < 40),
};
