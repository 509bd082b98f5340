/**
 * Attachments on a draft, in one request or by an upload session
 * (https://learn.microsoft.com/graph/outlook-large-attachments).
 */
import assert from "node:assert/strict";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import { attach } from "../../src/graph/attachments.ts";
import type { GraphRequest, GraphResult } from "../../src/graph/graph_client.ts";
import type { Draft } from "../../src/graph/drafts.ts";
import { notSent } from "../../src/graph/not_sent.ts";
import { uploadUrl } from "../../src/graph/upload_url.ts";
import { HttpClient } from "../../src/http/client.ts";
import type { Attachment } from "../../src/graph/extract_attachments.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { DRAFT_ID, type DraftServer, SENDER, sha256, startDraftServer } from "./draft_server.ts";
import { clientWith, TOKEN } from "./upload_client.ts";

const http = new HttpClient();
let server: DraftServer;
let draft: Draft;

after(() => http.close());
beforeEach(async () => {
  server = await startDraftServer();
  const user = `${server.base}/v1.0/users/${encodeURIComponent(SENDER)}`;
  draft = { type: "draft", id: DRAFT_ID, url: `${user}/messages/${encodeURIComponent(DRAFT_ID)}` };
});
afterEach(() => server.close());

/** Octets that are different everywhere, in pieces of an odd size. */
function file(size: number, rest: Partial<Attachment> = {}): Attachment {
  return {
    name: "file.bin",
    contentType: "application/octet-stream",
    inline: false,
    size,
    *octets() {
      const piece = 50_001;
      for (let at = 0; at < size; at += piece) {
        const octets = new Uint8Array(Math.min(piece, size - at)).fill(at / piece % 251);
        octets[0] = at / piece / 251;
        yield octets;
      }
    },
    ...rest,
  };
}

const RANGE = 3_840 * 1024;

