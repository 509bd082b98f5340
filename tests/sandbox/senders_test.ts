/** Which From fields the simulated Graph refuses, as Exchange does (RFC 5322 §3.2.5). */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { GraphClient } from "./graph_client.ts";

const TAKEN: readonly string[] = [
  "a@x.test",
  "<a@x.test>",
  "Ann <a@x.test>",
  '"a@x.test" <a@x.test>',
  '"\\"a@x.test" <a@x.test>',
  "Ann (a@x.test) <a@x.test>",
  "a@x.test, Bea <b@x.test>",
  "Ann <a@x.test>, Bea <b@x.test>",
  "=?utf-8?q?a=40x=2Etest?= <a@x.test>",
];

const DENIED: readonly string[] = [
  "a@x.test <a@x.test>",
  "A@X.test\r\n\t<a@x.test>",
  "Ann @ Work <a@x.test>",
  '"Ann" a@x.test <a@x.test>',
  "a@x.test (Ann) <a@x.test>",
  "b@x.test, a@x.test <a@x.test>",
];

describe("the simulated Graph", () => {
  for (const from of TAKEN) {
    it(`accepts a message from ${JSON.stringify(from)}`, async () => {
      const client = new GraphClient();
      const message = `From: ${from}\r\nTo: b@x.test\r\n\r\nText\r\n`;
      assert.equal((await client.mime("sendMail", message)).line, "202");
      assert.equal((await client.send(await client.draft(message))).line, "202");
    });
  }

  for (const from of DENIED) {
    it(`refuses as ErrorSendAsDenied a message from ${JSON.stringify(from)}`, async () => {
      const client = new GraphClient();
      const message = `To: b@x.test\r\nFROM: ${from}\r\n\r\nText\r\n`;
      for (
        const response of [
          await client.mime("sendMail", message),
          await client.send(await client.draft(message)),
        ]
      ) assert.equal(response.line, "403 ErrorSendAsDenied");
      assert.deepEqual(client.delivered, []);
    });
  }

  it("does not look for one in other fields, nor in the text", async () => {
    const message = "From: a@x.test\r\nTo: b@x.test <b@x.test>\r\n\r\nFrom: a@x <a@x>\r\n";
    assert.equal((await new GraphClient().mime("sendMail", message)).line, "202");
  });
});
