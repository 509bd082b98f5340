/**
 * Reads a message (RFC 5322, MIME) for the inbox: the header fields of the list, and the parts that the
 * page shows. All of it comes from strangers: reading never throws, and a message that cannot be read is
 * empty, not an error.
 */
import { createHash } from "node:crypto";
import PostalMime from "postal-mime";
import type { Address, Attachment, Email } from "postal-mime";

/** The header fields of the list: plain addresses, decoded subject; empty where there are none. */
export interface SummaryFields {
  from: string;
  to: string[];
  cc: string[];
  bcc: string[];
  subject: string;
  /** Display names, "" if there is none; in the lists, in the order of the addresses. */
  fromName: string;
  toNames: string[];
  ccNames: string[];
  bccNames: string[];
}

/** One part that is neither the text nor the HTML of the message. */
export interface MessageAttachment {
  /** Position in the message, from 0; identifies it in its download's URL. */
  index: number;
  /** From the message, so it can be anything; empty if there is none. */
  filename: string;
  contentType: string;
  disposition: string;
  /** Without the angle brackets. */
  contentId?: string;
  /** Octets, decoded. */
  size: number;
  /** Of the decoded octets, hexadecimal. */
  sha256: string;
  /** Whether it was attached to a draft, so that the raw message does not contain it. */
  uploaded: boolean;
  /** Decoded, in order. */
  chunks: readonly Uint8Array<ArrayBuffer>[];
}

/** What the page shows of a message. */
export interface MessageContent {
  headers: { name: string; value: string }[];
  text: string | null;
  html: string | null;
  attachments: MessageAttachment[];
  /** Why the body could not be read. */
  error?: string;
}

/** Octets of header that are read for the list; the raw message still has the rest. */
const MAX_HEADER_SIZE = 512 * 1024;
/** Characters of a subject in the list, of which 500 are sent at once. */
const MAX_SUBJECT = 10_000;
/** Characters of a display name in the list. */
const MAX_NAME = 500;
/** Attachments that can be listed and downloaded; a message can consist of boundaries only. */
const MAX_ATTACHMENTS = 1000;

/** The list's fields. Reads only the header, so a large message costs no more than a small one. */
export async function readSummary(raw: Uint8Array): Promise<SummaryFields> {
  const header = await readHeader(raw);
  const [from] = mailboxes(header?.from && [header.from]);
  const to = mailboxes(header?.to);
  const cc = mailboxes(header?.cc);
  const bcc = mailboxes(header?.bcc);
  return {
    from: from?.address ?? "",
    to: to.map(({ address }) => address),
    cc: cc.map(({ address }) => address),
    bcc: bcc.map(({ address }) => address),
    subject: (header?.subject ?? "").slice(0, MAX_SUBJECT).toWellFormed(),
    fromName: from?.name ?? "",
    toNames: to.map(({ name }) => name),
    ccNames: cc.map(({ name }) => name),
    bccNames: bcc.map(({ name }) => name),
  };
}

/** Everything the page shows. Needs several times the message's size in memory. */
export async function readContent(raw: Uint8Array): Promise<MessageContent> {
  try {
    // Attached messages stay attachments, so that they can be downloaded as they were sent.
    const email = await PostalMime.parse(raw, { forceRfc822Attachments: true });
    return {
      headers: headersOf(email),
      text: email.text ?? null,
      html: email.html ?? null,
      attachments: email.attachments.slice(0, MAX_ATTACHMENTS).map(attachmentOf),
    };
  } catch (error) {
    const header = await readHeader(raw);
    return {
      headers: header === undefined ? [] : headersOf(header),
      text: null,
      html: null,
      attachments: [],
      error: error instanceof Error ? error.message : String(error),
    };
  }
}

async function readHeader(raw: Uint8Array): Promise<Email | undefined> {
  try {
    return await PostalMime.parse(raw.subarray(0, headerEnd(raw)));
  } catch {
    return undefined;
  }
}

/** Offset of the end of the header, at most MAX_HEADER_SIZE. */
function headerEnd(raw: Uint8Array): number {
  const limit = Math.min(raw.length, MAX_HEADER_SIZE);
  let lineStart = 0;
  while (lineStart < limit) {
    const lineEnd = raw.indexOf(0x0a, lineStart);
    if (lineEnd === -1 || lineEnd >= limit) return limit;
    const length = lineEnd - lineStart;
    if (length === 0 || (length === 1 && raw[lineStart] === 0x0d)) return lineStart;
    lineStart = lineEnd + 1;
  }
  return limit;
}

/** The mailboxes that have an address, including those in groups (`Team: a@example.com;`). */
function mailboxes(list: readonly Address[] | undefined): { name: string; address: string }[] {
  return (list ?? [])
    .flatMap((entry) => entry.group ?? [entry])
    .map(({ name, address = "" }) => ({
      name: (name ?? "").slice(0, MAX_NAME).toWellFormed(),
      address: address.toWellFormed(),
    }))
    .filter(({ address }) => address !== "");
}

function headersOf(email: Email): { name: string; value: string }[] {
  return email.headers.map(({ originalKey, value }) => ({ name: originalKey, value }));
}

function attachmentOf(part: Attachment, index: number): MessageAttachment {
  const contentId = part.contentId?.replace(/^\s*<|>\s*$/g, "");
  const bytes = bytesOf(part.content);
  return {
    index,
    filename: part.filename ?? "",
    contentType: part.mimeType,
    disposition: part.disposition ?? "",
    ...(contentId && { contentId }),
    size: bytes.length,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    uploaded: false,
    chunks: [bytes],
  };
}

function bytesOf(content: Attachment["content"]): Uint8Array<ArrayBuffer> {
  if (typeof content === "string") return new TextEncoder().encode(content);
  return content instanceof ArrayBuffer ? new Uint8Array(content) : new Uint8Array(content);
}