function ranges(): readonly string[] {
  return server.log.filter((line) => /upload\//.test(line))
    .map((line) => line.replace(/\/upload\/\d+ ?/, "").replace("bytes ", ""));
}

describe("an attachment whose request is no longer than 4,000,000 octets", () => {
  it("is sent in one request, with its name, type and content id", async () => {
    const attachment = file(2_990_000, {
      name: 'Prüf"bericht\\ 日本 😀.png',
      contentType: "image/png",
      contentId: "logo@x",
      inline: true,
    });
    assert.equal(await attach(clientWith(http), draft, attachment), undefined);
    assert.deepEqual(server.log, ["POST /draft/attachments"]);
    assert.deepEqual(server.arrived, [{
      name: attachment.name,
      contentType: "image/png",
      contentId: "logo@x",
      inline: true,
      size: 2_990_000,
      sha256: sha256(attachment.octets()),
      way: "request",
    }]);
    assert.equal(server.seen[0]!.headers.get("content-type"), "application/json");
    assert.equal(
      JSON.parse(server.seen[0]!.body.toString())["@odata.type"],
      "#microsoft.graph.fileAttachment",
    );
  });

  it("is distinguished from a longer one by the octets of the request, not of the attachment", async () => {
    const long = "n".repeat(200);
    for (let size = 2_999_700; size <= 3_000_000; size += 50) {
      for (const name of ["scan.pdf", long]) {
        const lengths: number[] = [];
        const graph = {
          request: ({ url, body }: GraphRequest) => {
            const session = url.pathname.endsWith("createUploadSession");
            lengths.push(session ? Infinity : body!.length);
            return Promise.resolve<GraphResult>({
              type: "failed",
              outcome: notSent("DRAFT_GONE"),
            });
          },
          pause: () => Promise.resolve(),
        };
        await attach(graph, draft, file(size, { name }));
        assert.equal(lengths.length, 1);
        const [length] = lengths;
        assert(length === Infinity || length! <= 4_000_000, `${size} octets: ${length}`);
        if (name === "scan.pdf" && size < 2_999_800) assert.notEqual(length, Infinity);
        if (size === 3_000_000) assert.equal(length, Infinity);
      }
    }
  });

  it("may be empty", async () => {
    assert.equal(await attach(clientWith(http), draft, file(0)), undefined);
    assert.equal(server.arrived[0]!.size, 0);
  });

  it("is not sent again when the response is lost: it might be attached twice", async () => {
    server.intercept = () => "reset";
    const failure = await attach(clientWith(http), draft, file(1000));
    assert.equal(failure?.type, "later");
    assert.equal(failure.ambiguous, false);
    assert.equal(server.log.length, 1);
  });
});

describe("an attachment of 3 MB and more", () => {
  it("is uploaded in a session, in ranges under 4 MB and in order", async () => {
    const attachment = file(10_000_000, { name: "Übersicht.pdf", contentType: "application/pdf" });
    assert.equal(await attach(clientWith(http), draft, attachment), undefined);
    assert.deepEqual(server.log, [
      "POST /draft/attachments/createUploadSession",
      `PUT /upload/0 bytes 0-${RANGE - 1}/10000000`,
      `PUT /upload/0 bytes ${RANGE}-${2 * RANGE - 1}/10000000`,
      `PUT /upload/0 bytes ${2 * RANGE}-9999999/10000000`,
    ]);
    assert.deepEqual(server.arrived, [{
      name: "Übersicht.pdf",
      contentType: "application/pdf",
      inline: false,
      size: 10_000_000,
      sha256: sha256(attachment.octets()),
      way: "session",
    }]);
    assert(RANGE < 4_000_000);
  });

  it("never sends the token to the upload URL, which is a credential itself", async () => {
    await attach(clientWith(http), draft, file(5_000_000));
    const [session, ...puts] = server.seen;
    assert.equal(session!.headers.get("authorization"), `Bearer ${TOKEN}`);
    assert.equal(puts.length, 2);
    for (const { headers, body } of puts) {
      assert.equal(headers.has("authorization"), false);
      assert.equal(headers.get("content-type"), "application/octet-stream");
      assert.equal(body.includes(TOKEN), false);
    }
  });

  it("keeps an inline image's content id", async () => {
    await attach(clientWith(http), draft, file(3_000_000, { inline: true, contentId: "big@x" }));
    const { inline, contentId, way } = server.arrived[0]!;
    assert.deepEqual({ inline, contentId, way }, {
      inline: true,
      contentId: "big@x",
      way: "session",
    });
  });

  it("is sent in one request if the service finds it too small for a session", async () => {
    server.intercept = ({ path }) =>
      path.endsWith("createUploadSession")
        ? {
          status: 400,
          json: { error: { code: "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize" } },
        }
        : undefined;
    assert.equal(await attach(clientWith(http), draft, file(3_100_000)), undefined);
    assert.equal(server.arrived[0]!.way, "request");
  });
});

describe("an upload that breaks", () => {
  it("continues at the service's position, even in the middle of a range", async () => {
    const attachment = file(9_000_000);
    server.cut = (range) => range.startsWith(`bytes ${RANGE}-`) ? 1_234_567 : undefined;
    assert.equal(await attach(clientWith(http), draft, attachment), undefined);
    const resumed = RANGE + 1_234_567;
    assert.deepEqual(ranges(), [
      `PUT 0-${RANGE - 1}/9000000`,
      `PUT ${RANGE}-${2 * RANGE - 1}/9000000 cut`,
      "GET ",
      `PUT ${resumed}-8999999/9000000`,
    ]);
    assert.equal(server.arrived[0]!.sha256, sha256(attachment.octets()));
  });

  it("goes back if the service lost octets, even all of them", async () => {
    const attachment = file(8_000_000);
    let lost = false;
    server.intercept = ({ method, headers }) => {
      if (lost || method !== "PUT" || !headers.get("content-range")!.startsWith(`bytes ${RANGE}`)) {
        return undefined;
      }
      lost = true;
      return { status: 200, json: { nextExpectedRanges: ["1000-7999999"] } };
    };
    const failure = await attach(clientWith(http), draft, attachment);
    // This service still has the octets that it reported as lost; it refuses the range and gives its position.
    assert.equal(failure, undefined);
    assert.deepEqual(ranges().slice(0, 4), [
      `PUT 0-${RANGE - 1}/8000000`,
      `PUT ${RANGE}-${2 * RANGE - 1}/8000000`,
      `PUT 1000-${1000 + RANGE - 1}/8000000`,
      "GET ",
    ]);
    assert.equal(server.arrived[0]!.sha256, sha256(attachment.octets()));
  });

  it("asks for the position again until the service responds, then continues", async () => {
    const attachment = file(5_000_000);
    let trouble = 3;
    server.intercept = ({ method, path }) => {
      if (!path.startsWith("/upload/") || method === "POST" || trouble-- <= 0) return undefined;
      return [{ status: 502 }, "reset" as const, { status: 500 }][trouble]!;
    };
    assert.equal(await attach(clientWith(http), draft, attachment), undefined);
    assert.equal(server.arrived[0]!.sha256, sha256(attachment.octets()));
  });

  for (
    const [what, text] of [
      ["is cut short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"],
      ["is no JSON", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n<html>"],
      ["is no HTTP", "what?\r\n\r\n"],
    ] as const
  ) {
    it(`asks for the position when a response ${what}`, async () => {
      const attachment = file(5_000_000);
      let first = true;
      server.intercept = ({ method }) => {
        if (method !== "PUT" || !first) return undefined;
        first = false;
        return { text };
      };
      // The octets of that request were lost with its response.
      assert.equal(await attach(clientWith(http), draft, attachment), undefined);
      assert.deepEqual(ranges(), [
        `PUT 0-${RANGE - 1}/5000000`,
        "GET ",
        `PUT 0-${RANGE - 1}/5000000`,
        `PUT ${RANGE}-4999999/5000000`,
      ]);
      assert.equal(server.arrived[0]!.sha256, sha256(attachment.octets()));
    });
  }

  it("is abandoned after a bounded number of breaks without progress", async () => {
    server.intercept = ({ method }) => method === "PUT" ? "reset" : undefined;
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.type, "later");
    assert.equal(failure.ambiguous, false);
    assert(server.log.length < 15, `${server.log.length} requests`);
  });

  it("is abandoned when the service requests the same octets for ever", async () => {
    server.intercept = ({ method }) =>
      method === "PUT" ? { status: 200, json: { nextExpectedRanges: ["0-"] } } : undefined;
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.code, "UPLOAD_RANGE");
    assert(server.log.length < 10, `${server.log.length} requests`);
  });

  it("is abandoned when the service requests octets after those it was sent", async () => {
    server.intercept = ({ method }) =>
      method === "PUT" ? { status: 200, json: { nextExpectedRanges: ["4500000"] } } : undefined;
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.code, "UPLOAD_RANGE");
    assert.equal(failure.type, "later");
    assert.equal(server.log.length, 2);
  });

  it("is abandoned when the service ends it before the last octet", async () => {
    server.intercept = ({ method }) => method === "PUT" ? { status: 201 } : undefined;
    assert.equal((await attach(clientWith(http), draft, file(5_000_000)))?.code, "UPLOAD_ENDED");
  });

  it("is refused when the message has become too large for the mailbox", async () => {
    server.intercept = ({ method }) =>
      method === "PUT"
        ? { status: 413, json: { error: { code: "ErrorMessageSizeExceeded" } } }
        : undefined;
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.type, "refused");
    assert.deepEqual([failure.reply.code, failure.reply.enhanced], [552, "5.2.3"]);
    assert.equal(server.log.length, 2);
  });
});

