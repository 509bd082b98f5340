// Finds the parts of a message and their positions (RFC 2045, RFC 2046). Line ends may still be
// CRLF, LF or CR CR LF. Anything that is not understood is one opaque part, in which nothing is
// changed: better a message that is not improved than one that is mangled.

import { plainBoundariesOf } from "./boundary.ts";
import { type Field, readPartHeader } from "./part_header.ts";
import {
  parameter,
  type Parameterized,
  parseParameterized,
  textsOf,
  withoutComments,
} from "./parameters.ts";
import type { ContentView } from "./content_view.ts";

/** RFC 2045 §6.1 */
export type TransferEncoding = "7bit" | "8bit" | "binary" | "quoted-printable" | "base64";

export interface Part {
  /**
   * `multipart` has its parts in `parts`; `leaf` has a content; `message` is a nested message or
   * another type message/*; `opaque` is signed or encrypted, or was not understood.
   */
  readonly kind: "multipart" | "leaf" | "message" | "opaque";
  /** Signed or encrypted: RFC 1847, RFC 8551. */
  readonly protection: "signed" | "encrypted" | undefined;
  /** `type/subtype` in lower case; the default if it is missing or malformed. */
  readonly type: string;
  readonly contentType: Parameterized;
  /** Undefined if it is unknown or malformed, or if several different ones are given. */
  readonly encoding: TransferEncoding | undefined;
  /** The fields that begin with `Content-`, and MIME-Version. */
  readonly fields: readonly Field[];
  /** Position where the header begins. */
  readonly start: number;
  /** Position after the last field, where a field can be added. */
  readonly headerEnd: number;
  readonly bodyStart: number;
  /** The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1). */
  readonly bodyEnd: number;
  readonly parts: readonly Part[];
  /** For a part of a multipart: from its delimiter line up to the next one. */
  readonly enclosure: { readonly start: number; readonly end: number } | undefined;
  /** For a multipart: one character an octet. */
  readonly boundary: string | undefined;
}

/** Multiparts within multiparts. */
const MAX_DEPTH = 50;
/** Of a whole message. */
const MAX_PARTS = 10_000;
/** How many times a message's octets may be searched, because multiparts are nested. */
const MAX_SEARCHES = 8;
/** Lines in a whole message that begin like a delimiter but are not one. */
const MAX_OTHERS = 10_000;

/** The structure of a message; its root is the message itself. */
export function readMime(pieces: ContentView): Part {
  return new Reader(pieces).part(0, pieces.length, undefined, undefined, 0);
}

/** The body of the first field with this lower-case name, with its folding, one character an octet. */
export function fieldBody({ fields }: Described, name: string): string | undefined {
  return fields.find((field) => field.name === name)?.body;
}

/** RFC 2183 */
export function dispositionOf(part: Described): Parameterized {
  return parseParameterized(fieldBody(part, "content-disposition") ?? "");
}

/**
 * The file names of a part: first those of its disposition (RFC 2183 §2.3), then those of its type
 * (RFC 2046 §4.1).
 *
 * @param nearby charset labels for names without one, besides the part's own
 */
export function fileNamesOf(part: Described, nearby: readonly string[] = []): string[] {
  const own = parameter(part.contentType, "charset");
  const charsets = own === undefined ? nearby : [own, ...nearby];
  return [
    ...textsOf(dispositionOf(part), "filename", charsets),
    ...textsOf(part.contentType, "name", charsets),
  ];
}

type Described = Pick<Part, "fields" | "contentType">;

class Reader {
  readonly #pieces: ContentView;
  #parts = 1;
  #others = 0;
  /** Octets that may still be searched. */
  #budget: number;

  constructor(pieces: ContentView) {
    this.#pieces = pieces;
    this.#budget = MAX_SEARCHES * pieces.length;
  }

