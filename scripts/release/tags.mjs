// Prints the tags of an image, a line each: `node scripts/release/tags.mjs v1.2.3 [IMAGE]` with the
// image's name in front of them, if it is given. Exit 1 for what is not a version's tag, 2 for wrong
// arguments.
//
// A version has its own tag. It also moves `1.2`, `1` and `latest`, if git has no tag of a newer version
// there: a fix for 1.2 does not take `latest` from 1.3. A pre-release moves none of them. There is no tag
// `0`: before 1.0, a minor version may change anything.
//
// In the pipeline, GITHUB_OUTPUT names a file: there they become the output `tags`, beside
// `version`, `commit` and `image`.

import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { compareVersions, parseVersion } from "./version.mjs";

/**
 * @param {string} text of the version
 * @param {string[]} others versions that are released; this one may be among them
 * @returns {string[]}
 */
export function tagsOf(text, others) {
  const version = parseVersion(text);
  if (version.pre.length > 0) return [text];
  const newer = others.map(parseVersion)
    .filter((other) => other.pre.length === 0 && compareVersions(other, version) > 0);
  const [major, minor] = version.numbers;
  const isNewest = (depth) =>
    !newer.some(({ numbers }) =>
      numbers.slice(0, depth).every((number, i) => number === version.numbers[i])
    );
  return [
    text,
    ...(isNewest(2) ? [`${major}.${minor}`] : []),
    ...(isNewest(1) && major > 0 ? [`${major}`] : []),
    ...(isNewest(0) ? ["latest"] : []),
  ];
}

/** @returns {string[]} versions that have a tag in this clone */
export function taggedVersions() {
  return git("tag", "--list", "v*").split("\n").map((tag) => tag.slice(1)).filter((text) => {
    try {
      return parseVersion(text) !== undefined;
    } catch {
      return false;
    }
  });
}

function git(...args) {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  return execFileSync("git", args, { cwd: root, encoding: "utf8" });
}

function main([tag = "", image, ...surplus]) {
  if (tag === "" || surplus.length > 0) {
    console.error("usage: node scripts/release/tags.mjs TAG [IMAGE]");
    return 2;
  }
  if (!tag.startsWith("v")) {
    console.error(`tags: "${tag}" is not a version's tag, such as v1.2.3`);
    return 1;
  }
  try {
    const tags = tagsOf(tag.slice(1), taggedVersions());
    // An owner may have capitals, which an image's name must not have.
    const name = image?.toLowerCase();
    const lines = tags.map((tag) => name === undefined ? tag : `${name}:${tag}`);
    console.log(lines.join("\n"));
    const file = process.env.GITHUB_OUTPUT;
    if (file) {
      const outputs = [
        ...["tags<<END", ...lines, "END"],
        `version=${tag.slice(1)}`,
        // As the executables have it: scripts/build/commit.ts.
        `commit=${git("rev-parse", "HEAD").trim().slice(0, 12)}`,
        ...(name === undefined ? [] : [`image=${name}`]),
      ];
      appendFileSync(file, `${outputs.join("\n")}\n`);
    }
    return 0;
  } catch (error) {
    console.error(`tags: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2));
}
