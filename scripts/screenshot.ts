// Shows the README as a stranger sees it, in pictures: `npm run screenshot`, by Debian's package chromium.
//
//   dist/readme.png         what a page of 900 pixels shows without scrolling
//   dist/readme_phone.png   the same on a telephone
//   dist/readme_whole.png   all of it
//
// Exit 1 if there is no chromium, or if it makes no picture. Nothing is loaded from the internet.

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath, pathToFileURL } from "node:url";
import MarkdownIt from "markdown-it";

const root = fileURLToPath(new URL("..", import.meta.url));
const output = join(root, "dist");
const PICTURES = [
  { name: "readme.png", width: 900, height: 1150 },
  // Chromium's window is not narrower than 500 pixels, so the page is.
  { name: "readme_phone.png", width: 500, height: 1400, zoom: 1.25 },
  { name: "readme_whole.png", width: 900, height: 4600 },
];

/** As GitHub shows it, in its main lines. */
const STYLE = `
  body { font: 16px/1.5 "Noto Sans", "DejaVu Sans", Helvetica, Arial, sans-serif; color: #1f2328;
    margin: 0 auto; padding: 24px; max-width: 852px; overflow-wrap: break-word; }
  h1, h2 { border-bottom: 1px solid #d1d9e0b3; padding-bottom: .3em; margin: 24px 0 16px;
    line-height: 1.25; font-weight: 600; }
  h1 { font-size: 2em; margin-top: 0; } h2 { font-size: 1.5em; }
  p, ul, ol, table, pre { margin: 0 0 16px; } ul, ol { padding-left: 2em; }
  a { color: #0969da; } img { max-width: 100%; }
  code { font: 85% ui-monospace, "DejaVu Sans Mono", monospace; background: #818b981f;
    padding: .2em .4em; border-radius: 6px; }
  pre { background: #f6f8fa; padding: 16px; border-radius: 6px; overflow: auto; line-height: 1.45; }
  pre code { background: none; padding: 0; white-space: pre; }
  table { border-collapse: collapse; display: block; width: max-content; max-width: 100%;
    overflow: auto; }
  th, td { border: 1px solid #d1d9e0; padding: 6px 13px; } th { font-weight: 600; }
  tr:nth-child(2n) { background: #f6f8fa; }`;

const text = readFileSync(join(root, "README.md"), "utf8").replace(/^<!--.*-->$/gm, "");
const body = new MarkdownIt({ linkify: false }).render(text);
const folder = mkdtempSync(join(tmpdir(), "relay-screenshot-"));
mkdirSync(output, { recursive: true });
try {
  for (const picture of PICTURES) take(picture);
} finally {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
}

function take({ name, width, height, zoom = 1 }: (typeof PICTURES)[number]): void {
  const page = join(folder, "page.html");
  writeFileSync(
    page,
    `<!doctype html><meta charset="utf-8"><base href="${pathToFileURL(`${root}/`)}">` +
      `<style>${STYLE} html { zoom: ${zoom} }</style>${body}`,
  );
  const path = join(output, name);
  rmSync(path, { force: true });
  const { error, stderr } = spawnSync("chromium", [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    "--host-resolver-rules=MAP * ~NOTFOUND",
    `--user-data-dir=${join(folder, "profile")}`,
    `--window-size=${width},${height}`,
    `--screenshot=${path}`,
    pathToFileURL(page).href,
  ], { encoding: "utf8", env: { PATH: process.env["PATH"], HOME: folder }, timeout: 60_000 });
  if (error !== undefined) {
    fail(`chromium cannot be run (apt-get install chromium): ${error.message}`);
  }
  const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  if (size === 0) fail(`chromium has made no ${name}: ${stderr.trim().split("\n").at(-1)}`);
  console.log(`dist/${name}  ${(size / 1000).toFixed(0)} kB`);
}

function fail(line: string): never {
  process.stderr.write(`screenshot: ${line}\n`);
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  process.exit(1);
}
