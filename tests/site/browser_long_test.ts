/**
 * The site in a real browser: every page fits a desktop and a telephone, in light and dark colours,
 * without an error, a request to anywhere else or a finding of axe; the search, the navigation and the
 * versions work with the keyboard alone.
 *
 * With SCREENSHOTS=FOLDER it also stores pictures, for a person to look at.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, afterEach, before, describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { buildSite } from "../../scripts/site/build.ts";
import { Browser, NO_BROWSER, quitBrowser, type Screen } from "../end_to_end/browser.ts";
import { ACME, editionOf, ROOT, treeWith } from "./sources.ts";

const AXE = readFileSync(join(ROOT, "node_modules/axe-core/axe.min.js"), "utf8");
const DESKTOP = { width: 1280, height: 900 };
const PHONE = { width: 390, height: 844, mobile: true };
/** Neither: the list of the page is above the text. */
const TABLET = { width: 900, height: 900 };
const OPTIONS = { skip: NO_BROWSER, timeout: 60_000 };
/** One of each kind: judged by axe on each screen in each colour. The others are on one of them. */
const KINDS = ["index.html", "queue.html", "settings.html", "devices/acme.html", "404.html"];

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css",
  js: "text/javascript",
  svg: "image/svg+xml",
  png: "image/png",
};

const edition = treeWith(ACME);
const old = editionOf({ "README.md": "# Home\n\nOld.\n" }, "0.0.9", "0.0.9/");
const { files } = buildSite([edition, { ...edition, folder: "1.0.0/" }, old]);
const pages = [...files.keys()].filter((name) =>
  /^[^/0-9][^/]*\.html$|^(?:dev|dep).*html$/.test(name)
);

let server: Server;
let site: string;
let browser: Browser;

/** Opens a page, and waits until its scripts have run. */
async function open(name: string, screen: Screen = DESKTOP): Promise<void> {
  browser = await Browser.open(site + name, screen.width, screen.height);
  await browser.show(screen);
  await browser.until(`document.readyState === "complete"`);
}

const text = async (expression: string) =>
  String(await browser.evaluate(`${expression}?.textContent.trim()`));

const FOCUSED = "document.activeElement";

async function type(words: string): Promise<void> {
  for (const letter of words) await browser.press(letter);
}

/** Waits for another page: the context in which it is asked may go meanwhile. */
async function arrived(path: string): Promise<void> {
  const there = `location.href === ${
    JSON.stringify(site + path)
  } && document.readyState === "complete"`;
  while (!await browser.evaluate(there).catch(() => false));
}

/** What must hold on every page, whatever has been done on it. */
function assertQuiet(): void {
  assert.deepEqual(browser.errors, []);
  assert.deepEqual(
    browser.requests.filter((address) => !address.startsWith(site) && address !== "about:blank"),
    [],
  );
}

async function assertFits(screen: { readonly width: number }): Promise<void> {
  const width = await browser.evaluate("document.scrollingElement.scrollWidth") as number;
  assert.ok(width <= screen.width, `${width} px wide`);
  const outside = await browser.evaluate(`(() => {
    const bar = document.querySelector(".bar").getBoundingClientRect();
    return [...document.querySelectorAll(".bar > *")].map((part) => part.getBoundingClientRect())
      .filter(({ top, right, bottom }) => top < bar.top || right > bar.right || bottom > bar.bottom).length;
  })()`);
  assert.equal(outside, 0, "the bar on top does not hold its parts");
}

async function assertAccessible(): Promise<void> {
  await browser.evaluate(AXE);
  const findings = await browser.evaluate(
    `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
      violations.map(({ id, nodes }) =>
        id + ": " + nodes.map(({ html, failureSummary }) => html + failureSummary).join()))`,
  );
  assert.deepEqual(findings, []);
}

