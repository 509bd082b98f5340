/**
 * Faults of Graph and of the network, over real sockets: the reply, the number of requests,
 * and that no message is sent twice or reported as sent when it was not.
 */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import type { ServiceOutcome } from "../../src/delivery/delivery.ts";
import { GraphBackend } from "../../src/graph/backend.ts";
import { HttpClient } from "../../src/http/client.ts";
import { formatReply } from "../../src/smtp/reply.ts";
import { closedPort, type RawConnection, startRawServer } from "../support/raw_server.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { accountWith, attemptOf, mailOf, MESSAGE, tokenOf } from "../support/submissions.ts";
import { GRAPH_OPTIONS } from "./options.ts";

/** Handles one request: the `nth` of its connection, from 1. */
type Act = (connection: RawConnection, nth: number) => void | Promise<void>;

/** Milliseconds for one request, in tests of its timeout. */
const SHORT = 300;
const LARGE = 2_000_000;

const http = new HttpClient();
after(() => http.close());

interface Scene {
  /** Handles each request; the last one also handles all that follow. */
  readonly script: readonly Act[];
  readonly timeout?: number;
  /** Milliseconds for the delivery's waits, which the fake clock skips. */
  readonly time?: number;
  /** Octets of the message. */
  readonly size?: number;
  readonly secure?: boolean;
}

interface Seen {
  readonly outcome: ServiceOutcome;
  /** Requests that began, and those that arrived whole. */
  readonly begun: number;
  readonly whole: number;
  readonly sleeps: readonly number[];
}

/** Sends one message. The fake clock skips waits; the sockets take real time. */
async function play(
  { script, timeout = 10_000, time = 60_000, size = MESSAGE.length, secure = false }: Scene,
): Promise<Seen> {
  let begun = 0;
  const server = await startRawServer(async (connection) => {
    for (let nth = 1;; nth++) {
      const before = connection.requests.reduce((sum, { length }) => sum + length, 0);
      await connection.until(() => connection.received.length > before);
      await script[Math.min(begun++, script.length - 1)]!(connection, nth);
      // Without a whole request the connection is at its end.
      if (connection.requests.length < nth) return;
    }
  });
  const clock = new FakeClock();
  const backend = new GraphBackend({
    http,
    endpoint: new URL(`${secure ? "https" : "http"}://127.0.0.1:${server.port}`),
    ...GRAPH_OPTIONS,
    timeout,
    deliveryTimeout: time,
    clock,
  });
  const account = accountWith(tokenOf("a token"));
  const message = size === MESSAGE.length
    ? [MESSAGE]
    : [MESSAGE, new Uint8Array(size - MESSAGE.length).fill(65)];
  try {
    const outcome = await backend.deliver(mailOf("ann@x.test", message), attemptOf(account));
    const whole = server.connections.reduce((sum, { requests }) => sum + requests.length, 0);
    // A mailbox that was throttled is remembered until Retry-After is over.
    clock.pass(600_000);
    assert.equal(backend.activeMailboxes, 0);
    return { outcome, begun, whole, sleeps: clock.sleeps };
  } finally {
    await server.close();
  }
}

/** The reply's line. Asserts that it is ambiguous if, and only if, its text says so. */
function summaryOf(outcome: ServiceOutcome): string {
  const line = formatReply(outcome.reply).trimEnd();
  if (outcome.type === "sent") {
    assert.equal(line, "250 2.0.0 OK id=0123456789abcdef");
    return line;
  }
  assert.equal(outcome.ambiguous, line.includes("may have been sent"), line);
  assert.equal(outcome.type, outcome.reply.code < 500 ? "later" : "refused");
  return line;
}

/** Reads the request, and responds. */
function answering(
  status: number,
  body: unknown = "",
  headers: Readonly<Record<string, string>> = {},
): Act {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return async (connection, nth) => {
    await connection.request(nth);
    connection.write(
      `HTTP/1.1 ${status} X\r\n${fields}Content-Length: ${text.length}\r\n\r\n${text}`,
    );
  };
}

function graphError(code: string, message = "Words.") {
  return { error: { code, message, innerError: { date: "x", "request-id": "y" } } };
}

const TAKING = answering(202);
const HTML = "<!DOCTYPE html><html><body><h1>502 Bad Gateway</h1></body></html>";
const HTML_TYPE = { "Content-Type": "text/html" };

/** How often a request is made if the fault lasts. */
type Times = "once" | "again";

