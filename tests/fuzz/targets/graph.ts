// Graph's answers to a delivery, small or by way of a draft with an upload session: any statuses,
// headers and bodies. What comes of them is one reply in one line, and never a second mail.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { GraphBackend } from "../../../src/graph/backend.ts";
import type { HttpFailure, HttpRequest, HttpResponse } from "../../../src/http/client.ts";
import { createLog } from "../../support/log.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { TOKEN } from "../../graph/upload_client.ts";
import { FakeClock } from "../../support/fake_clock.ts";
import { assertWellFormed } from "../../smtp/driver.ts";
import { GRAPH_OPTIONS } from "../../graph/options.ts";
import { accountWith, attemptOf, mailOf, MESSAGE, tokenOf } from "../../support/submissions.ts";
import { Input, type Target, UNPRINTABLE } from "../engine/target.ts";

const STATUSES = [
  200,
  201,
  202,
  204,
  301,
  307,
  400,
  401,
  403,
  404,
  408,
  409,
  413,
  416,
  429,
  500,
  503,
];
const FAILURES = [
  "ECONNREFUSED",
  "ETIMEDOUT",
  "TRUNCATED",
  "MALFORMED",
  "TOOLONG",
  "EARLY",
  "PROXY_407",
];
const HEADERS = ["retry-after", "request-id", "date", "location", "content-type"];
/** Where an upload may go: the clouds' Outlook. */
const OUTLOOK =
  /^https:\/\/(?:outlook\.office(?:365)?\.com|outlook(?:-dod)?\.office365\.us|webmail\.apps\.mil|partner\.outlook\.cn)$/;
/** Requests of one delivery at most: more would be one without an end. */
const MAX_REQUESTS = 200;

/** A message over the request limit, with an attachment for an upload session. */
const LARGE = Buffer.from(
  "From: ann@x.test\r\nTo: bea@x.test\r\nMIME-Version: 1.0\r\n" +
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee below.\r\n--b\r\n" +
    "Content-Type: application/pdf; name=s.pdf\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
    `${"x".repeat(78).concat("\r\n").repeat(52_000)}\r\n--b--\r\n`,
);
const LIMIT = 100_000;

/** What the service does with one request. */
function nextResult(input: Input): HttpResponse | HttpFailure {
  const kind = input.byte();
  if (kind % 16 === 15) {
    const sent = input.flag();
    const code = input.pick(FAILURES);
    const message = input.until(0xff).toString("utf8");
    const head = input.below(4) === 0
      ? { status: input.pick(STATUSES), headers: new Map<string, string>() }
      : {};
    return { type: "failure", sent, code, message, ...head };
  }
  const status = kind % 16 === 14 ? 100 + input.below(900) : input.pick(STATUSES);
  const headers = new Map<string, string>();
  for (let count = input.below(3); count > 0; count--) {
    // The client gives values without the line ends around them.
    headers.set(input.pick(HEADERS), input.until(0xff).toString("latin1").trim());
  }
  return { type: "response", status, headers, body: input.until(0xff) };
}

/** Whether the message may be on its way after this request. */
function sends({ method, url }: HttpRequest): boolean {
  return method === "POST" && /\/(?:sendMail|send)$/.test(url.pathname);
}

/**
 * Whether the service may have taken the message. A 503 that throttles says no, another may mean
 * both: which one it is, the tests of `classifyResponse` say.
 */
function doubtful(result: HttpResponse | HttpFailure): boolean | "perhaps" {
  if (result.type === "failure") return result.sent;
  const { status } = result;
  return status === 503 ? "perhaps" : status < 400 || status === 408 || status >= 500;
}