  /** @param depth multiparts around it */
  part(
    start: number,
    end: number,
    enclosure: Part["enclosure"],
    around: string | undefined,
    depth: number,
  ): Part {
    const isMessage = enclosure === undefined;
    const header = readPartHeader(this.#pieces, start, end, isMessage);
    const { fields } = header;
    const types = fields.filter(({ name }) => name === "content-type").map(({ body }) => body);
    const contentType = parseParameterized(types[0] ?? "");
    const type = mediaType(contentType.value, around);
    const base = {
      type,
      contentType,
      encoding: transferEncoding(fields),
      fields,
      start,
      headerEnd: header.end,
      bodyStart: header.bodyStart,
      bodyEnd: Math.max(header.bodyStart, end),
      enclosure,
      parts: [],
      boundary: undefined,
      protection: protectionOf(type, contentType) ??
        (isMessage ? protectionByName(type, { fields, contentType }) : undefined),
    };
    const opaque: Part = { ...base, kind: "opaque" };
    // Readers choose differently among several types.
    if (header.malformed || types.some((other) => other !== types[0])) return opaque;
    if (type.startsWith("message/")) return { ...base, kind: "message" };
    if (!type.startsWith("multipart/")) return { ...base, kind: "leaf" };
    // For any encoding: a multipart is never encoded (RFC 2045 §6.4), but some programs write a
    // part's encoding there too.
    if (base.protection !== undefined || depth >= MAX_DEPTH) return opaque;
    const found = plainBoundariesOf(contentType).flatMap((boundary) => {
      const delimiters = this.#delimiters(boundary, base.bodyStart, base.bodyEnd);
      return delimiters === undefined ? [] : [{ boundary, delimiters }];
    });
    const [only] = found;
    // Readers choose differently between two boundaries that both have delimiter lines.
    if (only === undefined || found.length > 1) return opaque;
    const { boundary, delimiters } = only;
    const parts = delimiters.map((delimiter, i) =>
      this.part(
        delimiter.partStart,
        delimiter.partEnd,
        { start: delimiter.start, end: delimiters[i + 1]?.start ?? delimiter.next },
        type,
        depth + 1,
      )
    );
    return { ...base, kind: "multipart", parts, boundary };
  }

  /**
   * The delimiter lines before each part (RFC 2046 §5.1.1). Undefined if there are none or too
   * many, or if text follows one on its line: some readers take that for a delimiter.
   */
  #delimiters(boundary: string, from: number, end: number): Delimiter[] | undefined {
    this.#budget -= end - from;
    if (this.#budget < 0) return undefined;
    const needle = `\n--${boundary}`;
    const found: Delimiter[] = [];
    let open: { start: number; partStart: number } | undefined;
    const close = (partEnd: number, next: number) => {
      if (open === undefined) return;
      found.push({ ...open, partEnd: Math.max(open.partStart, partEnd), next });
      open = undefined;
    };
    // The first one needs no line end before it.
    const first = this.#pieces.text(from, Math.min(from + needle.length - 1, end));
    let at = first === needle.slice(1) ? from : this.#next(needle, from, end);
    while (at >= 0) {
      const line = this.#delimiterLine(at + needle.length - 1, end);
      if (line === "ambiguous") return undefined;
      if (line !== "other") {
        close(this.#lineStart(at, from), at);
        if (line.closes) return found.length > 0 ? found : undefined;
        if (++this.#parts > MAX_PARTS) return undefined;
        open = { start: at, partStart: line.end };
        // This line's end may be the line end before the next delimiter.
        at = this.#next(needle, Math.max(line.end - 1, at + 1), end);
      } else {
        if (++this.#others > MAX_OTHERS) return undefined;
        at = this.#next(needle, at + 1, end);
      }
    }
    close(end, end);
    return found.length > 0 ? found : undefined;
  }

  /** Position of the hyphens. */
  #next(needle: string, from: number, end: number): number {
    const found = this.#pieces.indexOf(needle, from, end);
    return found < 0 ? -1 : found + 1;
  }

  /** Reads the rest of a line after the boundary. It is a delimiter only if that is white space. */
  #delimiterLine(
    at: number,
    end: number,
  ): { readonly closes: boolean; readonly end: number } | "ambiguous" | "other" {
    const rest = this.#pieces.text(at, Math.min(at + MAX_PADDING, end));
    const match = /^(--)?[ \t\r]*(?:\n|$)/.exec(rest);
    const isWhole = match !== null && (match[0].endsWith("\n") || at + match[0].length === end);
    if (isWhole) return { closes: match[1] !== undefined, end: at + match[0].length };
    return /^(?:--)?[ \t\r]/.test(rest) ? "ambiguous" : "other";
  }

  /** Position of the line end before a delimiter: one CR belongs to it. */
  #lineStart(at: number, from: number): number {
    if (at - 2 >= from && this.#pieces.text(at - 2, at - 1) === "\r") return at - 2;
    return Math.max(at - 1, from);
  }
}

/** Octets of white space after a boundary (RFC 2046 §5.1.1 `transport-padding`) that are read. */
const MAX_PADDING = 1000;

interface Delimiter {
  readonly start: number;
  readonly partStart: number;
  readonly partEnd: number;
  /** Position of the next delimiter, or of the end of the multipart. */
  readonly next: number;
}

/** RFC 2045 §5.2, and RFC 2046 §5.1.5 for digests. */
function mediaType(value: string, around: string | undefined): string {
  if (/^[!#$%&'*+.^_`{|}~\w-]+\/[!#$%&'*+.^_`{|}~\w-]+$/.test(value)) return value;
  // A multipart or message without a subtype is not text: opaque.
  if (/^(?:multipart|message)\b/.test(value)) return "message/unknown";
  return value === "" && around === "multipart/digest" ? "message/rfc822" : "text/plain";
}

function protectionOf(type: string, contentType: Parameterized): Part["protection"] {
  if (type === "multipart/signed") return "signed";
  if (type === "multipart/encrypted") return "encrypted";
  if (!/^application\/(?:x-)?pkcs7-mime$/.test(type)) return undefined;
  // RFC 8551 §3.2.2
  const smimeType = parameter(contentType, "smime-type")?.toLowerCase();
  return smimeType === "signed-data" ? "signed" : "encrypted";
}

/**
 * A whole message may be S/MIME by its file name alone (RFC 8551 §3.9). A part with such a name is
 * an ordinary file, for example a signed document.
 */
function protectionByName(type: string, part: Described): Part["protection"] {
  if (type !== "application/octet-stream") return undefined;
  const name = fileNamesOf(part).find((name) => name.trim() !== "") ?? "";
  const [, suffix] = /\.(p7[mscz])$/i.exec(name.trimEnd()) ?? [];
  if (suffix === undefined) return undefined;
  return suffix.toLowerCase() === "p7s" ? "signed" : "encrypted";
}

function transferEncoding(fields: readonly Field[]): TransferEncoding | undefined {
  const given = fields.filter(({ name }) => name === "content-transfer-encoding")
    .map(({ body }) => encodingOf(body)).filter((encoding) => encoding !== "");
  const [value = "7bit"] = given;
  // Readers choose differently among several encodings.
  if (given.some((other) => other !== value)) return undefined;
  return ENCODINGS.find((encoding) => encoding === value);
}

/**
 * The value of a Content-Transfer-Encoding field, or "". Some programs end it with a semicolon, as
 * if parameters could follow, or quote it. 7bit or 8bit with blanks or hyphens in it can mean
 * nothing else, because readers do not decode encodings that they do not know (RFC 2045 §6.4).
 */
function encodingOf(body: string): string {
  const text = encodingText(body);
  if (text.length > MAX_ENCODING) return text;
  const bare = text.replace(/^["'\s]+|["'\s;,.]+$/g, "");
  const joined = bare.replace(/["'\s-]+/g, "");
  return joined === "" ? "" : IDENTITY.exec(joined)?.[1] ?? bare;
}

/** Characters; the longest encoding has 16. */
const MAX_ENCODING = 200;
const IDENTITY = /^([78]bit)s?$/;

/** In lower case, without comments. */
export function encodingText(body: string): string {
  return withoutComments(body).trim().toLowerCase();
}

const ENCODINGS: readonly TransferEncoding[] = [
  "7bit",
  "8bit",
  "binary",
  "quoted-printable",
  "base64",
];
