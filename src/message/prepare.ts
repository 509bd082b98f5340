// What must change in a message before Graph gets it, so that Exchange does what SMTP promised.

import { Buffer } from "node:buffer";
import type { Content } from "../smtp/content.ts";
import { addressesIn, addressKey } from "./addresses.ts";
import { type HeaderField, type HeaderSection, readHeader } from "./header.ts";
import { withCrlf } from "./line_endings.ts";
import { receivedField, type Trace } from "./received.ts";

export interface Prepared {
  readonly content: Content;
  /** The mailbox to send from, or undefined where neither envelope nor message names one. */
  readonly sender: string | undefined;
}

/**
 * Prepares a message: line ends are CRLF, a Received field comes first, and the envelope's
 * recipients whom no header field names are added to Bcc (Exchange takes its recipients from the
 * header alone). All else stays as it is, octet for octet.
 *
 * @param from reverse-path, "" for the null one: then the header From's address is the sender
 */
export function prepareMessage(
  content: Content,
  from: string,
  recipients: readonly string[],
  trace: Trace,
): Prepared {
  const message = withCrlf(content);
  const header = readHeader(message);
  const sender = from === "" ? headerSender(header) : from;
  const missing = missingRecipients(header, recipients, sender);
  return { content: assemble(message, header, receivedField(trace), missing), sender };
}

function headerSender({ fields }: HeaderSection): string | undefined {
  for (const { name, body } of fields) {
    if (name === "from") return addressesIn(body.toString("utf8"))[0];
  }
  return undefined;
}

/** Those whom no To, Cc or Bcc names, each once, in the envelope's spelling. */
function missingRecipients(
  { fields }: HeaderSection,
  recipients: readonly string[],
  sender: string | undefined,
): string[] {
  const known = new Set<string>();
  for (const { name, body } of fields) {
    if (name !== "to" && name !== "cc" && name !== "bcc") continue;
    for (const address of addressesIn(body.toString("utf8"))) known.add(addressKey(address));
  }
  const missing: string[] = [];
  for (const recipient of recipients) {
    const address = qualified(recipient, sender);
    const key = addressKey(address);
    if (known.has(key)) continue;
    known.add(key);
    missing.push(address);
  }
  return missing;
}

/** RFC 5321 §4.5.1 lets `postmaster` stand without a domain: the sender's is meant. */
function qualified(recipient: string, sender: string | undefined): string {
  if (recipient.includes("@") || sender === undefined) return recipient;
  return recipient + sender.slice(sender.lastIndexOf("@"));
}

function assemble(
  message: Content,
  header: HeaderSection,
  received: string,
  missing: readonly string[],
): Content {
  if (missing.length === 0) return [Buffer.from(received, "utf8"), ...message];
  const bcc = header.fields.find((field) => field.name === "bcc");
  if (bcc === undefined) {
    return [Buffer.from(`${received}Bcc: ${missing.join(",\r\n\t")}\r\n`, "utf8"), ...message];
  }
  // A message has one Bcc field at most (RFC 5322 §3.6): the one that is there grows.
  return [Buffer.from(received, "utf8"), ...inserted(message, bcc, missing)];
}

/** The new ones come first: whatever stands in the field, they are understood there. */
function inserted(message: Content, bcc: HeaderField, missing: readonly string[]): Content {
  const separator = bcc.body.toString("utf8").trim() === "" ? "" : ",";
  const addition = Buffer.from(` ${missing.join(",\r\n\t")}${separator}`, "utf8");
  const bodyStart = bcc.end - bcc.body.length;
  const blocks: Uint8Array[] = [];
  let position = 0;
  let done = false;
  for (const block of message) {
    const at = bodyStart - position;
    if (!done && at <= block.length) {
      blocks.push(block.subarray(0, at), addition, block.subarray(at));
      done = true;
    } else {
      blocks.push(block);
    }
    position += block.length;
  }
  return blocks.filter((block) => block.length > 0);
}
