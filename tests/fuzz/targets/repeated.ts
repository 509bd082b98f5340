// Time: what is read in time that grows faster than the input shows by a piece that stands there many
// times, or by three of them one after the other. Each reader gets 64 KB of it, or as much as is let
// through to it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import process from "node:process";
import { parseTenant } from "../../../src/accounts/username.ts";
import { parseUsername } from "../../../src/accounts/username.ts";
import { classifyResponse } from "../../../src/graph/graph_errors.ts";
import { retryAfter } from "../../../src/retry_after.ts";
import { uploadUrl } from "../../../src/graph/upload_url.ts";
import { extractAttachments } from "../../../src/graph/extract_attachments.ts";
import { ResponseReader } from "../../../src/http/response_reader.ts";
import { SenderList } from "../../../src/accounts/sender_list.ts";
import { Networks, plainAddress } from "../../../src/networks.ts";
import { examineSettings } from "../../../src/settings/load.ts";
import { readSender } from "../../../src/smtp/envelope.ts";
import { printable } from "../../../src/smtp/reply.ts";
import { beginSasl } from "../../../src/smtp/sasl.ts";
import { envelope, OPTIONS, prepareMessage } from "../../graph/preparing.ts";
import { inARow } from "../../security/hostile_pieces.ts";
import { driverIn } from "../../smtp/driver.ts";
import { inPieces, Input, type Target } from "../engine/target.ts";

const MOST = 64 * 1024;
/** Of a command line. */
const LINE = 4096;
const SASL = 12_288;
/** Milliseconds of processor time: 64 KB take some ten, on a slow and busy machine some more. */
const BOUND = 1000;

function prepared(message: string, account = {}): void {
  const content = [Buffer.from(message, "latin1")];
  const result = prepareMessage(content, envelope(["a@x.test"], "me@x.test"), {
    ...OPTIONS,
    account,
  });
  if (result.type !== "prepared") return;
  result.named();
  const limit = message.length >> 1;
  const detached = extractAttachments(result.content, limit);
  if (detached.type === "extracted") {
    for (const { octets } of detached.attachments) for (const _ of octets());
  }
}

const HEAD = "From: me@x.test\r\nTo: a@x.test\r\n";
const OWN = { fromEmail: "own@x.test" };

const READERS: readonly ((text: string) => unknown)[] = [
  (text) => prepared(text),
  (text) => prepared(`From: ${text}\r\n\r\n`),
  (text) => prepared(`From: ${text}\r\n\r\n`, OWN),
  (text) => prepared(`From: ${text} <a@x.test>\r\nTo: a@x.test\r\n\r\n`, OWN),
  (text) => prepared(`From: me@x.test\r\nTo: ${text}\r\nCc: ${text}\r\n\r\n`),
  (text) => prepared(`From: me@x.test\r\nSender: ${text}\r\nSubject: ${text}\r\n\r\n`),
  (text) => prepared(`${HEAD}Content-Type: ${text}\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n`),
  (text) => prepared(`${HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n${text}`),
  (text) => prepared(`${HEAD}Content-Transfer-Encoding: quoted-printable\r\n\r\n${text}`),
  (text) => prepared(`${HEAD}Content-Transfer-Encoding: base64\r\n\r\n${text}`),
  (text) =>
    prepared(
      `${HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n` +
        `Content-Type: application/pdf\r\nContent-Disposition: attachment; filename=${text}\r\n` +
        `Content-ID: ${text}\r\n\r\nxxxxxxxxxx\r\n--b--\r\n`,
    ),
  (text) => {
    const driver = driverIn("after EHLO", { maxMemory: 1_000_000 });
    for (const piece of inPieces(Buffer.from(text, "latin1"), [7])) driver.feed(piece);
  },
  (text) => {
    const driver = driverIn("in DATA", { maxMemory: 1_000_000 });
    for (const piece of inPieces(Buffer.from(text, "latin1"), [7])) driver.feed(piece);
  },
  (text) => readSender(`FROM:${text.slice(0, LINE)}`, 1000),
  (text) => readSender(`FROM:<a@x.test> ${text.slice(0, LINE)}`, 1000),
  (text) => beginSasl("PLAIN", text.slice(0, SASL), ["PLAIN"]),
  (text) => [parseUsername(text, "@"), parseTenant(text)],
  (text) => [SenderList.parse(text), Networks.parse(text), plainAddress(text), printable(text)],
  (text) =>
    examineSettings(Object.fromEntries(
      [
        "GRAPH_ENDPOINT",
        "AZURE_TABLES_URL",
        "HTTPS_PROXY",
        "NO_PROXY",
        "SMTP_LISTEN",
        "AZURE_TABLES_CONNECTION_STRING",
        "ALLOWED_TENANTS",
        "SERVER_GREETING",
      ].map((name) => [name, text]),
    )),
  (text) => {
    const headers = new Map([["retry-after", text], ["date", text], ["request-id", text]]);
    retryAfter(headers, 0);
    return classifyResponse({
      type: "response",
      status: 400,
      headers,
      body: Buffer.from(text, "latin1"),
    });
  },
  (text) => uploadUrl(`https://outlook.office.com/${text}`, "https://graph.microsoft.com"),
  (text) => {
    const reader = new ResponseReader(MOST, "GET");
    const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const piece of inPieces(Buffer.from(head + text, "latin1"), [61])) {
      if (reader.push(piece) !== "more") break;
    }
  },
  (text) => {
    const reader = new ResponseReader(MOST, "GET");
    for (const piece of inPieces(Buffer.from(`HTTP/1.1 200 OK\r\n${text}`, "latin1"), [61])) {
      if (reader.push(piece) !== "more") break;
    }
  },
  (text) => prepared(`${HEAD}Content-Transfer-Encoding: base64\r\n${text}\r\n\r\nQUJD\r\n`),
];

