/** The mailboxes of an address field (RFC 5322 §3.4), and which of them all readers read alike. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { type Item, parseAddressList } from "../../src/message/address_list.ts";
import { octets } from "../support/content.ts";

/**
 * The items as text: addresses with their display names; `~` before those that are not certain, `^`
 * before those whose brackets are, but not their names.
 */
function read(body: string): string[] {
  const buffer = Buffer.from(body, "utf8");
  const show = (item: Item): string[] => {
    switch (item.type) {
      case "empty":
        return [];
      case "unknown":
        return [`?${item.candidate ?? ""}`];
      case "group":
        return [
          `${buffer.toString("utf8", item.start, item.membersStart).trim()}`,
          ...item.members.flatMap(show),
          buffer.toString("utf8", item.membersEnd, item.end).trim(),
        ];
      case "mailbox": {
        const { unambiguous, address, phrase } = item;
        const name = phrase && buffer.toString("utf8", phrase.start, phrase.end) + " ";
        return [`${unambiguous === "angle" ? "^" : unambiguous ? "" : "~"}${name ?? ""}${address}`];
      }
    }
  };
  return parseAddressList(buffer).items.flatMap(show);
}

const FIELDS: readonly (readonly [name: string, body: string, items: readonly string[]])[] = [
  ["a bare address", " ann@example.com", ["ann@example.com"]],
  ["several", "a@x.test, b@x.test,c@x.test", ["a@x.test", "b@x.test", "c@x.test"]],
  ["angle brackets alone", "< a@x.test >", ["a@x.test"]],
  ["a display name (§3.4)", "Ann Example <a@x.test>", ["Ann Example a@x.test"]],
  ["a quoted display name with signs in it", '"Ex, A. <b@x.test>; :" <a@x.test>', [
    '"Ex, A. <b@x.test>; :" a@x.test',
  ]],
  ["a quoted display name with quotes in it", '"A \\"Q\\"" <a@x.test>', ['"A \\"Q\\"" a@x.test']],
  ["a quoted display name with quotes and an address in it", '"\\" <b@x>" <a@x.test>', [
    "?a@x.test",
  ]],
  ["a display name that is another's address", "b@x.test <a@x.test>", [
    "^b@x.test  a@x.test",
  ]],
  ["a display name with brackets or signs", "J [Ext] <a@x.test>, J @ Work <b@x.test>", [
    "^J [Ext]  a@x.test",
    "^ J @ Work  b@x.test",
  ]],
  ["brackets behind the address", "<a@x.test> [Ext]", ["?a@x.test"]],
  ["a bare domain literal with a colon, a group to some", "b@[IPv6:::1], <b@[IPv6:::1]>", [
    "?b@[IPv6:::1]",
    "b@[IPv6:::1]",
  ]],
  ["an escaped semicolon in a group's quotes", 'T: "x\\; y" <a@x.test>;', ["?"]],
  ["characters that are not seen", "a@x\u200b.test, a@x\u00ad.test, <a@x\ufe0f.test>", [
    "~a@x\u200b.test",
    "~a@x\u00ad.test",
    "~a@x\ufe0f.test",
  ]],
  ["characters that become others in a domain (UTS #46)", "a@x\u3002test, a@\uff58.test", [
    "~a@x\u3002test",
    "~a@\uff58.test",
  ]],
  ["a display name that is the address", "A@x.test <a@x.test>", ["a@x.test"]],
  ["a display name as an encoded word (RFC 2047)", "=?utf-8?q?M=2C?= <a@x.test>", [
    "=?utf-8?q?M=2C?= a@x.test",
  ]],
  ["a display name that is not ASCII (RFC 6532)", "Jürgen <j@x.test>", ["Jürgen j@x.test"]],
  ["folding", "A\r\n <a@x.test>,\r\n\tb@x.test", ["A a@x.test", "b@x.test"]],
  ["comments (§3.2.2)", "a@x.test (Ann), (of y.test) c@x.test", ["a@x.test", "c@x.test"]],
  ["an address in a comment beside a bare address", "a@x.test (x, b@y.test)", ["~a@x.test"]],
  ["comments amid a display name", "Ann (the first) B <a@x.test>", ["Ann (the first) B a@x.test"]],
  ["comments that nest, before a bracket", "(one (two)) <a@x.test> (x)", ["a@x.test"]],
  ["comments that nest, beside a bare address", "a@x.test (one (two))", ["~a@x.test"]],
  ["comments that nest, with an address", "(one (two) b@x.test) <a@x.test>", ["?a@x.test"]],
  ["comments with escaped parentheses", "(\\) b@x.test, \\() a@x.test", ["?a@x.test"]],
  ["comments inside an address", "a(c)@(d)x.test", ["?"]],
  ["a comment in angle brackets", "<a@x.test (one, two)>", ["?a@x.test"]],
  ["a comment alone", "(a@x.test)", ["?"]],
  ["a group (§3.4)", "Team: a@x.test, B <b@x.test>; , c@x.test", [
    "Team:",
    "a@x.test",
    "B b@x.test",
    ";",
    "c@x.test",
  ]],
  ["an empty group", "undisclosed-recipients:;", ["undisclosed-recipients:", ";"]],
  ["a group with a quoted name", '"T: x, y": a@x.test;', ['"T: x, y":', "a@x.test", ";"]],
  ["a group that does not end", "a@x.test, Team: b@x.test", ["a@x.test", "?"]],
  ["quoted local parts, kept quoted", '"john doe"@x.test', ['"john doe"@x.test']],
  ["quoted local parts in angle brackets", 'J <"j. d e"@x.test>', ['J "j. d e"@x.test']],
  ["quoted local parts with signs", '"a:b"@x.test, "a,b"@x.test', [
    '?"a:b"@x.test',
    '?"a,b"@x.test',
  ]],
  ["source routes (§4.4)", "<@r1.test,@r2.test:a@x.test>", ["?"]],
  ["white space around @ (§4.4)", "a @ x . test", ["?"]],
  ["address literals (§3.4.1)", "a@[192.0.2.1], <b@[IPv6:2001:db8::1]>", [
    "a@[192.0.2.1]",
    "b@[IPv6:2001:db8::1]",
  ]],
  ["semicolons between, as Outlook shows them", "a@x.test; b@x.test;", ["a@x.test", "b@x.test"]],
  ["empty places in the list (§4.4)", ", a@x.test,, ,b@x.test,", ["a@x.test", "b@x.test"]],
  ["addresses that are not ASCII (RFC 6532)", "ü@bücher.test", ["ü@bücher.test"]],
  ["nothing", "", []],
  ["white space", " \r\n ", []],
  ["words that are no address", "postmaster, Ann <ann>, @x.test, a@", ["?", "?", "?", "?"]],
  ["empty brackets", "a@x.test <>", ["?a@x.test"]],
  ["a bracket that does not end", "A <a@x.test", ["?a@x.test"]],
  ["two addresses without a comma", "a@x.test b@x.test, <a@x.test> <b@x.test>", [
    "?a@x.test",
    "?a@x.test",
  ]],
  ["a quoted address after the brackets", '<a@x.test> "b"@x.test', ["?a@x.test"]],
  ["a colon after the brackets, which begins no group", "A <a@x.test>: b@x.test;", ["?a@x.test"]],
  ["a comment that does not end", "a@x.test (b@x.test, c@x.test", ["?a@x.test"]],
  ["a quote that does not end", 'a@x.test, "b@x.test, c@x.test', ["a@x.test", "?"]],
  ["a control character", "a@x.test, b@x\x01, c@x.test", ["a@x.test", "?b@x"]],
];

