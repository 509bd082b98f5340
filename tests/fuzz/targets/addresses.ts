// Addresses, wherever they are read: paths of MAIL and RCPT, address fields, lists of senders.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { type Item, parseAddressList } from "../../../src/message/address_list.ts";
import {
  addressKey,
  isAddress,
  isAmbiguous,
  isNormalized,
} from "../../../src/message/addresses.ts";
import { SenderList } from "../../../src/accounts/sender_list.ts";
import { readRecipient, readSender } from "../../../src/smtp/envelope.ts";
import { parsePathArgument } from "../../../src/smtp/path.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { assertWellFormed } from "../../smtp/driver.ts";
import { Input, type Target } from "../engine/target.ts";

// deno-lint-ignore no-control-regex
const CONTROL = /[\x00-\x1f\x7f]/;
const MOST = 1_000_000;

const WORDS = [
  ...'FROM:|TO:|<|>|@|,|:|;|.|(|)|[|]|\\|"| |\t|\r\n |=?utf-8?q?z=40z?=|\0|\x7f|\xff'.split("|"),
  ...'a@x.test|Bea <bea@y.test>|"a b"@x.test|<@h1,@h2:a@x.test>|a@[192.0.2.1]|@x.test'.split("|"),
  ..." SIZE=10| SIZE=9999999| BODY=8BITMIME| SMTPUTF8| AUTH=<>| X=1|T: a@x.test;|postmaster".split(
    "|",
  ),
  ..."\xc3\xbc|\xe2\x80\x8b|\xe2\x80\xae|\xe2\x84\xaa|\xef\xbf\xbd|xn--bcher-kva.test|\xc3\x9f"
    .split("|"),
  "x".repeat(64),
  "y".repeat(200) + ".",
];

/** A path, and what MAIL and RCPT make of it. */
function judgePath(octets: Buffer): void {
  const argument = octets.toString("latin1");
  const sender = readSender(`FROM:${argument}`, MOST);
  const recipient = readRecipient(`TO:${argument}`, true);
  if ("code" in sender) {
    assertWellFormed(formatReply(sender));
  } else {
    assert.ok(sender.size >= 0 && sender.size <= MOST);
    if (sender.from !== "") judgeAddress(sender.from);
  }
  if (typeof recipient !== "string") assertWellFormed(formatReply(recipient));
  else if (recipient.includes("@")) judgeAddress(recipient);
  else assert.match(recipient, /^postmaster$/i);
}

function judgeAddress(address: string): void {
  assert.doesNotMatch(address, CONTROL);
  assert.ok(Buffer.byteLength(address) <= 254, "RFC 5321 §4.5.3.1.3");
  const again = parsePathArgument(`<${address}>`);
  assert.ok(typeof again !== "string" && again.mailbox !== undefined, address);
  assert.equal(again.mailbox.address, address);
  const key = addressKey(address);
  assert.doesNotMatch(key, CONTROL);
  if (isAddress(address) && isNormalized(address)) {
    const list = SenderList.parse(address.includes(",") ? "a@x.test" : address);
    if (!isAmbiguous(address) && !address.startsWith("*@") && !address.includes(",")) {
      assert.ok(list?.allows(address), `${address} is in its own list`);
    }
  }
}

function judgeItems(items: readonly Item[], from: number, end: number, octets: Buffer): void {
  let at = from;
  for (const item of items) {
    assert.ok(item.start >= at && item.end >= item.start && item.end <= end, "items in order");
    // Between two items stand separators alone.
    assert.match(octets.toString("latin1", at, item.start), /^[,;\s]*$/);
    at = item.end;
    if (item.type === "group") {
      assert.ok(item.start <= item.membersStart && item.membersEnd <= item.end);
      judgeItems(item.members, item.membersStart, item.membersEnd, octets);
    } else if (item.type === "mailbox") {
      assert.equal(item.address.split("@").length, 2);
      if (item.phrase !== undefined) {
        assert.ok(item.phrase.start >= item.start && item.phrase.end <= item.end);
      }
    }
  }
}

export const addresses: Target = {
  name: "addresses",
  run(octets) {
    const input = new Input(octets);
    const kind = input.below(3);
    const text = input.rest();
    if (kind === 0) return judgePath(text);
    if (kind === 1) return judgeItems(parseAddressList(text).items, 0, text.length, text);
    const list = SenderList.parse(text.toString("utf8"));
    for (const part of text.toString("utf8").split(",")) {
      const entry = part.trim();
      if (entry === "") continue;
      if (list !== undefined && !entry.startsWith("@") && !isAmbiguous(entry)) {
        assert.ok(list.allows(entry), `${entry} is in its own list`);
      }
      if (isAddress(entry)) judgeAddress(entry);
    }
  },
  seeds: [
    "\x00<ann@x.test> SIZE=100 BODY=8BITMIME",
    '\x00<"a\\"b c"@\xc3\xbc.test> SMTPUTF8',
    "\x00 a@[IPv6:2001:db8::1]",
    "\x00<@a,@b:c@d.test>",
    "\x00<Postmaster>",
    '\x01 Ann <a@x.test>, "B, C" <b@x.test> (c (d)), T: e@x.test, f@x.test;',
    "\x01 =?utf-8?q?x?= <a@x.test>,,;b",
    "\x02ann@example.com, @example.org",
  ],
  words: WORDS,
};
