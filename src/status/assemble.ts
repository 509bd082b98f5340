// Makes a page in one file: the shared style and script go into it, and its Content-Security-Policy
// allows just these two, by their hashes (CSP Level 3 §2.3.1).

import { createHash } from "node:crypto";
import script from "./look.js" with { type: "text" };
import style from "./look.css" with { type: "text" };

/** A page that needs nothing else. */
export interface AssembledPage {
  /** LF only, as the browser hashes it. */
  readonly html: string;
  /** For its Content-Security-Policy. */
  readonly policy: string;
}

/**
 * @param html has one `<style>` with a line for `look.css`, and one `<script>` with a line for
 *   `look.js`
 * @param frames whether it shows frames of the same site
 */
export function assemble(html: string, { frames }: { readonly frames: boolean }): AssembledPage {
  const whole = html
    .replace("/* look.css */", () => style.trim())
    // As a module's text its type is not known.
    .replace("// look.js", () => String(script).trim())
    .replaceAll("\r\n", "\n");
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf("script", whole)}`,
    `style-src ${hashOf("style", whole)}`,
    "img-src data:",
    "connect-src 'self'",
    ...(frames ? ["frame-src 'self'"] : []),
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return { html: whole, policy };
}

function hashOf(element: "script" | "style", html: string): string {
  const content = new RegExp(`<${element}>(.*?)</${element}>`, "s").exec(html)?.[1];
  if (content === undefined) throw new Error(`the page has no <${element}>`);
  return `'sha256-${createHash("sha256").update(content).digest("base64")}'`;
}
