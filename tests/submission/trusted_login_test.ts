/** The account of trusted networks: it must be bound at the login and at each message. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type {
  Account,
  Authorization,
  LoginFailure,
  LoginResult,
} from "../../src/accounts/account.ts";
import { asTrusted, boundAccount, UNBOUND } from "../../src/submission/trusted_login.ts";
import { formatReply, REPLIES, reply } from "../../src/smtp/reply.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const APP = { tenantId: TENANT, clientId: CLIENT };
const AUTHORIZATION = {} as Authorization;

function login(account: Account): LoginResult {
  return {
    type: "account",
    account,
    authorization: AUTHORIZATION,
    reply: REPLIES.authenticated,
  };
}

function ofEntry(fromEmail?: string): Account {
  return {
    ...APP,
    entry: { id: "printers", foundBy: "id" },
    ...(fromEmail === undefined ? {} : { fromEmail }),
  };
}

function isUnbound(result: LoginResult | Account | LoginFailure): void {
  assert.ok("type" in result && result.type === "refused", JSON.stringify(result));
  assert.deepEqual([result.code, UNBOUND, result.reply.code], [UNBOUND, "TRUSTED_UNBOUND", 550]);
  // For the administrator, who has to know which entry it is.
  assert.match(
    result.detail,
    /(entry "printers" .* has no from_email|has no entry).*ALLOWED_SENDERS/,
  );
}

describe("the account of trusted networks", () => {
  it("may be any that logs in, if ALLOWED_SENDERS binds it", () => {
    for (const account of [APP, ofEntry(), ofEntry("a@x.test")]) {
      assert.deepEqual(asTrusted(login(account), true), login(account));
      assert.equal(boundAccount(account, true), account);
    }
  });

  it("must have from_email otherwise", () => {
    const bound = ofEntry("a@x.test");
    assert.deepEqual(asTrusted(login(bound), false), login(bound));
    for (const account of [ofEntry(), APP]) isUnbound(asTrusted(login(account), false));
  });

  it("stops sending once its entry no longer has from_email", () => {
    const bound = ofEntry("a@x.test");
    assert.equal(boundAccount(bound, false), bound);
    isUnbound(boundAccount(ofEntry(), false));
  });

  const replies: readonly [type: "refused" | "later", given: string, expected: string][] = [
    [
      "refused",
      "535 5.7.8 Authentication failed: AADSTS7000215: the client secret is wrong",
      "550 5.7.1 The relay's TRUSTED_USERNAME and TRUSTED_PASSWORD were refused: Authentication " +
      "failed: AADSTS7000215: the client secret is wrong",
    ],
    [
      "later",
      "454 4.7.0 Temporary authentication failure: ECONNREFUSED",
      "451 4.7.0 The relay's TRUSTED_USERNAME cannot log in now: Temporary authentication failure: " +
      "ECONNREFUSED",
    ],
  ];
  for (const [type, given, expected] of replies) {
    it(`gives ${expected.slice(0, 9)} to MAIL when AUTH would get ${given.slice(0, 9)}`, () => {
      const [code, enhanced, ...words] = given.split(" ");
      const answer = reply(Number(code), enhanced!, words.join(" "));
      const result = asTrusted({ type, reply: answer, detail: "because", code: "X" }, true);
      assert.equal(formatReply(result.reply), expected + "\r\n");
      assert.ok(result.type === type && result.detail === "because" && result.code === "X");
    });
  }
});
