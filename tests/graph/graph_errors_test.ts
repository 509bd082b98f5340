/** What Graph's responses to sendMail mean for the client: every row, and unknown ones. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import * as fc from "../support/property.ts";
import {
  BY_CODE,
  BY_STATUS,
  type Classification,
  classifyFailure,
  classifyResponse,
} from "../../src/graph/graph_errors.ts";
import { formatReply } from "../../src/smtp/reply.ts";

function answer(
  status: number,
  body: unknown,
  headers: Record<string, string> = {},
): Classification {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return classifyResponse({
    type: "response",
    status,
    headers: new Map(Object.entries(headers)),
    body: Buffer.from(text, "utf8"),
  });
}

function graphError(code: string, message = "Graph's words.") {
  return { error: { code, message, innerError: { date: "x", "request-id": "y" } } };
}

/** The reply's line. Asserts that it is one line (RFC 5321 §4.2, RFC 2034 §4). */
function line({ reply }: Classification): string {
  assert.equal(reply.enhanced?.[0], String(reply.code)[0]);
  const text = formatReply(reply);
  assert(text.length <= 512 && /^[\x20-\x7e]+\r\n$/.test(text), text);
  return text;
}

/** `error.code`, the HTTP status it comes with, and the reply: https://learn.microsoft.com/graph/errors */
const CODES: readonly (readonly [code: string, status: number, reply: string])[] = [
  ["ErrorMimeContentInvalid", 400, "554 5.6.0"],
  ["ErrorMimeContentInvalidBase64String", 400, "554 5.6.0"],
  ["ErrorContentConversionFailed", 400, "554 5.6.0"],
  ["ErrorInvalidRecipients", 400, "550 5.1.3"],
  ["ErrorInvalidSmtpAddress", 400, "550 5.1.3"],
  ["ErrorMessageSizeExceeded", 400, "552 5.2.3"],
  ["ErrorAccessDenied", 403, "550 5.7.1"],
  ["ErrorSendAsDenied", 403, "550 5.7.1"],
  ["ErrorInvalidUser", 404, "550 5.1.0"],
  ["ResourceNotFound", 404, "550 5.1.0"],
  ["Request_ResourceNotFound", 404, "550 5.1.0"],
  ["ErrorItemNotFound", 404, "550 5.1.0"],
  ["MailboxNotEnabledForRESTAPI", 404, "550 5.1.0"],
  ["ErrorAccountDisabled", 403, "550 5.2.1"],
  ["ErrorQuotaExceeded", 403, "452 4.2.2"],
  ["ErrorSubmissionQuotaExceeded", 403, "451 4.3.2"],
  ["InvalidAuthenticationToken", 401, "451 4.7.0"],
  ["NoPermissionsInAccessToken", 401, "550 5.7.1"],
  ["ApplicationThrottled", 429, "451 4.3.2"],
  ["ErrorServerBusy", 429, "451 4.3.2"],
  ["CommandConcurrencyLimitReached", 429, "451 4.3.2"],
  ["ErrorMailboxStoreUnavailable", 503, "451 4.3.0"],
  ["ErrorMailboxMoveInProgress", 503, "451 4.3.0"],
  ["ErrorInternalServerTransientError", 500, "451 4.3.0"],
  ["ErrorTimeoutExpired", 504, "451 4.3.0"],
];

/** Without a known code. */
const STATUSES: readonly (readonly [status: number, reply: string])[] = [
  [400, "554 5.6.0"],
  [401, "451 4.7.0"],
  [403, "550 5.7.1"],
  [404, "550 5.1.0"],
  [405, "554 5.3.5"],
  [408, "451 4.3.0"],
  [409, "451 4.3.0"],
  [413, "552 5.3.4"],
  [415, "554 5.3.5"],
  [423, "451 4.3.0"],
  [425, "451 4.3.0"],
  [429, "451 4.3.2"],
  [500, "451 4.3.0"],
  [502, "451 4.3.0"],
  [503, "451 4.3.0"],
  [504, "451 4.3.0"],
  [509, "451 4.3.0"],
  [200, "451 4.3.0"],
  [201, "451 4.3.0"],
  [302, "451 4.3.0"],
];

