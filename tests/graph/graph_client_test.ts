/** The requests of one delivery: which are retried, when, and how often. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { describe, it } from "node:test";
import type { Authorization } from "../../src/accounts/account.ts";
import { type EntraRefusal, unreachable } from "../../src/entra/entra_errors.ts";
import type { AccessToken } from "../../src/entra/token.ts";
import {
  DeliveryClient,
  type GraphRequest,
  type GraphResult,
} from "../../src/graph/graph_client.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "../../src/http/client.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { tokenOf } from "../support/submissions.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { SCOPE } from "../support/logins.ts";
import { accountWith } from "../support/submissions.ts";

/** The result of a request, and how many milliseconds it takes. */
type Happening = (HttpResponse | HttpFailure) & { readonly takes?: number };

function answer(
  status: number,
  headers: Readonly<Record<string, string>> = {},
  code?: string,
): Happening {
  const text = code === undefined ? "" : JSON.stringify({ error: { code, message: "Words." } });
  return {
    type: "response",
    status,
    headers: new Map(Object.entries(headers)),
    body: Buffer.from(text),
  };
}

function failure(sent: boolean, code = "ECONNRESET", status?: number): Happening {
  return {
    type: "failure",
    sent,
    code,
    message: "words",
    ...(status === undefined ? {} : { status, headers: new Map([["request-id", "r-1"]]) }),
  };
}

interface Scene {
  /** The result of each request; the last one repeats. */
  readonly script: readonly Happening[];
  /** The account's answer to each call; the last one repeats. */
  readonly tokens?: readonly (AccessToken | EntraRefusal | Promise<never>)[];
  readonly call?: Partial<GraphRequest>;
  readonly expected?: readonly number[];
  readonly chance?: number;
  /** Milliseconds for the delivery, and for one request. */
  readonly time?: number;
  readonly timeout?: number;
}

interface Seen {
  readonly result: GraphResult;
  readonly requests: readonly HttpRequest[];
  readonly sleeps: readonly number[];
  readonly attempts: number;
  /** Calls about tokens, and the throttling reported to the mailbox. */
  readonly events: readonly string[];
  /** Milliseconds from the beginning to the end. */
  readonly took: number;
}

const FIRST = tokenOf("first");
const SECOND = tokenOf("second");

async function play(
  {
    script,
    tokens = [FIRST],
    call = {},
    expected = [202],
    chance = 0.5,
    time = 60_000,
    timeout = 30_000,
  }: Scene,
): Promise<Seen> {
  const clock = new FakeClock();
  clock.chance = chance;
  const begun = clock.now();
  const requests: HttpRequest[] = [];
  const events: string[] = [];
  const nameOf = (token: AccessToken) => token.value.reveal();
  let asked = 0;
  const authorization: Authorization = {
    ...accountWith(FIRST),
    token() {
      const token = tokens[Math.min(asked++, tokens.length - 1)]!;
      return "type" in token ? Promise.resolve(token) : token;
    },
    reject: (token) => void events.push(`rejected ${nameOf(token)}`),
    confirm: (token) => void events.push(`confirmed ${nameOf(token)}`),
  };
  const graph = new DeliveryClient({
    http: {
      request(request) {
        const next = script[Math.min(requests.length, script.length - 1)]!;
        requests.push(request);
        clock.pass(next.takes ?? 10);
        return Promise.resolve(next);
      },
    },
    authorization,
    scope: SCOPE,
    timeout,
    deadline: begun + time,
    clock,
    pace: {
      throttled: (wait) => void events.push(`throttled ${wait}`),
      accepted: () => void events.push("accepted"),
    },
  });
  const pending = graph.request({
    method: "POST",
    url: new URL("http://graph.test/v1.0/users/ann/sendMail"),
    headers: { "Content-Type": "text/plain" },
    body: { length: 4, parts: () => ["QUJD"] },
    authorized: true,
    submits: true,
    ...call,
  }, expected);
  // A wait for a token that does not come ends with an alarm.
  for (let i = 0; i < 10; i++) await Promise.resolve();
  if (clock.alarms > 0) clock.pass(time);
  const result = await pending;
  return {
    result,
    requests,
    sleeps: clock.sleeps,
    attempts: graph.attempts,
    events,
    took: clock.now() - begun,
  };
}

