/** Large attachments are extracted from a message (RFC 2046, RFC 2183), and all else stays. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { type Attachment, extractAttachments } from "../../src/graph/extract_attachments.ts";
import { content, inBlocks, textOf } from "../support/content.ts";

const TEXT = "Content-Type: text/plain\r\n\r\nHello\r\n";
const EMPTY = "Content-Type: text/plain; charset=us-ascii\r\n";

function message(type: string, ...parts: string[]): string {
  return `Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: ${type}; boundary=b\r\n\r\npreamble\r\n` +
    `${parts.map((part) => `--b\r\n${part}`).join("")}--b--\r\nepilogue\r\n`;
}

function file(header: string, octets: string): string {
  const body = Buffer.from(octets, "latin1").toString("base64").replace(/.{76}(?=.)/g, "$&\r\n");
  return `${header}\r\nContent-Transfer-Encoding: base64\r\n\r\n${body}\r\n`;
}

function detached(text: string, limit: number, size = 1000) {
  const result = extractAttachments(inBlocks(text, size), limit);
  assert.equal(result.type, "extracted");
  if (result.type !== "extracted") throw new Error();
  return { rest: textOf(result.rest), attachments: result.attachments };
}

function tooLarge(text: string, limit: number) {
  const result = extractAttachments(content(text), limit);
  return result.type === "tooLarge" ? result.reason : result.type;
}

/** The part that prevents a message from being made smaller. */
function inTheWay(text: string, limit: number) {
  const result = extractAttachments(content(text), limit);
  assert(result.type === "tooLarge");
  return result.part;
}

function read(attachment: Attachment): string {
  return textOf([...attachment.octets()]);
}

const PDF = 'Content-Type: Application/PDF; name="scan.pdf"';
const OCTETS = "%PDF\0\n\r\xff".repeat(200);

describe("a message that is too large", () => {
  it("is returned as the same object if it is not too large", () => {
    const blocks = inBlocks(message("multipart/mixed", TEXT, file(PDF, OCTETS)), 100);
    const result = extractAttachments(blocks, 100_000);
    assert.ok(
      result.type === "extracted" && result.rest === blocks && result.attachments.length === 0,
    );
  });

  it("loses its largest attachment, from its delimiter up to the next, and nothing else", () => {
    const small = file("Content-Type: image/png; name=small.png", "png");
    const text = message("multipart/mixed", TEXT, file(PDF, OCTETS), small);
    for (const size of [1, 7, 10_000]) {
      const { rest, attachments } = detached(text, 600, size);
      assert.equal(rest, message("multipart/mixed", TEXT, small));
      assert.equal(attachments.length, 1);
      const [pdf] = attachments;
      assert.equal(pdf!.name, "scan.pdf");
      assert.equal(pdf!.contentType, "application/pdf");
      assert.equal(pdf!.size, OCTETS.length);
      assert.equal(pdf!.inline, false);
      assert.equal(read(pdf!), OCTETS);
      assert.equal(read(pdf!), OCTETS, "and once more");
    }
  });

  it("loses as many as necessary, the largest first, listed in their original order", () => {
    const files = [300, 900, 600].map((size, i) =>
      file(`Content-Type: image/png; name=${i}.png`, "x".repeat(size))
    );
    const text = message("multipart/mixed", TEXT, ...files);
    const names = (limit: number) => detached(text, limit).attachments.map(({ name }) => name);
    assert.deepEqual(names(text.length - 1), ["1.png"]);
    assert.deepEqual(names(text.length - 1500), ["1.png", "2.png"]);
    assert.deepEqual(names(300), ["0.png", "1.png", "2.png"]);
  });

  it("keeps an empty text if a multipart would have no part (RFC 2046 §5.1.1)", () => {
    const inner = `Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n${file(PDF, OCTETS)}`;
    assert.equal(
      detached(message("multipart/mixed", TEXT, `${inner}--c--\r\n`), 600).rest,
      message(
        "multipart/mixed",
        TEXT,
        `Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n${EMPTY}\r\n\r\n--c--\r\n`,
      ),
    );
  });

  it("gets a missing closing delimiter, so that no line end becomes content", () => {
    const open = message("multipart/mixed", TEXT, file(PDF, OCTETS)).replace(/--b--[^]*/, "");
    assert.equal(
      detached(open, 600).rest,
      message("multipart/mixed", TEXT).replace("epilogue\r\n", ""),
    );
  });

  it("may be the attachment itself, as scanners send it: its Content fields go with it", () => {
    const text = `Subject: scan\r\n${
      file(`${PDF}\r\nX-Pages: 3\r\nContent-Disposition: attachment;\r\n filename=x.pdf`, OCTETS)
        .replace("base64", "BASE64")
    }`;
    const { rest, attachments } = detached(text, 200);
    assert.equal(rest, `Subject: scan\r\nX-Pages: 3\r\n${EMPTY}\r\n`);
    assert.deepEqual(attachments.map(read), [OCTETS]);
    assert.equal(attachments[0]!.name, "x.pdf");
  });

  it("keeps an extracted nested message unchanged", () => {
    const nested = `Subject: n\r\n${file(PDF, OCTETS)}`;
    const part = `Content-Type: message/rfc822; name="forwarded: a"\r\n\r\n${nested}`;
    const { attachments } = detached(message("multipart/mixed", TEXT, part), 600);
    assert.equal(attachments[0]!.name, "forwarded: a.eml");
    assert.equal(attachments[0]!.contentType, "message/rfc822");
    assert.equal(`${read(attachments[0]!)}\r\n`, nested);
  });

  it("keeps images inline by their content id (RFC 2387, RFC 2392)", () => {
    const image = (header: string) => file(`Content-Type: image/png\r\n${header}`, OCTETS);
    const text = message(
      "multipart/related",
      "Content-Type: text/html\r\n\r\n<img src='cid:a@b'>\r\n",
      image("Content-ID: <a@b>"),
      image("Content-ID:\r\n <c@d>\r\nContent-Disposition: attachment"),
      image("Content-Disposition: inline"),
    );
    const { attachments } = detached(text, 600);
    assert.deepEqual(attachments.map(({ contentId, inline, name }) => [contentId, inline, name]), [
      ["a@b", true, "attachment-1.png"],
      ["c@d", false, "attachment-2.png"],
      [undefined, false, "attachment-3.png"],
    ]);
  });
});

