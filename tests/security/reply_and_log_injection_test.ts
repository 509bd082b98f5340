/**
 * Whatever a client or a cloud sends, a reply stays one reply and a log line one line. `Door.close`
 * checks all of them, also for secrets; here is the input.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { EntrySource } from "../../src/accounts/entry_source.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { type Door, type DoorOptions, openDoor, response, SECRET, type Talk } from "./door.ts";
import { FORGED_LINE, HOSTILE_WORDS } from "./hostile_words.ts";

const MESSAGE = "From: alice@example.com\r\nTo: bob@example.net\r\n\r\nText";

/** Octets of UTF-8, one character each. */
function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** In both log formats, followed by every check of {@link Door.close}. */
async function inBothForms(
  options: DoorOptions,
  play: (door: Door) => Promise<void>,
): Promise<void> {
  for (const logFormat of ["json", "text"] as const) {
    const door = await openDoor({ ...options, logFormat });
    try {
      await play(door);
    } finally {
      await door.close();
    }
    for (const line of door.log) {
      assert.ok(!line.startsWith(FORGED_LINE), line);
      const [, level = "", said = ""] = logFormat === "text"
        ? / (\w+) (.*)/.exec(line)!
        : [line, ...Object.values(JSON.parse(line) as Record<string, string>).slice(0, 2)];
      assert.ok(!/forged/.test(level) && !/^forged/.test(said), line);
    }
  }
}

