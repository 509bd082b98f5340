/**
 * The status page in a real browser: live, searchable, quick with thousands of messages, accessible,
 * and hostile texts stay texts.
 *
 * With SCREENSHOTS=docs it also stores the documentation's pictures of the page.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, afterEach, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { LoginFailure } from "../../src/accounts/account.ts";
import { loginRemedy, messageRemedy, serviceRemedy } from "../../src/check/remedies.ts";
import type { NotSent } from "../../src/delivery/delivery.ts";
import { serveHttp } from "../../src/observe/http.ts";
import type { RelayEvent } from "../../src/observe/relay_event.ts";
import { Sealer } from "../../src/queue/sealing.ts";
import { reply } from "../../src/smtp/reply.ts";
import { statusRoutes } from "../../src/status/routes.ts";
import { Status } from "../../src/status/status.ts";
import { Browser, NO_BROWSER, quitBrowser, type Screen } from "../end_to_end/browser.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { entryAccount, loginEvent, principalOf, submissionEvent } from "../support/events.ts";
import { queueKey } from "../support/fake_queue.ts";
import { TestRelays } from "../support/relay.ts";
import { openSandbox, type Sandbox } from "../support/sandbox.ts";
import { THOROUGH } from "../support/thorough.ts";

const AXE = readFileSync(
  fileURLToPath(new URL("../../node_modules/axe-core/axe.min.js", import.meta.url)),
  "utf8",
);
const PHONE = { width: 390, height: 844 };
const OPTIONS = { skip: NO_BROWSER, timeout: 60_000 };
const FROM = "scanner@example.com";
const TO = "you@example.org";

const one = (name: string) => `document.querySelector('[data-testid="${name}"]')`;
const rows = (name: string) =>
  `[...document.querySelectorAll('[data-testid="${name}"]')].filter((row) => !row.hidden)`;

let sandbox: Sandbox | undefined;
let browser: Browser;

async function open(screen: Screen = {}, environment: Record<string, string> = {}) {
  sandbox = await openSandbox({ AUTH_RATE_LIMIT: "off", ...environment });
  browser = await Browser.open(`${sandbox.url}status`, screen.width, screen.height);
  await browser.until(`${one("live")}?.dataset.state === "live"`);
  return sandbox;
}

const text = async (expression: string) =>
  String(await browser.evaluate(`${expression}?.textContent`));

async function show(part: string): Promise<void> {
  await browser.evaluate(`location.hash = "#${part}"`);
  await browser.until(`!document.getElementById("part-${part}").hidden`);
}

/** Follows a link to another document, in which the condition holds then. */
async function follow(link: string, condition: string): Promise<void> {
  // The document that is asked may go meanwhile.
  await browser.evaluate(`setTimeout(() => ${one(link)}.click())`);
  while (!await browser.evaluate(condition).catch(() => false));
}

/** Types into the search, and waits until it has been carried out. */
async function search(words: string): Promise<void> {
  await browser.evaluate(`(() => {
    const search = ${one("search")};
    search.value = ${JSON.stringify(words)};
    search.dispatchEvent(new Event("input"));
    return new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  })()`);
}

/** Asserts what the page must never do. @param url of its site */
function assertQuiet(url: string): void {
  assert.deepEqual(browser.errors, []);
  const foreign = browser.requests.map((asked) => asked.replace("//admin:pw@", "//")).filter((
    asked,
  ) => !asked.startsWith(url) && !asked.startsWith("data:") && asked !== "about:blank");
  assert.deepEqual(foreign, []);
}

const SENT = { type: "sent", reply: reply(250, "2.0.0", "OK") } as const;

/** A message of one of many devices. */
function messageOf(device: number, id: string): RelayEvent {
  const principal = principalOf(entryAccount(`device-${device}`));
  const client = { connection: "c0ffee", address: `10.0.${device >> 8}.${device & 255}`, port: 1 };
  const part = { id, messageId: `<${id}@x.test>`, receivedAt: Date.now() };
  return submissionEvent(SENT, client, principal, part);
}

/** Stores the documentation's pictures of the page. */
async function takePictures(folder: string): Promise<void> {
  const store = async (name: string) => {
    // Animations finish.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    writeFileSync(join(folder, name), Buffer.from(await browser.screenshot(), "base64"));
  };
  await browser.show({ width: 1280, height: 900 });
  await store("status.png");
  await browser.show({ dark: true });
  await show("messages");
  await search("reports");
  await browser.evaluate(`${rows("message")}[0].querySelector("summary").click()`);
  await store("status_dark.png");
  await browser.show({ width: 390, height: 844, mobile: true });
  await search("");
  await show("devices");
  await browser.until(`${rows("device")}.length === 6`);
  await browser.evaluate(`${rows("device")}[0].querySelector("summary").click()`);
  await store("status_phone.png");
}

