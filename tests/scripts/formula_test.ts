/** Homebrew's formula of a release, read by Ruby and installed with as much of Homebrew as it uses. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { repositoryOf } from "../../scripts/release/repository.mjs";
import { absent } from "../support/tools.ts";
import {
  FORMULA,
  make,
  type Manifest,
  METADATA,
  Releases,
  ROOT,
  run,
  sumOf,
  VERSION,
  ZEROS,
} from "./manifests/release.ts";

const EXECUTABLE = join(ROOT, "dist/smtp-oauth-relay");
const skip = absent("ruby");

const releases = new Releases();
after(() => releases.remove());

describe("Homebrew's formula", { skip }, () => {
  const harness = join(ROOT, "tests/scripts/manifests/formula.rb");
  let folder: string;
  before(() => {
    folder = releases.add("brew");
    assert.equal(make(folder).status, 0);
  });
  function facts(...args: string[]): Manifest {
    const { status, stdout, stderr } = run("ruby", harness, join(folder, FORMULA), ...args);
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  it("is Ruby, and has zeros for checksums in the repository", () => {
    const { status, stdout, stderr } = run("ruby", "-wc", join(folder, FORMULA));
    assert.deepEqual([status, stdout, stderr], [0, "Syntax OK\n", ""]);
    const text = readFileSync(join(ROOT, "deploy/homebrew", FORMULA), "utf8");
    const sums = [...text.matchAll(/sha256 "(.*)"/g)].map(([, sum]) => sum);
    assert.deepEqual(sums, [ZEROS, ZEROS, ZEROS, ZEROS]);
  });

  for (
    const [system, cpu, target] of [
      ["macos", "arm", "darwin-arm64"],
      ["macos", "intel", "darwin-x64"],
      ["linux", "arm", "linux-arm64"],
      ["linux", "intel", "linux-x64"],
    ] as const
  ) {
    it(`has the executable of ${system} on ${cpu} with its checksum`, () => {
      const { url, sha256, version, license, desc } = facts(system, cpu);
      const file = `smtp-oauth-relay-${target}`;
      const repository = repositoryOf(METADATA);
      assert.equal(
        url,
        `https://github.com/${repository}/releases/download/v${VERSION}/${file}`,
      );
      assert.equal(sha256, sumOf(join(folder, file)));
      assert.deepEqual([version, license], [VERSION, "MIT"]);
      // `brew audit`: no article, no full stop, not more than 80 characters.
      assert.match(desc, /^(?!An? |The )[A-Z].{10,79}(?<!\.)$/);
    });
  }

  it("installs the executable, passes its own test, and keeps settings on an upgrade", () => {
    assert.ok(existsSync(EXECUTABLE), "build it first (npm run build)");
    const prefix = join(releases.work, "prefix");
    // Its test knows the version of the formula alone, which is also the executable's.
    const { tested, service } = facts("linux", "intel", EXECUTABLE, prefix);
    assert.equal(tested, true);
    const [program, ...args] = service.run;
    const settings = args.at(-1);
    const shown = run(program, "settings", "--env-file", settings);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(
      shown.stdout,
      new RegExp(`TLS_CERT_FILEPATH.*${prefix}/etc/smtp-oauth-relay/cert`),
    );
    assert.ok(existsSync(service.working_dir));
    assert.deepEqual(args, ["serve", "--env-file", settings]);
    // Without a certificate it starts no further, and says why.
    const { status, stderr } = run(program, ...args);
    assert.equal(status, 78);
    assert.match(stderr, /smtp-oauth-relay\/cert\.pem/);
    appendFileSync(settings, "LOG_RECIPIENTS=true\n");
    facts("linux", "intel", EXECUTABLE, prefix);
    assert.match(readFileSync(settings, "utf8"), /LOG_RECIPIENTS=true\n$/);
  });
});
