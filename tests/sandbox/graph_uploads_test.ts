/**
 * The simulated Graph's upload sessions.
 * https://learn.microsoft.com/graph/outlook-large-attachments
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { LARGEST_UPLOAD, REQUEST_LIMIT, SMALLEST_UPLOAD } from "../../src/sandbox/graph.ts";
import { type Ask, GraphClient, MESSAGE } from "./graph_client.ts";

const SIZE = SMALLEST_UPLOAD;
const CONTENT = Uint8Array.from({ length: SIZE }, (_, at) => at * 31 >> 3);
const PIECE = 1_234_567;

/** A session for CONTENT. */
async function open(options: ConstructorParameters<typeof GraphClient>[0] = {}) {
  const client = new GraphClient(options);
  const draft = await client.draft();
  return { client, draft, url: await client.upload(draft, SIZE) };
}

describe("an upload session", () => {
  it("is opened with 201, a URL on the same origin, an expiry, and the first range", async () => {
    const client = new GraphClient();
    const { json } = await client.session(await client.draft(), { size: SIZE });
    const url = new URL(json.uploadUrl);
    assert.equal(url.origin, "http://localhost");
    assert.match(url.pathname, /^\/upload\/[\w%-]+$/);
    assert.match(url.search, /^\?authtoken=[\w-]{32}$/);
    assert.deepEqual(json.nextExpectedRanges, ["0-"]);
    assert(Date.parse(json.expirationDateTime) > Date.now());
  });

  it("accepts a file in pieces, in order, and ends with the last", async () => {
    const { client, draft, url } = await open();
    const first = await client.put(url, CONTENT.subarray(0, PIECE), 0, SIZE);
    assert.equal(first.line, "200");
    assert.deepEqual(first.json.nextExpectedRanges, [`${PIECE}`]);
    assert(Date.parse(first.json.ExpirationDateTime) > Date.now());
    await client.put(url, CONTENT.subarray(PIECE, 2 * PIECE), PIECE, SIZE);
    const last = await client.put(url, CONTENT.subarray(2 * PIECE), 2 * PIECE, SIZE);
    assert.deepEqual([last.line, last.text], ["201", ""]);
    assert.match(last.headers.get("location") ?? "", /^http:\/\/localhost\/v1.0\/users\/ann/);
    const again = await client.put(url, CONTENT.subarray(2 * PIECE), 2 * PIECE, SIZE);
    assert.equal(again.line, "404 ErrorItemNotFound");

    assert.equal((await client.send(draft)).line, "202");
    const [file] = client.delivered[0]!.uploads;
    assert.equal(Buffer.concat(file!.chunks).equals(CONTENT), true);
    assert.equal(file!.sha256, createHash("sha256").update(CONTENT).digest("hex"));
    assert.deepEqual([file!.name, file!.size, file!.inline], ["a.bin", SIZE, false]);
    assert.equal(file!.contentType, "application/octet-stream");
  });

  it("keeps the properties of an inline image", async () => {
    const client = new GraphClient();
    const draft = await client.draft();
    const item = { name: "b.png", contentType: "image/png", isInline: true, contentId: "logo@x" };
    const url = await client.upload(draft, SIZE, item);
    assert.equal((await client.putAll(url, CONTENT, PIECE)).line, "201");
    await client.send(draft);
    const { name, contentType, inline, contentId } = client.delivered[0]!.uploads[0]!;
    assert.deepEqual(
      { name, contentType, inline, contentId },
      { name: "b.png", contentType: "image/png", inline: true, contentId: "logo@x" },
    );
  });

  it("returns the next position with GET", async () => {
    const { client, url } = await open();
    await client.put(url, CONTENT.subarray(0, PIECE), 0, SIZE);
    const { line, json } = await client.ask(url, { method: "GET", token: "" });
    assert.equal(line, "200");
    assert.deepEqual(json.nextExpectedRanges, [`${PIECE}`]);
  });

  it("is abandoned with DELETE and 204", async () => {
    const { client, url } = await open();
    assert.equal((await client.ask(url, { method: "DELETE", token: "" })).line, "204");
    for (const method of ["GET", "DELETE"]) {
      assert.equal((await client.ask(url, { method, token: "" })).line, "404 ErrorItemNotFound");
    }
  });

  it("that is incomplete leaves its file out of the message", async () => {
    const { client, draft, url } = await open();
    await client.put(url, CONTENT.subarray(0, PIECE), 0, SIZE);
    assert.equal((await client.send(draft)).line, "202");
    assert.deepEqual(client.delivered[0]!.uploads, []);
  });

  it("ends with its draft", async () => {
    for (const method of ["POST", "DELETE"]) {
      const { client, draft, url } = await open();
      await client.ask(method === "POST" ? `${draft}/send` : draft, { method });
      const put = await client.put(url, CONTENT.subarray(0, PIECE), 0, SIZE);
      assert.equal(put.line, "404 ErrorItemNotFound");
    }
  });

  it("ends at its expiry", async () => {
    const { client, url } = await open({ uploadLifetime: 0 });
    const put = await client.put(url, CONTENT.subarray(0, PIECE), 0, SIZE);
    assert.equal(put.line, "404 ErrorItemNotFound");
  });

  it("is found by its whole URL only", async () => {
    const { client, url } = await open();
    for (const wrong of [url.replace(/\?.*/, ""), `${url}x`, url.replace("upload/", "upload/x")]) {
      const put = await client.put(wrong, CONTENT.subarray(0, PIECE), 0, SIZE);
      assert.equal(put.line, "404 ErrorItemNotFound");
    }
  });

  it("counts its octets to those of the drafts, which are bounded", async () => {
    const client = new GraphClient({ maxDraftBytes: SIZE + 2 * MESSAGE.length });
    const first = await client.draft();
    const url = await client.upload(first, SIZE);
    await client.putAll(url, CONTENT, PIECE);
    const second = await client.draft();
    assert.equal(client.graph.drafts, 2);
    const other = await client.upload(second, SIZE);
    await client.put(other, CONTENT.subarray(0, PIECE), 0, SIZE);
    assert.equal((await client.send(first)).line, "404 ErrorItemNotFound");
    assert.equal((await client.send(second)).line, "202");
  });

  const REFUSALS: readonly { what: string; line: string; item?: object; asked?: Ask }[] = [
    {
      what: "less than 3 MB",
      item: { size: SMALLEST_UPLOAD - 1 },
      line: "400 ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
    },
    {
      what: "more than 150 MB",
      item: { size: LARGEST_UPLOAD + 1 },
      line: "413 ErrorAttachmentSizeLimitExceeded",
    },
    { what: "no size", item: { size: undefined }, line: "400 ErrorInvalidRequest" },
    { what: "a size that is text", item: { size: "4000000" }, line: "400 ErrorInvalidRequest" },
    { what: "no name", item: { name: undefined }, line: "400 ErrorInvalidRequest" },
    { what: "no JSON", asked: { body: "" }, line: "400 BadRequest" },
    { what: "no AttachmentItem", asked: { body: "{}" }, line: "400 BadRequest" },
    {
      what: "an item in the place of a file",
      item: { attachmentType: "item" },
      line: "405 ErrorAttachmentSessionIsSupportedOnlyForFileAttachments",
    },
    {
      what: "a token without Mail.ReadWrite",
      asked: { token: "sender" },
      line: "403 ErrorAccessDenied",
    },
  ];
  for (const { what, line, item = {}, asked = {} } of REFUSALS) {
    it(`is refused with ${line}: ${what}`, async () => {
      const client = new GraphClient();
      const response = await client.session(await client.draft(), { size: SIZE, ...item }, asked);
      assert.equal(response.line, line);
    });
  }

  it("accepts the largest file that the page allows", async () => {
    const client = new GraphClient();
    const response = await client.session(await client.draft(), { size: LARGEST_UPLOAD });
    assert.equal(response.line, "201");
  });
});