async function deliver(input: Input, large: boolean): Promise<void> {
  const requests: HttpRequest[] = [];
  let taken = 0;
  let doubt = false as boolean | "perhaps";
  const clock = new FakeClock();
  const backend = new GraphBackend({
    http: {
      request(request) {
        requests.push(request);
        assert.ok(requests.length <= MAX_REQUESTS, "requests without an end");
        const graph = request.url.host === "graph.test";
        if (!graph) {
          assert.match(request.url.origin, OUTLOOK, "an upload to a stranger");
          assert.ok(!JSON.stringify(request.headers).includes(TOKEN), "a token for a stranger");
        }
        if (!large) { for (const part of request.body?.parts() ?? []) void part; }
        const result = nextResult(input);
        if (sends(request)) {
          assert.ok(graph);
          assert.equal(taken, 0, "sent again after it was taken");
          assert.notEqual(doubt, true, "sent again after it may have been taken");
          if (result.status === 202) taken++;
          else doubt = doubtful(result);
        }
        clock.pass(1);
        return Promise.resolve(result);
      },
    },
    endpoint: new URL("https://graph.test/"),
    ...GRAPH_OPTIONS,
    timeout: 30_000,
    requestLimit: LIMIT,
    largeMessages: "upload",
    clock,
  });
  const submission = mailOf("ann@x.test", large ? [LARGE] : [MESSAGE]);
  const outcome = await backend.deliver(submission, attemptOf(accountWith(tokenOf(TOKEN))));
  // A mailbox that has to wait pauses for that long.
  clock.pass(600_000);
  assert.equal(backend.activeMailboxes, 0);
  const line = formatReply(outcome.reply);
  assertWellFormed(line);
  assert.equal(line.split("\r\n").length, 2, "one line");
  assert.ok(!JSON.stringify(outcome).includes(TOKEN), "the token is shown");
  assert.equal(outcome.type === "sent", taken > 0, `${outcome.type} after ${taken}`);
  if (outcome.type !== "sent") {
    assert.equal(outcome.reply.code >= 500, outcome.type === "refused");
    if (doubt !== "perhaps") {
      assert.equal(outcome.ambiguous, doubt, "ambiguity is reported exactly");
    }
    if (outcome.ambiguous) assert.equal(outcome.type, "later");
  }
  const lines: string[] = [];
  const log = createLog({ level: "DEBUG", format: "text", write: (text) => lines.push(text) });
  log.warning("Message", { ...outcome, reply: outcome.reply.code });
  assert.equal(lines.length, 1);
  assert.doesNotMatch(lines[0]!.slice(0, -1), UNPRINTABLE);
}

const PROBLEM = '{"error":{"code":"ErrorAccessDenied","message":"no"}}';
const CREATED = '{"id":"AAMk1"}';
const SESSION = '{"uploadUrl":"https://outlook.office.com/x?a=b"}';

/** An answer as the input has it. @param index of the status */
function answer(index: number, body: string, header?: readonly [number, string]): string {
  const fields = header === undefined
    ? "\0"
    : `\x01${String.fromCharCode(header[0])}${header[1]}\xff`;
  return `\0${String.fromCharCode(index)}${fields}${body}\xff`;
}

const WORDS = [
  PROBLEM,
  CREATED,
  SESSION,
  ...'\xff|{|}|"|:|[|]|null|{"error":|"code":|"message":|ErrorServerBusy|\\u000d\\u000a'.split("|"),
  ..."\\u001b[31m|\r\n250 OK\r\n|\x1b|\x9b|\xe2\x80\xae|ErrorMimeContentInvalid|BadRequest".split(
    "|",
  ),
  ...'{"id":".."}|{"id":"a/b?c#d"}|https://|@|"NextExpectedRanges":["0-"]|999999999999'.split("|"),
  ..."\0\x02\0\xff|\0\x0e\0\xff|\0\x10\x01\x001\xff\xff|\x0f\0\0x\xff\x01|\0\x07\0\xff|\0\x01\0"
    .split("|"),
  "Maximum request length exceeded",
  "__proto__",
  "constructor",
  "toString",
];

export const graph: Target = {
  name: "graph",
  run: (octets) => deliver(new Input(octets), false),
  seeds: [
    answer(2, "", [1, "abc"]),
    answer(8, PROBLEM) + answer(2, ""),
    answer(14, "", [0, "2"]) + answer(7, "") + answer(2, ""),
    answer(16, "<html>", [0, "Sun, 06 Nov 1994 08:49:37 GMT"]) + "\x0f\x01\x01x\xff\x01",
  ],
  words: WORDS,
  maxLength: 1024,
};

/** The same by way of a draft. */
export const upload: Target = {
  name: "upload",
  run: (octets) => deliver(new Input(octets), true),
  seeds: [
    answer(1, CREATED) + answer(1, SESSION) + answer(1, "") + answer(2, ""),
    answer(1, CREATED) + answer(1, SESSION) + answer(0, '{"nextExpectedRanges":["3932160-"]}') +
    answer(1, "") + answer(2, ""),
    answer(1, CREATED) + answer(1, SESSION) + answer(0, '{"nextExpectedRanges":["100-"]}') +
    answer(1, "") + answer(9, PROBLEM) + answer(3, ""),
    answer(1, CREATED) + answer(1, '{"uploadUrl":"http://127.0.0.1/x"}') + answer(3, ""),
  ],
  words: WORDS,
  maxLength: 1024,
};
