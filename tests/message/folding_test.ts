/** Where lines of a header are folded so that none has over 998 octets (RFC 5322 §2.1.1, §2.2.3). */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { addressParser } from "postal-mime";
import { refolded } from "../../src/message/folding.ts";
import { decodedWords } from "../../src/message/encoded_words.ts";
import { content, textOf } from "../support/content.ts";
import { DATE, MESSAGE_ID, prepared, RECEIVED } from "../graph/preparing.ts";

const FROM = "From: me@x.test\r\n";

/** The header as Graph gets it, after the Received field. One character per octet. */
function header(fields: string, recipients: readonly string[] = ["a@x.test"]): string {
  const text = textOf(
    prepared(content(`${FROM}${DATE}${MESSAGE_ID}${fields}\r\nhi\r\n`), recipients),
  );
  assert(text.startsWith(RECEIVED));
  return text.slice(RECEIVED.length, text.indexOf("\r\n\r\n") + 2);
}

function field(fields: string, name: string): string {
  return new RegExp(`^${name}:(?:.*\r\n)(?:[ \t].*\r\n)*`, "m").exec(fields)![0];
}

/** All of a field, with its folding undone (§2.2.3). */
function unfolded(text: string): string {
  return text.replace(/\r\n(?=[ \t])/g, "").trimEnd();
}

function assertLines(text: string): void {
  for (const line of text.split("\r\n")) assert.ok(line.length <= 998, `${line.length}`);
  for (const line of text.replace(/\r\n$/, "").split("\r\n")) assert.notEqual(line.trim(), "");
}

const numbered = (count: number, make: (i: string) => string) =>
  Array.from({ length: count }, (_, i) => make(String(i).padStart(3, "0")));

describe("a list of addresses without white space", () => {
  const recipients = numbered(60, (i) => `recipient${i}@example.org`);

  it("is folded after commas, and names the same recipients", () => {
    const result = header(`To: ${recipients.join(",")}\r\nSubject: field\r\n`, recipients);
    assertLines(result);
    const to = field(result, "To");
    assert.match(
      to,
      /^(?:To:)?(?: recipient\d+@example\.org,?(?:recipient\d+@example\.org,?)*\r\n){2}$/,
    );
    assert.deepEqual(
      addressParser(unfolded(to).slice(3)).map(({ address }) => address),
      recipients,
    );
    // No recipient was missing.
    assert.doesNotMatch(result, /^Bcc/m);
  });

  const names: readonly (readonly [what: string, make: (i: string) => string, between: string])[] =
    [
      ["quoted names with commas", (i) => `"Doe,${i},;<x>"<r${i}@x.test>`, ","],
      ["names without quotes", (i) => `Name${i}<r${i}@x.test>`, ","],
      ["encoded words", (i) => `=?utf-8?Q?Doe=2C_J=C3=B6_${i}?=<r${i}@x.test>`, ","],
      ["comments", (i) => `r${i}@x.test(a,b;${i})`, ","],
      ["angle brackets", (i) => `<r${i}@x.test>`, ","],
      ["semicolons", (i) => `r${i}@x.test`, ";"],
      ["raw octets", (i) => `\xc3\xbc${i}<r${i}@x.test>`, ","],
    ];
  for (const [what, make, between] of names) {
    for (const name of ["To", "Cc", "Bcc", "Reply-To", "Resent-To", "CC"]) {
      it(`is folded: ${what}, in ${name}`, () => {
        const list = numbered(90, make);
        const addresses = numbered(90, (i) => `r${i}@x.test`);
        const result = header(`${name}: ${list.join(between)}\r\n`, addresses);
        assertLines(result);
        const body = unfolded(field(result, name)).slice(name.length + 1);
        // Reply-To is not rewritten: there a semicolon stays.
        const expected = list.join(name.startsWith("Re") ? between : ",");
        assert.equal(body.replace(/([,;>]) /g, "$1").replace(/ </g, "<").trim(), expected);
      });
    }
  }

  it("is folded again when words of names are removed", () => {
    const list = numbered(90, (i) => `=?utf-8?Q?Doe,;_${i}?=<r${i}@x.test>`).join(",");
    assertLines(header(`To: ${list}\r\n`, numbered(90, (i) => `r${i}@x.test`)));
  });

  it("is folded when names get quotes, also in the kept part", () => {
    const list = numbered(70, (i) => `Jo [${i}]<r${i}@x.test>`).join(",");
    const others = `${list},${numbered(30, (i) => `other${i}@x.test`).join(",")}`;
    const result = header(`To: ${others}\r\n`, numbered(70, (i) => `r${i}@x.test`));
    assertLines(result);
    assert.match(result, /^X-Original-To:/m);
  });

  it("is not folded within an address, a comment or an unterminated item", () => {
    for (
      const body of [
        `a<@a.test,@b.test,${"@c.test,".repeat(200)}:d@x.test>`,
        `(${"a,".repeat(800)})d@x.test`,
        `"${"a,".repeat(800)}`,
        `a@[${"a,".repeat(800)}]`,
      ]
    ) {
      const text = refolded(Buffer.from(`X-Original-To:${body}`)).toString();
      assert.equal(text.replace("a\r\n <", "a<"), `X-Original-To:${body}`);
    }
  });
});