/** Each known error of Graph's mail API, with its HTTP status. */
const ANSWERS: readonly (readonly [
  what: string,
  act: Act,
  reply: string,
  times: Times,
  ambiguous?: "ambiguous",
])[] = [
  ...([
    [400, "ErrorMimeContentInvalid", "554 5.6.0"],
    [400, "ErrorMimeContentInvalidBase64String", "554 5.6.0"],
    [400, "ErrorContentConversionFailed", "554 5.6.0"],
    [400, "ErrorInvalidRecipients", "550 5.1.3"],
    [400, "ErrorInvalidSmtpAddress", "550 5.1.3"],
    [413, "RequestEntityTooLarge", "552 5.3.4"],
    [400, "ErrorMessageSizeExceeded", "552 5.2.3"],
    [403, "ErrorAccessDenied", "550 5.7.1"],
    [403, "ErrorSendAsDenied", "550 5.7.1"],
    [404, "ErrorInvalidUser", "550 5.1.0"],
    [404, "ResourceNotFound", "550 5.1.0"],
    [404, "MailboxNotEnabledForRESTAPI", "550 5.1.0"],
    [404, "ErrorItemNotFound", "550 5.1.0"],
    [403, "ErrorAccountDisabled", "550 5.2.1"],
    [403, "ErrorQuotaExceeded", "452 4.2.2"],
    [403, "ErrorSubmissionQuotaExceeded", "451 4.3.2"],
    [401, "InvalidAuthenticationToken", "451 4.7.0"],
    [401, "NoPermissionsInAccessToken", "550 5.7.1"],
    [405, "Request_BadRequest", "554 5.3.5"],
    [415, "RequestUnsupported", "554 5.3.5"],
  ] as const).map(([status, code, reply]) =>
    [`${status} ${code}`, answering(status, graphError(code)), reply, "once"] as const
  ),
  [
    "400 about 4 MB",
    answering(400, graphError("BadRequest", "The maximum request length supported is 4MB.")),
    "552 5.3.4",
    "once",
  ],
  ...["ApplicationThrottled", "ErrorServerBusy", "CommandConcurrencyLimitReached"].flatMap(
    (code) =>
      [429, 503].map((status) =>
        [
          `${status} ${code}`,
          answering(status, graphError(code), { "Retry-After": "1" }),
          "451 4.3.2",
          "again",
        ] as const
      ),
  ),
  ["429 without Retry-After", answering(429), "451 4.3.2", "again"],
  ["429 with Retry-After 0", answering(429, "", { "Retry-After": "0" }), "451 4.3.2", "again"],
  ["503 with Retry-After", answering(503, HTML, { "Retry-After": "5" }), "451 4.3.0", "again"],
  [
    "429 with Retry-After behind the deadline",
    answering(429, "", { "Retry-After": "300" }),
    "451 4.3.2",
    "once",
  ],
  ...([
    [500, "ErrorInternalServerTransientError"],
    [500, "ErrorInternalServerError"],
    [503, "ErrorMailboxStoreUnavailable"],
    [503, "ErrorMailboxMoveInProgress"],
    [504, "ErrorTimeoutExpired"],
    [504, "UnknownError"],
    [509, "BandwidthLimitExceeded"],
  ] as const).map(([status, code]) =>
    [
      `${status} ${code}`,
      answering(status, graphError(code)),
      "451 4.3.0",
      "once",
      "ambiguous",
    ] as const
  ),
  [
    "504 with Retry-After",
    answering(504, "", { "Retry-After": "1" }),
    "451 4.3.0",
    "once",
    "ambiguous",
  ],
  ["200, which is not 202", answering(200), "451 4.3.0", "once", "ambiguous"],
  ["200 with HTML", answering(200, HTML, HTML_TYPE), "451 4.3.0", "once", "ambiguous"],
  ["502 with HTML", answering(502, HTML, HTML_TYPE), "451 4.3.0", "once", "ambiguous"],
  ["403 with HTML, of a proxy", answering(403, HTML, HTML_TYPE), "550 5.7.1", "once"],
  ["500 with half a JSON", answering(500, '{"error":{"co'), "451 4.3.0", "once", "ambiguous"],
  ...[301, 302, 303, 307, 308].map((status) =>
    [
      `a redirect (${status})`,
      answering(status, "", { Location: "/v1.0/elsewhere" }),
      "451 4.3.0",
      "once",
      "ambiguous",
    ] as const
  ),
];

