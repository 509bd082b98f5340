/** The hashes of devices' own passwords: PHC strings, in the two forms of the contract. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formatPasswordHash, parsePasswordHash } from "../../src/accounts/password_hash.ts";

const SALT = "c2FsdHNhbHRzYWx0c2FsdA";
const HASH = "Y".repeat(42) + "U";

describe("parsePasswordHash", () => {
  for (const method of ["scrypt$ln=14,r=8,p=1", "sha256"]) {
    it(`reads $${method.split("$")[0]}, and writes the same text again`, () => {
      const text = `$${method}$${SALT}$${HASH}`;
      const hash = parsePasswordHash(text);
      assert.ok(hash !== undefined);
      assert.equal(hash.hash.length, 32);
      assert.equal(formatPasswordHash(hash), text);
    });
  }

  for (
    const [text, why] of [
      ["", "is empty"],
      ["hunter2", "is a password itself"],
      [`$scrypt$ln=15,r=8,p=1$${SALT}$${HASH}`, "has another cost, which its time would tell"],
      [`$scrypt$${SALT}$${HASH}`, "has no cost"],
      [`$argon2id$v=19$m=65536,t=3,p=4$${SALT}$${HASH}`, "has an unknown method"],
      [`$sha256$${SALT}$${HASH}=`, "is padded"],
      [`$sha256$${SALT}$${HASH.replace("Y", "-")}`, "is in the alphabet of base64url"],
      [`$sha256$${SALT}$${HASH.slice(1)}`, "has a short hash"],
      [`$sha256$$${HASH}`, "has no salt"],
      [`$sha256$c2Fs$${HASH}`, "has a salt of three octets"],
      [`$sha256$${SALT}$${HASH}$`, "goes on"],
      [` $sha256$${SALT}$${HASH}`, "begins with a space"],
    ] as const
  ) {
    it(`refuses what ${why}`, () => assert.equal(parsePasswordHash(text), undefined));
  }
});
