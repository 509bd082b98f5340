/** The simulated cloud as a whole: which requests it accepts, and what the inbox has of a message. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { createCloud } from "../../src/sandbox/cloud.ts";
import { REQUEST_LIMIT, SMALLEST_UPLOAD } from "../../src/sandbox/graph.ts";
import { inboxRoutes } from "../../src/sandbox/inbox/routes.ts";
import { Inbox } from "../../src/sandbox/inbox/store.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { CLIENT, TENANT } from "../support/logins.ts";
import { base64 as encode, GraphClient, MAILBOX, MESSAGE } from "./graph_client.ts";

describe("the simulated cloud", () => {
  it("has Entra ID under /entra and Graph under /graph, which know each other's tokens", async () => {
    const inbox = new Inbox();
    const { routes } = createCloud({ inbox });
    const login = await routes.request(`/entra/${TENANT}/oauth2/v2.0/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "client_credentials",
        client_id: CLIENT,
        client_secret: "a secret",
        scope: "https://graph.microsoft.com/.default",
      }),
    });
    const { access_token } = await login.json() as { access_token: string };
    const sent = await routes.request("/graph/v1.0/users/ann@x.test/sendMail", {
      method: "POST",
      headers: { Authorization: `Bearer ${access_token}`, "Content-Type": "text/plain" },
      body: encode(MESSAGE),
    });
    assert.equal(sent.status, 202);
    const [message] = inbox.list();
    assert.equal(Buffer.from(inbox.get(message!.id)!.raw).toString("latin1"), MESSAGE);
  });

  it("stores a message sent by a draft, with its uploads", async () => {
    const inbox = new Inbox();
    const client = new GraphClient({ deliver: async (message) => void await inbox.add(message) });
    const draft = await client.draft();
    const content = Uint8Array.from({ length: SMALLEST_UPLOAD }, (_, at) => at * 7 >> 2);
    const item = { name: "scan.png", contentType: "image/png", isInline: true, contentId: "s" };
    await client.putAll(await client.upload(draft, content.length, item), content, 1_000_000);
    assert.equal((await client.send(draft)).line, "202");

    const connection = { smtp: "", username: "", password: "", devices: [], command: "" };
    const pages = inboxRoutes(inbox, { connection });
    const [summary] = inbox.list();
    assert.equal(summary!.size, MESSAGE.length + content.length);
    const message = await (await pages.request(`/api/messages/${summary!.id}`)).json();
    assert.deepEqual(message.recipients, ["bea@x.test"]);
    assert.deepEqual(message.attachments, [{
      index: 0,
      filename: "scan.png",
      contentType: "image/png",
      disposition: "inline",
      contentId: "s",
      size: content.length,
      sha256: createHash("sha256").update(content).digest("hex"),
      uploaded: true,
    }]);
    const path = `/api/messages/${summary!.id}/attachments/0`;
    const download = await pages.request(path);
    assert.equal(download.headers.get("content-type"), "image/png");
    assert.equal(download.headers.get("content-length"), String(content.length));
    assert.match(download.headers.get("content-disposition") ?? "", /filename="scan.png"/);
    assert.equal(Buffer.from(await download.arrayBuffer()).equals(content), true);
    const raw = await pages.request(`/api/messages/${summary!.id}/raw`);
    assert.equal(await raw.text(), MESSAGE);
  });

  it("limits the size of its messages and uploads, dropping the oldest first", async () => {
    const inbox = new Inbox({ maxBytes: 2 * SMALLEST_UPLOAD });
    const file = { name: "a", contentType: "a/b", inline: false, sha256: "", chunks: [] };
    const add = (subject: string, size: number) =>
      inbox.add({
        mailbox: MAILBOX,
        raw: Buffer.from(`Subject: ${subject}\r\n`),
        uploads: [{ ...file, size }],
      });
    await add("1", SMALLEST_UPLOAD);
    await add("2", SMALLEST_UPLOAD / 2);
    await add("3", SMALLEST_UPLOAD);
    assert.deepEqual(inbox.list().map(({ subject }) => subject), ["3", "2"]);
    await assert.rejects(add("4", 2 * SMALLEST_UPLOAD), RangeError);
  });

  it("returns upload URLs under /graph, as its client sees it", async () => {
    const server = await startCloud();
    try {
      const authorization = `Bearer ${await tokenOf(server.url)}`;
      const ask = async (path: string, type: string, body: string) => {
        const response = await fetch(`${server.url}/graph/v1.0/users/${MAILBOX}/${path}`, {
          method: "POST",
          headers: { Authorization: authorization, "Content-Type": type },
          body,
        });
        return await response.json();
      };
      const { id } = await ask("messages", "text/plain", encode(MESSAGE));
      const AttachmentItem = { attachmentType: "file", name: "a", size: SMALLEST_UPLOAD };
      const session = await ask(
        `messages/${id}/attachments/createUploadSession`,
        "application/json",
        JSON.stringify({ AttachmentItem }),
      );
      assert.ok(session.uploadUrl.startsWith(`${server.url}/graph/upload/`), session.uploadUrl);
      const put = await fetch(session.uploadUrl, {
        method: "PUT",
        headers: {
          "Content-Type": "application/octet-stream",
          "Content-Range": `bytes 0-${SMALLEST_UPLOAD - 1}/${SMALLEST_UPLOAD}`,
        },
        body: new Uint8Array(SMALLEST_UPLOAD),
      });
      assert.equal(put.status, 201);
      assert.ok(put.headers.get("location")?.startsWith(`${server.url}/graph/v1.0/users/`));
      assert.deepEqual([server.graph.authorizedUploads, server.graph.drafts], [0, 1]);
    } finally {
      await server.close();
    }
  });
});

describe("the simulated cloud over HTTP", () => {
  let server: CloudServer;
  let authorization: string;
  before(async () => {
    server = await startCloud({ graph: { concurrency: 1 } });
    authorization = `Bearer ${await tokenOf(server.url)}`;
  });
  after(() => server.close());

  const path = `/graph/v1.0/users/${MAILBOX}/sendMail`;
  const send = (body: string | ReadableStream) =>
    fetch(server.url + path, {
      method: "POST",
      headers: { Authorization: authorization, "Content-Type": "text/plain" },
      body,
      duplex: "half",
    } as RequestInit);

  it("forgets a client that disconnects in the middle of its request", async () => {
    const { hostname, port, host } = new URL(server.url);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nAuthorization: ${authorization}\r\n` +
        "Content-Type: text/plain\r\nContent-Length: 1000\r\n\r\nabc",
    );
    while (server.graph.requests === 0) await new Promise((resolve) => setImmediate(resolve));
    assert.equal((await send(encode(MESSAGE))).status, 429);
    socket.destroy();
    let status = 429;
    while (status === 429) ({ status } = await send(encode(MESSAGE)));
    assert.equal(status, 202);
  });

  it("reads a request that is too large to its end, so that the client sees the refusal", async () => {
    assert.equal((await send("A".repeat(3 * REQUEST_LIMIT))).status, 413);
  });

  it("accepts a message without a declared length", async () => {
    const body = new Blob([encode(MESSAGE)]).stream();
    assert.equal((await send(body)).status, 202);
    const large = new Blob(["A".repeat(REQUEST_LIMIT + 4)]).stream();
    assert.equal((await send(large)).status, 413);
  });
});

describe("access to the simulated cloud", () => {
  const PATHS = [`/entra/${TENANT}/oauth2/v2.0/token`, "/graph/v1.0/users/a@x.test/sendMail"];
  const ask = (path: string, headers: Record<string, string>) =>
    createCloud({ inbox: new Inbox(), allowedHosts: ["mail.test"] }).routes.request(path, {
      method: "POST",
      headers,
    });

  for (
    const host of ["localhost:8026", "127.0.0.1", "[::1]:8026", "192.0.2.7:8026", "mail.test:8026"]
  ) {
    it(`is allowed to a program that calls it ${host}`, async () => {
      for (const path of PATHS) assert.notEqual((await ask(path, { host })).status, 403, path);
    });
  }

  for (
    const headers of [
      // A name that resolves to 127.0.0.1 (DNS rebinding).
      { host: "evil.example:8026", origin: "http://evil.example:8026" },
      { host: "evil.example:8026" },
      { host: "192.0.2.7.evil.example" },
      { host: "localhost:8026", origin: "http://evil.example" },
      { host: "localhost:8026", origin: "null" },
      { host: "localhost:8026", "sec-fetch-site": "cross-site" },
    ]
  ) {
    it(`is denied to a web page: ${JSON.stringify(headers)}`, async () => {
      for (const path of [...PATHS, "/graph/upload/x", "/entra/"]) {
        const response = await ask(path, headers);
        assert.equal(response.status, 403, path);
        assert.equal(typeof (await response.json()).error, "string");
      }
    });
  }
});

async function tokenOf(url: string): Promise<string> {
  const login = await fetch(`${url}/entra/${TENANT}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: CLIENT,
      client_secret: "a secret",
      scope: "https://graph.microsoft.com/.default",
    }),
  });
  const { access_token } = await login.json() as { access_token: string };
  return access_token;
}