describe("a piece of an upload", () => {
  const range = (value: string): Ask => ({ headers: { "Content-Range": value } });
  const tooLarge = new Uint8Array(REQUEST_LIMIT + 1);
  const REFUSALS: readonly {
    what: string;
    line: string;
    asked?: Ask;
    start?: number;
    content?: Uint8Array<ArrayBuffer>;
  }[] = [
    { what: "a piece that leaves octets out", start: 1, line: "416 InvalidRange" },
    { what: "another total", asked: range(`bytes 0-9/${SIZE + 1}`), line: "416 InvalidRange" },
    {
      what: "an end behind the file's",
      asked: range(`bytes 0-${SIZE}/${SIZE}`),
      line: "416 InvalidRange",
    },
    {
      what: "more octets than its range",
      asked: range(`bytes 0-8/${SIZE}`),
      line: "400 InvalidContentRange",
    },
    {
      what: "fewer octets than its range",
      asked: range(`bytes 0-10/${SIZE}`),
      line: "400 InvalidContentRange",
    },
    { what: "an unknown total", asked: range("bytes 0-9/*"), line: "400 InvalidContentRange" },
    { what: "no range", asked: range(""), line: "400 InvalidContentRange" },
    { what: "another type", asked: { type: "text/plain" }, line: "400 BadRequest" },
    { what: "more than 4 MB", content: tooLarge, line: "413 RequestEntityTooLarge" },
    { what: "another method", asked: { method: "POST" }, line: "405 Request_BadRequest" },
    {
      what: "an Authorization header",
      asked: { token: "good" },
      line: "401 InvalidAuthenticationToken",
    },
  ];
  for (const { what, line, asked, start = 0, content = CONTENT.slice(0, 10) } of REFUSALS) {
    it(`is refused with ${line}, and changes nothing: ${what}`, async () => {
      const { client, url } = await open();
      assert.equal((await client.put(url, content, start, SIZE, asked)).line, line);
      const { json } = await client.ask(url, { method: "GET", token: "" });
      assert.deepEqual(json.nextExpectedRanges, ["0"]);
    });
  }

  it("with an Authorization header is counted", async () => {
    const { client, url } = await open();
    await client.put(url, CONTENT.slice(0, 10), 0, SIZE, { token: "good" });
    await client.put(url, CONTENT.slice(0, 10), 0, SIZE);
    assert.equal(client.graph.authorizedUploads, 1);
  });

  it("that has been accepted is not accepted again", async () => {
    const { client, url } = await open();
    await client.put(url, CONTENT.slice(0, 10), 0, SIZE);
    const again = await client.put(url, CONTENT.slice(0, 10), 0, SIZE);
    assert.equal(again.line, "416 InvalidRange");
  });

  it("is refused when the message gets larger than the mailbox may send", async () => {
    const { client, url } = await open({ messageSizeLimit: SIZE });
    const response = await client.putAll(url, CONTENT, PIECE);
    assert.equal(response.line, "413 ErrorMessageSizeExceeded");
  });
});
