/** The parts of a delivery to Graph together: its turn, its time, and by draft or in one request. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Authorization } from "../../src/accounts/account.ts";
import type { ServiceOutcome } from "../../src/delivery/delivery.ts";
import { GraphBackend, type GraphOptions } from "../../src/graph/backend.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "../../src/http/client.ts";
import type { Content } from "../../src/smtp/content.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, attemptOf, mailOf, MESSAGE, tokenOf } from "../support/submissions.ts";
import { TestClient } from "../delivery/waiting_client.ts";
import { GRAPH_OPTIONS } from "./options.ts";

type Result = HttpResponse | HttpFailure;

function answer(status: number, headers: Record<string, string> = {}, body: unknown = ""): Result {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return {
    type: "response",
    status,
    headers: new Map(Object.entries(headers)),
    body: Buffer.from(text),
  };
}

/** A Graph that responds when the test says so. */
class SlowGraph {
  readonly requests: HttpRequest[] = [];
  readonly #answers: ((result: Result) => void)[] = [];
  #asked = () => {};

  request(request: HttpRequest): Promise<Result> {
    this.requests.push(request);
    this.#asked();
    return new Promise((resolve) => this.#answers.push(resolve));
  }

  /** Waits until there have been so many requests. */
  async until(count: number): Promise<void> {
    while (this.requests.length < count) {
      await new Promise<void>((resolve) => this.#asked = resolve);
    }
    await settle();
  }

  /** Responds to the request with this index, and lets the consequences happen. */
  async answer(index: number, result: Result): Promise<void> {
    this.#answers[index]!(result);
    await settle();
  }

  /** The mailboxes and last path segments of the requests. */
  get asked(): string {
    return this.requests.map(({ method, url }) => {
      const [, , , mailbox = "", ...rest] = url.pathname.split("/");
      return `${method} ${mailbox.split("%40")[0]} ${rest.at(-1)}`;
    }).join(", ");
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

function setUp(options: Partial<GraphOptions> = {}) {
  const clock = new FakeClock();
  clock.patient = true;
  const graph = new SlowGraph();
  const stopping = new AbortController();
  const backend = new GraphBackend({
    http: graph,
    endpoint: new URL("https://graph.test/"),
    ...GRAPH_OPTIONS,
    timeout: 3_600_000,
    concurrency: 1,
    pacingTimeout: 240_000,
    largeMessages: "upload",
    stop: stopping.signal,
    clock,
    ...options,
  });
  const account = accountWith(tokenOf("a token"));
  function send(
    mailbox = "ann",
    message: Content = [MESSAGE],
    as: Authorization = account,
    client?: TestClient,
  ) {
    const sending: { outcome?: ServiceOutcome } = {};
    void backend.deliver(mailOf(`${mailbox}@x.test`, message), attemptOf(as, client))
      .then((outcome) => sending.outcome = outcome);
    return sending;
  }
  return { clock, graph, backend, send, stop: () => stopping.abort() };
}

function line({ outcome }: { outcome?: ServiceOutcome }): string {
  return outcome === undefined ? "under way" : formatReply(outcome.reply).trimEnd();
}

/** A message with an attachment of so many octets of base64. */
function largeMessage(octets: number): Uint8Array[] {
  const head = "From: ann@x.test\r\nTo: bea@x.test\r\nMIME-Version: 1.0\r\n" +
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\n" +
    "Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n" +
    "Content-Disposition: attachment; filename=scan.pdf\r\n\r\n";
  const base64 = "QUJD".repeat(Math.ceil(octets / 4));
  return [Buffer.from(`${head}${base64.replace(/.{76}/g, "$&\r\n")}\r\n--b--\r\n`)];
}

describe("a message's turn", () => {
  it("begins immediately when the mailbox has nothing else to send", async () => {
    const { graph, send, backend } = setUp();
    const message = send();
    assert.equal(graph.asked, "POST ann sendMail", "without waiting for anything");
    await graph.answer(0, answer(202));
    assert.match(line(message), /^250 2\.0\.0 /);
    assert.equal(backend.activeMailboxes, 0);
  });

  it("begins when the message before has its response, whatever it is", async () => {
    const { graph, send, backend } = setUp();
    const messages = [send(), send(), send()];
    await settle();
    assert.equal(graph.requests.length, 1);
    await graph.answer(0, answer(500));
    assert.match(line(messages[0]!), /^451 4\.3\.0 /);
    assert.equal(graph.requests.length, 2);
    await graph.answer(1, answer(404));
    assert.match(line(messages[1]!), /^550 5\.1\.0 /);
    assert.equal(graph.requests.length, 3);
    await graph.answer(2, answer(202));
    assert.match(line(messages[2]!), /^250 /);
    assert.equal(backend.activeMailboxes, 0);
  });

  it("is not held up by who only claims to be the app, by a token that no service has verified", async () => {
    const { graph, send } = setUp();
    const claimed = { ...accountWith(tokenOf("theirs")), unverified: () => "their token" };
    const forged = [send("ann", [MESSAGE], claimed), send("ann", [MESSAGE], claimed)];
    const own = send();
    await settle();
    assert.equal(graph.requests.length, 2);
    await graph.answer(1, answer(202));
    assert.match(line(own), /^250 /);
    assert.deepEqual(forged.map(line), ["under way", "under way"]);
  });

  it("begins also after a fault of the program", async () => {
    const { graph, send, backend } = setUp();
    const broken: Authorization = {
      ...accountWith(tokenOf("a token")),
      token() {
        throw new Error("a bug");
      },
    };
    await assert.rejects(backend.deliver(mailOf("ann@x.test"), attemptOf(broken)), /a bug/);
    send();
    assert.equal(graph.asked, "POST ann sendMail");
  });

  it("that does not begin within PACING_TIMEOUT gives 451 4.3.2, and nothing was sent", async () => {
    const { graph, send, clock } = setUp();
    send();
    const second = send();
    clock.pass(240_000);
    await settle();
    assert.match(line(second), /^451 4\.3\.2 PACING_TIMEOUT: .*240 s; nothing was sent$/);
    assert(second.outcome?.type === "later" && !second.outcome.ambiguous);
    assert.equal(second.outcome.code, "PACING_TIMEOUT");
    assert.equal(graph.requests.length, 1);
  });

  it("waits for the mailbox's Retry-After, which delays no other mailbox", async () => {
    const { graph, send, clock } = setUp({ concurrency: 2 });
    const throttled = send("ann");
    await graph.answer(0, answer(429, { "retry-after": "20" }));
    const next = send("ANN");
    const other = send("bea");
    await settle();
    assert.equal(graph.asked, "POST ann sendMail, POST bea sendMail");
    await graph.answer(1, answer(202));
    assert.match(line(other), /^250 /);
    clock.pass(19_999);
    await settle();
    assert.equal(graph.requests.length, 2);
    clock.pass(1_001);
    await settle();
    // One at a time from now on, the throttled one first.
    assert.equal(graph.asked, "POST ann sendMail, POST bea sendMail, POST ann sendMail");
    await graph.answer(2, answer(202));
    assert.match(line(throttled), /^250 /);
    assert.equal(throttled.outcome?.attempts, 2);
    await graph.answer(3, answer(202));
    assert.match(line(next), /^250 /);
    assert.equal(next.outcome?.attempts, undefined);
  });
});

describe("a login by an unverified token", () => {
  it("uses no turn of the app that it claims to be, nor another login's", async () => {
    const { graph, send } = setUp({ concurrency: 1 });
    const claims = (name: string | undefined): Authorization => ({
      ...accountWith(tokenOf("a token")),
      unverified: () => name,
    });
    send("ann", [MESSAGE], claims("first"));
    send("ann", [MESSAGE], claims("second"));
    send("ann");
    assert.equal(graph.requests.length, 3);
    // Each has only the turns of its own mailbox.
    for (const name of ["first", "second", undefined]) send("ann", [MESSAGE], claims(name));
    await settle();
    assert.equal(graph.requests.length, 3);
  });
});

describe("a delivery's token", () => {
  it("is requested with the scope of this service", async () => {
    const scopes: string[] = [];
    const { send } = setUp({ scope: "https://graph.microsoft.us/.default" });
    const account = accountWith(tokenOf("a token"));
    send("ann", [MESSAGE], {
      ...account,
      token(scope) {
        scopes.push(scope);
        return account.token(scope);
      },
    });
    await settle();
    assert.deepEqual(scopes, ["https://graph.microsoft.us/.default"]);
  });
});

describe("a message whose client waits for its turn", () => {
  it("is marked as waiting, and deferred when others need its slot: nothing was sent", async () => {
    const { graph, send } = setUp();
    const clients = [new TestClient(), new TestClient()];
    const [, second] = clients.map((client) => send("ann", [MESSAGE], undefined, client));
    await settle();
    assert.deepEqual(clients.map(({ waits }) => waits), [[], [true]]);
    clients.forEach((client) => client.makeRoom());
    await settle();
    assert.match(line(second!), /^451 4\.3\.2 OVER_SHARE: .*nothing was sent$/);
    assert.deepEqual(clients.map(({ waits }) => waits), [[], [true, false]]);
    assert.equal(graph.requests.length, 1, "the request that was begun goes on");
  });

  it("is unmarked once when it waits no longer, whatever happens afterwards", async () => {
    const { graph, send } = setUp();
    send("ann");
    const client = new TestClient();
    const message = send("ann", [MESSAGE], undefined, client);
    await graph.answer(0, answer(202));
    client.makeRoom();
    await settle();
    assert.deepEqual(client.waits, [true, false]);
    await graph.answer(1, answer(202));
    assert.match(line(message), /^250 /);
  });

  it("does not begin to wait when its slot is needed already", async () => {
    const { send, backend, graph } = setUp();
    send("ann");
    const client = new TestClient();
    client.makeRoom();
    const message = send("ann", [MESSAGE], undefined, client);
    await settle();
    assert.match(line(message), /^451 4\.3\.2 OVER_SHARE: /);
    assert.deepEqual(client.waits, []);
    await graph.answer(0, answer(202));
    assert.equal(backend.activeMailboxes, 0);
  });
});

describe("the mailbox that sends", () => {
  it("is named in the outcome where it is not the reverse-path, as with from_email", async () => {
    const { graph, backend } = setUp();
    const account = accountWith(tokenOf("a token"));
    const deliver = async (fromEmail?: string) => {
      const submission = mailOf("ann@x.test");
      const bound = { ...submission.account, ...(fromEmail === undefined ? {} : { fromEmail }) };
      const sent = backend.deliver({ ...submission, account: bound }, attemptOf(account));
      await graph.answer(graph.requests.length - 1, answer(202));
      return (await sent as { mailbox?: string }).mailbox;
    };
    assert.deepEqual([await deliver(), await deliver("scanner@x.test")], [
      undefined,
      "scanner@x.test",
    ]);
    assert.equal(graph.asked, "POST ann sendMail, POST scanner sendMail");
  });
});

describe("a stop", () => {
  it("immediately defers messages that wait for a turn or a retry: certainly nothing was sent", async () => {
    const { graph, send, backend, stop, clock } = setUp();
    const throttled = send();
    const waiting = [send(), send()];
    await graph.answer(0, answer(429, { "retry-after": "20" }));
    stop();
    await settle();
    const late = send();
    await settle();
    assert.match(line(throttled), /^451 4\.3\.2 HTTP 429: /);
    for (const message of [...waiting, late]) {
      assert.match(line(message), /^451 4\.3\.2 STOPPING: .*nothing was sent$/);
      assert(message.outcome?.type === "later" && !message.outcome.ambiguous);
    }
    assert.equal(graph.requests.length, 1);
    assert.deepEqual([backend.activeMailboxes, clock.alarms], [0, 0]);
  });

  it("before the relay was ready prevents every request", async () => {
    const { graph, send } = setUp({ stop: AbortSignal.abort() });
    const message = send();
    await settle();
    assert.match(line(message), /^451 4\.3\.2 STOPPING: /);
    assert.equal(graph.requests.length, 0);
  });

  it("lets the request in flight finish, and does not retry it", async () => {
    const { graph, send, stop } = setUp();
    const message = send();
    stop();
    await settle();
    assert.equal(line(message), "under way");
    await graph.answer(0, answer(503, { "retry-after": "1" }));
    assert.match(line(message), /^451 4\.3\.0 HTTP 503/);
    assert.equal(graph.requests.length, 1);
  });
});

describe("a stop in the middle of an upload", () => {
  const aborted: Result = { type: "failure", sent: true, code: "ABORTED", message: "given up" };

  it("deletes the draft within the two seconds that the relay waits", async () => {
    const { graph, send, stop } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    await graph.until(1);
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    await graph.answer(1, answer(201, {}, { uploadUrl: "https://outlook.office.com/1" }));
    await graph.until(3);
    stop();
    await graph.answer(2, aborted);
    // It does not ask for the position of the upload.
    assert.deepEqual(graph.requests.slice(2).map(({ method }) => method), ["PUT", "DELETE"]);
    assert(graph.requests[3]!.timeout < 2_000);
    await graph.answer(3, answer(204));
    assert.match(line(large), /^451 4\.3\.2 STOPPING: /);
    assert(large.outcome?.type === "later" && !large.outcome.ambiguous);
    assert.doesNotMatch(large.outcome.detail, /could not be deleted/);
  });

  it("does not send the draft", async () => {
    const { graph, send, stop } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    await graph.until(1);
    stop();
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    assert.equal(graph.asked, "POST ann messages, DELETE ann AAA");
    await graph.answer(1, answer(204));
    assert.match(line(large), /^451 4\.3\.2 STOPPING: /);
  });

  it("repeats a deletion that it has aborted itself", async () => {
    const { graph, send, stop } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    await graph.until(1);
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    await graph.answer(1, answer(403));
    await graph.until(3);
    stop();
    await graph.answer(2, aborted);
    await graph.until(4);
    assert.match(graph.asked, /DELETE ann AAA, DELETE ann AAA$/);
    await graph.answer(3, answer(204));
    assert(large.outcome?.type === "refused");
    assert.doesNotMatch(large.outcome.detail, /could not be deleted/);
  });
});

describe("a message whose preparation has blocked the event loop", () => {
  it("is sent a turn of the event loop later, so that closed connections are noticed first", async () => {
    const { graph, send } = setUp({ concurrency: 2 });
    const large = send("ann", [MESSAGE, Buffer.from(`${"x".repeat(76)}\r\n`.repeat(12_000))]);
    await settle();
    assert.equal(graph.requests.length, 0);
    send("bea");
    assert.equal(graph.asked, "POST bea sendMail", "a small one does not wait");
    await graph.until(2);
    assert.equal(graph.asked, "POST bea sendMail, POST ann sendMail");
    await graph.answer(1, answer(202));
    assert.match(line(large), /^250 /);
  });
});

describe("a delivery's time", () => {
  it("begins with its turn: waiting does not count", async () => {
    const { graph, send, clock } = setUp();
    send();
    send();
    clock.pass(50_000);
    await graph.answer(0, answer(202));
    assert.deepEqual(graph.requests.map(({ timeout }) => timeout), [60_000, 60_000]);
  });

  it("is shared by all its attempts", async () => {
    const { graph, send, clock } = setUp();
    send();
    clock.pass(10_000);
    await graph.answer(0, answer(429, { "retry-after": "20" }));
    clock.pass(21_000);
    await settle();
    assert.equal(graph.requests[1]!.timeout, 29_000);
  });

  it("grows by 1 s per 100 kB over GRAPH_REQUEST_LIMIT, to 9 minutes at most", async () => {
    const cases: readonly (readonly [base64: number, limit: number, time: number])[] = [
      [400, 4_000_000, 60_000],
      [3_999_900, 4_000_000, 60_000],
      [4_200_000, 4_000_000, 63_000],
      [14_000_000, 4_000_000, 160_000],
      [64_000_000, 4_000_000, 540_000],
    ];
    for (const [base64, requestLimit, time] of cases) {
      const { graph, send } = setUp({ requestLimit });
      const octets = base64 / 4 * 3;
      send("ann", octets > 3_000_000 ? largeMessage(octets / 78 * 76 - 400) : [MESSAGE]);
      await graph.until(1);
      const { timeout } = graph.requests[0]!;
      // The attachment's last line may cost a second less or more.
      assert(Math.abs(timeout - time) <= 1000, `${base64}: ${timeout} ms`);
      if (time === 60_000 || time === 540_000) assert.equal(timeout, time);
    }
  });

  it("is never over 9 minutes, whatever DELIVERY_TIMEOUT says: clients wait 10", () => {
    const { graph, send } = setUp({ deliveryTimeout: 3_600_000 });
    send();
    assert.equal(graph.requests[0]!.timeout, 540_000);
  });
});

describe("a message over GRAPH_REQUEST_LIMIT", () => {
  it("is sent by a draft, with all its requests in one turn", async () => {
    const { graph, send } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    const next = send("ann");
    await graph.until(1);
    assert.equal(graph.asked, "POST ann messages");
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    assert.equal(graph.asked, "POST ann messages, POST ann createUploadSession");
    await graph.answer(1, answer(403));
    await graph.until(3);
    assert.equal(graph.asked, "POST ann messages, POST ann createUploadSession, DELETE ann AAA");
    await graph.answer(2, answer(204));
    await graph.until(4);
    assert.match(line(large), /^5\d\d /);
    await graph.answer(3, answer(202));
    assert.match(line(next), /^250 /);
  });

  it("has its draft deleted within a few seconds even when its time is over", async () => {
    const { graph, send, clock } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    await graph.until(1);
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    clock.pass(64_000);
    await graph.answer(1, {
      type: "failure",
      sent: true,
      code: "ETIMEDOUT",
      message: "no answer within 64 s",
    });
    await graph.until(3);
    assert.match(graph.asked, /, DELETE ann AAA$/);
    assert.equal(graph.requests.at(-1)!.timeout, 5_000);
    await graph.answer(2, answer(204));
    assert.match(line(large), /^451 4\.4\.1 ETIMEDOUT: /);
    assert(large.outcome?.type === "later" && !large.outcome.ambiguous);
  });

  it("is not sent with less than 0.5 s left: its draft is deleted, and the outcome is unambiguous", async () => {
    const { graph, send, clock } = setUp();
    const large = send("ann", largeMessage(4_200_000));
    await graph.until(1);
    const time = graph.requests[0]!.timeout;
    await graph.answer(0, answer(201, {}, { id: "AAA" }));
    await graph.until(2);
    await graph.answer(1, answer(201, {}, { uploadUrl: "https://outlook.office.com/1" }));
    await graph.until(3);
    clock.pass(time - 300);
    await graph.answer(2, answer(201));
    await graph.until(4);
    assert.equal(graph.requests[3]!.method, "DELETE", graph.asked);
    await graph.answer(3, answer(204));
    assert.match(line(large), /^451 4\.4\.1 DELIVERY_TIMEOUT: .*nothing was sent$/);
    assert(large.outcome?.type === "later" && !large.outcome.ambiguous);
  });

  it("is refused with the remedy when LARGE_MESSAGES is reject; no turn is used", async () => {
    const { graph, send, backend } = setUp({ largeMessages: "reject" });
    const large = send("ann", largeMessage(4_200_000));
    await settle();
    assert.match(line(large), /^552 5\.3\.4 .* one request to Graph takes 4000000.*LARGE_MESSAGES/);
    assert.equal(graph.requests.length, 0);
    assert.equal(backend.activeMailboxes, 0);
  });
});

describe("a refusal that is certain before Graph is asked", () => {
  const refusalOf = (backend: GraphBackend, content: Content) =>
    backend.refusal(mailOf("ann@x.test", content));

  it("is the one that the delivery would have", async () => {
    const { send, backend } = setUp({ largeMessages: "reject" });
    const large = largeMessage(4_200_000);
    const sent = send("ann", large);
    await settle();
    assert.deepEqual(refusalOf(backend, large), sent.outcome);
    assert.equal(refusalOf(backend, large)?.code, "GRAPH_REQUEST_LIMIT");
  });

  it("is for the form of a message, too", () => {
    const { backend } = setUp();
    const header = `X-Long: ${"a".repeat(90)}\r\n`.repeat(4000);
    const refusal = refusalOf(backend, [Buffer.from(`${header}From: ann@x.test\r\n\r\nHi\r\n`)]);
    assert.equal(refusal?.type, "refused");
    assert.equal(refusal?.limit, "MAX_HEADER_SIZE");
  });

  it("is none for what goes by draft, however large, and for what fits", () => {
    const upload = setUp().backend;
    for (const octets of [4_200_000, 9_000_000]) {
      assert.equal(refusalOf(upload, largeMessage(octets)), undefined);
    }
    assert.equal(refusalOf(upload, [MESSAGE]), undefined);
  });

  it("is there for what cannot be uploaded, such as signed mail (RFC 1847)", async () => {
    const { send, backend, graph } = setUp();
    const header = "From: ann@x.test\r\nMIME-Version: 1.0\r\n" +
      "Content-Type: multipart/signed; boundary=b; protocol=x; micalg=y\r\n\r\n";
    const line = `${"a".repeat(76)}\r\n`;
    const signed: Content = [
      Buffer.from(`${header}--b\r\n\r\n${line.repeat(60_000)}--b\r\n\r\ns\r\n--b--\r\n`),
    ];
    const sent = send("ann", signed);
    await settle();
    assert.equal(sent.outcome?.type, "refused");
    assert.deepEqual(refusalOf(backend, signed), sent.outcome);
    assert.equal(refusalOf(backend, signed)?.code, "LARGE_SIGNED");
    assert.equal(graph.requests.length, 0);
  });

  it("is there for a message of any size if LARGE_MESSAGES is reject", () => {
    const { backend } = setUp({ largeMessages: "reject" });
    for (const octets of [9_000_000, 30_000_000]) {
      assert.equal(refusalOf(backend, largeMessage(octets))?.code, "GRAPH_REQUEST_LIMIT");
    }
  });
});
