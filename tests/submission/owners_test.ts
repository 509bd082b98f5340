// Whose connections and messages count together, and which accounts are known.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Owners } from "../../src/submission/owners.ts";
import { CLIENT, TENANT } from "../support/logins.ts";

const APP = { tenantId: TENANT, clientId: CLIENT };

describe("an account", () => {
  it("is known from its first message that the mail service has taken, in all of its sessions", () => {
    const owners = new Owners();
    const [one, other] = [owners.of(APP), owners.of(APP)];
    assert.deepEqual([one.known, one.key], [false, other.key]);
    owners.sent(APP);
    assert.deepEqual([one.known, other.known], [true, true]);
    assert.equal(owners.of({ ...APP, tenantId: CLIENT }).known, false);
  });

  it("is known, too, in the session whose token was verified by that message", () => {
    const owners = new Owners();
    let unproved: string | undefined = "token";
    const brought = { ...APP, unproved: () => unproved };
    const owner = owners.of(brought);
    assert.equal(owner.known, false);
    unproved = undefined;
    owners.sent(brought);
    assert.equal(owner.known, true);
  });

  it("is another one for each entry of the lookup table, and for each token that nobody has verified", () => {
    const owners = new Owners();
    const entry = { ...APP, entry: "scanner" };
    const brought = { ...APP, unproved: () => "token" };
    const keys = [APP, entry, { ...entry, entry: "printer" }, brought].map((a) => owners.of(a).key);
    assert.equal(new Set(keys).size, 4);
    owners.sent(brought);
    assert.equal(owners.of(APP).known, false);
  });
});
