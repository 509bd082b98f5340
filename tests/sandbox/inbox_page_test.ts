/**
 * The inbox page in a real browser, on the sandbox in this process: untrusted text cannot mislead
 * or load anything, deletions are confirmed, failures are shown, and the page is accessible.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, afterEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { Browser, NO_BROWSER, quitBrowser, type Screen } from "../end_to_end/browser.ts";
import { openSandbox, type Sandbox } from "../support/sandbox.ts";
import { THOROUGH } from "../support/thorough.ts";

const AXE = readFileSync(
  fileURLToPath(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url)),
  "utf8",
);
const PHONE = { width: 390, height: 844 };
const OPTIONS = { skip: NO_BROWSER, timeout: 60_000 };

const items = `[...document.querySelectorAll('[data-testid="message-item"]')]`;
const visible = `${items}.filter((item) => item.checkVisibility())`;
const one = (name: string) => `document.querySelector('[data-testid="${name}"]')`;

let sandbox: Sandbox;
let browser: Browser;

async function open(screen: Screen = {}, environment: Record<string, string> = {}) {
  sandbox = await openSandbox({ AUTH_RATE_LIMIT: "off", ...environment });
  browser = await Browser.open(sandbox.url, screen.width, screen.height);
  await browser.until(`${one("live")}?.dataset.state === "live"`);
}

async function add(header: string, body = "Text", type = "text/plain"): Promise<void> {
  const raw = `${header}\nContent-Type: ${type}; charset=utf-8\n\n${body}`;
  const count = sandbox.inbox.list().length + 1;
  await sandbox.inbox.add({
    mailbox: "scanner@example.com",
    raw: Buffer.from(raw.replaceAll("\n", "\r\n")),
  });
  await browser.until(`${items}.length === ${count}`);
}

const text = async (expression: string) =>
  String(await browser.evaluate(`${expression}?.textContent`));
const click = (expression: string) => browser.evaluate(`${expression}.click()`);

/** Opens the newest message. */
async function read(): Promise<void> {
  await click(`${items}[0]`);
  await browser.until(`${one("subject")} !== null`);
}

/** Asserts what the page must never do. */
function assertQuiet(): void {
  assert.deepEqual(browser.errors, []);
  const foreign = browser.requests.filter((url) =>
    !url.startsWith(sandbox.url) && !url.startsWith("data:") && url !== "about:blank"
  );
  assert.deepEqual(foreign, []);
}

after(quitBrowser);

