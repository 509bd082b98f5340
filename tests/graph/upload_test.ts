/**
 * A message over the limit of one request: a draft, its attachments, and the request that sends it
 * (https://learn.microsoft.com/graph/outlook-large-attachments).
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, beforeEach, describe, it } from "node:test";
import type { ServiceOutcome } from "../../src/delivery/delivery.ts";
import { uploadAndSend } from "../../src/graph/upload.ts";
import { HttpClient } from "../../src/http/client.ts";
import { ServiceUrl } from "../../src/http/service_url.ts";
import type { Content } from "../../src/smtp/content.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { content } from "../support/content.ts";
import { filesFor, largeMessage, sha256Of } from "../support/large_message.ts";
import {
  type Answer,
  type DraftServer,
  type Seen,
  SENDER,
  startDraftServer,
} from "./draft_server.ts";
import { clientWith, TOKEN } from "./upload_client.ts";

const http = new HttpClient();
let server: DraftServer;

after(() => http.close());
beforeEach(async () => {
  server = await startDraftServer();
});
afterEach(() => server.close());

const SMALL = content("From: ann@x.test\r\nTo: bea@x.test\r\n\r\nhello\r\n");
/** 5 MB: the PDF does not fit into one request. */
const LARGE = largeMessage(filesFor(5_000_000));

function send(message: Content = SMALL, time?: number): Promise<ServiceOutcome> {
  return uploadAndSend(clientWith(http, time), {
    service: new ServiceUrl(new URL(server.base)),
    sender: SENDER,
    message,
    requestLimit: 4_000_000,
    id: "0123456789abcdef",
    cleanup: clientWith(http),
  });
}

function line({ reply }: ServiceOutcome): string {
  return formatReply(reply).trimEnd();
}

/** Responds to the request with this method and end of path. */
function answering(
  method: string,
  end: string,
  answer: Answer,
): (seen: Seen) => Answer | undefined {
  return (seen) => seen.method === method && seen.path.endsWith(end) ? answer : undefined;
}

const error = (status: number, code: string): Answer => ({ status, json: { error: { code } } });

describe("a message sent by a draft", () => {
  it("is posted as a draft as MIME in base64, which is then sent with an empty request", async () => {
    const outcome = await send();
    assert.equal(line(outcome), "250 2.0.0 OK id=0123456789abcdef");
    assert.equal(outcome.requestId, "r-1");
    assert.deepEqual(server.log, ["POST /messages", "POST /draft/send"]);
    const [draft, sent] = server.seen as [Seen, Seen];
    assert.equal(draft.headers.get("content-type"), "text/plain");
    assert.deepEqual(Buffer.from(draft.body.toString(), "base64"), Buffer.concat([...SMALL]));
    assert.equal(sent.headers.get("content-length"), "0");
    for (const { headers } of server.seen) {
      assert.equal(headers.get("authorization"), `Bearer ${TOKEN}`);
    }
  });

  it("has its ids as segments of the path (RFC 3986 §3.3)", async () => {
    await send();
    assert.match(
      server.seen[1]!.path,
      /\/users\/ann%2Bx%40x\.test\/messages\/AAMkAD%2FI5%3D\/send$/,
    );
  });

  it("has its large attachment uploaded between the two", async () => {
    const outcome = await send(LARGE);
    assert.equal(line(outcome), "250 2.0.0 OK id=0123456789abcdef");
    assert.equal(server.log[0], "POST /messages");
    assert.equal(server.log[1], "POST /draft/attachments/createUploadSession");
    assert.equal(server.log.at(-1), "POST /draft/send");
    const pdf = filesFor(5_000_000)[1]!;
    assert.deepEqual(server.arrived.map(({ name, sha256 }) => ({ name, sha256 })), [
      { name: pdf.name, sha256: sha256Of(pdf) },
    ]);
    assert(server.seen[0]!.body.length <= 4_000_000);
  });
});

