/** Lists of allowed senders (ALLOWED_SENDERS, allowed_senders), and what they contain. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SenderList } from "../../src/accounts/sender_list.ts";

function list(text: string): SenderList {
  return SenderList.parse(text) ?? assert.fail(`no list: ${text}`);
}

describe("a list of senders", () => {
  const senders = list('ann@example.com, "Q R"@example.com ,@example.org,@bücher.example,');

  for (
    const address of [
      "ann@example.com",
      "ANN@Example.COM",
      '"ann"@example.com',
      '"q r"@EXAMPLE.com',
      "anybody@example.org",
      "anybody@Example.ORG",
      "x@bücher.example",
      "x@xn--bcher-kva.example",
      "x@BÜCHER.example",
    ]
  ) {
    it(`has ${address} (RFC 5321 §2.4, RFC 5890 §2.3.2.1)`, () => assert(senders.allows(address)));
  }

  for (
    const address of [
      "",
      "ann",
      "@example.org",
      "bob@example.com",
      "ann@sub.example.com",
      "x@sub.example.org",
      "x@notexample.org",
      "x@example.org.evil.example",
      "ann@example.com ",
      " ann@example.com",
      "ann@example.com,eve@evil.example",
      "eve@evil.example,x@example.org",
      "eve@evil.example <x@example.org>",
      "x@example.org\r\n",
      "x@exa\u00admple.org",
      // Decoded, though it must not be (RFC 2047 §5), the first is `ceo@evil.example> @example.org`.
      "=?utf-8?b?Y2VvQGV2aWwuZXhhbXBsZT4g?=@example.org",
      '"eve@evil.example"@example.org',
      "x@example\u3002org",
      "\u212aate@bücher.example\u200b",
    ]
  ) {
    it(`does not have ${JSON.stringify(address)}`, () => assert(!senders.allows(address)));
  }

  for (
    const text of [
      "",
      ",",
      "example.com",
      "*@example.com",
      "@",
      "@.example",
      "ann@example.com; bob@example.com",
      "Ann <ann@example.com>",
      "ann@example.com bob@example.com",
    ]
  ) {
    it(`is not ${JSON.stringify(text)}`, () => assert.equal(SenderList.parse(text), undefined));
  }
});
