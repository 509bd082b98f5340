/** The status page over HTTP, on a relay in this process: its doors, its stream, and changes to the queue. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { QueueListing } from "../../src/status/queue_list.ts";
import { reply } from "../../src/smtp/reply.ts";
import { statusRoutes } from "../../src/status/routes.ts";
import { Status } from "../../src/status/status.ts";
import type { StatusView } from "../../src/status/view.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { entryAccount, principalOf, submissionEvent } from "../support/events.ts";
import { SECRET, type TestRelay, TestRelays } from "../support/relay.ts";
import { settingsOf } from "../support/settings.ts";
import { until } from "../support/until.ts";

const FROM = "scanner@example.com";
const TO = "reader@example.org";
const CLIENT = { connection: "c0ffee", address: "192.0.2.1", port: 1 };
const PRINCIPAL = principalOf(entryAccount("scanner"));
const PASSWORD = "a-password";
const BASIC = `Basic ${Buffer.from(`admin:${PASSWORD}`).toString("base64")}`;

const relays = new TestRelays();
let cloud: CloudServer;
let folder: string;
beforeEach(async () => {
  cloud = await startCloud();
  folder = mkdtempSync(join(tmpdir(), "relay-status-"));
});
afterEach(async () => {
  await cloud.close();
  rmSync(folder, { recursive: true, force: true });
});

function start(environment: Readonly<Record<string, string>> = {}): Promise<TestRelay> {
  return relays.start({ cloud, environment: { HTTP_LISTEN: "127.0.0.1:0", ...environment } });
}

function startWithQueue(environment: Readonly<Record<string, string>> = {}): Promise<TestRelay> {
  return start({
    DELIVERY_MODE: "queue",
    QUEUE_URL: `sqlite:${folder}/queue.db`,
    QUEUE_KEY: randomBytes(32).toString("base64"),
    ...environment,
  });
}

async function data(relay: TestRelay, headers: Record<string, string> = {}): Promise<StatusView> {
  return await (await fetch(`${relay.url}/status/data`, { headers })).json() as StatusView;
}

/** The status of a response to a request whose Host `fetch` could not set. */
function statusWithHost(url: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { Host: host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on("error", reject).end();
  });
}

/** A page that listens. */
class Listener {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #abort: AbortController;
  #text = "";
  /** Of the last event. */
  id = "";

  private constructor(body: ReadableStream<Uint8Array>, abort: AbortController) {
    this.#reader = body.getReader();
    this.#abort = abort;
  }

  static async open(relay: TestRelay, headers: Record<string, string> = {}): Promise<Listener> {
    const abort = new AbortController();
    const response = await fetch(`${relay.url}/status/events`, { headers, signal: abort.signal });
    assert.equal(response.status, 200);
    assert.match(response.headers.get("content-type") ?? "", /^text\/event-stream/);
    return new Listener(response.body!, abort);
  }