describe("a draft that cannot be created", () => {
  const answers: readonly [string, Answer, RegExp][] = [
    ["reset", "reset", /^451 /],
    ["500", { status: 500 }, /^451 /],
    ["a body cut short", { text: "HTTP/1.1 201 X\r\nContent-Length: 99\r\n\r\n{" }, /^451 /],
    ["no id", { status: 201, json: {} }, /^451 4\.3\.0 DRAFT_WITHOUT_ID/],
    ["HTML", { text: "HTTP/1.1 201 X\r\n\r\n<html>" }, /^451 4\.3\.0 DRAFT_WITHOUT_ID/],
    ["an id with a line feed", { status: 201, json: { id: "a\nb" } }, /^451 4\.3\.0 DRAFT_WITHOUT/],
    ["an id without end", { status: 201, json: { id: "a".repeat(1025) } }, /^451 4\.3\.0 DRAFT_/],
    ["an id that is a step", { status: 201, json: { id: ".." } }, /^451 4\.3\.0 DRAFT_WITHOUT/],
    ["200", { status: 200, json: { id: "a" } }, /^451 /],
    ["an account that is disabled", error(403, "ErrorAccountDisabled"), /^550 5\.2\.1 /],
    ["an invalid recipient", error(400, "ErrorInvalidRecipients"), /^550 5\.1\.3 /],
    ["no such mailbox", error(404, "ErrorInvalidUser"), /^550 5\.1\.0 /],
    ["a mailbox's limit", error(413, "ErrorMessageSizeExceeded"), /^552 5\.2\.3 /],
  ];
  for (const [what, answer, expected] of answers) {
    it(`(${what}) sends nothing, deletes nothing, and is never ambiguous`, async () => {
      server.intercept = () => answer;
      const outcome = await send();
      assert.match(line(outcome), expected);
      assert(outcome.type !== "sent" && !outcome.ambiguous);
      assert.doesNotMatch(line(outcome), /may have been sent/);
      assert.deepEqual(server.log, ["POST /messages"]);
    });
  }
});