describe("an upload that its address refuses", () => {
  const REFUSALS: readonly (readonly [status: number, code?: string])[] = [
    [404],
    [404, "ErrorItemNotFound"],
    [410],
    [403, "ErrorAccessDenied"],
    [403],
    [400, "ErrorInvalidRequest"],
    [401],
    [416],
  ];
  for (const [status, code] of REFUSALS) {
    it(`(${status} ${code ?? "alone"}) is 451: neither mailbox nor message is at fault`, async () => {
      server.intercept = ({ method, headers }) =>
        method === "PUT" && headers.get("content-range")!.startsWith(`bytes ${RANGE}-`)
          ? { status, json: code === undefined ? {} : { error: { code } } }
          : undefined;
      const failure = await attach(clientWith(http), draft, file(5_000_000));
      assert(failure?.type === "later" && !failure.ambiguous);
      assert.match(
        formatReply(failure.reply),
        new RegExp(`^451 4\\.3\\.0 ${code ?? `HTTP ${status}`}: the upload service did not take`),
      );
    });
  }

  it("(size, quota, throttling) is judged by its code", async () => {
    for (
      const [status, code, expected] of [
        [413, undefined, /^552 5\.3\.4 /],
        [400, "ErrorMessageSizeExceeded", /^552 5\.2\.3 /],
        [400, "ErrorQuotaExceeded", /^452 4\.2\.2 /],
        [400, "ErrorAttachmentSizeLimitExceeded", /^554 5\.6\.0 ErrorAttachmentSizeLimit/],
        [403, "ErrorServerBusy", /^451 4\.3\.2 /],
      ] as const
    ) {
      server.intercept = ({ method }) =>
        method === "PUT"
          ? { status, json: code === undefined ? {} : { error: { code } } }
          : undefined;
      const failure = await attach(clientWith(http), draft, file(5_000_000));
      assert.match(formatReply(failure!.reply), expected);
    }
  });
});