describe("the items of an address field (RFC 5322 §3.4)", () => {
  for (const [name, body, items] of FIELDS) {
    it(`are read with ${name}`, () => assert.deepEqual(read(body), items));
  }

  it("are unknown if a backslash may be half of a character in another charset", () => {
    // In Shift JIS \x81\x5c is a dash, and the quoted string ends before the bracket.
    const types = (body: string) => parseAddressList(Buffer.from(octets(body))).items.map(type);
    const type = (item: Item) => item.type;
    assert.deepEqual(types('"\x81\\" \x81\\"" <a@x.test>'), ["unknown"]);
    assert.deepEqual(types('"\xc3\xbc\\" \xc3\xbc" <a@x.test>'), ["mailbox"]);
    assert.deepEqual(types('"\x81" <a@x.test>'), ["mailbox"]);
  });

  it("are ambiguous if octets are not UTF-8: they may mean another address", () => {
    const { items } = parseAddressList(Buffer.from(octets("\xf6@x.test, J [x] <\xf6@x.test>")));
    assert.deepEqual(items.map((item) => item.type === "mailbox" && item.unambiguous), [
      false,
      false,
    ]);
  });

  it("are regular if only commas separate them", () => {
    const regular = (body: string) => parseAddressList(Buffer.from(body)).regular;
    assert(regular("a@x.test, T: b@x.test; , <c@x.test>"));
    assert(!regular("a@x.test; b@x.test"));
    assert(!regular("T:; a@x.test"));
  });

  it("follow each other in any octets, with only separators in between", () => {
    const piece = fc.oneof(
      fc.constantFrom(...'@<>()"\\,;: []\0\t', "\r\n ", "a", "x.y", "a@x", "T:", "\xff"),
      fc.string({ unit: "binary-ascii", maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const body = Buffer.from(octets(pieces.join("")));
        const check = (items: readonly Item[], start: number, end: number, separators: RegExp) => {
          let position = start;
          for (const item of items) {
            assert.match(body.toString("latin1", position, item.start), separators);
            assert(item.start >= position && item.end >= item.start);
            if (item.type === "group") {
              check(item.members, item.membersStart, item.membersEnd, /^,?$/);
            }
            if (item.type === "mailbox") {
              const text = body.toString("utf8", item.start, item.end);
              assert(text.includes(item.address));
              assert.match(item.address, /^[^@]+@[^@]+$/);
            }
            position = item.end;
          }
          assert.match(body.toString("latin1", position, end), separators);
        };
        check(parseAddressList(body).items, 0, body.length, /^[,;]?$/);
      }),
      { numRuns: 3000 },
    );
  });
});
