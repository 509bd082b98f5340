/**
 * Before each request that may send a message, and before no other, the queue records that it is begun:
 * after a crash it is known then which messages may have been sent.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, describe, it } from "node:test";
import { reasonNotToSend } from "../../src/delivery/before_sending.ts";
import type { SendingProgress, ServiceOutcome } from "../../src/delivery/delivery.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { DeliveryClient, type GraphResult } from "../../src/graph/graph_client.ts";
import { uploadAndSend } from "../../src/graph/upload.ts";
import { HttpClient, type HttpRequest, type HttpResponse } from "../../src/http/client.ts";
import { ServiceUrl } from "../../src/http/service_url.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { filesFor, largeMessage } from "../support/large_message.ts";
import { SCOPE } from "../support/logins.ts";
import { accountWith, attemptOf, mailOf, tokenOf } from "../support/submissions.ts";
import { DRAFT_ID, SENDER, startDraftServer } from "./draft_server.ts";
import { GRAPH_OPTIONS } from "./options.ts";
import { clientWith } from "./upload_client.ts";

function answer(status: number): HttpResponse {
  return { type: "response", status, headers: new Map(), body: new Uint8Array(0) };
}

type Record = (draft?: string) => Promise<boolean>;

/** One request that sends, within a minute; the last status answers all further tries. */
function play(statuses: readonly number[], record: (clock: FakeClock) => Record) {
  const clock = new FakeClock();
  const log: string[] = [];
  const timeouts: number[] = [];
  const stop = new AbortController();
  const beforeSending = record(clock);
  const graph = new DeliveryClient({
    http: {
      request: ({ timeout }: HttpRequest) => {
        timeouts.push(timeout);
        log.push("request");
        return Promise.resolve(answer(statuses[Math.min(timeouts.length, statuses.length) - 1]!));
      },
    },
    // Another token each time.
    authorization: { ...accountWith(tokenOf("a token")), token: () => tokenOf("a token") },
    scope: SCOPE,
    timeout: 60_000,
    deadline: clock.now() + 60_000,
    clock,
    stop: stop.signal,
    beforeSending: (draft) =>
      reasonNotToSend(async () => {
        log.push("record");
        const isOwned = await beforeSending(draft);
        log.push("recorded");
        return isOwned;
      }, { mailbox: SENDER }),
  });
  const request = (submits: boolean, draft?: string) =>
    graph.request({
      method: "POST",
      url: new URL("http://graph.test/"),
      headers: {},
      authorized: true,
      submits,
      ...(draft === undefined ? {} : { draft }),
    }, [202]);
  return { graph, clock, log, timeouts, stop, request };
}

function codeOf(result: GraphResult): string {
  assert(result.type === "failed" && result.outcome.type === "later" && !result.outcome.ambiguous);
  return result.outcome.code;
}

describe("a request that may send", () => {
  it("begins after its beginning is recorded", async () => {
    const { log, request } = play([202], () => () => Promise.resolve(true));
    assert.equal((await request(true)).type, "response");
    assert.deepEqual(log, ["record", "recorded", "request"]);
  });

  it("is recorded again before each repeat", async () => {
    const { log, request, graph } = play([429, 503, 202], () => () => Promise.resolve(true));
    assert.equal((await request(true)).type, "failed", "a 503 without a sign of throttling");
    assert.deepEqual(log.join(" "), "record recorded request record recorded request");
    assert.equal(graph.attempts, 2);
  });

  it("is repeated with a new record after a refused token too", async () => {
    const { log, request } = play([401, 202], () => () => Promise.resolve(true));
    assert.equal((await request(true)).type, "response");
    assert.equal(log.join(" "), "record recorded request record recorded request");
  });

  it("hands over the draft that it sends", async () => {
    const seen: unknown[] = [];
    const { request } = play([202], () => (draft) => {
      seen.push(draft);
      return Promise.resolve(true);
    });
    await request(true, "AAMk");
    await request(true);
    assert.deepEqual(seen, ["AAMk", undefined]);
  });

  it("is not begun if another relay has taken the message", async () => {
    const { log, request, graph } = play([202], () => () => Promise.resolve(false));
    assert.equal(codeOf(await request(true)), "NOT_OWNED");
    assert.deepEqual(log, ["record", "recorded"]);
    assert.equal(graph.attempts, 0);
  });

  it("is not repeated if another relay has taken the message meanwhile", async () => {
    let asked = 0;
    const { log, request } = play([429, 202], () => () => Promise.resolve(asked++ === 0));
    assert.equal(codeOf(await request(true)), "NOT_OWNED");
    assert.deepEqual(log, ["record", "recorded", "request", "record", "recorded"]);
  });

  it("is not begun if its beginning cannot be recorded", async () => {
    const error = Object.assign(new Error("disk I/O error"), { code: "SQLITE_IOERR" });
    const { log, request } = play([202], () => () => Promise.reject(error));
    assert.equal(codeOf(await request(true)), "SQLITE_IOERR");
    assert.deepEqual(log, ["record"]);
  });

  it("has the rest of the delivery's time after its record", async () => {
    const { timeouts, request } = play([202], (clock) => () => {
      clock.skip(50_000);
      return Promise.resolve(true);
    });
    await request(true);
    assert.deepEqual(timeouts, [10_000]);
  });

  it("is not begun if its record has taken all of that time", async () => {
    const { log, request } = play([202], (clock) => () => {
      clock.skip(59_900);
      return Promise.resolve(true);
    });
    assert.equal(codeOf(await request(true)), "DELIVERY_TIMEOUT");
    assert.deepEqual(log, ["record", "recorded"]);
  });

  it("is not begun if the relay stops during its record", async () => {
    let ended = () => {};
    const { stop, log, request } = play(
      [202],
      () => () => new Promise((resolve) => ended = () => resolve(true)),
    );
    const result = request(true);
    stop.abort();
    ended();
    assert.equal(codeOf(await result), "STOPPING");
    assert.deepEqual(log, ["record", "recorded"]);
  });
});