describe("other fields without white space", () => {
  it("are folded between the ids of References and In-Reply-To (RFC 5322 §3.6.4)", () => {
    for (const name of ["References", "In-Reply-To"]) {
      for (const between of ["", ","]) {
        const ids = numbered(50, (i) => `<${"x".repeat(40)},;${i}@x.test>`).join(between);
        const result = header(`${name}: ${ids}\r\n`);
        assertLines(result);
        const body = unfolded(field(result, name)).slice(name.length + 2);
        assert.equal(body.replaceAll(" ", ""), ids);
        assert.match(body, /^<[^<>]*>(?:,? ?<[^<>]*>)*$/);
      }
    }
  });

  it("are folded between encoded words, where white space does not count (RFC 2047 §6.2)", () => {
    const words = numbered(
      60,
      (i) => `=?utf-8?B?${Buffer.from(`Grüße ${i}!`).toString("base64")}?=`,
    );
    for (const name of ["Subject", "X-Unknown"]) {
      const result = header(`${name}: ${words.join("")}\r\n`);
      assertLines(result);
      const body = field(result, name).slice(name.length + 1);
      assert.equal(body.replace(/\s/g, ""), words.join(""));
      assert.equal(
        decodedWords(unfolded(body).trim()),
        numbered(60, (i) => `Grüße ${i}!`).join(""),
      );
    }
  });

  const long = "Ünïcödé, 漢字; <a@b> ".repeat(90).trim();
  const utf8 = Buffer.from(long);
  const latin = "Größe ".repeat(300).trim();
  const tooLong: readonly (readonly [what: string, word: string, text: string])[] = [
    ["base64", `=?utf-8?B?${utf8.toString("base64")}?=`, long],
    [
      "Q",
      `=?UTF-8?q?${
        [...utf8].map((octet) => `=${octet.toString(16).toUpperCase().padStart(2, "0")}`).join("")
      }?=`,
      long,
    ],
    [
      "another charset",
      `=?iso-8859-1?B?${Buffer.from(latin, "latin1").toString("base64")}?=`,
      latin,
    ],
    [
      "a charset that nobody knows",
      `=?x-own?B?${Buffer.from("a".repeat(2000)).toString("base64")}?=`,
      "a".repeat(2000),
    ],
    [
      "Shift_JIS",
      `=?shift_jis?B?${
        Buffer.from("\x97\\\x92\xe8\x95\\".repeat(300), "latin1").toString("base64")
      }?=`,
      "予定表".repeat(300),
    ],
  ];
  for (const [what, word, text] of tooLong) {
    it(`have one encoded word of over 998 octets made several (RFC 2047 §2): ${what}`, () => {
      for (const name of ["Subject", "Comments", "X-Unknown"]) {
        const result = header(`${name}: ${word} end\r\n`);
        assertLines(result);
        assert.equal(
          decodedWords(unfolded(field(result, name).slice(name.length + 2))),
          `${text} end`,
        );
      }
      const to = header(`To: a@x.test,${word}<b@x.test>\r\n`, ["a@x.test", "b@x.test"]);
      assertLines(to);
      assert.doesNotMatch(to, /^Bcc/m);
    });
  }

  it("are folded between parameters", () => {
    const parameters = numbered(60, (i) => `x${i}="a;b,${i}c${"y".repeat(10)}"`).join(";");
    const result = header(`MIME-Version: 1.0\r\nContent-Type: text/plain;${parameters}\r\n`);
    assertLines(result);
    assert.equal(
      unfolded(field(result, "Content-Type")).replaceAll(" ", ""),
      `Content-Type:text/plain;${parameters}`,
    );
  });

  it("are folded between the URLs of a mailing list (RFC 2369)", () => {
    const urls = numbered(40, (i) => `<https://x.test/a,b?${i}${"z".repeat(20)}>`).join(",");
    const result = header(`List-Unsubscribe: ${urls}\r\n`);
    assertLines(result);
    assert.equal(
      unfolded(field(result, "List-Unsubscribe")).replace(/> ?,? ?</g, ">,<"),
      `List-Unsubscribe: ${urls}`,
    );
  });

  it("become encoded words if they are text for people", () => {
    for (const text of ["漢字".repeat(400), "x".repeat(1500), `short ${"y".repeat(1200)} end`]) {
      const result = header(`Subject: ${Buffer.from(text).toString("latin1")}\r\n`);
      assertLines(result);
      assert.equal(decodedWords(unfolded(field(result, "Subject").slice(9))), text);
    }
  });

  it("stay unchanged if there is no point to fold at", () => {
    assert.match(header(`X-Long: ${"x".repeat(1500)}\r\n`), /^X-Long:\r\n x{1500}\r\n$/m);
    assert.match(header(`X-Long:${"x,".repeat(750)}\r\n`), /^X-Long:(?:x,){750}\r\n$/m);
  });
});

