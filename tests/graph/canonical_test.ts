/** How a message's octets are changed before Graph gets them (RFC 5322 §2.1, RFC 2045 §6). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { canonical } from "../../src/graph/canonical.ts";
import { content, inBlocks, textOf } from "../support/content.ts";

const REENCODE = { reencodeQuotedPrintable: true };
const KEEP = { reencodeQuotedPrintable: false };
const LONG = "x".repeat(999);

function base64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64").replace(/.{76}(?=.)/g, "$&\r\n");
}

function result(message: string, options = REENCODE): string {
  return textOf(canonical(content(message), options));
}

function part(header: string, body: string): string {
  return `--b\r\n${header}\r\n\r\n${body}\r\n`;
}

function mixed(...parts: string[]): string {
  return `Subject: s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n` +
    `preamble\r\n${parts.join("")}--b--\r\nepilogue`;
}

const QP = "Content-Transfer-Encoding: quoted-printable";
const MIME = "MIME-Version: 1.0\r\n";
const B64 = "Content-Transfer-Encoding: base64";

describe("a message that needs no change", () => {
  const UNTOUCHED: readonly (readonly [name: string, message: string])[] = [
    ["nothing at all", ""],
    ["a header alone", "Subject: s\r\n"],
    ["an empty body", "Subject: s\r\n\r\n"],
    ["8-bit text", "Subject: ä\r\n\r\nÖl\r\n"],
    ["no last line end", "Subject: s\r\n\r\nthe end"],
    ["lines of 998 octets (RFC 5322 §2.1.1)", `a: b\r\n\r\n${LONG.slice(1)}\r\n`],
    ["base64 and a file", mixed(part(B64, "QUJD"), part("Content-Type: a/b", "--bx\r\n--"))],
    ["words that are no field", "Subject: s\r\n\r\nContent-Transfer-Encoding: quoted-printable"],
  ];
  for (const [name, message] of UNTOUCHED) {
    it(`is returned without a copy: ${name}`, () => {
      for (const size of [1, 3, 1000]) {
        const blocks = inBlocks(message, size);
        assert.equal(canonical(blocks, REENCODE), blocks);
      }
    });
  }
});

describe("quoted-printable (RFC 2045 §6.7)", () => {
  it("becomes base64; the rest of the header stays", () => {
    assert.equal(
      result(
        `${MIME}content-TRANSFER-encoding :\r\n (x) Quoted-Printable (y)\r\nX: y\r\n\r\na=3D=\r\nb\r\n`,
      ),
      `${MIME}content-TRANSFER-encoding :\r\n (x) base64 (y)\r\nX: y\r\n\r\n${
        base64("a=b\r\n")
      }\r\n`,
    );
  });

  it("becomes base64 in each leaf, with nothing else changed", () => {
    const text = "Content-Type: text/plain; charset=utf-8\r\n";
    const body = "=C3=A4=20=\r\nsoft=\r\n\r\n-- \r\nend=";
    assert.equal(
      result(mixed(part(text + QP, body), part("", "=41"), part(QP + "\r\nX: y", "=41=0A"))),
      mixed(
        part(text + B64, base64("Ã¤ soft\r\n--\r\nend")),
        part("", "=41"),
        part(`${B64}\r\nX: y`, base64("A\n")),
      ),
    );
  });

  const BROKEN: readonly (readonly [body: string, decoded: string])[] = [
    ["=e4=E4", "\xe4\xe4"],
    ["50=% =4 =", "50=% =4 "],
    ["=XY=4G", "=XY=4G"],
    ["a \t\r\nb  ", "a\r\nb"],
    ["a= \t\r\nb", "ab"],
    ["a=\nb\nc", "ab\r\nc"],
    ["==41", "=A"],
    ["raw \xe4", "raw \xe4"],
  ];
  for (const [body, decoded] of BROKEN) {
    it(`is decoded as readers do: ${JSON.stringify(body)}`, () => {
      const message = `${MIME}${QP}\r\n\r\n${body}`;
      for (const size of [1, 2, 1000]) {
        assert.equal(
          textOf(canonical(inBlocks(message, size), REENCODE)),
          `${MIME}${B64}\r\n\r\n${base64(decoded)}\r\n`,
        );
      }
    });
  }

  const inner = mixed(part(QP, "=41"));
  const KEPT: readonly (readonly [name: string, message: string])[] = [
    [
      "in multipart/signed (RFC 1847 §2.1)",
      `Content-Type: Multipart/Signed; boundary=b\r\n${inner}`,
    ],
    ["in multipart/encrypted", `Content-Type: multipart/encrypted; boundary=b\r\n${inner}`],
    [
      "in a signed part",
      mixed(part("Content-Type: multipart/signed; boundary=c", inner.replaceAll("--b", "--c"))),
    ],
    [
      "in application/pkcs7-mime (RFC 8551)",
      `Content-Type: application/pkcs7-mime\r\n${QP}\r\n\r\n=41`,
    ],
    [
      "in a message that is S/MIME by its name (RFC 8551 §3.9)",
      `Content-Type: application/octet-stream; name=smime.p7m\r\n${QP}\r\n\r\n=41`,
    ],
    [
      "in application/x-pkcs7-mime",
      mixed(part(`Content-Type: application/x-pkcs7-mime\r\n${QP}`, "=41")),
    ],
    ["in a nested message", mixed(part("Content-Type: message/rfc822", `${QP}\r\n\r\n=41`))],
    [
      "in a nested message that says so itself",
      mixed(part(`Content-Type: message/rfc822\r\n${QP}`, "=41")),
    ],
    [
      "in a digest (RFC 2046 §5.1.5)",
      mixed(part("X: y", `${QP}\r\n\r\n=41`)).replace("mixed", "digest"),
    ],
    ["beside another encoding", mixed(part(`${QP}\r\n${B64}`, "=41"))],
    ["with something behind", mixed(part(`${QP}; x`, "=41"))],
    ["with two types", mixed(part(`Content-Type: a/b\r\nContent-Type: c/d\r\n${QP}`, "=41"))],
    ["without a boundary", mixed(part(QP, "=41")).replace('; boundary="b"', "")],
    ["with another boundary", mixed(part(QP, "=41")).replace('"b"', '"other"')],
    ["with two boundaries", mixed(part(QP, "=41")).replace('"b"', '"b"; boundary=c')],
    ["with words behind a delimiter", mixed(part(QP, "=41"), "--b words\r\n")],
    ["in a header with a line that is no field", mixed(part(`${QP}\r\nno field`, "=41"))],
  ];
  for (const [name, message] of KEPT) {
    it(`stays: ${name}`, () => assert.equal(result(message), message));
  }

  for (const encoding of ["quoted-printable", "base64", "8-bit", "x\r\n" + B64]) {
    const field = `Content-Transfer-Encoding: ${encoding}\r\n`;
    it(`becomes base64 in a multipart that must not declare it (RFC 2045 §6.4): ${JSON.stringify(encoding)}`, () => {
      const inner = field + mixed(part(QP, "=41")).replaceAll("--b", "--c").replace('"b"', "c");
      assert.equal(
        result(field + mixed(part(QP, "=41"), `--b\r\n${inner}\r\n`)),
        // The declared encoding means nothing, and stays.
        field + mixed(part(QP, "=41"), `--b\r\n${inner}\r\n`)
          .replaceAll(`--b\r\n${QP}\r\n\r\n=41`, `--b\r\n${B64}\r\n\r\nQQ==`)
          .replaceAll(`--c\r\n${QP}\r\n\r\n=41`, `--c\r\n${B64}\r\n\r\nQQ==`),
      );
    });
  }

  it("becomes base64 in a part that declares it twice, or with a trailing semicolon", () => {
    const twice = (field: string, other: string) => `${field}\r\nX: y\r\n${other}`;
    assert.equal(
      result(
        mixed(
          part(twice(QP, `${QP.toUpperCase()} (x)`), "=41"),
          part(`${QP} (;) ; `, "=42"),
          part(twice(QP, `${QP};`), "=43"),
        ),
      ),
      mixed(
        part(twice(B64, `${QP.toUpperCase().replace(/QUOTED.*/, "base64")} (x)`), "QQ=="),
        part(`${B64} `, "Qg=="),
        part(twice(B64, B64), "Qw=="),
      ),
    );
  });

  it("is decoded the same wherever a very long line is split (rule 5 forbids it)", () => {
    // Longer than the buffered part of a line, so that it is decoded in pieces.
    const head = content(`${MIME}${QP}\r\n\r\n`);
    const before = "x".repeat(70_000);
    for (
      const [encoded, decoded] of [["=41=42", "AB"], ["=\r\n=4", "=4"], ["a \t\r\nb", "a\r\nb"], [
        " =20 y",
        "   y",
      ]]
    ) {
      for (let cut = 0; cut <= encoded!.length; cut++) {
        const body = [before + encoded!.slice(0, cut), encoded!.slice(cut)]
          .flatMap((text) => content(text));
        assert.equal(
          textOf(canonical([...head, ...body], REENCODE)),
          `${MIME}${B64}\r\n\r\n${base64(before + decoded)}\r\n`,
          `${JSON.stringify(encoded)} at ${cut}`,
        );
      }
    }
  });

  it("stays when no conversion was requested", () => {
    const message = mixed(part(QP, "=41"));
    assert.equal(result(message, KEEP), message);
  });

  it("is found below mbox lines, and in a part that is never closed", () => {
    for (const mbox of ["From a@b Mon\r\n", "From a@b Mon\r\n>From b Mon\r\n>From c\r\n"]) {
      assert.equal(
        result(`${mbox}${MIME}${QP}\r\n\r\n=41`),
        `${mbox}${MIME}${B64}\r\n\r\nQQ==\r\n`,
      );
    }
    const open = mixed(part(QP, "=41")).replace(/\r\n--b--[^]*/, "");
    assert.equal(result(open), `${open.replace(QP, B64).slice(0, -3)}QQ==\r\n`);
  });

  it("is found beside boundaries that begin alike", () => {
    const nested = "Content-Type: multipart/alternative; boundary=bb\r\n\r\n--bb\r\n" +
      `${QP}\r\n\r\n=41\r\n--bb--`;
    const message = mixed(`--b\r\n${nested}\r\n`, part(QP, "=42"));
    assert.equal(
      result(message),
      message.replaceAll(QP, B64).replace("=41", "QQ==").replace("=42", "Qg=="),
    );
  });
});

describe("line ends", () => {
  it("become CRLF in text and stay in files (a program that writes LF alone)", () => {
    const message = mixed(
      part("Content-Type: text/plain", "one\r\ntwo"),
      part("Content-Type: application/json", '{\r\n "a": 1\r\n}'),
    ).replaceAll("\r\n", "\n");
    assert.equal(
      result(message),
      mixed(
        part("Content-Type: text/plain", "one\r\ntwo"),
        part(`Content-Type: application/json\r\n${B64}`, base64('{\n "a": 1\n}')),
      ),
    );
  });

  it("stay in a binary part, whose content becomes base64 (RFC 2045 §2.9)", () => {
    const field = "Content-Transfer-Encoding: binary";
    const body = "\x00\r\n\n\r\xff\r";
    assert.equal(
      result(mixed(part(`Content-Type: image/png\r\n${field}`, body))),
      mixed(part(`Content-Type: image/png\r\n${B64}`, base64(body))),
    );
  });

  it("stay in UTF-16, where their octets are halves of characters", () => {
    const body = "a\0\n\0b\0";
    const type = "Content-Type: text/plain; charset=UTF-16LE";
    assert.equal(
      result(mixed(part(`${type}\r\nContent-Transfer-Encoding: 8bit`, body))),
      mixed(part(`${type}\r\n${B64}`, base64(body))),
    );
  });

  it("are repaired in what is signed: signatures are made over CRLF (RFC 1847 §2.1)", () => {
    const message = `Content-Type: multipart/signed; boundary=b\r\n\r\n${part(QP, LONG)}--b--\r\n`;
    assert.equal(result(message.replaceAll("\r\n", "\n")), message);
  });

  it("are repaired when all are CR CR LF", () => {
    const message = mixed(part(QP, "=41=\r\n"), part("Content-Type: text/plain", `a\r\n${LONG}`));
    assert.equal(
      result(message.replaceAll("\r\n", "\r\r\n")),
      mixed(part(B64, "QQ=="), part(`Content-Type: text/plain\r\n${B64}`, base64(`a\r\n${LONG}`))),
    );
  });
});

describe("S/MIME in one part (RFC 8551), whose content is protected itself", () => {
  const types = ["application/pkcs7-mime", "application/octet-stream; name=smime.p7m"];
  for (const type of types) {
    it(`has its base64 split into lines, and its binary content encoded as base64: ${type}`, () => {
      const header = `MIME-Version: 1.0\r\nContent-Type: ${type}\r\n`;
      const characters = Buffer.from(LONG).toString("base64");
      assert.equal(
        result(`${header}${B64}\r\n\r\n${characters}\r\n`),
        `${header}${B64}\r\n\r\n${base64(LONG)}\r\n`,
      );
      assert.equal(
        result(`${header}Content-Transfer-Encoding: binary\r\n\r\n0\0\n`),
        `${header}${B64}\r\n\r\n${base64("0\0\n")}\r\n`,
      );
    });
  }
});

describe("what is not allowed in lines (RFC 5322 §2.1.1, RFC 2045 §2.7)", () => {
  it("becomes base64: text with long lines", () => {
    const text = `a\r\n${LONG}\r\n`;
    assert.equal(
      result(`MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${text}`),
      `MIME-Version: 1.0\r\n${B64}\r\n\r\n${base64(text)}\r\n`,
    );
  });

  it("becomes base64: text with NULs, in a message without MIME", () => {
    assert.equal(
      result("Subject: s\r\n\r\na\0b\n"),
      `Subject: s\r\nMIME-Version: 1.0\r\n${B64}\r\n\r\n${base64("a\0b\r\n")}\r\n`,
    );
  });

  it("becomes base64: a file with long lines", () => {
    assert.equal(
      result(mixed(part("Content-Type: application/json", LONG), part("", "a"))),
      mixed(part(`Content-Type: application/json\r\n${B64}`, base64(LONG)), part("", "a")),
    );
  });

  it("is split into lines: base64 in one line, as some devices write it", () => {
    const characters = Buffer.from(LONG).toString("base64");
    assert.equal(result(mixed(part(B64, characters))), mixed(part(B64, base64(LONG))));
    const junk = mixed(part(B64, `${characters}!`));
    assert.equal(result(junk), junk);
  });

  it("stays in headers, preambles and nested messages", () => {
    const message = mixed(part("Content-Type: message/rfc822", `a: \0${LONG}\r\n\r\n${LONG}\0`))
      .replace("preamble", LONG).replace("Subject: s", `Subject: \0${LONG}`);
    assert.equal(result(message), message);
  });
});

describe("MIME-Version, without which an encoding means nothing (RFC 2045 §4)", () => {
  const html = "Content-Type: text/html; charset=utf-8\r\n";
  const cases: readonly (readonly [name: string, message: string, result: string])[] = [
    [
      "is added where quoted-printable becomes base64",
      "Subject: s\r\n" + html + `${QP}\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n`,
      "Subject: s\r\n" + html + `${B64}\r\n${MIME}\r\n${base64("Gr\xc3\xbc\xc3\x9fe\r\n")}\r\n`,
    ],
    [
      "is added where only a part of the message is encoded anew",
      mixed(part(QP, "=41")).replace(MIME, ""),
      mixed(part(B64, "QQ==")).replace(MIME, "").replace('"b"\r\n', `"b"\r\n${MIME}`),
    ],
    [
      "is added where long lines name an encoding",
      `Subject: s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${LONG}`,
      `Subject: s\r\n${B64}\r\n${MIME}\r\n${base64(LONG)}\r\n`,
    ],
    [
      "takes the place of one that says nothing",
      `mime-version:\r\n ${"\r\n"}${QP}\r\n\r\n=41`,
      `mime-version: 1.0\r\n${B64}\r\n\r\nQQ==\r\n`,
    ],
    [
      "stays as it is, whatever it says",
      `MIME-Version: 1.0 (x)\r\n${QP}\r\n\r\n=41`,
      `MIME-Version: 1.0 (x)\r\n${B64}\r\n\r\nQQ==\r\n`,
    ],
  ];
  for (const [name, message, expected] of cases) {
    it(name, () => assert.equal(result(message), expected));
  }

  it("is not added to a message in which nothing is re-encoded", () => {
    for (
      const message of [`Subject: s\r\n${html}\r\nx`, mixed(part(B64, "QQ==")).replace(MIME, "")]
    ) {
      assert.equal(result(message), message);
      assert.equal(result(message.replaceAll("\r\n", "\n")), message);
    }
  });
});

describe("an encoding that is 7bit or 8bit but for quotes, blanks and hyphens (RFC 2045 §6)", () => {
  const odd = [
    '8bit"',
    '"8bit"',
    "'7bit'",
    "8-bit",
    "8 bit",
    "7-Bit",
    "7 bit;",
    "8bit.",
    "8bits",
    "8bit -",
    "(c) 8-bit (c)",
    "",
    '""',
    " - ",
    "\r\n ",
  ];
  for (const encoding of odd) {
    it(`becomes base64 if lines are long: ${JSON.stringify(encoding)}`, () => {
      const message = (field: string, body: string) =>
        `${MIME}Content-Type: text/html; charset=utf-8\r\n` +
        `Content-Transfer-Encoding:${field}\r\nX: y\r\n\r\n${body}`;
      const text = `<p>${LONG}</p>\r\n`;
      assert.equal(
        result(message(` ${encoding}`, text)),
        message(" base64", `${base64(text)}\r\n`),
      );
      const lines = mixed(part(`Content-Transfer-Encoding: ${encoding}`, LONG));
      assert.equal(result(lines), mixed(part(B64, base64(LONG))));
    });
  }

  it("stays if nothing has to be encoded", () => {
    for (const encoding of odd) {
      const message = `${MIME}Content-Transfer-Encoding: ${encoding}\r\n\r\nText\r\n`;
      assert.equal(result(message), message);
    }
  });

  it("may be quoted-printable or base64 in quotes, and empty beside another", () => {
    for (
      const field of ['"quoted-printable"', "quoted-printable,", "\r\nContent-Transfer-Encoding:"]
    ) {
      const fields = `Content-Transfer-Encoding: ${field}`;
      const both = field.startsWith("\r") ? `${QP}${field}` : fields;
      const expected = field.startsWith("\r") ? `${B64}\r\n${B64}` : B64;
      assert.equal(result(mixed(part(both, "=41"))), mixed(part(expected, "QQ==")));
    }
    const quoted = part(B64.replace("base64", '"base64"'), base64(LONG).replace(/\r\n/g, ""));
    assert.equal(result(mixed(quoted)).includes(base64(LONG)), true);
  });

  it("is ignored if it is unknown", () => {
    for (const encoding of ["x-own", "8bit-mime", "16bit", "bit", "uuencode"]) {
      const message = `${MIME}Content-Transfer-Encoding: ${encoding}\r\n\r\n${LONG}\r\n`;
      assert.equal(result(message), message);
    }
  });
});
