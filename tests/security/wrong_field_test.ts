/**
 * A secret in the wrong field: whatever a device or an administrator has swapped, it is not shown
 * (CWE-532): not in either log format at any level, in a reply about a login, at /metrics or in a
 * line of a command's output.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { finding } from "../../src/check/finding.ts";
import { textLine } from "../../src/check/report.ts";
import { CommandError, usageLine } from "../../src/exit.ts";
import { makeUsername, readUsername } from "../../src/commands/username.ts";
import { actionOf, changesFor } from "../../src/commands/lookup_arguments.ts";
import { loadSettings } from "../../src/settings/load.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { openDoor, type Talk } from "./door.ts";

/** In the form of Entra ID's, but not a real secret. */
const SECRET = "aB38Q~xYzXyZxYzXyZxYzXyZxYzXyZxYzXyZxY_1";
const base64 = (text: string) => Buffer.from(text).toString("base64");
const BASE64 = base64(SECRET).slice(0, -4);

function assertHidden(text: string, what: string): void {
  // Nor half of it.
  for (const mark of [SECRET, BASE64, SECRET.slice(0, 20), SECRET.slice(-20)]) {
    assert.ok(!text.includes(mark), `${what}: ${text}`);
  }
}

/** Logins by where the secret stands. The last one is refused for its form: no request is made. */
const LOGINS: Readonly<Record<string, (talk: Talk) => Promise<string>>> = {
  "PLAIN, swapped": (talk) => talk.auth(SECRET, USERNAME),
  "PLAIN, as both": (talk) => talk.auth(SECRET, SECRET),
  "PLAIN, with a domain": (talk) => talk.auth(`${SECRET}@example.com`, USERNAME),
  "PLAIN, with another delimiter": (talk) => talk.auth(`${SECRET}:${CLIENT}`, USERNAME),
  "PLAIN, as a tenant": (talk) => talk.auth(`${SECRET}@${CLIENT}`, "x"),
  "PLAIN, as a client": (talk) => talk.auth(`${TENANT}@${SECRET}`, "x"),
  "PLAIN, after the client": (talk) => talk.auth(`${USERNAME}.${SECRET}`, "wrong"),
  "PLAIN, as a lookup's id": (talk) => talk.auth(`${SECRET}@lookup`, "x"),
  "PLAIN, as a lookup's id that no key may be": (talk) => talk.auth(`${SECRET}/@lookup`, "x"),
  "PLAIN, as authorization id": (talk) => talk.say(`AUTH PLAIN ${base64(`${SECRET}\0nobody\0x`)}`),
  "PLAIN, malformed": (talk) => talk.say(`AUTH PLAIN ${base64(`${SECRET}\0${USERNAME}`)}`),
  "PLAIN, without base64": (talk) => talk.say(`AUTH PLAIN ${SECRET}`),
  "PLAIN, with more arguments": (talk) => talk.say(`AUTH PLAIN ${SECRET} ${USERNAME}`),
  "as a mechanism": (talk) => talk.say(`AUTH ${SECRET}`),
  "LOGIN, swapped": async (talk) => {
    await talk.say("AUTH LOGIN");
    await talk.say(base64(SECRET));
    return talk.say(base64(USERNAME));
  },
  "LOGIN, with an initial response": async (talk) => {
    await talk.say(`AUTH LOGIN ${base64(SECRET)}`);
    return talk.say(base64(USERNAME));
  },
  "LOGIN, without base64": async (talk) => {
    await talk.say("AUTH LOGIN");
    return talk.say(SECRET);
  },
  "XOAUTH2, as user": async (talk) => {
    const reply = await talk.say(
      `AUTH XOAUTH2 ${base64(`user=${SECRET}\x01auth=Bearer a.b.c\x01\x01`)}`,
    );
    return reply.startsWith("334 ") ? talk.say("") : reply;
  },
  "XOAUTH2, as a user's address": async (talk) => {
    const reply = await talk.say(
      `AUTH XOAUTH2 ${base64(`user=${SECRET}@x.test\x01auth=Bearer a.b.c\x01\x01`)}`,
    );
    return reply.startsWith("334 ") ? talk.say("") : reply;
  },
  "OAUTHBEARER, as user": async (talk) => {
    const reply = await talk.say(
      `AUTH OAUTHBEARER ${base64(`n,a=${SECRET},\x01auth=Bearer a.b.c\x01\x01`)}`,
    );
    return reply.startsWith("334 ") ? talk.say(base64("\x01")) : reply;
  },
  "as a command": (talk) => talk.say(SECRET),
  "as a command in base64": (talk) => talk.say(base64(SECRET)),
};

