// Where the text of the site comes from: the working tree, or a tag of git.

import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The files of the project, by their paths from its root, with slashes. */
export interface Source {
  /** The tag or branch that links into the repository lead to. */
  readonly ref: string;
  readonly paths: ReadonlySet<string>;
  /** @throws {Error} if there is no such file */
  read(path: string): Uint8Array;
}

const IGNORED = new Set(["node_modules", "dist", ".git", "certs"]);

/** @param root the project's directory */
export function workingTree(root: string): Source {
  const walk = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      if (IGNORED.has(entry.name)) return [];
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) return walk(path);
      return entry.isFile() ? [path] : [];
    });
  return {
    ref: "HEAD",
    paths: new Set(walk("").sort()),
    read: (path) => readFileSync(join(root, path)),
  };
}

/** @param root the project's directory */
export function taggedTree(root: string, tag: string): Source {
  const names = git(root, "ls-tree", "-r", "-z", "--name-only", "--full-tree", tag).toString();
  return {
    ref: tag,
    paths: new Set(names.split("\0").filter((name) => name !== "").sort()),
    read: (path) => git(root, "cat-file", "blob", `${tag}:${path}`),
  };
}

/** All tags of a repository; none where git or the repository is missing. */
export function tagsOf(root: string): string[] {
  try {
    return git(root, "tag", "--list").toString().split("\n").filter((tag) => tag !== "");
  } catch {
    return [];
  }
}

function git(root: string, ...args: string[]): Uint8Array & { toString(): string } {
  return execFileSync("git", args, {
    cwd: root,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** The text of a file. */
export function textOf(source: Source, path: string): string {
  return new TextDecoder().decode(source.read(path));
}
