// The part of a report that programs read: message/delivery-status (RFC 3464 §2), or
// message/global-delivery-status where an address is not ASCII (RFC 6533 §3).

import { printable, type Reply, replyText } from "../smtp/reply.ts";
import { rfc5322Date } from "./received.ts";

/** A message that was given up for all of its recipients. */
export interface DeliveryStatus {
  /** The relay's name. */
  readonly hostname: string;
  readonly recipients: readonly string[];
  /** Why, as a client would have got it. */
  readonly reply: Reply;
  readonly receivedAt: Date;
  readonly lastAttempt: Date;
}

/** Characters of a line; white space is folded before it. */
const LINE = 76;
/** Characters of a reply's text in the report, at most; a word that is longer than a line stays whole. */
const MAX_REPLY = 900;

/** The fields, one group for the message and one for each recipient. */
export function deliveryStatus(
  { hostname, recipients, reply, receivedAt, lastAttempt }: DeliveryStatus,
): string {
  const message = `Reporting-MTA: dns; ${hostname}\r\n` +
    `Arrival-Date: ${rfc5322Date(receivedAt)}\r\n`;
  const why = `Action: failed\r\nStatus: ${statusOf(reply)}\r\n` +
    folded(`Diagnostic-Code: smtp; ${replyLine(reply)}`) +
    `Last-Attempt-Date: ${rfc5322Date(lastAttempt)}\r\n`;
  const groups = recipients.map((address) => `Final-Recipient: ${typedAddress(address)}\r\n${why}`);
  return [message, ...groups].join("\r\n");
}

/** The reply on one line, in printable ASCII and not too long for one. */
export function replyLine(reply: Reply): string {
  const { code, enhanced } = reply;
  const prefix = enhanced === undefined ? `${code}` : `${code} ${enhanced}`;
  return printable(`${prefix} ${replyText(reply)}`).slice(0, MAX_REPLY);
}

/** RFC 3463 §2 */
function statusOf({ code, enhanced }: Reply): string {
  if (enhanced !== undefined && /^[245]\.\d{1,3}\.\d{1,3}$/.test(enhanced)) return enhanced;
  return code < 500 ? "4.0.0" : "5.0.0";
}

/** RFC 3464 §2.1.2; RFC 6533 §3 for an address with other characters. */
function typedAddress(address: string): string {
  if (/^[\x20-\x7e]*$/.test(address)) return `rfc822; ${address}`;
  const encoded = address.replace(
    /[\p{C}\p{Z}+=\\]/gu,
    (character) => `\\x{${character.codePointAt(0)!.toString(16).toUpperCase().padStart(2, "0")}}`,
  );
  return `utf-8; ${encoded}`;
}

/** The field with its line end, and with white space as its only addition. */
function folded(field: string): string {
  let text = "";
  let line = "";
  for (const word of field.split(" ")) {
    if (line.trim() !== "" && line.length + 1 + word.length > LINE) {
      text += `${line}\r\n`;
      line = ` ${word}`;
    } else {
      line += line === "" ? word : ` ${word}`;
    }
  }
  return `${text}${line}\r\n`;
}
