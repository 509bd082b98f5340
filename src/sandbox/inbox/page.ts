/** The inbox page and its Content-Security-Policy: its own script and style, and nothing else. */
import { assemble } from "../../status/assemble.ts";
import html from "./page.html" with { type: "text" };

const page = assemble(html, { frames: true });

/** The page, self-contained. */
export const PAGE: string = page.html;

/** The page's Content-Security-Policy. */
export const PAGE_POLICY: string = page.policy;
