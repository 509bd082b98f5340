/**
 * Input from clients and services goes into URLs, filters and header fields of the relay's requests:
 * each must request exactly what was meant (CWE-74, CWE-113, CWE-943, CWE-918), octet by octet as
 * the service receives it.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import type { EntrySource } from "../../src/accounts/entry_source.ts";
import { attachmentOf, largeMessageWith } from "./large.ts";
import { CLIENT, TENANT, USERNAME } from "../support/logins.ts";
import { type RawServer, startRawServer } from "../support/raw_server.ts";
import { type Door, openDoor, response, SECRET } from "./door.ts";
import { HOSTILE_WORDS } from "./hostile_words.ts";

const MESSAGE = "From: alice@example.com\r\nTo: bob@example.net\r\n\r\nText";

function lineOf(request: string): string {
  return request.slice(0, request.indexOf("\r\n"));
}

/** Names and values of a request's header fields, as sent. */
function fieldsOf(request: string): Map<string, string> {
  const head = request.slice(0, request.indexOf("\r\n\r\n"));
  const fields = head.split("\r\n").slice(1).map((line) => {
    const match = /^([!#$%&'*+.^_`|~\w-]+): ([\t\x20-\x7e]*)$/.exec(line);
    assert.ok(match !== null, `no field: ${JSON.stringify(line)}`);
    return [match[1]!.toLowerCase(), match[2]!] as const;
  });
  const map = new Map(fields);
  assert.equal(map.size, fields.length, "each field once");
  return map;
}

describe("a mailbox in Graph's URL", () => {
  /** Local parts that mean something in a URL; RFC 5321 §4.1.2 allows most of them in quotes. */
  const LOCAL_PARTS = [
    '"a/b"',
    '"a/../b"',
    '"../../users/ceo"',
    '"..%2f..%2f"',
    '"a%2fb"',
    "a%2fb",
    "a%0d%0ab",
    '"a?b=c"',
    "a?b=c",
    "a#b",
    '"a\\\\b"',
    "a&b",
    "a+b",
    "a;b",
    "{a}",
    "$filter",
    "$batch",
    "a'b",
    "'",
    "`a|b^c`",
    "a=b",
    '"a b"',
    "\u00fcber",
    "\u202da",
    "\uff0e\uff0e\uff0fa",
    "%2e%2e",
    "%",
    "%%",
    "%00",
    "a!b~c*d",
  ];
  let door: Door;
  let fromEmail = "";
  before(async () => {
    const entries: EntrySource = {
      find: (id) =>
        Promise.resolve({
          id,
          columns: { tenant_id: TENANT, client_id: CLIENT, from_email: fromEmail },
        }),
      findByClient: () => Promise.resolve([]),
    };
    door = await openDoor({ entries });
  });
  after(() => door.close());

  function assertAsked(address: string, reply: string, before: number): void {
    const asked = door.requests.slice(before).filter((request) =>
      lineOf(request).includes("/graph")
    );
    if (!reply.startsWith("250")) {
      assert.match(reply, /^5\d\d 5\./);
      assert.deepEqual(asked, []);
      return;
    }
    assert.equal(asked.length, 1);
    const line = lineOf(asked[0]!);
    const [, segment = ""] =
      /^POST \/graph\/v1\.0\/users\/([A-Za-z0-9%!'()*._~-]+)\/sendMail HTTP\/1\.1$/.exec(line) ??
        [];
    assert.equal(decodeURIComponent(segment), address, line);
    const { pathname } = new URL(`http://x${line.split(" ")[1]}`);
    assert.ok(pathname.startsWith("/graph/v1.0/users/") && pathname.endsWith("/sendMail"));
    fieldsOf(asked[0]!);
  }

  for (const local of LOCAL_PARTS) {
    const address = `${local}@example.com`;
    it(`is one segment of its path, of MAIL FROM:<${address}>`, async () => {
      const talk = await door.login();
      const before = door.requests.length;
      const mail = `MAIL FROM:<${Buffer.from(address, "utf8").toString("latin1")}> SMTPUTF8`;
      let reply = await talk.say(mail);
      if (reply.startsWith("250")) {
        await talk.say("RCPT TO:<bob@example.net>");
        await talk.say("DATA");
        talk.write(`${MESSAGE}\r\n.\r\n`);
        reply = await talk.reply();
      }
      assertAsked(address, reply, before);
    });

    it(`is one segment of its path, of from_email ${address}`, async () => {
      fromEmail = address;
      // Another id each time, because entries are remembered for a minute.
      const talk = await door.connect();
      await talk.say("EHLO client.example");
      const before = door.requests.length;
      const id = Buffer.from(local, "utf8").toString("hex");
      let reply = await talk.auth(`${id}@lookup`, SECRET);
      if (reply.startsWith("235")) reply = await talk.message(MESSAGE);
      if (/^4/.test(reply)) assert.match(reply, /^454 4\.7\.0 /);
      else assertAsked(address, reply, before);
    });
  }
});

describe("the name of a draft in Graph's URLs", () => {
  const NAMES: readonly unknown[] = [
    "..",
    ".",
    "../../../me/sendMail",
    "a/b",
    "a?b",
    "a#b",
    "%2e%2e",
    "a\r\nX-Evil: 1",
    "a b",
    "\u00e9",
    "x".repeat(5000),
    "",
    7,
    null,
    { a: 1 },
    "AAMk'(1)",
  ];
  for (const name of NAMES) {
    it(`is one segment, or is not used: ${JSON.stringify(name)?.slice(0, 40)}`, async () => {
      const door = await openDoor({
        graph: (request) => {
          const line = lineOf(request);
          if (/ \/graph\/v1\.0\/users\/[^/]*\/messages /.test(line)) {
            return response(201, { id: name });
          }
          if (line.startsWith("DELETE ")) return `HTTP/1.1 204 No Content\r\n\r\n`;
          return response(line.includes("/attachments ") ? 201 : 202, {});
        },
      });
      try {
        const talk = await door.login();
        const reply = await talk.message(
          largeMessageWith([attachmentOf(2_900_000), attachmentOf(2_900_000)]),
        );
        const lines = door.requests.map(lineOf).filter((line) => line.includes("/graph/"));
        const good = name === "AAMk'(1)" || name === "a/b" || name === "a?b" || name === "a#b" ||
          name === "%2e%2e" || name === "../../../me/sendMail";
        assert.match(reply, good ? /^250 / : /^451 4\.3\.0 DRAFT_WITHOUT_ID/);
        assert.equal(lines.length > 1, good);
        for (const line of lines.slice(1)) {
          const [, segment = ""] =
            /^POST \/graph\/v1\.0\/users\/alice%40example\.com\/messages\/([^/?#]+)\/(?:send|attachments) HTTP\/1\.1$/
              .exec(line) ?? [];
          assert.equal(decodeURIComponent(segment), name, line);
        }
      } finally {
        await door.close();
      }
    });
  }
});

describe("a header field of a request (RFC 9112 §5)", () => {
  const TOKENS = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\r\n\r\nGET /evil HTTP/1.1",
    "a\0b",
    "a\u010a\u010dX-Evil: 1",
    "\u{1f525}",
    ...Object.values(HOSTILE_WORDS).map((words) => words.slice(0, 5000)),
  ];
  it("stays one field, whatever a token contains", async () => {
    for (const token of TOKENS) {
      const door = await openDoor({
        entra: () => response(200, { token_type: "Bearer", expires_in: 3599, access_token: token }),
      });
      try {
        const talk = await door.login();
        await talk.message(MESSAGE);
        const asked = door.requests.filter((request) => lineOf(request).includes("/graph"));
        assert.equal(asked.length, 1);
        const fields = fieldsOf(asked[0]!);
        assert.match(fields.get("authorization")!, /^Bearer /);
        assert.deepEqual([...fields.keys()].sort(), [
          "authorization",
          "content-length",
          "content-type",
          "host",
        ]);
      } finally {
        await door.close();
      }
    }
  });

  it("never comes from a client secret: it stays one value of the form, whatever it contains", async () => {
    const door = await openDoor();
    try {
      const secrets = [
        "a&client_id=evil&grant_type=password",
        "a\r\nX-Evil: 1\r\n\r\n",
        "a=b;c%26d+e f",
        "\u00fc\u{1f525}%00",
        "scope=https://evil.test/.default",
        "#?/\\'\"",
      ];
      for (const secret of secrets) {
        const before = door.requests.length;
        const talk = await door.connect();
        await talk.say("EHLO client.example");
        assert.match(await talk.auth(USERNAME, secret), /^235 /);
        const [request, ...others] = door.requests.slice(before);
        assert.deepEqual(others, []);
        assert.equal(lineOf(request!), `POST /entra/${TENANT}/oauth2/v2.0/token HTTP/1.1`);
        fieldsOf(request!);
        const form = new URLSearchParams(request!.slice(request!.indexOf("\r\n\r\n") + 4));
        assert.deepEqual(form.getAll("client_secret"), [secret]);
        assert.deepEqual(form.getAll("client_id"), [CLIENT]);
        assert.deepEqual(form.getAll("grant_type"), ["client_credentials"]);
        assert.equal(form.getAll("scope").length, 1);
        assert.ok(form.get("scope")!.split(" ").every((scope) => !scope.includes("evil")));
      }
    } finally {
      await door.close();
    }
  });
});

describe("a tenant in Entra ID's URL", () => {
  it("is a UUID or a domain: nothing else is requested", async () => {
    const tenants = [
      "../common",
      "common/../evil",
      "common",
      "organizations",
      "evil.test/x",
      "evil.test?x",
      "evil.test#x",
      "evil.test%2fx",
      "a..b",
      "evil.test:443",
      "user@evil.test",
      "//evil.test",
      "https://evil.test",
      "\u0435xample.com",
      ...Object.values(HOSTILE_WORDS),
    ];
    let tenant = "";
    const door = await openDoor({
      entries: {
        find: (id) => Promise.resolve({ id, columns: { tenant_id: tenant, client_id: CLIENT } }),
        findByClient: () => Promise.resolve([]),
      },
    });
    try {
      for (const [index, text] of tenants.entries()) {
        tenant = text;
        const talk = await door.connect();
        await talk.say("EHLO client.example");
        assert.match(
          await talk.auth(`id${index}@lookup`, SECRET),
          /^(?:535|454) /,
          text.slice(0, 40),
        );
        // A username says the tenant itself.
        assert.match(await talk.auth(`${text.slice(0, 500)}@${CLIENT}`, SECRET), /^(?:535|501) /);
      }
      assert.deepEqual(door.requests, []);
    } finally {
      await door.close();
    }
  });
});

describe("the lookup table's requests (OData)", () => {
  const KEY = Buffer.from("Account-key-that-must-not-show!!").toString("base64");
  let table: RawServer;
  let asked: string[] = [];
  before(async () => {
    table = await startRawServer(async (connection) => {
      for (let count = 1;; count++) {
        const request = await connection.request(count);
        asked.push(request);
        connection.write(
          response(404, { "odata.error": { code: "ResourceNotFound", message: {} } }, [
            "Content-Type: application/json",
            "x-ms-error-code: ResourceNotFound",
          ]),
        );
      }
    });
  });
  after(() => table.close());

  const doorTo = (partition: string, force = "false") =>
    openDoor({
      environment: {
        AZURE_TABLES_URL: `${table.url.origin}/account/users`,
        AZURE_TABLES_CONNECTION_STRING: `AccountName=account;AccountKey=${KEY}`,
        AZURE_TABLES_PARTITION_KEY: partition,
        AZURE_TABLES_FORCE_USAGE: force,
      },
    });

  const IDS = [
    "printer",
    "'",
    "''",
    "x'",
    "x' or '1' eq '1",
    "x',RowKey='other",
    "x')?$filter=true&a=('",
    "x%27",
    "x%2527",
    "x&$top=1",
    "x;y",
    "x y",
    "*",
    "\u02bc\uff07\u2019",
    "\u00fc\u{1f525}",
    "..",
    "a.b",
    "$metadata",
    "(1)",
    "x=1",
    '"x"',
    "x\u0085y",
    "a/b",
    "a\\b",
    "a#b",
    "a?b",
    "a\r\nb",
    "a\0b",
  ];

  for (const partition of ["user", "o'hara", "x' or 'a' eq 'a"]) {
    it(`request one entity by both of its keys, whatever the id is, in partition ${partition}`, async () => {
      const door = await doorTo(partition);
      try {
        for (const id of IDS) {
          asked = [];
          const talk = await door.connect();
          await talk.say("EHLO client.example");
          assert.match(
            await talk.auth(`${id}@lookup`, SECRET),
            /^(?:535 5\.7\.8|501 5\.5\.2) /,
            id,
          );
          if (asked.length === 0) {
            // deno-lint-ignore no-control-regex -- what no key of a table may have
            assert.match(id, /[/\\#?\x00-\x1f\x7f-\x9f]/);
            continue;
          }
          assert.equal(asked.length, 1);
          const [method, target = ""] = lineOf(asked[0]!).split(" ");
          assert.equal(method, "GET");
          const url = new URL(target, "http://table.test");
          const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;
          assert.equal(
            decodeURIComponent(url.pathname),
            `/account/users(PartitionKey=${quoted(partition)},RowKey=${quoted(id)})`,
          );
          assert.ok([...url.searchParams.keys()].every((name) => name === "$format"), url.search);
          fieldsOf(asked[0]!);
        }
        for (const line of door.log) assert.ok(!line.includes(KEY) && !line.includes("SharedKey"));
      } finally {
        await door.close();
      }
    });
  }
});
