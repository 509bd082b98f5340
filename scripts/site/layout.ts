// The frame of a page: landmarks, navigation, search and versions around the text.

import { relativeAddress } from "./addresses.ts";
import { escapeHtml } from "./escape.ts";
import type { Heading } from "./markdown.ts";
import type { NavigationGroup, NavigationLink } from "./navigation.ts";

/**
 * What a page may do: it takes everything from its own site, and sends nothing. `frame-ancestors` cannot be
 * said in a page.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

const NAME = "smtp-oauth-relay";

const icon = (paths: string) =>
  `<svg viewBox="0 0 24 24" width="20" height="20" fill="none" stroke="currentColor" stroke-width="2"` +
  ` stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;
const BRAND = `<svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">` +
  `<rect width="32" height="32" rx="8" fill="#4f46e5"/><path d="M7 11h18v11H7zm0 0 9 7 9-7"` +
  ` fill="none" stroke="#fff" stroke-width="2" stroke-linejoin="round"/></svg>`;
const MENU = icon(`<path d="M4 7h16M4 12h16M4 17h16"/>`);
const THEME = icon(
  `<circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16z" fill="currentColor"/>`,
);

/** The same page in a version; its first page where that version does not have it. */
export interface VersionLink {
  readonly label: string;
  readonly href: string;
  readonly isCurrent: boolean;
}

/** What all pages of a version have in common. */
export interface Frame {
  readonly version: string;
  readonly navigation: readonly NavigationGroup[];
  /** Addresses of the scripts and the style, by their names. */
  readonly assets: Readonly<
    Record<"css" | "theme" | "site" | "search" | "library" | "index", string>
  >;
  /** The address of a page, by its path; from the top of the version. */
  readonly addresses: ReadonlyMap<string, string>;
  readonly repository: string | undefined;
  readonly ref: string;
}

export interface FramedPage {
  /** Its file, unless it is not of the repository. */
  readonly path: string | undefined;
  /** From the top of the version. */
  readonly address: string;
  readonly title: string;
  readonly summary: string;
  readonly html: string;
  readonly headings: readonly Heading[];
  readonly versions: readonly VersionLink[];
  /** Set where the version is not the latest: the same page in that one. */
  readonly latest: VersionLink | undefined;
  /** Its whole address in the latest version, if it is known. */
  readonly canonical: string | undefined;
}

/**
 * @param link what an address of the version is on this page
 */
export function framed(
  frame: Frame,
  page: FramedPage,
  link: (address: string) => string = (address) => relativeAddress(page.address, address),
): string {
  const { assets } = frame;
  const hrefOf = ({ path, fragment }: NavigationLink) =>
    path === page.path && fragment !== ""
      ? fragment
      : escapeHtml(link(frame.addresses.get(path)!) + fragment);
  const isHome = page.path === "README.md";
  const title = `${isHome ? SUBJECT : page.title} · ${NAME}`;
  const head = [
    `<meta charset="utf-8">`,
    `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`,
    `<meta name="viewport" content="width=device-width, initial-scale=1">`,
    `<meta name="referrer" content="no-referrer">`,
    `<meta name="color-scheme" content="light dark">`,
    `<title>${escapeHtml(title)}</title>`,
    `<meta name="description" content="${escapeHtml(shortened(page.summary))}">`,
    // Search engines show the latest version.
    ...(page.latest === undefined && page.path !== undefined
      ? []
      : [`<meta name="robots" content="noindex">`]),
    ...(page.canonical === undefined
      ? []
      : [`<link rel="canonical" href="${escapeHtml(page.canonical)}">`]),
    `<link rel="icon" type="image/svg+xml" href="${link("assets/icon.svg")}">`,
    `<link rel="stylesheet" href="${link(assets.css)}">`,
    `<script src="${link(assets.theme)}"></script>`,
    `<script src="${link(assets.site)}" defer></script>`,
    `<script src="${link(assets.search)}" defer></script>`,
  ];
  return `<!DOCTYPE html>
<html lang="en">
<head>
${head.join("\n")}
</head>
<body>
<a class="skip" href="#content">Skip to the content</a>
<header class="bar">
<a class="brand" href="${link("index.html")}">${BRAND}<span>${NAME}</span></a>
${versionsOf(frame, page)}
<div class="search" role="search" hidden data-library="${link(assets.library)}" data-index="${
    link(assets.index)
  }" data-top="${link("index.html").replace(/index\.html$/, "")}">
<label class="visually-hidden" for="search">Search the documentation</label>
<input id="search" type="search" placeholder="Search" autocomplete="off" spellcheck="false" maxlength="100" role="combobox" aria-expanded="false" aria-controls="results" aria-autocomplete="list">
<kbd aria-hidden="true">/</kbd>
<p id="found" class="visually-hidden" role="status"></p>
<div id="results" role="listbox" aria-label="Results" hidden></div>
</div>
<button id="theme" class="icon" type="button" hidden>${THEME}</button>
<button id="menu" class="icon" type="button" aria-controls="navigation" aria-expanded="false" aria-label="Navigation" hidden>${MENU}</button>
</header>
<div class="page">
<nav id="navigation" aria-label="Tasks">
${frame.navigation.map((group) => groupOf(group, page, hrefOf)).join("\n")}
</nav>
${contents(page.headings)}<main id="content" tabindex="-1">
${notice(page)}<article${isHome ? ` class="home"` : ""}>
${page.html}</article>
${neighbours(frame, page, link)}</main>
</div>
<footer>
<p>${NAME} ${escapeHtml(frame.version)}, free software under the MIT licence${
    repositoryLinks(frame, page)
  }. This site stores nothing about you and asks no other server.</p>
</footer>
</body>
</html>
`;
}

