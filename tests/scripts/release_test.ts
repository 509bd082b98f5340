/**
 * `npm run release` in a repository of its own with this project's files, and the scripts that the
 * pipeline calls for a tag: an image's tags, notes, checksums, signatures and the release itself, with
 * stand-ins for `cosign` and `gh`.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import process from "node:process";
import { after, beforeEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { changelogProblems, changesOf, released } from "../../scripts/release/changelog.mjs";
import { notesOf } from "../../scripts/release/notes.mjs";
import { unknownMentions, withVersion } from "../../scripts/release/places.mjs";
import {
  after as afterEvent,
  FIRST_RELEASE,
  isKnown,
  parseRepository,
  repositoryOf,
  withRepository,
} from "../../scripts/release/repository.mjs";
import { tagsOf } from "../../scripts/release/tags.mjs";
import { compareVersions, parseVersion } from "../../scripts/release/version.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- A thing that
  takes two lines, see [the page](docs/page.md#part) and [another](https://example.com/).

## [0.9.0] - 2026-10-01

- Older.
`;
const NOTHING = "# Changelog\n\n## [Unreleased]\n\n### Added\n";

const folders: string[] = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));
function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "relay-release-"));
  folders.push(folder);
  return folder;
}

describe("versions", () => {
  // The example of semver.org, §11.
  const ordered = [
    ...["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"],
    ...["1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0"],
  ];

  it("have the order of semantic versioning", () => {
    const sorted = ordered.toReversed().map(parseVersion).sort(compareVersions);
    assert.deepEqual(sorted.map(({ text }) => text), ordered);
    assert.equal(compareVersions(parseVersion("1.2.3"), parseVersion("1.2.3")), 0);
  });

  for (
    const wrong of ["", "1", "1.2", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+a", "1.2.3 "]
  ) {
    it(`are not "${wrong}"`, () => assert.throws(() => parseVersion(wrong), /is not a version/));
  }
});

describe("an image's tags", () => {
  it("are those of the version, its minor and its major, and latest", () => {
    assert.deepEqual(tagsOf("1.2.3", []), ["1.2.3", "1.2", "1", "latest"]);
    assert.deepEqual(tagsOf("1.2.3", ["1.2.3", "1.2.2", "0.9.0"]), ["1.2.3", "1.2", "1", "latest"]);
  });

  it("do not take from a newer version what is its own", () => {
    assert.deepEqual(tagsOf("1.2.3", ["1.2.4"]), ["1.2.3"]);
    assert.deepEqual(tagsOf("1.2.3", ["1.3.0"]), ["1.2.3", "1.2"]);
    assert.deepEqual(tagsOf("1.2.3", ["2.0.0"]), ["1.2.3", "1.2", "1"]);
    assert.deepEqual(tagsOf("1.2.3", ["2.0.0-rc.1"]), ["1.2.3", "1.2", "1", "latest"]);
  });

  it("are its own alone for a pre-release", () => {
    assert.deepEqual(tagsOf("1.2.3-rc.1", []), ["1.2.3-rc.1"]);
  });

  it("have no 0, before which nothing is stable", () => {
    assert.deepEqual(tagsOf("0.1.0", []), ["0.1.0", "0.1", "latest"]);
  });
});

describe("the changelog", () => {
  it("gets a section of the version, and a new one for what comes", () => {
    const text = released(CHANGELOG, "1.0.0", "2026-11-30");
    assert.ok(
      text.includes("## [Unreleased]\n\n## [1.0.0] - 2026-11-30\n\n### Added\n\n- A thing"),
    );
    assert.ok(text.includes("(https://example.com/).\n\n## [0.9.0] - 2026-10-01\n"), text);
    assert.match(changesOf(text, "1.0.0"), /^### Added\n[^]*example\.com\/\)\.$/);
    assert.equal(changesOf(text, "0.9.0"), "- Older.");
    assert.deepEqual(changelogProblems(text), []);
    assert.throws(() => released(text, "1.0.1", "2026-12-01"), /nothing to release/);
  });

  it("has no changes of a version without section, date or entries", () => {
    assert.throws(() => changesOf(CHANGELOG, "1.0.0"), /no section "## \[1\.0\.0\]"/);
    assert.throws(() => changesOf("## [1.0.0]\n\n- A.\n", "1.0.0"), /its date/);
    assert.throws(() => changesOf("## [1.0.0] - 2026-11-30\n\n### Added\n", "1.0.0"), /is empty/);
    // Not the section of a version that begins with it.
    assert.throws(() => changesOf("## [1.0.0-rc.1] - 2026-11-30\n\n- A.\n", "1.0.0"), /no section/);
  });

  it("is refused in another form", () => {
    assert.match(changelogProblems("## [0.1.0] - 2026-11-30\n").join(), /first section/);
    assert.match(changelogProblems("## [Unreleased]\n## 0.1.0\n").join(), /"## 0\.1\.0" is not/);
  });
});

describe("release notes", () => {
  const changelog = released(CHANGELOG, "1.0.0", "2026-11-30");
  const place = {
    server: "https://git.example",
    repository: "Owner/relay",
    image: "images.example/owner/relay",
  };

  it("are the changelog's section, a line for each paragraph", () => {
    assert.equal(
      notesOf(changelog, "v1.0.0"),
      "### Added\n\n- A thing that takes two lines, see [the page](docs/page.md#part) and " +
        "[another](https://example.com/).\n",
    );
    const fenced =
      "## [1.0.0] - 2026-11-30\n\nText:\n\n```sh\na\nb\n```\n\n| a |\n| - |\n- x\n- y\n";
    assert.ok(notesOf(fenced, "v1.0.0").includes("```sh\na\nb\n```\n\n| a |\n| - |\n- x\n- y\n"));
  });

  it("lead to the files of the tag, and say how to verify them", () => {
    const notes = notesOf(changelog, "v1.0.0", place);
    assert.ok(
      notes.includes("[the page](https://git.example/Owner/relay/blob/v1.0.0/docs/page.md#part)"),
      notes,
    );
    assert.ok(notes.includes("[another](https://example.com/)"));
    assert.ok(notes.includes("oci://images.example/owner/relay:1.0.0 --repo Owner/relay"));
    assert.ok(notes.includes("release.yml@refs/tags/v1.0.0"));
  });

  it("say how to install it, with pages that are there, and how packages become a repository", () => {
    const notes = notesOf(changelog, "v1.0.0", place);
    assert.ok(notes.includes("| Docker, Podman | `images.example/owner/relay:1.0.0` |"));
    const download = "https://git.example/Owner/relay/releases/download/v1.0.0";
    assert.ok(notes.includes(`helm install smtp-relay ${download}/smtp-oauth-relay-1.0.0.tgz`));
    const files = "https://git.example/Owner/relay/blob/v1.0.0/";
    const own = notes.slice(notes.indexOf("## Install"));
    const pages = [...own.matchAll(/\]\((\S+?)(?:#([\w-]+))?\)/g)];
    assert.ok(pages.length >= 8);
    for (const [, address, heading] of pages) {
      assert.ok(address!.startsWith(files), address!);
      const text = readFileSync(join(ROOT, address!.slice(files.length)), "utf8");
      const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, words]) =>
        words!.toLowerCase().replaceAll(" ", "-")
      );
      if (heading !== undefined) assert.ok(headings.includes(heading), `${address}#${heading}`);
    }
    // What repository.sh says itself that it makes.
    const script = readFileSync(join(ROOT, "scripts/package/repository.sh"), "utf8");
    assert.ok(notes.includes("sh scripts/package/repository.sh packages repository KEY"));
    for (const [, made] of script.matchAll(/^# {3}DIRECTORY(\/\S+)/gm)) {
      assert.ok(notes.includes(`repository${made}`), made!);
    }
  });
});

describe("places of the version", () => {
  it("are found by their form", () => {
    const text = (version: string) =>
      [
        `image: registry.example.com/smtp-oauth-relay:${version}`,
        `    newTag: "${version}"`,
        `appVersion: ${version}`,
        `smtp-oauth-relay ${version} (…) on Bun 1.4.5`,
        `curl -LO https://git.example/owner/relay/releases/download/v${version}/SHA256SUMS`,
        `smtp-oauth-relay_${version}_amd64.deb`,
        `smtp-oauth-relay-${version}-1.x86_64.rpm smtp-oauth-relay-${version}.msi`,
        `  version "${version}"`,
        `PackageVersion: ${version}`,
        `ReleaseNotesUrl: https://git.example/owner/relay/releases/tag/v${version}`,
        `https%3A%2F%2Fraw.githubusercontent.com%2Fowner%2Frelay%2Fv${version}%2Fdeploy%2Ffile.json`,
        `ghcr.io/owner/relay:${version}`,
        `manifests/s/SmtpOauthRelay/SmtpOauthRelay/${version}`,
      ].join("\n");
    assert.equal(withVersion(text("0.1.0"), "1.2.3-rc.1"), text("1.2.3-rc.1"));
    assert.equal(withVersion(text("1.2.3-rc.1"), "1.2.3"), text("1.2.3"));
    assert.deepEqual(unknownMentions(text("0.1.0"), "0.1.0"), []);
  });

  it("are none of other programs, addresses and times", () => {
    const text = "on Bun 1.4.5\nother:0.1.0\n127.0.0.1\nhelm-chart-0.1.0.5\nsince 0.1.0 it is so";
    assert.equal(withVersion(text, "1.2.3"), text);
  });

  it("are reported where their form is not known", () => {
    const text = "fine\nThe version 0.1.0 is the newest.\nsince 0.1.0\n10.1.0\n0.1.0.5\n0.1.0-rc.1";
    assert.deepEqual(unknownMentions(text, "0.1.0"), [2]);
  });
});

describe("the repository", () => {
  const text = (repository: string) =>
    [
      `https://github.com/${repository}/releases/download/v1.2.3/SHA256SUMS`,
      `podman pull ghcr.io/${repository.toLowerCase()}:1.2.3`,
      `"url": "git+https://github.com/${repository}.git"`,
      `https%3A%2F%2Fraw.githubusercontent.com%2F${repository.replace("/", "%2F")}%2Fmain`,
      `gh attestation verify FILE --repo ${repository}`,
      `Somebody <${repository.split("/")[0]}@users.noreply.github.com>`,
    ].join("\n");

  it("is another one in every address, and in small letters in an image's", () => {
    assert.equal(
      withRepository(text("Owner/relay"), "Owner/relay", "Some-One/Relay2"),
      text("Some-One/Relay2"),
    );
    assert.equal(withRepository(text("REPO_OWNER/a.b"), "REPO_OWNER/a.b", "A/b"), text("A/b"));
    assert.equal(withRepository("ghcr.io/REPO_OWNER/a", "REPO_OWNER/a", "A/b"), "ghcr.io/a/b");
  });

  it("is not another one with the same name, or with a longer one", () => {
    const others = "github.com/Else/relay Owner/relay-two my-Owner/relay Owner@example.com";
    assert.equal(withRepository(others, "Owner/relay", "A/b"), others);
  });

  it("has an owner that cannot be named, until it is known", () => {
    const file = (url: string) => JSON.stringify({ repository: { url } });
    const unknown = repositoryOf(file("git+https://github.com/REPO_OWNER/relay.git"));
    assert.equal(isKnown(unknown), false);
    assert.throws(() => parseRepository(unknown), /is not a repository/);
    assert.equal(isKnown(parseRepository("some-one/smtp-oauth-relay")), true);
    assert.throws(() => repositoryOf(file("https://git.example/a/b")), /repository\.url is not/);
    assert.throws(() => repositoryOf("{}"), /repository\.url is not/);
    for (
      const wrong of [
        "",
        "a",
        "a/b/c",
        "-a/b",
        "a--b/c",
        "a/b c",
        "a/..",
        "a/.",
        "a/b.git",
        "a/b\n",
      ]
    ) {
      assert.throws(() => parseRepository(wrong), /is not a repository/, wrong);
    }
  });
});

describe("what is only true before the first release", () => {
  it("goes with it", () => {
    const notice = "<!-- before the first release -->\n\nNot yet.\n\n<!-- end -->\n\n";
    const other = "<!-- before the second -->\n\nStays.\n\n<!-- end -->\n";
    assert.equal(
      afterEvent(FIRST_RELEASE, `Above.\n\n${notice}Below.\n${notice}${other}`),
      `Above.\n\nBelow.\n${other}`,
    );
    assert.equal(afterEvent(FIRST_RELEASE, "Nothing.\n"), "Nothing.\n");
  });
});

describe("npm run release", () => {
  let clone: string;

  beforeEach(() => {
    clone = newFolder();
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
    const output = join(newFolder(), "output");
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

describe("what is released", () => {
  let folder: string;
  let calls: string;
  let path: string;

  beforeEach(() => {
    const work = newFolder();
    folder = join(work, "dist");
    calls = join(work, "calls");
    const binaries = join(work, "bin");
    for (const name of [folder, binaries]) mkdirSync(name);
    path = `${binaries}${delimiter}${process.env["PATH"]}`;
    const standIn = (tool: string, reads: string) => {
      const script = `#!/bin/sh\n${reads}\necho "${tool} $*" >> "$CALLS"\nexit "\${STATUS:-0}"\n`;
      writeFileSync(join(binaries, tool), script, { mode: 0o755 });
    };
    standIn("cosign", "");
    standIn("gh", 'if [ "$1" = api ]; then echo "$TAGGED"; exit; fi\ncat > "$CALLS.notes"');
    put("relay-linux-x64", "octets");
    put("relay-linux-arm64", "others");
    sum("relay-linux-x64", "relay-linux-arm64");
  });

  const put = (name: string, text: string) => writeFileSync(join(folder, name), text);
  function sum(...names: string[]): void {
    const line = (name: string) => {
      const hash = createHash("sha256").update(readFileSync(join(folder, name))).digest("hex");
      return `${hash}  ${name}\n`;
    };
    put("SHA256SUMS", names.map(line).join(""));
  }
  function call(script: string, ...args: string[]) {
    writeFileSync(calls, "");
    const { status, stdout, stderr } = spawnSync("node", [
      join(ROOT, "scripts/release", script),
      ...args,
    ], { encoding: "utf8", env: { ...process.env, PATH: path, CALLS: calls } });
    return { status, stdout, stderr, calls: readFileSync(calls, "utf8") };
  }

  it("has a checksum for each file, and a file for each checksum", () => {
    assert.equal(call("sums.mjs", folder).status, 0);
    put("relay-linux-x64", "changed");
    put("surplus", "");
    rmSync(join(folder, "relay-linux-arm64"));
    const { status, stderr } = call("sums.mjs", folder);
    assert.equal(status, 1);
    assert.match(stderr, /relay-linux-x64 does not have its checksum/);
    assert.match(stderr, /surplus has no checksum/);
    assert.match(stderr, /relay-linux-arm64 is missing/);
    put("relay~rc.1.deb", "package");
    sum("relay~rc.1.deb");
    assert.match(call("sums.mjs", folder).stderr, /relay~rc\.1\.deb would get another name/);
    put("SHA256SUMS", "nonsense\n");
    assert.match(call("sums.mjs", folder).stderr, /has the line "nonsense"/);
    put("SHA256SUMS", "");
    assert.match(call("sums.mjs", folder).stderr, /is empty/);
    rmSync(join(folder, "SHA256SUMS"));
    assert.match(call("sums.mjs", folder).stderr, /has no SHA256SUMS/);
    assert.equal(call("sums.mjs").status, 2);
  });

  it("is the same in another folder that may have more", () => {
    const other = join(newFolder(), "other");
    cpSync(folder, other, { recursive: true });
    put("relay.deb", "package");
    sum("relay-linux-x64", "relay-linux-arm64", "relay.deb");
    assert.equal(call("sums.mjs", other, "--among", folder).status, 0);
    const { status, stderr } = call("sums.mjs", folder, "--among", other);
    assert.match(stderr, /other does not have [0-9a-f]{64} {2}relay\.deb/);
    assert.equal(status, 1);
    assert.equal(call("sums.mjs", folder, "--among").status, 2);
  });

  it("is what was built: SHA256SUMS has the SHA-256 that the build has told", () => {
    const output = join(newFolder(), "output");
    const told = spawnSync("node", [join(ROOT, "scripts/release/sums.mjs"), folder], {
      env: { ...process.env, GITHUB_OUTPUT: output },
    });
    assert.equal(told.status, 0);
    const [, built] = /^sums=([0-9a-f]{64})\n$/.exec(readFileSync(output, "utf8"))!;
    assert.equal(call("sums.mjs", folder, "--is", built!).status, 0);
    put("relay-linux-x64", "another, with a checksum of its own");
    sum("relay-linux-x64", "relay-linux-arm64");
    const { status, stderr } = call("sums.mjs", folder, "--is", built!);
    assert.match(stderr, new RegExp(`SHA256SUMS has the SHA-256 [0-9a-f]{64}, not ${built}`));
    assert.equal(status, 1);
    assert.equal(call("sums.mjs", folder, "--is", "").status, 1);
  });

  it("is signed by its checksums", () => {
    const signed = call("sign.mjs", "files", folder);
    assert.equal(signed.status, 0, signed.stderr);
    const sums = join(folder, "SHA256SUMS");
    assert.equal(signed.calls, `cosign sign-blob --yes --bundle ${sums}.sigstore.json ${sums}\n`);
    put("SHA256SUMS.sigstore.json", "{}");
    assert.equal(call("sums.mjs", folder).status, 0);
    put("surplus", "");
    const refused = call("sign.mjs", "files", folder);
    assert.deepEqual([refused.status, refused.calls], [1, ""]);
  });

  it("is an image that is signed by its digest, never by a tag", () => {
    const digest = `sha256:${"0123456789abcdef".repeat(4)}`;
    const signed = call("sign.mjs", "image", "images.example/Owner/relay", digest);
    assert.equal(signed.calls, `cosign sign --yes images.example/owner/relay@${digest}\n`);
    const refused = call("sign.mjs", "image", "images.example/owner/relay", "latest");
    assert.deepEqual([refused.status, refused.calls], [1, ""]);
    assert.equal(call("sign.mjs", "image", "images.example/owner/relay").status, 2);
  });

  it("is not released without a section in the changelog, or with a file that has no checksum", () => {
    const noSection = call("publish.mjs", "v99.0.0", folder);
    assert.match(noSection.stderr, /no section "## \[99\.0\.0\]"/);
    put("surplus", "");
    const surplus = call("publish.mjs", "v99.0.0", folder);
    assert.match(surplus.stderr, /surplus has no checksum/);
    assert.deepEqual([noSection.status, surplus.status], [1, 1]);
    assert.equal(noSection.calls + surplus.calls, "");
    assert.equal(call("publish.mjs", "v99.0.0").status, 2);
  });

  it("is a release of the tag with all files, and a pre-release where the version is one", () => {
    const clone = newFolder();
    for (const name of ["scripts", "package.json"]) {
      cpSync(join(ROOT, name), join(clone, name), { recursive: true });
    }
    const git = (...args: string[]) => {
      const author = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
      return spawnSync("git", [...author, ...args], { cwd: clone, encoding: "utf8" }).stdout.trim();
    };
    git("init", "--quiet");
    git("-c", "commit.gpgsign=false", "commit", "--quiet", "--allow-empty", "--message=test");
    let tagged = git("rev-parse", "HEAD");
    assert.match(tagged, /^[0-9a-f]{40}$/);
    const publish = (tag: string, status = "0") => {
      writeFileSync(
        join(clone, "CHANGELOG.md"),
        released(CHANGELOG, tag.slice(1), "2026-11-30"),
      );
      writeFileSync(calls, "");
      const result = spawnSync(
        "node",
        [join(clone, "scripts/release/publish.mjs"), tag, folder],
        {
          encoding: "utf8",
          env: { ...process.env, PATH: path, CALLS: calls, STATUS: status, TAGGED: tagged },
        },
      );
      const { status: ended, stderr } = result;
      return { status: ended, stderr, calls: readFileSync(calls, "utf8") };
    };
    const unsigned = publish("v1.0.0");
    assert.match(unsigned.stderr, /has no SHA256SUMS\.sigstore\.json/);
    assert.deepEqual([unsigned.status, unsigned.calls], [1, ""]);
    put("SHA256SUMS.sigstore.json", "{}");
    const files = ["SHA256SUMS", "SHA256SUMS.sigstore.json", "relay-linux-arm64", "relay-linux-x64"]
      .map((name) => join(folder, name)).join(" ");
    const begin = (tag: string) =>
      `gh release create ${tag} --verify-tag --title ${tag.slice(1)} --notes-file -`;
    assert.deepEqual(publish("v1.0.0"), {
      status: 0,
      stderr: "",
      calls: `${begin("v1.0.0")} --latest=true ${files}\n`,
    });
    assert.match(readFileSync(`${calls}.notes`, "utf8"), /^### Added\n\n- A thing that takes/);
    assert.equal(
      publish("v1.0.0-rc.1").calls,
      `${begin("v1.0.0-rc.1")} --prerelease --latest=false ${files}\n`,
    );
    assert.equal(publish("v1.0.0", "4").status, 1);
    // Moved after the files were built, and deleted.
    for (const other of ["0123456789".repeat(4), ""]) {
      tagged = other;
      const moved = publish("v1.0.0");
      assert.match(moved.stderr, /the tag v1\.0\.0 does not name [0-9a-f]{40}\n/);
      assert.deepEqual([moved.status, moved.calls], [1, ""]);
    }
  });
});