describe("a message without a draft, because the app has no Mail.ReadWrite", () => {
  const ONCE = ["POST /messages", "POST /sendMail"];
  const codes = ["ErrorAccessDenied", "Authorization_RequestDenied", undefined];

  /** Graph forbids the draft, and responds like this to the whole message. */
  function whole(code: string | undefined, answer: Answer): void {
    server.intercept = ({ path }) =>
      path.endsWith("/sendMail")
        ? answer
        : path.endsWith("/messages")
        ? code === undefined ? { status: 403 } : error(403, code)
        : undefined;
  }

  for (const code of codes) {
    it(`is tried in one request, once, with all its octets: 403 ${code}`, async () => {
      whole(code, { status: 202, headers: "request-id: r-2\r\n" });
      const outcome = await send(LARGE);
      assert.equal(line(outcome), "250 2.0.0 OK id=0123456789abcdef");
      assert.equal(outcome.requestId, "r-2");
      assert.deepEqual(server.log, ONCE);
      const [, sent] = server.seen as [Seen, Seen];
      assert.match(sent.path, /\/users\/ann%2Bx%40x\.test\/sendMail$/);
      assert.equal(sent.headers.get("content-type"), "text/plain");
      assert(Buffer.from(sent.body.toString(), "base64").equals(Buffer.concat([...LARGE])));
    });

    it(`gets 552 with the remedy if that is too large: 403 ${code}`, async () => {
      const answers: Answer[] = [
        { status: 413 },
        error(413, "RequestEntityTooLarge"),
        { status: 400, json: { error: { message: "Maximum request length exceeded." } } },
      ];
      for (const answer of answers) {
        whole(code, answer);
        server.clear();
        const outcome = await send(LARGE);
        assert.match(line(outcome), /^552 5\.3\.4 .*Grant it Mail\.ReadWrite .*smaller/);
        assert(outcome.type === "refused" && !outcome.ambiguous);
        assert.equal(outcome.code, code ?? "HTTP 403");
        assert.match(outcome.detail, /^making the draft: .*; sending it whole: /);
        assert.deepEqual(server.log, ONCE);
      }
    });
  }

  it("gets 552 as well if Graph closes after its 413 before it has read everything", async () => {
    whole("ErrorAccessDenied", { status: 403 });
    server.early = ({ path }) =>
      path.endsWith("/sendMail")
        ? "HTTP/1.1 413 X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        : undefined;
    const outcome = await send(LARGE);
    assert.match(line(outcome), /^552 5\.3\.4 /);
    assert.deepEqual(server.log, ONCE);
  });

  const others: readonly [string, Answer, RegExp][] = [
    ["no permission at all", error(403, "ErrorAccessDenied"), /^550 5\.7\.1 ErrorAccessDenied/],
    ["another sender", error(403, "ErrorSendAsDenied"), /^550 5\.7\.1 ErrorSendAsDenied/],
    ["the mailbox's own limit", error(413, "ErrorMessageSizeExceeded"), /^552 5\.2\.3 /],
    ["a wrong recipient", error(400, "ErrorInvalidRecipients"), /^550 5\.1\.3 /],
  ];
  for (const [what, answer, expected] of others) {
    it(`gets the reply for that request: ${what}`, async () => {
      whole("ErrorAccessDenied", answer);
      const outcome = await send(LARGE);
      assert.match(line(outcome), expected);
      assert(outcome.type === "refused" && !outcome.ambiguous);
      assert.match(outcome.detail, /; no draft: /);
      assert.deepEqual(server.log, ONCE);
    });
  }

  for (
    const [what, answer] of [["reset", "reset"], ["500", { status: 500 }], ["200", {
      status: 200,
    }]] as const
  ) {
    it(`may have been sent, and is not sent again: ${what}`, async () => {
      whole("ErrorAccessDenied", answer);
      const outcome = await send(LARGE);
      assert(outcome.type === "later" && outcome.ambiguous);
      assert.match(line(outcome), /may have been sent/);
      assert.deepEqual(server.log, ONCE);
    });
  }

  it("is not tried if the draft failed for another reason", async () => {
    for (
      const answer of [error(403, "ErrorAccountDisabled"), error(404, "ErrorInvalidUser"), {
        status: 500,
      }]
    ) {
      server.intercept = () => answer;
      server.clear();
      assert.notEqual((await send(LARGE)).type, "sent");
      assert.deepEqual(server.log, ["POST /messages"]);
    }
  });

  it("is not tried once there is a draft", async () => {
    server.intercept = answering("POST", "/createUploadSession", error(403, "ErrorAccessDenied"));
    assert.match(line(await send(LARGE)), /^552 5\.3\.4 .*Mail\.ReadWrite/);
    assert.deepEqual(server.log, [
      "POST /messages",
      "POST /draft/attachments/createUploadSession",
      "DELETE /draft",
    ]);
  });
});

describe("a draft that was not sent", () => {
  it("is deleted when an attachment cannot be added", async () => {
    server.intercept = answering("POST", "/createUploadSession", error(500, "x"));
    const outcome = await send(LARGE);
    assert.equal(outcome.type, "later");
    assert(!outcome.ambiguous);
    assert.deepEqual(server.log, [
      "POST /messages",
      "POST /draft/attachments/createUploadSession",
      "DELETE /draft",
    ]);
  });

  it("is deleted when sending is refused, and the client gets the refusal", async () => {
    server.intercept = answering("POST", "/send", error(403, "ErrorSendAsDenied"));
    const outcome = await send();
    assert.match(line(outcome), /^550 5\.7\.1 ErrorSendAsDenied/);
    assert.deepEqual(server.log, ["POST /messages", "POST /draft/send", "DELETE /draft"]);
  });

  it("may have disappeared before sending: 451, and the mailbox is not blamed", async () => {
    server.intercept = answering("POST", "/send", error(404, "ErrorItemNotFound"));
    const outcome = await send();
    assert.match(line(outcome), /^451 4\.3\.0 ErrorItemNotFound: the draft/);
  });

  it("is deleted although the delivery's time is over", async () => {
    server.intercept = ({ method }) => method === "PUT" ? { text: "" } : undefined;
    server.cut = undefined;
    const slow = send(LARGE, 600);
    const outcome = await slow;
    assert.equal(outcome.type, "later");
    assert.equal(server.log.at(-1), "DELETE /draft");
  });

  it("remains when it cannot be deleted, which is logged and not in the reply", async () => {
    server.intercept = ({ method, path }) =>
      method === "DELETE"
        ? error(403, "ErrorAccessDenied")
        : path.endsWith("/send")
        ? error(403, "ErrorSendAsDenied")
        : undefined;
    const outcome = await send();
    assert(outcome.type === "refused");
    assert.match(outcome.detail, /its draft could not be deleted/);
    assert.doesNotMatch(line(outcome), /draft/);
  });
});