describe("the root of a multipart/related (RFC 2387 §3.2)", () => {
  const octets = (name: string, header = "") =>
    `Content-Type: application/xhtml+xml; name=${name}\r\n${header}\r\n${OCTETS}\r\n`;
  const cases: readonly (readonly [name: string, start: string, second: string, kept: string])[] = [
    ["is the first part", "", "Content-ID: <b@x>\r\n", "a"],
    ["is what start names", ';\r\n start="<b@x>"', "Content-ID: <b@x>\r\n", "b"],
    ["is what start names, brackets or not", "; start=b@x", "Content-ID:\r\n b@x\r\n", "b"],
    ["is the first part where start names none", '; start="<c@x>"', "Content-ID: <b@x>\r\n", "a"],
    ["is the first part where start is empty", '; start=""', "", "a"],
  ];
  for (const [name, start, second, kept] of cases) {
    it(`stays: it ${name}`, () => {
      const parts = [octets("a", "Content-ID: <a@x>\r\n"), octets("b", second)];
      const { rest, attachments } = detached(message(`multipart/related${start}`, ...parts), 2200);
      assert.deepEqual(attachments.map((attachment) => attachment.name), [
        kept === "a" ? "b" : "a",
      ]);
      assert.ok(rest.includes(`name=${kept}\r\n`));
      assert.equal(tooLarge(message(`multipart/related${start}`, ...parts), 1000), "body");
    });
  }

  it("may be a multipart itself, from which files are extracted", () => {
    const inner = `Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n${TEXT}--c\r\n`;
    const text = message("multipart/related", `${inner}${file(PDF, OCTETS)}--c--\r\n`, TEXT);
    assert.deepEqual(detached(text, 600).attachments.map(({ name }) => name), ["scan.pdf"]);
  });
});

