// The whole site as files in memory: each version's pages, what the browser loads with them, the list of
// versions, the page for addresses that do not exist, and the site map.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import {
  isPage,
  pageAddress,
  pictureAddress,
  relativeAddress,
  repositoryAddress,
} from "./addresses.ts";
import { escapeHtml } from "./escape.ts";
import { type Frame, framed, type VersionLink } from "./layout.ts";
import { type Page, renderPage, titleOf } from "./markdown.ts";
import { navigationOf } from "./navigation.ts";
import { searchIndex } from "./search_index.ts";
import { type Source, textOf } from "./source.ts";

/** A version of the documentation. */
export interface Edition {
  /** Such as `1.2.3`. */
  readonly version: string;
  /** Where it is on the site: empty, or with its slash. */
  readonly folder: string;
  readonly source: Source;
}

export interface Site {
  /** By their addresses from the top of the site. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
  /** What is wrong in the pages of the latest version. */
  readonly problems: readonly string[];
}

interface Rendered extends Edition {
  readonly pages: readonly Page[];
  readonly addresses: ReadonlyMap<string, string>;
}

/**
 * @param editions the latest first, which is the root of the site; then its releases, the newest first
 * @param address of the site, with its slash, if it is known
 * @throws {Error} if two pages have one address
 */
export function buildSite(editions: readonly Edition[], address?: string): Site {
  const [latest] = editions;
  if (latest === undefined) throw new Error("there is no version");
  const repository = repositoryAddress(textOf(latest.source, "package.json"));
  const rendered = editions.map((edition) => render(edition, repository));
  const files = new Map<string, string | Uint8Array>();
  for (const edition of rendered) {
    for (const [name, content] of editionFiles(edition, rendered, repository, address)) {
      files.set(edition.folder + name, content);
    }
  }
  const listed = rendered.map(({ version, folder }) => ({ version, path: folder }));
  files.set(
    "versions.json",
    `${JSON.stringify({ latest: latest.version, versions: listed }, null, 2)}\n`,
  );
  if (address !== undefined) files.set("sitemap.xml", siteMap(rendered[0]!.pages, address));
  const problems = rendered[0]!.pages.flatMap((page) => page.problems);
  return { files: new Map([...files].sort(([a], [b]) => a < b ? -1 : 1)), problems };
}

function render(edition: Edition, repository: string | undefined): Rendered {
  const paths = [...edition.source.paths].filter(isPage);
  const addresses = new Map(paths.map((path) => [path, pageAddress(path)]));
  if (new Set(addresses.values()).size < paths.length) {
    throw new Error(`two pages have one address: ${[...addresses.values()].sort().join(" ")}`);
  }
  const titles = new Map(paths.map((path) => {
    return [path, titleOf(textOf(edition.source, path)) ?? path];
  }));
  const project = { source: edition.source, titles, repository };
  const pages = paths.map((path) => renderPage(project, path));
  return { ...edition, pages, addresses };
}

function editionFiles(
  edition: Rendered,
  all: readonly Rendered[],
  repository: string | undefined,
  address: string | undefined,
): Map<string, string | Uint8Array> {
  const { pages, source, addresses, version, folder } = edition;
  const files = new Map<string, string | Uint8Array>([["assets/icon.svg", asset("icon.svg")]]);
  // A browser that has an older file does not take it for this one.
  const add = (name: string, content: string) => {
    files.set(`assets/${name}`, content);
    const sum = createHash("sha256").update(content).digest("hex");
    return `assets/${name}?${sum.slice(0, 8)}`;
  };
  const frame: Frame = {
    version,
    navigation: navigationOf(pages),
    assets: {
      css: add("site.css", asset("site.css")),
      theme: add("theme.js", asset("theme.js")),
      site: add("site.js", asset("site.js")),
      search: add("search.js", asset("search.js")),
      library: add("minisearch.js", library()),
      index: add("search_index.js", searchIndex(pages)),
    },
    addresses,
    repository,
    ref: source.ref,
  };
  // The newest release is in its own folder too, for links that stay.
  const listed = all.filter((other, i) => i === 0 || other.version !== all[0]!.version);
  const newest = all.find((other) => other.folder !== "") ?? all[0]!;
  const isOld = folder !== "" && version !== newest.version;
  for (const page of pages) {
    const versions = listed.map((other) => versionLink(edition, other, page));
    files.set(
      page.address,
      framed(frame, {
        ...page,
        versions,
        latest: isOld ? versions[0] : undefined,
        canonical: address === undefined || !all[0]!.addresses.has(page.path)
          ? undefined
          : wholeAddress(address, page.address),
      }),
    );
    for (const path of page.pictures) files.set(pictureAddress(path), source.read(path));
  }
  if (folder === "") files.set("404.html", notFound(frame, address));
  return files;
}

function versionLink(from: Rendered, to: Rendered, page: Page): VersionLink {
  const target = to.folder + (to.addresses.get(page.path) ?? "index.html");
  return {
    label: to.folder === "" ? `${to.version} (latest)` : to.version,
    href: relativeAddress(from.folder + page.address, target),
    isCurrent: to.version === from.version,
  };
}

/** The page for an address that does not exist, at any depth: its links begin at the server's top. */
function notFound(frame: Frame, address: string | undefined): string {
  const top = address === undefined ? undefined : new URL(address).pathname;
  const link = (to: string) => top === undefined ? to : top + to;
  return framed(frame, {
    path: undefined,
    address: "404.html",
    title: "Page not found",
    summary: "There is no page at this address.",
    html: `<h1>Page not found</h1>
<p>There is no page at this address. It may have another name in this version.</p>
<ul>
<li>Search for it at the top of this page, or choose a task.</li>
<li><a href="${escapeHtml(link("index.html"))}">Begin at the first page</a>.</li>
</ul>
`,
    headings: [],
    versions: [],
    latest: undefined,
    canonical: undefined,
  }, link);
}

/** The first page has the address of the site itself. */
function wholeAddress(site: string, address: string): string {
  return site + (address === "index.html" ? "" : address);
}

function siteMap(pages: readonly Page[], site: string): string {
  const urls = pages.map((page) => wholeAddress(site, page.address)).sort()
    .map((url) => `<url><loc>${escapeHtml(url)}</loc></url>\n`);
  return `<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
${urls.join("")}</urlset>
`;
}

function asset(name: string): string {
  return readFileSync(new URL(`assets/${name}`, import.meta.url), "utf8");
}

/** MiniSearch for browsers, with its licence. */
function library(): string {
  const folder = join(dirname(createRequire(import.meta.url).resolve("minisearch")), "../..");
  const licence = readFileSync(join(folder, "LICENSE.txt"), "utf8").trim();
  const code = readFileSync(join(folder, "dist/umd/index.js"), "utf8");
  return `/*\nMiniSearch\n\n${licence}\n*/\n${code.replace(/^\/\/# sourceMappingURL=.*\n?/m, "")}`;
}
