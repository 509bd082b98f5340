// Which connections and messages count together, and which accounts are verified.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Account } from "../../src/accounts/account.ts";
import { Owners } from "../../src/submission/owners.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const APP = { tenantId: TENANT, clientId: CLIENT };
const VERIFIED = { unverified: () => undefined };
const CLAIMED = { unverified: () => "token" };

describe("an account", () => {
  it("is verified from its first message that the mail service has accepted, in all of its sessions", () => {
    const owners = new Owners();
    const [one, other] = [owners.of(APP, VERIFIED), owners.of(APP, VERIFIED)];
    assert.deepEqual([one.known, one.key], [false, other.key]);
    owners.sent(APP, VERIFIED);
    assert.deepEqual([one.known, other.known], [true, true]);
    assert.equal(owners.of({ ...APP, tenantId: CLIENT }, VERIFIED).known, false);
  });

  it("is verified as well in the session whose token was verified by that message", () => {
    const owners = new Owners();
    let name: string | undefined = "token";
    const authorization = { unverified: () => name };
    const owner = owners.of(APP, authorization);
    assert.equal(owner.known, false);
    name = undefined;
    owners.sent(APP, authorization);
    assert.equal(owner.known, true);
  });

  it("differs for each tenant, app and entry, and for each unverified token", () => {
    const owners = new Owners();
    const of = (id: string): Account => ({ ...APP, entry: { id, foundBy: "id" } });
    const accounts = [
      APP,
      { ...APP, tenantId: CLIENT },
      { ...APP, clientId: TENANT },
      of("scanner"),
      of("printer"),
    ];
    const keys = [VERIFIED, CLAIMED, { unverified: () => "another token" }]
      .flatMap((authorization) => accounts.map((account) => owners.of(account, authorization).key));
    assert.equal(new Set(keys).size, keys.length);
    owners.sent(APP, CLAIMED);
    assert.equal(owners.of(APP, VERIFIED).known, false);
  });

  it("is forgotten where ten thousand others have sent since", () => {
    const owners = new Owners();
    const of = (id: number): Account => ({ ...APP, entry: { id: `${id}`, foundBy: "id" } });
    for (let id = 0; id <= 10_000; id++) owners.sent(of(id), VERIFIED);
    const known = [0, 1, 10_000].map((id) => owners.of(of(id), VERIFIED).known);
    assert.deepEqual(known, [false, true, true]);
  });
});
