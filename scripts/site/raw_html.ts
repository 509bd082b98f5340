// HTML in the Markdown. What is on a short list is written anew from its parts; comments are left out;
// everything else becomes text.

import { escapeHtml } from "./escape.ts";

/** Elements, and their attributes. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  a: ["href", "id", "name"],
  br: [],
  details: ["open"],
  div: ["align"],
  em: [],
  h1: ["align"],
  h2: ["align"],
  img: ["src", "alt", "width", "height"],
  kbd: [],
  p: ["align"],
  picture: [],
  source: ["media", "srcset"],
  strong: [],
  sub: [],
  summary: [],
  sup: [],
};
const VOID = new Set(["br", "img", "source"]);
const ADDRESSES = new Set(["href", "src", "srcset"]);
/** A comment, or a tag with attributes in quotes or without a value. */
const MARKUP =
  /<!--[^]*?-->|<(\/?)([a-zA-Z][a-zA-Z0-9]*)((?:\s+[a-zA-Z-]+(?:=(?:"[^"<>]*"|'[^'<>]*'))?)*)\s*\/?>/g;
const ATTRIBUTE = /([a-zA-Z-]+)(?:=(?:"([^"]*)"|'([^']*)'))?/g;

/**
 * HTML that is safe to show.
 *
 * @param address rewrites the address of a link or picture; undefined if it may not stay
 */
export function safeHtml(
  text: string,
  address: (target: string, isPicture: boolean) => string | undefined,
): string {
  let html = "";
  let end = 0;
  for (const match of text.matchAll(MARKUP)) {
    html += escapeHtml(text.slice(end, match.index));
    end = match.index + match[0].length;
    if (match[2] !== undefined) {
      html += tag(match[1] === "/", match[2], match[3]!, address) ?? escapeHtml(match[0]);
    }
  }
  return html + escapeHtml(text.slice(end));
}

function tag(
  closes: boolean,
  written: string,
  attributes: string,
  address: (target: string, isPicture: boolean) => string | undefined,
): string | undefined {
  const name = written.toLowerCase();
  const allowed = Object.hasOwn(ALLOWED, name) ? ALLOWED[name]! : undefined;
  if (allowed === undefined || closes && (VOID.has(name) || attributes !== "")) return undefined;
  if (closes) return `</${name}>`;
  let html = `<${name}`;
  for (const [, key, double, single] of attributes.matchAll(ATTRIBUTE)) {
    const attribute = key!.toLowerCase();
    if (!allowed.includes(attribute)) continue;
    const value = unescapeHtml(double ?? single ?? "");
    if (attribute === "align") {
      if (value === "center") html += ' class="center"';
      continue;
    }
    const shown = ADDRESSES.has(attribute) ? address(value, attribute !== "href") : value;
    if (shown !== undefined) html += ` ${attribute}="${escapeHtml(shown)}"`;
  }
  return `${html}>`;
}

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"' };

function unescapeHtml(text: string): string {
  return text.replace(/&(amp|lt|gt|quot);/g, (_, name: string) => ENTITIES[name]!);
}
