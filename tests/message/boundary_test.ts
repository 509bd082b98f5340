/** The boundary of a multipart, in every form (RFC 2046 §5.1.1, RFC 2231 §3). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { canonical } from "../../src/graph/canonical.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { structureExcess } from "../../src/message/structure.ts";
import { content, textOf } from "../support/content.ts";

const QP = "Content-Type: text/html; charset=utf-8\r\n" +
  "Content-Transfer-Encoding: quoted-printable\r\n\r\n" +
  "Gr=C3=BC=C3=9Fe und ein langes=\r\n class Wort=3D1\r\n";
const BASE64 = QP.replace("quoted-printable", "base64").replace(
  /Gr=[^]*/,
  "R3LDvMOfZSB1bmQgZWluIGxhbmdlcyBjbGFzcyBXb3J0PTE=\r\n",
);
const FILE = "Content-Type: application/pdf; name=a.pdf\r\n\r\n" +
  `${"x".repeat(70)}\r\n`.repeat(30);

function message(parameters: string, boundary: string, ...parts: string[]): string {
  return `MIME-Version: 1.0\r\nContent-Type: multipart/mixed${parameters}\r\n\r\n` +
    parts.map((part) => `--${boundary}\r\n${part}`).join("") + `--${boundary}--\r\n`;
}

/** Parameters, and the boundary that they mean if its delimiter lines exist. */
const FORMS: readonly (readonly [parameters: string, boundary: string])[] = [
  [';\r\n boundary*0="abc-";\r\n boundary*1="def"', "abc-def"],
  ['; boundary*1="def"; boundary*0=abc-', "abc-def"],
  ["; boundary*0*=us-ascii'en'a%62c; boundary*1=%41; boundary*2*=%42", "abc%41B"],
  ["; boundary*=''a%3Ab", "a:b"],
  ["; boundary*0=one", "one"],
  ["; boundary*1=one; boundary*2=two", "onetwo"],
  // A piece is missing, or two are the same.
  ["; boundary*0=one; boundary*2=two", "one"],
  ["; boundary*0=one; boundary*2=two", "onetwo"],
  ["; boundary*0=one; boundary*0=no; boundary*1=two", "onetwo"],
  // Next to a plain one: the one whose delimiter lines exist.
  ["; boundary=plain; boundary*0=pie; boundary*1=ces", "plain"],
  ["; boundary=plain; boundary*0=pie; boundary*1=ces", "pieces"],
  ["; boundary*0=pie; boundary*1=ces; boundary=plain", "plain"],
  ["; boundary=plain; boundary*=utf-8''other", "other"],
  ["; boundary=plain; boundary*=utf-8''other", "plain"],
  ["; boundary=abc; boundary*0=abc; boundary*1=-def", "abc-def"],
  ["; boundary=same; boundary*0=sa; boundary*1=me", "same"],
  // Comments and semicolons, or what looks like them.
  ["; boundary=abc(1)", "abc(1)"],
  ["; boundary=abc(1)", "abc"],
  ["; boundary=abc (comment)", "abc"],
  ['; boundary="abc" charset=utf-8', "abc"],
  ["; boundary=abc charset=utf-8", "abc"],
  ['; charset="utf-8" boundary="abc"', "abc"],
  ["; x=(; boundary=abc", "abc"],
  ["; charset=a; charset=b; boundary=abc", "abc"],
];

describe("a boundary", () => {
  for (const [parameters, boundary] of FORMS) {
    it(`is found to be ${boundary}: ${JSON.stringify(parameters)}`, () => {
      const options = { reencodeQuotedPrintable: true };
      assert.equal(
        textOf(canonical(content(message(parameters, boundary, QP)), options)),
        message(parameters, boundary, BASE64),
      );
      const large = message(parameters, boundary, QP, FILE);
      const result = extractAttachments(content(large), large.length - 1000);
      assert(result.type === "extracted");
      assert.deepEqual(result.attachments.map(({ name }) => name), ["a.pdf"]);
      assert.equal(textOf(result.rest), message(parameters, boundary, QP));
      const limits = { depth: 10, parts: 2 };
      assert.equal(structureExcess(content(large), limits), undefined);
      assert.equal(
        structureExcess(content(message(parameters, boundary, QP, FILE, QP)), limits),
        "parts",
      );
    });
  }

  it("is ambiguous if the delimiter lines of two exist", () => {
    const parameters = "; boundary=one; boundary*0=t; boundary*1=wo";
    const both =
      message(parameters, "one", QP).replace(/--one--\r\n$/, "--two\r\n\r\n--two--\r\n") +
      "--one--\r\n";
    const result = canonical(content(both), { reencodeQuotedPrintable: true });
    assert.equal(textOf(result), both);
    for (const parts of [1, 2]) {
      const excess = structureExcess(content(both), { depth: 10, parts });
      assert.equal(excess, parts < 2 ? "parts" : undefined);
    }
  });

  it("is searched in few forms, however many are given", () => {
    const parameters = Array.from({ length: 150 }, (_, i) => `; boundary=b${i}; boundary*${i}=c`);
    const text = message(parameters.join(""), "never", ...Array<string>(20_000).fill("x\r\n"));
    const before = performance.now();
    canonical(content(`${text}${QP}`), { reencodeQuotedPrintable: true });
    structureExcess(content(text), { depth: 10, parts: 10 });
    assert.ok(performance.now() - before < 2000);
  });
});

describe("many long boundaries", () => {
  /** Milliseconds for a multipart whose parts each have so many boundaries that contain this. */
  function timeFor(filling: string): number {
    const type = Array.from({ length: 60 }, (_, i) => `;\r\n boundary="${i}${filling}z"`).join("");
    const parts = `--b\r\nContent-Type: multipart/mixed${type}\r\n\r\n`.repeat(20);
    const octets = content(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n${parts}--b--\r\n`,
    );
    const limits = { depth: 100, parts: 1000 };
    let best = Infinity;
    for (let i = 0; i < 3; i++) {
      const begun = performance.now();
      assert.equal(structureExcess(octets, limits), undefined);
      best = Math.min(best, performance.now() - begun);
    }
    return best;
  }

  it("take no longer to read with white space in the middle (CWE-1333)", () => {
    const plain = timeFor("x".repeat(980));
    const white = timeFor(" ".repeat(980));
    assert(white < 8 * plain + 50, `${white} ms, and ${plain} ms without white space`);
  });
});
