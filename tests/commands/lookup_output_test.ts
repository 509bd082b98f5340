// What `lookup` prints of an entry.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { textIn } from "../../src/commands/lookup_output.ts";
import { hashOf } from "../support/passwords.ts";

describe("an entry as lookup prints it", () => {
  it("has no hash and nothing in its place, whatever the column", () => {
    const columns = {
      password_hash: hashOf("password", "scrypt"),
      password_hash_next: "the password itself",
      description: ` ${hashOf("password", "sha256")}`,
      from_name: "Scanner",
    };
    const row = { id: "scanner", columns };
    assert.deepEqual(Object.keys(columns).map((name) => textIn(row, name)), [
      "set (scrypt)",
      "set (not a hash)",
      "set (sha256)",
      "Scanner",
    ]);
  });
});
