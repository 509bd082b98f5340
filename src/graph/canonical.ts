// The form of a message's octets that Exchange does not change: lines end in CRLF and have 998
// octets at most (RFC 5322 §2.1), content without such lines is base64 (RFC 2045 §2.7 to §2.9, §6),
// and nothing is quoted-printable, because Exchange loses its soft line breaks.

import { Buffer } from "node:buffer";
import { CR } from "../octets.ts";
import type { Content } from "../smtp/content.ts";
import { applyEdits, type Edit } from "../message/edits.ts";
import { withoutHiddenDots } from "../message/hidden_dots.ts";
import { hasIrregular, hasLongLine, hasNul, mayHoldQuotedPrintable } from "../message/scan.ts";
import { withCrlf } from "../message/line_endings.ts";
import { type LazyContent, octetsIn, type Piece } from "../message/lazy_piece.ts";
import { encodingText, type Part, readMime } from "../message/mime.ts";
import { parameter, withoutComments } from "../message/parameters.ts";
import type { Field } from "../message/part_header.ts";
import { ContentView, editsFor } from "../message/content_view.ts";
import { decodeQuotedPrintable, encodeBase64, rewrapBase64 } from "../message/transfer_encoding.ts";

export interface CanonicalOptions {
  /** Quoted-printable leaf parts become base64. */
  readonly reencodeQuotedPrintable: boolean;
}

/**
 * The message in that form. A message that has it already is handed back as it is; of others all
 * stays, octet for octet, but
 *
 * - line ends, which become CRLF (`withCrlf`) wherever the octets are not those of a binary part;
 * - a part with a binary content that holds NULs, long lines, or CR or LF apart from CRLF: base64;
 * - a text with NULs or long lines: base64;
 * - a part in base64 with long lines: they are broken;
 * - a part in quoted-printable, if so asked for: base64;
 * - a message without MIME-Version in which a part became base64: it gets one.
 *
 * The decoded content of a part is the same afterwards. Inside of nested messages and of multiparts
 * that are signed or encrypted only line ends are repaired, for signatures are made over CRLF (RFC 1847
 * §2.1), and lines that NULs alone keep from being a dot (`withoutHiddenDots`). The same goes for what
 * is malformed. An S/MIME content of one part (application/pkcs7-mime) is protected within itself,
 * whatever its encoding: it is treated as other files are, but its quoted-printable stays.
 */
export function canonical(
  content: Content,
  { reencodeQuotedPrintable }: CanonicalOptions,
): LazyContent {
  const irregular = hasIrregular(content);
  const reencode = reencodeQuotedPrintable && mayHoldQuotedPrintable(content);
  if (!irregular && !reencode) return content;
  const pieces = new ContentView(content);
  const root = readMime(pieces);
  const edits: Edit<Piece>[] = [];
  let relabelled = false;
  for (const leaf of leaves(root)) {
    const base64 = inBase64(pieces, leaf, irregular, reencode);
    if (base64 === undefined) continue;
    if (leaf.encoding !== "base64") {
      edits.push(...base64Labels(leaf));
      relabelled = true;
    }
    edits.push(...editsFor(leaf.bodyStart, leaf.bodyEnd, base64));
  }
  if (relabelled) {
    edits.unshift(...mimeVersion(root));
    edits.sort((one, other) => one.start - other.start);
  }
  const edited = applyEdits(content, edits);
  if (!irregular) return edited;
  const fit = withCrlf(edited);
  return hasNul(edited) ? withoutHiddenDots(fit) : fit;
}

/** In their order in the message. */
function* leaves(part: Part): Generator<Part> {
  if (part.kind === "leaf") yield part;
  for (const child of part.parts) yield* leaves(child);
}

