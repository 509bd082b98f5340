/**
 * Whether a message was sent, after a request without an answer: with the simulated Entra ID and Graph, and
 * with scripted answers.
 * https://learn.microsoft.com/graph/api/user-list-messages
 * https://learn.microsoft.com/graph/outlook-immutable-id
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, afterEach, before, describe, it } from "node:test";
import type { SendingProgress } from "../../src/delivery/delivery.ts";
import type { SentQuestion } from "../../src/delivery/sent_lookup.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient, type HttpFailure, type HttpResponse } from "../../src/http/client.ts";
import type { Content } from "../../src/smtp/content.ts";
import type { Fault } from "../../src/sandbox/faults.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { filesFor, largeMessage } from "../support/large_message.ts";
import {
  ACCOUNT,
  accountWith,
  attemptOf,
  fetchToken,
  mailOf,
  MESSAGE,
  tokenOf,
} from "../support/submissions.ts";
import { GRAPH_OPTIONS } from "./options.ts";

const MAILBOX = "ann+x@x.test";
/** Each test has a mailbox of its own. */
let mailboxes = 0;
const LARGE = largeMessage(filesFor(5_000_000));
const NOW = Date.now();

let cloud: CloudServer;
/** The app's roles in tokens issued from now on. */
let roles: readonly string[];
const http = new HttpClient();
before(async () => {
  cloud = await startCloud({ entra: { roles: () => roles } });
});
afterEach(() => {
  cloud.faults.clear();
  cloud.inbox.clear();
});
after(async () => {
  http.close();
  await cloud.close();
});

/** Sends with faults, and asks with what the back end has said before its last request. */
async function setUp(granted: readonly string[] = ["Mail.Send", "Mail.ReadWrite"]) {
  roles = granted;
  const authorization = accountWith(await fetchToken(cloud.authority));
  const backend = new GraphBackend({
    http,
    endpoint: cloud.endpoint,
    ...GRAPH_OPTIONS,
    largeMessages: "upload",
  });
  const mailbox = `ann+${++mailboxes}@x.test`;
  let last: SendingProgress | undefined;
  const begun = cloud.seen.length;
  return {
    async send(message: Content = [MESSAGE], ...faults: Fault[]) {
      for (const fault of faults) cloud.faults.add(fault);
      return await backend.deliver(mailOf(mailbox, message), {
        ...attemptOf(authorization),
        beforeSending: (sending) => {
          last = sending;
          return Promise.resolve(true);
        },
      });
    },
    async ask(changes: Partial<SentQuestion> = {}) {
      assert(last !== undefined);
      // It has been stored meanwhile.
      const sending = JSON.parse(JSON.stringify(last)) as SendingProgress;
      const question = { account: ACCOUNT, authorization, sending, since: NOW, isLast: false };
      const { type } = await backend.lookUp({ ...question, ...changes });
      assert.equal(backend.activeMailboxes, 0);
      return type;
    },
    /** The GET and DELETE requests so far. */
    asked: () =>
      cloud.seen.slice(begun).filter((line) => /^(?:GET|DELETE) /.test(line))
        .map((line) => line.replace(/\/graph.*\/messages\/[^/?]+/, "draft").replace(/\?.*/, "")),
    last: () => last,
    mailbox,
  };
}

const CUT: Omit<Fault, "on"> = { after: "take", connection: "close" };

