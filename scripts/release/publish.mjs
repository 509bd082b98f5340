// Makes the release of a tag with all files of a folder, by GitHub's program `gh`:
// `node scripts/release/publish.mjs TAG FOLDER`. Its notes are the changelog's section. The files must have
// their checksums; with --dry-run, nothing more is done, and the command is shown. To be published, they
// must also be signed, and the tag must still name the commit that is checked out on GitHub: it may have
// been moved since they were built. Exit 1 if something is missing or `gh` fails, 2 for wrong arguments.

import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { taggedVersions, tagsOf } from "./tags.mjs";
import { SIGNATURE, sumProblems } from "./sums.mjs";
import { parseVersion } from "./version.mjs";

const args = process.argv.slice(2);
const isDry = args.includes("--dry-run");
const [tag, folder, ...surplus] = args.filter((arg) => arg !== "--dry-run");
if (folder === undefined || surplus.length > 0) {
  fail("usage: node scripts/release/publish.mjs TAG FOLDER [--dry-run]", 2);
}
const problems = await sumProblems(folder);
if (problems.length > 0) fail(problems.join("\npublish: "), 1);

const script = fileURLToPath(new URL("notes.mjs", import.meta.url));
const notes = spawnSync(process.execPath, [script, tag], { encoding: "utf8" });
if (notes.status !== 0) fail(notes.stderr.trim(), 1);
const files = readdirSync(folder).sort().map((name) => join(folder, name));
const version = tag.slice(1);
const isNewest = tagsOf(version, taggedVersions()).includes("latest");
const command = [
  ...["release", "create", tag, "--verify-tag", "--title", version, "--notes-file", "-"],
  ...(parseVersion(version).pre.length > 0 ? ["--prerelease"] : []),
  `--latest=${isNewest}`,
  ...files,
];
if (isDry) {
  console.log(`gh ${command.join(" ")}\n\n${notes.stdout.trim()}`);
  process.exit(0);
}
if (!existsSync(join(folder, SIGNATURE))) fail(`${folder} has no ${SIGNATURE}`, 1);
// GitHub is asked: the checkout of a run makes the tag anew as it was when the run began.
const asked = ["api", `repos/{owner}/{repo}/commits/tags/${tag}`, "--jq", ".sha"];
const tagged = spawnSync("gh", asked, { encoding: "utf8" }).stdout?.trim();
const root = fileURLToPath(new URL("../..", import.meta.url));
const built = spawnSync("git", ["rev-parse", "HEAD"], { cwd: root, encoding: "utf8" }).stdout
  .trim();
if (built === "" || tagged !== built) {
  fail(`the tag ${tag} does not name ${built || "a commit"}`, 1);
}
const { status, error } = spawnSync("gh", command, {
  input: notes.stdout,
  stdio: ["pipe", "inherit", "inherit"],
});
if (error !== undefined) fail(`gh cannot be run: ${error.message}`, 1);
if (status !== 0) fail(`gh ended with ${status}`, 1);

function fail(text, status) {
  console.error(`publish: ${text}`);
  process.exit(status);
}