/** The body as base64, or undefined if it can stay as it is, apart from line ends. */
function inBase64(
  pieces: ContentView<Uint8Array>,
  leaf: Part,
  irregular: boolean,
  reencode: boolean,
): LazyContent | undefined {
  const body = pieces.slice(leaf.bodyStart, leaf.bodyEnd);
  if (body.length === 0) return undefined;
  // The line end before a delimiter does not belong to the part.
  const lastLineEnd = leaf.bodyEnd === pieces.length;
  switch (leaf.encoding) {
    case "quoted-printable":
      // Only a precaution, for which signed or encrypted parts are not changed.
      if (!reencode || leaf.protection !== undefined) return undefined;
      return encodeBase64(decodeQuotedPrintable(body), lastLineEnd);
    case "base64":
      return irregular && hasLongLine(body) ? rewrapBase64(body, lastLineEnd) : undefined;
    case "7bit":
    case "8bit":
    case "binary": {
      if (!irregular) return undefined;
      if (isBinary(leaf)) {
        return hasIrregular(body) ? encodeBase64(body, lastLineEnd) : undefined;
      }
      const text = withCrlf(withoutLastCrs(body, lastLineEnd));
      return hasNul(body) || hasLongLine(octetsIn(text, true))
        ? encodeBase64(text, lastLineEnd)
        : undefined;
    }
    default:
      return undefined;
  }
}

/** Whether CR and LF are ordinary octets instead of line ends (RFC 2046 §4.1.1). */
function isBinary({ encoding, type, contentType }: Part): boolean {
  if (encoding === "binary" || !type.startsWith("text/")) return true;
  return /^(?:utf-?16|utf-?32|ucs-?[24]|iso-10646)/i.test(parameter(contentType, "charset") ?? "");
}

/** CRs before a delimiter's CRLF belong to that line end: CR CR LF. */
function withoutLastCrs(body: Content, isLast: boolean): Content {
  if (isLast || body.at(-1)?.at(-1) !== CR) return body;
  const kept = [...body];
  for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
    let end = last.length;
    while (end > 0 && last[end - 1] === CR) end--;
    if (end === 0) continue;
    kept.push(last.subarray(0, end));
    break;
  }
  return kept;
}

const FIELD = "Content-Transfer-Encoding";

/** Replaces the named encoding by base64, or adds the field. */
function base64Labels(leaf: Part): Edit[] {
  const fields = leaf.fields.filter(({ name }) => name === FIELD.toLowerCase());
  if (fields.length === 0) {
    const octets = Buffer.from(`${FIELD}: base64\r\n`);
    return [{ start: leaf.headerEnd, end: leaf.headerEnd, octets }];
  }
  const token = leaf.encoding!;
  return fields.map(({ body, bodyStart }) => {
    const given = encodingText(body);
    // A semicolon after it goes too.
    if ((given.endsWith(";") ? given.slice(0, -1).trimEnd() : given) === token) {
      const text = withoutComments(body).toLowerCase();
      const start = text.indexOf(token);
      const end = Math.max(start + token.length, text.lastIndexOf(";") + 1);
      return { start: bodyStart + start, end: bodyStart + end, octets: Buffer.from("base64") };
    }
    return { ...wholeBody({ body, bodyStart }), octets: Buffer.from(" base64") };
  });
}

/** Adds a missing or empty MIME-Version, without which the encoding has no effect (RFC 2045 §4). */
function mimeVersion({ fields, headerEnd }: Part): Edit[] {
  const [given] = fields.filter(({ name }) => name === "mime-version");
  if (given === undefined) {
    const octets = Buffer.from("MIME-Version: 1.0\r\n");
    return [{ start: headerEnd, end: headerEnd, octets }];
  }
  return given.body.trim() === "" ? [{ ...wholeBody(given), octets: Buffer.from(" 1.0") }] : [];
}

/** A field's body without the line end after it. */
function wholeBody({ body, bodyStart }: Pick<Field, "body" | "bodyStart">) {
  let end = body.length;
  while (end > 0 && (body[end - 1] === "\n" || body[end - 1] === "\r")) end--;
  return { start: bodyStart, end: bodyStart + end };
}