describe("Graph's error code", () => {
  it("has one meaning, and each one that has a meaning is tested here", () => {
    assert.deepEqual(CODES.map(([code]) => code).sort(), Object.keys(BY_CODE).sort());
  });

  for (const [code, status, reply] of CODES) {
    it(`${code} is answered with ${reply}, and quoted`, () => {
      const classification = answer(status, graphError(code), { "request-id": "r-1" });
      assert(line(classification).startsWith(`${reply} ${code}: `), line(classification));
      assert.equal(classification.code, code);
      assert.equal(classification.requestId, "r-1");
      // Graph's own text is for the log.
      assert.match(classification.detail, /\(Graph's words\.\)$/);
    });
  }

  it("counts, whatever the status below 500 is", () => {
    for (const [code, , reply] of CODES) {
      for (const status of [400, 401, 403, 404, 422, 429]) {
        assert(line(answer(status, graphError(code))).startsWith(reply));
      }
    }
  });

  it("never makes a 5xx permanent: the fault may pass", () => {
    for (const [code] of CODES) {
      for (const status of [500, 502, 503, 504]) {
        assert.equal(String(answer(status, graphError(code)).reply.code)[0], "4", code);
      }
    }
  });

  it("is not looked up among the names that every object has", () => {
    for (const code of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      assert(line(answer(403, graphError(code))).startsWith(`550 5.7.1 ${code}: `));
    }
  });
});

describe("Graph's status", () => {
  it("has one meaning, and each one that has a meaning is tested here", () => {
    const tested = new Set(STATUSES.map(([status]) => status));
    for (const status of Object.keys(BY_STATUS)) assert(tested.has(Number(status)), status);
  });

  for (const [status, reply] of STATUSES) {
    it(`${status} is answered with ${reply} when no code says more`, () => {
      const bodies = [
        graphError("UnknownCode"),
        {},
        "",
        "null",
        "<html><body>Bad gateway</body></html>",
        '{"error":{"code":"ErrorAccessDen',
        { error: "text" },
        { error: { code: 7 } },
        { error: null },
        [1],
      ];
      for (const body of bodies) {
        const classification = answer(status, body);
        assert(
          line(classification).startsWith(reply),
          `${JSON.stringify(body)}: ${line(classification)}`,
        );
      }
      assert.equal(answer(status, "").code, `HTTP ${status}`);
    });
  }

  it("400 about the request's length is answered with 552 5.3.4, as 413 is", () => {
    const message = "The maximum request length supported is 4MB.";
    assert(line(answer(400, graphError("BadRequest", message))).startsWith("552 5.3.4 "));
    assert(
      line(answer(413, graphError("RequestEntityTooLarge", message))).startsWith("552 5.3.4 "),
    );
    assert(line(answer(400, graphError("BadRequest", "Something."))).startsWith("554 5.6.0 "));
    assert(
      line(answer(400, graphError("ErrorInvalidRecipients", message))).startsWith("550 5.1.3 "),
    );
  });
});

describe("an outage of Graph", () => {
  const CASES: readonly (readonly [string, boolean, number, unknown, Record<string, string>])[] = [
    ["500", true, 500, "", {}],
    ["503", true, 503, "", {}],
    ["503 with Retry-After", true, 503, "", { "retry-after": "5" }],
    ["503 ErrorServerBusy", true, 503, graphError("ErrorServerBusy"), {}],
    ["503 of a mailbox that sends too much", false, 503, graphError("ApplicationThrottled"), {}],
    ["503 of a mailbox on the move", false, 503, graphError("ErrorMailboxMoveInProgress"), {}],
    ["408", true, 408, "", {}],
    ["429", false, 429, "", { "retry-after": "5" }],
    ["403", false, 403, graphError("ErrorAccessDenied"), {}],
  ];
  for (const [what, outage, status, body, headers] of CASES) {
    it(`is ${outage ? "" : "not "}what ${what} says`, () => {
      assert.equal(answer(status, body, headers).outage === true, outage);
    });
  }
});

describe("the reply that a message may have been sent", () => {
  const AMBIGUOUS:
    readonly (readonly [what: string, boolean, number, unknown, Record<string, string>])[] = [
      ["500", true, 500, "", {}],
      ["502 with HTML", true, 502, "<html>", {}],
      ["503", true, 503, "", {}],
      ["503 with an unknown code", true, 503, graphError("X"), {}],
      ["503 with Retry-After: it was turned away at the door", false, 503, "", {
        "retry-after": "5",
      }],
      ["503 with a throttling code", false, 503, graphError("ApplicationThrottled"), {}],
      ["503 ErrorServerBusy", false, 503, graphError("ErrorServerBusy"), {}],
      ["503 ErrorMailboxMoveInProgress", true, 503, graphError("ErrorMailboxMoveInProgress"), {}],
      ["504 with Retry-After", true, 504, "", { "retry-after": "5" }],
      ["504 with a throttling code", true, 504, graphError("ApplicationThrottled"), {}],
      ["500 ErrorServerBusy", true, 500, graphError("ErrorServerBusy"), {}],
      ["200, which is not 202", true, 200, "", {}],
      ["204", true, 204, "", {}],
      // Found by fuzzing: a 5yz reply to a message that may have been sent.
      ["201 with a code that refuses", true, 201, graphError("ErrorAccessDenied"), {}],
      ["307 with a code that refuses", true, 307, graphError("ErrorInvalidUser"), {}],
      ["408 with a code that refuses", true, 408, graphError("ErrorAccessDenied"), {}],
      ["a redirect", true, 302, "", { location: "/" }],
      ["400", false, 400, "", {}],
      ["401", false, 401, "", {}],
      ["403", false, 403, "", {}],
      ["404", false, 404, "", {}],
      ["408", true, 408, "", {}],
      ["409", false, 409, "", {}],
      ["413", false, 413, "", {}],
      ["429", false, 429, "", { "retry-after": "5" }],
    ];
  for (const [what, ambiguous, status, body, headers] of AMBIGUOUS) {
    it(`is ${ambiguous ? "" : "not "}given for ${what}`, () => {
      const classification = answer(status, body, headers);
      assert.equal(classification.ambiguous, ambiguous);
      assert.equal(/may have been sent/.test(line(classification)), ambiguous);
      // If it may have been sent, the client decides whether to retry: never a permanent refusal.
      if (ambiguous) assert.equal(String(classification.reply.code)[0], "4");
    });
  }

  it("is given without a response, if any of the request had left", () => {
    const failure = {
      type: "failure",
      code: "ETIMEDOUT",
      message: "no answer within 30 s",
    } as const;
    const sent = classifyFailure({ ...failure, sent: true });
    assert.equal(sent.ambiguous, true);
    assert.match(line(sent), /^451 4\.4\.2 ETIMEDOUT: .*may have been sent/);
    const unsent = classifyFailure({ ...failure, code: "ECONNREFUSED", sent: false });
    assert.equal(unsent.ambiguous, false);
    assert.match(line(unsent), /^451 4\.4\.1 ECONNREFUSED: Graph cannot be reached/);
    assert.match(unsent.detail, /no answer within 30 s/);
  });

  it("is not given when a proxy refuses; only temporary faults are retried", () => {
    const failure = { type: "failure", sent: false, message: "the proxy says no" } as const;
    for (const [code, again] of [["PROXY_407", undefined], ["PROXY_502", "later"]] as const) {
      const classification = classifyFailure({ ...failure, code });
      assert.equal(classification.ambiguous, false);
      assert.equal(classification.retry, again);
      assert.match(line(classification), new RegExp(`^451 4\\.4\\.1 ${code}: `));
      assert.match(classification.detail, /the proxy says no/);
    }
  });
});

describe("any response from Graph", () => {
  it("becomes one valid reply line (RFC 5321 §4.5.3.1.5, RFC 2034 §4)", () => {
    const text = fc.string({ unit: "binary", maxLength: 900 });
    const body = fc.oneof(
      fc.jsonValue(),
      text,
      fc.record({ error: fc.record({ code: text, message: text }) }),
      fc.constantFrom(...Object.keys(BY_CODE)).map((code) => graphError(code, "\r\n250 OK")),
    );
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), body, (status, given) => {
        const classification = answer(status, given);
        line(classification);
        assert.notEqual(String(classification.reply.code)[0], "2");
      }),
      { numRuns: 300 },
    );
  });
});
