// Everything that reads untrusted octets, each with the position of the hostile text.

import { Buffer } from "node:buffer";
import { senderRefusal } from "../../src/accounts/senders.ts";
import { extractAttachments } from "../../src/graph/extract_attachments.ts";
import { ResponseReader } from "../../src/http/response_reader.ts";
import type { SenderOverride } from "../../src/message/originator.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { ProxyHeaderReader } from "../../src/server/proxy_header.ts";
import type { Content } from "../../src/smtp/content.ts";
import { readRecipient, readSender } from "../../src/smtp/envelope.ts";
import { beginSasl } from "../../src/smtp/sasl.ts";
import { inPieces } from "../fuzz/engine/target.ts";
import { envelope, OPTIONS, prepareMessage } from "../graph/preparing.ts";
import { driverIn } from "../smtp/driver.ts";
import { PIECES } from "./hostile_pieces.ts";

export interface HostileReader {
  readonly name: string;
  /** The pieces of the text. */
  readonly pieces: readonly string[];
  /** @param text one character per octet */
  read(text: string): unknown;
}

/** As they arrive from a socket, large ones and small ones. */
const SEGMENTS = [2048, 7, 1460];
const LIST = SenderList.parse("me@x.test, @y.test")!;

function contentOf(text: string): Content {
  return inPieces(Buffer.from(text, "latin1"), SEGMENTS);
}

/** Every pass of the relay over a message. @returns the result */
export function readMessage(text: string, account: SenderOverride = {}): string {
  const result = prepareMessage(contentOf(text), envelope(["a@x.test"]), { ...OPTIONS, account });
  if (result.type !== "prepared") return result.code;
  for (const { text: named, unambiguous } of result.named()) {
    senderRefusal(unambiguous ? named : "", { allowed: LIST, ofEntry: undefined });
  }
  const detached = extractAttachments(result.content, text.length >> 1);
  if (detached.type === "extracted") {
    for (const { octets } of detached.attachments) for (const _ of octets(true));
  }
  return "prepared";
}

const HEAD = "From: me@x.test\r\nTo: a@x.test\r\n";
const MIXED = `${HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n`;

const { LINES, ADDRESSES, PARAMETERS, PARTS, WORDS, RESPONSES } = PIECES;

function readSession(place: "after EHLO" | "in DATA", text: string): void {
  const driver = driverIn(place, { maxMemory: 10_000_000 });
  for (const segment of contentOf(text)) {
    if (driver.closed) break;
    driver.feed(segment);
  }
}

function readResponse(text: string): void {
  const reader = new ResponseReader(1_000_000, "GET");
  for (const piece of inPieces(Buffer.from(`HTTP/1.1 200 OK\r\n${text}`, "latin1"), [61, 3])) {
    if (reader.push(piece) !== "more") break;
  }
}

function inBase64(text: string): string {
  return Buffer.from(text, "latin1").toString("base64");
}

export const READERS: readonly HostileReader[] = [
  { name: "a message", pieces: LINES, read: (text) => readMessage(text) },
  {
    name: "a header after an encoding",
    pieces: LINES,
    read: (text) =>
      readMessage(`${HEAD}Content-Transfer-Encoding: base64\r\n${text}\r\n\r\nQUJD\r\n`),
  },
  { name: "From", pieces: ADDRESSES, read: (text) => readMessage(`From: ${text}\r\n\r\n`) },
  {
    name: "From before an address, which the account replaces",
    pieces: ADDRESSES,
    read: (text) =>
      readMessage(`From: ${text} <a@x.test>\r\n\r\n`, { fromEmail: "me@x.test", fromName: "N" }),
  },
  {
    name: "To and Cc",
    pieces: ADDRESSES,
    read: (text) =>
      readMessage(`From: me@x.test\r\nTo: ${text}\r\nCc: a@x.test, ${text} <b@x.test>\r\n\r\n`),
  },
  {
    name: "Sender",
    pieces: ADDRESSES,
    read: (text) => readMessage(`${HEAD}Sender: ${text}\r\n\r\n`),
  },
  {
    name: "Content-Type",
    pieces: PARAMETERS,
    read: (text) =>
      readMessage(`${HEAD}Content-Type: multipart/mixed; boundary=b${text}\r\n\r\n--b\n\r\n--b--`),
  },
  {
    name: "a part's fields and its name",
    pieces: PARAMETERS,
    read: (text) =>
      readMessage(
        `${MIXED}--b\r\nContent-Type: application/pdf; name=${text}\r\n` +
          `Content-Disposition: attachment; filename=${text}\r\nContent-ID: <${text}\r\n` +
          `Content-Transfer-Encoding: ${text}\r\n\r\nx\n${"x".repeat(5000)}\r\n--b--\r\n`,
      ),
  },
  { name: "parts", pieces: PARTS, read: (text) => readMessage(`${MIXED}\n${text}`) },
  {
    name: "a part's header",
    pieces: LINES,
    read: (text) => readMessage(`${MIXED}\n--b\r\n${text}\r\n\r\nText\r\n--b--\r\n`),
  },
  {
    name: "quoted-printable",
    pieces: PARTS,
    read: (text) =>
      readMessage(`${HEAD}Content-Transfer-Encoding: quoted-printable\r\n\r\n${text}`),
  },
  {
    name: "base64",
    pieces: PARTS,
    read: (text) =>
      readMessage(`${HEAD}Content-Transfer-Encoding: base64\r\n\r\n${"Q".repeat(1000)}${text}`),
  },
  { name: "commands", pieces: WORDS, read: (text) => readSession("after EHLO", text) },
  { name: "DATA", pieces: PARTS, read: (text) => readSession("in DATA", text) },
  {
    name: "the paths of MAIL and RCPT",
    pieces: WORDS,
    read: (text) => {
      readSender(`FROM:<${text}@x.test> ${text}`, 1000);
      readRecipient(`TO:${text}`, true);
    },
  },
  {
    name: "SASL",
    pieces: WORDS,
    read: (text) => {
      beginSasl("PLAIN", text, ["PLAIN"]);
      beginSasl("PLAIN", inBase64(`\0${text}\0${text}`), ["PLAIN"]);
      beginSasl("XOAUTH2", inBase64(`user=${text}\x01auth=Bearer ${text}\x01\x01`), ["XOAUTH2"]);
      beginSasl("OAUTHBEARER", inBase64(`n,a=${text},\x01auth=Bearer ${text}\x01\x01`), [
        "OAUTHBEARER",
      ]);
    },
  },
  {
    name: "the PROXY header",
    pieces: WORDS,
    read: (text) => {
      const reader = new ProxyHeaderReader();
      for (const piece of inPieces(Buffer.from(`PROXY TCP4 ${text}`, "latin1"), [3])) {
        if (reader.push(piece).type !== "more") break;
      }
    },
  },
  { name: "an HTTP response's head", pieces: RESPONSES, read: readResponse },
  {
    name: "an HTTP response's chunks",
    pieces: RESPONSES,
    read: (text) => readResponse(`Transfer-Encoding: chunked\r\n\r\n${text}`),
  },
];
