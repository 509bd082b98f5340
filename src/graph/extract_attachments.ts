// Extracts large attachments from a message that is too large for one request to Graph, so that
// they can be uploaded separately. The rest is the same message, octet for octet, without these
// parts.

import { Buffer } from "node:buffer";
import { attachmentName, givenName } from "./attachment_name.ts";
import { applyEdits, type Edit } from "../message/edits.ts";
import {
  type LazyContent,
  LazyPiece,
  lengthOf as total,
  octetsIn,
  type Piece,
} from "../message/lazy_piece.ts";
import { dispositionOf, fieldBody, type Part, readMime } from "../message/mime.ts";
import { isTnef, lengthOf, type Obstacle, obstacle } from "./obstacle.ts";
import { parameter } from "../message/parameters.ts";
import { ContentView } from "../message/content_view.ts";
import {
  decodeBase64,
  decodedLength,
  decodeQuotedPrintable,
} from "../message/transfer_encoding.ts";

/** A part that was extracted from a message. */
export interface Attachment {
  /** A file name, never empty, without path, at most 255 characters. */
  readonly name: string;
  /** `type/subtype`, in lower case, without parameters. */
  readonly contentType: string;
  /** Without angle brackets. */
  readonly contentId?: string;
  /** Shown within the body by its content id. */
  readonly inline: boolean;
  /** Octets of the decoded content. */
  readonly size: number;
  /**
   * The decoded content in order, made while it is read; each call starts again.
   *
   * @param scratch whether a piece may be valid only until the next one
   */
  octets(scratch?: boolean): Iterable<Uint8Array>;
}

export type Extraction =
  | {
    readonly type: "extracted";
    readonly rest: LazyContent;
    /** In their order in the message. */
    readonly attachments: readonly Attachment[];
  }
  | (Obstacle & { readonly type: "tooLarge" });

/** Exchange Online accepts 250 files in a message. */
const MAX_ATTACHMENTS = 250;
/** Charsets of a message's texts that are tried for a name. */
const MAX_CHARSETS = 4;

const EMPTY_TEXT = "Content-Type: text/plain; charset=us-ascii\r\n";
const NOTHING = new Uint8Array();

/**
 * Extracts attachments, the largest first, until the rest fits. These parts stay: the texts that a
 * reader sees (text that has no file name and is not called an attachment, and all text
 * alternatives), the root of a multipart/related, signed or encrypted parts, and parts that could
 * not be understood or decoded. A nested message is extracted unchanged, octet for octet.
 *
 * @param limit octets that the rest may have at most
 */
export function extractAttachments(content: LazyContent, limit: number): Extraction {
  const pieces = new ContentView(content);
  if (pieces.length <= limit) return { type: "extracted", rest: content, attachments: [] };
  const root = readMime(pieces);
  if (root.protection !== undefined) return tooLarge(root, [], 0);
  const found = [...candidates(root, undefined)];
  found.sort((one, other) => lengthOf(other.part) - lengthOf(one.part));
  const taken: Candidate[] = [];
  let changes: Edit[] = [];
  let excess = pieces.length - limit;
  while (excess > 0) {
    const next = found[taken.length];
    if (next === undefined || taken.length === MAX_ATTACHMENTS) {
      return tooLarge(root, taken, excess);
    }
    taken.push(next);
    changes = removals(taken);
    excess = pieces.length - limit + growth(changes);
  }
  const nearby = charsetsOf(root);
  taken.sort((one, other) => one.part.start - other.part.start);
  changes.sort((one, other) => one.start - other.start);
  return {
    type: "extracted",
    rest: applyEdits(content, changes),
    attachments: taken.map((candidate, i) => attachmentOf(pieces, candidate, i + 1, nearby)),
  };
}

function tooLarge(root: Part, taken: readonly Candidate[], excess: number): Extraction {
  const gone = new Set(taken.map(({ part }) => part));
  const remaining = [...all(root)].filter((part) => part.kind !== "multipart" && !gone.has(part));
  const isFull = taken.length === MAX_ATTACHMENTS;
  return { type: "tooLarge", ...obstacle(remaining, excess, root.bodyStart, isFull) };
}

/** The charsets of the message's texts: file names without a charset mostly use the same. */
function charsetsOf(root: Part): string[] {
  const charsets = new Set<string>();
  for (const { type, contentType } of all(root)) {
    const charset = type.startsWith("text/") ? parameter(contentType, "charset") : undefined;
    if (charset !== undefined) charsets.add(charset.toLowerCase());
    if (charsets.size === MAX_CHARSETS) break;
  }
  return [...charsets];
}

interface Candidate {
  readonly part: Part;
  readonly parent: Part | undefined;
}

/** The parts that can be extracted. */
function* candidates(part: Part, parent: Part | undefined): Generator<Candidate> {
  if (part.kind === "multipart") {
    const root = relatedRoot(part);
    for (const child of part.parts) {
      if (child !== root || child.kind === "multipart") yield* candidates(child, part);
    }
  } else if (
    part.protection === undefined && part.encoding !== undefined && lengthOf(part) > 0 &&
    !isTnef(part) && (part.kind === "leaf" ? !isBody(part, parent) : isMessage(part))
  ) {
    yield { part, parent };
  }
}

