// A page of Markdown as HTML: GitHub's headings and tables, links between files of the project, and code.

import { posix } from "node:path";
import MarkdownIt, { type Token } from "markdown-it";
import { isPage, isPicture, pageAddress, pictureAddress, relativeAddress } from "./addresses.ts";
import { pictureSize } from "./picture_size.ts";
import { safeHtml } from "./raw_html.ts";
import { setRules } from "./rules.ts";
import { Slugs } from "./slug.ts";
import { type Source, textOf } from "./source.ts";
import { attribute, plainText } from "./tokens.ts";

export interface Heading {
  readonly level: number;
  readonly id: string;
  readonly text: string;
}

/** A heading with the text up to the next one, for the search. */
export interface Section {
  readonly heading: Heading;
  readonly text: string;
}

export interface Page {
  /** Of its file, from the project's root. */
  readonly path: string;
  /** From the top of its version. */
  readonly address: string;
  readonly title: string;
  /** The first paragraph. */
  readonly summary: string;
  readonly html: string;
  readonly headings: readonly Heading[];
  readonly sections: readonly Section[];
  /** Files that it shows. */
  readonly pictures: readonly string[];
  /** Links to files that do not exist. */
  readonly problems: readonly string[];
}

/** What pages have in common. */
export interface Project {
  readonly source: Source;
  /** The titles of all pages, by their paths. */
  readonly titles: ReadonlyMap<string, string>;
  /** The address of the repository, if it is known: links to files that are no pages lead there. */
  readonly repository: string | undefined;
}

/** The title of a page, for links to it. */
export function titleOf(text: string): string | undefined {
  return /^# +(.+?) *$/m.exec(text)?.[1]?.replace(/[`*]/g, "");
}

export function renderPage(project: Project, path: string): Page {
  return new PageRenderer(project, path).render();
}

class PageRenderer {
  readonly #source: Source;
  readonly #project: Project;
  readonly #path: string;
  readonly #address: string;
  readonly #pictures = new Set<string>();
  readonly #problems: string[] = [];

  constructor(project: Project, path: string) {
    this.#project = project;
    this.#source = project.source;
    this.#path = path;
    this.#address = pageAddress(path);
  }

  render(): Page {
    const markdown = new MarkdownIt({ html: true });
    const tokens = markdown.parse(textOf(this.#source, this.#path), {});
    const headings = identifyHeadings(tokens);
    const title = headings[0]?.text ?? this.#path;
    this.#rewrite(tokens);
    setRules(markdown, headings);
    return {
      path: this.#path,
      address: this.#address,
      title,
      summary: firstParagraph(tokens),
      sections: sectionsOf(tokens, headings),
      html: markdown.renderer.render(tokens, markdown.options, {}),
      headings,
      pictures: [...this.#pictures],
      problems: this.#problems,
    };
  }

  /** Makes the links, pictures and HTML of all tokens those of the site. */
  #rewrite(tokens: Token[]): void {
    const opened: Token[] = [];
    for (const [i, token] of tokens.entries()) {
      if (token.type === "link_open") {
        this.#rewriteLink(token, tokens[i + 1]!);
        opened.push(token);
      } else if (token.type === "link_close") token.tag = opened.pop()!.tag;
      else if (token.type === "image") this.#rewriteImage(token);
      else if (token.type === "html_block" || token.type === "html_inline") {
        token.content = safeHtml(
          token.content,
          (target, isPicture) => isPicture ? this.#picture(target)?.address : this.#link(target),
        );
      }
      if (token.children !== null) this.#rewrite(token.children);
    }
  }

  #rewriteLink(token: Token, text: Token): void {
    const target = attribute(token, "href");
    // A file's name says something in the repository only.
    if (text.type === "text" && /^\S+\.md$/.test(text.content)) {
      text.content = this.#project.titles.get(this.#resolve(target)) ?? text.content;
    }
    const link = this.#link(target);
    if (link !== undefined) return token.attrSet("href", link);
    // The repository's address is not known.
    token.tag = "span";
    token.attrs = [["class", "file"], ["title", `In the repository: ${this.#resolve(target)}`]];
  }

  #rewriteImage(token: Token): void {
    const picture = this.#picture(attribute(token, "src"));
    if (picture === undefined) {
      token.content = plainText(token.children ?? []);
      token.type = "text";
      token.children = null;
      return;
    }
    token.attrSet("src", picture.address);
    if (picture.size === undefined) return;
    token.attrSet("width", String(picture.size.width));
    token.attrSet("height", String(picture.size.height));
  }