/** What administrators search for whose printers have stopped. */
const SUBJECT = "Printers send again when SMTP AUTH basic authentication is disabled";

/** Of a paragraph, what search engines show. */
function shortened(text: string): string {
  return text.length <= 160 ? text : `${text.slice(0, 157).replace(/\s+\S*$/, "")} …`;
}

function versionsOf({ version }: Frame, { versions }: FramedPage): string {
  if (versions.length < 2) return `<p class="version">${escapeHtml(version)}</p>`;
  const items = versions.map(({ label, href, isCurrent }) =>
    `<li><a href="${escapeHtml(href)}"${isCurrent ? ` aria-current="true"` : ""}>${
      escapeHtml(label)
    }</a></li>`
  );
  return `<details class="versions"><summary aria-label="Version ${
    escapeHtml(version)
  }, choose another">${escapeHtml(version)}</summary><ul>${items.join("")}</ul></details>`;
}

function groupOf(
  group: NavigationGroup,
  page: FramedPage,
  hrefOf: (link: NavigationLink) => string,
): string {
  const isHere = page.path !== undefined && group.pages.includes(page.path);
  const item = (link: NavigationLink) => {
    const current = link.path === page.path && link.fragment === "" ? ` aria-current="page"` : "";
    return `<li><a href="${hrefOf(link)}"${current}>${escapeHtml(link.label)}</a></li>`;
  };
  const makes = group.makes.length === 0
    ? ""
    : `<p id="makes">By make</p><ul class="makes" aria-labelledby="makes">${
      group.makes.map(item).join("")
    }</ul>`;
  return `<details${isHere ? " open" : ""}><summary>${escapeHtml(group.label)}</summary><ul>${
    group.links.map(item).join("")
  }</ul>${makes}</details>`;
}

function notice({ latest, versions }: FramedPage): string {
  if (latest === undefined) return "";
  const own = versions.find(({ isCurrent }) => isCurrent)!;
  return `<p class="notice" role="note">This page is for version ${
    escapeHtml(own.label)
  }. <a href="${escapeHtml(latest.href)}">Go to ${escapeHtml(latest.label)}</a>.</p>\n`;
}

/** The pages before and after this one, in the order of the tasks. */
function neighbours(frame: Frame, page: FramedPage, link: (address: string) => string): string {
  const order = frame.navigation.flatMap(({ links, makes, pages }) =>
    pages.map((path) =>
      [...links, ...makes].find((entry) => entry.path === path && entry.fragment === "")!
    )
  );
  const at = order.findIndex(({ path }) => path === page.path);
  if (at < 0) return "";
  const to = (entry: NavigationLink | undefined, rel: string, word: string) =>
    entry === undefined
      ? ""
      : `<a rel="${rel}" href="${
        escapeHtml(link(frame.addresses.get(entry.path)!))
      }"><small>${word}</small> ${escapeHtml(entry.label)}</a>`;
  return `<nav class="neighbours" aria-label="Neighbouring pages">${
    to(order[at - 1], "prev", "Before")
  }${to(order[at + 1], "next", "Next")}</nav>\n`;
}

function contents(headings: readonly Heading[]): string {
  const listed = headings.filter(({ level }) => level === 2 || level === 3);
  if (listed.length < 2) return "";
  const items = listed.map(({ level, id, text }) =>
    `<li class="level-${level}"><a href="#${id}">${escapeHtml(text)}</a></li>`
  );
  return `<nav class="contents" aria-label="On this page"><details><summary>On this page</summary><ul>${
    items.join("")
  }</ul></details></nav>\n`;
}

function repositoryLinks({ repository, ref }: Frame, { path }: FramedPage): string {
  if (repository === undefined) return "";
  const file = path === undefined
    ? ""
    : `, <a href="${escapeHtml(`${repository}/blob/${ref}/${path}`)}">this page's source</a>`;
  return `. <a href="${escapeHtml(repository)}">Repository</a>${file}`;
}
