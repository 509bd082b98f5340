/** Refused credentials by address: which are remembered, and which are forgotten first. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RefusedCredentials } from "../../src/limits/refused_credentials.ts";

const [HERE, THERE] = ["192.0.2.1", "192.0.2.2"];

describe("refused credentials", () => {
  it("are known at the address where they were refused, until they work there", () => {
    const refused = new RefusedCredentials({ most: 10 });
    assert.equal(refused.add(HERE, "a"), true);
    assert.equal(refused.add(HERE, "a"), false);
    assert.deepEqual([refused.has(HERE, "a"), refused.has(THERE, "a")], [true, false]);
    assert.equal(refused.delete(THERE, "a"), false);
    assert.equal(refused.delete(HERE, "a"), true);
    assert.equal(refused.has(HERE, "a"), false);
    assert.equal(refused.add(HERE, "a"), true);
  });

  it("of one address are limited: those refused longest ago are forgotten", () => {
    const refused = new RefusedCredentials({ most: 3 });
    for (const name of ["a", "b", "c", "a", "d"]) refused.add(HERE, name);
    assert.deepEqual(
      ["a", "b", "c", "d"].map((name) => refused.has(HERE, name)),
      [true, false, true, true],
    );
  });

  it("of all addresses are limited: those of the address refused longest ago are forgotten", () => {
    const refused = new RefusedCredentials({ most: 3, capacity: 4 });
    refused.add(HERE, "a");
    refused.add(HERE, "b");
    refused.add(THERE, "a");
    refused.add(HERE, "c");
    refused.add("192.0.2.3", "a");
    assert.equal(refused.has(THERE, "a"), false);
    assert.equal(refused.has(HERE, "a"), true);
    // Removed ones make room.
    for (const name of ["a", "b", "c"]) refused.delete(HERE, name);
    for (const name of ["a", "b", "c"]) refused.add("192.0.2.4", name);
    assert.equal(refused.has("192.0.2.3", "a"), true);
  });
});
