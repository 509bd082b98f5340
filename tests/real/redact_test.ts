// What a report must not show.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redactor } from "./redact.ts";

describe("the report's redaction", () => {
  const settings = {
    tenant: "11111111-2222-4333-8444-555555555555",
    app: { clientId: "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", secret: "the.(secret)" },
    mailboxes: {
      sender: "a@x.test",
      second: "b@x.test",
      outside: "c@x.test",
      external: "d@y.test",
    },
  };
  for (
    const [text, shown] of [
      ["from A@X.test to d@y.test", "from SENDER to EXTERNAL"],
      ["x.test, someone@x.test", "DOMAIN, SOMEBODY"],
      ["tenant 11111111-2222-4333-8444-555555555555", "tenant TENANT"],
      ["request 99999999-2222-4333-8444-555555555555", "request UUID"],
      ["password the.(secret)!", "password SECRET!"],
      ["Bearer eyJhbGciOiJub25lIn0.eyJhIjoxfQ.c2ln", "Bearer TOKEN"],
      ["https://h.example/u?authtoken=abc.def&x=1", "https://h.example/u?authtoken=SECRET&x=1"],
      ["/messages/AAMkAGI2TG93AAAabcdefgh_-w==", "/messages/ID"],
      [
        "535 5.7.3 no [AM0PR01CA0001.eurprd01.prod.exchangelabs.com 2026]",
        "535 5.7.3 no [SERVER 2026]",
      ],
      ["contoso.mail.onmicrosoft.com, a@contoso.onmicrosoft.com", "DOMAIN, SOMEBODY"],
      ["client 203.0.113.7, not 5.7.60", "client ADDRESS, not 5.7.60"],
    ] as const
  ) {
    it(`makes "${shown}"`, () => assert.equal(redactor(settings)(text), shown));
  }
});
