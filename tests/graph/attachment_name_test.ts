/**
 * The name of a separately uploaded attachment (RFC 2183 §2.3), whatever a program has written
 * there: RFC 2231, RFC 2047 where it must not stand, raw octets of any charset, paths, or nothing.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { content } from "../support/content.ts";

const BODY = `${"QUJD".repeat(19)}\r\n`.repeat(20);

/** The name with which a part is extracted. One character per octet. */
function nameOf(fields: string, text = "Content-Type: text/plain\r\n"): string {
  const message = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=abc\r\n\r\n" +
    `--abc\r\n${text}\r\nhi\r\n` +
    `--abc\r\n${fields}\r\nContent-Transfer-Encoding: base64\r\n\r\n${BODY}\r\n--abc--\r\n`;
  const result = extractAttachments(content(message), message.length - 100);
  assert(result.type === "extracted");
  assert.equal(result.attachments.length, 1);
  return result.attachments[0]!.name;
}

/** The name of a part whose disposition has these parameters. */
function named(parameters: string, type = "application/pdf"): string {
  return nameOf(
    `Content-Type: ${type}\r\nContent-Disposition: attachment; ${parameters}`,
  );
}

type Case = readonly [parameters: string, name: string];

function check(cases: readonly Case[], type?: string): void {
  for (const [parameters, name] of cases) {
    it(JSON.stringify(parameters).slice(0, 120), () => assert.equal(named(parameters, type), name));
  }
}

/** Octets of a text in some charset, as they stand in base64, cut into words at these octets. */
function words(charset: string, base64: string, ...cuts: number[]): string {
  const octets = Buffer.from(base64, "base64");
  return [0, ...cuts].map((cut, i) => {
    const piece = octets.subarray(cut, cuts[i] ?? octets.length);
    return `=?${charset}?B?${piece.toString("base64")}?=`;
  }).join(" ");
}

const YOTEI = "l1yS6JVcLnBkZg==";
const MENU = "5Y+X5L+h44Oh44O844Or5LqI5a6a6KGoLnBkZg==";

describe("a name in encoded words that are cut within a character (RFC 2047 §5)", () => {
  check([
    [
      'filename="=?utf-8?B?5Y+X5L+h4w==?= =?utf-8?B?g6Hjg7zjg6vkuojlrprooagucGRm?="',
      "受信メール予定表.pdf",
    ],
    [`filename="${words("utf-8", MENU, 1, 2, 8, 20)}"`, "受信メール予定表.pdf"],
    [`filename="${words("Shift_JIS", YOTEI, 1, 4)}"`, "予定表.pdf"],
    [`filename="${words("big5", "s1ylXLtcLmRvYw==", 1, 3)}"`, "許功蓋.doc"],
    [`filename="${words("gb2312", "saix7cnovMYueGxzeA==", 3)}"`, "报表设计.xlsx"],
    [`filename="${words("iso-2022-jp", "GyRCPHU/LiVhITwlaxsoQi5wZGY=", 6)}"`, "受信メール.pdf"],
    ['filename="=?utf-8?Q?Gr=C3?= =?UTF-8?Q?=B6=C3?=\r\n =?utf8?Q?=9Fe.pdf?="', "Größe.pdf"],
    // Labels of one charset, with and without a language (RFC 2231 §5).
    ['filename="=?cp932*ja?B?l1yS?= =?x-sjis?B?6JVcLnBkZg==?="', "予定表.pdf"],
    // The base64 of the whole, cut at any point.
    ['filename="=?utf-8?B?5Y+X5L+?= =?utf-8?B?h44Oh44O844OrLnBkZg==?="', "受信メール.pdf"],
  ]);
});

