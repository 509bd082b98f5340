/** The lock file: neither a mirror nor an attacker on the network can replace a package. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { nameOf, readLock } from "../../scripts/build/lock.ts";

const { packages } = readLock(fileURLToPath(new URL("../../", import.meta.url)));

describe("package-lock.json", () => {
  // npm leaves it out of optional packages for other machines than the one that it runs on:
  // `npm view NAME@VERSION dist.integrity` prints it.
  it("has the hash of every package, those for other systems included", () => {
    const places = Object.entries(packages).filter(([place]) => place !== "");
    assert.ok(places.length > 100);
    const without = places.filter(([, { integrity }]) => !isHash(integrity));
    assert.deepEqual(without.map(([place, { version }]) => `${nameOf(place)}@${version}`), []);
  });

  it("has one hash for a package and version, wherever it is", () => {
    const seen = new Map<string, string>();
    for (const [place, { version, integrity }] of Object.entries(packages)) {
      const name = `${nameOf(place)}@${version}`;
      assert.equal(seen.get(name) ?? integrity, integrity, name);
      seen.set(name, integrity);
    }
  });
});

/** SHA-512 (https://www.w3.org/TR/SRI/), of 64 octets. */
function isHash(integrity: string | undefined): boolean {
  const digest = /^sha512-([A-Za-z0-9+/]{86}==)$/.exec(integrity ?? "")?.[1];
  return digest !== undefined && Buffer.from(digest, "base64").length === 64;
}
