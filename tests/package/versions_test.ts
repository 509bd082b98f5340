// Versions as the packages write them.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { packageVersion, versionInName } from "../../scripts/package/versions.ts";
import { UNCHANGED } from "../../scripts/release/sums.mjs";

describe("a package's version", () => {
  // The tilde sorts before everything, even the end: deb-version(7), rpm-version(7).
  for (
    const [version, expected] of [
      ["1.2.3", "1.2.3"],
      ["1.0.0-rc.1", "1.0.0~rc.1"],
      ["1.0.0-alpha-2", "1.0.0~alpha.2"],
      ["1.0.0+build.7", "1.0.0+build.7"],
      ["1.0.0-rc.1+7", "1.0.0~rc.1+7"],
    ] as const
  ) {
    it(`is ${expected} of ${version}`, () => assert.equal(packageVersion(version), expected));
  }

  for (const wrong of ["", "1", "1.2", "v1.2.3", "1.2.3 ", "1.2.3-", "1.2.3\n", "1.2.3-a_b"]) {
    it(`refuses ${JSON.stringify(wrong)}`, () => {
      assert.throws(() => packageVersion(wrong), /is no semantic version/);
    });
  }
});

describe("a package's version in the name of its file", () => {
  for (
    const [version, expected] of [
      ["1.2.3", "1.2.3-1"],
      ["1.0.0-rc.1", "1.0.0-rc.1-1"],
      ["1.0.0-rc.1+7", "1.0.0-rc.1+7-1"],
    ] as const
  ) {
    it(`is ${expected} of ${version}, which a release leaves as it is`, () => {
      const name = versionInName(packageVersion(version));
      assert.equal(name, expected);
      assert.match(`smtp-oauth-relay_${name}_amd64.deb`, UNCHANGED);
    });
  }

  it("is not the version itself, whose tilde a release would replace", () => {
    assert.doesNotMatch(`smtp-oauth-relay_${packageVersion("1.0.0-rc.1")}-1_amd64.deb`, UNCHANGED);
  });
});