/** The reply's line and whether it is ambiguous, or `answer` and its status. */
function summaryOf({ result }: Seen): string {
  if (result.type === "response") return `answer ${result.response.status}`;
  const { reply, ambiguous, type } = result.outcome;
  assert.equal(type, reply.code < 500 ? "later" : "refused");
  const line = formatReply(reply).trimEnd();
  assert.equal(ambiguous, line.includes("may have been sent"), line);
  return line;
}

describe("a request that the service certainly did not accept", () => {
  const REPEATED: readonly (readonly [what: string, happening: Happening])[] = [
    ["no connection", failure(false, "ECONNREFUSED")],
    ["a connection that broke before the first octet", failure(false)],
    ["429", answer(429)],
    ["429 that Graph explains", answer(429, {}, "ApplicationThrottled")],
    ["503 with Retry-After", answer(503, { "retry-after": "1" })],
    ["503 with a throttling code", answer(503, {}, "ErrorServerBusy")],
  ];
  for (const [what, happening] of REPEATED) {
    it(`is retried: ${what}`, async () => {
      const seen = await play({ script: [happening, happening, answer(202)] });
      assert.equal(summaryOf(seen), "answer 202");
      assert.equal(seen.requests.length, 3);
      assert.equal(seen.attempts, 3);
      assert.equal(seen.sleeps.length, 2);
    });

    it(`is retried as well if it does not send: ${what}`, async () => {
      const call = { submits: false, authorized: false };
      const seen = await play({ script: [happening, answer(201)], call, expected: [201] });
      assert.equal(summaryOf(seen), "answer 201");
      assert.equal(seen.requests.length, 2);
      assert.equal(seen.attempts, 0);
    });
  }

  it("is retried until the delivery's time is over, and not after", async () => {
    const time = 60_000;
    for (const chance of [0.05, 0.5, 0.999]) {
      const seen = await play({ script: [failure(false, "ECONNREFUSED")], chance, time });
      assert.match(summaryOf(seen), /^451 4\.4\.1 ECONNREFUSED: /);
      assert(seen.took <= time, `${seen.took} ms`);
      assert(seen.took > time - 9_000, `${seen.took} ms`);
      assert(seen.requests.length < 250);
    }
  });

  it("ends with the last response", async () => {
    const seen = await play({ script: [failure(false), answer(429, {}, "ApplicationThrottled")] });
    assert.match(summaryOf(seen), /^451 4\.3\.2 ApplicationThrottled: /);
  });

  it("is not retried once another response is definite", async () => {
    const script = [answer(429), answer(400, {}, "ErrorMimeContentInvalid")];
    const seen = await play({ script });
    assert.match(summaryOf(seen), /^554 5\.6\.0 /);
    assert.equal(seen.requests.length, 2);
  });
});

