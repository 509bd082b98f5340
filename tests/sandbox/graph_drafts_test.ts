/**
 * The simulated Graph's drafts, as strict as the real one's.
 * https://learn.microsoft.com/graph/api/user-post-messages
 * https://learn.microsoft.com/graph/api/message-post-attachments
 * https://learn.microsoft.com/graph/api/message-send
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { REQUEST_LIMIT } from "../../src/sandbox/graph.ts";
import { type Ask, base64, GraphClient, MAILBOX, MESSAGE } from "./graph_client.ts";

const FILE = {
  "@odata.type": "#microsoft.graph.fileAttachment",
  name: "a.txt",
  contentType: "text/plain",
  contentBytes: base64("content"),
};

describe("a draft", () => {
  it("is created from a MIME message with 201, an id, and the message's properties", async () => {
    const { status, json, headers } = await new GraphClient().mime("messages", MESSAGE);
    assert.equal(status, 201);
    assert.match(headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.match(json.id, /^[\w-]+=$/);
    assert.deepEqual(
      [json.subject, json.isDraft, json.hasAttachments, json.toRecipients[0].emailAddress.address],
      ["Hi", true, false, "bea@x.test"],
    );
  });

  it("is not sent by its creation", async () => {
    const client = new GraphClient();
    await client.draft();
    assert.deepEqual([client.delivered.length, client.graph.drafts], [0, 1]);
  });

  it("shows whether the message has attachments", async () => {
    const message = "Content-Type: image/png\r\nContent-Disposition: attachment\r\n\r\nx\r\n";
    const { json } = await new GraphClient().mime("messages", message);
    assert.equal(json.hasAttachments, true);
  });

  it("needs no recipients until it is sent", async () => {
    const client = new GraphClient();
    const draft = await client.draft("Subject: x\r\n\r\n");
    assert.equal((await client.send(draft)).line, "400 ErrorInvalidRecipients");
    assert.deepEqual([client.delivered.length, client.graph.drafts], [0, 1]);
  });

  it("is sent with 202 and nothing else, octet for octet, and then removed", async () => {
    const client = new GraphClient();
    const draft = await client.draft();
    const sent = await client.send(draft, { token: "sender" });
    assert.deepEqual([sent.line, sent.text], ["202", ""]);
    assert.match(sent.headers.get("request-id") ?? "", /^[0-9a-f-]{36}$/);
    const [message] = client.delivered;
    assert.equal(Buffer.from(message!.raw).toString("latin1"), MESSAGE);
    assert.deepEqual([message!.mailbox, message!.recipients], [MAILBOX, ["bea@x.test"]]);
    assert.equal((await client.send(draft)).line, "404 ErrorItemNotFound");
    assert.deepEqual([client.delivered.length, client.graph.drafts], [1, 0]);
  });

  it("is deleted with 204, once", async () => {
    const client = new GraphClient();
    const draft = await client.draft();
    assert.equal((await client.ask(draft, { method: "DELETE", token: "writer" })).line, "204");
    for (const method of ["DELETE", "POST"]) {
      const path = method === "POST" ? `${draft}/send` : draft;
      assert.equal((await client.ask(path, { method })).line, "404 ErrorItemNotFound");
    }
  });

  it("belongs to its mailbox alone, whose name ignores case", async () => {
    const client = new GraphClient();
    const draft = await client.draft();
    const mailbox = "bob@x.test";
    const session = { size: 4_000_000 };
    for (
      const response of [
        await client.send(draft, { mailbox }),
        await client.ask(draft, { method: "DELETE", mailbox }),
        await client.json(`${draft}/attachments`, FILE, { mailbox }),
        await client.session(draft, session, { mailbox }),
      ]
    ) assert.equal(response.line, "404 ErrorItemNotFound");
    assert.equal((await client.send(draft, { mailbox: "Ann@X.test" })).line, "202");
  });

  it("makes room for new ones when there are too many, or too large", async () => {
    for (const limit of [{ maxDrafts: 2 }, { maxDraftBytes: 2 * MESSAGE.length }]) {
      const client = new GraphClient(limit);
      const drafts = [await client.draft(), await client.draft(), await client.draft()];
      assert.equal(client.graph.drafts, 2);
      assert.equal((await client.send(drafts[0]!)).line, "404 ErrorItemNotFound");
      assert.equal((await client.send(drafts[2]!)).line, "202");
    }
  });

  const REFUSALS: readonly (Ask & { what: string; line: string })[] = [
    { what: "no token", token: "", line: "401 InvalidAuthenticationToken" },
    { what: "an unknown token", token: "x", line: "401 InvalidAuthenticationToken" },
    { what: "a token without Mail.ReadWrite", token: "sender", line: "403 ErrorAccessDenied" },
    { what: "another method", method: "PUT", line: "405 Request_BadRequest" },
    { what: "JSON", type: "application/json", body: "{}", line: "400 BadRequest" },
    { what: "a mailbox that is none", mailbox: "ann", line: "404 ErrorInvalidUser" },
    {
      what: "a request over 4 MB",
      body: "A".repeat(REQUEST_LIMIT + 4),
      line: "413 RequestEntityTooLarge",
    },
    {
      what: "bad base64",
      body: "Zg==Zg==",
      line: "400 ErrorMimeContentInvalidBase64String",
    },
    { what: "a bare line feed", body: base64("a: b\n"), line: "400 ErrorMimeContentInvalid" },
  ];
  for (const { what, line, ...asked } of REFUSALS) {
    it(`is refused with ${line}: ${what}`, async () => {
      const client = new GraphClient();
      assert.equal((await client.mime("messages", MESSAGE, asked)).line, line);
      assert.equal(client.graph.drafts, 0);
    });
  }

  const SEND_REFUSALS: readonly (Ask & { what: string; line: string })[] = [
    { what: "a token without Mail.Send", token: "writer", line: "403 ErrorAccessDenied" },
    { what: "no token", token: "", line: "401 InvalidAuthenticationToken" },
    { what: "a body", body: "{}", type: "application/json", line: "400 BadRequest" },
    { what: "another method", method: "PATCH", line: "405 Request_BadRequest" },
  ];
  for (const { what, line, ...asked } of SEND_REFUSALS) {
    it(`is not sent, but kept, and answered with ${line}: ${what}`, async () => {
      const client = new GraphClient();
      assert.equal((await client.send(await client.draft(), asked)).line, line);
      assert.deepEqual([client.delivered.length, client.graph.drafts], [0, 1]);
    });
  }

  it("is not deleted without Mail.ReadWrite", async () => {
    const client = new GraphClient();
    const asked = { method: "DELETE", token: "sender" };
    assert.equal((await client.ask(await client.draft(), asked)).line, "403 ErrorAccessDenied");
    assert.equal(client.graph.drafts, 1);
  });

  it("is not sent when it is larger than the mailbox may send", async () => {
    const client = new GraphClient({ messageSizeLimit: 20 });
    const draft = await client.draft();
    assert.equal((await client.send(draft)).line, "413 ErrorMessageSizeExceeded");
    const sent = await client.mime("sendMail", MESSAGE);
    assert.equal(sent.line, "413 ErrorMessageSizeExceeded");
    assert.equal(client.delivered.length, 0);
  });
});

describe("an attachment in one request", () => {
  it("is added with 201 and sent with the draft", async () => {
    const client = new GraphClient();
    const draft = await client.draft();
    const inline = { ...FILE, name: "b.png", isInline: true, contentId: "logo" };
    const { line, json } = await client.json(`${draft}/attachments`, FILE);
    assert.equal(line, "201");
    assert.deepEqual([json.name, json.size, json.isInline], ["a.txt", 7, false]);
    assert.equal((await client.json(`${draft}/attachments`, inline)).json.contentId, "logo");
    assert.equal((await client.send(draft)).line, "202");
    const [first, second] = client.delivered[0]!.uploads;
    assert.deepEqual(first, {
      name: "a.txt",
      contentType: "text/plain",
      inline: false,
      size: 7,
      sha256: createHash("sha256").update("content").digest("hex"),
      chunks: [new TextEncoder().encode("content")],
    });
    assert.deepEqual([second?.inline, second?.contentId], [true, "logo"]);
  });

  const { contentBytes: _, ...contentless } = FILE;
  const REFUSALS: readonly { what: string; line: string; file?: unknown; asked?: Ask }[] = [
    { what: "no JSON", asked: { body: "{" }, line: "400 BadRequest" },
    { what: "no object", file: [FILE], line: "400 BadRequest" },
    { what: "another content type", asked: { type: "text/plain" }, line: "400 BadRequest" },
    { what: "no type", file: { ...FILE, "@odata.type": "x" }, line: "400 ErrorInvalidRequest" },
    { what: "no name", file: { ...FILE, name: "" }, line: "400 ErrorInvalidRequest" },
    { what: "no content", file: contentless, line: "400 ErrorInvalidRequest" },
    {
      what: "bad base64",
      file: { ...FILE, contentBytes: "a===" },
      line: "400 ErrorInvalidRequest",
    },
    {
      what: "isInline that is no boolean",
      file: { ...FILE, isInline: "true" },
      line: "400 ErrorInvalidRequest",
    },
    {
      what: "contentId that is no string",
      file: { ...FILE, contentId: 1 },
      line: "400 ErrorInvalidRequest",
    },
    {
      what: "3 MB, which make the request larger than 4 MB",
      file: { ...FILE, contentBytes: "A".repeat(REQUEST_LIMIT) },
      line: "413 RequestEntityTooLarge",
    },
    {
      what: "a token without Mail.ReadWrite",
      asked: { token: "sender" },
      line: "403 ErrorAccessDenied",
    },
  ];
  for (const { what, line, file = FILE, asked = {} } of REFUSALS) {
    it(`is refused with ${line}: ${what}`, async () => {
      const client = new GraphClient();
      const draft = await client.draft();
      assert.equal((await client.json(`${draft}/attachments`, file, asked)).line, line);
      await client.send(draft);
      assert.deepEqual(client.delivered[0]!.uploads, []);
    });
  }

  it("is refused when it makes the message larger than the mailbox may send", async () => {
    const client = new GraphClient({ messageSizeLimit: MESSAGE.length + 7 });
    const draft = await client.draft();
    assert.equal((await client.json(`${draft}/attachments`, FILE)).line, "201");
    const second = await client.json(`${draft}/attachments`, FILE);
    assert.equal(second.line, "413 ErrorMessageSizeExceeded");
  });
});
