/** sendMail in MIME mode (https://learn.microsoft.com/graph/api/user-sendmail), on the wire. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import type { Context } from "hono";
import type { Outcome } from "../../src/delivery/outcome.ts";
import { type EntraRefusal, refusalFor, unreachable } from "../../src/entra/entra_errors.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient } from "../../src/http/client.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { closedPort } from "../support/raw_server.ts";
import { accountWith, fetchToken, MESSAGE, submissionOf, tokenOf } from "../support/submissions.ts";

let cloud: CloudServer;
let answerWith: ((context: Context) => Response) | undefined;
const http = new HttpClient();

before(async () => {
  cloud = await startCloud({ graph: { intercept: (context) => answerWith?.(context) } });
});
after(async () => {
  http.close();
  await cloud.close();
});

interface Sending {
  readonly sender?: string;
  readonly token?: Parameters<typeof accountWith>[0];
  readonly message?: readonly Uint8Array[];
  readonly requestLimit?: number;
  readonly endpoint?: URL;
  readonly timeout?: number;
  /** In place of the imitation's. */
  readonly answer?: (context: Context) => Response;
}

/** Sends one message, and tells the outcome and what became of the token. */
async function send(
  {
    sender = "ann@x.test",
    token,
    message = [MESSAGE],
    requestLimit = 4_000_000,
    endpoint = cloud.endpoint,
    timeout = 10_000,
    answer,
  }: Sending = {},
) {
  const backend = new GraphBackend({
    http,
    endpoint,
    timeout,
    requestLimit,
    concurrency: 4,
    pacingTimeout: 10_000,
    // Time for one try.
    deliveryTimeout: 400,
    largeMessages: "reject",
  });
  const account = accountWith(token ?? await fetchToken(cloud.authority));
  const requests = cloud.graph.requests;
  answerWith = answer;
  const outcome = await backend.send(submissionOf(account), sender, message);
  answerWith = undefined;
  return { outcome, events: account.events, requests: cloud.graph.requests - requests };
}

function line(outcome: Outcome): string {
  const { reply } = outcome;
  assert.equal(reply.enhanced?.[0], String(reply.code)[0]);
  return formatReply(reply);
}