describe("an extracted content", () => {
  const encodings: readonly (readonly [field: string, body: string, octets: string])[] = [
    ["base64", "QU JD\r\nR!EU=\r\n", "ABCDE"],
    ["base64", "QQ==\r\nQkM=\r\nRA==", "ABCD"],
    ["base64", "QUJDRA", "ABCD"],
    ["base64", "QUJDR", "ABC"],
    ["base64", "-_QUJD", "ABC"],
    ["base64", "\r\n \r\n", ""],
    ["quoted-printable", "=41=\r\nB=0A", "AB\n"],
    ["7bit", "a\r\nb\r\n", "a\r\nb\r\n"],
    ["8bit", "\xff\n", "\xff\n"],
    ["binary", "\0\r", "\0\r"],
  ];
  for (const [encoding, body, octets] of encodings) {
    it(`is decoded: ${encoding}, ${JSON.stringify(body)} (RFC 2045 §6)`, () => {
      const part = `Content-Type: a/b\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}\r\n`;
      const text = message("multipart/mixed", TEXT, `${part}`).replace("epilogue", "");
      for (const size of [1, 2, 3, 5, 1000]) {
        const { attachments } = detached(text, text.length - 1, size);
        assert.deepEqual(attachments.map(read), [octets]);
        assert.equal(attachments[0]!.size, octets.length);
      }
    });
  }

  const names: readonly (readonly [header: string, name: string])[] = [
    ['Content-Type: a/b; name="n.x"\r\nContent-Disposition: attachment; filename=f.x', "f.x"],
    ["Content-Type: a/b; name=n.x\r\nContent-Disposition: attachment", "n.x"],
    ["Content-Type: a/b", "attachment-1.bin"],
    ["Content-Type: application/pdf", "attachment-1.pdf"],
    // RFC 2231 §3, §4
    ["Content-Type: a/b; name*=utf-8''%e2%82%ac%20.x; name=n.x", "€ .x"],
    ["Content-Type: a/b; name*0*=iso-8859-1'en'%e4; name*1=\"b;c\"; name*2*=%20.x", "äb;c .x"],
    // RFC 2047, which is not allowed there
    ['Content-Type: a/b; name="=?utf-8?Q?a=C3=A4_?=\r\n =?UTF-8?B?Lng=?="', "aä .x"],
    ['Content-Type: a/b; name="\xc3\xa4.x"', "ä.x"],
    ['Content-Type: a/b; name="\xe4.x"', "ä.x"],
    ['Content-Type: a/b; name="C:\\scans\\\\a \\"b\\".x"', 'a "b".x'],
    ["Content-Type: a/b; name=../../etc/passwd", "passwd"],
    ["Content-Type: a/b; name*=utf-8''a%00%0d%E2%80%AEb.x", "ab.x"],
    ["Content-Type: a/b; name=..", "attachment-1.bin"],
    ["Content-Type: a/b (; name=no); name= (no) yes (no)", "yes"],
    [`Content-Type: a/b; name="${"x".repeat(300)}.docx"`, `${"x".repeat(250)}.docx`],
  ];
  for (const [header, name] of names) {
    it(`has a name: ${JSON.stringify(header.slice(0, 90))}`, () => {
      const text = message("multipart/mixed", TEXT, `${header}\r\n\r\n${OCTETS}\r\n`);
      assert.equal(detached(text, 600).attachments[0]!.name, name);
    });
  }
});

