// The versions of the site: what is its root, and the releases.

import type { Edition } from "./build.ts";
import { taggedTree, tagsOf, textOf, workingTree } from "./source.ts";
import { releasedVersions } from "./versions.ts";

/**
 * @param root the project's directory
 * @param released whether the root of the site is the newest release, if there is one, and not the working
 *   tree
 */
export function editionsOf(root: string, released: boolean): Edition[] {
  const releases = releasedVersions(tagsOf(root)).map((version) => ({
    version,
    folder: `${version}/`,
    source: taggedTree(root, `v${version}`),
  }));
  const [newest] = releases;
  if (released && newest !== undefined) return [{ ...newest, folder: "" }, ...releases];
  const source = workingTree(root);
  const { version } = JSON.parse(textOf(source, "package.json")) as { version: string };
  // After a release, the working tree has its version until the next one is named.
  const isReleased = releases.some((release) => release.version === version);
  return [{ version: isReleased ? `after ${version}` : version, folder: "", source }, ...releases];
}