before(async () => {
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://localhost");
    const name = pathname.slice(1).replace(/(^|\/)$/, "$1index.html");
    const found = files.get(name);
    response.writeHead(found === undefined ? 404 : 200, {
      "Content-Type": TYPES[name.split(".").at(-1)!] ?? "text/plain",
    });
    response.end(found ?? files.get("404.html"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  site = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
});
afterEach(async () => {
  await browser?.close();
});
after(async () => {
  await quitBrowser();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

describe("each page", () => {
  it("is tried", () => assert.ok(pages.length > 40, pages.join(" ")));

  for (const [i, name] of pages.entries()) {
    const screens = [DESKTOP, PHONE].flatMap((screen) => [
      { ...screen, dark: false },
      { ...screen, dark: true },
    ]);
    it(`fits a desktop and a telephone, and is accessible: ${name}`, OPTIONS, async () => {
      for (const [j, screen] of screens.entries()) {
        const isKind = KINDS.includes(name);
        // Light and dark have the same widths.
        if (!isKind && screen.dark !== (i % 2 === 0)) continue;
        await open(name, screen);
        assertQuiet();
        await assertFits(screen);
        if (isKind || j % 2 === i % 2) await assertAccessible();
        const folder = process.env["SCREENSHOTS"];
        if (folder !== undefined && isKind) {
          const shot = `${name.replace(/\W/g, "_")}_${screen.width}${screen.dark ? "_dark" : ""}`;
          const png = Buffer.from(await browser.screenshot(), "base64");
          writeFileSync(join(folder, `${shot}.png`), png);
        }
        await browser.close();
      }
    });
  }

  it("fits a screen in between", OPTIONS, async () => {
    for (const name of KINDS) {
      await open(name, TABLET);
      await assertFits(TABLET);
      await browser.close();
    }
  });

  it("is refused everything by its policy that it did not bring", OPTIONS, async () => {
    await open("index.html");
    await browser.evaluate(`new Promise((resolve) => {
      const script = document.createElement("script");
      script.textContent = "window.ran = true";
      document.addEventListener("securitypolicyviolation", resolve, { once: true });
      document.head.append(script);
    })`);
    assert.equal(await browser.evaluate("window.ran"), undefined);
    assert.equal(
      await browser.evaluate(`fetch("versions.json").catch(() => "refused")`),
      "refused",
    );
  });
});

describe("the search", () => {
  for (const screen of [DESKTOP, PHONE]) {
    it(`finds a page with the keyboard alone: ${screen.width} px`, OPTIONS, async () => {
      await open("devices/acme.html", screen);
      await browser.press("/");
      assert.equal(await browser.evaluate(`${FOCUSED}.id`), "search");
      await type("durable queue");
      await browser.until(`document.querySelectorAll("#results a").length > 3`);
      assert.match(await text(`document.querySelector("#results a .where")`), /^The durable queue/);
      await assertFits(screen);
      await assertAccessible();
      await browser.press("Enter");
      await arrived("queue.html");
      assertQuiet();
    });
  }

  it("goes through its results by the arrow keys, and tells a screen reader", OPTIONS, async () => {
    await open("index.html");
    await browser.press("/");
    await type("acme");
    await browser.until(`document.querySelectorAll("#results a").length >= 2`);
    assert.match(await text(`document.getElementById("found")`), /^\d+ of \d+ results/);
    const active =
      `document.getElementById(document.getElementById("search").getAttribute("aria-activedescendant"))`;
    const order = [];
    for (const key of ["ArrowDown", "ArrowDown", "ArrowUp"]) {
      await browser.press(key);
      assert.equal(await browser.evaluate(`${active}.getAttribute("aria-selected")`), "true");
      order.push(await browser.evaluate(`${active}.id`));
    }
    assert.deepEqual(order, ["result-0", "result-1", "result-0"]);
    assert.equal(
      await browser.evaluate(`document.querySelectorAll("[aria-selected=true]").length`),
      1,
    );
    await browser.press("ArrowDown");
    await browser.press("Enter");
    await arrived("devices/acme.html#fields");
  });

  it("closes by Escape, and finds words with a wrong letter", OPTIONS, async () => {
    await open("index.html");
    await browser.press("/");
    await type("certifcates");
    await browser.until(`document.querySelector("#results a") !== null`);
    assert.match(await text(`document.getElementById("results")`), /Certificates/);
    await browser.press("Escape");
    assert.equal(await browser.evaluate(`document.getElementById("results").hidden`), true);
    assert.equal(await browser.evaluate(`${FOCUSED}.getAttribute("aria-expanded")`), "false");
  });

  it("says when there is nothing", OPTIONS, async () => {
    await open("index.html");
    await browser.press("/");
    await type("qqzzxx");
    await browser.until(`document.getElementById("found").textContent === "Nothing found"`);
    await assertAccessible();
    await browser.press("Enter");
    assert.equal(await browser.evaluate("location.href"), `${site}index.html`);
  });

  it("works in a folder that no server serves", OPTIONS, async () => {
    const folder = mkdtempSync(join(tmpdir(), "relay-site-"));
    try {
      for (const [name, content] of files) {
        mkdirSync(dirname(join(folder, name)), { recursive: true });
        writeFileSync(join(folder, name), content);
      }
      browser = await Browser.open(pathToFileURL(join(folder, "devices/acme.html")).href);
      await browser.until(`document.readyState === "complete"`);
      await browser.press("/");
      await type("durable queue");
      await browser.until(`document.querySelector("#results a") !== null`);
      await browser.press("Enter");
      const there = `location.pathname.endsWith("/queue.html")`;
      while (!await browser.evaluate(there).catch(() => false));
      assert.deepEqual(browser.errors, []);
      await browser.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("loads its index only when it is used", OPTIONS, async () => {
    await open("index.html");
    const asked = () => browser.requests.some((address) => address.includes("search_index"));
    assert.equal(asked(), false);
    await browser.press("/");
    await browser.until(`typeof siteIndex === "object"`);
    assert.equal(asked(), true);
    assertQuiet();
  });
});

describe("with the keyboard", () => {
  it("the content is reached past the navigation", OPTIONS, async () => {
    await open("queue.html");
    await browser.press("Tab");
    assert.equal(await text(FOCUSED), "Skip to the content");
    await browser.press("Enter");
    await browser.until(`${FOCUSED}.id === "content"`);
  });

  it("a telephone's navigation opens, and closes by Escape", OPTIONS, async () => {
    await open("queue.html", PHONE);
    const shown = `getComputedStyle(document.getElementById("navigation")).display !== "none"`;
    assert.equal(await browser.evaluate(shown), false);
    await browser.evaluate(`document.getElementById("menu").focus()`);
    await browser.press("Enter");
    await browser.until(shown);
    await assertFits(PHONE);
    await assertAccessible();
    await browser.press("Escape");
    await browser.until(`!(${shown})`);
    assert.equal(await browser.evaluate(`${FOCUSED}.id`), "menu");
  });

  it("another version is chosen", OPTIONS, async () => {
    await open("queue.html");
    await browser.evaluate(`document.querySelector(".versions summary").focus()`);
    await browser.press("Enter");
    await browser.until(`document.querySelector(".versions").open`);
    await assertAccessible();
    await browser.press("Tab");
    await browser.press("Tab");
    assert.equal(await text(FOCUSED), "0.0.9");
    await browser.press("Enter");
    await arrived("0.0.9/index.html");
    assert.match(
      await text(`document.querySelector(".notice")`),
      /This page is for version 0\.0\.9/,
    );
    await assertAccessible();
    assertQuiet();
  });
});

describe("the colours", () => {
  const background = `getComputedStyle(document.body).backgroundColor`;

  it("are those of the system, or those that were chosen, on each page", OPTIONS, async () => {
    await open("index.html", { ...DESKTOP, dark: true });
    const dark = await browser.evaluate(background);
    await browser.show({ ...DESKTOP, dark: false });
    const light = await browser.evaluate(background);
    assert.notEqual(light, dark);
    const button = `document.getElementById("theme")`;
    assert.equal(await browser.evaluate(`${button}.ariaLabel`), "Colours: system");
    await browser.evaluate(`${button}.focus()`);
    await browser.press("Enter");
    await browser.press("Enter");
    assert.equal(await browser.evaluate(`${button}.ariaLabel`), "Colours: dark");
    assert.equal(await browser.evaluate(background), dark);
    await assertAccessible();
    await browser.evaluate(`setTimeout(() => location.href = "queue.html")`);
    await arrived("queue.html");
    assert.equal(await browser.evaluate(background), dark);
  });
});

describe("without scripts", () => {
  it("the navigation is there on a telephone too, and no button that does nothing", () => {
    const html = files.get("index.html") as string;
    for (const id of ["theme", "menu"]) {
      assert.match(html, new RegExp(`<button id="${id}"[^>]* hidden>`));
    }
    assert.match(html, /<div class="search" role="search" hidden/);
    const css = files.get("assets/site.css") as string;
    // Only a page whose script has run hides it.
    assert.match(css, /\.scripted #navigation \{\s*display: none;/);
    assert.doesNotMatch(css, /^\s*#navigation \{[^}]*display: none/m);
  });
});
