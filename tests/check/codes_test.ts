// The table of findings, and which responses of Entra ID and Graph lead to each.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { LoginFailure } from "../../src/accounts/account.ts";
import { CODES } from "../../src/check/codes.ts";
import { finding } from "../../src/check/finding.ts";
import { judgeRefusal } from "../../src/check/login_findings.ts";
import { messageRemedy, wayRemedy } from "../../src/check/remedies.ts";
import { judgeOutcome } from "../../src/check/test_message.ts";
import { AADSTS, refusalFor } from "../../src/entra/entra_errors.ts";
import { BY_CODE, BY_STATUS, classifyResponse, outcomeOf } from "../../src/graph/graph_errors.ts";
import type { HttpResponse } from "../../src/http/client.ts";

describe("the fix of a message that an SMTP server has not taken", () => {
  const cases: readonly (readonly [code: string, fix: RegExp])[] = [
    ["SMTP 535 5.7.8", /^correct SMARTHOST_USERNAME and SMARTHOST_PASSWORD; /],
    ["SMTP 535 5.7.139", /^switch it on for the mailbox: Set-CASMailbox MAILBOX/],
    ["SMTP 535 5.7.3", /^for Exchange: assign the RBAC role .* two hours$/],
    ["SMTP 550 5.7.60", /^set From to the mailbox/],
    ["SMTP_NO_STARTTLS", /^switch TLS on in the server/],
  ];
  it("is known for its service too, and for a connection that failed", () => {
    const fix = (code: string) => wayRemedy({ code }) ?? "";
    assert.match(fix("SMTP 535 5.7.8"), /^correct SMARTHOST_USERNAME/);
    assert.match(fix("ECONNREFUSED"), /SMARTHOST_URL .* and the firewall/);
    assert.match(fix("DEPTH_ZERO_SELF_SIGNED_CERT"), /EXTRA_CA_CERTS_FILEPATH/);
    assert.equal(fix("SMTP 599"), "");
  });

  for (const [code, fix] of cases) {
    it(`is that of ${code}`, () => {
      assert.match(messageRemedy({ type: "later", ambiguous: false, code, detail: "no" })!, fix);
    });
  }
});

describe("the table of findings", () => {
  for (const [code, { level, meaning, fix }] of Object.entries(CODES)) {
    it(`has a meaning for ${code}, and a fix if something can be fixed`, () => {
      assert.match(code, /^[a-z]+\.[a-z-]+$/);
      assert.match(meaning, /\.$/);
      assert.equal(fix === "", level === "ok" || level === "skip");
      // It is put after "Fix: " and before the code.
      assert.ok(!/[.\n]$/.test(fix), fix);
    });
  }

  it("gives a line in which nothing moves the cursor or turns the text about", () => {
    const { what, fix } = finding("lookup.row", "a\x1b[2J\nb\u202ec\u2028d\u009be", "f\u2066g");
    assert.deepEqual([what, fix], ["a [2J b c d e", "f g"]);
  });

  it("has no unused row", () => {
    const folders = ["check", "commands"].map((name) =>
      fileURLToPath(new URL(`../../src/${name}/`, import.meta.url))
    );
    const source = folders.flatMap((folder) =>
      readdirSync(folder).filter((name) => name !== "codes.ts")
        .map((name) => readFileSync(folder + name, "utf8"))
    ).join("\n");
    for (const code of Object.keys(CODES)) {
      const shared = code.replace(/^(?:authority|graph)\./, "${service}.");
      assert.ok(source.includes(`"${code}"`) || source.includes(`\`${shared}\``), code);
    }
  });
});

const OF_ASSERTIONS = /^(?:700021|700023|700024|700027|7002(?:1|1[1-3]|13[78]))$/;

describe("a refused login", () => {
  const codeFor = (number: number) => {
    const { type, reply, detail, code } = refusalFor({
      status: 400,
      error: "invalid_client",
      numbers: [number],
    });
    return judgeRefusal({ type, reply, detail, code } as LoginFailure)
      .code;
  };

  for (const [number, { temporary }] of Object.entries(AADSTS)) {
    it(`with AADSTS${number} has its own finding${temporary ? ": later" : ""}`, () => {
      const code = codeFor(Number(number));
      if (temporary) assert.equal(code, "login.later");
      // A refused assertion is the relay's own, and then `later`.
      else assert.equal(code === "login.refused", OF_ASSERTIONS.test(number), code);
    });
  }

  it("for an unknown reason is reported as unknown", () => {
    assert.equal(codeFor(999_999), "login.refused");
  });
});

describe("a refused message", () => {
  const codeFor = (status: number, code?: string) => {
    const body = new TextEncoder().encode(
      code === undefined ? "" : JSON.stringify({
        error: { code },
      }),
    );
    const response: HttpResponse = { type: "response", status, headers: new Map(), body };
    const message = { from: "a@example.com", to: "b@example.com" };
    return judgeOutcome(outcomeOf(classifyResponse(response)), "id", message).code;
  };
  /** The finding for a 4xx with this code. */
  const expected = (code: string) => {
    if (BY_CODE[code]!.code < 500) return "message.later";
    return {
      "5.7.1": code === "ErrorSendAsDenied" ? "message.send-as" : "message.access-denied",
      "5.1.0": code === "MailboxNotEnabledForRESTAPI"
        ? "message.not-licensed"
        : "message.no-mailbox",
      "5.2.1": "message.not-licensed",
      "5.1.3": "message.recipient",
    }[BY_CODE[code]!.enhanced] ?? "message.refused";
  };

  for (const code of Object.keys(BY_CODE)) {
    it(`with ${code} is ${expected(code)}`, () => assert.equal(codeFor(400, code), expected(code)));
  }

  for (const status of Object.keys(BY_STATUS).map(Number)) {
    it(`with the bare status ${status} is a finding`, () => {
      const code = codeFor(status);
      if (status === 403) assert.equal(code, "message.access-denied");
      // It may have been a proxy, or any other server.
      else if (status === 404) assert.equal(code, "message.refused");
      else if (status === 408) assert.equal(code, "message.ambiguous");
      else assert.match(code, /^message\.(?:later|refused)$/);
    });
  }

  it("that may have been sent after all is reported as such, whatever the code", () => {
    assert.equal(codeFor(504, "ErrorAccessDenied"), "message.ambiguous");
  });
});
