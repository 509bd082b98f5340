// Where the version stands besides package.json: in package-lock.json, and in all files of deploy/, docs/,
// README.md and SECURITY.md that name the program with it. They are found by their form, not by a list of
// files.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

// What follows a hyphen may also be the release of a package, or a system.
const PRE = "-(?:alpha|beta|rc)\\.\\d+";
const VERSION = `\\d+\\.\\d+\\.\\d+(?:${PRE})?`;
const before = (form) => new RegExp(`(?<=${form})${VERSION}(?![0-9A-Za-z]|\\.\\d|${PRE})`, "gm");

/** Each is what stands before the version. */
const FORMS = [
  // An image's tag, a downloaded file, a package, or the line of `version`.
  before("\\bsmtp-oauth-relay(?:@sha256)?[:@_ -]v?"),
  // A release, or a download of it.
  before("/releases/(?:download|tag)/v"),
  // A file of the tag, in the parameter of an address.
  before("raw\\.githubusercontent\\.com%2F[^%\\s]+%2F[^%\\s]+%2Fv"),
  // An image, wherever the project is published.
  before("ghcr\\.io/[\\w.-]+/[\\w.-]+:"),
  // kustomize; Helm's chart, and the application's in it.
  before("^\\s*newTag: [\"']?"),
  before("^(?:version|appVersion): [\"']?"),
  // Homebrew's formula; winget's manifests.
  before('^\\s*version "'),
  before("^\\s*(?:- )?PackageVersion: [\"']?"),
  before("manifests/s/SmtpOauthRelay/SmtpOauthRelay/"),
];

/** Folders and files with documents and what is deployed. */
const PLACES = ["deploy", "docs", "README.md", "SECURITY.md"];
const PICTURES = /\.(?:png|ico|jpe?g|gif|webp|woff2?)$/;

/**
 * @param {import("./version.mjs").Version} version
 * @returns {boolean} whether it will be found again: pre-releases are named alpha.N, beta.N and rc.N
 */
export function isFindable({ pre }) {
  return pre.length === 0 || new RegExp(`^${PRE}$`).test(`-${pre.join(".")}`);
}

/**
 * The text with another version wherever one stands in a known form.
 *
 * @param {string} text
 * @param {string} version
 * @returns {string}
 */
export function withVersion(text, version) {
  return FORMS.reduce((result, form) => result.replace(form, version), text);
}

/**
 * Files that may name the version.
 *
 * @param {string} root the project's directory
 * @returns {string[]} paths from the root
 */
export function placesIn(root) {
  return PLACES.flatMap((place) =>
    place.endsWith(".md")
      ? [place]
      : readdirSync(join(root, place), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !PICTURES.test(entry.name))
        .map(({ parentPath, name }) => join(parentPath, name).slice(join(root, "/").length))
  ).sort();
}

/**
 * Lines with the current version in a form that is not known: they would stay behind at a release. "since
 * 1.2.3" stays as it is, and so does a number that is a part of another.
 *
 * @param {string} text
 * @param {string} version
 * @returns {number[]} line numbers, from 1
 */
export function unknownMentions(text, version) {
  const rest = withVersion(text, "");
  const exact = version.replaceAll(".", "\\.");
  const mention = new RegExp(
    `(?<![\\w.-]|\\b(?:since|before|until|from|in) )v?${exact}(?![\\w-]|\\.\\d)`,
  );
  return rest.split("\n").flatMap((line, i) => mention.test(line) ? [i + 1] : []);
}

/**
 * package.json or package-lock.json with another version; nothing else in it changes.
 *
 * @param {string} text
 * @param {string} version
 * @param {boolean} isLock
 * @returns {string}
 * @throws {Error} if the version is not where it should be
 */
export function withPackageVersion(text, version, isLock) {
  // The project is first, and in the lock file twice.
  const form = isLock
    ? /^(\{\s*"name": "[^"]*",\s*"version": ")[^"]*(",[^]*?"packages": \{\s*"": \{\s*"name": "[^"]*",\s*"version": ")[^"]*(")/
    : /^(\{\s*"name": "[^"]*",\s*"version": ")[^"]*(")/;
  if (!form.test(text)) throw new Error("name and version are not at the top of the file");
  return text.replace(form, (_, ...parts) => parts.slice(0, isLock ? 3 : 2).join(version));
}

/**
 * Versions in the file of a package or its lock.
 *
 * @param {string} root
 * @param {string} name
 */
export function packageVersions(root, name) {
  const json = JSON.parse(readFileSync(join(root, name), "utf8"));
  return [json.version, ...(json.packages === undefined ? [] : [json.packages[""].version])];
}
