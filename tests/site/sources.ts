// The project's own pages, and small ones of a test.

import { fileURLToPath } from "node:url";
import type { Edition } from "../../scripts/site/build.ts";
import { type Source, workingTree } from "../../scripts/site/source.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Files of a project that is nothing but these. */
export function sourceOf(files: Readonly<Record<string, string>>, ref = "HEAD"): Source {
  const all: Record<string, string> = { "package.json": '{"version":"1.0.0"}', ...files };
  return {
    ref,
    paths: new Set(Object.keys(all).sort()),
    read: (path) => new TextEncoder().encode(all[path]),
  };
}

export function editionOf(
  files: Readonly<Record<string, string>>,
  version = "1.0.0",
  folder = "",
): Edition {
  return { version, folder, source: sourceOf(files, folder === "" ? "HEAD" : `v${version}`) };
}

/** The working tree, with more files than it has. */
export function treeWith(more: Readonly<Record<string, string>>): Edition {
  const tree = workingTree(ROOT);
  const source = {
    ref: tree.ref,
    paths: new Set([...tree.paths, ...Object.keys(more)].sort()),
    read: (path: string) =>
      Object.hasOwn(more, path) ? new TextEncoder().encode(more[path]) : tree.read(path),
  };
  return { version: "1.0.0", folder: "", source };
}

/** A make that no list of the project has. */
export const ACME = {
  "docs/devices/acme.md": "# Acme\n\nScan to e-mail of Acme's Paperweight.\n\n## Fields\n\nNone.\n",
};