describe("a client secret in the wrong field of a login", () => {
  for (const logFormat of ["text", "json"] as const) {
    it(`is in no reply, no line of ${logFormat}, not in /metrics and not on the status page`, async () => {
      const door = await openDoor({
        logFormat,
        environment: {
          AUTH_MECHANISMS: "PLAIN,LOGIN,XOAUTH2,OAUTHBEARER",
          HTTP_LISTEN: "127.0.0.1:0",
        },
        entries: new SandboxTable([]),
      });
      for (const [what, login] of Object.entries(LOGINS)) {
        const talk = await door.connect();
        await talk.say(`EHLO client.example`);
        await login(talk);
        assertHidden(talk.heard, what);
        talk.destroy();
      }
      const swapped = await door.connect();
      await swapped.say("EHLO client.example");
      assert.equal(
        await swapped.auth(SECRET, USERNAME),
        '535 5.7.8 The username has no "@"; expected tenant@client or id@lookup; it has 40 ' +
          "characters and looks like a client secret: are the two swapped?",
      );
      const metrics = await (await fetch(door.metrics!)).text();
      assertHidden(metrics, "/metrics");
      const status = await (await fetch(new URL("/status/data", door.metrics!))).text();
      assert.match(status, /"logins":\[\{/);
      assertHidden(status, "the status page");
      await door.close();
      for (const line of door.log) assertHidden(line, "the log");
      const log = door.log.join("");
      assert.match(log, /\(40 characters, not shown\)/);
      assert.match(log, /looks like a client secret: are the two swapped\?/);
    });
  }
});

describe("a client secret in the wrong field of a message", () => {
  it("is in no line of the log", async () => {
    const door = await openDoor({ environment: { ALLOWED_SENDERS: "alice@example.com" } });
    const talk = await door.login();
    await talk.say(`EHLO ${SECRET}`);
    await talk.auth(USERNAME, "S3cret-that-must-not-show");
    for (
      const line of [
        `MAIL FROM:<${SECRET}@example.com>`,
        `MAIL FROM:${SECRET}`,
        // Cut in its middle, it would no longer look like a secret.
        `MAIL FROM:<${"x".repeat(230)} ${SECRET}>`,
        "MAIL FROM:<alice@example.com>",
        `RCPT TO:<${SECRET}>`,
        "RSET",
      ]
    ) await talk.say(line);
    await talk.begin();
    assert.match(await talk.say(`From: ${SECRET}@example.com\r\n\r\nText\r\n.`), /^550 /);
    await door.close();
    assert.ok(door.log.some((line) => line.includes("[40 characters]")));
    for (const line of door.log) assertHidden(line, "the log");
  });
});

describe("a client secret in the wrong setting", () => {
  const trusted = {
    TLS_SOURCE: "off",
    REQUIRE_TLS: "false",
    TRUSTED_NETWORKS: "192.0.2.0/24",
    TRUSTED_PASSWORD: USERNAME,
    ALLOWED_SENDERS: "@example.com",
  };

  for (
    const username of [
      SECRET,
      `${SECRET}@lookup`,
      `${SECRET}@${CLIENT}`,
      `${TENANT}@${SECRET}`,
      // In another form than Entra ID's.
      "H1dden!that=must/not+show",
    ]
  ) {
    it(`is in no problem of TRUSTED_USERNAME: ${username.length} characters`, () => {
      const loaded = loadSettings({ ...trusted, TRUSTED_USERNAME: username });
      assert(loaded.type === "problems");
      const text = loaded.problems.join("\n");
      assertHidden(text, "TRUSTED_USERNAME");
      assert.ok(!text.includes(username));
      assert.match(text, /\(\d+ characters, not shown\)/);
    });
  }

  it("is not in the start's line about the trusted networks", async () => {
    const door = await openDoor({
      environment: {
        ...trusted,
        TLS_SOURCE: "file",
        TRUSTED_USERNAME: `${SECRET}@lookup`,
        AZURE_TABLES_URL: "https://account.table.core.windows.net/users",
        AZURE_TABLES_CONNECTION_STRING: `AccountName=account;AccountKey=${base64("x".repeat(32))}`,
      },
    });
    await door.close();
    assert.ok(door.log.some((line) => line.includes("TRUSTED_NETWORKS")));
    for (const line of door.log) assertHidden(line, "the log");
  });
});

describe("a client secret in the wrong argument of a command line", () => {
  let folder: string;
  before(() => folder = mkdtempSync(join(tmpdir(), "relay-wrong-field-")));
  after(() => rmSync(folder, { recursive: true }));

  const refused = (what: string, run: () => unknown) => {
    try {
      run();
    } catch (error) {
      assert(error instanceof CommandError);
      const text = [error.message, ...error.lines].join("\n");
      assertHidden(text, what);
      return text;
    }
    return assert.fail(`${what} was taken`);
  };

  it("is in no output of the command username", () => {
    const file = join(folder, "settings.env");
    writeFileSync(file, "USERNAME_DELIMITER=@\n");
    for (
      const [tenant, client] of [[SECRET, CLIENT], [TENANT, SECRET]] as const
    ) {
      const text = refused("ids", () => makeUsername(tenant, client, file));
      assert.match(text, /_ID \(40 characters\) must be a UUID.*looks like a client secret/);
    }
    // Nor what is not in the form of Entra ID's secrets, but may be another secret.
    assert.doesNotMatch(refused("ids", () => makeUsername(TENANT, "hunter2", file)), /hunter2/);
    assert.match(
      refused("a username", () => readUsername(SECRET, file)),
      /it has 40 characters and looks like a client secret: are the two swapped\?/,
    );
  });

  it("is in no output of lookup", () => {
    refused("an action", () => actionOf(SECRET, undefined, []));
    refused("a column", () => changesFor("id", [SECRET]));
    refused("a column's name", () => changesFor("id", [`${SECRET}=x`]));
    refused("an id", () => changesFor(`${SECRET}/`, ["tenant_id=x"]));
  });

  it("is in no usage error", () => {
    for (
      const text of [
        `error: unknown command '${SECRET}'`,
        `error: unknown option '--password=${SECRET}'`,
        `error: unknown option '--password=hunter2'`,
        `error: unknown option '-p=hunter2'`,
      ]
    ) {
      assertHidden(usageLine(text), text);
      assert.doesNotMatch(usageLine(text), /hunter2/);
    }
    assert.equal(
      usageLine("error: unknown option '--pasword'\n(Did you mean --password?)"),
      "unknown option '--pasword' (Did you mean --password?)",
    );
  });

  it("is in no finding of check", () => {
    const found = finding("login.password-file", `--password-file "${SECRET}" cannot be read`);
    assertHidden(textLine(found), "check");
  });
});