/** The page of a relay that has run for an hour, on a clock of its own. */
async function openHour(): Promise<{ readonly url: string; close(): Promise<void> }> {
  const start = Date.now() - 3_600_000;
  let now = start;
  const services = ["Entra ID", "Graph", "Lookup table", "Queue"] as const;
  const status = new Status({ maxMessages: 500, services, clock: { date: () => now } });
  const day = 86_400_000;
  status.live = {
    parts: () => ({ smtp: { ready: true } }),
    listening: ["[::]:8025"],
    connections: () => 14,
    certificate: () => ({ source: "file", expires: start + 12.5 * day, readAt: now }),
    clientCertificate: () => ({ source: "keyvault", expires: start + 20.5 * day, readAt: now }),
    queue: {
      usage: () => ({
        messages: { queued: 3, sending: 1, held: 0, dead: 2 },
        octets: 0,
        oldest: now - 42_000,
        oldestDead: undefined,
        disk: undefined,
      }),
      administration: () => Promise.reject(new Error("not here")),
      sealer: new Sealer([queueKey()]),
      changed() {},
    },
  };
  passHour(status, (at) => now = start + at);
  const ended = new AbortController();
  const http = await serveHttp({ listen: { hostname: "127.0.0.1", port: 0 } });
  http.mount(statusRoutes(status, {
    home: "/",
    signal: ended.signal,
    version: "smtp-oauth-relay 0.1.0 (a1b2c3d) on Bun 1.4.5",
    hostname: "relay.contoso.example",
    sandbox: false,
    settings: [],
    maxMessages: 500,
    mayChange: true,
    remedy: (reason) =>
      reason.type === "login" ? loginRemedy(reason.failure) : messageRemedy(reason.failure),
    serviceRemedy: (_, failure) =>
      serviceRemedy("authority", new URL("https://login.microsoftonline.com"), failure),
  }));
  return {
    url: `http://127.0.0.1:${http.addresses[0]!.port}/`,
    async close() {
      ended.abort();
      await http.close();
    },
  };
}

/** @param at sets the clock, in milliseconds from the beginning */
function passHour(status: Status, at: (milliseconds: number) => void): void {
  const names = ["scanner-2", "reports", "ups-cellar", "erp", "copier-floor3"];
  let count = 0;
  const told = (name: string, outcome: typeof SENT | NotSent, milliseconds: number, steps = 0) => {
    const id = (0x5a1c0000 + count++ * 7919).toString(16).padStart(16, "c3d94e07");
    const principal = { ...principalOf(entryAccount(name)), username: `${name}@lookup` };
    const client = { connection: "c", address: `192.0.2.${10 + names.indexOf(name)}`, port: 1 };
    const event = submissionEvent(outcome, client, principal, {
      id,
      messageId: `<${id}@${name}.contoso.example>`,
      envelope: { from: `${name.replace(/-.*/, "")}@contoso.example`, recipients: [TO] },
      receivedAt: status.now,
    });
    const throttled = { name: "request", at: 0, milliseconds: 1, result: 429 } as const;
    const answered = { ...throttled, result: 202 };
    const all = [...Array<typeof throttled>(steps).fill(throttled), answered];
    status.notify({ ...event, milliseconds, steps: all } as RelayEvent);
  };
  status.notify({ type: "lookupAnswered" });
  for (let minute = 0; minute <= 60; minute++) {
    at(minute * 60_000);
    const messages = 6 + Math.round(5 * Math.sin(minute / 7)) + (minute % 5);
    for (let i = 0; i < messages; i++) {
      const slow = minute > 30 && minute < 38 ? 900 : 0;
      told(names[(minute + i) % 4]!, SENT, 180 + 40 * ((minute * i) % 5) + slow);
    }
    if (minute === 34) told("reports", SENT, 1_400, 3);
    if (minute % 20 === 19) {
      told("copier-floor3", {
        type: "refused",
        reply: reply(550, "5.7.1", "denied"),
        ambiguous: false,
        code: "ErrorAccessDenied",
        detail:
          "the app may not send as this mailbox: grant Mail.Send, or put the mailbox in its scope",
      }, 240);
    }
  }
  const wrong: LoginFailure = {
    type: "refused",
    reply: reply(535, "5.7.8", "no"),
    code: "AADSTS7000222",
    detail: "the client secret has expired; add a new one to the app registration",
  };
  const client = { connection: "c", address: "198.51.100.23", port: 1 };
  for (let i = 0; i < 3; i++) {
    status.notify(
      loginEvent({ mechanism: "PLAIN", username: "old@lookup" } as never, client, wrong),
    );
  }
  const refusal = {
    type: "later",
    code: "ETIMEDOUT",
    detail: "Entra ID cannot be reached (no answer from login.microsoftonline.com:443)",
    reply: reply(454, "4.7.0", "later"),
  } as const;
  status.notify({ type: "token", milliseconds: 20_000, refusal });
}

