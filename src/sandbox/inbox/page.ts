/**
 * The inbox page and its Content-Security-Policy: its own script and style, by their hashes, and nothing
 * else (CSP Level 3 §2.3.1).
 */
import { createHash } from "node:crypto";
import html from "./page.html" with { type: "text" };

/** The page, self-contained. LF only, as the browser hashes it. */
export const PAGE: string = html.replaceAll("\r\n", "\n");

/** The page's Content-Security-Policy. */
export const PAGE_POLICY: string = [
  "default-src 'none'",
  `script-src ${hashOf("script")}`,
  `style-src ${hashOf("style")}`,
  "img-src data:",
  "connect-src 'self'",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

function hashOf(element: "script" | "style"): string {
  const content = new RegExp(`<${element}>(.*?)</${element}>`, "s").exec(PAGE)?.[1];
  if (content === undefined) throw new Error(`page.html has no <${element}>`);
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