describe("the inbox page", () => {
  afterEach(async () => {
    await browser?.close();
    await sandbox?.stop();
  });

  it(
    "shows hidden characters, and keeps a direction to the words that have it",
    OPTIONS,
    async () => {
      await open();
      await add(
        `From: "Bank \u202Emoc.elpmaxe" <boss\u200B@example.com>\n` +
          `To: "\u05D0\u05D1" <a@example.org>, plain@example.org\n` +
          "Subject: invoice\u202Efdp.exe \u2066x\u2069 👩‍👩‍👧 ❤️ 1️⃣ a\u00A0b",
      );
      const shown = {
        name: "Bank U+202Emoc.elpmaxe",
        address: "bossU+200B@example.com",
        subject: "invoiceU+202Efdp.exe U+2066xU+2069 👩‍👩‍👧 ❤️ 1️⃣ a\u00A0b",
      };
      const row = await text(`${items}[0]`);
      for (const part of Object.values(shown)) assert.ok(row.includes(part), row);
      await read();
      assert.equal(await text(one("subject")), shown.subject);
      const from = await text(`document.querySelector(".fields .chip")`);
      assert.equal(from, `${shown.name} ${shown.address}`);
      // Each is in its own element, isolated (UAX #9 §2.4.1, HTML §15.3.6).
      const loose =
        `[...document.querySelectorAll(".list li a, .message h2, .chip")].flatMap((place) => {
      const walk = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      const found = [];
      while (walk.nextNode()) {
        const { data, parentElement } = walk.currentNode;
        if (/[\\u0590-\\u05ff]|example/.test(data) && !parentElement.closest("bdi")) found.push(data);
      }
      return found;
    })`;
      assert.deepEqual(await browser.evaluate(loose), []);
      const isolated = `[...document.querySelectorAll("bdi")].every((element) =>
      getComputedStyle(element).unicodeBidi.includes("isolate"))`;
      assert.equal(await browser.evaluate(isolated), true);
      assert.match(await text(`document.querySelector(".mark")`), /^U\+20/);
      const hidden = "/[\\u200b\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.innerText)";
      assert.equal(await browser.evaluate(hidden), false);
      await click(one("tab-headers"));
      await browser.until(`${one("panel")}.querySelector("table") !== null`);
      assert.equal(await browser.evaluate(hidden), false);
      await click(one("tab-raw"));
      await browser.until(`${one("panel")}.querySelector("pre") !== null`);
      assert.equal(await browser.evaluate(hidden), false);
    },
  );

  it("shows markup in a message as text", OPTIONS, async () => {
    await open();
    const markup = `<img src=x onerror="window.hurt = 1"><b>bold</b>`;
    await add(
      `From: "${markup.replaceAll('"', "'")}" <a@example.com>\nSubject: ${markup}`,
      `<script>parent.hurt = 1</script><img src="https://images.example/x" onerror="x">` +
        `<style>p{background:url(https://images.example/y)}q{background:url( "z" )}</style>` +
        `<p>${markup}<q>z</q>`,
      "text/html",
    );
    await read();
    assert.equal(await text(one("subject")), markup);
    await browser.until(`document.querySelector("iframe") !== null`);
    await browser.evaluate(`new Promise((resolve) => {
      document.addEventListener("load", resolve, { capture: true, once: true });
      ${one("tab-html")}.click();
    })`);
    assert.equal(await browser.evaluate("window.hurt"), undefined);
    assert.equal(await browser.evaluate(`document.querySelector("main img, main b img")`), null);
    assertQuiet();
  });

  it("loads images from the internet only on request", OPTIONS, async () => {
    await open();
    const asked: string[] = [];
    let wake = () => {};
    const server = createServer((request, response) => {
      asked.push(String(request.url));
      response.setHeader("Content-Type", "image/gif");
      response.end(Buffer.from("R0lGODlhAQABAAAAACwAAAAAAQABAAAC", "base64"));
      wake();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const images = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      await add(
        "Subject: pictures",
        `<img src="${images}/picture"><img src='data:image/gif;base64,AA=='>`,
        "text/html",
      );
      await read();
      await browser.until(`${one("load-images")} !== null`);
      // A later request of the same frame is done: the picture's would be, too.
      await click(one("tab-raw"));
      await browser.until(`${one("panel")}.querySelector("pre") !== null`);
      assertQuiet();
      assert.deepEqual(asked, []);

      await click(one("tab-html"));
      await browser.until(`${one("load-images")} !== null`);
      const loaded = new Promise<void>((resolve) => wake = resolve);
      await click(one("load-images"));
      await loaded;
      assert.deepEqual(asked, ["/picture"]);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });

  it("asks before it clears, and can delete a single message", OPTIONS, async () => {
    await open();
    for (const number of [1, 2, 3]) await add(`Subject: number ${number}`);
    await click(one("clear"));
    assert.equal(await browser.evaluate(`${one("ask")}.open`), true);
    assert.match(await text(one("ask")), /Delete 3 messages\?/);
    // The focus is on the harmless button, and Escape does the same.
    assert.equal(await text("document.activeElement"), "Cancel");
    await browser.press("Escape");
    await browser.until(`!${one("ask")}.open`);
    assert.equal(sandbox.inbox.list().length, 3);

    await click(`${items}[1]`);
    await browser.until(`(${one("subject")}?.textContent) === "number 2"`);
    await click(one("delete"));
    assert.match(await text(one("ask")), /Delete number 2\?/);
    await click(one("ask-yes"));
    await browser.until(`${items}.length === 2`);
    assert.deepEqual(sandbox.inbox.list().map(({ subject }) => subject), ["number 3", "number 1"]);
    await browser.until(`(${one("subject")}?.textContent) === "number 1"`);

    await click(one("clear"));
    await click(one("ask-yes"));
    await browser.until(`${items}.length === 0`);
    assert.deepEqual(sandbox.inbox.list(), []);
    assertQuiet();
  });

  it("lists names, sizes and attachments, and searches them", OPTIONS, async () => {
    await open();
    await add(
      'From: "Scanner, 3rd floor" <scanner@example.com>\nTo: Ann <ann@example.org>\nSubject: one',
    );
    await add(
      "From: ups@example.com\nTo: bob@example.org, cy@example.org\nSubject: two",
      "--b\n\ntext\n--b\nContent-Disposition: attachment; filename=a.pdf\n\nx\n--b--\n",
      "multipart/mixed; boundary=b",
    );
    const rows = `${items}.map((item) => item.textContent.replace(/\\s+/g, " "))`;
    const [two, one_] = await browser.evaluate(rows) as [string, string];
    assert.match(
      one_,
      /^one\d.*Scanner, 3rd floor scanner@example\.com.*to Ann ann@example\.org\d+ B$/,
    );
    assert.match(two, /^two\d.*ups@example\.com.*to bob@example\.org \+ 1 1 attachment, \d+ B$/);

    const search = async (words: string) => {
      await browser.press("/");
      await browser.evaluate("document.activeElement.select()");
      for (const letter of words) await browser.press(letter);
      return await browser.evaluate(`${visible}.map((item) => item.firstChild.textContent)`);
    };
    assert.deepEqual(await search("3RD floor"), ["one"]);
    assert.deepEqual(await search("cy@"), ["two"]);
    assert.deepEqual(await search("tw"), ["two"]);
    assert.deepEqual(await search("example"), ["two", "one"]);
    assert.deepEqual(await search("nobody there"), []);
    assert.match(await text(`document.getElementById("nothing")`), /Nothing found/);
    assert.match(await text(`document.getElementById("told")`), /0 of 2 messages/);
    // What arrives is searched, too.
    await add("Subject: nobody there");
    assert.equal(await browser.evaluate(`${visible}.length`), 1);
    assertQuiet();
  });

  it(
    "shows the dialogue of a message and its requests, up to the client's QUIT",
    OPTIONS,
    async () => {
      await open();
      const client = await sandbox.logIn();
      const reply = await client.send("scanner@example.com", "you@example.org", "the way");
      await browser.until(`${items}.length === 1`);
      await read();
      await click(one("tab-delivery"));
      await browser.until(`${one("dialogue")}?.textContent.includes(${JSON.stringify(reply)})`);
      // What arrives after that is shown without another click.
      await client.say("QUIT");
      await browser.until(`${one("dialogue")}.textContent.includes("C: QUIT")`);
      const dialogue = await text(one("dialogue"));
      assert.match(dialogue, /C: AUTH PLAIN \(left out\)S: 235/);
      const requests = await text(one("requests"));
      assert.match(
        requests,
        /POST \/entra\/.*200 · .*POST \/graph\/.*sendMail202 · .* sent · 0 B received/,
      );
      assertQuiet();
    },
  );

  it("lists failed logins and refused messages, with their outcome", OPTIONS, async () => {
    await open();
    const secret = "Qx8~abcdefghijklmnopqrstuvwxyz0123456789";
    const client = await sandbox.connect();
    const malformed = await client.say(`AUTH PLAIN ${btoa(`\0${secret}\0x`)}`);
    const sender = await sandbox.logIn("no-permission");
    const refused = await sender.send("scanner@example.com", "you@example.org");
    await browser.until(`${one("failure-count")}.textContent === "2"`);
    await click(one("kind-failures"));
    await browser.until(`${one("failure-title")}?.textContent === "Message refused"`);
    await browser.until(`${one("requests")} !== null`);
    const page = () => browser.evaluate("document.body.innerText") as Promise<string>;
    assert.ok((await page()).includes(refused));
    assert.match(await text(one("requests")), /sendMail403 · /);

    await browser.press("ArrowDown");
    await browser.until(`${one("failure-title")}?.textContent === "Login refused"`);
    await browser.until(`${one("dialogue")} !== null`);
    assert.ok((await page()).includes(malformed));
    assert.ok((await page()).includes("Qx8… (40 characters, no well-formed username)"));
    assert.ok(!(await page()).includes(secret.slice(0, 5)));

    await click(one("clear"));
    assert.match(await text(one("ask")), /Delete 2 failures\?/);
    await click(one("ask-yes"));
    await browser.until(`${one("failure-count")}.textContent === ""`);
    assert.deepEqual(await sandbox.api("failures"), []);
    assertQuiet();
  });

  it("is one scrolling page on a telephone", OPTIONS, async () => {
    await open(PHONE);
    for (let i = 0; i < 20; i++) {
      await add(
        `From: "A name that goes on and on and on" <${"long".repeat(20)}@example.com>\n` +
          `To: ${Array.from({ length: 40 }, (_, at) => `${"r".repeat(40)}${at}@example.org`)}\n` +
          `Subject: ${"word ".repeat(100)}${"x".repeat(200)}`,
        `${"line\n".repeat(200)}${"y".repeat(3000)}`,
      );
    }
    const client = await sandbox.connect();
    await client.say("AUTH PLAIN !");
    const scrolling = `[...document.querySelectorAll("body, body *")].filter((element) =>
      /auto|scroll/.test(getComputedStyle(element).overflowY) &&
      element.scrollHeight > element.clientHeight + 1).map((element) => element.className || element.id)`;
    const assertOnePage = async (what: string) => {
      assert.deepEqual(await browser.evaluate(scrolling), [], what);
      const { scrollWidth, scrollHeight } = await browser.evaluate(
        `(({ scrollWidth, scrollHeight }) => ({ scrollWidth, scrollHeight }))(document.scrollingElement)`,
      ) as { scrollWidth: number; scrollHeight: number };
      assert.ok(scrollWidth <= PHONE.width, `${what}: ${scrollWidth} px wide`);
      return scrollHeight;
    };
    assert.ok(await assertOnePage("list") > PHONE.height);
    await browser.evaluate("scrollTo(0, 1e6)");
    await read();
    assert.equal(await browser.evaluate("scrollY"), 0);
    assert.ok(await assertOnePage("message") > PHONE.height);
    for (const tab of ["headers", "raw", "delivery"]) {
      await click(one(`tab-${tab}`));
      await browser.until(`${one("panel")}.querySelector("table, pre, .trace > *") !== null`);
      await assertOnePage(tab);
    }
    await browser.evaluate(`location.hash = "#failures"`);
    await browser.until(`${one("failure-list")}.checkVisibility()`);
    await assertOnePage("failures");
    await click(one("failure-item"));
    await browser.until(`${one("dialogue")} !== null`);
    await assertOnePage("failure");
    await browser.evaluate(`location.hash = "#connect"`);
    await browser.until(`${one("connect")} !== null`);
    await assertOnePage("connect");
    assertQuiet();
  });

  it("can be used by keyboard", OPTIONS, async () => {
    await open();
    for (const number of [1, 2, 3]) await add(`Subject: number ${number}`);
    const subject = `${one("subject")}?.textContent`;
    await browser.until(`${subject} === "number 1"`);
    await browser.press("k");
    await browser.until(`${subject} === "number 2"`);
    await browser.press("ArrowUp");
    await browser.until(`${subject} === "number 3"`);
    await browser.evaluate(`${one("tab-text")}.focus()`);
    await browser.press("ArrowRight");
    await browser.until(`${one("tab-headers")}.getAttribute("aria-selected") === "true"`);
    await browser.evaluate(`${one("delete")}.focus()`);
    await browser.press("Enter");
    await browser.until(`${one("ask")}.open`);
    await browser.press("Tab");
    assert.equal(await text("document.activeElement"), "Delete");
    await browser.press("Enter");
    await browser.until(`${subject} === "number 2"`);
    // The focus moves to the next message, and is not lost.
    assert.match(await text("document.activeElement"), /^number 2/);
    assert.equal(sandbox.inbox.list().length, 2);
  });

  for (const dark of [false, true]) {
    for (const size of [{ width: 1280, height: 800 }, PHONE]) {
      // Each colour and each size; all four together are for the long suite.
      if (!THOROUGH && dark !== (size === PHONE)) continue;
      const how = `${dark ? "dark" : "light"}, ${size.width} px`;
      it(`has no violation found by axe: ${how}`, OPTIONS, async () => {
        await open(size);
        await browser.show({ ...size, dark });
        await browser.evaluate(AXE);
        const assertAccessible = async (what: string) => {
          // Colours in a transition are not judged.
          await browser.evaluate(
            `Promise.all(document.getAnimations().map(({ finished }) => finished))`,
          );
          const findings = await browser.evaluate(
            `axe.run(document, { iframes: false, resultTypes: ["violations"] }).then(
              ({ violations }) => violations.map(({ id, nodes }) =>
                id + ": " + nodes.map(({ html, failureSummary }) => html + failureSummary).join()))`,
          );
          assert.deepEqual(findings, [], what);
        };
        await assertAccessible("empty");
        const client = await sandbox.logIn();
        await client.send("scanner@example.com", "you@example.org", "by SMTP");
        await client.send("nobody@example.com", "you@example.org");
        await (await sandbox.connect()).say("AUTH PLAIN !");
        await browser.until(`${one("failure-count")}.textContent === "2"`);
        await add(
          'From: "\u202EScanner" <scanner@example.com>\n' +
            `To: ${Array.from({ length: 40 }, (_, at) => `${"r".repeat(40)}${at}@example.org`)}\n` +
            `Bcc: hidden@example.org\nSubject: ${"long ".repeat(200)}`,
          "--b\nContent-Type: text/html\n\n<img src=https://images.example/x>\n--b\n" +
            "Content-Disposition: attachment; filename=a.pdf\n\nx\n--b--\n",
          "multipart/mixed; boundary=b",
        );
        await assertAccessible("list");
        await read();
        for (const [tab, there] of TABS) {
          await click(one(`tab-${tab}`));
          await browser.until(`${one("panel")}.querySelector("${there}") !== null`);
          await assertAccessible(tab);
        }
        await click(one("delete"));
        await assertAccessible("question");
        await browser.press("Escape");
        await click(`${items}[1]`);
        await browser.until(`${one("subject")}?.textContent === "by SMTP"`);
        await click(one("tab-delivery"));
        await browser.until(`${one("requests")} !== null`);
        await assertAccessible("delivery by SMTP");
        await browser.evaluate(`location.hash = "#failures"`);
        await browser.until(
          `${one("failure-list")}.checkVisibility() || ${one("dialogue")} !== null`,
        );
        await assertAccessible("failures");
        for (const number of [0, 1]) {
          const item = `document.querySelectorAll('[data-testid="failure-item"]')[${number}]`;
          await click(item);
          await browser.until(
            `${item}.getAttribute("aria-current") === "true" && ${one("dialogue")} !== null`,
          );
          await assertAccessible(`failure ${number}`);
          await browser.evaluate(`location.hash = "#failures"`);
        }
        await browser.evaluate(`location.hash = "#connect"`);
        await browser.until(`${one("connect")} !== null`);
        await assertAccessible("connect");
        assertQuiet();
      });
    }
  }
});

/** The tabs of a message, and what shows that their content is loaded. */
const TABS = [["html", "iframe"], ["headers", "table"], ["raw", "pre"], [
  "delivery",
  ".trace",
]] as const;