describe("an upload session that the app may not open", () => {
  for (const code of ["ErrorAccessDenied", "Authorization_RequestDenied", undefined]) {
    it(`(403 ${code ?? "alone"}) lacks Mail.ReadWrite`, async () => {
      server.intercept = () => ({ status: 403, json: { error: { code } } });
      for (const size of [1000, 5_000_000]) {
        const failure = await attach(clientWith(http), draft, file(size));
        assert.match(formatReply(failure!.reply), /^552 5\.3\.4 .*Mail\.ReadWrite/);
      }
    });
  }
});

describe("a cloud without upload sessions", () => {
  for (
    const [status, code] of [
      [404, undefined],
      [404, "ResourceNotFound"],
      [400, "BadRequest"],
      [405, undefined],
      [501, "NotImplemented"],
    ] as const
  ) {
    it(`is recognized by ${status} ${code ?? "alone"}: 552 5.3.4 with the remedy`, async () => {
      server.intercept = () => ({
        status,
        ...(code === undefined ? {} : { json: { error: { code } } }),
      });
      const failure = await attach(clientWith(http), draft, file(5_000_000));
      assert.equal(failure?.type, "refused");
      assert.deepEqual([failure.reply.code, failure.reply.enhanced], [552, "5.3.4"]);
      assert.match(String(failure.reply.text), /no upload sessions.*smaller than 3 MB/);
      assert.equal(failure.ambiguous, false);
    });
  }

  it("is not inferred from a missing draft: 451", async () => {
    server.intercept = () => ({ status: 404, json: { error: { code: "ErrorItemNotFound" } } });
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.type, "later");
    assert.equal(failure.reply.code, 451);
  });
});

describe("an upload address", () => {
  const cases: readonly [graph: string, text: unknown, allowed: boolean][] = [
    ["https://graph.microsoft.com", "https://outlook.office.com/api/v2.0/Users('a@b')?t=x", true],
    ["https://graph.microsoft.com", "http://outlook.office.com/x", false],
    ["https://graph.microsoft.com", "http://127.0.0.1/x", false],
    ["https://graph.microsoft.com", "https://user:secret@outlook.office.com/x", false],
    ["https://graph.microsoft.com", "https://user@outlook.office.com/x", false],
    ["https://graph.microsoft.com", "ftp://outlook.office.com/x", false],
    ["https://graph.microsoft.com", "/upload", false],
    ["https://graph.microsoft.com", "", false],
    ["https://graph.microsoft.com", undefined, false],
    ["https://graph.microsoft.com", 7, false],
    ["https://graph.microsoft.com", `https://x.test/${"x".repeat(16 * 1024)}`, false],
    // RFC 3986 §2: ASCII. Hosts in other letters are not compared by their equivalents.
    ["https://graph.microsoft.com", "https://\uff4futlook.office.com/x", false],
    ["https://graph.microsoft.com", " https://outlook.office.com/x", false],
    ["http://127.0.0.1:8026/graph", "http://127.0.0.1:8026/x", true],
    ["http://127.0.0.1:8026/graph", "http://[::1]:1/x", true],
    ["http://localhost:8026/graph", "http://127.9.9.9/x", true],
    ["http://127.0.0.1:8026/graph", "https://outlook.office.com/x", true],
    ["http://127.0.0.1:8026/graph", "http://127.0.0.1.x.test/x", false],
    ["http://127.0.0.1:8026/graph", "http://192.0.2.1/x", false],
    ["https://127.0.0.1:8026/graph", "http://127.0.0.1:8026/x", false],
  ];
  for (const [graph, text, allowed] of cases) {
    const shown = String(text).slice(0, 60);
    it(`${shown || "of no characters"} of ${graph} is ${allowed ? "used" : "not used"}`, () => {
      assert.equal(uploadUrl(text, graph) !== undefined, allowed);
    });
  }

  it("that is not trusted is not used: 451, and the service receives nothing more", async () => {
    server.intercept = () => ({ status: 201, json: { uploadUrl: "http://192.0.2.1/upload" } });
    const failure = await attach(clientWith(http), draft, file(5_000_000));
    assert.equal(failure?.code, "UPLOAD_URL");
    assert.equal(failure.type, "later");
    assert.equal(server.log.length, 1);
  });
});