describe("a message whose request got no answer", () => {
  it("was sent, if the mailbox has it by its Message-ID", async () => {
    const { send, ask } = await setUp();
    const outcome = await send([MESSAGE], { on: "sendMail", ...CUT });
    assert(outcome.type === "later" && outcome.ambiguous);
    assert.equal(await ask(), "sent");
    assert.equal(cloud.inbox.list().length, 1);
  });

  it("was sent, if that becomes visible later", async () => {
    const { send, ask } = await setUp();
    await send([MESSAGE], { on: "sendMail", ...CUT, hidden: 1 });
    assert.equal(await ask(), "notFound");
    assert.equal(await ask({ isLast: true }), "sent");
  });

  it("was not sent, if it is not found", async () => {
    const { send, ask } = await setUp();
    const outcome = await send([MESSAGE], { on: "sendMail", connection: "close" });
    assert(outcome.type === "later" && outcome.ambiguous);
    assert.equal(await ask(), "notFound");
    assert.equal(await ask({ isLast: true }), "notFound");
    assert.equal(cloud.inbox.list().length, 0);
  });

  it("is found by whatever Message-ID its client has given it", async () => {
    const { send, ask, mailbox } = await setUp();
    for (
      const id of ["<it's''+%20&$a=b#@x.test>", "<a/b?c@[192.0.2.1]>", "no identifier; at all"]
    ) {
      const field = Buffer.from(`Message-ID: ${id}\r\n`);
      await send([field, MESSAGE], { on: "sendMail", ...CUT });
      assert.equal(await ask(), "sent", id);
      await send([field, Buffer.from("X: 1\r\n"), MESSAGE], { on: "sendMail", ...CUT });
      const other = { mailbox, messageId: `${id}x` };
      assert.equal(await ask({ sending: other }), "notFound", id);
    }
  });

  it("was not sent by a copy that is older than the first attempt, but for a minute", async () => {
    const { send, ask } = await setUp();
    await send([MESSAGE], { on: "sendMail", ...CUT });
    assert.equal(await ask({ since: Date.now() + 50_000 }), "sent");
    assert.equal(await ask({ since: Date.now() + 70_000 }), "notFound");
  });

  it("is asked for with Mail.ReadBasic.All, and with no less", async () => {
    const basic = await setUp(["Mail.Send", "Mail.ReadBasic.All"]);
    await basic.send([MESSAGE], { on: "sendMail", ...CUT });
    assert.equal(await basic.ask(), "sent");
    const without = await setUp(["Mail.Send"]);
    await without.send([MESSAGE], { on: "sendMail", ...CUT });
    assert.equal(await without.ask(), "forbidden");
  });

  it("is asked for later, while Graph fails", async () => {
    const { send, ask } = await setUp();
    await send([MESSAGE], { on: "sendMail", ...CUT });
    for (const fault of [{ status: 500 }, { html: true }]) {
      cloud.faults.add({ on: "findMessages", ...fault });
      assert.equal(await ask(), "later", JSON.stringify(fault));
    }
    cloud.faults.add({ on: "findMessages", connection: "reset" });
    assert.equal(await ask(), "later");
    assert.equal(await ask(), "sent");
  });
});

describe("a large message whose draft got no answer when it was sent", () => {
  it("was sent, if it is no longer a draft, without a second question", async () => {
    const { send, ask, asked } = await setUp();
    const outcome = await send(LARGE, { on: "sendDraft", ...CUT });
    assert(outcome.type === "later" && outcome.ambiguous);
    assert.equal(await ask(), "sent");
    assert.deepEqual(asked(), ["GET draft"]);
  });

  it("was not sent, if it still is one, which is deleted at the last question", async () => {
    const { send, ask, asked } = await setUp();
    await send(LARGE, { on: "sendDraft", connection: "close" });
    assert.equal(cloud.graph.drafts, 1);
    assert.equal(await ask(), "notFound");
    assert.equal(cloud.graph.drafts, 1);
    assert.equal(await ask({ isLast: true }), "notFound");
    assert.equal(cloud.graph.drafts, 0);
    assert.deepEqual(asked(), ["GET draft", "GET draft", "DELETE draft"]);
  });

  it("is asked for by its Message-ID, if there is no message with its id", async () => {
    const { send, ask, last } = await setUp();
    await send(LARGE, { on: "sendDraft", ...CUT });
    const sending = { ...last()!, draft: "AAMkAD/changed=" };
    assert.equal(await ask({ sending }), "sent");
    assert.equal(await ask({ sending: { ...sending, messageId: "<other@x.test>" } }), "notFound");
  });

  it("was not sent by a draft that an earlier attempt has left", async () => {
    const { send, ask, last } = await setUp();
    await send(LARGE, { on: "sendDraft", connection: "close" });
    assert.equal(cloud.graph.drafts, 1);
    assert.equal(await ask({ sending: { ...last()!, draft: "AAMkgone=" } }), "notFound");
    await ask({ isLast: true });
  });

  it("is asked for later, if its draft cannot be deleted now", async () => {
    const { send, ask } = await setUp();
    await send(LARGE, { on: "sendDraft", connection: "close" });
    cloud.faults.add({ on: "deleteDraft", status: 500 });
    assert.equal(await ask({ isLast: true }), "later");
    assert.equal(await ask({ isLast: true }), "notFound");
    assert.equal(cloud.graph.drafts, 0);
  });

  it("is asked for later, while Graph does not answer about the draft", async () => {
    const { send, ask } = await setUp();
    await send(LARGE, { on: "sendDraft", ...CUT });
    cloud.faults.add({ on: "getMessage", status: 500 });
    assert.equal(await ask({ isLast: true }), "later");
    assert.equal(await ask({ isLast: true }), "sent");
  });
});