describe("any field", () => {
  it("has the same octets after folding, except for insignificant white space", () => {
    const piece = fc.oneof(
      fc.constantFrom(",", ";", "<", ">", '"', "(", ")", "[", "]", "\\", " ", "\t", "\r\n ", "=?"),
      fc.constantFrom("=?utf-8?Q?a,b?=", "<a@b>", "a@b", "x".repeat(300), "y".repeat(900), "\xff"),
    );
    const name = fc.constantFrom("To", "References", "Subject", "X", "Content-Type", "List-Post");
    fc.assert(fc.property(name, fc.array(piece, { maxLength: 60 }), (name, pieces) => {
      const text = `${name}: ${pieces.join("")}`;
      const result = refolded(Buffer.from(text, "latin1")).toString("latin1");
      const bare = (folded: string) => folded.replace(/\s/g, "");
      // A Subject may become encoded words.
      if (name !== "Subject") assert.equal(bare(result), bare(text));
      if (name !== "Subject" && !/[,;<>?]/.test(text)) {
        assert.equal(result.replaceAll("\r\n", ""), text.replaceAll("\r\n", ""));
      }
      for (const line of result.split("\r\n").slice(1)) assert.match(line, /^[ \t]/);
      assert.equal(refolded(Buffer.from(result, "latin1")).toString("latin1"), result);
    }));
  });

  it("is folded in linear time, however long", () => {
    for (
      const piece of ["a@x.test,", '"', "(", "=?utf-8?B?a?=", "=?", "<", " ", "x ", "\\", "x\r\n "]
    ) {
      const body = piece.repeat(Math.ceil(250_000 / piece.length));
      for (const name of ["To", "Subject", "References"]) {
        const before = performance.now();
        refolded(Buffer.from(`${name}: ${body}${"x".repeat(1000)}`));
        assert.ok(performance.now() - before < 2000, `${name}: ${piece}`);
      }
    }
  });
});
