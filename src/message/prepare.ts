// What must change in a message before Graph gets it, so that Exchange does what SMTP promised.

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import { printable, reply } from "../smtp/reply.ts";
import { canonical } from "./canonical.ts";
import { applyEdits, removal } from "./edits.ts";
import { type HeaderField, type HeaderSection, isEmpty, MAX_HEADER, readHeader } from "./header.ts";
import { type Repair, repairHeader } from "./header_repair.ts";
import type { LazyContent } from "./lazy_piece.ts";
import { parameter, parseParameterized } from "./parameters.ts";
import {
  type Named,
  originator,
  type SenderOverride,
  type Unusable,
  unusable,
} from "./originator.ts";
import { messageId, receivedField, rfc5322Date, type Trace } from "./received.ts";
import { recipientEdits, recipientRefusal } from "./recipients.ts";
import { structureExcess } from "./structure.ts";

export type { Unusable } from "./originator.ts";

/** What a message may be like at most; each is a setting. */
export interface MessageLimits {
  /** MAX_HEADER_SIZE: octets of the header as it is handed on. */
  readonly header: number;
  /** MAX_MIME_DEPTH: multiparts and attached messages, one in the other. */
  readonly depth: number;
  /** MAX_MIME_PARTS: parts of all multiparts together. */
  readonly parts: number;
}

/** The settings' defaults. */
export const MESSAGE_LIMITS: MessageLimits = { header: MAX_HEADER, depth: 100, parts: 1000 };

export interface PrepareOptions {
  readonly trace: Trace;
  readonly account: SenderOverride;
  /** Quoted-printable leaf parts become base64. */
  readonly reencodeQuotedPrintable: boolean;
  /** {@link MESSAGE_LIMITS} when left out. */
  readonly limits?: MessageLimits;
}

export interface Prepared {
  readonly type: "prepared";
  /** Made out of the content that was given, which has to stay as long. */
  readonly content: LazyContent;
  /** The mailbox to send from. */
  readonly sender: string;
  /** Whom From and Sender name now. */
  named(): readonly Named[];
}

/**
 * Prepares a message: makes its octets fit (see {@link canonical}), has the header name just the
 * envelope's recipients and the sender, puts a Received field on top (RFC 5321 §4.4) and adds a
 * missing Date or Message-ID (RFC 6409 §8). All else stays as it is, octet for octet.
 */
export function prepareMessage(
  content: Content,
  envelope: Envelope,
  { trace, account, reencodeQuotedPrintable, limits = MESSAGE_LIMITS }: PrepareOptions,
): Prepared | Unusable {
  let sound = content;
  let header = readHeader(content, limits.header);
  if (!header.regular) {
    // Only then is it certain where the body begins, and what it is.
    const repair = repairHeader(content, limits.header);
    if (repair.type !== "repaired") return beyondRepair(repair, limits);
    sound = repair.message;
    header = readHeader(sound);
  }
  // Before anything is made of it.
  if (header.octets.length > limits.header) return tooLong(header.octets.length, limits);
  const excess = hasStructure(header) ? structureExcess(sound, limits) : undefined;
  if (excess !== undefined) return excess === "depth" ? tooDeep(limits) : tooManyParts(limits);
  const message = canonical(sound, { reencodeQuotedPrintable });
  if (message !== sound) header = readHeader(message);

  const fields = sorted(header);
  const origin = originator(fields, envelope.from, account);
  if (origin.type === "unusable") return origin;
  const { sender } = origin;
  const forwardPaths = envelope.recipients.map((path) => qualified(path, sender));
  for (const path of forwardPaths) {
    const refusal = recipientRefusal(path);
    if (refusal !== undefined) return unusable(refusal, "DOUBTFUL_RECIPIENT", refusal.text);
  }
  const recipients = recipientEdits(fields, forwardPaths);

  const edits = [...origin.edits, ...recipients.edits, ...fields.useless.map(removal)];
  const added = Buffer.from(
    receivedField(trace) +
      (fields.hasDate ? "" : `Date: ${rfc5322Date(trace.at)}\r\n`) +
      (fields.hasMessageId ? "" : `Message-ID: ${messageId(trace)}\r\n`) +
      origin.added + recipients.bcc,
    "utf8",
  );
  let length = added.length + header.octets.length;
  for (const { start, end, octets } of edits) length += octets.length - (end - start);
  if (length > limits.header) return tooLong(length, limits);
  edits.sort((a, b) => a.start - b.start);
  const { named } = origin;
  return { type: "prepared", content: [added, ...applyEdits(message, edits)], sender, named };
}