describe("an answer of Graph", () => {
  type Result = HttpResponse | HttpFailure;
  const answer = (status: number, body: unknown): Result => ({
    type: "response",
    status,
    headers: new Map(),
    body: Buffer.from(typeof body === "string" ? body : JSON.stringify(body)),
  });

  /** The answer to a question that Graph answers so. */
  async function ask(result: Result, changes: Partial<SentQuestion> = {}) {
    const urls: string[] = [];
    const backend = new GraphBackend({
      http: {
        request: ({ url }) => {
          urls.push(url.href);
          return Promise.resolve(result);
        },
      },
      endpoint: new URL("https://graph.test/"),
      ...GRAPH_OPTIONS,
      clock: new FakeClock(),
    });
    const asked = await backend.lookUp({
      account: ACCOUNT,
      authorization: accountWith(tokenOf("a token")),
      sending: { mailbox: MAILBOX, messageId: "<1@x.test>" },
      since: Date.parse("2026-11-05T06:07:08Z"),
      isLast: true,
      ...changes,
    });
    return { asked, urls };
  }

  it("is asked for in one request, which says no more than it must", async () => {
    const { urls } = await ask(answer(200, { value: [] }));
    assert.deepEqual(urls, [
      "https://graph.test/v1.0/users/ann%2Bx%40x.test/messages?$filter=internetMessageId%20eq%20" +
      "%27%3C1%40x.test%3E%27&$select=id,isDraft,createdDateTime&$top=1000",
    ]);
  });

  const HIT = { id: "a", isDraft: false, createdDateTime: "2026-11-05T06:07:09Z" };
  const CASES: readonly (readonly [what: string, result: Result, expected: string])[] = [
    [
      "several copies, the first too old",
      answer(200, {
        value: [{ ...HIT, createdDateTime: "2026-11-01T00:00:00Z" }, HIT],
      }),
      "sent",
    ],
    ["a copy in Drafts", answer(200, { value: [{ ...HIT, isDraft: true }] }), "sent"],
    ["a copy without a time", answer(200, { value: [{ id: "a" }] }), "notFound"],
    ["no objects", answer(200, { value: [null, 1, "a"] }), "notFound"],
    ["no list", answer(200, { value: {} }), "later"],
    ["HTML", answer(200, "<html>"), "later"],
    ["no mailbox", answer(404, { error: { code: "ErrorInvalidUser" } }), "notFound"],
    ["no permission", answer(403, { error: { code: "ErrorAccessDenied" } }), "forbidden"],
    ["a bad request", answer(400, { error: { code: "BadRequest" } }), "later"],
    ["throttling", answer(429, {}), "later"],
    ["a refused token", answer(401, {}), "later"],
  ];
  for (const [what, result, expected] of CASES) {
    it(`means ${expected}: ${what}`, async () => {
      const { asked } = await ask(result);
      assert.equal(asked.type, expected);
      if (asked.type === "later" || asked.type === "forbidden") assert(asked.detail.length > 10);
    });
  }

  it("is not asked for without anything to ask for", async () => {
    const { asked, urls } = await ask(answer(500, {}), { sending: { mailbox: MAILBOX } });
    assert.deepEqual([asked.type, urls], ["notFound", []]);
  });

  it("about a draft has to say whether it is one", async () => {
    const sending = { mailbox: MAILBOX, messageId: "<1@x.test>", draft: "AAMk/=" };
    const { asked, urls } = await ask(answer(200, {}), { sending });
    assert.equal(asked.type, "later");
    assert.match(urls.join(), /\/messages\/AAMk%2F%3D\?\$select=isDraft$/);
  });

  it("is waited for in the mailbox's turn", async () => {
    const requests: ((result: Result) => void)[] = [];
    const backend = new GraphBackend({
      http: { request: () => new Promise((resolve) => void requests.push(resolve)) },
      endpoint: new URL("https://graph.test/"),
      ...GRAPH_OPTIONS,
      concurrency: 1,
    });
    const authorization = accountWith(tokenOf("a token"));
    const sent = backend.deliver(mailOf(MAILBOX), attemptOf(authorization));
    const sending = { mailbox: MAILBOX, messageId: "<1@x.test>" };
    const looked = backend.lookUp({
      account: ACCOUNT,
      authorization,
      sending,
      since: 0,
      isLast: true,
    });
    for (let i = 0; i < 20; i++) await Promise.resolve();
    assert.equal(requests.length, 1);
    requests[0]!(answer(202, ""));
    await sent;
    for (let i = 0; i < 20; i++) await Promise.resolve();
    assert.equal(requests.length, 2);
    requests[1]!(answer(200, { value: [HIT] }));
    assert.equal((await looked).type, "sent");
  });
});
