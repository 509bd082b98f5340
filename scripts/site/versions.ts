// Which versions the site has: the tags `v1.2.3` of git.

import { compareVersions, parseVersion } from "../release/version.mjs";

/**
 * The versions that were released, the newest first. A pre-release is read in the repository.
 *
 * @param tags all there are
 */
export function releasedVersions(tags: readonly string[]): string[] {
  return tags.flatMap((tag) => {
    try {
      const version = parseVersion(tag.replace(/^v/, ""));
      return tag.startsWith("v") && version.pre.length === 0 ? [version] : [];
    } catch {
      return [];
    }
  }).sort((a, b) => compareVersions(b, a)).map(({ text }) => text);
}
