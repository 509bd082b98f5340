// How tokens of Markdown become HTML where it is not as markdown-it makes it: no styles in attributes, which
// the site's policy forbids; links to headings; tables and code that fit a telephone.

import type { MarkdownIt, Token } from "markdown-it";
import { escapeHtml } from "./escape.ts";
import type { Heading } from "./markdown.ts";
import { attribute, plainText } from "./tokens.ts";

/** A narrow screen shows a table with so many columns as a list of its rows. */
const MANY_COLUMNS = 3;

/** Characters; a shorter word is not broken. */
const LONG_WORD = 20;

/** Sets the rules to render one page. */
export function setRules({ renderer }: MarkdownIt, headings: readonly Heading[]): void {
  const { rules } = renderer;
  const texts = new Map(headings.map(({ id, text }) => [id, text]));
  let section = headings[0]?.text ?? "";
  rules["heading_close"] = (tokens, i) => {
    const { tag } = tokens[i]!;
    const id = attribute(tokens[i - 2]!, "id");
    section = texts.get(id) ?? section;
    if (tag === "h1") return `</${tag}>\n`;
    const label = escapeHtml(`Link to “${section}”`);
    return ` <a class="anchor" href="#${id}" aria-label="${label}">#</a></${tag}>\n`;
  };

  let columns: string[] = [];
  let column = 0;
  rules["table_open"] = (tokens, i) => {
    columns = headerCells(tokens, i);
    const kind = columns.length >= MANY_COLUMNS ? "table stacked" : "table";
    const label = escapeHtml(`Table in “${section}”`);
    return `<div class="${kind}" role="group" tabindex="0" aria-label="${label}">\n<table>\n`;
  };
  rules["table_close"] = () => "</table>\n</div>\n";
  rules["tr_open"] = () => {
    column = 0;
    return "<tr>\n";
  };
  // An empty cell is the header of nothing.
  rules["th_open"] = (tokens, i) =>
    tokens[i + 1]!.content === "" ? "<td>" : `<th scope="col"${alignment(tokens[i]!)}>`;
  rules["th_close"] = (tokens, i) => tokens[i - 1]!.content === "" ? "</td>\n" : "</th>\n";
  rules["td_open"] = (tokens, i) => {
    const name = columns[column++] ?? "";
    const isShown = columns.length >= MANY_COLUMNS && name !== "";
    const label = isShown ? ` data-label="${escapeHtml(name)}"` : "";
    return `<td${alignment(tokens[i]!)}${label}>`;
  };

  rules["text"] = (tokens, i) => {
    const { content } = tokens[i]!;
    return content.replace(/\S+|\s+/g, (word) => {
      return word.length < LONG_WORD ? escapeHtml(word) : breakable(word);
    });
  };
  rules["code_inline"] = (tokens, i) => `<code>${breakable(tokens[i]!.content)}</code>`;
  rules["fence"] = rules["code_block"] = (tokens, i) => {
    const { info, content } = tokens[i]!;
    const language = /^[\w-]+/.exec(info)?.[0];
    const kind = language === undefined ? "" : ` class="language-${language}"`;
    const name = language === "mermaid" ? "Diagram in Mermaid's notation" : "Code";
    const label = escapeHtml(`${name} in “${section}”`);
    return `<div class="code"><pre role="group" tabindex="0" aria-label="${label}"><code${kind}>${
      escapeHtml(content)
    }</code></pre></div>\n`;
  };
  // It was made safe before.
  rules["html_block"] = rules["html_inline"] = (tokens, i) => tokens[i]!.content;
}

/** The texts of the first row of the table that begins at `start`. */
function headerCells(tokens: readonly Token[], start: number): string[] {
  const cells: string[] = [];
  for (let i = start; tokens[i]!.type !== "thead_close"; i++) {
    if (tokens[i]!.type === "th_open") cells.push(plainText(tokens[i + 1]!.children ?? []).trim());
  }
  return cells;
}

/** A class in place of markdown-it's style. */
function alignment(token: Token): string {
  const align = /text-align:(right|center)/.exec(attribute(token, "style"))?.[1];
  return align === undefined ? "" : ` class="${align}"`;
}

/** Code, or an address, that may be broken between the parts of a name, but not before a file's ending. */
function breakable(code: string): string {
  const parts = /(?<=[A-Za-z0-9])(?:[_/@=:,-]|&amp;|\.(?=[A-Za-z0-9]{5}))(?=[A-Za-z0-9])/g;
  return escapeHtml(code).replace(parts, "$&<wbr>");
}
