// The fragments of headings: those that GitHub makes, as links in the Markdown are written for it.

/** Gives each heading of a page its own fragment. */
export class Slugs {
  readonly #used = new Set<string>();

  /** @param text of the heading, without markup */
  add(text: string): string {
    const slug = text.trim().toLowerCase().replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, "")
      .replaceAll(" ", "-");
    let unique = slug;
    for (let i = 1; this.#used.has(unique); i++) unique = `${slug}-${i}`;
    this.#used.add(unique);
    return unique;
  }
}
