// The status page.

import { assemble, type AssembledPage } from "./assemble.ts";
import html from "./page.html" with { type: "text" };

export const STATUS_PAGE: AssembledPage = assemble(html, { frames: false });
