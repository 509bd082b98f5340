// What package-lock.json says: names, versions, licences and hashes of all packages.

import { readFileSync } from "node:fs";

/** A package in the lock file (https://docs.npmjs.com/cli/configuring-npm/package-lock-json). */
export interface LockedPackage {
  readonly version: string;
  /** `sha512-…` in base64, of the package's archive. */
  readonly integrity: string;
  readonly license?: string;
  /** Needed for building or testing only. */
  readonly dev?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly name: string;
  readonly version: string;
  /** By their places, such as `node_modules/pino`; the project itself is `""`. */
  readonly packages: Readonly<Record<string, LockedPackage>>;
}

/** @param root the project's directory, with its slash */
export function readLock(root: string): Lock {
  return JSON.parse(readFileSync(`${root}package-lock.json`, "utf8")) as Lock;
}

/** `node_modules/a/node_modules/@b/c` → `@b/c` */
export function nameOf(place: string): string {
  return place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
}

/** The place of the package that a file of the bundle belongs to; undefined for our own. */
export function placeOf(file: string): string | undefined {
  return /^.*\bnode_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0];
}

/** Where Node looks for a dependency, from the package at a place upwards. */
export function resolveFrom(lock: Lock, place: string, name: string): string | undefined {
  let folder = place;
  for (;;) {
    const found = folder === "" ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (found in lock.packages) return found;
    if (folder === "") return undefined;
    const end = folder.lastIndexOf("/node_modules/");
    folder = end < 0 ? "" : folder.slice(0, end);
  }
}
