// Where a file of the project is on the site, and where the repository is.

import { posix } from "node:path";
import { UNKNOWN_OWNER } from "../release/repository.mjs";

/**
 * A name that is the same in an address and in a folder, and stays below it. An old tag may have others:
 * these files are read in the repository.
 */
const PLAIN = /^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/(?!$)|$))+$/;

/** Pages, from the project's root: what administrators and developers read. */
export function isPage(path: string): boolean {
  if (!PLAIN.test(path)) return false;
  return /^(?:README|SECURITY|CHANGELOG|CONTRIBUTING)\.md$/.test(path) ||
    /^docs\/.+\.md$/.test(path) || /^deploy\/.+\/README\.md$/.test(path);
}

/** Pictures are copied to the site if a page shows them. */
export function isPicture(path: string): boolean {
  return PLAIN.test(path) && /\.(?:png|svg|jpe?g|gif|webp)$/i.test(path);
}

/**
 * The address of a page, from the top of its version: `docs/queue.md` is `queue.html`, and
 * `deploy/systemd/README.md` is `deploy/systemd.html`.
 */
export function pageAddress(path: string): string {
  if (path === "README.md") return "index.html";
  const name = path.replace(/^docs\//, "").replace(/\/README\.md$/, "").replace(/\.md$/, "");
  return `${path.includes("/") ? name : name.toLowerCase()}.html`;
}

/** The address of a copied picture: `docs/inbox.png` is `pictures/inbox.png`. */
export function pictureAddress(path: string): string {
  return `pictures/${path.replace(/^docs\//, "")}`;
}

/** From one address to another of the same site, as a link. */
export function relativeAddress(from: string, to: string): string {
  return posix.relative(posix.dirname(from), to);
}

/**
 * Where the repository is: `repository.url` in package.json.
 *
 * @param metadata the text of package.json
 * @returns such as `https://github.com/owner/name`; undefined if it is not known
 */
export function repositoryAddress(metadata: string): string | undefined {
  const { repository } = JSON.parse(metadata) as { repository?: string | { url?: string } };
  const url = typeof repository === "string" ? repository : repository?.url ?? "";
  const match = /^(?:git\+)?(https:\/\/[\w.-]+\/([\w.-]+)\/[\w.-]+?)(?:\.git)?$/.exec(url);
  return match === null || match[2] === UNKNOWN_OWNER ? undefined : match[1]!;
}

/**
 * The address of the site, for the site map.
 *
 * @returns with its slash at the end
 * @throws {Error} if the text is not an address
 */
export function siteAddress(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search + url.hash !== "") {
    throw new Error(`"${text}" is not an address such as https://example.com/docs/`);
  }
  return url.href.replace(/\/*$/, "/");
}
