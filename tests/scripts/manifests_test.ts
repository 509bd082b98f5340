/**
 * `scripts/release/manifests.mjs`: its checksums, version and repository, and Helm's chart, as Helm reads it.
 * What it makes of the formula and of winget's manifests: formula_test.ts, winget_test.ts.
 */
import assert from "node:assert/strict";
import { appendFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import { withSums } from "../../scripts/release/manifests.mjs";
import { repositoryOf } from "../../scripts/release/repository.mjs";
import { HELM, NO_HELM } from "../support/helm.ts";
import {
  FORMULA,
  make,
  METADATA,
  NEW,
  Releases,
  ROOT,
  run,
  sumOf,
  VERSION,
  ZEROS,
} from "./manifests/release.ts";

const releases = new Releases();
after(() => releases.remove());

describe("scripts/release/manifests.mjs", () => {
  it("adds what it makes to the folder and its checksums, twice the same", () => {
    const [first, second] = [releases.add("first"), releases.add("second")];
    for (const folder of [first, second]) {
      const { status, stdout, stderr } = make(folder);
      assert.equal(status, 0, stderr);
      assert.deepEqual(stdout.trim().split("\n"), NEW);
      assert.equal(run("node", join(ROOT, "scripts/release/sums.mjs"), folder).status, 0);
    }
    const sums = (folder: string) => readFileSync(join(folder, "SHA256SUMS"), "utf8");
    assert.equal(sums(first), sums(second));
    // Again, with an older chart about.
    const older = "smtp-oauth-relay-0.0.1.tgz";
    writeFileSync(join(first, older), "older");
    appendFileSync(join(first, "SHA256SUMS"), `${sumOf(join(first, older))}  ${older}\n`);
    assert.equal(make(first).status, 0);
    assert.equal(sums(first), sums(second));
    assert.ok(!existsSync(join(first, older)));
  });

  it("refuses a folder without sums, or without one of the executables", () => {
    const folder = releases.add("lacking");
    const sums = join(folder, "SHA256SUMS");
    const lines = readFileSync(sums, "utf8").split("\n");
    writeFileSync(sums, lines.filter((line) => !line.endsWith("darwin-arm64")).join("\n"));
    const { status, stderr } = make(folder);
    assert.deepEqual(
      [status, stderr],
      [1, "manifests: smtp-oauth-relay-darwin-arm64 has no checksum in SHA256SUMS\n"],
    );
    assert.ok(!existsSync(join(folder, NEW[0]!)));
    rmSync(sums);
    assert.match(make(folder).stderr, /has no SHA256SUMS/);
    for (const args of [[], [folder, "more"]]) assert.equal(make(...args).status, 2);
  });

  it("refuses an address without a checksum, and the other way round", () => {
    const sums = new Map([["a", "1".repeat(64)], ["b", "2".repeat(64)]]);
    const url = (file: string) => `  url "https://git.example/${file}"`;
    const place = `  sha256 "${ZEROS}"`;
    assert.equal(
      withSums([url("a"), place, url("b"), place].join("\n"), sums),
      [url("a"), `  sha256 "${sums.get("a")}"`, url("b"), `  sha256 "${sums.get("b")}"`].join("\n"),
    );
    for (const lines of [[url("a"), url("b"), place], [url("a")], [place], [url("c"), place]]) {
      assert.throws(() => withSums(lines.join("\n"), sums), Error, lines.join());
    }
  });

  it("takes version and repository from package.json", () => {
    const clone = join(releases.work, "clone");
    for (const path of ["scripts", "deploy/homebrew", "deploy/winget", "deploy/helm"]) {
      cpSync(join(ROOT, path), join(clone, path), { recursive: true });
    }
    const other = METADATA.replaceAll(repositoryOf(METADATA), "Some-One/relay")
      .replace(`"version": "${VERSION}"`, '"version": "77.8.9-rc.1"');
    writeFileSync(join(clone, "package.json"), other);
    const folder = releases.add("other");
    const { status, stderr } = run("node", join(clone, "scripts/release/manifests.mjs"), folder);
    assert.equal(status, 0, stderr);
    const begin = "https://github.com/Some-One/relay/releases/download/v77.8.9-rc.1/";
    const formula = readFileSync(join(folder, FORMULA), "utf8");
    assert.ok(formula.includes(`url "${begin}smtp-oauth-relay-darwin-x64"`), formula);
    assert.ok(formula.includes('version "77.8.9-rc.1"'));
    const { Installers, PackageVersion } = parse(readFileSync(join(folder, NEW[2]!), "utf8"));
    assert.equal(Installers[0].InstallerUrl, `${begin}smtp-oauth-relay-windows-x64.msi`);
    assert.equal(PackageVersion, "77.8.9-rc.1");
    for (const name of NEW.slice(1)) {
      assert.doesNotMatch(readFileSync(join(folder, name), "utf8"), /REPO_OWNER|\b0\.1\.0\b/);
    }
  });
});

describe("the chart of a release", { skip: NO_HELM }, () => {
  let chart: string;
  before(() => {
    chart = join(releases.add("chart"), NEW[0]!);
    assert.equal(make(join(chart, "..")).status, 0);
  });

  it("is what the folder is, to Helm", () => {
    const [program, ...first] = HELM;
    const rendered = [chart, join(ROOT, "deploy/helm/smtp-oauth-relay")].map((path) => {
      const args = [...first, "template", "relay", path, "--set", "http.existingSecret=a"];
      const { status, stdout, stderr } = run(program, ...args);
      assert.equal(status, 0, stderr);
      return stdout;
    });
    assert.equal(rendered[0], rendered[1]);
    const shown = run(program, ...first, "show", "chart", chart);
    const { version, appVersion, home } = parse(shown.stdout);
    assert.deepEqual([version, appVersion], [VERSION, VERSION]);
    assert.equal(home, `https://github.com/${repositoryOf(METADATA)}`);
  });
});