function assertQuick(reader: (text: string) => unknown, text: string): void {
  let spent = Infinity;
  // What is slow is so each time; what only seems so, on a busy machine, is not.
  for (let tries = 0; tries < 3 && spent > BOUND; tries++) {
    const begun = performance.now();
    const cpu = process.cpuUsage();
    reader(text);
    spent = Math.min(performance.now() - begun, process.cpuUsage(cpu).user / 1000);
  }
  assert.ok(spent <= BOUND, `${text.length} octets took ${Math.round(spent)} ms`);
}

/** The pieces come from the input, the end of each is `\xff`. */
function nextPiece(input: Input): string {
  return input.until(0xff).toString("latin1");
}

const WORDS: readonly string[] = [
  ...'\xff|\r\n|\n|\r|\0| |\t|--b|--|"|\\|\\"|(|)|<|>|@|,|;|:|.|=|==|=?|?=|=3D|/|[|]|{|}'.split(
    "|",
  ),
  ..."a@|@a|a,|a;|a=b;|a=\"|T:|;T:|*=|%|%20|'|x*0=|boundary=|filename*0*=utf-8''|name=\"".split(
    "|",
  ),
  ..."0\r\n|1\r\na\r\n|a:b\r\n|1.1.1.1,|::,|://|?sig=|AccountKey=|NOOP\r\n|\r\n.|..|\r\n \r\n"
    .split("|"),
  ...'=?utf-8?q?a?= |<@a,|Content-Type: a/b\r\n|From x\r\n|{"a":|"error":'.split("|"),
  ..." x\r\n|!\r\n|\xcd\x85|\xcc\x81|\xcc\xa7|a@b,".split("|"),
];

export const repeated: Target = {
  name: "repeated",
  run(octets) {
    const input = new Input(octets);
    const reader = input.pick(READERS);
    const before = nextPiece(input);
    const piece = nextPiece(input);
    const after = nextPiece(input);
    const times = piece === "" ? 0 : Math.floor(MOST / piece.length);
    const text = before + piece.repeat(times) + after;
    assertQuick(reader, text);
  },
  seeds: READERS.flatMap((_, i) =>
    ["<a@x.test>, \xff", '\xff\\"', "\xff(", "\xff@", "\xff \xff;", "\xff\r\n --b"]
      .map((text) => String.fromCharCode(i) + text)
  ),
  words: WORDS,
  maxLength: 200,
};

export const three: Target = {
  name: "three",
  run(octets) {
    const input = new Input(octets);
    const reader = input.pick(READERS);
    const pieces = [nextPiece(input), nextPiece(input), nextPiece(input)];
    assertQuick(reader, inARow(pieces.filter((piece) => piece !== ""), MOST));
  },
  seeds: READERS.flatMap((_, i) =>
    [
      " x\r\n\xff x\r\n\xff!\r\n",
      "\xcd\x85\xff\xcc\xa7\xffa@b,",
      '"\xff(\xff\\"',
      "--b\xff\n\xff--b\n",
    ]
      .map((text) => String.fromCharCode(i) + text)
  ),
  words: WORDS,
  maxLength: 60,
};
