// Prepares a release: changes the version wherever it stands, and makes the changelog's section of it.
//
//   npm run release -- 1.2.3       changes the files; a person looks at them, commits and tags
//   npm run release -- --check     whether every place has the version of package.json
//   npm run release -- --check --tag v1.2.3
//                                  also whether this tag releases that version, as the pipeline asks
//   npm run release -- --repository OWNER/NAME
//                                  changes where the project is published, in all files
//
// Refused are an unclean tree, a version that is older or released already, an empty changelog, and a
// package.json without the repository. Exit 1 then, and 2 for wrong arguments; nothing is changed.

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { changelogProblems, changesOf, isReleased, released } from "./release/changelog.mjs";
import {
  isFindable,
  packageVersions,
  placesIn,
  unknownMentions,
  withPackageVersion,
  withVersion,
} from "./release/places.mjs";
import {
  after,
  FIRST_RELEASE,
  isKnown,
  KNOWN_REPOSITORY,
  parseRepository,
  repositoryOf,
  unknownOwners,
  withRepository,
} from "./release/repository.mjs";
import { compareVersions, parseVersion } from "./release/version.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (path) => readFileSync(join(root, path), "utf8");
const current = packageVersions(root, "package.json")[0];
const UNNAMED =
  "package.json does not say where the project is published: npm run release -- --repository OWNER/NAME";
const { values, positionals } = options();

try {
  if (values.check) check(values.tag);
  else if (values.repository !== undefined) publishAt(values.repository);
  else prepare(positionals[0]);
} catch (error) {
  fail(error.message, 1);
}

function options() {
  try {
    const parsed = parseArgs({
      options: {
        check: { type: "boolean" },
        tag: { type: "string" },
        repository: { type: "string" },
      },
      allowPositionals: true,
    });
    const { values: { check, tag, repository }, positionals } = parsed;
    const ways = positionals.length + (check ? 1 : 0) + (repository === undefined ? 0 : 1);
    if (ways === 1 && (check || tag === undefined)) return parsed;
  } catch (error) {
    fail(error.message, 2);
  }
  fail(
    "usage: npm run release -- VERSION, npm run release -- --check [--tag TAG], or " +
      "npm run release -- --repository OWNER/NAME",
    2,
  );
}

function fail(lines, status) {
  process.stderr.write(`release: ${lines.split("\n").join("\nrelease: ")}\n`);
  process.exit(status);
}

function check(tag) {
  const problems = changelogProblems(read("CHANGELOG.md"));
  if (packageVersions(root, "package-lock.json").some((version) => version !== current)) {
    problems.push(`package-lock.json does not have the version ${current} of package.json`);
  }
  for (const path of placesIn(root)) {
    const text = read(path);
    const wanted = withVersion(text, current).split("\n");
    for (const [i, line] of text.split("\n").entries()) {
      if (line === wanted[i]) continue;
      problems.push(`${path}:${i + 1} does not have the version ${current}: ${line.trim()}`);
    }
    for (const line of unknownMentions(text, current)) {
      problems.push(
        `${path}:${line} names ${current} in a form that scripts/release/places.mjs does not know`,
      );
    }
  }
  const repository = repositoryOf(read("package.json"));
  if (isKnown(repository)) {
    for (const path of ["package.json", ...placesIn(root)]) {
      for (const line of unknownOwners(read(path))) {
        problems.push(`${path}:${line} does not have the repository ${repository}`);
      }
    }
  }
  if (tag !== undefined) {
    const own = process.env.GITHUB_REPOSITORY ?? repository;
    if (!isKnown(repository)) problems.push(UNNAMED);
    else if (own.toLowerCase() !== repository.toLowerCase()) {
      problems.push(`package.json says that the project is published at ${repository}, not ${own}`);
    }
    if (tag !== `v${current}`) problems.push(`the tag ${tag} is not v${current}, of package.json`);
    try {
      changesOf(read("CHANGELOG.md"), current);
    } catch (error) {
      problems.push(error.message);
    }
  }
  if (problems.length > 0) throw new Error(problems.join("\n"));
  console.log(`${tag ?? current}: all places have this version`);
}

function publishAt(text) {
  const repository = parseRepository(text);
  const current = repositoryOf(read("package.json"));
  write(["package.json", ...placesIn(root)].map((path) => {
    return [path, after(KNOWN_REPOSITORY, withRepository(read(path), current, repository))];
  }));
}

/** Writes what has changed, and names it. */
function write(contents) {
  for (const [path, content] of contents) {
    if (content === read(path)) continue;
    writeFileSync(join(root, path), content);
    console.log(path);
  }
}

function prepare(text) {
  const version = parseVersion(text);
  if (!isFindable(version)) throw new Error(`${text}: call it -alpha.N, -beta.N or -rc.N`);
  const changelog = read("CHANGELOG.md");
  if (git("status", "--porcelain") !== "") {
    throw new Error("the tree has changes that are not committed: commit or stash them first");
  }
  if (!isKnown(repositoryOf(read("package.json")))) throw new Error(UNNAMED);
  const order = compareVersions(version, parseVersion(current));
  if (order < 0) throw new Error(`${text} is older than ${current}, the version of package.json`);
  if (isReleased(changelog, text)) throw new Error(`CHANGELOG.md has a section of ${text} already`);
  if (git("tag", "--list", `v${text}`) !== "") throw new Error(`there is a tag v${text} already`);
  // All of them first: nothing is changed if one fails.
  const date = new Date().toISOString().slice(0, 10);
  const changed = new Map([
    ["package.json", withPackageVersion(read("package.json"), text, false)],
    ["package-lock.json", withPackageVersion(read("package-lock.json"), text, true)],
    ["CHANGELOG.md", released(changelog, text, date)],
  ]);
  for (const path of placesIn(root)) {
    const content = withVersion(read(path), text);
    // A pre-release is found by those alone who look for it.
    changed.set(path, version.pre.length > 0 ? content : after(FIRST_RELEASE, content));
  }
  write(changed);
  console.log(`
Look at the changes (git diff), and then release:
  git commit -am "release: ${text}"
  git tag -s v${text} -m v${text}
  git push --atomic origin HEAD v${text}`);
}

function git(...args) {
  return execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
}
