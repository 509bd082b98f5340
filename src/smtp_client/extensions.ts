// What a server offers in its reply to EHLO (RFC 5321 §4.1.1.1).

/** Keywords in upper case, with their parameters. */
export type Extensions = ReadonlyMap<string, string>;

/** @param lines of the reply to EHLO; the first has the server's name */
export function extensionsIn([, ...lines]: readonly string[]): Extensions {
  const found = new Map<string, string>();
  for (const line of lines) {
    // Old servers have `AUTH=LOGIN` beside or instead of `AUTH LOGIN`.
    const [, keyword, parameters = ""] = /^\s*([A-Za-z0-9-]+)(?:[ =]+(.*?))?\s*$/.exec(line) ?? [];
    if (keyword === undefined) continue;
    const name = keyword.toUpperCase();
    const before = found.get(name);
    const isMore = name === "AUTH" && before !== undefined;
    found.set(name, isMore ? `${before} ${parameters}` : before ?? parameters);
  }
  return found;
}

/** Octets of the largest message (RFC 1870 §4); undefined if the server does not say. */
export function sizeLimit(extensions: Extensions): number | undefined {
  const text = extensions.get("SIZE") ?? "";
  // 0 means that there is no fixed limit.
  return /^[0-9]{1,15}$/.test(text) && Number(text) > 0 ? Number(text) : undefined;
}

/** In upper case. */
export function mechanismsIn(extensions: Extensions): readonly string[] {
  return (extensions.get("AUTH") ?? "").toUpperCase().split(/\s+/).filter((name) => name !== "");
}
