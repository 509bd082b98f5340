// The index of the search, which the browser loads when somebody searches. Each section of a page is found
// by itself.

import MiniSearch from "minisearch";
import type { Page } from "./markdown.ts";

/** How both sides call MiniSearch: assets/search.js has the same fields. */
const FIELDS = ["heading", "page", "text"];
/** Characters of a section that a result shows. */
const EXCERPT = 140;

/** @returns a script that sets `siteIndex` */
export function searchIndex(pages: readonly Page[]): string {
  const index = new MiniSearch<{ id: number } & Record<string, string | number>>({
    fields: FIELDS,
  });
  const sections: (readonly [page: number, id: string, heading: string, excerpt: string])[] = [];
  for (const [number, { title, sections: all }] of pages.entries()) {
    for (const [i, { heading, text }] of all.entries()) {
      index.add({ id: sections.length, heading: heading.text, page: title, text });
      sections.push([
        number,
        i === 0 ? "" : heading.id,
        i === 0 ? "" : heading.text,
        excerpt(text),
      ]);
    }
  }
  const data = {
    pages: pages.map(({ address, title }) => [address, title]),
    sections,
    index: index.toJSON(),
  };
  return `"use strict";\nglobalThis.siteIndex = ${JSON.stringify(data)};\n`;
}

function excerpt(text: string): string {
  return text.length <= EXCERPT ? text : `${text.slice(0, EXCERPT).replace(/\s+\S*$/, "")} …`;
}
