// Reads pages of the built site as a browser would: their links, their fragments, and what they load.

import { posix } from "node:path";

/** What a page refers to. */
export interface References {
  /** `href` of links. */
  readonly links: readonly string[];
  /** What the browser loads by itself, or a script later. */
  readonly loaded: readonly string[];
  readonly ids: ReadonlySet<string>;
}

/** A comment or the text of a page has no `<` that is not escaped, so tags are found by their form. */
export function referencesOf(html: string): References {
  const links: string[] = [];
  const loaded: string[] = [];
  const ids = new Set<string>();
  for (const [, name, attributes = ""] of html.matchAll(/<([a-z][a-z0-9]*)((?: [^<>]*)?)>/g)) {
    for (const [, key, value = ""] of attributes.matchAll(/ ([a-z-]+)="([^"]*)"/g)) {
      const text = value.replaceAll("&quot;", '"').replaceAll("&amp;", "&");
      if (key === "id") ids.add(text);
      else if (key === "href" && name === "a") links.push(text);
      else if (/^(?:href|src|srcset|data-library|data-index)$/.test(key!)) loaded.push(text);
    }
  }
  return { links, loaded, ids };
}

/** What is wrong in a site: a line for each link or file that is not there. */
export function deadLinks(files: ReadonlyMap<string, string | Uint8Array>): string[] {
  const pages = new Map(
    [...files].filter(([name]) => name.endsWith(".html"))
      .map(([name, html]) => [name, referencesOf(html as string)]),
  );
  return [...pages].flatMap(([name, { links, loaded }]) => {
    const wrong = (link: string, isLink: boolean) => {
      if (isLink && /^(?:https?|mailto):/.test(link)) return false;
      const [, path = "", fragment] = /^([^?#]*)(?:\?[^#]*)?(?:#(.*))?$/.exec(link)!;
      const target = path === "" ? name : posix.join(posix.dirname(name), path);
      if (!files.has(target)) return true;
      return fragment !== undefined && !pages.get(target)?.ids.has(decodeURIComponent(fragment));
    };
    return [
      ...links.filter((link) => wrong(link, true)),
      ...loaded.filter((link) => wrong(link, false)),
    ].map((link) => `${name}: ${link}`);
  });
}

/** The pages that can be reached from a page by links alone. */
export function reachable(
  files: ReadonlyMap<string, string | Uint8Array>,
  from: string,
): Set<string> {
  const reached = new Set([from]);
  for (const name of reached) {
    for (const link of referencesOf(files.get(name) as string).links) {
      const [path = ""] = link.split("#");
      const target = posix.join(posix.dirname(name), path);
      if (path.endsWith(".html") && files.has(target)) reached.add(target);
    }
  }
  return reached;
}