describe("a request that sends and may have been accepted", () => {
  const ONCE: readonly (readonly [what: string, happening: Happening, reply: RegExp])[] = [
    ["500", answer(500), /^451 4\.3\.0 HTTP 500: /],
    ["500 with a throttling code", answer(500, {}, "ErrorServerBusy"), /^451 4\.3\.2 /],
    ["500 with Retry-After", answer(500, { "retry-after": "1" }), /^451 4\.3\.0 /],
    ["502", answer(502), /^451 4\.3\.0 /],
    ["503 with nothing", answer(503), /^451 4\.3\.0 /],
    ["503 of the mailbox", answer(503, {}, "ErrorMailboxMoveInProgress"), /^451 4\.3\.0 /],
    ["504 with Retry-After", answer(504, { "retry-after": "1" }), /^451 4\.3\.0 /],
    ["509 with Retry-After", answer(509, { "retry-after": "1" }), /^451 4\.3\.0 /],
    ["408", answer(408), /^451 4\.3\.0 /],
    ["200: only 202 says that it was taken", answer(200), /^451 4\.3\.0 HTTP 200: /],
    ["204", answer(204), /^451 4\.3\.0 /],
    ["a redirect, which is not followed", answer(307, { location: "/" }), /^451 4\.3\.0 /],
    ["a time-out", failure(true, "ETIMEDOUT"), /^451 4\.4\.2 ETIMEDOUT: /],
    ["a reset", failure(true, "ECONNRESET"), /^451 4\.4\.2 ECONNRESET: /],
    ["half an answer", failure(true, "TRUNCATED"), /^451 4\.4\.2 TRUNCATED: /],
    ["an answer that is none", failure(true, "MALFORMED"), /^451 4\.4\.2 MALFORMED: /],
    ["half an answer of status 500", failure(true, "TRUNCATED", 500), /^451 4\.4\.2 /],
    ["half an answer of status 200", failure(true, "TRUNCATED", 200), /^451 4\.4\.2 /],
  ];
  for (const [what, happening, reply] of ONCE) {
    it(`is made once, and the reply is ambiguous: ${what}`, async () => {
      const seen = await play({ script: [happening] });
      assert.match(summaryOf(seen), reply);
      assert(seen.result.type === "failed" && seen.result.outcome.ambiguous);
      assert.equal(seen.requests.length, 1);
      assert.equal(seen.attempts, 1);
    });

    if (happening.type === "response" && happening.status < 300) continue;
    it(`is made once without ambiguity if it does not send: ${what}`, async () => {
      const seen = await play({ script: [happening], call: { submits: false }, expected: [201] });
      // 4.4.2 is for messages that may have been sent.
      assert.match(summaryOf(seen), new RegExp(reply.source.replace("4\\.4\\.2", "4\\.4\\.1")));
      assert(seen.result.type === "failed" && !seen.result.outcome.ambiguous);
      assert.equal(seen.result.result, happening);
      assert.equal(seen.requests.length, 1);
    });
  }

  it("is made once also after unambiguous retries", async () => {
    const script = [answer(429), failure(false), failure(true)];
    const seen = await play({ script });
    assert.match(summaryOf(seen), /^451 4\.4\.2 /);
    assert.equal(seen.requests.length, 3);
  });
});

describe("a request that was accepted", () => {
  it("is not retried, not even if the 202 has a Retry-After", async () => {
    const seen = await play({ script: [answer(202, { "retry-after": "5" })] });
    assert.equal(summaryOf(seen), "answer 202");
    assert.equal(seen.requests.length, 1);
    assert.deepEqual(seen.sleeps, []);
    assert.deepEqual(seen.events, ["confirmed first", "accepted"]);
  });

  it("counts as accepted from the head of the 202 on, whatever happens to its body", async () => {
    const seen = await play({ script: [failure(true, "TRUNCATED", 202)] });
    assert.equal(summaryOf(seen), "answer 202");
    // Microsoft's support finds the request by this id.
    assert(seen.result.type === "response");
    assert.equal(seen.result.response.headers.get("request-id"), "r-1");
    assert.deepEqual(seen.events, ["confirmed first", "accepted"]);
  });

  it("needs its body if it does not send: the draft's name is in it", async () => {
    const call = { submits: false };
    for (const status of [201, 202]) {
      const script = [failure(true, "TRUNCATED", status)];
      const seen = await play({ script, call, expected: [201, 202] });
      assert.match(summaryOf(seen), /^451 4\.4\.1 TRUNCATED: .*was not sent$/);
      assert.deepEqual(seen.events, []);
    }
  });
});

describe("a request that the relay itself aborts", () => {
  it("is not retried", async () => {
    const seen = await play({ script: [failure(false, "ABORTED")] });
    assert.match(summaryOf(seen), /^451 4\.3\.2 ABORTED: .*being stopped$/);
    assert.equal(seen.requests.length, 1);
    const sent = await play({ script: [failure(true, "ABORTED")] });
    assert.match(summaryOf(sent), /^451 4\.4\.2 ABORTED: .*may have been sent/);
    assert.equal(sent.requests.length, 1);
  });
});