describe("a draft that may have been sent", () => {
  const answers: readonly [string, Answer][] = [
    ["reset", "reset"],
    ["500", { status: 500 }],
    ["200", { status: 200 }],
    ["what is no HTTP", { text: "?\r\n\r\n" }],
  ];
  for (const [what, answer] of answers) {
    it(`(${what}) is neither deleted nor sent again`, async () => {
      server.intercept = answering("POST", "/send", answer);
      const outcome = await send();
      assert(outcome.type === "later" && outcome.ambiguous);
      assert.match(line(outcome), /may have been sent/);
      assert.deepEqual(server.log, ["POST /messages", "POST /draft/send"]);
    });
  }

  it("is sent again only if Graph certainly did not send it: 503 with Retry-After", async () => {
    let first = true;
    server.intercept = ({ path }) => {
      if (!first || !path.endsWith("/send")) return undefined;
      first = false;
      return { status: 503, headers: "Retry-After: 0\r\n" };
    };
    assert.equal((await send()).type, "sent");
    assert.deepEqual(server.log, ["POST /messages", "POST /draft/send", "POST /draft/send"]);
  });
});

describe("a message whose attachments cannot be extracted", () => {
  const padding = "x".repeat(70) + "\r\n";
  const head = "From: ann@x.test\r\nTo: bea@x.test\r\nMIME-Version: 1.0\r\n";
  const cases: readonly [string, string, RegExp][] = [
    [
      "signed",
      'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n' +
      "--b\r\nContent-Type: text/plain\r\n\r\n" + padding.repeat(50_000) +
      "\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nMII=\r\n--b--\r\n",
      /^552 5\.3\.4 LARGE_SIGNED: .*signature.*unsigned/,
    ],
    [
      "encrypted",
      "Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n" +
      "Content-Transfer-Encoding: base64\r\n\r\n" + padding.repeat(50_000),
      /^552 5\.3\.4 LARGE_ENCRYPTED: .*not encrypted/,
    ],
    [
      "a text",
      "Content-Type: text/plain\r\n\r\n" + padding.repeat(50_000),
      /^552 5\.3\.4 LARGE_BODY: .*Shorten its text.*: its text \(text\/plain, 3600000 octets\)$/,
    ],
    [
      "winmail.dat",
      "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhi\r\n" +
      "--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n" +
      "Content-Transfer-Encoding: base64\r\n\r\n" + padding.repeat(50_000) + "--b--\r\n",
      /^552 5\.3\.4 LARGE_TNEF: .*winmail\.dat.*HTML or plain text/,
    ],
  ];
  for (const [what, text, expected] of cases) {
    it(`(${what}) gets 552 with the remedy, without any request`, async () => {
      const outcome = await send(content(head + text));
      assert.match(line(outcome), expected);
      assert(outcome.type === "refused" && !outcome.ambiguous);
      assert.deepEqual(server.log, []);
    });
  }
});

describe("the token", () => {
  it("is in no reply and no detail, whatever fails", async () => {
    for (const path of ["/messages", "/createUploadSession", "/send"]) {
      server.intercept = (seen) =>
        seen.path.endsWith(path)
          ? error(403, seen.headers.get("authorization") === undefined ? "a" : "b")
          : undefined;
      const outcome = await send(LARGE);
      assert.doesNotMatch(JSON.stringify(outcome), new RegExp(TOKEN));
      assert.doesNotMatch(JSON.stringify(outcome), /authtoken/);
    }
  });
});
