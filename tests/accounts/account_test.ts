/** The key by which accounts are counted and limited. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Account, accountKey } from "../../src/accounts/account.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const APP: Account = { tenantId: TENANT, clientId: CLIENT };
const ENTRY: Account = { ...APP, entry: { id: "printer", foundBy: "id" } };

describe("the key of an account", () => {
  it("is its entry's, however the entry was found, or its tenant's and client's", () => {
    assert.equal(
      accountKey(ENTRY),
      accountKey({ ...ENTRY, entry: { id: "printer", foundBy: "client" } }),
    );
    const named: Account = { ...APP, fromEmail: "a@x.test" };
    assert.equal(accountKey(named), accountKey(APP));
    const keys = [
      APP,
      { ...APP, tenantId: CLIENT },
      { ...APP, clientId: TENANT },
      ENTRY,
      { ...ENTRY, entry: { id: "scanner", foundBy: "id" } } as Account,
    ].map((account) => accountKey(account));
    assert.equal(new Set(keys).size, keys.length);
  });

  it("differs while no service has verified the login's token", () => {
    const verified = { unverified: () => undefined };
    const keys = [APP, ENTRY].flatMap((account) => {
      assert.equal(accountKey(account, verified), accountKey(account));
      return [
        accountKey(account),
        ...["one", "two"].map((name) => accountKey(account, { unverified: () => name })),
      ];
    });
    assert.equal(new Set(keys).size, keys.length);
  });
});
