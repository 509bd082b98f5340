/** sendMail in MIME mode (https://learn.microsoft.com/graph/api/user-sendmail), on the wire. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { after, before, describe, it } from "node:test";
import type { Context } from "hono";
import type { Outcome } from "../../src/delivery/delivery.ts";
import { type EntraRefusal, refusalFor, unreachable } from "../../src/entra/entra_errors.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { base64Body } from "../../src/graph/base64_body.ts";
import { DeliveryClient } from "../../src/graph/graph_client.ts";
import { sendMail } from "../../src/graph/send_mail.ts";
import { HttpClient } from "../../src/http/client.ts";
import { ServiceUrl } from "../../src/http/service_url.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { type CloudServer, startCloud } from "../support/cloud.ts";
import { SCOPE } from "../support/logins.ts";
import { closedPort } from "../support/raw_server.ts";
import {
  accountWith,
  attemptOf,
  fetchToken,
  mailOf,
  MESSAGE,
  tokenOf,
} from "../support/submissions.ts";
import { GRAPH_OPTIONS } from "./options.ts";

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
  readonly endpoint?: URL;
  /** Instead of the simulated one's. */
  readonly answer?: (context: Context) => Response;
}

/** Sends one message. @returns the outcome, and the calls about the token */
async function send(
  {
    sender = "ann@x.test",
    token,
    message = [MESSAGE],
    endpoint = cloud.endpoint,
    answer,
  }: Sending = {},
) {
  const account = accountWith(token ?? await fetchToken(cloud.authority));
  const graph = new DeliveryClient({
    http,
    scope: SCOPE,
    authorization: account,
    timeout: 10_000,
    // Time for one attempt.
    deadline: performance.now() + 400,
  });
  const requests = cloud.graph.requests;
  answerWith = answer;
  const body = base64Body(message);
  const service = new ServiceUrl(endpoint);
  const outcome = await sendMail(graph, { service, sender, body, id: "0123456789abcdef" });
  answerWith = undefined;
  return { outcome, events: account.events, requests: cloud.graph.requests - requests };
}

function line(outcome: Outcome): string {
  const { reply } = outcome;
  assert.equal(reply.enhanced?.[0], String(reply.code)[0]);
  return formatReply(reply);
}

describe("a message that Graph accepts", () => {
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

  it("is sent as the API page says: POST, bearer token, text/plain, base64 of the MIME", async () => {
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
});

describe("a message that Graph does not accept", () => {
  for (const status of [200, 201, 204]) {
    it(`is not reported as sent when the status is ${status}: only 202 is success`, async () => {
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
    it(`drops the token on ${status}, so that a granted permission is noticed soon`, async () => {
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

  it("is refused or deferred by the reply's class", async () => {
    const refused = await send({ answer: (context) => context.body(null, 404) });
    const later = await send({ answer: (context) => context.body(null, 429) });
    assert.deepEqual([refused.outcome.type, later.outcome.type], ["refused", "later"]);
  });

  it("gets 451 4.7.0 when the token is no longer valid (InvalidAuthenticationToken)", async () => {
    const { outcome, events } = await send({ token: tokenOf("unknown") });
    assert.match(line(outcome), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    assert.deepEqual(events, ["rejected"]);
  });

  it("gets 451 4.4.1 when no server listens: nothing was sent", async () => {
    const endpoint = new URL(`http://127.0.0.1:${await closedPort()}/`);
    const { outcome, events } = await send({ endpoint });
    assert(outcome.type === "later");
    assert.equal(outcome.ambiguous, false);
    assert.match(line(outcome), /^451 4\.4\.1 ECONNREFUSED: /);
    assert.deepEqual(events, []);
  });
});

describe("a message to a Graph with a limit and an address", () => {
  /** Delivers one message by the whole backend. @returns also the body's length, 0 for no request */
  async function deliver(requestLimit: number, base = cloud.endpoint) {
    let length = 0;
    const backend = new GraphBackend({
      ...GRAPH_OPTIONS,
      http: {
        request(request) {
          length = request.body?.length ?? 0;
          return http.request(request);
        },
      },
      endpoint: base,
      requestLimit,
    });
    const account = accountWith(await fetchToken(cloud.authority));
    const outcome = await backend.deliver(mailOf("ann@x.test"), attemptOf(account));
    return { outcome, length };
  }

  it("gets 552 5.3.4 with both numbers, and no request is made", async () => {
    const { length } = await deliver(4_000_000);
    const limit = length - 1;
    const { outcome, length: none } = await deliver(limit);
    assert(outcome.type === "refused");
    assert.equal(outcome.ambiguous, false);
    assert.match(line(outcome), new RegExp(`^552 5\\.3\\.4 .*${length}.*${limit}`));
    assert.equal(none, 0);
  });

  it("is refused if its base64 is over the limit, and sent at the limit", async () => {
    const { length } = await deliver(4_000_000);
    const { outcome, length: same } = await deliver(length);
    assert.equal(outcome.type, "sent");
    assert.equal(same, length);
  });

  it("is sent also if GRAPH_ENDPOINT ends in a slash", async () => {
    const { outcome } = await deliver(4_000_000, new URL(`${cloud.endpoint}/`));
    assert.equal(outcome.type, "sent");
  });
});

describe("a message whose account no longer gets a token", () => {
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