describe("a message that cannot be made smaller", () => {
  const part = file(PDF, OCTETS);
  const cases: readonly (readonly [name: string, text: string, reason: string])[] = [
    ["signed (RFC 1847)", message("multipart/signed", TEXT, part), "signed"],
    ["encrypted (RFC 1847)", message("multipart/encrypted", TEXT, part), "encrypted"],
    [
      "signed (RFC 8551 §3.5.2)",
      file("Content-Type: application/pkcs7-mime; smime-type=Signed-Data", OCTETS),
      "signed",
    ],
    ["encrypted (RFC 8551)", file("Content-Type: application/x-pkcs7-mime", OCTETS), "encrypted"],
    [
      "with a large signed part",
      message(
        "multipart/mixed",
        TEXT,
        `Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n${part}--c--\r\n`,
      ),
      "signed",
    ],
    ...["name=smime.p7m", 'name="SMIME.P7M"', "name*=utf-8''a%2Ep7z", "name=a.p7c"].map((name) =>
      [
        `encrypted by its name (RFC 8551 §3.9): ${name}`,
        file(`Content-Type: application/octet-stream; ${name}`, OCTETS),
        "encrypted",
      ] as const
    ),
    [
      "signed by its name (RFC 8551 §3.9)",
      file(
        "Content-Type: application/octet-stream\r\n" +
          "Content-Disposition: attachment; filename=smime.p7s",
        OCTETS,
      ),
      "signed",
    ],
    ["with a large text", `Subject: s\r\n\r\n${OCTETS}`, "body"],
    [
      "with large alternatives",
      message(
        "multipart/alternative",
        TEXT,
        `Content-Type: text/html; name=a\r\n\r\n${OCTETS}\r\n`,
      ),
      "body",
    ],
    [
      "with parts that nobody can tell apart",
      message("multipart/mixed", TEXT, part).replace("boundary=b", ""),
      "body",
    ],
    [
      "with an encoding that nobody knows",
      message("multipart/mixed", TEXT, part.replace("base64", "x-own")),
      "body",
    ],
    [
      "with too many attachments (Exchange takes 250)",
      message("multipart/mixed", ...Array(300).fill(file(PDF, "x"))),
      "body",
    ],
    ["with a large header", `Subject: ${OCTETS}\r\n${part}`, "body"],
    ...[
      "application/ms-tnef",
      "application/vnd.ms-tnef; name=other.bin",
      "application/octet-stream; name=winmail.dat",
      'application/octet-stream; name="Winmail.DAT "',
    ].flatMap((type) => [
      [
        `in Outlook's own format ([MS-OXTNEF]): ${type}`,
        message("multipart/mixed", TEXT, file(`Content-Type: ${type}`, OCTETS)),
        "tnef",
      ] as const,
      [
        `in Outlook's own format ([MS-OXTNEF]), and nothing else: ${type}`,
        file(`Content-Type: ${type}`, OCTETS),
        "tnef",
      ] as const,
    ]),
  ];
  for (const [name, text, reason] of cases) {
    it(`gives the reason: ${name}`, () => assert.equal(tooLarge(text, 600), reason));
  }

  const size = 2400;
  const obstacles: readonly (readonly [text: string, part: string | RegExp])[] = [
    [`Subject: s\r\n\r\n${OCTETS}`, `its text (text/plain, ${OCTETS.length} octets)`],
    [
      message("multipart/alternative", TEXT, `Content-Type: text/html\r\n\r\n${OCTETS}\r\n`),
      `its text (text/html, ${OCTETS.length} octets)`,
    ],
    [
      message("multipart/mixed", TEXT, part.replace("base64", "x-Own")),
      /^a part in an unknown Content-Transfer-Encoding, "x-own" \("scan.pdf", application\/pdf, \d+ octets\)$/,
    ],
    [
      message("multipart/mixed", TEXT, part).replace("boundary=b", ""),
      /^a part that is malformed \(multipart\/mixed, \d+ octets\)$/,
    ],
    [
      message("multipart/related", `Content-Type: image/png\r\n\r\n${OCTETS}\r\n`, TEXT),
      `a part of the text (image/png, ${OCTETS.length} octets)`,
    ],
    [
      message("multipart/mixed", TEXT, part.replace("Application/PDF", "application/ms-tnef")),
      /^winmail\.dat \("scan.pdf", application\/ms-tnef, \d+ octets\)$/,
    ],
    [
      message(
        "multipart/mixed",
        TEXT,
        `Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n${part}--c--\r\n`,
      ),
      /^a part that is signed \(multipart\/signed, \d+ octets\)$/,
    ],
    [
      message("multipart/mixed", ...Array(300).fill(file(PDF, "x"))),
      "more attachments than Exchange takes",
    ],
    [`Subject: ${OCTETS}\r\n${part}`, /^its header \(\d+ octets\)$/],
  ];
  for (const [text, expected] of obstacles) {
    it(`names the part that prevents it: ${expected}`, () => {
      const part = inTheWay(text, 600);
      if (typeof expected === "string") assert.equal(part, expected);
      else assert.match(part, expected);
    });
  }

  it("names the largest of several parts, although others were extracted", () => {
    const html = `Content-Type: text/html\r\n\r\n${OCTETS.repeat(2)}\r\n`;
    const plain = `Content-Type: text/plain\r\n\r\n${OCTETS}\r\n`;
    const text = message("multipart/mixed", plain, part, html, part);
    assert.equal(inTheWay(text, size), `its text (text/html, ${2 * OCTETS.length} octets)`);
  });

  it("keeps a small winmail.dat, which Exchange opens, and loses the parts next to it", () => {
    const tnef = file("Content-Type: application/ms-tnef; name=winmail.dat", "x".repeat(90));
    assert.equal(
      detached(message("multipart/mixed", TEXT, tnef, part), 600).rest,
      message("multipart/mixed", TEXT, tnef),
    );
  });

  it("is split even if a part has an S/MIME file name, as signed documents have", () => {
    const signed = "Content-Type: application/octet-stream; name=contract.pdf.p7m";
    for (const header of [signed, signed.replace("octet-stream", "pdf")]) {
      const text = message("multipart/mixed", TEXT, file(header, OCTETS));
      assert.equal(detached(text, 600).attachments[0]!.name, "contract.pdf.p7m");
    }
    const alone = file(signed.replace("octet-stream", "pdf"), OCTETS);
    assert.equal(detached(alone, 600).attachments.length, 1);
  });

  it("is split even if a multipart declares an encoding (RFC 2045 §6.4)", () => {
    for (const encoding of ["base64", "quoted-printable", "8-bit"]) {
      const text = message("multipart/mixed", TEXT, part)
        .replace("MIME-Version", `Content-Transfer-Encoding: ${encoding}\r\nMIME-Version`);
      assert.equal(detached(text, 600).attachments[0]!.name, "scan.pdf");
    }
  });

  it("is split even if a part declares its encoding twice, or with a semicolon", () => {
    for (const field of ["base64;", "base64\r\nContent-Transfer-Encoding: BASE64"]) {
      const text = message("multipart/mixed", TEXT, part.replace("base64", field));
      assert.deepEqual(detached(text, 600).attachments.map(read), [OCTETS]);
    }
  });

  it("is split next to a small signed part, which stays unchanged", () => {
    const signed = `Content-Type: multipart/signed; boundary=c\r\n\r\n--c\r\n${TEXT}--c--\r\n`;
    assert.equal(
      detached(message("multipart/mixed", signed, part), 600).rest,
      message("multipart/mixed", signed),
    );
  });
});