after(quitBrowser);

describe("the status page in a browser", () => {
  const relays = new TestRelays();
  let cloud: CloudServer | undefined;
  afterEach(async () => {
    await browser?.close();
    await sandbox?.stop();
    sandbox = undefined;
    await cloud?.close();
    cloud = undefined;
  });

  it("shows a message when it is sent, and finds it by all that names it", OPTIONS, async () => {
    const { logIn, url } = await open();
    await show("messages");
    const client = await logIn();
    await client.send("other@example.com", TO);
    await browser.until(`${rows("message")}.length === 1`);
    const [, id] = /id=(\S+)/.exec(await client.send(FROM, TO))!;
    await browser.until(`${rows("message")}.length === 2`);
    const newest = await text(`${rows("message")}[0]`);
    for (const part of ["Sent", FROM, "127.0.0.1", id!]) assert.ok(newest.includes(part), newest);

    await browser.evaluate(`${rows("message")}[0].querySelector("summary").click()`);
    await browser.until(`${rows("message")}[0].querySelector(".more") !== null`);
    const [, messageId] = /Message-ID(<[^>]+>)/.exec(await text(`${rows("message")}[0]`))!;
    for (const words of [id!, messageId!, messageId!.slice(1, -1), FROM, "SCANNER sent"]) {
      await search(words);
      assert.deepEqual(
        await browser.evaluate(
          `${rows("message")}.map((row) => row.querySelector(".code").textContent)`,
        ),
        [id],
        words,
      );
    }
    await search("127.0.0.1");
    assert.equal(await browser.evaluate(`${rows("message")}.length`), 2);
    await search("nothing like it");
    assert.equal(await browser.evaluate(`${rows("message")}.length`), 0);
    assert.match(await text(one("told")), /0 of 2 messages/);
    assert.equal(await browser.evaluate(`document.body.innerText.includes("${TO}")`), false);
    assertQuiet(url);
  });

  it("tells of trouble, and what to do about it", OPTIONS, async () => {
    const { logIn, cloud, url } = await open();
    await browser.until(`${one("verdict")}.textContent === "Everything works"`);
    cloud.faults.add({ on: "token", connection: "reset" });
    await logIn();
    await browser.until(
      `${one("troubles")}.textContent.includes("Entra ID has not answered since")`,
    );
    assert.match(await text(one("services")), /Entra IDLast failure/);
    const client = await logIn();
    await browser.until(`${one("verdict")}.textContent === "Everything works"`);
    await client.send("nobody@example.com", TO);
    await browser.until(`${one("verdict")}.textContent === "1 thing to look at"`);
    assert.match(
      await text(one("troubles")),
      /the sender has no mailbox.*To do: send from a mailbox that exists/,
    );
    await client.send(FROM, TO);
    await browser.until(`${one("verdict")}.textContent === "Everything works"`);
    await logIn("wrong-secret");
    await browser.until(`${one("logins")}.textContent.includes("1 failure")`);
    await browser.until(`${one("troubles")}.textContent.includes("the client secret is wrong")`);
    assertQuiet(url);
  });

  it(
    "tells of a device that has never logged in, and tells such devices apart",
    OPTIONS,
    async () => {
      const { logIn, url } = await open();
      const username = (app: number) =>
        `11111111-1111-1111-1111-111111111111@22222222-2222-2222-2222-${
          String(app).padStart(12, "0")
        }`;
      await logIn("expired-secret", username(7));
      await browser.until(`${one("verdict")}.textContent === "1 thing to look at"`);
      assert.match(
        await text(one("troubles")),
        /0007 at 127\.0\.0\.1 failed to log in .*AADSTS7000222.*To do: /,
      );
      await logIn("expired-secret", username(8));
      await show("devices");
      await browser.until(`${rows("device")}.length === 2`);
      const name = `querySelector(".cell-name")`;
      assert.deepEqual(
        await browser.evaluate(`${rows("device")}.map((row) => row.${name}.textContent)`),
        ["11111111…1111@22222222…0007", "11111111…1111@22222222…0008"],
      );
      await browser.evaluate(`${rows("device")}[0].querySelector("summary").click()`);
      await browser.until(`${rows("device")}[0].textContent.includes("${username(7)}")`);
      await search(username(8));
      assert.equal(await browser.evaluate(`${rows("device")}.length`), 1);
      assertQuiet(url);
    },
  );

  it("shows hostile names, addresses and errors as text", OPTIONS, async () => {
    const { status, url } = await open();
    const markup = `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>`;
    const refused: NotSent = {
      type: "refused",
      reply: reply(550, "5.1.0", markup),
      ambiguous: false,
      code: "<b>code</b>",
      detail: `${markup}\u202Eevil`,
    };
    const principal = { ...principalOf(entryAccount("x")), username: `${markup}@lookup` };
    const client = { connection: "c", address: "<i>192.0.2.1</i>", port: 1 };
    const wrong: LoginFailure = { ...refused, detail: markup };
    status.notify(submissionEvent(refused, client, principal, {
      id: "<u>id</u>",
      messageId: `<${markup}@x>`,
      username: principal.username,
      envelope: { from: `${markup}@x.test`, recipients: [TO] },
    }));
    status.notify(loginEvent({ mechanism: "PLAIN", username: markup } as never, client, wrong));
    await browser.until(`${one("troubles")}.textContent.includes("onerror")`);
    for (const part of ["overview", "messages", "devices", "settings"]) {
      await show(part);
      await browser.evaluate(
        "new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))",
      );
      await browser.evaluate(
        `document.querySelectorAll("#part-${part} summary").forEach((row) => row.click())`,
      );
    }
    await show("messages");
    await browser.until(`${rows("message")}[0].querySelector(".more") !== null`);
    const shown = await text(`${rows("message")}[0]`);
    assert.ok(shown.includes(markup) && shown.includes("U+202E"), shown);
    assert.equal(await browser.evaluate("window.hurt"), undefined);
    assert.equal(
      await browser.evaluate(`document.querySelector("main img, main script, main i, main u")`),
      null,
    );
    assertQuiet(url);
  });

  it("is not slowed by 10,000 messages of 500 devices", OPTIONS, async () => {
    const { status, url } = await open();
    await show("messages");
    // Time would depend on the machine: what it grows with is counted instead.
    await browser.evaluate(`(() => {
      window.made = { message: 0, device: 0 };
      const observer = new MutationObserver((changes) => {
        for (const { addedNodes } of changes) {
          for (const { dataset } of addedNodes) {
            if (dataset?.testid in made) made[dataset.testid]++;
          }
        }
      });
      observer.observe(document.querySelector("main"), { subtree: true, childList: true });
    })()`);
    const made = () => browser.evaluate("window.made") as Promise<Record<string, number>>;
    for (let i = 0; i < 10_000; i++) {
      status.notify(messageOf(i % 500, `id-${i}`));
      if (i % 500 === 499) await browser.until(`messages.has("id-${i}")`);
    }
    await browser.until(`${rows("message")}[0]?.textContent.includes("id-9999")`);
    assert.equal(await browser.evaluate(`${rows("message")}.length`), 500);
    const before = await made();
    // Each row is made once, however often others are drawn, and none of a part that is not shown.
    assert.ok(before["message"]! <= 10_000, JSON.stringify(before));
    assert.equal(before["device"], 0);
    await search("id-9876");
    assert.equal(await browser.evaluate(`${rows("message")}.length`), 1);
    assert.deepEqual(await made(), before, "a search makes no row");
    await search("");
    await show("devices");
    await browser.until(`${rows("device")}.length === 500`);
    await search("device-77@lookup");
    assert.equal(await browser.evaluate(`${rows("device")}.length`), 1);
    assert.match(await text(`${rows("device")}[0]`), /10\.0\.0\.77.*20$/);
    assert.deepEqual(await made(), { ...before, device: 500 });
    assertQuiet(url);
  });

  it("goes on after a lost connection, without a reload", OPTIONS, async () => {
    cloud = await startCloud();
    const setup = { cloud, environment: { HTTP_LISTEN: "127.0.0.1:0" } };
    const relay = await relays.start(setup);
    browser = await Browser.open(`${relay.url}/#messages`);
    await browser.until(`${one("live")}?.dataset.state === "live"`);
    await browser.evaluate("window.notReloaded = true");
    await (await relay.authed()).send(FROM, TO);
    await browser.until(`${rows("message")}.length === 1`);
    const { port } = new URL(relay.url!);
    await relay.stop();
    await browser.until(`${one("live")}.dataset.state === "lost"`);
    const again = await relays.start({
      ...setup,
      environment: { HTTP_LISTEN: `127.0.0.1:${port}` },
    });
    await browser.until(`${one("live")}.dataset.state === "live"`);
    // Another process remembers nothing of the first one.
    await browser.until(`${rows("message")}.length === 0`);
    await (await again.authed()).send(FROM, TO);
    await browser.until(`${rows("message")}.length === 1`);
    assert.equal(await browser.evaluate("window.notReloaded"), true);
  });

  it(
    "retries and deletes messages of the queue, after a question, by keyboard",
    OPTIONS,
    async () => {
      cloud = await startCloud();
      const folder = mkdtempSync(join(tmpdir(), "relay-status-"));
      try {
        const relay = await relays.start({
          cloud,
          environment: {
            HTTP_LISTEN: "127.0.0.1:0",
            HTTP_PASSWORD: "pw",
            DELIVERY_MODE: "queue",
            QUEUE_URL: `sqlite:${folder}/queue.db`,
            QUEUE_KEY: randomBytes(32).toString("base64"),
          },
        });
        browser = await Browser.open(relay.url!.replace("//", "//admin:pw@") + "/");
        await browser.until(`${one("live")}?.dataset.state === "live"`);
        cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients", times: 2 });
        const client = await relay.authed();
        await client.send(FROM, TO);
        await client.send(FROM, TO);
        await browser.until(`${one("troubles")}.textContent.includes("2 messages given up")`);
        await show("queue");
        await browser.until(`${rows("queued")}.length === 2`);
        await browser.evaluate(AXE);
        const findings = await browser.evaluate(
          `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) =>
          violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html }) => html).join()))`,
        );
        assert.deepEqual(findings, []);
        assert.match(await text(`${rows("queued")}[0]`), /Given up.*ErrorInvalidRecipients/);
        const button = (name: string) =>
          `${rows("queued")}[0].querySelector('[aria-label^="${name}"]')`;
        await browser.evaluate(`${button("Delete")}.focus()`);
        await browser.press("Enter");
        await browser.until(`${one("ask")}.open`);
        assert.equal(await text("document.activeElement"), "Cancel");
        await browser.press("Tab");
        await browser.press("Enter");
        await browser.until(`${rows("queued")}.length === 1`);
        assert.match(await text(one("told")), /is deleted$/);
        await browser.evaluate(`${button("Retry")}.focus()`);
        await browser.press("Enter");
        await browser.until(`${rows("queued")}.length === 0`);
        await show("messages");
        await browser.until(`${rows("message")}.some((row) => row.textContent.includes("Sent"))`);
        assert.equal(cloud.inbox.list().length, 1);
        assertQuiet(relay.url!);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  it("is a tab beside the sandbox's inbox", OPTIONS, async () => {
    const { url } = await open();
    await follow("to-inbox", `location.pathname === "/" && ${one("to-status")} !== null`);
    await browser.until(`${one("live")}?.dataset.state === "live"`);
    await follow("to-status", `location.pathname === "/status" && ${one("verdict")} !== null`);
    await browser.until(`${one("verdict")}.textContent === "Everything works"`);
    assertQuiet(url);
  });

  it("can be used by keyboard", OPTIONS, async () => {
    const { logIn } = await open();
    const client = await logIn();
    await client.send(FROM, TO);
    await browser.press("/");
    assert.equal(await browser.evaluate(`document.activeElement === ${one("search")}`), true);
    for (const letter of "scan") await browser.press(letter);
    await browser.until(`location.hash === "#messages" && ${rows("message")}.length === 1`);
    await browser.press("Tab");
    await browser.press("Tab");
    assert.equal(await browser.evaluate("document.activeElement.tagName"), "SUMMARY");
    await browser.press("Enter");
    await browser.until(`${rows("message")}[0].querySelector(".more") !== null`);
    // It stays open while others arrive.
    await client.send(FROM, TO);
    await browser.until(`${rows("message")}.length === 2`);
    assert.equal(
      await browser.evaluate(`${rows("message")}[1].querySelector("details").open`),
      true,
    );
    assert.equal(await browser.evaluate("document.activeElement.tagName"), "SUMMARY");
  });

  it("shows an hour of a relay at a glance", OPTIONS, async () => {
    const hour = await openHour();
    try {
      browser = await Browser.open(hour.url);
      await browser.until(`${one("verdict")}?.textContent === "6 things to look at"`);
      assert.match(
        await text(one("throughput")),
        /^\d+ accepted, \d+ failed, at most \d+ a minute$/,
      );
      const label = `document.getElementById("throughput").getAttribute("aria-label")`;
      assert.match(
        String(await browser.evaluate(label)),
        /^Messages in the last hour: \d+ accepted/,
      );
      const bars = `document.querySelectorAll("#throughput rect.accepted").length`;
      assert.equal(await browser.evaluate(bars), 60);
      assert.match(await text(one("troubles")), /Entra ID has not answered since/);
      assert.match(await text(one("troubles")), /The certificate expires/);
      assert.match(
        await text(one("troubles")),
        /The relay's own certificate for Entra ID expires .*To do: register a new one/,
      );
      assert.match(await text(one("mailboxes")), /3 timesreports@contoso\.example/);
      assert.match(await text(one("relay")), /Certificate12 days left/);
      assertQuiet(hour.url);
      await browser.show({ ...PHONE, mobile: true });
      await browser.evaluate(
        `document.getElementById("place").textContent = "long-name.".repeat(20)`,
      );
      assert.equal(await browser.evaluate("document.scrollingElement.scrollWidth"), PHONE.width);
      await browser.evaluate(`document.getElementById("place").textContent = overview.hostname`);
      const folder = process.env["SCREENSHOTS"];
      if (folder) await takePictures(folder);
    } finally {
      await hour.close();
    }
  });

  for (const dark of [false, true]) {
    for (const size of [{ width: 1280, height: 800 }, PHONE]) {
      // Each colour and each size; all four together are for the long suite.
      if (!THOROUGH && dark !== (size === PHONE)) continue;
      const how = `${dark ? "dark" : "light"}, ${size.width} px`;
      it(`has no violation found by axe, and fits: ${how}`, OPTIONS, async () => {
        const { logIn, status, url } = await open(size);
        await browser.show({ ...size, dark });
        await browser.evaluate(AXE);
        const assertFits = async (what: string) => {
          const findings = await browser.evaluate(
            `Promise.all(document.getAnimations().map(({ finished }) => finished)).then(() =>
              axe.run(document, { resultTypes: ["violations"] })).then(({ violations }) =>
                violations.map(({ id, nodes }) =>
                  id + ": " + nodes.map(({ html, failureSummary }) => html + failureSummary).join()))`,
          );
          assert.deepEqual(findings, [], what);
          const width = await browser.evaluate("document.scrollingElement.scrollWidth") as number;
          assert.ok(width <= size.width, `${what}: ${width} px wide`);
        };
        for (const part of ["overview", "messages", "devices", "settings"]) {
          await show(part);
          await assertFits(`empty ${part}`);
        }
        const client = await logIn();
        await client.send(FROM, TO);
        await client.send("nobody@example.com", TO);
        await logIn("wrong-secret");
        const long = "long".repeat(60);
        const principal = { ...principalOf(entryAccount("x")), username: `${long}@lookup` };
        const later: NotSent = {
          type: "later",
          reply: reply(451, "4.4.2", "unclear"),
          ambiguous: true,
          code: "ECONNRESET",
          detail: `${long} ${"words ".repeat(40)}`,
        };
        status.notify(submissionEvent(
          later,
          {
            connection: "c",
            address: "2001:db8:1111:2222:3333:4444:5555:6666",
            port: 1,
          },
          principal,
          { envelope: { from: `${long}@example.com`, recipients: [TO] } },
        ));
        for (const part of ["overview", "messages", "devices", "settings"]) {
          await show(part);
          await browser.until(`${rows("message")}.length === 3 || "${part}" !== "messages"`);
          await browser.evaluate(
            `document.querySelectorAll("#part-${part} summary").forEach((row) => row.click())`,
          );
          await browser.until(
            `[...document.querySelectorAll("#part-${part} details")].every(({ lastChild, open }) =>
              !open || lastChild.className === "more")`,
          );
          await assertFits(part);
        }
        assertQuiet(url);
      });
    }
  }
});