describe("a name in encoded words that are whole", () => {
  check([
    // Each is valid text on its own, but not together.
    ['filename="=?utf-8?Q?a=C3?= =?utf-8?Q?=C3=A4.pdf?="', "aÃä.pdf"],
    ['filename="=?iso-8859-1?Q?Gr=F6?= =?utf-8?Q?=C3=9Fe.pdf?="', "Größe.pdf"],
    ['filename="=?utf-8?Q?Pr=C3=BCf?= 2026 =?utf-8?Q?=C3=A4?=.pdf"', "Prüf 2026 ä.pdf"],
    ['filename="=?utf-8?Q?Pr=C3=BCf?==?utf-8?Q?ung.pdf?="', "Prüfung.pdf"],
    ["filename==?utf-8?Q?Pr=C3=BCfung.pdf?=", "Prüfung.pdf"],
    ['filename="=?utf-8?Q?Pr=C3=BCf Bericht.pdf?="', "Prüf Bericht.pdf"],
    ['filename="=?x-nowhere?Q?Pr=C3=BCfung.pdf?="', "Prüfung.pdf"],
    ['filename="=?us-ascii?Q?Pr=C3=BCfung.pdf?="', "Prüfung.pdf"],
    ['filename="=?unknown-8bit?Q?Pr=FCfung.pdf?="', "Prüfung.pdf"],
    ['filename="100 =? 5?.pdf"', "100 =? 5?.pdf"],
  ]);
});

describe("a name in a charset by another label (RFC 2978)", () => {
  const labels: readonly (readonly [base64: string, name: string, labels: string])[] = [
    [
      YOTEI,
      "予定表.pdf",
      "cp932 CP932 ms932 windows-31j csWindows31J x-sjis sjis shift-jis x-ms-cp932 ibm943 ms_kanji",
    ],
    [
      "saix7cnovMYueGxzeA==",
      "报表设计.xlsx",
      "cp936 ms936 gbk gb2312 GB_2312-80 euc-cn gb18030 x-gbk",
    ],
    [
      "uriw7bytlO4uaHdw",
      "보고서뷁.hwp",
      "cp949 ms949 uhc windows-949 ks_c_5601-1987 ksc5601 euc-kr",
    ],
    [
      "s1ylXLtcLmRvYw==",
      "許功蓋.doc",
      "cp950 ms950 big5 BIG-5 x-x-big5 big5-hkscs cn-big5 windows-950",
    ],
    [
      "GyRCPHU/LiVhITwlaxsoQi5wZGY=",
      "受信メール.pdf",
      "iso-2022-jp csISO2022JP cp50221 iso-2022-jp-ms",
    ],
    ["vPW/ri5wZGY=", "受信.pdf", "euc-jp x-euc-jp eucjp cp51932 ujis"],
    ["GyQpQw46ODBtDy50eHQ=", "보고.txt", "iso-2022-kr csISO2022KR"],
    ["fnsxKDFtfn0udHh0", "报表.txt", "hz-gb-2312 HZ"],
    ["R3IrQVBZQTN3LWUucGRm", "Größe.pdf", "utf-7 unicode-1-1-utf-7"],
    ["z9Teo9QuZG9jeA==", "отчёт.docx", "koi8-r KOI8R cskoi8r koi8-ru"],
    ["juLn8eIucGRm", "Отчёт.pdf", "cp866 ibm866 866"],
    ["o/NkvC5wZGY=", "Łódź.pdf", "iso-8859-2 iso8859-2 latin2 ISO_8859-2"],
    ["6YAucGRm", "é€.pdf", "cp1252 windows-1252 win-1252 x-cp1252 iso-8859-1 latin1 ansi"],
    ["R3KU4WUucGRm", "Größe.pdf", "cp850 ibm850 IBM437"],
    ["R3LDtsOfZS5wZGY=", "Größe.pdf", "cp65001 utf8 UTF_8 utf8mb4"],
    ["/v8A/C5wZGY=", "ü⹰摦", "utf-16"],
  ];
  for (const [base64, name, known] of labels) {
    it(`${name}: ${known}`, () => {
      for (const label of known.split(" ")) {
        assert.equal(named(`filename="=?${label}?B?${base64}?="`), name, label);
        const octets = Buffer.from(base64, "base64");
        const percent = [...octets].map((octet) => `%${octet.toString(16).padStart(2, "0")}`);
        assert.equal(named(`filename*=${label}''${percent.join("")}`), name, `${label} (RFC 2231)`);
      }
    });
  }
});

