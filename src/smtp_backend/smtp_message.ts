// Prepares a message for the next SMTP server: as it came, with Received on top, without Bcc, and with the
// sender that the account prescribes. The recipients are in the envelope, so no field has to name them.

import type { Content } from "../smtp/content.ts";
import type { Envelope } from "../smtp/effects.ts";
import { reply } from "../smtp/reply.ts";
import { addressKey } from "../message/addresses.ts";
import { removal } from "../message/edits.ts";
import { forwardPaths } from "../message/forward_paths.ts";
import { type HeaderField, type HeaderSection, isEmpty, readHeader } from "../message/header.ts";
import { withCrlf } from "../message/line_endings.ts";
import { type LazyContent, lengthOf, octetsIn } from "../message/lazy_piece.ts";
import { originator, rejected, type SenderOverride } from "../message/originator.ts";
import {
  fieldsIn,
  type MessageLimits,
  readMessage,
  type Rejected,
  structureRejection,
  traceFields,
  withHeader,
} from "../message/prepare.ts";
import type { Trace } from "../message/received.ts";

export interface SmtpMessageOptions {
  readonly trace: Trace;
  readonly account: SenderOverride;
  /** Whether the null reverse-path stays: a mailbox's own server wants the mailbox there. */
  readonly keepsNull: boolean;
  /** Default: `MESSAGE_LIMITS`. */
  readonly limits?: MessageLimits;
}

export interface SmtpMessage {
  readonly type: "prepared";
  /** Made from the given content, which must not be discarded before. Its line ends are CRLF. */
  readonly content: LazyContent;
  readonly size: number;
  /** The reverse-path. */
  readonly from: string;
  /** The mailbox that sends. */
  readonly sender: string;
  /** Each once. */
  readonly recipients: readonly string[];
  readonly eightBit: boolean;
  readonly smtputf8: boolean;
}

export function smtpMessage(
  given: Content,
  envelope: Envelope,
  { trace, account, keepsNull, limits }: SmtpMessageOptions,
): SmtpMessage | Rejected {
  const readable = readMessage(given, limits);
  if (readable.type === "rejected") return readable;
  const excess = structureRejection(readable, limits);
  if (excess !== undefined) return excess;
  // RFC 5321 §2.3.8: no CR or LF alone, from which another server might make the end of a message.
  const message = withCrlf(readable.content);
  const header = message === readable.content ? readable.header : readHeader(message);
  if (hopsIn(header) > MAX_HOPS) return LOOP;
  const fields = fieldsIn(header);
  const origin = originator(fields, envelope.from, account);
  if (origin.type === "rejected") return origin;
  const { sender } = origin;
  const paths = forwardPaths(envelope.recipients, sender);
  if ("type" in paths) return paths;
  const recipients = distinct(paths);
  const edits = [
    ...origin.edits,
    ...[...fields.bcc, ...fields.removed.filter(mustGo)].map(removal),
  ];
  const prepared = withHeader(
    message,
    header,
    traceFields(fields, trace) + origin.added,
    edits,
    limits,
  );
  if ("type" in prepared) return prepared;
  const from = keepsNull && envelope.from === "" ? "" : sender;
  return {
    type: "prepared",
    content: prepared,
    size: lengthOf(prepared),
    from,
    sender,
    recipients,
    eightBit: hasEightBit(prepared),
    smtputf8: ![from, ...recipients].every(isAscii) ||
      trace.smtputf8 && hasEightBit([readHeader(prepared).octets]),
  };
}

/** Received fields from which a message goes round in circles (RFC 5321 §6.3). */
const MAX_HOPS = 100;

const LOOP = rejected(
  reply(554, "5.4.6", `MAIL_LOOP: The message has passed more than ${MAX_HOPS} servers`),
  "MAIL_LOOP",
  `more than ${MAX_HOPS} Received fields: the next server seems to send mail back to the relay`,
);

/** The server that comes next may be one that sends its mail to the relay. */
function hopsIn({ fields }: Pick<HeaderSection, "fields">): number {
  return fields.filter(({ name }) => name === "received").length;
}

/** Resent-Bcc, and what would be there twice with a field that the relay adds. */
function mustGo(field: HeaderField): boolean {
  return field.name === "resent-bcc" ||
    (field.name === "date" || field.name === "message-id") && isEmpty(field);
}

/** Each address once: some servers would deliver to a double twice. */
function distinct(paths: readonly string[]): string[] {
  const recipients = new Map<string, string>();
  for (const path of paths) {
    const key = addressKey(path);
    if (!recipients.has(key)) recipients.set(key, path);
  }
  return [...recipients.values()];
}

function hasEightBit(content: LazyContent): boolean {
  for (const octets of octetsIn(content, true)) if (hasHighBit(octets)) return true;
  return false;
}

/** Four octets at a time: large messages are mostly base64, which is read to its end. */
function hasHighBit(octets: Uint8Array): boolean {
  const { buffer, byteOffset, length } = octets;
  const isHigh = (octet: number) => octet > 127;
  if (length < 8) return octets.some(isHigh);
  const start = -byteOffset & 3;
  const words = new Uint32Array(buffer, byteOffset + start, (length - start) >> 2);
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x80808080) !== 0) return true;
  return octets.subarray(0, start).some(isHigh) ||
    octets.subarray(start + words.length * 4).some(isHigh);
}

function isAscii(text: string): boolean {
  // deno-lint-ignore no-control-regex -- all of ASCII
  return /^[\x00-\x7f]*$/.test(text);
}
