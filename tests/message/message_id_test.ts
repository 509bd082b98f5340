/** The Message-ID by which a sent message can be asked for. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { messageIdIn } from "../../src/message/message_id.ts";
import { envelope, MESSAGE_ID, OPTIONS, prepareMessage } from "../graph/preparing.ts";
import { content, octets, textOf } from "../support/content.ts";

describe("the Message-ID of a message", () => {
  const CASES: readonly (readonly [field: string, expected: string | undefined])[] = [
    ["Message-ID: <1@x.test>", "<1@x.test>"],
    ["message-id:<1@x.test>  ", "<1@x.test>"],
    ["Message-ID:\r\n <1@x.test>\r\n ", "<1@x.test>"],
    ["Message-ID: not one", "not one"],
    ["Message-ID: \r\nMessage-ID: <2@x.test>", "<2@x.test>"],
    ["Message-ID: <1@x.test>\r\nMessage-ID: <2@x.test>", "<1@x.test>"],
    ["Message-ID: <\xe4@x.test>", undefined],
    ["Message-ID: <a\tb@x.test>", undefined],
    ["Message-ID: <a\x07@x.test>", undefined],
    [`Message-ID: <${"a".repeat(997)}>`, undefined],
    ["X-Message-ID: <1@x.test>", undefined],
    // Line ends of old programs, which are repaired only later.
    ["X-A: a\nMessage-ID: <1@x.test>\nX-B: b", "<1@x.test>"],
    ["Message-ID:\n <1@x.test>\n\nMessage-ID: <2@x.test>", "<1@x.test>"],
    ["X-A: a\n\nMessage-ID: <2@x.test>", undefined],
  ];
  for (const [field, expected] of CASES) {
    it(`is ${expected} in ${JSON.stringify(field.slice(0, 60))}`, () => {
      const message = octets(`From: a@x.test\r\n${field}\r\n\r\nMessage-ID: <body@x.test>\r\n`);
      assert.equal(messageIdIn([message]), expected);
    });
  }

  it("is the one that the message is sent with, its own or the relay's", () => {
    const headers: readonly (readonly [header: string, expected: string])[] = [
      ["", MESSAGE_ID.slice("Message-ID: ".length).trim()],
      ["Message-ID: <1@x.test>\r\n", "<1@x.test>"],
      ["Message-ID:\r\nMessage-ID: <2@x.test>\r\nMessage-ID: <3@x.test>\r\n", "<2@x.test>"],
      ["Message-ID : <4@x.test>\r\n", "<4@x.test>"],
    ];
    for (const [header, expected] of headers) {
      const message = content(`From: me@x.test\r\n${header}To: bea@x.test\r\n\r\nHi\r\n`);
      const sent = prepareMessage(message, envelope(["bea@x.test"]), OPTIONS);
      assert(sent.type === "prepared");
      assert.equal(messageIdIn(sent.content), expected);
      const text = textOf(sent.content);
      assert.equal(text.match(/^Message-ID ?:/gim)?.length, 1, "there is no other");
      assert(text.includes(expected));
    }
  });
});
