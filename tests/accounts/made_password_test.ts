/** Passwords that the relay makes for devices, and what it stores of a password. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, scryptSync } from "node:crypto";
import { describe, it } from "node:test";
import {
  ALPHABET,
  bitsOf,
  hashOf,
  LEAST_LENGTH,
  makePassword,
  STANDARD_LENGTH,
} from "../../src/accounts/made_password.ts";
import { parsePasswordHash } from "../../src/accounts/password_hash.ts";

describe("a made password", () => {
  it("has only letters and digits that are not taken for one another", () => {
    assert.match(ALPHABET, /^[A-Za-z0-9]+$/);
    assert.equal(new Set(ALPHABET).size, ALPHABET.length);
    const groups = ["0Oo", "1lIi", "2Zz", "5Ss", "6Gb", "8B", "9gq", "Cc", "Uu", "Vv", "Ww", "Xx"];
    for (const group of groups) {
      const kept = [...group].filter((one) => ALPHABET.includes(one));
      assert(kept.length <= 1, `${kept} look alike`);
    }
  });

  it("has 24 characters and more than 128 bits of chance, as the contract has it", () => {
    assert.equal(STANDARD_LENGTH, 24);
    assert(bitsOf(STANDARD_LENGTH) >= 128);
    const made = makePassword(STANDARD_LENGTH);
    assert.equal(made.length, STANDARD_LENGTH);
    assert([...made].every((one) => ALPHABET.includes(one)));
    assert.notEqual(makePassword(STANDARD_LENGTH), made);
  });

  it("uses each character about as often", () => {
    const counts = new Map<string, number>();
    for (const one of makePassword(41_000)) counts.set(one, (counts.get(one) ?? 0) + 1);
    assert.equal(counts.size, ALPHABET.length);
    // Seven standard deviations of 1000: once in 10^10 runs.
    for (const count of counts.values()) assert(Math.abs(count - 1000) < 220, String(count));
  });
});

describe("hashOf", () => {
  it("is SHA-256 over salt and password where nobody can guess the password", async () => {
    const text = await hashOf("Pässword", bitsOf(STANDARD_LENGTH));
    const hash = parsePasswordHash(text);
    assert(hash?.type === "sha256");
    const expected = createHash("sha256")
      .update(Buffer.concat([hash.salt, Buffer.from("Pässword", "utf8")])).digest();
    assert.deepEqual(Buffer.from(hash.hash), expected);
    assert.equal(hash.salt.length, 16);
  });

  for (const [name, bits] of [["chosen", 0], ["short", bitsOf(LEAST_LENGTH)]] as const) {
    it(`is scrypt for a ${name} password`, async () => {
      const hash = parsePasswordHash(await hashOf("Pässword", bits));
      assert(hash?.type === "scrypt");
      const options = { N: 2 ** 14, r: 8, p: 1 };
      const expected = scryptSync(Buffer.from("Pässword", "utf8"), hash.salt, 32, options);
      assert.deepEqual(Buffer.from(hash.hash), expected);
    });
  }

  it("has a salt of its own each time", async () => {
    assert.notEqual(await hashOf("x", 128), await hashOf("x", 128));
  });
});
