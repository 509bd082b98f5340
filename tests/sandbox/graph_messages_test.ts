/**
 * The simulated Graph's messages, by Message-ID and by id: what finds out whether a message was sent.
 * https://learn.microsoft.com/graph/api/user-list-messages
 * https://learn.microsoft.com/graph/api/message-get
 * https://learn.microsoft.com/graph/outlook-immutable-id
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { IssuedToken } from "../../src/sandbox/entra.ts";
import { Faults } from "../../src/sandbox/faults.ts";
import { type Ask, GraphClient, MESSAGE, TOKENS } from "./graph_client.ts";

const ID = "<it's+1%@x.test>";
const WITH_ID = `Message-ID:\r\n ${ID}\r\n${MESSAGE}`;
const IMMUTABLE = { Prefer: 'IdType="ImmutableId"' };

function query(filter: string, more = ""): string {
  return `messages?$filter=${encodeURIComponent(filter)}${more}`;
}

const BY_ID = query(`internetMessageId eq '${ID.replaceAll("'", "''")}'`);
const GET: Ask = { method: "GET" };

/** The messages that are found. */
async function find(client: GraphClient, path = BY_ID, asked = GET) {
  const { line, json } = await client.ask(path, asked);
  assert.equal(line, "200");
  return json.value as Record<string, unknown>[];
}

