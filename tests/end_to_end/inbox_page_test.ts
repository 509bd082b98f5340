// The inbox page in a real browser: a message sent by SMTP appears without a reload.
//
// With SCREENSHOTS=docs it also stores the documentation's pictures of the page.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, describe, it } from "node:test";
import { createTransport } from "nodemailer";
import { Browser, NO_BROWSER, quitBrowser } from "./browser.ts";
import { SmtpClient } from "./smtp_client.ts";
import { PROGRAMS, type Relay, sandbox, SECRET, USERNAME } from "./programs.ts";

const items = `[...document.querySelectorAll('[data-testid="message-item"]')]`;

/** The newest message, its trace, and a failure on a telephone. */
async function takePictures(browser: Browser, relay: Relay, folder: string): Promise<void> {
  const there = (name: string) =>
    browser.until(`document.querySelector('[data-testid="${name}"]') !== null`);
  const store = async (name: string) => {
    // Frames and animations finish.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    writeFileSync(join(folder, name), Buffer.from(await browser.screenshot(), "base64"));
  };
  for (const password of ["wrong-secret", "no-permission"]) {
    await createTransport({
      host: "127.0.0.1",
      port: relay.smtp,
      requireTLS: true,
      tls: { rejectUnauthorized: false },
      auth: { user: USERNAME, pass: password },
    }).sendMail({
      from: "ups@example.com",
      to: "alerts@example.org",
      subject: "On battery",
      text: "On battery since 07:12.",
    }).catch(() => {});
  }
  await browser.until(
    `document.querySelector('[data-testid="failure-count"]').textContent === "2"`,
  );
  await browser.until(`document.querySelector("iframe") !== null`);
  await store("inbox.png");
  await browser.show({ dark: true });
  await browser.evaluate(`document.querySelector('[data-testid="tab-delivery"]').click()`);
  await there("requests");
  await store("inbox_dark.png");
  await browser.show({ width: 390, height: 844, mobile: true });
  await browser.evaluate(`location.hash = "#failures"`);
  await browser.evaluate(`document.querySelector('[data-testid="failure-item"]').click()`);
  await there("failure-title");
  await there("requests");
  await store("inbox_phone.png");
}

after(quitBrowser);

for (const program of PROGRAMS) {
  describe(`the inbox page of ${program.name}`, () => {
    it("receives the trace of each message, over TLS, and each failed login", {
      timeout: 60_000,
    }, async () => {
      const relay = await sandbox(program);
      const api = async (path: string) =>
        await (await fetch(`http://127.0.0.1:${relay.http}/api/${path}`)).json();
      try {
        const [{ id }] = await api("messages");
        const { dialogue, requests } = await api(`messages/${id}/trace`);
        const said = dialogue.map(({ text }: { text: string }) => text);
        const tls = said.indexOf("(TLS handshake)");
        assert.ok(tls > 0 && said.indexOf("AUTH PLAIN (left out)") > tls, said.join("\n"));
        assert.ok(said.some((line: string) => /^250 2\.0\.0 OK id=/.test(line)));
        assert.deepEqual(requests.map(({ status }: { status: number }) => status), [200, 202]);

        const client = new SmtpClient(relay.smtps, "127.0.0.1", true);
        const reply = await client.login(USERNAME, "wrong-secret");
        client.destroy();
        const [failure] = await api("failures");
        assert.deepEqual([failure.type, failure.username, failure.reply], [
          "login",
          USERNAME,
          reply,
        ]);
        const { trace } = await api(`failures/${failure.id}`);
        assert.deepEqual(trace.requests.map(({ status }: { status: number }) => status), [401]);
        assert.doesNotMatch(JSON.stringify(trace), /wrong-secret|d3Jvbmctc2VjcmV0/);
      } finally {
        await relay.running.stop();
      }
    });

    // Skipped only without a browser; CI installs one.
    it("shows the welcome message, and the next one without a reload", {
      skip: NO_BROWSER,
      timeout: 60_000,
    }, async () => {
      const relay = await sandbox(program);
      const browser = await Browser.open(`http://127.0.0.1:${relay.http}/`);
      try {
        await browser.until(`${items}.length === 1`);
        assert.match(
          String(await browser.evaluate(`${items}[0].textContent`)),
          /Welcome: the relay relays/,
        );
        await browser.evaluate("window.notReloaded = true");

        const transport = createTransport({
          host: "127.0.0.1",
          port: relay.smtp,
          requireTLS: true,
          tls: { rejectUnauthorized: false },
          auth: { user: USERNAME, pass: SECRET },
        });
        await transport.sendMail({
          from: '"Scanner, 3rd floor" <scanner@example.com>',
          to: "Reception <reception@example.org>",
          cc: "archive@example.org",
          bcc: "auditor@example.org",
          subject: "Your scan: contract-2026-11.pdf",
          text: "The scanned document is attached.",
          html:
            "<h2>Your scan is ready</h2><p>The document <b>contract-2026-11.pdf</b> is attached.</p>",
          attachments: [{
            filename: "contract-2026-11.pdf",
            content: Buffer.alloc(48_000, "%PDF-1.7\n"),
          }],
        });
        transport.close();

        await browser.until(`${items}.length === 2`);
        assert.equal(await browser.evaluate("window.notReloaded"), true);
        assert.match(
          String(await browser.evaluate(`${items}[0].textContent`)),
          /Your scan: contract-2026-11\.pdf/,
        );

        await browser.evaluate(`${items}[0].click()`);
        const subject = `document.querySelector('[data-testid="subject"]')?.textContent ?? ""`;
        await browser.until(`(${subject}).includes("Your scan")`);
        assert.match(
          String(await browser.evaluate("document.body.innerText")),
          /auditor@example\.org/,
        );

        assert.deepEqual(browser.errors, []);

        const folder = process.env["SCREENSHOTS"];
        if (folder) await takePictures(browser, relay, folder);
      } finally {
        await browser.close();
        await relay.running.stop();
      }
    });
  });
}