/** The root of a multipart/related (RFC 2387 §3.2). */
function relatedRoot({ type, contentType, parts }: Part): Part | undefined {
  if (type !== "multipart/related") return undefined;
  const start = contentIdIn(parameter(contentType, "start") ?? "");
  const named = start === undefined ? undefined : parts.find((part) => contentIdOf(part) === start);
  return named ?? parts[0];
}

/** Whether a reader shows it as the message's text. */
function isBody(part: Part, parent: Part | undefined): boolean {
  if (parent?.type === "multipart/alternative" && part.type.startsWith("text/")) return true;
  return BODY_TYPES.has(part.type) && dispositionOf(part).value !== "attachment" &&
    givenName(part) === undefined;
}

const BODY_TYPES: ReadonlySet<string> = new Set([
  "text/plain",
  "text/html",
  "text/calendar",
  "text/enriched",
  "text/richtext",
]);

/** RFC 2046 §5.2.1, RFC 6532 §3.7 */
function isMessage({ kind, type }: Part): boolean {
  return kind === "message" && (type === "message/rfc822" || type === "message/global");
}

/** The edits that remove parts. */
function removals(taken: readonly Candidate[]): Edit[] {
  const parts = new Set(taken.map(({ part }) => part));
  return taken.flatMap(({ part, parent }) => {
    if (parent === undefined || part.enclosure === undefined) return emptied(part);
    const { boundary, bodyEnd, parts: siblings } = parent;
    let left = "";
    // A multipart must have a part (RFC 2046 §5.1.1): if all are removed, an empty text stays.
    if (siblings[0] === part && siblings.every((sibling) => parts.has(sibling))) {
      left += `--${boundary}\r\n${EMPTY_TEXT}\r\n\r\n`;
    }
    // A multipart without its end gets one: else the line end before the part would become content.
    if (part.enclosure.end === bodyEnd) left += `--${boundary}--\r\n`;
    return [{ ...part.enclosure, octets: Buffer.from(left, "latin1") }];
  });
}

/** A message that is only an attachment, as scanners send: the body is removed, the header stays. */
function emptied({ fields, headerEnd, bodyStart, bodyEnd }: Part): Edit[] {
  const described = fields.filter(({ name }) => name.startsWith("content-"));
  return [
    ...described.map(({ start, end }) => ({ start, end, octets: NOTHING })),
    { start: headerEnd, end: headerEnd, octets: Buffer.from(EMPTY_TEXT) },
    { start: bodyStart, end: bodyEnd, octets: NOTHING },
  ];
}

/** Octets by which a message grows. */
function growth(changes: readonly Edit[]): number {
  let sum = 0;
  for (const { start, end, octets } of changes) sum += octets.length - (end - start);
  return sum;
}

function* all(part: Part): Generator<Part> {
  yield part;
  for (const child of part.parts) yield* all(child);
}

function attachmentOf(
  pieces: ContentView,
  { part, parent }: Candidate,
  number: number,
  nearby: readonly string[],
): Attachment {
  const { encoding, bodyStart, bodyEnd } = part;
  const body = pieces.slice(bodyStart, bodyEnd);
  const decoded = encoding === "base64"
    ? decodedOf(body)
    : encoding === "quoted-printable"
    ? decodeQuotedPrintable(body)
    : body;
  const octets = (scratch?: boolean) =>
    decoded === undefined
      ? decodeBase64(octetsIn(body, true), scratch)
      : octetsIn(decoded, scratch);
  const contentId = contentIdOf(part);
  const { value: disposition } = dispositionOf(part);
  const isRelated = parent?.type === "multipart/related" && disposition !== "attachment";
  return {
    name: attachmentName(part, number, nearby),
    contentType: part.type,
    ...(contentId === undefined ? {} : { contentId }),
    inline: contentId !== undefined && (isRelated || disposition === "inline"),
    size: decoded === undefined ? decodedLength(octetsIn(body, true)) : total(decoded),
    octets,
  };
}

/** The decoded content of base64 that the relay itself has encoded as a whole. */
function decodedOf(body: LazyContent): LazyContent | undefined {
  const decoded: Piece[] = [];
  for (const piece of body) {
    if (!(piece instanceof LazyPiece) || piece.decoded === undefined) return undefined;
    decoded.push(...piece.decoded);
  }
  return decoded;
}

/** RFC 2045 §7 */
function contentIdOf(part: Part): string | undefined {
  return contentIdIn(fieldBody(part, "content-id") ?? "");
}

/** Without its brackets, which many programs omit. */
function contentIdIn(text: string): string | undefined {
  const body = text.replace(/\s+/g, "");
  const [, id = body] = /<([^<>]*)>/.exec(body) ?? [];
  return id === "" || id.length > MAX_CONTENT_ID ? undefined : id;
}

/** The longest line (RFC 5322 §2.1.1). */
const MAX_CONTENT_ID = 998;
