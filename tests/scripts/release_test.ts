/** `npm run release` in a repository of its own with this project's files. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { appendFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, beforeEach, describe, it } from "node:test";
import { released } from "../../scripts/release/changelog.mjs";
import { FIRST_RELEASE } from "../../scripts/release/repository.mjs";
import { absent } from "../support/tools.ts";
import { CHANGELOG, Folders, ROOT } from "./release/project.ts";

const NOTHING = "# Changelog\n\n## [Unreleased]\n\n### Added\n";

const folders = new Folders();
after(() => folders.remove());

describe("npm run release", { skip: absent("git") }, () => {
  let clone: string;

  beforeEach(() => {
    clone = folders.add();
    for (const path of ["scripts", "deploy", "docs", "README.md", "SECURITY.md", "package.json"]) {
      cpSync(join(ROOT, path), join(clone, path), { recursive: true });
    }
    cpSync(join(ROOT, "package-lock.json"), join(clone, "package-lock.json"));
    const { version } = JSON.parse(read("package.json"));
    write("CHANGELOG.md", CHANGELOG.replace("0.9.0", "0.0.9"));
    const { status, stderr } = inClone("release.mjs", "--repository", "Some-One/relay");
    assert.equal(status, 0, stderr);
    // Whatever the version is by now.
    if (version !== "0.1.0") assert.equal(inClone("release.mjs", version).status, 1);
    git("init", "--quiet", "--initial-branch=main");
    git("add", ".");
    commit();
  });

  const read = (path: string) => readFileSync(join(clone, path), "utf8");
  const write = (path: string, text: string) => writeFileSync(join(clone, path), text);
  function git(...args: string[]): string {
    const { status, stdout, stderr } = spawnSync("git", args, { cwd: clone, encoding: "utf8" });
    assert.equal(status, 0, stderr);
    return stdout;
  }
  function commit(): void {
    const author = ["-c", "user.name=Test", "-c", "user.email=test@example.com"];
    git(...author, "-c", "commit.gpgsign=false", "commit", "--quiet", "--all", "--message=test");
  }
  function inClone(script: string, ...args: string[]) {
    return spawnSync("node", [join(clone, "scripts", script), ...args], {
      encoding: "utf8",
      // A pipeline's own is another one.
      env: { ...process.env, GITHUB_REPOSITORY: "some-one/relay" },
    });
  }
  const current = () => JSON.parse(read("package.json")).version as string;
  function refused(problem: RegExp, ...args: string[]): void {
    const { status, stderr, stdout } = inClone("release.mjs", ...args);
    assert.match(stderr, problem);
    assert.equal(status, 1);
    assert.equal(stdout, "");
  }

  it("changes every place, and the pipeline takes the tag then", () => {
    const old = current();
    const { status, stdout, stderr } = inClone("release.mjs", "77.8.9");
    assert.equal(status, 0, stderr);
    const changed = git("diff", "--name-only").trim().split("\n");
    for (
      const path of [
        ...["package.json", "package-lock.json", "CHANGELOG.md", "docs/installation.md"],
        ...["deploy/kubernetes/base/kustomization.yaml", "deploy/azure/container-app.bicep"],
      ]
    ) assert.ok(changed.includes(path) && stdout.includes(`${path}\n`), `${path}: ${changed}`);
    // Nothing but the version, and one line for one line.
    for (const line of git("diff", "--unified=0", "--", "package-lock.json").split("\n")) {
      if (/^[-+] /.test(line)) assert.match(line, /^[-+] +"version": "(?:77\.8\.9|[\d.]+)",$/);
    }
    assert.equal(git("diff", "--numstat", "--", "package-lock.json").split("\t")[0], "2");
    assert.match(read("CHANGELOG.md"), /## \[Unreleased\]\n\n## \[77\.8\.9\] - \d{4}-\d\d-\d\d\n/);
    const check = inClone("release.mjs", "--check", "--tag", "v77.8.9");
    assert.equal(check.status, 0, check.stderr);
    assert.equal(inClone("release.mjs", "--check", "--tag", `v${old}`).status, 1);
    const notes = inClone("release/notes.mjs", "v77.8.9");
    assert.match(notes.stdout, /^### Added\n\n- A thing that takes/);
    commit();
    git("tag", "v77.8.9");
    git("tag", "v78.0.0");
    git("tag", "v-something");
    const output = join(folders.add(), "output");
    const tags = spawnSync(
      "node",
      [join(clone, "scripts/release/tags.mjs"), "v77.8.9", "images.example/Owner/relay"],
      { encoding: "utf8", env: { ...process.env, GITHUB_OUTPUT: output } },
    );
    const lines = ["77.8.9", "77.8", "77"].map((tag) => `images.example/owner/relay:${tag}\n`);
    assert.equal(tags.stdout, lines.join(""));
    const head = git("rev-parse", "HEAD").slice(0, 12);
    assert.equal(
      readFileSync(output, "utf8"),
      `tags<<END\n${lines.join("")}END\nversion=77.8.9\ncommit=${head}\n` +
        "image=images.example/owner/relay\n",
    );
  });

  it("releases the version of package.json, if it was not released yet", () => {
    const version = current();
    assert.equal(inClone("release.mjs", version).status, 0);
    // Pages that say until then that there is no release yet change, too.
    const changed = git("diff", "--name-only").trim().split("\n");
    const others = changed.filter((path) =>
      !git("show", `HEAD:${path}`).includes(`<!-- before ${FIRST_RELEASE} -->`)
    );
    assert.deepEqual(others, ["CHANGELOG.md"]);
    commit();
    refused(/has a section of .* already/, version);
  });

  it("refuses a tree with changes, an older version, a tag that is there, and no changes", () => {
    write("deploy/new", "file");
    refused(/changes that are not committed/, "77.8.9");
    rmSync(join(clone, "deploy/new"));
    refused(/0\.0\.1 is older than/, "0.0.1");
    refused(/is older than/, `${current()}-rc.1`);
    refused(/"next" is not a version/, "next");
    refused(/call it -alpha\.N/, "77.8.9-preview");
    git("tag", "v77.8.9");
    refused(/a tag v77\.8\.9 already/, "77.8.9");
    write("CHANGELOG.md", NOTHING);
    commit();
    refused(/nothing to release/, "77.9.0");
    assert.equal(git("status", "--porcelain"), "");
  });

  it("publishes where package.json says, and refuses where it says nothing", () => {
    for (const path of ["package.json", "README.md", "SECURITY.md"]) {
      assert.match(read(path), /github\.com\/Some-One\/relay\b/, path);
      assert.doesNotMatch(read(path), /REPO_OWNER/, path);
    }
    assert.match(read("README.md"), /ghcr\.io\/some-one\/relay\b/);
    const tag = `v${current()}`;
    write("CHANGELOG.md", released(CHANGELOG.replace("0.9.0", "0.0.9"), current(), "2026-11-30"));
    const again = inClone("release.mjs", "--repository", "else/relay");
    assert.match(again.stdout, /^package\.json\n/);
    refused(/published at else\/relay, not some-one\/relay/, "--check", "--tag", tag);
    appendFileSync(join(clone, "README.md"), "\nghcr.io/repo_owner/relay\n");
    refused(/README\.md:\d+ does not have the repository else\/relay/, "--check");
    refused(/"else" is not a repository/, "--repository", "else");
    write("package.json", read("package.json").replaceAll("else/relay", "REPO_OWNER/relay"));
    refused(/package\.json does not say where/, "--check", "--tag", tag);
    assert.equal(inClone("release.mjs", "--check").status, 0);
    commit();
    refused(/package\.json does not say where/, "77.8.9");
  });

  it("says that there is no release yet until there is one, which is no pre-release", () => {
    const notice = /<!-- before the first release -->/;
    write("README.md", "<!-- before the first release -->\n\nNot yet.\n\n<!-- end -->\n\nMore.\n");
    commit();
    assert.equal(inClone("release.mjs", "77.8.9-rc.1").status, 0);
    assert.match(read("README.md"), notice);
    commit();
    write("CHANGELOG.md", CHANGELOG);
    commit();
    assert.equal(inClone("release.mjs", "77.8.9").status, 0);
    assert.equal(read("README.md"), "More.\n");
  });

  it("wants one version, a check, or a repository", () => {
    for (
      const args of [
        ...[[], ["1.0.0", "2.0.0"], ["--check", "1.0.0"], ["1.0.0", "--tag", "v1"]],
        ...[["1.0.0", "--repository", "a/b"], ["--check", "--repository", "a/b"]],
      ]
    ) {
      const { status, stderr } = inClone("release.mjs", ...args);
      assert.match(stderr, /usage: npm run release -- VERSION/, args.join(" "));
      assert.equal(status, 2);
    }
    const { status, stderr } = inClone("release.mjs", "--force", "1.0.0");
    assert.match(stderr, /--force/);
    assert.equal(status, 2);
  });

  it("finds by --check a place that was left behind, and one that is new", () => {
    write(
      "package-lock.json",
      read("package-lock.json").replace(/"version": "[^"]+"/, '"version": "9.9.9"'),
    );
    const kustomization = "deploy/kubernetes/base/kustomization.yaml";
    write(kustomization, read(kustomization).replace(/newTag: .*/, 'newTag: "9.9.9"'));
    appendFileSync(join(clone, "README.md"), `\nThe newest is ${current()}.\n`);
    appendFileSync(join(clone, "CHANGELOG.md"), "\n## Something\n");
    refused(/package-lock\.json does not have the version/, "--check");
    refused(/kustomization\.yaml:\d+ does not have the version/, "--check");
    refused(/README\.md:\d+ names .* in a form/, "--check");
    refused(/"## Something" is not of the form/, "--check");
  });
});

describe("this repository", () => {
  it("has its version in all places (npm run release -- --check)", () => {
    const script = join(ROOT, "scripts/release.mjs");
    const { status, stderr } = spawnSync("node", [script, "--check"], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  });
});