/** Whether there may be other parts in the message than its text. */
function hasStructure({ fields }: HeaderSection): boolean {
  return fields.some(({ name, body }) =>
    name === "content-type" && /multipart|message/i.test(body.toString("latin1"))
  );
}

/** The fields that the relay looks at. */
interface Fields {
  readonly to: HeaderField[];
  readonly cc: HeaderField[];
  readonly bcc: HeaderField[];
  readonly from: HeaderField[];
  readonly sender: HeaderField[];
  readonly resent: HeaderField[];
  charset: string;
  /** To be removed. */
  readonly useless: HeaderField[];
  hasDate: boolean;
  hasMessageId: boolean;
}

function sorted(header: HeaderSection): Fields {
  const fields: Fields = {
    to: [],
    cc: [],
    bcc: [],
    from: [],
    sender: [],
    resent: [],
    charset: "",
    useless: [],
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
      // RFC 5322 §3.6 and RFC 2045 §4 allow one of each: the first stays.
      case "subject":
      case "mime-version":
      case "reply-to":
        if (names.has(field.name)) fields.useless.push(field);
        names.add(field.name);
        break;
      // An empty one says nothing, and a second one is not allowed.
      case "date":
        if (isEmpty(field) || fields.hasDate) fields.useless.push(field);
        else fields.hasDate = true;
        break;
      case "message-id":
        if (isEmpty(field) || fields.hasMessageId) fields.useless.push(field);
        else fields.hasMessageId = true;
        break;
      // It says who was to receive a copy unseen when somebody sent the message on (RFC 5322
      // §3.6.6). Nobody is to see it now either; unlike Bcc, Exchange is not known to take it out.
      case "resent-bcc":
        fields.useless.push(field);
    }
  }
  return fields;
}

/** Octets of a Content-Type in which its charset is looked for. */
const MAX_LOOK = 1000;

function charsetOf({ body }: HeaderField): string {
  return parameter(parseParameterized(body.toString("latin1", 0, MAX_LOOK)), "charset") ?? "";
}

/** RFC 5321 §4.5.1 lets `postmaster` stand without a domain: the sender's is meant. */
function qualified(recipient: string, sender: string): string {
  return recipient.includes("@") ? recipient : recipient + sender.slice(sender.lastIndexOf("@"));
}

function beyondRepair(
  repair: Exclude<Repair, { readonly type: "repaired" }>,
  limits: MessageLimits,
): Unusable {
  switch (repair.type) {
    case "broken":
      return brokenHeader(repair.line);
    case "crOnly":
      return CR_ONLY;
    case "tooLong":
      return tooLong(repair.octets, limits);
  }
}

const CR_ONLY = unusable(
  reply(554, "5.6.0", "The lines of the message end in CR alone; they have to end in CRLF"),
  "CR_ONLY",
  "The lines of the message end in CR alone",
);

function tooLong(octets: number, { header }: MessageLimits): Unusable {
  const detail = `The header has ${octets} octets or more; MAX_HEADER_SIZE is ${header}`;
  const limit = "MAX_HEADER_SIZE";
  return { ...unusable(reply(552, "5.3.4", detail), "HEADER_TOO_LARGE", detail), limit };
}

function tooDeep({ depth }: MessageLimits): Unusable {
  const detail = `Parts are nested deeper than MAX_MIME_DEPTH, which is ${depth}`;
  const limit = "MAX_MIME_DEPTH";
  return { ...unusable(reply(554, "5.6.0", detail), "MIME_TOO_DEEP", detail), limit };
}

function tooManyParts({ parts }: MessageLimits): Unusable {
  const detail = `The message has more parts than MAX_MIME_PARTS, which is ${parts}`;
  const limit = "MAX_MIME_PARTS";
  return { ...unusable(reply(554, "5.6.0", detail), "MIME_TOO_MANY_PARTS", detail), limit };
}

function brokenHeader(line: string): Unusable {
  const detail = `A line in the header is no field: "${printable(line)}"`;
  return unusable(
    reply(554, "5.6.0", `${detail}; it needs "Name: text", or a space in front to continue`),
    "BROKEN_HEADER",
    detail,
  );
}
