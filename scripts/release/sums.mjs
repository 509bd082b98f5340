// Checks SHA256SUMS of a folder: `node scripts/release/sums.mjs FOLDER`. Each of its files must be there
// with its checksum, and each file there must have one: what has none was not attested either. With
// `--among OTHER`, another folder's SHA256SUMS must have the same lines, and may have more: the build can
// be repeated. With `--is SUM`, SHA256SUMS itself must have this SHA-256: any job of a run can replace what
// another one has uploaded, but not that job's outputs. Exit 1 if not, with a line for each problem; 2 for
// wrong arguments.
//
// In the pipeline, GITHUB_OUTPUT names a file: there the SHA-256 of SHA256SUMS becomes the output `sums`.

import { createHash } from "node:crypto";
import { appendFileSync, createReadStream, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

export const SUMS = "SHA256SUMS";
export const SIGNATURE = `${SUMS}.sigstore.json`;

/** GitHub renames other files (REST API, "Upload a release asset"): they would not have their checksums. */
export const UNCHANGED = /^[0-9A-Za-z][0-9A-Za-z._+-]*$/;

/**
 * @param {string} folder
 * @returns {Promise<string[]>} a line for each problem
 */
export async function sumProblems(folder) {
  if (!existsSync(join(folder, SUMS))) return [`${folder} has no ${SUMS}`];
  const lines = readFileSync(join(folder, SUMS), "utf8").split("\n").filter((line) => line !== "");
  const problems = [];
  const summed = new Set([SUMS, SIGNATURE]);
  for (const line of lines) {
    const match = /^([0-9a-f]{64}) {2}([^/\\]+)$/.exec(line);
    if (match === null) {
      problems.push(`${SUMS} has the line "${line}"`);
      continue;
    }
    const [, sum, name] = match;
    summed.add(name);
    if (!UNCHANGED.test(name)) problems.push(`${name} would get another name in a release`);
    if (!existsSync(join(folder, name))) {
      problems.push(`${name} is missing`);
      continue;
    }
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, name)), hash);
    if (hash.digest("hex") !== sum) problems.push(`${name} does not have its checksum`);
  }
  if (lines.length === 0) problems.push(`${SUMS} is empty`);
  for (const name of readdirSync(folder)) {
    if (!summed.has(name)) problems.push(`${name} has no checksum`);
  }
  return problems;
}

/**
 * @param {string} folder
 * @param {string} other
 * @returns {string[]} a line for each checksum of the folder that the other does not have
 */
function differences(folder, other) {
  const linesOf = (path) => readFileSync(join(path, SUMS), "utf8").split("\n");
  const others = new Set(linesOf(other));
  return linesOf(folder).filter((line) => !others.has(line))
    .map((line) => `${other} does not have ${line}`);
}

async function main(args) {
  const options = optionsOf(args);
  if (options === undefined) {
    console.error("usage: node scripts/release/sums.mjs FOLDER [--among OTHER] [--is SUM]");
    return 2;
  }
  const { folder, among, is } = options;
  const problems = await sumProblems(folder);
  if (problems.length === 0) {
    if (among !== undefined) problems.push(...differences(folder, among));
    const sum = createHash("sha256").update(readFileSync(join(folder, SUMS))).digest("hex");
    if (is !== undefined && sum !== is) problems.push(`${SUMS} has the SHA-256 ${sum}, not ${is}`);
    if (process.env.GITHUB_OUTPUT) appendFileSync(process.env.GITHUB_OUTPUT, `sums=${sum}\n`);
  }
  for (const problem of problems) console.error(`sums: ${problem}`);
  if (problems.length > 0) return 1;
  console.log(
    `${folder}: each file has its checksum${among === undefined ? "" : `, as in ${among}`}`,
  );
  return 0;
}

/** @returns undefined for wrong arguments */
function optionsOf(args) {
  const options = { among: { type: "string" }, is: { type: "string" } };
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
    return positionals.length === 1 ? { folder: positionals[0], ...values } : undefined;
  } catch {
    return undefined;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = await main(process.argv.slice(2));
}
