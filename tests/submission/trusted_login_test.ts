/** The account of trusted networks: what binds it has to be there at the login and at each message. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account, LoginResult, NoAccount } from "../../src/accounts/accounts.ts";
import { asTrusted, UNBOUND } from "../../src/submission/trusted_login.ts";
import { formatReply, REPLIES, reply } from "../../src/smtp/reply.ts";
import { accountWith, tokenOf } from "../support/submissions.ts";

const TOKEN = tokenOf("t0ken");
const GONE: NoAccount = { type: "refused", reply: reply(550, "5.7.1", "No"), detail: "gone" };

function login(account: Account): LoginResult {
  return { type: "account", account, reply: REPLIES.authenticated };
}

function accountOf(result: LoginResult): Account {
  assert.ok(result.type === "account", JSON.stringify(result));
  return result.account;
}

/** An account of an entry that is another one each time that it is looked at. */
function ofEntry(...states: readonly ({ readonly fromEmail?: string } | NoAccount)[]): Account {
  const [now, ...later] = states;
  if (now === undefined || "reply" in now) throw new Error("no account to begin with");
  return {
    ...accountWith(TOKEN),
    ...now,
    entry: "printers",
    renewed() {
      const [next] = later;
      return Promise.resolve(
        next === undefined || "reply" in next ? next ?? GONE : ofEntry(...later),
      );
    },
  };
}

describe("the account of trusted networks", () => {
  it("is any that logs in, where ALLOWED_SENDERS binds it", async () => {
    const plain = accountWith(TOKEN);
    assert.equal(accountOf(asTrusted(login(plain), true)), plain);
    const account = accountOf(asTrusted(login(ofEntry({}, {})), true));
    assert.ok("token" in await account.renewed!());
  });

  it("has to have from_email otherwise", () => {
    assert.equal(
      accountOf(asTrusted(login(ofEntry({ fromEmail: "a@x.test" })), false)).entry,
      "printers",
    );
    for (const account of [ofEntry({}), accountWith(TOKEN)]) {
      const result = asTrusted(login(account), false);
      assert.ok(result.type === "refused");
      assert.deepEqual([result.code, result.reply.code], [UNBOUND, 550]);
    }
  });

  it("is none any more once its entry has no from_email, or is gone", async () => {
    const bound = { fromEmail: "a@x.test" };
    const account = accountOf(asTrusted(login(ofEntry(bound, bound, {}, bound)), false));
    const second = await account.renewed!();
    assert.ok("token" in second);
    const third = await second.renewed!();
    assert.ok("reply" in third, "nothing binds it, though it is still the session's");
    assert.equal(third.code, UNBOUND);
    const gone = accountOf(asTrusted(login(ofEntry(bound, GONE)), false));
    assert.equal(await gone.renewed!(), GONE);
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
    it(`answers MAIL with ${expected.slice(0, 9)} where AUTH would get ${given.slice(0, 9)}`, () => {
      const [code, enhanced, ...words] = given.split(" ");
      const answer = reply(Number(code), enhanced!, words.join(" "));
      const result = asTrusted({ type, reply: answer, detail: "because", code: "X" }, true);
      assert.equal(formatReply(result.reply), expected + "\r\n");
      assert.ok(result.type === type && result.detail === "because" && result.code === "X");
    });
  }
});
