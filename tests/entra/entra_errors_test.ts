/** What Entra's answers mean for a login: every row of the table, and answers outside of it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import {
  AADSTS,
  type EntraRefusal,
  readEntraError,
  refusalFor,
  unreachable,
} from "../../src/entra/entra_errors.ts";
import { formatReply } from "../../src/smtp/reply.ts";

/** The page https://learn.microsoft.com/entra/identity-platform/reference-error-codes, in short. */
const EXPECTED: Readonly<Record<535 | 454, readonly number[]>> = {
  535: [
    7000215, // wrong secret
    7000222, // expired secret
    7000218, // no secret
    700016, // application not in the tenant
    700011,
    70001, // application disabled
    7000112,
    90002, // no such tenant
    900023, // tenant id malformed
    70011, // bad scope
    500011, // resource not in the tenant
    700027, // an assertion's certificate
    700021, // assertion of another app, for another service, at another time
    700023,
    700024,
    70021, // no federated credential
    700211,
    700212,
    700213,
    7002137, // the same, with more words
    7002138,
    53003, // Conditional Access
    530032,
  ],
  454: [
    50033, // passing faults
    50196, // token loop
    90006,
    90012,
    90024,
    90033,
    90055, // tenant throttled
    90090,
  ],
};

function expectReply(refusal: EntraRefusal, code: 535 | 454): string {
  const line = formatReply(refusal.reply);
  assert(line.startsWith(code === 535 ? "535 5.7.8 " : "454 4.7.0 "), line);
  assert.equal(refusal.type, code === 535 ? "refused" : "later");
  // RFC 2034 §4: the class of the enhanced code is the reply's first digit.
  assert.equal(refusal.reply.enhanced?.[0], String(refusal.reply.code)[0]);
  assert(line.length <= 512 && /^[\x20-\x7e]+\r\n$/.test(line), line);
  return line;
}

describe("an AADSTS number", () => {
  it("has one meaning, and each one that has a meaning is tested here", () => {
    const known = Object.keys(AADSTS).map(Number).sort();
    assert.deepEqual(known, [...EXPECTED[535], ...EXPECTED[454]].map(Number).sort());
  });

  for (const code of [535, 454] as const) {
    for (const number of EXPECTED[code]) {
      it(`${number} is answered with ${code}, and quoted (RFC 4954 §6)`, () => {
        const body = { error: "invalid_request", error_codes: [number] };
        const refusal = refusalFor(readEntraError(400, body));
        assert.equal(refusal.code, `AADSTS${number}`);
        assert(expectReply(refusal, code).includes(`AADSTS${number}: ${AADSTS[number]!.text}`));
        assert.equal(refusal.detail, AADSTS[number]!.text);
      });
    }
  }
});

const PLAIN:
  readonly (readonly [what: string, status: number, body: unknown, 535 | 454, code: string])[] = [
    [
      "an unknown number",
      400,
      { error: "invalid_client", error_codes: [12345] },
      535,
      "AADSTS12345",
    ],
    ["no number", 401, { error: "invalid_client" }, 535, "invalid_client"],
    [
      "a known number behind an unknown one",
      400,
      { error: "x", error_codes: [1, 7000215] },
      535,
      "AADSTS7000215",
    ],
    [
      "a passing number behind an unknown one",
      400,
      { error: "x", error_codes: [1, 90033] },
      454,
      "AADSTS90033",
    ],
    [
      "temporarily_unavailable (RFC 6749 §4.1.2.1)",
      400,
      { error: "temporarily_unavailable" },
      454,
      "temporarily_unavailable",
    ],
    ["server_error (RFC 6749 §4.1.2.1)", 400, { error: "server_error" }, 454, "server_error"],
    ["429", 429, { error: "invalid_request", error_codes: [7000215] }, 454, "AADSTS7000215"],
    ["500", 500, { error: "invalid_client", error_codes: [7000215] }, 454, "AADSTS7000215"],
    ["503 without an error", 503, {}, 454, "HTTP 503"],
    ["403 without an error", 403, {}, 454, "HTTP 403"],
    ["200 without a token", 200, "ok", 454, "HTTP 200"],
    ["a body that is null", 400, null, 454, "HTTP 400"],
    ["a body that is a list", 400, [1], 454, "HTTP 400"],
    ["an error that is no text", 400, { error: 7, error_codes: ["7000215"] }, 454, "HTTP 400"],
    ["numbers that are none", 400, { error: "x", error_codes: ["7000215", null, 1.5] }, 535, "x"],
    ["numbers that are no list", 400, { error: "x", error_codes: 7000215 }, 535, "x"],
    [
      "names of things that every object has",
      400,
      { error: "constructor", error_codes: [0] },
      535,
      "AADSTS0",
    ],
  ];

describe("Entra's answer", () => {
  for (const [what, status, body, reply, code] of PLAIN) {
    it(`with ${what} is answered with ${reply}`, () => {
      const refusal = refusalFor(readEntraError(status, body));
      assert.equal(refusal.code, code);
      expectReply(refusal, reply);
    });
  }

  it("is read for numbers that can be AADSTS numbers, and for no others", () => {
    const error_codes = [7000215, 999_999_999, 0, -1, 1_000_000_000, 1.5, "7000222", null, NaN];
    const { numbers } = readEntraError(400, { error: "invalid_client", error_codes });
    assert.deepEqual(numbers, [7000215, 999_999_999, 0]);
    assert.deepEqual(readEntraError(400, { error: "x", error_codes: "7000215" }).numbers, []);
  });

  it("that does not come at all is answered with 454", () => {
    const refusal = unreachable("ETIMEDOUT", "no answer within 20 s");
    assert.match(expectReply(refusal, 454), /ETIMEDOUT.*no answer within 20 s/);
  });

  it("cannot break the reply, whatever it holds (RFC 5321 §4.2)", () => {
    const anything = fc.oneof(
      fc.jsonValue(),
      fc.record({
        error: fc.oneof(fc.string({ unit: "binary", maxLength: 700 }), fc.jsonValue()),
        error_codes: fc.oneof(fc.array(fc.integer()), fc.jsonValue()),
      }, { requiredKeys: [] }),
      fc.constant({ error: "x\r\n235 2.7.0 Welcome" }),
    );
    fc.assert(fc.property(fc.integer({ min: 200, max: 599 }), anything, (status, body) => {
      const refusal = refusalFor(readEntraError(status, body));
      expectReply(refusal, refusal.type === "later" ? 454 : 535);
    }));
  });
});