describe("a request to a service whose certificate is not trusted", () => {
  for (
    const code of [
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "CERT_HAS_EXPIRED",
      "CERT_NOT_YET_VALID",
      "ERR_TLS_CERT_ALTNAME_INVALID",
      "ENOCERTIFICATE",
    ]
  ) {
    it(`is not retried, because that will not change while a client waits: ${code}`, async () => {
      const seen = await play({ script: [failure(false, code)] });
      assert.match(
        summaryOf(seen),
        new RegExp(`^451 4\\.4\\.1 ${code}: .*certificate.*nothing was sent$`),
      );
      assert.equal(seen.requests.length, 1);
      assert.equal(seen.took, 10);
    });
  }
});

describe("a request that has not begun at a stop", () => {
  const call: GraphRequest = {
    method: "POST",
    url: new URL("http://graph.test/v1.0/users/ann/sendMail"),
    headers: {},
    authorized: true,
    submits: true,
  };
  function stoppable(token: () => ReturnType<Authorization["token"]>) {
    const stop = new AbortController();
    let requests = 0;
    const clock = new FakeClock();
    clock.patient = true;
    const graph = new DeliveryClient({
      http: { request: () => Promise.resolve((requests++, answer(202))) },
      authorization: { ...accountWith(FIRST), token },
      scope: SCOPE,
      timeout: 30_000,
      deadline: clock.now() + 60_000,
      clock,
      stop: stop.signal,
    });
    return { stop, graph, clock, requests: () => requests };
  }
  const summaryOf = (result: GraphResult) => {
    assert(result.type === "failed" && !result.outcome.ambiguous);
    return formatReply(result.outcome.reply).trimEnd();
  };

  it("is not begun: 451 4.3.2, nothing was sent", async () => {
    for (const sends of [true, false]) {
      const { stop, graph, requests } = stoppable(() => FIRST);
      stop.abort();
      assert.match(
        summaryOf(await graph.request({ ...call, submits: sends }, [202])),
        /^451 4\.3\.2 STOPPING: .*nothing was sent$/,
      );
      assert.equal(requests(), 0);
    }
  });

  it("is not begun while it waits for its token, nor waits for it any longer", async () => {
    const { stop, graph, clock, requests } = stoppable(() => new Promise(() => {}));
    const pending = graph.request(call, [202]);
    stop.abort();
    assert.match(summaryOf(await pending), /^451 4\.3\.2 STOPPING: /);
    assert.equal(requests(), 0);
    clock.pass(60_000);
    assert.equal(clock.alarms, 0);
  });

  it("ends a pause between two attempts", async () => {
    const { stop, graph, clock } = stoppable(() => FIRST);
    const pause = graph.pause(1000);
    assert.deepEqual(clock.sleeps, [750]);
    stop.abort();
    await pause;
  });
});

describe("a request that is refused", () => {
  for (const status of [400, 404, 405, 409, 413, 423]) {
    it(`is not retried: ${status}`, async () => {
      const seen = await play({ script: [answer(status, { "retry-after": "1" })] });
      assert(seen.result.type === "failed" && !seen.result.outcome.ambiguous);
      assert.equal(seen.requests.length, 1);
    });
  }
});