describe("a name in raw octets", () => {
  const sjis = "\x94\x84\x8f\xe3\x95\\.csv";

  it("is in the part's charset, in which 0x5C may be half a character and not a path", () => {
    const fields = `Content-Type: text/csv; charset=shift_jis; name="${sjis}"\r\n` +
      `Content-Disposition: attachment; filename="${sjis}"`;
    assert.equal(nameOf(fields), "売上表.csv");
  });

  it("is in the text's charset if the part has none", () => {
    const fields = `Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=`;
    const text = (charset: string) => `Content-Type: text/plain; charset=${charset}\r\n`;
    assert.equal(nameOf(`${fields}"${sjis}"`, text("cp932")), "売上表.csv");
    assert.equal(nameOf(`${fields}\xcf\xd4\xde\xa3\xd4.docx`, text('"KOI8-R"')), "отчёт.docx");
    assert.equal(nameOf(`${fields}"\xb3\\\xa5\\\xbb\\.doc"`, text("big5")), "許功蓋.doc");
    assert.equal(nameOf(`${fields}"\xba\xb8\xb0\xed.hwp"`, text("ks_c_5601-1987")), "보고.hwp");
  });

  it("is in the part's charset before the text's, unless the part's is unknown", () => {
    const fields = (charset: string) =>
      `Content-Type: text/csv; charset=${charset}; name="\x97\\\x92\xe8.csv"`;
    const text = "Content-Type: text/html; charset=shift_jis\r\n";
    assert.equal(nameOf(fields("gbk"), text), "梊掕.csv");
    assert.equal(nameOf(fields("us-ascii"), text), "予定.csv");
    assert.equal(nameOf(fields("utf-8"), text), "予定.csv");
    assert.equal(nameOf(fields("x-nobody"), text), "予定.csv");
  });

  it("is UTF-8 if it is valid UTF-8, whatever the part's charset is", () => {
    const fields = 'Content-Type: text/csv; charset=iso-8859-1; name="Pr\xc3\xbcfung.csv"';
    assert.equal(nameOf(fields), "Prüfung.csv");
  });

  it("may end in half a character that looks like an escape (RFC 822 §3.3)", () => {
    const fields = (name: string) =>
      `Content-Type: text/csv; charset=shift_jis; name="${name}"; x="y"\r\n`;
    assert.equal(nameOf(`${fields("\x94\xad\x95\\")}X: y`), "発表");
    assert.equal(nameOf(`${fields('Gr\xc3\xb6\xc3\x9fe \\"2\\"')}X: y`), 'Größe "2"');
  });

  it("is windows-1252 by default, and keeps all its octets", () => {
    assert.equal(named('filename="Pr\xfcfung.pdf"'), "Prüfung.pdf");
    assert.equal(
      named('filename="\x94\x84\x8f\xe3\x95\\.csv"'),
      "”„\x8fã•_.csv".replace("\x8f", ""),
    );
  });

  it("may be ISO 2022, which is ASCII by its octets", () => {
    assert.equal(named('filename="\x1b$B<u?.%a!<%k\x1b(B.pdf"'), "受信メール.pdf");
    assert.equal(named('filename="\x1b$)C\x0e:80m\x0f.txt"'), "보고.txt");
  });
});

describe("a name with a parenthesis: a comment follows white space (RFC 822 §3.1.4)", () => {
  check([
    ["filename=Rechnung(2).pdf", "Rechnung(2).pdf"],
    ["filename=Rechnung (2).pdf", "Rechnung (2).pdf"],
    ["filename=Rechnung (2;3) neu.pdf; size=3", "Rechnung (2;3) neu.pdf"],
    ["filename=(2).pdf", "(2).pdf"],
    ["filename=(2) Rechnung.pdf", "(2) Rechnung.pdf"],
    ["filename=Rechnung(2", "Rechnung(2"],
    ["filename=a(b; size=3", "a(b"],
    ["filename=a (b.pdf; size=3", "a (b.pdf"],
    ["filename=a).pdf", "a).pdf"],
    ["filename=scan.pdf (from the copier; really)", "scan.pdf"],
    ["filename=scan.pdf (a) (b (c)); size=3", "scan.pdf"],
    ['filename="scan(1).pdf" (c)', "scan(1).pdf"],
    ["(c) filename (c) = (c) scan.pdf", "scan.pdf"],
    ["size=1 (filename=no.pdf;); filename=yes.pdf", "yes.pdf"],
  ]);
});