describe("a response from Graph", () => {
  for (const [what, act, reply, times, doubt] of ANSWERS) {
    it(`${what}: ${reply}, made ${times}${doubt ? ", may have been sent" : ""}`, async () => {
      const lasting = await play({ script: [act] });
      assert(summaryOf(lasting.outcome).startsWith(`${reply} `), summaryOf(lasting.outcome));
      assert(lasting.outcome.type !== "sent");
      assert.equal(lasting.outcome.ambiguous, doubt !== undefined);
      assert.equal(lasting.whole, lasting.begun);
      if (times === "once") {
        assert.equal(lasting.begun, 1);
        assert.equal(lasting.outcome.attempts, undefined);
      } else {
        assert(lasting.begun > 5, `${lasting.begun} requests`);
        assert(lasting.begun < 60, `${lasting.begun} requests`);
        assert.equal(lasting.outcome.attempts, lasting.begun);
      }

      // Temporary faults are retried if nothing was accepted.
      const passing = await play({ script: [act, TAKING] });
      assert.equal(passing.outcome.type === "sent", times === "again");
      assert.equal(passing.whole, times === "again" ? 2 : 1);
    });
  }

  it("202 is final, whatever else it contains", async () => {
    const OTHERS: readonly Act[] = [
      answering(202, "", { "Retry-After": "10" }),
      answering(202, graphError("ErrorServerBusy")),
      answering(202, HTML, HTML_TYPE),
      async (connection) => {
        await connection.request();
        connection.write(
          "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
        );
        connection.write("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");
      },
      async (connection) => {
        await connection.request();
        connection.write("HTTP/1.1 202 Accepted\r\nConnection: close\r\n\r\n");
        connection.socket.end();
      },
    ];
    for (const act of OTHERS) {
      const { outcome, whole } = await play({ script: [act] });
      assert.equal(outcome.type, "sent", summaryOf(outcome));
      assert.equal(whole, 1);
    }
  });

  it("413 counts when it arrives before the message has left", async () => {
    const { outcome } = await play({
      script: [async (connection) => {
        await connection.until(() => connection.received.length > 1000);
        connection.write("HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        await connection.ended();
      }],
      size: LARGE,
    });
    assert.match(summaryOf(outcome), /^552 5\.3\.4 HTTP 413: /);
  });
});

const reset: Act = ({ socket }) => void socket.resetAndDestroy();
const close: Act = ({ socket }) => void socket.end();

/** Writes `text` once the request is here, then does `end`. */
function writing(text: string, end: Act): Act {
  return async (connection, nth) => {
    await connection.request(nth);
    connection.socket.write(text, "latin1", () => void end(connection, nth));
  };
}

/** Sends the octets one by one, slower than any timeout. */
function dripping(text: string): Act {
  return async (connection, nth) => {
    await connection.request(nth);
    for (const octet of text) {
      if (connection.socket.destroyed) return;
      connection.write(octet);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
}

const silent: Act = () => new Promise(() => {});
const ACCEPTED = "HTTP/1.1 202 Accepted\r\nrequest-id: r-1\r\n";

/** Faults of a request in transit, and the reply; there is never a second request. */
const NETWORK: readonly (readonly [
  what: string,
  act: Act,
  reply: RegExp,
  scene?: Omit<Scene, "script">,
])[] = [
  ["a reset before the body", reset, /^451 4\.4\.2 /, { size: LARGE }],
  [
    "a reset in the middle of the body",
    async (connection, nth) => {
      await connection.until(() => connection.received.length > 100_000);
      await reset(connection, nth);
    },
    /^451 4\.4\.2 /,
    { size: LARGE },
  ],
  ["a reset after the body", writing("", reset), /^451 4\.4\.2 /],
  ["a close after the body", writing("", close), /^451 4\.4\.2 /],
  ["a black hole", silent, /^451 4\.4\.2 ETIMEDOUT: /, { timeout: SHORT }],
  [
    "a black hole in the middle of the body",
    ({ socket }) => {
      socket.pause();
    },
    /^451 4\.4\.2 ETIMEDOUT: /,
    { timeout: SHORT, size: LARGE },
  ],
  [
    "an answer drop by drop",
    dripping("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
    /^451 4\.4\.2 ETIMEDOUT: /,
    { timeout: SHORT },
  ],
  ["a truncated status line", writing("HTTP/1.1 202 Acc", close), /^451 4\.4\.2 TRUNCATED: /],
  ["a truncated head", writing(ACCEPTED, close), /^451 4\.4\.2 TRUNCATED: /],
  ["a reset in the head", writing(ACCEPTED, reset), /^451 4\.4\.2 /],
  [
    "a truncated body",
    writing("HTTP/1.1 500 X\r\nContent-Length: 100\r\n\r\n{", close),
    /^451 4\.4\.2 TRUNCATED: /,
  ],
  [
    "a truncated body of a refusal",
    writing('HTTP/1.1 403 X\r\nContent-Length: 100\r\n\r\n{"error":', close),
    /^451 4\.4\.2 TRUNCATED: /,
  ],
  [
    "a broken chunk",
    writing("HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n", silent),
    /^451 4\.4\.2 MALFORMED: /,
  ],
  ["something that is not HTTP", writing("SSH-2.0-OpenSSH_9.6\r\n\r\n", silent), /MALFORMED: /],
  ["HTML without a head", writing(`${HTML}\r\n\r\n`, silent), /^451 4\.4\.2 MALFORMED: /],
  [
    "an answer that does not end",
    writing(`HTTP/1.1 500 X\r\nContent-Length: 999999999\r\n\r\n`, silent),
    /^451 4\.4\.2 TOOLONG: /,
  ],
];

describe("the network", () => {
  for (const [what, act, reply, scene] of NETWORK) {
    it(`may have delivered a message in spite of ${what}: it is not sent again`, async () => {
      const { outcome, begun } = await play({ ...scene, script: [act, TAKING] });
      assert(outcome.type === "later", summaryOf(outcome));
      assert.match(summaryOf(outcome), reply);
      assert.equal(outcome.ambiguous, true);
      assert.equal(outcome.attempts, undefined);
      assert.equal(begun, 1);
    });
  }

  it("may cut off the body of a 202: the message is sent", async () => {
    const HEAD = `${ACCEPTED}Content-Length: 100\r\n\r\n`;
    const cases: readonly Scene[] = [
      { script: [writing(HEAD, close)] },
      { script: [writing(HEAD, reset)] },
      { script: [writing(`${HEAD}{`, close)] },
      { script: [writing(HEAD, silent)], timeout: SHORT },
    ];
    for (const scene of cases) {
      const { outcome, whole } = await play({ ...scene, script: [...scene.script, TAKING] });
      assert.equal(outcome.type, "sent", summaryOf(outcome));
      assert.equal(whole, 1);
    }
  });

  it("delivers nothing when no server listens: 451 4.4.1 when the time is over", async () => {
    const clock = new FakeClock();
    const backend = new GraphBackend({
      http,
      endpoint: new URL(`http://127.0.0.1:${await closedPort()}`),
      ...GRAPH_OPTIONS,
      clock,
    });
    const attempt = attemptOf(accountWith(tokenOf("a token")));
    const outcome = await backend.deliver(mailOf("ann@x.test"), attempt);
    assert.match(summaryOf(outcome), /^451 4\.4\.1 ECONNREFUSED: /);
    assert(outcome.type === "later" && (outcome.attempts ?? 0) > 5);
    assert.equal(clock.sleeps.length, outcome.attempts! - 1);
  });

  it("delivers nothing before the TLS handshake is done: that is retried", async () => {
    const cases: readonly (readonly [what: string, act: Act])[] = [
      ["a close", close],
      ["a reset", reset],
      ["something else than TLS", ({ socket }) => void socket.end("220 mail.test ESMTP\r\n")],
      ["a black hole", silent],
    ];
    for (const [what, act] of cases) {
      const { outcome, begun } = await play({
        script: [act],
        secure: true,
        timeout: SHORT,
        time: 3000,
      });
      assert.match(summaryOf(outcome), /^451 4\.4\.1 /, what);
      assert(outcome.type === "later" && !outcome.ambiguous, what);
      assert.equal(begun, 4, `${what}: ${begun} connections`);
      assert.equal(outcome.attempts, begun);
    }
  });

  it("may fail first and then throttle: each fault is judged on its own", async () => {
    const script = [answering(429), answering(503, "", { "Retry-After": "1" }), TAKING];
    const { outcome, whole } = await play({ script });
    assert.equal(summaryOf(outcome), "250 2.0.0 OK id=0123456789abcdef");
    assert.equal(outcome.attempts, 3);
    assert.equal(whole, 3);
    const doubtful = await play({ script: [answering(429), writing("", reset), TAKING] });
    assert.match(summaryOf(doubtful.outcome), /^451 4\.4\.2 /);
    assert.equal(doubtful.whole, 2);
  });
});