describe("a message that Graph takes", () => {
  it("is sent once, and gets 250 2.0.0 with its id and Graph's request id", async () => {
    const { outcome, events, requests } = await send();
    assert(outcome.type === "sent");
    assert.match(line(outcome), /^250 2\.0\.0 .*id=0123456789abcdef\r\n$/);
    assert.match(outcome.requestId ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(events, ["confirmed"]);
    assert.equal(requests, 1);
  });

  it("arrives octet for octet", async () => {
    cloud.inbox.clear();
    const every = Uint8Array.from({ length: 256 }, (_, octet) => octet === 10 ? 11 : octet);
    const message = [MESSAGE, every, new Uint8Array(300_000).fill(65), every];
    const { outcome } = await send({ message });
    assert.equal(outcome.type, "sent", line(outcome));
    const stored = cloud.inbox.get(cloud.inbox.list()[0]!.id)!;
    assert.equal(Buffer.concat(message).equals(stored.raw), true);
  });

  const SENDERS = [
    "ann@x.test",
    "a+b@x.test",
    "o'neil@x.test",
    "ü@x.test",
    "a/b@x.test",
    "a?b#c@x.test",
    "a%2fb@x.test",
    "$a&b=c@x.test",
    "..@x.test",
    "a\\b@x.test",
  ];
  for (const sender of SENDERS) {
    it(`goes to the mailbox ${sender}, whatever its name means in a URL (RFC 3986 §2.1)`, async () => {
      const before = cloud.seen.length;
      const { outcome } = await send({ sender });
      assert.equal(outcome.type, "sent", line(outcome));
      const [newest] = cloud.inbox.list();
      assert.equal(cloud.inbox.get(newest!.id)!.mailbox, sender);
      const path = cloud.seen.at(-1)!.replace("POST ", "");
      assert.equal(path.split("/").length, "/graph/v1.0/users/x/sendMail".split("/").length);
      assert(!/[?#\\]/.test(path), path);
      assert.equal(cloud.seen.length, before + 2);
    });
  }

  it("is asked for as the API page says: POST, bearer token, text/plain, base64 of the MIME", async () => {
    const token = await fetchToken(cloud.authority);
    let seen: { method: string; path: string; headers: Headers; body: Promise<string> } | undefined;
    await send({
      token,
      answer(context) {
        const { method, path, raw } = context.req;
        seen = { method, path, headers: raw.headers, body: raw.clone().text() };
        return context.body(null, 202);
      },
    });
    assert(seen !== undefined);
    assert.equal(`${seen.method} ${seen.path}`, "POST /graph/v1.0/users/ann%40x.test/sendMail");
    assert.equal(seen.headers.get("authorization"), `Bearer ${token.value.reveal()}`);
    assert.equal(seen.headers.get("content-type"), "text/plain");
    assert.equal(await seen.body, MESSAGE.toString("base64"));
  });

  it("is sent also where GRAPH_ENDPOINT ends in a slash", async () => {
    const { outcome } = await send({ endpoint: new URL(`${cloud.endpoint}/`) });
    assert.equal(outcome.type, "sent");
  });
});

describe("a message that Graph does not take", () => {
  for (const status of [200, 201, 204]) {
    it(`is not sent for all that is known when the status is ${status}: only 202 is success`, async () => {
      const { outcome, events } = await send({
        answer: (context) => context.body(null, status as 200),
      });
      assert(outcome.type === "later");
      assert.equal(outcome.ambiguous, true);
      assert.match(line(outcome), /^451 4\.3\.0 .*may have been sent/);
      assert.deepEqual(events, []);
    });
  }

  for (const status of [401, 403] as const) {
    it(`lets go of the token on ${status}, so that a granted permission is seen soon`, async () => {
      const { events, requests } = await send({ answer: (context) => context.body(null, status) });
      assert.deepEqual(events, ["rejected"]);
      assert.equal(requests, 1);
    });
  }

  for (const status of [400, 404, 413, 429, 500, 503] as const) {
    it(`keeps the token on ${status}, and does not send again when time is short`, async () => {
      const { outcome, events, requests } = await send({
        answer: (context) => context.body(null, status, { "Retry-After": "0" }),
      });
      assert.notEqual(outcome.type, "sent");
      assert.deepEqual(events, []);
      assert.equal(requests, 1);
    });
  }

  it("is refused or put off by the reply's own class", async () => {
    const refused = await send({ answer: (context) => context.body(null, 404) });
    const later = await send({ answer: (context) => context.body(null, 429) });
    assert.deepEqual([refused.outcome.type, later.outcome.type], ["refused", "later"]);
  });

  it("gets 451 4.7.0 when the token is not known any more (InvalidAuthenticationToken)", async () => {
    const { outcome, events } = await send({ token: tokenOf("unknown") });
    assert.match(line(outcome), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    assert.deepEqual(events, ["rejected"]);
  });

  it("gets 451 4.4.1 when nobody listens: nothing was sent", async () => {
    const endpoint = new URL(`http://127.0.0.1:${await closedPort()}/`);
    const { outcome, events } = await send({ endpoint });
    assert(outcome.type === "later");
    assert.equal(outcome.ambiguous, false);
    assert.match(line(outcome), /^451 4\.4\.1 ECONNREFUSED: /);
    assert.deepEqual(events, []);
  });
});

describe("a message over GRAPH_REQUEST_LIMIT", () => {
  it("gets 552 5.3.4 with both numbers, and no request is made", async () => {
    const message = [new Uint8Array(3001)];
    const { outcome, requests } = await send({ message, requestLimit: 4000 });
    assert(outcome.type === "refused");
    assert.equal(outcome.ambiguous, false);
    assert.match(line(outcome), /^552 5\.3\.4 .*4004.*4000/);
    assert.equal(requests, 0);
  });

  it("is one whose base64 is over it: at the limit it is sent", async () => {
    const message = [MESSAGE, new Uint8Array(3000 - MESSAGE.length).fill(65)];
    const { outcome, requests } = await send({ message, requestLimit: 4000 });
    assert.equal(outcome.type, "sent");
    assert.equal(requests, 1);
  });
});

describe("a message whose account gets no token any more", () => {
  const cases:
    readonly (readonly [what: string, refusal: EntraRefusal, reply: RegExp, type: string])[] = [
      [
        "the secret has expired since",
        refusalFor({ status: 401, error: "invalid_client", numbers: [7000222] }),
        /^550 5\.7\.0 AADSTS7000222: /,
        "refused",
      ],
      [
        "Entra cannot be reached",
        unreachable("ECONNREFUSED", "refused"),
        /^451 4\.7\.0 ECONNREFUSED: /,
        "later",
      ],
    ];
  for (const [what, refusal, reply, type] of cases) {
    it(`is not sent when ${what}, and the reply says so`, async () => {
      const { outcome, requests, events } = await send({ token: refusal });
      assert.equal(outcome.type, type);
      assert(outcome.type !== "sent");
      assert.equal(outcome.ambiguous, false);
      assert.match(line(outcome), reply);
      assert.equal(requests, 0);
      assert.deepEqual(events, []);
    });
  }
});