describe("a message that was sent", () => {
  it("is found by its Message-ID, quoted and encoded, with whatever is asked for", async () => {
    const client = new GraphClient();
    const begun = Math.floor(Date.now() / 1000) * 1000;
    await client.mime("sendMail", WITH_ID);
    const [copy, ...others] = await find(client);
    assert.deepEqual(others, []);
    assert.deepEqual([copy!["internetMessageId"], copy!["isDraft"]], [ID, false]);
    // Graph's times are in seconds.
    assert.match(String(copy!["createdDateTime"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert(Date.parse(String(copy!["createdDateTime"])) >= begun);
    const [selected] = await find(client, `${BY_ID}&$select=isDraft,createdDateTime`);
    assert.deepEqual(Object.keys(selected!).sort(), ["createdDateTime", "id", "isDraft"]);
  });

  it("is not found by another Message-ID, by its parts, or in another mailbox", async () => {
    const client = new GraphClient();
    await client.mime("sendMail", WITH_ID);
    for (const other of ["<other@x.test>", ID.slice(1, -1).replaceAll("'", "''")]) {
      assert.deepEqual(await find(client, query(`internetMessageId eq '${other}'`)), []);
    }
    assert.deepEqual(await find(client, BY_ID, { ...GET, mailbox: "bea@x.test" }), []);
    assert.equal((await find(client, BY_ID, { ...GET, mailbox: "ANN@x.test" })).length, 1);
  });

  it("is found as often as it was sent", async () => {
    const client = new GraphClient();
    for (let i = 0; i < 3; i++) await client.mime("sendMail", WITH_ID);
    const found = await find(client);
    assert.equal(new Set(found.map(({ id }) => id)).size, 3);
    assert.equal((await find(client, `${BY_ID}&$top=2`)).length, 2);
  });

  it("has a Message-ID of Exchange's if it had none", async () => {
    const client = new GraphClient();
    await client.mime("sendMail", MESSAGE);
    const [copy] = await find(client, "messages");
    assert.match(String(copy!["internetMessageId"]), /^<.+@.+>$/);
  });

  it("is not there if it was refused", async () => {
    const client = new GraphClient();
    await client.mime("sendMail", "Message-ID: <1@x.test>\r\n\r\n");
    assert.deepEqual(await find(client, "messages"), []);
  });

  it("may be hidden from the first requests, as the copy is made later", async () => {
    const faults = new Faults();
    const client = new GraphClient({ faults });
    faults.add({ on: "sendMail", after: "take", status: 504, hidden: 2 });
    assert.equal((await client.mime("sendMail", WITH_ID)).status, 504);
    assert.deepEqual(await find(client), []);
    assert.deepEqual(await find(client), []);
    assert.equal((await find(client)).length, 1);
  });
});

describe("a draft", () => {
  it("is found too, as a draft", async () => {
    const client = new GraphClient();
    await client.draft(WITH_ID);
    const [draft] = await find(client);
    assert.equal(draft!["isDraft"], true);
  });

  it("has an immutable id, if it is asked for, by which the copy is found once it is sent", async () => {
    const client = new GraphClient();
    const { json, headers } = await client.mime("messages", WITH_ID, { headers: IMMUTABLE });
    assert.equal(headers.get("preference-applied"), 'IdType="ImmutableId"');
    const path = `messages/${encodeURIComponent(json.id)}`;
    assert.equal((await client.ask(`${path}?$select=isDraft`, GET)).json.isDraft, true);
    assert.equal((await client.send(path)).line, "202");
    const { json: copy } = await client.ask(`${path}?$select=isDraft`, {
      ...GET,
      headers: IMMUTABLE,
    });
    assert.deepEqual([copy.isDraft, copy.id], [false, json.id]);
    const [found] = await find(client);
    assert.notEqual(found!["id"], json.id, "another id without the preference");
    assert.equal((await client.ask(path, { method: "DELETE" })).line, "204");
    assert.equal((await client.ask(path, GET)).line, "404 ErrorItemNotFound");
  });

  it("has another id once it is sent, without that preference", async () => {
    const client = new GraphClient();
    const draft = await client.draft(WITH_ID);
    assert.equal((await client.ask(draft, GET)).json.isDraft, true);
    await client.send(draft);
    assert.equal((await client.ask(draft, GET)).line, "404 ErrorItemNotFound");
  });

  it("takes attachments, and is deleted, by its immutable id too", async () => {
    const client = new GraphClient();
    const { json } = await client.mime("messages", MESSAGE, { headers: IMMUTABLE });
    const path = `messages/${encodeURIComponent(json.id)}`;
    const file = {
      "@odata.type": "#microsoft.graph.fileAttachment",
      name: "a",
      contentBytes: "YQ==",
    };
    assert.equal((await client.json(`${path}/attachments`, file)).line, "201");
    const url = await client.upload(path, 3_000_000);
    const chunk = await client.put(url, new Uint8Array(3_000_000), 0, 3_000_000);
    assert.equal(chunk.line, "201");
    assert.equal((await client.ask(path, { method: "DELETE" })).line, "204");
    assert.equal(client.graph.drafts, 0);
  });
});

describe("a request for messages", () => {
  const tokens = new Map(TOKENS);
  for (const role of ["Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"]) {
    tokens.set(role, { ...TOKENS.get("good") as IssuedToken, roles: ["Mail.Send", role] });
  }
  const verify = (token: string) => tokens.get(token);

  it("needs one of three permissions", async () => {
    const client = new GraphClient({ verify });
    const draft = await client.draft();
    for (const path of [BY_ID, draft]) {
      for (const token of ["Mail.ReadBasic.All", "Mail.Read", "Mail.ReadWrite"]) {
        assert.equal((await client.ask(path, { ...GET, token })).line, "200", token);
      }
      for (const token of ["sender", "roleless"]) {
        assert.equal((await client.ask(path, { ...GET, token })).line, "403 ErrorAccessDenied");
      }
      const { line } = await client.ask(path, { ...GET, token: "" });
      assert.equal(line, "401 InvalidAuthenticationToken");
    }
  });

  it("is refused for a mailbox that is none, and for an id that is none", async () => {
    const client = new GraphClient();
    const nobody = { ...GET, mailbox: "nobody@x.test" };
    assert.equal((await client.ask(BY_ID, nobody)).line, "404 ErrorInvalidUser");
    assert.equal((await client.ask("messages/AAMk", GET)).line, "404 ErrorItemNotFound");
    const draft = await client.draft();
    const other = { ...GET, mailbox: "bea@x.test" };
    assert.equal((await client.ask(draft, other)).line, "404 ErrorItemNotFound");
  });

  const BAD: readonly string[] = [
    query("internetMessageId eq '<it's@x.test>'"),
    query("internetMessageId eq <a@x.test>"),
    query("internetMessageId eq '<a@x.test>"),
    query("internetMessageId = '<a@x.test>'"),
    query("internetmessageid eq '<a@x.test>'"),
    query("contains(internetMessageId, 'a')"),
    query(""),
    "messages?$search=a",
    "messages?$top=0",
    "messages?$top=1001",
    "messages?$top=x",
    "messages?$select=messageId",
    `${BY_ID}&$filter=a`,
  ];
  for (const path of BAD) {
    it(`is refused with 400: ${path}`, async () => {
      assert.equal((await new GraphClient().ask(path, GET)).line, "400 BadRequest");
    });
  }

  // An unencoded plus sign is a space.
  it("finds nothing if the Message-ID is not encoded", async () => {
    const client = new GraphClient();
    await client.mime("sendMail", "Message-ID: <a+b@x.test>\r\n" + MESSAGE);
    const path = "messages?$filter=internetMessageId eq '<a+b@x.test>'";
    assert.deepEqual(await find(client, path), []);
    assert.equal((await find(client, query("internetMessageId eq '<a+b@x.test>'"))).length, 1);
  });

  it("lists the newest of all folders, ten by default", async () => {
    const client = new GraphClient();
    for (let i = 0; i < 11; i++) await client.mime("sendMail", MESSAGE);
    await client.draft();
    assert.equal((await find(client, "messages")).length, 10);
    const all = await find(client, "messages?$top=1000");
    assert.equal(all.filter(({ isDraft }) => isDraft).length, 1);
    assert.equal(all.length, 12);
  });

  it("is counted by its operation", async () => {
    const client = new GraphClient();
    await client.ask(BY_ID, GET);
    await client.ask("messages/AAMk", GET);
    const { graph } = client;
    assert.deepEqual([graph.count("findMessages"), graph.count("getMessage")], [1, 1]);
    assert.deepEqual([graph.count("createDraft"), client.delivered.length], [0, 0]);
  });
});