describe("a request that cannot send", () => {
  it("is not recorded", async () => {
    const { log, request } = play([202], () => () => Promise.resolve(false));
    assert.equal((await request(false)).type, "response");
    assert.deepEqual(log, ["request"]);
  });
});

describe("a large message", () => {
  const http = new HttpClient();
  after(() => http.close());

  /** Sends a message with a file by a draft. */
  async function upload(record: () => Promise<boolean>) {
    const server = await startDraftServer();
    const before: string[] = [];
    try {
      const graph = clientWith(http, 10_000, (draft) => {
        before.push(`${server.log.length} requests, ${draft}`);
        return reasonNotToSend(record, { mailbox: SENDER });
      });
      const outcome: ServiceOutcome = await uploadAndSend(graph, {
        service: new ServiceUrl(new URL(server.base)),
        sender: SENDER,
        message: largeMessage(filesFor(5_000_000)),
        requestLimit: 4_000_000,
        id: "0123456789abcdef",
      });
      return { outcome, before, log: [...server.log], seen: [...server.seen] };
    } finally {
      await server.close();
    }
  }

  it("is recorded once: when its draft is complete, with the draft's id", async () => {
    const { outcome, before, log } = await upload(() => Promise.resolve(true));
    assert.equal(outcome.type, "sent");
    assert.equal(log.at(-1), "POST /draft/send");
    assert.deepEqual(before, [`${log.length - 1} requests, ${DRAFT_ID}`]);
  });

  // https://learn.microsoft.com/graph/outlook-immutable-id
  it("has an id that the copy in Sent Items keeps, asked for with each request", async () => {
    const { seen } = await upload(() => Promise.resolve(true));
    const asked = seen.filter(({ path }) => path.includes("/messages"));
    assert(asked.length >= 3);
    for (const { headers, path } of asked) {
      assert.equal(headers.get("prefer"), 'IdType="ImmutableId"', path);
    }
  });

  it("has its draft deleted if another relay has taken the message", async () => {
    const { outcome, log } = await upload(() => Promise.resolve(false));
    assert(outcome.type === "later" && outcome.code === "NOT_OWNED" && !outcome.ambiguous);
    assert.equal(log.at(-1), "DELETE /draft");
    assert(!log.includes("POST /draft/send"));
  });

  it("has its draft deleted if the sending cannot be recorded", async () => {
    const { outcome, log } = await upload(() => Promise.reject(new Error("no disk")));
    assert(outcome.type === "later" && !outcome.ambiguous);
    assert.equal(log.at(-1), "DELETE /draft");
    assert(!log.includes("POST /draft/send"));
  });
});

describe("the back end", () => {
  function setUp() {
    let requests = 0;
    const backend = new GraphBackend({
      http: { request: () => Promise.resolve((requests++, answer(202))) },
      endpoint: new URL("https://graph.test/"),
      ...GRAPH_OPTIONS,
    });
    const recorded: SendingProgress[] = [];
    const send = (isOwned: boolean, submission = mailOf("ann@x.test")) =>
      backend.deliver(submission, {
        ...attemptOf(accountWith(tokenOf("a token"))),
        beforeSending: (sending) => {
          recorded.push(sending);
          return Promise.resolve(isOwned);
        },
      });
    return { send, recorded, requests: () => requests, backend };
  }

  it("asks before it sends, and says so in its outcome", async () => {
    const { send, requests, backend } = setUp();
    for (const [isOwned, expected] of [[false, 451], [true, 250]] as const) {
      assert.match(formatReply((await send(isOwned)).reply), new RegExp(`^${expected} `));
      assert.equal(requests(), isOwned ? 1 : 0);
    }
    assert.equal(backend.activeMailboxes, 0);
  });

  it("tells the mailbox and the Message-ID that the message is sent with", async () => {
    const { send, recorded } = setUp();
    const own =
      "From: ann@x.test\r\nTo: bea@x.test\r\nMessage-ID:\r\n <own'1@x.test>\r\n\r\nHi\r\n";
    await send(true);
    await send(true, mailOf("ann@x.test", [Buffer.from(own)]));
    const submission = mailOf("ann@x.test");
    const account = { ...submission.account, fromEmail: "scanner@x.test" };
    await send(true, { ...submission, account });
    assert.deepEqual(recorded, [
      { mailbox: "ann@x.test", messageId: "<0123456789abcdef@relay.test>" },
      { mailbox: "ann@x.test", messageId: "<own'1@x.test>" },
      { mailbox: "scanner@x.test", messageId: "<0123456789abcdef@relay.test>" },
    ]);
  });

  it("tells no Message-ID that nothing can be asked for", async () => {
    const { send, recorded } = setUp();
    const bad = "From: ann@x.test\r\nTo: bea@x.test\r\nMessage-ID: <\xff@x.test>\r\n\r\nHi\r\n";
    await send(true, mailOf("ann@x.test", [Buffer.from(bad, "latin1")]));
    assert.deepEqual(recorded, [{ mailbox: "ann@x.test" }]);
  });
});
