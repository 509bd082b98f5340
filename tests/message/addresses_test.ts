/** Which mailboxes an address field names (RFC 5322 §3.4), and when two are the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { addressesIn, addressKey } from "../../src/message/addresses.ts";

const FIELDS: readonly (readonly [name: string, body: string, addresses: readonly string[]])[] = [
  ["a bare address", " ann@example.com", ["ann@example.com"]],
  ["several", "a@x.test, b@x.test,c@x.test", ["a@x.test", "b@x.test", "c@x.test"]],
  ["angle brackets alone", "<a@x.test>", ["a@x.test"]],
  ["a display name (§3.4)", "Ann Example <a@x.test>", ["a@x.test"]],
  ["a quoted display name with signs in it", '"Ex, A. <b@x.test>; :" <a@x.test>', ["a@x.test"]],
  ["a quoted display name with quotes in it", '"A \\"Q\\" <b@x>" <a@x.test>', ["a@x.test"]],
  ["a display name that is an address", "b@x.test <a@x.test>", ["a@x.test"]],
  ["a display name as an encoded word (RFC 2047)", "=?utf-8?q?M=2C?= <a@x.test>", ["a@x.test"]],
  ["a display name that is not ASCII (RFC 6532)", "Jürgen <j@x.test>", ["j@x.test"]],
  ["folding", "A\r\n <a@x.test>,\r\n\tb@x.test", ["a@x.test", "b@x.test"]],
  ["comments (§3.2.2)", "a@x.test (Ann), (b@y.test) c@x.test", ["a@x.test", "c@x.test"]],
  ["comments that nest", "(one (two) b@x.test) a@x.test (x)", ["a@x.test"]],
  ["comments with escaped parentheses", "(\\) b@x.test, \\() a@x.test", ["a@x.test"]],
  ["comments inside an address", "a(c)@(d)x.test <a@(b@y)x.test>", ["a@x.test"]],
  ["a comment with a comma in angle brackets", "<a@x.test (one, two)>", ["a@x.test"]],
  ["a group (§3.4)", "Team: a@x.test, B <b@x.test>; , c@x.test", [
    "a@x.test",
    "b@x.test",
    "c@x.test",
  ]],
  ["an empty group", "undisclosed-recipients:;", []],
  ["a group with a quoted name", '"T: x, y": a@x.test;', ["a@x.test"]],
  ["quoted local parts, kept quoted", '"john doe"@x.test', ['"john doe"@x.test']],
  ["quoted local parts in angle brackets", 'J <"j. d, e"@x.test>', ['"j. d, e"@x.test']],
  ["quoted local parts with @, > and :", '<"a@b>c:d"@x.test>', ['"a@b>c:d"@x.test']],
  ["quoted local parts with :, bare", '"a:b"@x.test', ['"a:b"@x.test']],
  ["quoted local parts with escapes", '"a\\"b\\\\"@x.test', ['"a\\"b\\\\"@x.test']],
  ["source routes (§4.4), passed over", "<@r1.test,@r2.test:a@x.test>", ["a@x.test"]],
  ["white space around @ (§4.4)", "a @ x . test", ["a@x.test"]],
  ["address literals (§3.4.1)", "a@[192.0.2.1], <b@[IPv6:2001:db8::1]>", [
    "a@[192.0.2.1]",
    "b@[IPv6:2001:db8::1]",
  ]],
  ["a bare IPv6 address literal", "a@[IPv6:2001:db8::1]", ["a@[IPv6:2001:db8::1]"]],
  ["semicolons between, as Outlook shows them", "a@x.test; b@x.test;", ["a@x.test", "b@x.test"]],
  ["empty places in the list (§4.4)", ", a@x.test,, ,b@x.test,", ["a@x.test", "b@x.test"]],
  ["addresses that are not ASCII (RFC 6532)", "ü@bücher.test", ["ü@bücher.test"]],
  ["nothing", "", []],
  ["white space", " \r\n ", []],
  ["words that are no address", "postmaster, Ann <ann>, @x.test, a@", []],
  ["empty brackets", "a@x.test <>", []],
  ["a bracket that does not end", "A <a@x.test", ["a@x.test"]],
  ["a comment that does not end", "a@x.test (b@x.test, c@x.test", ["a@x.test"]],
  ["a quote that does not end", 'a@x.test, "b@x.test, c@x.test', ["a@x.test"]],
];

describe("the addresses of a field (RFC 5322 §3.4)", () => {
  for (const [name, body, addresses] of FIELDS) {
    it(`are found with ${name}`, () => assert.deepEqual(addressesIn(body), addresses));
  }

  it("are found in long lists in no time", () => {
    const list = Array.from({ length: 20_000 }, (_, i) => `"N, ${i}" <a${i}@x.test>`);
    assert.equal(addressesIn(list.join(",\r\n ")).length, 20_000);
  });

  it("cost no time where they are malformed on purpose", () => {
    for (const piece of ["(", "<", '"', "<(", "@", ":", "a@", " ", "\\", "<@", '<"', "[", "a@["]) {
      const begun = performance.now();
      addressesIn(piece.repeat(100_000));
      assert(performance.now() - begun < 3000, piece);
    }
  });

  it("are looked for without a throw in any text, and have a local part and a domain", () => {
    const piece = fc.oneof(
      fc.constantFrom("@", "<", ">", "(", ")", '"', "\\", ",", ";", ":", " ", "[", "]", "a", "x.y"),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      for (const address of addressesIn(pieces.join(""))) {
        assert(address.lastIndexOf("@") > 0);
        assert(address.lastIndexOf("@") < address.length - 1);
        addressKey(address);
      }
    }));
  });
});

const SAME: readonly (readonly [name: string, a: string, b: string])[] = [
  ["in the case of the domain (RFC 5321 §2.4)", "a@EXAMPLE.com", "a@example.COM"],
  ["in the case of the local part, as Exchange takes it", "Ann@x.test", "aNN@x.test"],
  ["in needless quotes (RFC 5321 §4.1.2)", '"ann"@x.test', "ann@x.test"],
  ["in needless escapes", '"a\\nn"@x.test', "ann@x.test"],
  ["in the case inside quotes", '"J Doe"@x.test', '"j doe"@x.test'],
  ["in U-labels and A-labels (RFC 5890)", "a@bücher.test", "a@xn--bcher-kva.test"],
  ["in the case of U-labels", "a@BÜCHER.test", "a@xn--BCHER-KVA.test"],
  ["in the composition of characters", "u\u0308@x.test", "\u00fc@x.test"],
  ["in the dot at the domain's end", "a@x.test.", "a@x.test"],
];
const DIFFERENT: readonly (readonly [name: string, a: string, b: string])[] = [
  ["in local part", "a@x.test", "b@x.test"],
  ["in domain", "a@x.test", "a@y.test"],
  ["in a dot", "j.doe@x.test", "jdoe@x.test"],
  ["in a tag", "a+b@x.test", "a@x.test"],
  ["in a space inside quotes", '"j doe"@x.test', '"jdoe"@x.test'],
  ["in an accent", "\u00fc@x.test", "u@x.test"],
  ["in a subdomain", "a@x.test", "a@mail.x.test"],
];

describe("two addresses", () => {
  for (const [name, a, b] of SAME) {
    it(`are the same when they differ only ${name}`, () => {
      assert.equal(addressKey(a), addressKey(b));
    });
  }
  for (const [name, a, b] of DIFFERENT) {
    it(`are not the same when they differ ${name}`, () => {
      assert.notEqual(addressKey(a), addressKey(b));
    });
  }
});
