/** Untrusted responses of logins with a token: parsed exactly, and without a throw. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import { readOauthbearer, readXoauth2 } from "../../src/smtp/sasl_bearer.ts";

const READERS = { XOAUTH2: readXoauth2, OAUTHBEARER: readOauthbearer };

/** Nearly right responses: pieces of right ones in any order. */
const nearly = fc.array(
  fc.constantFrom(
    ..."n,|y,|p=x,|a=|user=|ann|=2C|=|,|\x01|\x01\x01|auth=|Bearer |bearer|a.b.c|host=|port=587|\0"
      .split("|"),
    "\xff",
  ),
  { maxLength: 14 },
).map((pieces) => Buffer.from(pieces.join(""), "latin1"));
const octets = fc.oneof(nearly, fc.uint8Array({ maxLength: 300 }).map((it) => Buffer.from(it)));

for (const [name, read] of Object.entries(READERS)) {
  describe(`a response to AUTH ${name}`, () => {
    it("of any octets is parsed or refused, without a throw; a parsed one has a token's form", () => {
      fc.assert(
        fc.property(octets, (response) => {
          const found = read(response);
          if (found === undefined) return;
          assert.equal(found.mechanism, name);
          // RFC 6750 §2.1: the token ends up in a header field of a request to Graph.
          assert.match(found.token.reveal(), /^[A-Za-z0-9._~+/-]+=*$/);
          assert.ok(!found.username.includes("\x01"));
        }),
        { numRuns: 3000 },
      );
    });

    it("shows no token in any form that could be logged", () => {
      const response = name === "XOAUTH2"
        ? "user=ann\x01auth=Bearer a.secret.b\x01\x01"
        : "n,a=ann,\x01auth=Bearer a.secret.b\x01\x01";
      const found = read(Buffer.from(response));
      assert.equal(found?.username, "ann");
      assert.ok(!JSON.stringify(found).includes("secret"));
      assert.ok(!String(found?.token).includes("secret"));
    });
  });
}

describe("the fields of OAUTHBEARER (RFC 7628 §3.1)", () => {
  const READ: readonly [what: string, response: string, username: string | undefined][] = [
    [
      "the RFC's own example",
      "n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01",
      "user@example.com",
    ],
    ["no name", "n,,\x01auth=Bearer a\x01\x01", ""],
    ["auth in front", "n,a=u,\x01auth=Bearer a\x01host=h\x01\x01", "u"],
    ["an empty value", "n,a=u,\x01host=\x01auth=Bearer a\x01\x01", "u"],
    ["an unknown key", "n,a=u,\x01nonsense=1=2\x01auth=Bearer a\x01\x01", "u"],
    ["an empty name", "n,a=,\x01auth=Bearer a\x01\x01", undefined],
    ["a comma in the name", "n,a=u,v,\x01auth=Bearer a\x01\x01", undefined],
    ["no comma after the name", "n,a=u\x01auth=Bearer a\x01\x01", undefined],
    ["the flag for mechanisms of others", "F,n,a=u,\x01auth=Bearer a\x01\x01", undefined],
    ["an empty token", "n,a=u,\x01auth=Bearer \x01\x01", undefined],
    ["a token with a line end", "n,a=u,\x01auth=Bearer a\r\nX: y\x01\x01", undefined],
    ["a pair without a name", "n,a=u,\x01=x\x01auth=Bearer a\x01\x01", undefined],
    ["something after its end", "n,a=u,\x01auth=Bearer a\x01\x01x", undefined],
  ];
  for (const [what, response, username] of READ) {
    it(`${username === undefined ? "refuse" : "allow"} ${what}`, () => {
      assert.equal(readOauthbearer(Buffer.from(response))?.username, username);
    });
  }
});
