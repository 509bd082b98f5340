// The inbox page in a real browser: a message sent by SMTP appears without a reload.
//
// With SCREENSHOT=path it also stores a picture of the page: docs/inbox.png is made so.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { createTransport } from "nodemailer";
import { Browser, NO_BROWSER } from "./browser.ts";
import { PROGRAMS, sandbox, SECRET, USERNAME } from "./programs.ts";

const items = `[...document.querySelectorAll('[data-testid="message-item"]')]`;

for (const program of PROGRAMS) {
  describe(`the inbox page of ${program.name}`, () => {
    // Skipped only where there is no browser; CI installs one.
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

        const path = process.env["SCREENSHOT"];
        if (path) {
          await browser.until(`document.querySelector("iframe") !== null`);
          await new Promise((resolve) => setTimeout(resolve, 1_000));
          writeFileSync(path, Buffer.from(await browser.screenshot(), "base64"));
        }
      } finally {
        await browser.close();
        await relay.running.stop();
      }
    });
  });
}
