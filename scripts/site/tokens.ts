import type { Token } from "markdown-it";

/** An attribute's value; empty if there is none. */
export function attribute(token: Token, name: string): string {
  return String(token.attrGet(name) ?? "");
}

/** What is read of inline tokens: without markup. */
export function plainText(tokens: readonly Token[]): string {
  return tokens.map(({ type, content, children }) => {
    if (type === "softbreak" || type === "hardbreak") return " ";
    if (type === "html_inline") return "";
    return children === null ? content : plainText(children);
  }).join("");
}
