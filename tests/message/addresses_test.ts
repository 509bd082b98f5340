/** When two addresses are the same, and what an address is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { addressKey, isAddress, isNormalized } from "../../src/message/addresses.ts";

const SAME: readonly (readonly [name: string, a: string, b: string])[] = [
  ["in the case of the domain (RFC 5321 §2.4)", "a@EXAMPLE.com", "a@example.COM"],
  ["in the case of the local part, as Exchange takes it", "Ann@x.test", "aNN@x.test"],
  ["in needless quotes (RFC 5321 §4.1.2)", '"ann"@x.test', "ann@x.test"],
  ["in needless escapes", '"a\\nn"@x.test', "ann@x.test"],
  ["in the case inside quotes", '"J Doe"@x.test', '"j doe"@x.test'],
  ["in U-labels and A-labels (RFC 5890)", "a@bücher.test", "a@xn--bcher-kva.test"],
  ["in the case of U-labels", "a@BÜCHER.test", "a@xn--BCHER-KVA.test"],
  ["in the composition of characters", "u\u0308@x.test", "\u00fc@x.test"],
];
const DIFFERENT: readonly (readonly [name: string, a: string, b: string])[] = [
  ["in local part", "a@x.test", "b@x.test"],
  ["in domain", "a@x.test", "a@y.test"],
  ["in a dot", "j.doe@x.test", "jdoe@x.test"],
  ["in a tag", "a+b@x.test", "a@x.test"],
  ["in a space inside quotes", '"j doe"@x.test', '"jdoe"@x.test'],
  ["in an accent", "\u00fc@x.test", "u@x.test"],
  ["in a subdomain", "a@x.test", "a@mail.x.test"],
  ["in a letter that becomes another's when normalized", "\u212aim@x.test", "kim@x.test"],
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

describe("an address", () => {
  const ADDRESSES = [
    "a@x.test",
    "scanner@localhost",
    "scan@printer",
    '"ann b"@x.test',
    "a@[192.0.2.1]",
    "jürgen@bücher.test",
  ];
  const NONE = [
    "",
    "a",
    "postmaster",
    "@x.test",
    "a@",
    "a b@x.test",
    "a@x.test\r\nBcc: z@z.test",
    "a@x.test>, <z@z.test",
    "a@x.test> SIZE=1",
    "<a@x.test>",
    " a@x.test",
    "@r.test:a@x.test",
    "a@x.test.",
    "a..b@x.test",
    "a@x.test\0",
    "\ufffd@x.test",
    `${"a".repeat(65)}@x.test`,
  ];
  for (const text of ADDRESSES) {
    it(`is ${JSON.stringify(text)}`, () => assert(isAddress(text)));
  }
  for (const text of NONE) {
    it(`is not ${JSON.stringify(text)}`, () => assert(!isAddress(text)));
  }
});

describe("an address longer than any may be (RFC 5321 §4.5.3.1)", () => {
  // Marks that NFC would reorder.
  const marks = "\u0345\u0327".repeat(200);
  for (const address of [`a${marks}@x.test`, `a@x${marks}.test`, `"${marks}"@x.test`]) {
    it(`is not an address, and is not normalized: ${address.length} characters`, () => {
      assert.equal(isAddress(address), false);
      assert.equal(isNormalized(address), false);
      assert.equal(addressKey(address), address);
    });
  }

  it("has more than a local part of 64 octets and a domain of 255, which are both allowed", () => {
    const domain = `${"d".repeat(63)}.`.repeat(3) + "d".repeat(63);
    const longest = `${"L".repeat(64)}@${domain}`;
    assert.equal(addressKey(longest), longest.toLowerCase());
    assert.equal(addressKey(`${longest}d`), `${longest}d`);
  });
});