describe("a request whose token is refused", () => {
  const refused = answer(401, {}, "InvalidAuthenticationToken");

  it("is retried immediately with a new one", async () => {
    const seen = await play({ script: [refused, answer(202)], tokens: [FIRST, SECOND] });
    assert.equal(summaryOf(seen), "answer 202");
    assert.deepEqual(
      seen.requests.map(({ headers }) => headers["Authorization"]),
      ["Bearer first", "Bearer second"],
    );
    assert.deepEqual(seen.sleeps, []);
    assert.deepEqual(seen.events, ["rejected first", "confirmed second", "accepted"]);
  });

  it("is retried only once", async () => {
    const third = tokenOf("third");
    const seen = await play({ script: [refused], tokens: [FIRST, SECOND, third] });
    assert.match(summaryOf(seen), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    assert.equal(seen.requests.length, 2);
    assert.deepEqual(seen.events, ["rejected first", "rejected second"]);
  });

  it("is not retried with the same one", async () => {
    const seen = await play({ script: [refused] });
    assert.match(summaryOf(seen), /^451 4\.7\.0 /);
    assert.equal(seen.requests.length, 1);
  });

  it("ends with the login's failure when no new token is available", async () => {
    const gone = unreachable("ECONNREFUSED", "refused");
    const seen = await play({ script: [refused], tokens: [FIRST, gone] });
    assert.match(summaryOf(seen), /^451 4\.7\.0 ECONNREFUSED: /);
    assert.equal(seen.requests.length, 1);
  });

  it("is retried after throttling in between as well", async () => {
    const script = [answer(429), refused, answer(429), answer(202)];
    const seen = await play({ script, tokens: [FIRST, FIRST, SECOND] });
    assert.equal(summaryOf(seen), "answer 202");
    assert.equal(seen.requests.length, 4);
  });

  it("with 403 is retried immediately with a new one: the permission may be new", async () => {
    for (const code of ["ErrorAccessDenied", "ErrorSendAsDenied", undefined]) {
      const script = [answer(403, {}, code), answer(202)];
      const seen = await play({ script, tokens: [FIRST, SECOND] });
      assert.equal(summaryOf(seen), "answer 202");
      assert.equal(seen.requests.length, 2);
      assert.deepEqual(seen.sleeps, []);
      assert.deepEqual(seen.events, ["rejected first", "confirmed second", "accepted"]);
    }
  });

  it("with 403 twice ends with Graph's error, without a third attempt", async () => {
    for (const sends of [true, false]) {
      const seen = await play({
        script: [answer(403, {}, "ErrorSendAsDenied")],
        tokens: [FIRST, SECOND, tokenOf("third")],
        call: { submits: sends },
      });
      assert.match(summaryOf(seen), /^550 5\.7\.1 ErrorSendAsDenied: /);
      assert.equal(seen.requests.length, 2);
      assert.deepEqual(seen.events, ["rejected first", "rejected second"]);
    }
  });

  it("with 403 and 401 in turn is made twice, no more", async () => {
    const seen = await play({
      script: [answer(403, {}, "ErrorAccessDenied"), refused, answer(202)],
      tokens: [FIRST, SECOND, tokenOf("third")],
    });
    assert.match(summaryOf(seen), /^451 4\.7\.0 InvalidAuthenticationToken: /);
    assert.equal(seen.requests.length, 2);
  });

  it("with 403 is not retried with the same one: the reply is Graph's", async () => {
    const seen = await play({ script: [answer(403, {}, "ErrorAccessDenied")] });
    assert.match(summaryOf(seen), /^550 5\.7\.1 ErrorAccessDenied: /);
    assert.equal(seen.requests.length, 1);
  });

  it("with 403 may fail differently the second time, and is not retried then", async () => {
    const script = [answer(403), failure(true), answer(202)];
    const seen = await play({ script, tokens: [FIRST, SECOND] });
    assert.match(summaryOf(seen), /^451 4\.4\.2 /);
    assert.equal(seen.requests.length, 2);
  });

  it("never gets a token if its URL is a credential itself (upload URLs)", async () => {
    const seen = await play({ script: [refused], call: { authorized: false, submits: false } });
    assert.deepEqual(seen.requests.map(({ headers }) => headers), [{
      "Content-Type": "text/plain",
    }]);
    assert.deepEqual(seen.events, []);
  });
});

describe("the wait before a retry", () => {
  it("is Retry-After and a little more, so that not all retry together", async () => {
    const script = [
      answer(429, { "retry-after": "7" }),
      answer(503, { "retry-after": "Thu, 05 Nov 2026 06:07:25 GMT" }),
      answer(202),
    ];
    for (const chance of [0, 0.999]) {
      const { sleeps } = await play({ script, chance });
      assert(sleeps[0]! >= 7000 && sleeps[0]! <= 7700, String(sleeps[0]));
      // The response came 17 s before, less what had passed by then.
      const passed = 10 + sleeps[0]! + 10;
      assert(sleeps[1]! >= 17_000 - passed && sleeps[1]! <= 17_000 - passed + 1000);
    }
  });

  it("is random up to a bound that doubles, from 0.5 s to 8 s, without Retry-After", async () => {
    const seen = await play({ script: [answer(429)], chance: 0.999 });
    const bounds = seen.sleeps.map((time) => Math.round(time / 0.999));
    assert.deepEqual(bounds.slice(0, 7), [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    const half = await play({ script: [answer(429)], chance: 0.5 });
    assert.deepEqual(half.sleeps.slice(0, 3), [250, 500, 1000]);
  });

  it("does not stay zero: Retry-After 0 causes no storm of requests", async () => {
    const seen = await play({ script: [answer(429, { "retry-after": "0" })], chance: 0.5 });
    assert(seen.requests.length < 30, `${seen.requests.length} requests`);
  });

  it("that would pass the deadline is not begun: the reply is immediate", async () => {
    const seen = await play({ script: [answer(429, { "retry-after": "61" })] });
    assert.match(summaryOf(seen), /^451 4\.3\.2 /);
    assert.equal(seen.requests.length, 1);
    assert.equal(seen.took, 10);
    assert.deepEqual(seen.events, ["throttled 61000"]);
  });

  it("that leaves too little time is not begun: the retry would only be cut off", async () => {
    const script = [answer(429, { "retry-after": "9" }), answer(202)];
    const short = await play({ script, time: 9_400, chance: 0 });
    assert.match(summaryOf(short), /^451 4\.3\.2 /);
    const enough = await play({ script, time: 9_600, chance: 0 });
    assert.equal(summaryOf(enough), "answer 202");
  });

  it("is reported to the mailbox's limiter, with its length", async () => {
    const script = [
      answer(429, { "retry-after": "2" }),
      answer(429),
      failure(false),
      answer(504, { "retry-after": "3" }),
    ];
    const { events } = await play({ script });
    assert.deepEqual(events, ["throttled 2000", "throttled undefined", "throttled 3000"]);
  });
});

describe("a request's own time", () => {
  it("is GRAPH_HTTP_TIMEOUT, or what the delivery has left", async () => {
    const slow = { ...failure(false, "ETIMEDOUT"), takes: 30_000 };
    const seen = await play({ script: [slow], time: 50_000, timeout: 30_000, chance: 0 });
    assert.deepEqual(seen.requests.map(({ timeout }) => timeout), [30_000, 20_000]);
  });

  it("does not begin after the deadline: nothing was sent", async () => {
    const seen = await play({ script: [answer(202)], time: 0 });
    assert.match(summaryOf(seen), /^451 4\.4\.1 DELIVERY_TIMEOUT: /);
    assert.equal(seen.requests.length, 0);
    assert.equal(seen.attempts, 0);
  });

  it("does not begin when the token comes too late", async () => {
    const tokens = [new Promise<never>(() => {})];
    const seen = await play({ script: [answer(202)], tokens, time: 5_000 });
    assert.match(summaryOf(seen), /^451 4\.4\.1 DELIVERY_TIMEOUT: /);
    assert.equal(seen.requests.length, 0);
    assert.equal(seen.took, 5_000);
  });

  it("is not begun by one that sends with less than 0.5 s left: it would be cut off", async () => {
    const cases:
      readonly (readonly [time: number, token: number, submits: boolean, made: number])[] = [
        [10_000, 9_600, true, 0],
        [10_000, 9_400, true, 1],
        [10_000, 9_600, false, 1],
        // If there is less in all, half of it is enough.
        [400, 0, true, 1],
        [400, 250, true, 0],
      ];
    for (const [time, token, submits, made] of cases) {
      const clock = new FakeClock();
      let requests = 0;
      const graph = new DeliveryClient({
        http: { request: () => Promise.resolve((requests++, answer(202))) },
        authorization: {
          ...accountWith(FIRST),
          token() {
            clock.pass(token);
            return FIRST;
          },
        },
        scope: SCOPE,
        timeout: 30_000,
        deadline: clock.now() + time,
        clock,
      });
      const result = await graph.request({
        method: "POST",
        url: new URL("http://graph.test/v1.0/users/ann/sendMail"),
        headers: {},
        authorized: true,
        submits,
      }, [202]);
      assert.equal(requests, made, `${time} ms, ${token} ms for the token`);
      if (made > 0) continue;
      assert(result.type === "failed" && !result.outcome.ambiguous);
      assert.match(formatReply(result.outcome.reply), /^451 4\.4\.1 DELIVERY_TIMEOUT: .*nothing/);
    }
  });
});