  /** @returns undefined for a file of a repository whose address is not known */
  #link(target: string): string | undefined {
    if (target.startsWith("#")) return target;
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) {
      return /^(?:https?|mailto):/i.test(target) ? target : undefined;
    }
    const path = this.#resolve(target);
    const fragment = /#.*$/.exec(target)?.[0] ?? "";
    const page = [path, posix.join(path, "README.md")].find((file) =>
      isPage(file) && this.#source.paths.has(file)
    );
    if (page !== undefined) return relativeAddress(this.#address, pageAddress(page)) + fragment;
    if (isPicture(path)) {
      const picture = this.#picture(target);
      if (picture !== undefined) return picture.address;
    }
    const isFile = this.#source.paths.has(path);
    const isFolder = [...this.#source.paths].some((file) => file.startsWith(`${path}/`));
    if (!isFile && !isFolder) {
      this.#problems.push(`${this.#path}: ${target} does not exist`);
      return undefined;
    }
    const { repository } = this.#project;
    if (repository === undefined) return undefined;
    const kind = isFile ? "blob" : "tree";
    return `${repository}/${kind}/${this.#source.ref}/${encodeURI(path)}${fragment}`;
  }

  /** @returns undefined for what is not the project's own: a page asks no other server for a picture */
  #picture(target: string) {
    if (/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(target)) return undefined;
    const path = this.#resolve(target);
    if (!isPicture(path) || !this.#source.paths.has(path)) {
      this.#problems.push(`${this.#path}: the picture ${target} does not exist`);
      return undefined;
    }
    this.#pictures.add(path);
    return {
      address: relativeAddress(this.#address, pictureAddress(path)),
      size: pictureSize(this.#source.read(path)),
    };
  }

  /** @returns the path from the project's root */
  #resolve(target: string): string {
    const path = decoded(target.replace(/[?#].*$/, ""));
    return posix.join(posix.dirname(this.#path), path).replace(/\/$/, "");
  }
}

/** The text itself where a percent sign begins no octet: such a file does not exist. */
function decoded(address: string): string {
  try {
    return decodeURI(address);
  } catch {
    return address;
  }
}

/** Gives each heading its fragment. */
function identifyHeadings(tokens: readonly Token[]): Heading[] {
  const slugs = new Slugs();
  return tokens.flatMap((token, i) => {
    if (token.type !== "heading_open") return [];
    const text = plainText(tokens[i + 1]!.children ?? []).trim();
    const id = slugs.add(text);
    token.attrSet("id", id);
    return [{ level: Number(token.tag.slice(1)), id, text }];
  });
}

function firstParagraph(tokens: readonly Token[]): string {
  const at = tokens.findIndex((token, i) =>
    token.type === "paragraph_open" && plainText(tokens[i + 1]!.children ?? []).trim() !== ""
  );
  return at < 0 ? "" : plainText(tokens[at + 1]!.children ?? []).trim();
}

function sectionsOf(tokens: readonly Token[], headings: readonly Heading[]): Section[] {
  const texts: string[] = [];
  for (const [i, token] of tokens.entries()) {
    if (token.type === "heading_open") texts.push("");
    const isHeading = tokens[i - 1]?.type === "heading_open";
    if (texts.length === 0 || isHeading) continue;
    if (token.type === "inline") texts.push(`${texts.pop()}${plainText(token.children ?? [])} `);
    else if (token.type === "fence") texts.push(`${texts.pop()}${token.content} `);
  }
  return headings.map((heading, i) => ({
    heading,
    text: texts[i]!.replace(/\s+/g, " ").trim(),
  }));
}
