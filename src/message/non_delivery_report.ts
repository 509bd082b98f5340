// Builds a non-delivery report: a multipart/report (RFC 6522) of an explanation, the delivery status
// (RFC 3464) and the header of the message that was given up; with RFC 6533 where something is not ASCII.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import type { Content } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import type { Reply } from "../smtp/reply.ts";
import { isAddress, isAmbiguous } from "./addresses.ts";
import { deliveryStatus, replyLine } from "./delivery_status.ts";
import { decodedWords } from "./encoded_words.ts";
import { type HeaderField, type HeaderSection, MAX_LINE, readHeader } from "./header.ts";
import { parseParameterized, withoutComments } from "./parameters.ts";
import { readMessage } from "./prepare.ts";
import { rfc5322Date, rightHostname } from "./received.ts";

/** A message that was given up. */
export interface FailedMessage {
  /** That the client knows from its 250. */
  readonly id: string;
  readonly envelope: Envelope;
  /** As the client sent it; only its header is read. */
  readonly content: Content;
  /** The mailbox that sends the report, which is the one that was to send the message. */
  readonly mailbox: string;
  /** The last refusal, as a client would have got it. */
  readonly reply: Reply;
  /** The relay's name. */
  readonly hostname: string;
  /** Milliseconds of Unix time. */
  readonly receivedAt: number;
  /** The same. */
  readonly lastAttempt: number;
}

/** Octets of the returned header at most. */
const MAX_RETURNED = 64 * 1024;
/** Characters of an id; the relay's have 16. */
const MAX_ID = 64;
/** Characters of the subject in the report, at most. */
const MAX_SUBJECT = 200;

/**
 * A report for the reverse-path, the same octets for the same message. It should be sent with a null
 * reverse-path itself (RFC 3464 §2).
 *
 * @returns undefined if the message must not be answered: with a null reverse-path, a report itself, sent
 *   automatically (RFC 3834 §2) or to many; or if an address of the report is not one
 */
export function nonDeliveryReport(failed: FailedMessage): Content | undefined {
  const { envelope, mailbox, reply } = failed;
  const header = headerOf(failed.content);
  if (![envelope.from, mailbox].every(isUsable) || isAutomatic(header)) return undefined;
  const hostname = rightHostname(failed.hostname);
  const id = failed.id.replace(/[^A-Za-z0-9]/g, "").slice(0, MAX_ID);
  const lastAttempt = new Date(failed.lastAttempt);
  const status = deliveryStatus({
    hostname,
    recipients: envelope.recipients,
    reply,
    receivedAt: new Date(failed.receivedAt),
    lastAttempt,
  });
  const parts = [
    textPart(explanation({ ...failed, hostname, id }, header)),
    part(`message/${isAscii(status) ? "" : "global-"}delivery-status`, Buffer.from(status)),
    ...returnedHeader(header),
  ];
  const boundary = boundaryFor(id, parts);
  const top = `Date: ${rfc5322Date(lastAttempt)}\r\n` +
    `From: Mail Delivery System <${mailbox}>\r\n` +
    `To: <${envelope.from}>\r\n` +
    "Subject: Undelivered mail returned to sender\r\n" +
    `Message-ID: <${id}.report@${hostname}>\r\n` +
    thread(header) +
    "Auto-Submitted: auto-replied\r\n" +
    "MIME-Version: 1.0\r\n" +
    "Content-Type: multipart/report; report-type=delivery-status;\r\n" +
    ` boundary="${boundary}"\r\n\r\n` +
    "This is a report that a message was not delivered.\r\n";
  const body = parts.flatMap((one) => [Buffer.from(`\r\n--${boundary}\r\n`), one]);
  return [Buffer.concat([Buffer.from(top), ...body, Buffer.from(`\r\n--${boundary}--\r\n`)])];
}

/** As far as it can be read: a message may have been refused because of its header. */
function headerOf(content: Content): HeaderSection {
  const message = readMessage(content);
  return message.type === "rejected" ? readHeader(content) : message.header;
}

/** Other mail systems might read another address in an ambiguous one. */
function isUsable(address: string): boolean {
  return isAddress(address) && !isAmbiguous(address);
}