describe("a name whose syntax is not quite that of RFC 2045 §5.1", () => {
  check([
    ["filename=my scan 1.pdf", "my scan 1.pdf"],
    ["filename = scan.pdf ; size = 3", "scan.pdf"],
    ["FileName=scan.pdf", "scan.pdf"],
    ['filename="a;b.pdf"', "a;b.pdf"],
    ['filename="a\\"b\\\\c.pdf"', 'a"b_c.pdf'],
    ['filename="Angebot "Neu".pdf"; size=3', 'Angebot "Neu".pdf'],
    ['filename="scan.pdf" size=3', "scan.pdf"],
    ['size=3; ; filename="scan.pdf";', "scan.pdf"],
    ['filename="scan.pdf', "scan.pdf"],
    ['filename=5"-Diskette.pdf; size=3', '5"-Diskette.pdf'],
    ['filename="a\r\n\tb.pdf"', "a b.pdf"],
    ["filename='scan.pdf'", "'scan.pdf'"],
  ]);
});

describe("a name in pieces, or percent-encoded (RFC 2231)", () => {
  check([
    ["filename*=utf-8'de'Pr%C3%BCfung.pdf", "Prüfung.pdf"],
    ["filename*=\"utf-8''Pr%C3%BCfung.pdf\"", "Prüfung.pdf"],
    ["filename*=UTF-8'Pr%C3%BCfung.pdf", "Prüfung.pdf"],
    ["filename*=O'Neill's%20scan.pdf", "O'Neill's scan.pdf"],
    ["filename*=scan%20one.pdf", "scan one.pdf"],
    ["filename*=''Pr%FCfung.pdf", "Prüfung.pdf"],
    ["filename*=x-nobody''Pr%C3%BCfung.pdf", "Prüfung.pdf"],
    ['filename*="=?utf-8?Q?Pr=C3=BCfung.pdf?="', "Prüfung.pdf"],
    // Without the asterisk that says so.
    ["filename=utf-8''Pr%C3%BCfung.pdf", "Prüfung.pdf"],
    ["filename=100%25.pdf", "100%25.pdf"],
    // Encoded and plain, out of order, a character split over two pieces.
    ["filename*1=\"b%20;\"; filename*2*=%E4.pdf; filename*0*=iso-8859-1''%FC", "üb%20;ä.pdf"],
    ["filename*0*=utf-8''Pr%C3; filename*1*=%BCfung.pdf", "Prüfung.pdf"],
    ["filename*0=Pr; filename*1*=%C3%BC; filename*2=fung.pdf", "Prüfung.pdf"],
    ['filename*0="=?utf-8?B?UHLD"; filename*1="vGZ1bmcucGRm?="', "Prüfung.pdf"],
    ["filename*0=utf-8''Pr%C3%; filename*1=BCfung.pdf", "Prüfung.pdf"],
    [
      "filename*10=k; filename*2=c; filename*0=a; filename*1=b; filename*3=d; filename*4=e;" +
      "filename*5=f; filename*6=g; filename*7=h; filename*8=i; filename*9=j",
      "abcdefghijk",
    ],
    ["filename*1=a; filename*2=b.pdf", "ab.pdf"],
    ["filename*00=a; filename*01=b.pdf", "ab.pdf"],
    // One is missing: the rest is used, unless another name is complete.
    ["filename*0=Rech; filename*2=.pdf", "Rech.pdf"],
    ["filename*0=Rech; filename*2=.pdf; filename=Rechnung.pdf", "Rechnung.pdf"],
    ["filename*0=a; filename*0=b; filename*1=.pdf", "a.pdf"],
    ["filename=plain.pdf; filename*=utf-8''better.pdf", "better.pdf"],
    ["filename*=; filename*0=; filename=plain.pdf", "plain.pdf"],
  ]);
});