  async next(): Promise<StatusView> {
    const decoder = new TextDecoder();
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const event = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        this.id = /^id: (.*)$/m.exec(event)![1]!;
        return JSON.parse(/^data: (.*)$/m.exec(event)![1]!) as StatusView;
      }
      const { done, value } = await this.#reader.read();
      assert.ok(!done, "the stream has ended");
      this.#text += decoder.decode(value, { stream: true });
    }
  }

  /** The first event that fits. */
  async until(fits: (view: StatusView) => boolean): Promise<StatusView> {
    for (;;) {
      const view = await this.next();
      if (fits(view)) return view;
    }
  }

  /** Whether the relay ends the stream. */
  async ended(): Promise<boolean> {
    try {
      while (!(await this.#reader.read()).done);
    } catch {
      // The connection was closed.
    }
    return true;
  }

  close(): void {
    this.#abort.abort();
  }
}

describe("the status page", () => {
  it("is one document that may load nothing else, and is neither cached nor framed", async () => {
    const relay = await start();
    const response = await fetch(`${relay.url}/`);
    const html = await response.text();
    const policy = response.headers.get("content-security-policy") ?? "";
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[^' ]+'; style-src 'sha256-/);
    assert.doesNotMatch(policy, /unsafe|https?:|\*/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.doesNotMatch(html, /\ssrc=|url\(|@import|\sstyle=|\son[a-z]+=|innerHTML|insertAdjacent/);
    assert.doesNotMatch(html, /look\.(?:css|js) \*\/|^\s*\/\/ look\.js$/m);
    assert.equal((await fetch(`${relay.url}/`, { method: "POST" })).status, 405);
  });

  it("shows the relay, and no secret of its settings", async () => {
    const relay = await start({ HTTP_PASSWORD: PASSWORD });
    const client = await relay.authed();
    await client.send(FROM, TO, "a subject");
    const view = await data(relay, { Authorization: BASIC });
    const { overview, messages, devices, settings = [] } = view;
    assert.ok(overview.ready && overview.connections === 1);
    assert.match(overview.version, /^smtp-oauth-relay \d/);
    assert.deepEqual(
      overview.services.map(({ name, succeeded }) => [name, succeeded !== undefined]),
      [
        ["Entra ID", true],
        ["Graph", true],
      ],
    );
    assert.equal(messages[0]?.fate, "sent");
    assert.deepEqual(devices.map(({ today, known }) => [today, known]), [[1, true]]);
    assert.ok(settings.some(({ name }) => name === "STATUS_MESSAGES"));
    const text = JSON.stringify(view);
    for (const hidden of [SECRET, PASSWORD, TO, "a subject"]) assert.ok(!text.includes(hidden));
  });

  it("finds a message by the id of its 250 and by its Message-ID, as the log does", async () => {
    const relay = await start();
    const client = await relay.authed();
    const [, id] = /id=(\S+)/.exec(await client.send(FROM, TO))!;
    const [message] = (await data(relay)).messages;
    assert.equal(message?.id, id);
    assert.match(message?.messageId ?? "", /^<.+>$/);
    assert.equal(relay.linesOf("Message sent")[0]?.["id"], id);
  });

  it("says why a login and a message failed, and what to do, in the words of check", async () => {
    const relay = await start();
    cloud.faults.add({ on: "sendMail", status: 403, code: "ErrorAccessDenied", times: 2 });
    const client = await relay.authed();
    await client.send(FROM, TO);
    const { messages, devices } = await data(relay);
    assert.match(messages[0]?.failure?.fix ?? "", /^grant the app Mail\.Send for this mailbox/);
    assert.match(devices[0]?.failed?.fix ?? "", /^grant the app Mail\.Send for this mailbox/);
    const other = relay.connect();
    await other.login(
      "11111111-2222-4333-8444-555555555555@aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
      "wrong-secret",
    );
    const later = await data(relay);
    assert.match(later.logins[0]?.reason ?? "", /secret is wrong/);
    assert.match(later.devices[0]?.failed?.fix ?? "", /^enter the secret's value, not its id/);
  });

  it("is refused under a name that is not the machine's, and needs the password if there is one", async () => {
    const open = await start();
    for (const path of ["/", "/status/data", "/status/events", "/status/queue"]) {
      assert.equal(await statusWithHost(`${open.url}${path}`, "evil.example"), 403, path);
    }
    const locked = await start({ HTTP_PASSWORD: PASSWORD });
    for (const path of ["/", "/status/data", "/status/events", "/status/queue"]) {
      const response = await fetch(`${locked.url}${path}`);
      assert.equal(response.status, 401, path);
      await response.body?.cancel();
    }
  });
});

describe("/readyz", () => {
  it("tells a relay that is not ready from one that Entra ID does not answer", async () => {
    const relay = await start();
    const ready = async () => {
      const response = await fetch(`${relay.url}/readyz`);
      const { parts } = await response.json() as { parts: Record<string, Record<string, unknown>> };
      return { status: response.status, entra: parts["entra"] };
    };
    assert.deepEqual(await ready(), { status: 200, entra: undefined });
    cloud.faults.add({ on: "token", connection: "reset" });
    const failing = relay.connect();
    assert.match(
      await failing.login(
        "11111111-2222-4333-8444-555555555555@aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee",
        SECRET,
      ),
      /^454 /,
    );
    const { status, entra } = await ready();
    assert.deepEqual([status, entra?.["ready"], entra?.["answers"]], [200, true, false]);
    assert.ok(Date.parse(String(entra?.["since"])) <= Date.now());
    const shown = (await data(relay)).overview.services[0];
    assert.equal(new Date(shown!.silentSince!).toISOString(), entra?.["since"]);
    assert.equal(shown?.failed?.code, entra?.["code"]);
    assert.ok(shown?.failed?.fix, "it says what to do");
    await relay.authed();
    assert.deepEqual((await ready()).entra, { ready: true, answers: true });
  });
});

/** The stream of a relay that has no more than its state. */
async function eventsOf(
  status: Status,
  { signal = new AbortController().signal, idle }: { signal?: AbortSignal; idle?: number },
): Promise<ReadableStreamDefaultReader<Uint8Array>> {
  const routes = statusRoutes(status, {
    ...{ home: "/", signal, version: "1", hostname: "relay.test", sandbox: false, settings: [] },
    ...{ maxMessages: 1, mayChange: false, remedy: () => undefined },
    serviceRemedy: () => undefined,
    ...(idle === undefined ? {} : { idle }),
  });
  const { body } = await routes.request("/status/events");
  return body!.getReader();
}

describe("the event stream", () => {
  it("has the whole at first, then a message with what has changed only", async () => {
    const relay = await start();
    const client = await relay.authed();
    await client.send(FROM, TO);
    const page = await Listener.open(relay);
    const first = await page.next();
    assert.deepEqual([first.whole, first.messages.length, first.settings !== undefined], [
      true,
      1,
      true,
    ]);
    const [, id] = /id=(\S+)/.exec(await client.send(FROM, TO))!;
    const { whole, messages, settings } = await page.until(({ messages }) => messages.length > 0);
    assert.deepEqual([whole, messages.map(({ id }) => id), settings], [false, [id], undefined]);
    page.close();
  });

  it("tells of a change when it happens, and not with the next sign of life", async () => {
    const status = new Status({ maxMessages: 1, services: [] });
    const reader = await eventsOf(status, { idle: 3_600_000 });
    await reader.read();
    // By then the stream waits for a change: what comes at once is told with a short delay.
    for (const after of [0, 300]) {
      await new Promise((resolve) => setTimeout(resolve, after));
      status.notify({ type: "lookupAnswered" });
      status.notify(
        submissionEvent({ type: "sent", reply: reply(250, "2.0.0", "OK") }, CLIENT, PRINCIPAL, {
          id: `id-${after}`,
        }),
      );
      const { value } = await reader.read();
      assert.ok(Buffer.from(value!).toString().includes(`id-${after}`));
    }
    await reader.cancel();
  });

  it("goes on where a page was before it lost its connection", async () => {
    const relay = await start();
    const client = await relay.authed();
    await client.send(FROM, TO);
    const page = await Listener.open(relay);
    await page.next();
    page.close();
    const [, id] = /id=(\S+)/.exec(await client.send(FROM, TO))!;
    const again = await Listener.open(relay, { "Last-Event-ID": page.id });
    const { whole, messages } = await again.next();
    assert.deepEqual([whole, messages.map(({ id }) => id)], [false, [id]]);
    again.close();
    for (const strange of ["1.5", "", `${page.id}9999999999999999`, "x".repeat(2_000)]) {
      const other = await Listener.open(relay, { "Last-Event-ID": strange });
      assert.equal((await other.next()).whole, true, strange);
      other.close();
    }
  });

  it("is for 50 pages at most, and a place is free when a page goes", async () => {
    const relay = await start();
    const pages = await Promise.all(Array.from({ length: 50 }, () => Listener.open(relay)));
    const response = await fetch(`${relay.url}/status/events`);
    assert.equal(response.status, 503);
    await response.body?.cancel();
    for (const page of pages) page.close();
    for (;;) {
      const again = await fetch(`${relay.url}/status/events`);
      await again.body?.cancel();
      if (again.status === 200) break;
    }
  });

  it("tells of rows as they are kept, with a failure in place of its reason", async () => {
    const status = new Status({ maxMessages: 2, services: [] });
    const messageId = '<"reason":{"at":1},\\"ä\n@x.test>';
    const sent = { type: "sent", reply: reply(250, "2.0.0", "OK"), requestId: "r" } as const;
    const failure = { type: "refused", ambiguous: false, code: "X", detail: "no" } as const;
    const refused = { ...failure, reply: reply(550, "5.1.0", "no") };
    for (const [id, outcome] of [["1", sent], ["2", refused]] as const) {
      status.notify(submissionEvent(outcome, CLIENT, PRINCIPAL, { id, messageId }));
    }
    const reader = await eventsOf(status, {});
    const event = new TextDecoder().decode((await reader.read()).value);
    await reader.cancel();
    const { messages } = JSON.parse(/^data: (.*)$/m.exec(event)![1]!) as StatusView;
    const [first, second] = status.messages.since(0);
    assert.equal(first?.messageId, messageId);
    const { reason, ...kept } = second!;
    const explained = { at: reason!.at, code: "X", detail: "no" };
    assert.deepEqual(messages, [first, { ...kept, failure: explained }]);
  });

  it("leaves nothing of a page that has gone", async () => {
    const { signal } = new AbortController();
    let listening = 0;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    Object.assign(signal, {
      addEventListener: (...its: Parameters<typeof add>) => (listening++, add(...its)),
      removeEventListener: (...its: Parameters<typeof remove>) => (listening--, remove(...its)),
    });
    const reader = await eventsOf(new Status({ maxMessages: 1, services: [] }), { signal });
    await reader.read();
    assert.equal(listening, 1);
    await reader.cancel();
    await until(() => listening === 0);
  });

  it("ends when the relay stops", async () => {
    const relay = await start();
    const page = await Listener.open(relay);
    await page.next();
    await relay.stop();
    assert.ok(await page.ended());
  });
});

describe("the queue on the page", () => {
  const json = { "Content-Type": "application/json" };
  /** A message that Graph has refused for good. */
  async function giveUp(relay: TestRelay): Promise<string> {
    cloud.faults.add({ on: "sendMail", status: 400, code: "ErrorInvalidRecipients" });
    const client = await relay.authed();
    const [, id] = /queued as (\S+)/.exec(await client.send(FROM, TO))!;
    const page = await Listener.open(relay, { Authorization: BASIC });
    await page.until(({ overview: { queue } }) => queue?.dead === 1);
    page.close();
    return id!;
  }
  const change = (relay: TestRelay, action: string, id: string, headers = {}) =>
    fetch(`${relay.url}/status/queue/${action}`, {
      method: "POST",
      body: JSON.stringify({ id }),
      headers: { ...json, Origin: relay.url!, Authorization: BASIC, ...headers },
    });
  const list = async (relay: TestRelay, states = "held,dead") =>
    await (await fetch(`${relay.url}/status/queue?state=${states}`, {
      headers: { Authorization: BASIC },
    })).json() as QueueListing;

  it("lists messages without recipients, and the same message's row has its fate", async () => {
    const relay = await startWithQueue({ HTTP_PASSWORD: PASSWORD });
    const id = await giveUp(relay);
    const listing = await list(relay);
    assert.deepEqual(
      listing.messages.map((message) => [message.id, message.state, message.sender]),
      [
        [id, "dead", FROM],
      ],
    );
    assert.equal(listing.messages[0]?.code, "ErrorInvalidRecipients");
    assert.match(listing.messages[0]?.fix ?? "", /correct the recipient's address in the device/);
    assert.ok(!JSON.stringify(listing).includes(TO));
    assert.deepEqual((await list(relay, "queued")).messages, []);
    const { messages } = await data(relay, { Authorization: BASIC });
    assert.deepEqual(messages.map(({ id, fate }) => [id, fate]), [[id, "dead"]]);
  });

  it("sends a message again, and deletes another", async () => {
    const relay = await startWithQueue({ HTTP_PASSWORD: PASSWORD });
    const first = await giveUp(relay);
    const page = await Listener.open(relay, { Authorization: BASIC });
    const retried = await change(relay, "retry", first);
    assert.deepEqual([retried.status, await retried.json()], [200, { id: first, result: "done" }]);
    await page.until(({ messages }) =>
      messages.some(({ id, fate }) => id === first && fate === "sent")
    );
    page.close();
    assert.equal(cloud.inbox.list().length, 1);
    const second = await giveUp(relay);
    assert.equal((await change(relay, "delete", second)).status, 200);
    assert.deepEqual((await list(relay)).messages, []);
    const unknown = await change(relay, "delete", second);
    assert.deepEqual([unknown.status, (await unknown.json()).result], [409, "unknown"]);
    const what = (text: string) =>
      relay.linesOf(`Queued message ${text}: asked for on the status page`).map(({ id }) => id);
    assert.deepEqual([what("is tried again"), what("was deleted")], [[first], [second]]);
  });

  it("is changed by the relay's own page only, and by POST with an id", async () => {
    const relay = await startWithQueue({ HTTP_PASSWORD: PASSWORD });
    const id = await giveUp(relay);
    const refusals: readonly [Record<string, string>, number][] = [
      [{ Origin: "http://evil.example" }, 403],
      [{ Origin: "null" }, 403],
      [{ Origin: `${relay.url}.evil.example` }, 403],
      [{ Origin: `${relay.url}/` }, 403],
      [{ Origin: `https://${new URL(relay.url!).hostname}` }, 403],
      [{ Authorization: "Basic eDp5" }, 401],
      [{ "Content-Type": "text/plain" }, 400],
    ];
    for (const [headers, status] of refusals) {
      const response = await change(relay, "delete", id, headers);
      assert.equal(response.status, status, JSON.stringify(headers));
      await response.body?.cancel();
    }
    const { hostname, port } = new URL(relay.url!);
    const without = await new Promise<number>((resolve, reject) => {
      const body = JSON.stringify({ id });
      const headers = { ...json, Authorization: BASIC, "Content-Length": body.length };
      const options = { hostname, port, path: "/status/queue/delete", method: "POST", headers };
      request(options, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      }).on("error", reject).end(body);
    });
    assert.equal(without, 403, "without Origin");
    assert.equal((await change(relay, "delete", "../x")).status, 400);
    const got = await fetch(`${relay.url}/status/queue/delete`, {
      headers: { Authorization: BASIC },
    });
    assert.deepEqual([got.status, got.headers.get("allow")], [405, "POST"]);
    assert.equal((await list(relay)).messages.length, 1);
  });

  it("cannot be changed without HTTP_PASSWORD", async () => {
    const relay = await startWithQueue();
    const id = await giveUp(relay);
    assert.equal((await data(relay)).overview.mayChange, false);
    assert.equal((await change(relay, "delete", id)).status, 403);
    assert.equal((await list(relay)).messages.length, 1);
  });

  it("does not exist in direct mode", async () => {
    const relay = await start();
    assert.equal((await fetch(`${relay.url}/status/queue`)).status, 404);
    assert.equal((await data(relay)).overview.queue, undefined);
  });
});

describe("STATUS_MESSAGES", () => {
  it("is 500, or 0 for none", async () => {
    assert.equal(settingsOf({}).STATUS_MESSAGES, 500);
    const relay = await start({ STATUS_MESSAGES: "0" });
    const client = await relay.authed();
    await client.send(FROM, TO);
    const { messages, overview, devices } = await data(relay);
    assert.deepEqual([messages, overview.maxMessages, devices.length], [[], 0, 1]);
  });
});
