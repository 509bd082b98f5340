/** The recipients of a message, as the simulated Graph reads its header (RFC 5322 §3.4, §3.6.3). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GraphClient } from "./graph_client.ts";

const CASES: readonly [what: string, header: string, recipients: readonly string[]][] = [
  ["one address", "To: a@x.test", ["a@x.test"]],
  ["all three fields", "Bcc: c@x.test\r\nCc: b@x.test\r\nTo: a@x.test", [
    "c@x.test",
    "b@x.test",
    "a@x.test",
  ]],
  ["several fields of one name", "To: a@x.test\r\nTo: b@x.test", ["a@x.test", "b@x.test"]],
  ["an address twice, in other letters", "To: a@x.test\r\nCc: A@X.test", ["a@x.test"]],
  ["names, commas in them, comments", `To: "Doe, J" <a@x.test> (me), b@x.test`, [
    "a@x.test",
    "b@x.test",
  ]],
  ["groups, empty ones too", "To: Team: a@x.test, b@x.test;\r\nCc: nobody:;", [
    "a@x.test",
    "b@x.test",
  ]],
  ["folded lines", "To: a@x.test,\r\n\tb@x.test,\r\n c@x.test", [
    "a@x.test",
    "b@x.test",
    "c@x.test",
  ]],
  ["names in any case", "TO: a@x.test\r\nbCC: b@x.test", ["a@x.test", "b@x.test"]],
  ["an encoded name with an address in it", "To: =?utf-8?q?b=40x=2Etest=2C?= <a@x.test>", [
    "a@x.test",
  ]],
  ["an address in a quoted name", `To: "b@x.test" <a@x.test>`, ["a@x.test"]],
  ["other fields left alone", "From: f@x.test\r\nReply-To: r@x.test\r\nTo: a@x.test", ["a@x.test"]],
  ["an address beyond ASCII", "To: Jörg <jörg@bücher.test>", ["jörg@bücher.test"]],
  ["the body left alone", "To: a@x.test\r\n\r\nBcc: b@x.test", ["a@x.test"]],
  [
    "parts left alone",
    "To: a@x.test\r\nContent-Type: message/rfc822\r\n\r\nTo: b@x.test\r\n\r\nHi",
    ["a@x.test"],
  ],
];

const INVALID: readonly [what: string, header: string][] = [
  ["no address in any field", "Subject: x"],
  ["nothing but an empty group", "To: undisclosed-recipients:;"],
  ["a name without an address", "To: a@x.test, Bob"],
  ["an address without a domain", "To: a@x.test\r\nCc: <bob@>"],
  ["an address without a local part", "To: a@x.test\r\nCc: <@x.test>"],
  ["no header at all", "\r\nTo: a@x.test"],
  ["an address that is none in Bcc", "To: a@x.test\r\nBcc: <bob>"],
];

describe("the recipients that the simulated Graph computes", () => {
  for (const [what, header, recipients] of CASES) {
    it(`are read from ${what}`, async () => {
      const client = new GraphClient();
      const message = `${header}\r\n\r\nText\r\n`;
      // As UTF-8, which the helper takes octet by octet.
      const octets = String.fromCharCode(...new TextEncoder().encode(message));
      assert.equal((await client.mime("sendMail", octets)).line, "202");
      assert.deepEqual(client.delivered[0]!.recipients, recipients);
      await client.send(await client.draft(octets));
      assert.deepEqual(client.delivered[1]!.recipients, recipients);
    });
  }

  for (const [what, header] of INVALID) {
    it(`are refused: ${what}`, async () => {
      const client = new GraphClient();
      const message = `${header}\r\n\r\nText\r\n`;
      for (
        const response of [
          await client.mime("sendMail", message),
          await client.send(await client.draft(message)),
        ]
      ) assert.equal(response.line, "400 ErrorInvalidRecipients");
      assert.deepEqual(client.delivered, []);
    });
  }
});
