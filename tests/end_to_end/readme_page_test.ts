// The README in a real browser, in its main lines as GitHub shows it: what a stranger sees without scrolling.
//
// With SCREENSHOTS set, it also stores pictures in dist/: readme.png, readme_phone.png, readme_whole.png.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import MarkdownIt from "markdown-it";
import { Browser, NO_BROWSER, quitBrowser, type Screen } from "./browser.ts";
import { root } from "./programs.ts";

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

function readmePage(): string {
  // Comments are not shown.
  const text = readFileSync(join(root, "README.md"), "utf8").replace(/^<!--.*-->$/gm, "");
  return `<!doctype html><meta charset="utf-8"><title>README</title>` +
    `<meta name="viewport" content="width=device-width">` +
    `<base href="${pathToFileURL(`${root}/`)}"><style>${STYLE}</style>${
      new MarkdownIt().render(text)
    }`;
}

async function store(browser: Browser, name: string, screen: Screen): Promise<void> {
  if (process.env["SCREENSHOTS"] === undefined) return;
  await browser.show(screen);
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(join(root, "dist", name), Buffer.from(await browser.screenshot(), "base64"));
}

describe("the README in a browser", { skip: NO_BROWSER }, () => {
  let browser: Browser;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "relay-readme-"));
    const page = join(folder, "page.html");
    writeFileSync(page, readmePage());
    browser = await Browser.open(pathToFileURL(page).href, 900, 1150);
    await browser.until("document.readyState === 'complete' && document.title === 'README'");
  });
  after(async () => {
    await browser?.close();
    await quitBrowser();
    rmSync(folder, { recursive: true });
  });

  it("shows both pictures on the first screen, and tries to load nothing from elsewhere", async () => {
    const images = await browser.evaluate(
      "[...document.images].map((image) => [image.naturalWidth, image.getBoundingClientRect().top])",
    ) as [number, number][];
    assert.equal(images.length, 2);
    for (const [width, top] of images) {
      assert.ok(width > 1000, "a picture is missing");
      // 40 lines of 24 pixels.
      assert.ok(top < 960, `a picture begins at ${top}`);
    }
    assert.deepEqual(browser.requests.filter((url) => !url.startsWith("file:")), []);
    await store(browser, "readme.png", { width: 900, height: 1150 });
    await store(browser, "readme_whole.png", { width: 900, height: 4400 });
  });

  it("fits a telephone: only tables and commands scroll sideways", async () => {
    await browser.show({ width: 400, height: 1200, mobile: true });
    assert.equal(await browser.evaluate("document.documentElement.scrollWidth"), 400);
    await store(browser, "readme_phone.png", { width: 400, height: 1200, mobile: true });
  });
});