for (const [what, words] of Object.entries(HOSTILE_WORDS)) {
  describe(`${what}, sent by a client`, () => {
    it("in names, usernames, addresses, parameters and commands gets one reply each", async () => {
      await inBothForms({}, async (door) => {
        /** A fresh connection for each, because some of these end one. */
        const speak = async (line: string, before: readonly string[] = []) => {
          const talk = await door.connect();
          for (const command of before) await talk.say(command);
          // A line end in the middle makes a separate command, as a client may send.
          const lines = line.split(/\n/).length;
          talk.write(`${line}\r\n`);
          const replies = await talk.replies(lines);
          await talk.assertSilent();
          talk.destroy();
          return replies;
        };
        const short = words.slice(0, 400);
        for (const verb of ["EHLO", "HELO", "NOOP", "VRFY", "HELP", "BDAT x", ""]) {
          await speak(utf8(`${verb} ${short}`.trimStart()));
        }
        await speak(utf8(`AUTH ${words.slice(0, 3000)}`), ["EHLO client.example"]);
        await speak(utf8(`NOOP ${words}`));
        const usernames = [
          words,
          `${TENANT}@${words}`,
          `${words}@${CLIENT}`,
          `${words}@lookup`,
          `${TENANT}@${CLIENT}.${words}`,
        ];
        for (const username of usernames) {
          // A line of AUTH has 12288 octets at most.
          const cut = username.slice(0, 2500);
          const login = `AUTH PLAIN ${base64(`\0${cut}\0${SECRET}`)}`;
          const [reply] = await speak(login, ["EHLO client.example"]);
          // What follows the first dot of a client id is dropped, unless all of it is too long.
          const good = username === usernames[4] && username.length < 1024 &&
            !username.includes("\0");
          assert.match(reply!, good ? /^235 / : /^(?:535|501) /);
          const [user, password] = await speak(
            `AUTH LOGIN\r\n${base64(cut)}\r\n${base64(SECRET)}`,
            ["EHLO client.example"],
          );
          assert.match(user!, /^334 VXNlcm5hbWU6$/);
          assert.match(password!, /^334 UGFzc3dvcmQ6$/);
        }
        const logged = ["EHLO client.example", `AUTH PLAIN ${base64(`\0${USERNAME}\0${SECRET}`)}`];
        for (
          const address of [short, `${short}@example.com`, `"${short}"@example.com`, `a@${short}`]
        ) {
          await speak(utf8(`MAIL FROM:<${address}> SMTPUTF8`), logged);
          await speak(utf8(`MAIL FROM:<a@example.com> ${address}=1`), logged);
          await speak(utf8(`RCPT TO:<${address}>`), [
            ...logged,
            "MAIL FROM:<a@example.com> SMTPUTF8",
          ]);
        }
      });
    });

    it("in the header of a message leaves one reply, and one log line", async () => {
      await inBothForms({ environment: { ALLOWED_SENDERS: "alice@example.com" } }, async (door) => {
        const talk = await door.login();
        const cut = utf8(words.slice(0, 2000));
        for (
          const header of [
            `From: ${cut}`,
            `From: <${cut}>`,
            `From: "${cut}" <${cut}@example.com>`,
            `From: alice@example.com\r\nSender: ${cut}@example.com`,
            `From: alice@example.com\r\n${cut}\r\nTo: bob@example.net`,
            `From: alice@example.com\r\nContent-Type: ${cut}`,
            `From: alice@example.com\r\nContent-Type: multipart/mixed; boundary="${cut}"`,
          ]
        ) {
          assert.match(await talk.message(`${header}\r\n\r\nText`), /^(?:250|55\d) /);
        }
        await talk.assertSilent();
      });
    });
  });

  describe(`${what}, sent by a cloud`, () => {
    it("in Graph's error code, message and request id leaves one reply, and one line", async () => {
      const said: string[] = [];
      const texts = [
        response(400, { error: { code: words, message: words } }),
        response(403, { error: { code: "ErrorAccessDenied", message: words } }),
        response(500, {
          error: { code: words, message: words, innerError: { "request-id": words } },
        }),
        response(404, words),
        response(400, { error: words }),
        response(403, { error: { code: "x" } }, [`request-id: ${oneLine(words)}`]),
        response(413, "", [`X-Said: ${oneLine(words)}`]),
      ];
      await inBothForms({ graph: () => said[0] ?? response(202, "") }, async (door) => {
        const talk = await door.login();
        for (const text of texts) {
          said.push(text);
          assert.match(await talk.message(MESSAGE), /^[45]\d\d [45]\.\d\.\d [\x20-\x7e]{5,}$/);
          said.length = 0;
        }
        await talk.assertSilent();
      });
    });

    it("in Entra ID's error and description leaves one reply, and one line", async () => {
      const said: string[] = [];
      const texts = [
        response(401, {
          error: "invalid_client",
          error_description: words,
          error_codes: [7000215],
        }),
        response(400, { error: words, error_description: words, error_codes: [words] }),
        response(400, { error: words, error_codes: [1], error_uri: words, trace_id: words }),
        response(503, words),
        response(200, { access_token: words }),
        response(200, { token_type: words, expires_in: words, access_token: "" }),
        response(200, { error: words }),
      ];
      await inBothForms({ entra: () => said.shift()! }, async (door) => {
        for (const [index, text] of texts.entries()) {
          const talk: Talk = await door.connect();
          await talk.say("EHLO client.example");
          said.push(text);
          const reply = await talk.auth(USERNAME, `${SECRET}-${index}`);
          assert.match(reply, /^(?:[45]\d\d [45]\.\d\.\d|235 2\.7\.0) [\x20-\x7e]{5,}$/);
          await talk.assertSilent();
        }
      });
    });

    it("in the lookup table leaves one reply, and one line", async () => {
      const columns = { tenant_id: TENANT, client_id: CLIENT };
      const rows: Readonly<Record<string, Record<string, unknown>>> = {
        a: { ...columns, from_email: words },
        b: { ...columns, from_email: "alice@example.com", from_name: words },
        c: { tenant_id: words, client_id: CLIENT },
        d: { tenant_id: TENANT, client_id: words },
        e: { ...columns, allowed_senders: words },
        f: { ...columns, disabled: words },
      };
      const entries: EntrySource = {
        find: (id) => Promise.resolve(rows[id] && { id, columns: rows[id] }),
        findByClient: () => Promise.resolve([]),
      };
      await inBothForms({ entries }, async (door) => {
        for (const id of Object.keys(rows)) {
          const talk = await door.connect();
          await talk.say("EHLO client.example");
          const login = await talk.auth(`${id}@lookup`, SECRET);
          assert.match(login, /^(?:235 2\.7\.0|535 5\.7\.8|454 4\.7\.0) /);
          if (login.startsWith("235")) {
            const mail = await talk.say("MAIL FROM:<alice@example.com>");
            if (mail.startsWith("250")) {
              await talk.say("RCPT TO:<bob@example.net>");
              await talk.say("DATA");
              talk.write(`${MESSAGE}\r\n.\r\n`);
              assert.match(await talk.reply(), /^(?:250|55\d) /);
            }
          }
          await talk.assertSilent();
        }
        for (const message of door.messages()) {
          const header = message.slice(0, message.indexOf("\r\n\r\n") + 2);
          assert.doesNotMatch(header, /^(?:250|forged|2026)/m);
          assert.ok(header.split("\r\n").every((line) => line.length <= 998));
        }
      });
    });
  });
}

/** As an HTTP field may contain it: a service cannot put more into one. */
function oneLine(text: string): string {
  return utf8(text).replace(/[\r\n\0]/g, " ").slice(0, 30_000);
}
