// Reads a message as every back end needs it: limits, an unambiguous header, the sender, and the
// fields that a relay adds. Changes for one mail service are made in its back end.

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { printable, reply } from "../smtp/reply.ts";
import { applyEdits, type Edit } from "./edits.ts";
import { type HeaderField, type HeaderSection, isEmpty, MAX_HEADER, readHeader } from "./header.ts";
import { type Repair, repairHeader } from "./header_repair.ts";
import type { LazyContent } from "./lazy_piece.ts";
import {
  type Originator,
  originator,
  type Rejected,
  rejected,
  type SenderOverride,
} from "./originator.ts";
import { parameter, parseParameterized } from "./parameters.ts";
import { messageId, receivedField, rfc5322Date, type Trace } from "./received.ts";
import { structureExcess } from "./structure.ts";

export type { Rejected } from "./originator.ts";

/** Limits of a message's structure; each is a setting. */
export interface MessageLimits {
  /** MAX_HEADER_SIZE: octets of the header as it is sent. */
  readonly header: number;
  /** MAX_MIME_DEPTH: nested multiparts and attached messages. */
  readonly depth: number;
  /** MAX_MIME_PARTS: parts of all multiparts together. */
  readonly parts: number;
}

/** The settings' defaults. */
export const MESSAGE_LIMITS: MessageLimits = { header: MAX_HEADER, depth: 100, parts: 1000 };

/** A message whose header every reader splits into the same fields. */
export interface ReadableMessage {
  readonly type: "readable";
  /** The received content, or the repaired one. */
  readonly content: Content;
  readonly header: HeaderSection;
}

/** Reads the header, and repairs it if necessary. The result is within the limit. */
export function readMessage(
  given: Content,
  limits: MessageLimits = MESSAGE_LIMITS,
): ReadableMessage | Rejected {
  let content = given;
  let header = readHeader(content, limits.header);
  if (!header.regular) {
    // Only after the repair is it certain where the body begins.
    const repair = repairHeader(content, limits.header);
    if (repair.type !== "repaired") return beyondRepair(repair, limits);
    content = repair.message;
    header = readHeader(content);
  }
  // Before anything else is read.
  if (header.length > limits.header) return tooLong(header.length, limits);
  return { type: "readable", content, header };
}

/** The rejection of a message with too many parts, or too deep ones; else undefined. */
export function structureRejection(
  { content, header }: ReadableMessage,
  limits: MessageLimits = MESSAGE_LIMITS,
): Rejected | undefined {
  const excess = hasStructure(header) ? structureExcess(content, limits) : undefined;
  if (excess === undefined) return undefined;
  return excess === "depth" ? tooDeep(limits) : tooManyParts(limits);
}

/** The sender of a message and the addresses in From and Sender, for a sender policy. */
export function readOriginator(
  content: Content,
  reversePath: string,
  account: SenderOverride,
  limits?: MessageLimits,
): Originator | Rejected {
  const message = readMessage(content, limits);
  if (message.type === "rejected") return message;
  return originator(fieldsIn(message.header), reversePath, account);
}

/** The fields for the top of the header: Received (RFC 5321 §4.4), and a missing Date or Message-ID. */
export function traceFields(fields: HeaderFields, trace: Trace): string {
  return receivedField(trace) +
    (fields.hasDate ? "" : `Date: ${rfc5322Date(trace.at)}\r\n`) +
    (fields.hasMessageId ? "" : `Message-ID: ${messageId(trace)}\r\n`);
}

/**
 * Adds fields on top of the header, and applies edits to it.
 *
 * @param header of this content
 * @param edits of the header, in any order
 */
export function withHeader(
  content: LazyContent,
  header: HeaderSection,
  added: string,
  edits: readonly Edit[],
  limits: MessageLimits = MESSAGE_LIMITS,
): LazyContent | Rejected {
  const top = Buffer.from(added, "utf8");
  let length = top.length + header.length;
  for (const { start, end, octets } of edits) length += octets.length - (end - start);
  if (length > limits.header) return tooLong(length, limits);
  return [top, ...applyEdits(content, [...edits].sort((a, b) => a.start - b.start))];
}

