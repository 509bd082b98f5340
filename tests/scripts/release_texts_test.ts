/**
 * What `npm run release` and the pipeline make of texts: versions, an image's tags, the changelog, release notes,
 * and the places of version and repository.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
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
import { CHANGELOG, ROOT } from "./release/project.ts";

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
