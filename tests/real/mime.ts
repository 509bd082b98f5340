// Messages to send, and what is read of those that have arrived.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

/** Lines of text, as they leave: ended by CRLF. */
export const lines = (...text: readonly string[]) => text.map((line) => `${line}\r\n`).join("");

export interface Draft {
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly messageId: string;
  /** Further fields, whole lines without their ends. */
  readonly fields?: readonly string[];
  /** The fields of the content and the body; a short text if left out. */
  readonly content?: string;
}

const TEXT = lines("Content-Type: text/plain; charset=utf-8", "", "A test message; delete it.");

export function message(draft: Draft): Buffer {
  const { from, to, subject, messageId, fields = [], content = TEXT } = draft;
  return Buffer.from(
    lines(
      ...fields,
      `From: ${from}`,
      `To: ${to}`,
      `Subject: ${subject}`,
      `Message-ID: ${messageId}`,
      "MIME-Version: 1.0",
    ) + content,
    "utf8",
  );
}

export interface File {
  /** The parameter of Content-Disposition, whole: `filename*=utf-8''…`. */
  readonly filename: string;
  readonly octets: Uint8Array;
  readonly contentId?: string;
}

/** A text with files, as content for `message`. */
export function withFiles(files: readonly File[]): string {
  const parts = files.map(({ filename, octets, contentId }) =>
    lines(
      "--real-files",
      `Content-Type: ${contentId === undefined ? "application/octet-stream" : "image/png"}`,
      "Content-Transfer-Encoding: base64",
      ...(contentId === undefined ? [] : [`Content-ID: <${contentId}>`]),
      `Content-Disposition: ${contentId === undefined ? "attachment" : "inline"}; ${filename}`,
      "",
    ) + wrapped(octets)
  );
  return lines(
    'Content-Type: multipart/mixed; boundary="real-files"',
    "",
    "--real-files",
    "Content-Type: text/plain",
    "",
    "A test message with files; delete it.",
  ) + parts.join("") + lines("--real-files--");
}

/** Octets for a file, the same each time. */
export function octets(length: number): Buffer {
  return Buffer.alloc(length, PATTERN);
}

/** A prime number of them, so that ranges of an upload that are mixed up show. */
const PATTERN = createHash("shake256", { outputLength: 65_521 }).update("real").digest();

/** Base64 in lines of 76 characters (RFC 2045 §6.8). */
function wrapped(data: Uint8Array): string {
  return Buffer.from(data).toString("base64").replace(/.{1,76}/g, "$&\r\n");
}

/** A message whose base64, in one line, has exactly so many octets. @param base64 a multiple of 4 */
export function ofSize(draft: Draft, base64: number): Buffer {
  const head = message({ ...draft, content: lines("Content-Type: text/plain", "") });
  const size = base64 / 4 * 3 - head.length;
  const line = `${"x".repeat(70)}\r\n`;
  // The last line is longer instead of a piece of one, so that no CR or LF is alone.
  const last = `${"x".repeat(size % line.length)}${line}`;
  const body = line.repeat(Math.floor(size / line.length) - 1) + last;
  return Buffer.concat([head, Buffer.from(body, "latin1")]);
}

/** The unfolded bodies of fields of the message's header, by name. */
export function fieldsOf(raw: Uint8Array, name: string): readonly string[] {
  const message = Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength);
  const end = message.indexOf("\r\n\r\n");
  return message.toString("utf8", 0, end < 0 ? message.length : end)
    .split(/\r\n(?![ \t])/)
    .filter((field) => field.toLowerCase().startsWith(`${name.toLowerCase()}:`))
    .map((field) => field.slice(name.length + 1).replaceAll("\r\n", "").trim());
}

/** Addresses in a field, in lower case. */
export function addressesIn(field: string): readonly string[] {
  return field.toLowerCase().match(/[\w.+-]+@[\w.-]+/g) ?? [];
}