function isAutomatic({ fields }: HeaderSection): boolean {
  return fields.some((field) => {
    switch (field.name) {
      // RFC 3834 §5
      case "auto-submitted":
        return keyword(field) !== "no";
      case "precedence":
        return ["bulk", "list", "junk"].includes(keyword(field));
      case "content-type":
        return parseParameterized(textOf(field)).value.toLowerCase() === "multipart/report";
      default:
        return false;
    }
  });
}

/** The first word of a field, without comments. */
function keyword(field: HeaderField): string {
  return /^[^\s;]*/.exec(withoutComments(textOf(field)).trim())![0].toLowerCase();
}

/** Octets of a field that are read. */
const MAX_LOOK = 900;

/** One character an octet, unfolded. */
function textOf({ body }: HeaderField): string {
  return body.toString("latin1", 0, MAX_LOOK).replace(/\r?\n/g, "");
}

/** RFC 5322 §3.6.4: the message is the parent of its report. */
function thread({ fields }: HeaderSection): string {
  const ids = fields.filter(({ name }) => name === "message-id").map(textOf);
  const id = ids.map((text) => text.trim())
    .find((text) => /^[\x21-\x7e]+$/.test(text) && /^<[^<>@"\\]+@[^<>@"\\]+>$/.test(text));
  return id === undefined ? "" : `In-Reply-To: ${id}\r\nReferences: ${id}\r\n`;
}

function explanation(
  { id, envelope, reply, hostname, receivedAt }: FailedMessage,
  { fields }: HeaderSection,
): string {
  const subject = fields.find(({ name }) => name === "subject");
  const title = subject === undefined ? "" : onOneLine(decodedWords(textOf(subject)));
  return `This is the mail relay at ${hostname}.\r\n\r\n` +
    "Your message could not be delivered, and it will not be tried again.\r\n\r\n" +
    (title === "" ? "" : `Subject:  ${title.slice(0, MAX_SUBJECT)}\r\n`) +
    `Received: ${rfc5322Date(new Date(receivedAt))}\r\nId:       ${id}\r\n` +
    envelope.recipients.map((address) => `To:       ${onOneLine(address)}\r\n`).join("") +
    `\r\nThe reason:\r\n\r\n${replyLine(reply)}\r\n`;
}

/** Without characters that end a line or cannot be seen. */
function onOneLine(text: string): string {
  return text.replace(/[\p{C}\p{Z}]+/gu, " ").trim();
}

function textPart(text: string): Buffer {
  if (isAscii(text)) return part("text/plain; charset=us-ascii", Buffer.from(text));
  return part("text/plain; charset=utf-8", Buffer.from(text), "base64");
}

/** The original header (RFC 6522 §4, RFC 6533 §4), whole fields of it; none if there is no field. */
function returnedHeader({ octets, fields }: HeaderSection): Buffer[] {
  const last = fields.findLast(({ end }) => end <= MAX_RETURNED);
  if (last === undefined) return [];
  const returned = Buffer.concat([octets.subarray(0, last.end), Buffer.from("\r\n")]);
  const text = returned.toString("utf8");
  const isRegular = !/\r(?!\n)|(?<!\r)\n|\0/.test(text) &&
    text.split("\r\n").every((line) => Buffer.byteLength(line) <= MAX_LINE);
  if (!isRegular || text.includes("\ufffd")) {
    return [part("text/rfc822-headers", returned, "base64")];
  }
  return [part(isAscii(text) ? "text/rfc822-headers" : "message/global-headers", returned)];
}

/** @param encoding default: as it is */
function part(type: string, octets: Buffer, encoding?: "base64"): Buffer {
  const body = encoding === undefined
    ? octets
    : Buffer.from(octets.toString("base64").replace(/.{1,76}/g, "$&\r\n"));
  const how = encoding ?? (octets.every((octet) => octet < 128) ? "7bit" : "8bit");
  const head = `Content-Type: ${type}\r\nContent-Transfer-Encoding: ${how}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** No part has it, and no client can know it: all that clients give is hashed. */
function boundaryFor(id: string, parts: readonly Buffer[]): string {
  for (let i = 0;; i++) {
    const hash = createHash("sha256").update(`${id} ${i} `);
    for (const octets of parts) hash.update(octets);
    const boundary = `=_${hash.digest("hex").slice(0, 40)}`;
    if (!parts.some((octets) => octets.includes(boundary))) return boundary;
  }
}

function isAscii(text: string): boolean {
  // deno-lint-ignore no-control-regex -- all of ASCII
  return /^[\x00-\x7f]*$/.test(text);
}
