// Makes what package managers read of a release, and adds it to the folder with the release's files:
//
//   node scripts/release/manifests.mjs FOLDER
//
//   smtp-oauth-relay.rb            Homebrew's formula, from deploy/homebrew
//   SmtpOauthRelay.*.yaml          winget's manifests, from deploy/winget
//   smtp-oauth-relay-1.2.3.tgz     Helm's chart, from deploy/helm
//
// Version and repository are those of package.json, and the checksums those of FOLDER/SHA256SUMS, to which the
// new files are added. The same commit gives the same files: the chart's time is SOURCE_DATE_EPOCH, or
// else the commit's. Exit 1 if a file that they name has no checksum, 2 for wrong arguments.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { withVersion } from "./places.mjs";
import { repositoryOf, withRepository } from "./repository.mjs";
import { SUMS } from "./sums.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const CHART = "deploy/helm/smtp-oauth-relay";
/** An older version's chart would look as if it belonged to this one. */
const CHARTS = /^smtp-oauth-relay-\d+\.\d+\.\d+.*\.tgz$/;

/**
 * The text of a formula or a manifest with the checksums of the files that it names.
 *
 * @param {string} text
 * @param {ReadonlyMap<string, string>} sums by a file's name
 * @returns {string}
 * @throws {Error} if a file has none, or a checksum no file
 */
export function withSums(text, sums) {
  let file;
  const lines = text.split("\n").map((line) => {
    const url = /^\s*(?:url "|InstallerUrl: )[^"\s]*\/([^"/\s]+)"?$/.exec(line);
    if (url !== null) {
      if (file !== undefined) throw new Error(`${file} is named without a place for its checksum`);
      file = url[1];
      if (!sums.has(file)) throw new Error(`${file} has no checksum in ${SUMS}`);
    }
    const place = /^(\s*(?:sha256 |InstallerSha256: )")[0-9A-Fa-f]{64}"$/.exec(line);
    if (place === null) return line;
    if (file === undefined) throw new Error("there is a place for a checksum without a file");
    const sum = sums.get(file);
    file = undefined;
    // winget writes them in capitals.
    return `${place[1]}${line.includes("InstallerSha256") ? sum.toUpperCase() : sum}"`;
  });
  if (file !== undefined) throw new Error(`${file} is named without a place for its checksum`);
  return lines.join("\n");
}

/** A formula or a manifest of the repository as it is for the release. */
function filled(path, version, repository, sums) {
  const text = readFileSync(join(root, path), "utf8");
  const [, written] = /github\.com\/([\w.-]+\/[\w.-]+)/.exec(text) ?? [];
  const placed = written === undefined ? text : withRepository(text, written, repository);
  return withSums(withVersion(placed, version), sums);
}

function chart(epoch) {
  const tar = execFileSync("tar", [
    ...["--sort=name", `--mtime=@${epoch}`, "--owner=0", "--group=0", "--numeric-owner"],
    ...["--mode=u=rwX,go=rX", "--format=ustar", "-C", join(root, CHART, ".."), "-cf", "-"],
    "smtp-oauth-relay",
  ], { maxBuffer: 64 * 2 ** 20 });
  return gzipSync(tar, { level: 9 });
}

function sourceDate() {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined && /^\d{1,11}$/.test(given)) return given;
  return execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" }).trim();
}

function main([folder, ...surplus]) {
  if (folder === undefined || surplus.length > 0) {
    console.error("usage: node scripts/release/manifests.mjs FOLDER");
    return 2;
  }
  try {
    const metadata = readFileSync(join(root, "package.json"), "utf8");
    const { version } = JSON.parse(metadata);
    const repository = repositoryOf(metadata);
    if (!existsSync(join(folder, SUMS))) throw new Error(`${folder} has no ${SUMS}`);
    const lines = readFileSync(join(folder, SUMS), "utf8").split("\n").filter((line) =>
      line !== ""
    );
    const sums = new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
    const files = new Map([[`smtp-oauth-relay-${version}.tgz`, chart(sourceDate())]]);
    for (const place of ["deploy/homebrew", "deploy/winget"]) {
      for (const name of readdirSync(join(root, place))) {
        if (!/\.(?:rb|yaml)$/.test(name)) continue;
        files.set(name, filled(`${place}/${name}`, version, repository, sums));
      }
    }
    for (const name of readdirSync(folder)) {
      if (!CHARTS.test(name)) continue;
      rmSync(join(folder, name));
      sums.delete(name);
    }
    for (const [name, content] of files) {
      writeFileSync(join(folder, name), content);
      sums.set(name, createHash("sha256").update(content).digest("hex"));
      console.log(name);
    }
    const sorted = [...sums].sort(([a], [b]) => a < b ? -1 : 1);
    writeFileSync(join(folder, SUMS), sorted.map(([name, sum]) => `${sum}  ${name}\n`).join(""));
    return 0;
  } catch (error) {
    console.error(`manifests: ${error.message}`);
    return 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = main(process.argv.slice(2));
}
