/** The README's first screen, and what it tells a stranger to type: where it comes from, and who tries it. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import metadata from "../../package.json" with { type: "json" };
import { PACKAGE_TARGETS } from "../../scripts/package/metadata.ts";
import { packageVersion, versionInName } from "../../scripts/package/versions.ts";
import { TARGETS } from "../../scripts/build/targets.ts";
import { repositoryOf } from "../../scripts/release/repository.mjs";

const there = (path: string) => new URL(`../../${path}`, import.meta.url);
const read = (path: string) => readFileSync(there(path), "utf8");
const README = read("README.md");
const [first = ""] = README.split("\n## ");
const repository = repositoryOf(read("package.json"));

describe("the README's first screen", () => {
  it("has the words that administrators search for", () => {
    for (
      const words of [
        ...["SMTP AUTH", "basic authentication", "Office 365", "Microsoft 365", "Exchange Online"],
        ...["Printers", "scanners", "Scan to email", "OAuth 2.0", "Microsoft Graph", "535 5.7.139"],
      ]
    ) assert.ok(first.replace(/\s+/g, " ").includes(words), words);
  });

  it("says what has not been tried", () => {
    assert.match(first, /has not been run against a real tenant/);
  });

  it("names an executable, an image and a package as the release publishes them", () => {
    const home = `https://github.com/${repository}`;
    const [, file = "none"] = new RegExp(
      `${home}/releases/latest/download/(smtp-oauth-relay-[\\w.-]+)`,
    )
      .exec(first)!;
    assert.ok(
      TARGETS.some(({ name, suffix }) => file === `smtp-oauth-relay-${name}${suffix}`),
      file,
    );
    const [, image = "none"] = /podman pull (\S+?)`/.exec(first)!;
    const [, registry] = /^ {2}IMAGE: (\S+)\/\$\{\{ github\.repository \}\}$/m.exec(
      read(".github/workflows/release.yml"),
    )!;
    assert.ok(
      // An owner without a name yet is not in small letters.
      [repository, repository.toLowerCase()].some((path) => image === `${registry}/${path}`),
      image,
    );
    const version = versionInName(packageVersion(metadata.version));
    const packages = PACKAGE_TARGETS.map(({ debian }) =>
      `smtp-oauth-relay_${version}_${debian}.deb`
    );
    assert.ok(
      packages.some((name) => first.includes(`\`apt install ./${name}\``)),
      String(packages),
    );
    assert.ok(first.includes(`(${home}/releases)`));
  });

  it("has the inbox and the status page as pictures", () => {
    const pictures = [...README.matchAll(/!\[[^\]]+\]\(([^)]+)\)/g)].map(([, path]) => path!);
    assert.deepEqual(pictures, ["docs/inbox.png", "docs/status.png"]);
    for (const path of pictures) {
      assert.ok(first.includes(path) && existsSync(there(path)), path);
    }
  });

  it("is short", () => {
    // A cell is one line of the source, and about two of a page.
    const lines = first.split("\n").filter((line) => line.trim() !== "");
    assert.ok(lines.length <= 50, String(lines.length));
  });
});

describe("the README's commands", () => {
  const script = read("tests/deploy/readme.sh");
  const tried = [...script.matchAll(/\b(?:block|filled) '([^']+)'/g)].map(([, words]) => words!);
  const blocks = [...README.matchAll(/^ *```(\w*)\n([^]*?)^ *```$/gm)].map(([, , text]) => text!);

  for (const block of blocks) {
    it(`are tried by readme.sh: ${block.trim().split("\n").at(-1)!.trim()}`, () => {
      assert.ok(tried.some((words) => block.includes(words)), block);
    });
  }

  it("are there, those in a line too", () => {
    assert.ok(blocks.length >= 5);
    for (const words of tried) assert.ok(blocks.some((block) => block.includes(words)), words);
    const inLine = [...README.matchAll(/`((?:npm|dist\/smtp-oauth-relay) [^`]+)`/g)];
    assert.ok(inLine.length >= 2);
    for (const [, command = ""] of inLine) {
      assert.ok(`${script}${blocks.join("")}`.includes(command), command);
    }
  });
});