describe("a name with a path, or what looks like one", () => {
  check([
    ['filename="Report-Apr/2026.pdf"', "Report-Apr_2026.pdf"],
    ['filename="04/05/2026.pdf"', "04_05_2026.pdf"],
    ['filename="AC\\DC.pdf"', "AC_DC.pdf"],
    ['filename="input/output"', "input_output"],
    ["filename=scans/", "scans_"],
    ['filename="/tmp/scan.pdf"', "scan.pdf"],
    ['filename="../../etc/passwd"', "passwd"],
    ['filename="./scan.pdf"', "scan.pdf"],
    ['filename="..\\scan.pdf"', "scan.pdf"],
    ['filename="C:\\scans\\new\\scan.pdf"', "scan.pdf"],
    ['filename="C:\\\\scans\\\\scan.pdf"', "scan.pdf"],
    ['filename="c:/scans/scan.pdf"', "scan.pdf"],
    ['filename="\\\\server\\share\\scan.pdf"', "scan.pdf"],
    ['filename="file:///tmp/scan.pdf"', "scan.pdf"],
    ["filename*=utf-8''%2e%2e%2Fscan.pdf", "scan.pdf"],
    ['filename="a/../../scan.pdf"', "a_.._.._scan.pdf"],
  ]);
});

describe("a name that names no file gives way to the next one", () => {
  const empty = [
    'filename=""',
    "filename=",
    'filename=" "',
    "filename",
    'filename="."',
    'filename=".."',
    'filename="..."',
    'filename="/"',
    'filename="C:\\"',
    'filename="/tmp/"',
    "filename*=utf-8''",
    "filename*=utf-8''%00%0d",
    'filename="=?utf-8?B??="',
    'filename="\xe2\x80\x8b"',
  ];
  for (const parameter of empty) {
    it(JSON.stringify(parameter), () => {
      assert.equal(named(parameter, 'application/pdf; name="scan.pdf"'), "scan.pdf");
      assert.equal(named(parameter), "attachment-1.pdf");
      assert.equal(named(`${parameter}; filename*0=a; filename*1=b.pdf`), "ab.pdf");
    });
  }

  it("unless it is a Windows device and there is no other name", () => {
    for (const name of ["CON", "nul.pdf", "Aux.tar.gz", "COM1.pdf", "lpt9", "con .pdf"]) {
      assert.equal(named(`filename="${name}"`, "application/pdf; name=scan.pdf"), "scan.pdf");
      assert.equal(named(`filename="${name}"`), `_${name}`);
    }
    for (const name of ["console.pdf", "com10.pdf", "null.pdf"]) {
      assert.equal(named(`filename="${name}"`, "application/pdf; name=scan.pdf"), name);
    }
  });
});

describe("any name at all", () => {
  it("becomes a file name: never empty, without path and controls, at most 255 characters", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "filename",
        "filename*",
        "filename*0",
        "filename*1*",
        "=",
        ";",
        '"',
        "\\",
        "(",
      ),
      fc.constantFrom(")", "=?utf-8?B?", "?=", "'", "%", "/", "..", "C:", " ", "\r\n ", "=?gbk?q?"),
      fc.string({ unit: "binary", maxLength: 5 }).map((text) =>
        Buffer.from(text, "utf8").toString("latin1").replace(/[\r\n]/g, "")
      ),
    );
    fc.assert(fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const name = named(`filename=${pieces.join("")}`);
      assert.ok(name !== "" && name.length <= 255 && name.isWellFormed());
      assert.doesNotMatch(name, /[/\\\p{Cc}]|^\.*$/u);
    }));
  });

  it("is read in linear time, however long", () => {
    const long = 500_000;
    for (
      const text of [
        '"' + '" '.repeat(long),
        "( ".repeat(long),
        " (a)".repeat(long),
        "\\".repeat(long),
        `"${'\\"'.repeat(long)}`,
        "=?".repeat(long),
        "=?utf-8?B?a?= ".repeat(long / 10),
        `"${" ".repeat(long)}x`,
        "a ".repeat(long),
        ";".repeat(long),
        "%41".repeat(long),
        `x; filename*0=${"'".repeat(long)}`,
      ]
    ) {
      const before = performance.now();
      named(`filename=${text}`);
      assert.ok(performance.now() - before < 3000, text.slice(0, 20));
    }
  });
});
