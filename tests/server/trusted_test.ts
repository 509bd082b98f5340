// Trusted networks over sockets, with clients on several addresses of 127.0.0.0/8 and the simulated
// Entra ID and Graph.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { afterEach, before, beforeEach, describe, it } from "node:test";
import type { Row } from "../../src/accounts/entry.ts";
import { buildSubmissions } from "../../src/relay/submission.ts";
import { HttpClient } from "../../src/http/client.ts";
import { EventLog } from "../../src/observe/event_log.ts";
import { createLog } from "../support/log.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import { SandboxTable } from "../../src/sandbox/imitated_table.ts";
import { settingsOf } from "../support/settings.ts";
import { SmtpClient } from "../end_to_end/smtp_client.ts";
import { smtpServer } from "../support/smtp_server.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";

const TRUSTED = "127.0.0.2";
const STRANGER = "127.0.0.3";
const SECRET = "S3cret-that-must-not-show";
const ENTRY = { tenant_id: TENANT, client_id: CLIENT };

/** An account of the table, bound by its entry alone. */
const BY_ENTRY = {
  TRUSTED_USERNAME: "printers@lookup",
  AZURE_TABLES_URL: "https://account.table.core.windows.net/users",
  ALLOWED_SENDERS: "",
};

describe("trusted networks", () => {
  let runtime: Runtime;
  let cloud: CloudServer;
  before(async () => {
    runtime = await currentRuntime();
  });
  const ends: (() => void | Promise<unknown>)[] = [];
  beforeEach(async () => {
    cloud = await startCloud();
    ends.push(() => cloud.close());
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });

  /** @param entries entries of the lookup, which the test may change */
  async function start(
    environment: Readonly<Record<string, string>> = {},
    entries: Record<string, Record<string, string>> = {},
  ) {
    const settings = settingsOf({
      TRUSTED_NETWORKS: `${TRUSTED}/32, ::1`,
      TRUSTED_USERNAME: USERNAME,
      TRUSTED_PASSWORD: SECRET,
      ALLOWED_SENDERS: "scanner@example.com",
      AZURE_AUTHORITY_HOST: cloud.authority.href,
      GRAPH_ENDPOINT: cloud.endpoint.href,
      ...environment,
    });
    const log: Record<string, unknown>[] = [];
    const write = (line: string) => void log.push(JSON.parse(line));
    const { notify } = new EventLog(createLog({ level: "DEBUG", format: "json", write }));
    const http = new HttpClient({ connect: runtime.connect });
    const rows = (): Row[] => Object.entries(entries).map(([id, columns]) => ({ id, columns }));
    const table = {
      find: (id: string) => new SandboxTable(rows()).find(id),
      findByClient: () => new SandboxTable(rows()).findByClient(),
    };
    const { service } = buildSubmissions({ settings, http, notify, entries: table });
    const server = await smtpServer({
      service,
      handlers: { notify },
      isTrusted: ({ address }) => settings.TRUSTED_NETWORKS?.has(address) ?? false,
      session: { requireTls: settings.REQUIRE_TLS },
    });
    ends.push(() => http.close(), () => server.stop(1_000));
    const { port } = server.listen("127.0.0.1", 0, false);
    const { port: port6 } = server.listen("::1", 0, false);
    /** After the greeting and EHLO. */
    const client = async (from: string) => {
      const made = from === "::1"
        ? new SmtpClient(port6, "::1")
        : new SmtpClient(port, "127.0.0.1", false, from);
      ends.push(() => made.destroy());
      assert.match(await made.reply(), /^220 /);
      await made.say("EHLO printer");
      return made;
    };
    const lines = (message: string) => log.filter((line) => line["message"] === message);
    return { client, log, lines };
  }

  const received = () => {
    const { inbox } = cloud;
    const [newest] = inbox.list();
    assert.ok(newest !== undefined, "nothing has arrived");
    return { ...newest, raw: Buffer.from(inbox.get(newest.id)!.raw).toString("latin1") };
  };

  for (const address of [TRUSTED, "::1"]) {
    it(`let ${address} send without TLS and AUTH, marked in Received and in the log`, async () => {
      const { client, lines, log } = await start();
      const printer = await client(address);
      assert.match(await printer.send("scanner@example.com", "ann@example.org"), /^250 2\.0\.0 /);
      const { raw, from } = received();
      assert.equal(from, "scanner@example.com");
      const literal = address === "::1" ? "IPv6:::1" : address;
      assert.ok(
        raw.startsWith(`Received: from printer ([${literal}])\r\n\tby `) &&
          / with ESMTP \(trusted network\) id [0-9a-f]{16};\r\n/.test(raw),
        raw,
      );
      const [sent] = lines("Message sent");
      assert.deepEqual([sent?.["trusted"], sent?.["client"], sent?.["app"]], [
        true,
        address,
        CLIENT,
      ]);
      const [login] = lines("Login succeeded");
      assert.deepEqual([login?.["trusted"], login?.["username"], login?.["mechanism"]], [
        true,
        USERNAME,
        undefined,
      ]);
      const written = JSON.stringify(log);
      for (const hidden of [SECRET, "eyJ"]) assert.ok(!written.includes(hidden));
    });
  }

  for (const REQUIRE_TLS of ["true", "false"]) {
    it(`let no other client send: 530, with REQUIRE_TLS=${REQUIRE_TLS} (RFC 3207 §4, RFC 4954 §6)`, async () => {
      const { client, lines } = await start({ REQUIRE_TLS });
      for (const address of [STRANGER, "127.0.0.1"]) {
        const stranger = await client(address);
        const expected = REQUIRE_TLS === "true"
          ? "530 5.7.0 Must issue a STARTTLS command first"
          : "530 5.7.0 Authentication required";
        for (const command of ["MAIL FROM:<scanner@example.com>", "RCPT TO:<a@b>", "DATA"]) {
          assert.equal(await stranger.say(command), expected);
        }
      }
      assert.deepEqual(cloud.seen, []);
      assert.deepEqual(lines("Refused by the relay").map((line) => line["trusted"]), [
        undefined,
        undefined,
      ]);
    });
  }

  it("allow only the allowed senders, in the envelope and in the header", async () => {
    const { client, lines } = await start();
    const printer = await client(TRUSTED);
    const refusal = "550 5.7.1 Sender not allowed: it is not in ALLOWED_SENDERS";
    assert.equal(await printer.say("MAIL FROM:<director@example.com>"), refusal);
    await printer.say("MAIL FROM:<scanner@example.com>");
    await printer.say("RCPT TO:<ann@example.org>");
    await printer.say("DATA");
    const forged = await printer.say("From: <director@example.com>\r\n\r\nPay!\r\n.");
    assert.equal(forged, `${refusal} (director@example.com)`);
    // With the null reverse-path, From decides (RFC 5321 §4.5.5).
    await printer.say("MAIL FROM:<>");
    await printer.say("RCPT TO:<ann@example.org>");
    await printer.say("DATA");
    assert.match(
      await printer.say("From: <director@example.com>\r\n\r\nPay!\r\n."),
      /^550 5\.7\.1/,
    );
    assert.deepEqual(cloud.inbox.list(), []);
    const [refused] = lines("Refused by the relay");
    assert.deepEqual([refused?.["trusted"], refused?.["level"]], [true, "WARNING"]);
    assert.deepEqual(lines("Message refused").map((line) => line["trusted"]), [true, true]);
  });

  it("log in once per session, and request one token for all sessions", async () => {
    const { client, lines } = await start();
    for (let session = 1; session <= 3; session++) {
      const printer = await client(TRUSTED);
      for (let message = 1; message <= 2; message++) {
        assert.match(await printer.send("scanner@example.com", "a@example.org"), /^250 /);
      }
      assert.equal(lines("Login succeeded").length, session);
    }
    assert.equal(cloud.seen.filter((request) => request.includes("/token")).length, 1);
  });

  it("use the client's own login instead of the trusted account", async () => {
    const { client, lines } = await start({ REQUIRE_TLS: "false" });
    const own = `${TENANT}@bbbbbbbb-bbbb-4ccc-8ddd-eeeeeeeeeeee`;
    const plain = Buffer.from(`\0${own}\0own secret`).toString("base64");
    const printer = await client(TRUSTED);
    assert.match(await printer.send("scanner@example.com", "a@example.org"), /^250 /);
    assert.match(await printer.say(`AUTH PLAIN ${plain}`), /^235 /);
    assert.match(await printer.send("scanner@example.com", "a@example.org"), /^250 /);
    assert.match(received().raw, / with ESMTPA id /);
    assert.deepEqual(lines("Message sent").map((line) => [line["trusted"], line["app"]]), [
      [true, CLIENT],
      [undefined, own.slice(-36)],
    ]);
  });

  for (
    const [secret, reply, code] of [
      [
        "wrong-secret",
        /^550 5\.7\.1 .*TRUSTED_USERNAME and TRUSTED_PASSWORD were refused: .*AADSTS/,
        550,
      ],
      ["expired-secret", /^550 5\.7\.1 .*were refused: .*AADSTS7000222/, 550],
    ] as const
  ) {
    it(`log that ${secret} was refused, and not its value`, async () => {
      const { client, lines, log } = await start({ TRUSTED_PASSWORD: secret });
      const printer = await client(TRUSTED);
      printer.write("MAIL FROM:<scanner@example.com>\r\nRCPT TO:<a@example.org>\r\nNOOP\r\n");
      const answers = [await printer.reply(), await printer.reply(), await printer.reply()];
      assert.match(answers[0]!, reply);
      assert.deepEqual(answers.slice(1), ["503 5.5.1 Send MAIL first", "250 2.0.0 OK"]);
      const refused = lines("Login refused");
      assert.deepEqual(refused.map((line) => [line["level"], line["trusted"], line["reply"]]), [
        ["WARNING", true, code],
      ]);
      assert.deepEqual(lines("Refused by the relay"), [], "it is logged once");
      assert.ok(!(answers.join() + JSON.stringify(log)).includes(secret));
    });
  }

  it("defer mail while Entra ID is unavailable", async () => {
    cloud.faults.add({
      on: "token",
      status: 503,
      code: "temporarily_unavailable",
      message: "Scripted.",
    });
    const { client, lines } = await start();
    const printer = await client(TRUSTED);
    assert.match(
      await printer.say("MAIL FROM:<scanner@example.com>"),
      /^451 4\.7\.0 The relay's TRUSTED_USERNAME cannot log in now: /,
    );
    assert.deepEqual(lines("Login deferred").map((line) => line["trusted"]), [true]);
    assert.match(await printer.send("scanner@example.com", "a@example.org"), /^250 /);
  });

  it("send as from_email of the table's entry, and accept a sender without a domain", async () => {
    const { client, lines } = await start(BY_ENTRY, {
      printers: { ...ENTRY, from_email: "mfp@example.com", from_name: "Printers" },
    });
    const printer = await client(TRUSTED);
    for (const sender of ["<director@example.com>", "<root>", "scanner", "<>"]) {
      assert.equal(await printer.say(`MAIL FROM:${sender}`), "250 2.1.0 Sender OK");
      await printer.say("RCPT TO:<ann@example.org>");
      await printer.say("DATA");
      assert.match(await printer.say("From: <director@example.com>\r\n\r\nScan\r\n."), /^250 /);
      const { from, raw } = received();
      assert.equal(from, "mfp@example.com");
      assert.ok(!raw.includes("director@"), raw);
    }
    assert.deepEqual(
      lines("Message sent").map((line) => [line["sender"], line["mail_from"], line["entry"]]),
      ["director@example.com", "root", "scanner", ""].map((from) => [
        "mfp@example.com",
        from,
        "printers",
      ]),
    );
  });

  it("send nothing when nothing binds the entry, not even its own allowed_senders", async () => {
    const { client, lines } = await start(BY_ENTRY, {
      printers: { ...ENTRY, allowed_senders: "@example.com" },
    });
    const printer = await client(TRUSTED);
    assert.match(
      await printer.say("MAIL FROM:<scanner@example.com>"),
      /^550 5\.7\.1 The relay's account for this network is bound to no sender: set ALLOWED_SENDERS/,
    );
    const [refused] = lines("Login refused");
    assert.match(
      String(refused?.["detail"]),
      /^entry "printers" of the lookup, which .* no from_email/,
    );
    assert.equal(refused?.["trusted"], true);
  });

  it("need from_email as well when all accounts are in the table", async () => {
    const columns: Record<string, string> = { ...ENTRY };
    const settings = { ...BY_ENTRY, TRUSTED_USERNAME: USERNAME, AZURE_TABLES_FORCE_USAGE: "true" };
    const { client } = await start(settings, { any: columns });
    assert.match(await (await client(TRUSTED)).say("MAIL FROM:<a@example.com>"), /^550 5\.7\.1 /);
    const other = await start(settings, { any: { ...columns, from_email: "mfp@example.com" } });
    const printer = await other.client(TRUSTED);
    assert.match(await printer.send("a@example.com", "ann@example.org"), /^250 /);
    assert.equal(received().from, "mfp@example.com");
  });

  it("obey ALLOWED_TENANTS for an entry of the table", async () => {
    const { client } = await start({ ...BY_ENTRY, ALLOWED_TENANTS: CLIENT }, {
      printers: { ...ENTRY, from_email: "mfp@example.com" },
    });
    assert.match(
      await (await client(TRUSTED)).say("MAIL FROM:<a@example.com>"),
      /^550 5\.7\.1 .*This tenant may not use the relay/,
    );
    assert.deepEqual(cloud.seen, []);
  });
});