/** Whether the message may have parts besides its text. */
function hasStructure({ fields }: HeaderSection): boolean {
  return fields.some(({ name, body }) =>
    name === "content-type" && /multipart|message/i.test(body.toString("latin1"))
  );
}

/** The fields that the relay reads. */
export interface HeaderFields {
  readonly to: HeaderField[];
  readonly cc: HeaderField[];
  readonly bcc: HeaderField[];
  readonly from: HeaderField[];
  readonly sender: HeaderField[];
  readonly resent: HeaderField[];
  charset: string;
  /** To be removed. */
  readonly removed: HeaderField[];
  hasDate: boolean;
  hasMessageId: boolean;
}

export function fieldsIn(header: HeaderSection): HeaderFields {
  const fields: HeaderFields = {
    to: [],
    cc: [],
    bcc: [],
    from: [],
    sender: [],
    resent: [],
    charset: "",
    removed: [],
    hasDate: false,
    hasMessageId: false,
  };
  const names = new Set<string>();
  for (const field of header.fields) {
    switch (field.name) {
      case "to":
      case "cc":
      case "bcc":
      case "from":
      case "sender":
        fields[field.name].push(field);
        break;
      case "resent-from":
      case "resent-sender":
        fields.resent.push(field);
        break;
      case "content-type":
        fields.charset ||= charsetOf(field);
        break;
      // RFC 5322 §3.6 and RFC 2045 §4 allow one of each: only the first stays.
      case "subject":
      case "mime-version":
      case "reply-to":
        if (names.has(field.name)) fields.removed.push(field);
        names.add(field.name);
        break;
      // An empty one is useless, and a second one is not allowed.
      case "date":
        if (isEmpty(field) || fields.hasDate) fields.removed.push(field);
        else fields.hasDate = true;
        break;
      case "message-id":
        if (isEmpty(field) || fields.hasMessageId) fields.removed.push(field);
        else fields.hasMessageId = true;
        break;
      // It names the hidden recipients of a resent message (RFC 5322 §3.6.6). They must stay
      // hidden; unlike Bcc, Exchange is not known to remove it.
      case "resent-bcc":
        fields.removed.push(field);
    }
  }
  return fields;
}

/** Octets of a Content-Type in which its charset is searched for. */
const MAX_LOOK = 1000;

function charsetOf({ body }: HeaderField): string {
  return parameter(parseParameterized(body.toString("latin1", 0, MAX_LOOK)), "charset") ?? "";
}

function beyondRepair(
  repair: Exclude<Repair, { readonly type: "repaired" }>,
  limits: MessageLimits,
): Rejected {
  switch (repair.type) {
    case "broken":
      return brokenHeader(repair.line);
    case "crOnly":
      return CR_ONLY;
    case "tooLong":
      return tooLong(repair.octets, limits);
  }
}

const CR_ONLY = rejected(
  reply(554, "5.6.0", "The lines of the message end in CR alone; they have to end in CRLF"),
  "CR_ONLY",
  "The lines of the message end in CR alone",
);

function tooLong(octets: number, { header }: MessageLimits): Rejected {
  const detail = `The header has ${octets} octets or more; MAX_HEADER_SIZE is ${header}`;
  const limit = "MAX_HEADER_SIZE";
  return { ...rejected(reply(552, "5.3.4", detail), "HEADER_TOO_LARGE", detail), limit };
}

function tooDeep({ depth }: MessageLimits): Rejected {
  const detail = `Parts are nested deeper than MAX_MIME_DEPTH, which is ${depth}`;
  const limit = "MAX_MIME_DEPTH";
  return { ...rejected(reply(554, "5.6.0", detail), "MIME_TOO_DEEP", detail), limit };
}

function tooManyParts({ parts }: MessageLimits): Rejected {
  const detail = `The message has more parts than MAX_MIME_PARTS, which is ${parts}`;
  const limit = "MAX_MIME_PARTS";
  return { ...rejected(reply(554, "5.6.0", detail), "MIME_TOO_MANY_PARTS", detail), limit };
}

function brokenHeader(line: string): Rejected {
  const detail = `A line in the header is no field: "${printable(line)}"`;
  return rejected(
    reply(554, "5.6.0", `${detail}; it needs "Name: text", or a space in front to continue`),
    "BROKEN_HEADER",
    detail,
  );
}
