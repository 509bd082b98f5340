/** Arbitrary MIME messages, and a simple reader of them that shares nothing with the code under test. */
import { Buffer } from "node:buffer";
import * as fc from "../support/property.ts";

/** What a reader finds in a leaf, or in what must not be touched. */
export interface Leaf {
  readonly type: string;
  readonly encoding: string;
  /** One character per octet. */
  readonly content: string;
  /** Inside a signed, encrypted or nested part. */
  readonly raw: boolean;
}

export type Tree =
  | {
    readonly kind: "leaf";
    readonly type: string;
    readonly extra: string;
    /** As written in the field; undefined without one. */
    readonly encoding: string | undefined;
    readonly label: string;
    readonly content: string;
    readonly width: number;
  }
  | { readonly kind: "raw"; readonly header: string; readonly body: string }
  | {
    readonly kind: "multipart";
    readonly subtype: string;
    /** A field without meaning there (RFC 2045 §6.4). */
    readonly encoding: string;
    readonly style: number;
    readonly preamble: string;
    readonly epilogue: string;
    readonly padding: string;
    readonly closed: boolean;
    readonly parts: readonly Tree[];
  };

const LINE = fc.oneof(
  fc.constantFrom("", "a", "--", "--b1x", "--b", "=", " ", "-- \t", "=3D", "From x", ".", "ä\xff"),
  fc.string({ unit: "binary-ascii", maxLength: 12 }).map((text) => text.replace(/[\r\n\0]/g, "")),
  fc.constant("x".repeat(999)),
  fc.constant("x".repeat(998)),
);
const LINE_END = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\r\r\n", "\r", "\0");

/** Lines with ends of all kinds. */
const ANY_LINES = fc.array(fc.tuple(LINE, LINE_END), { maxLength: 6 })
  .map((lines) => lines.map(([line, end]) => line + end).join(""));
const CRLF_LINES = fc.array(LINE, { maxLength: 4 })
  .map((lines) => lines.map((line) => `${line}\r\n`).join(""));

const LEAF: fc.Arbitrary<Tree> = fc.record({
  kind: fc.constant("leaf" as const),
  type: fc.constantFrom(
    "text/plain; charset=utf-8",
    'text/html;\r\n charset="utf-8"',
    "text/plain",
    "TEXT/CSV; name=a.csv",
    'application/pdf; name="a;b.pdf"',
    "image/png",
    "",
  ),
  extra: fc.constantFrom(
    "",
    "",
    'Content-Disposition: attachment; filename="x.bin"\r\n',
    "Content-ID: <a@b>\r\nContent-Disposition: inline\r\n",
  ),
  encoding: fc.constantFrom(
    undefined,
    "7bit",
    "8bit",
    "binary",
    "base64",
    "quoted-printable",
    "quoted-printable",
    "Quoted-Printable",
    "(quoted-printable) QUOTED-PRINTABLE (quoted-printable)",
    "quoted-printable (;) ; ",
    "base64;",
    "x-own",
  ),
  label: fc.constantFrom("Content-Transfer-Encoding: ", "CONTENT-transfer-encoding:\r\n  "),
  content: fc.oneof(ANY_LINES, CRLF_LINES),
  width: fc.constantFrom(76, 60, 5000),
});

const RAW: fc.Arbitrary<Tree> = fc.record({
  kind: fc.constant("raw" as const),
  header: fc.constantFrom(
    'Content-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"',
    "Content-Type: multipart/encrypted; boundary=s",
    "Content-Type: message/rfc822",
    "Content-Type: multipart/mixed",
    "Content-Type: multipart/mixed; boundary=never",
  ),
  body: fc.tuple(CRLF_LINES, CRLF_LINES).map(([one, other]) =>
    "Subject: nested\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
    `--s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n${one}=3D=\r\n\r\n--s\r\n\r\n${other}--s--\r\n`
  ),
});

export const TREE: fc.Arbitrary<Tree> = fc.letrec<{ tree: Tree; multipart: Tree }>((tie) => ({
  tree: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    { arbitrary: LEAF, weight: 4 },
    { arbitrary: RAW, weight: 1 },
    { arbitrary: tie("multipart"), weight: 4 },
  ),
  multipart: fc.record({
    kind: fc.constant("multipart" as const),
    subtype: fc.constantFrom("mixed", "alternative", "related", "x-own", "Mixed"),
    encoding: fc.constantFrom("", "", "8-bit", "base64", "quoted-printable")
      .map((encoding) => encoding && `Content-Transfer-Encoding: ${encoding}\r\n`),
    style: fc.nat({ max: 4 }),
    preamble: fc.oneof(fc.constant(""), CRLF_LINES),
    epilogue: fc.oneof(fc.constant(""), CRLF_LINES),
    padding: fc.constantFrom("", "", " ", "\t "),
    closed: fc.boolean(),
    parts: fc.array(tie("tree"), { minLength: 1, maxLength: 4 }),
  }),
})).tree;

/** The message of a tree, one character per octet. */
export function render(tree: Tree): string {
  return "Subject: any\r\nMIME-Version: 1.0\r\n" + renderPart(tree, "", new Set(), { next: 1 });
}

function renderPart(tree: Tree, parent: string, used: Set<string>, counter: { next: number }) {
  if (tree.kind === "raw") return `${tree.header}\r\n\r\n${tree.body}`;
  if (tree.kind === "leaf") {
    const type = tree.type === "" ? "" : `Content-Type: ${tree.type}\r\n`;
    const encoding = tree.encoding === undefined ? "" : `${tree.label}${tree.encoding}\r\n`;
    return `${type}${tree.extra}${encoding}\r\n${encoded(tree.content, tree.encoding, tree.width)}`;
  }
  const boundary = boundaryFor(tree.style, parent, used, counter);
  used.add(boundary);
  const quoted = tree.style % 2 === 0 ? `"${boundary}"` : boundary;
  let text = `Content-Type: multipart/${tree.subtype}; boundary=${quoted}\r\n` +
    `${tree.encoding}\r\n${tree.preamble}`;
  for (const part of tree.parts) {
    text += `--${boundary}${tree.padding}\r\n${renderPart(part, boundary, used, counter)}\r\n`;
  }
  // Without its end it must not swallow anything: then nothing may follow.
  return tree.closed ? `${text}--${boundary}--${tree.padding}\r\n${tree.epilogue}` : text;
}

/** Some are prefixes of others, or others with a suffix. */
function boundaryFor(style: number, parent: string, used: Set<string>, counter: { next: number }) {
  const own = `b${counter.next++}`;
  if (parent === "") return style > 2 ? `${own}-long` : own;
  const related = style === 1 ? `${parent}${own}` : style === 2 ? parent.slice(0, -1) : own;
  return related.length < 2 || related.endsWith("-") || used.has(related) ? own : related;
}

function encoded(content: string, encoding: string | undefined, width: number): string {
  if (encoding?.startsWith("base64")) {
    const characters = Buffer.from(content, "latin1").toString("base64");
    return characters.replace(new RegExp(`.{${width}}(?=.)`, "g"), "$&\r\n");
  }
  if (encoding === undefined || !/quoted-printable/i.test(encoding)) return content;
  return content.split("\r\n").map((line) =>
    line.replace(
      /[^ -<>-~]|[ \t]$/g,
      (octet) => `=${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
    ).replace(
      /(?:=..|[^=]){60}(?=.)/g,
      "$&=\r\n",
    )
  ).join("\r\n");
}

/**
 * The leaves of a message in order, read strictly: lines end in CRLF, and a delimiter line is what
 * RFC 2046 §5.1.1 says.
 */
export function readLeaves(text: string, around: readonly string[] = []): Leaf[] {
  const empty = text.startsWith("\r\n") ? 0 : text.indexOf("\r\n\r\n");
  const header = empty < 0 ? text : text.slice(0, empty);
  const body = empty < 0 ? "" : text.slice(empty + (empty === 0 ? 2 : 4));
  const field = (name: string) =>
    new RegExp(`^${name}:((?:[^\r\n]|\r\n[ \t])*)`, "im").exec(header)?.[1]?.trim();
  const type = (field("content-type") ?? "text/plain").toLowerCase();
  const encoding = (field("content-transfer-encoding") ?? "7bit").replace(/\([^)]*\)/g, "").trim()
    .replace(/\s*;$/, "").toLowerCase();
  const boundary = /^multipart\/(?!signed|encrypted)/.test(type)
    ? /boundary="?([^";\s]+)"?/.exec(field("content-type")!)?.[1]
    : undefined;
  const parts = boundary === undefined ? undefined : splitParts(body, boundary);
  if (parts !== undefined) return parts.flatMap((part) => readLeaves(part, [...around, boundary!]));
  const raw = /^(?:multipart|message)\//.test(type);
  const media = type.split(";")[0]!;
  if (raw) return [{ type: media, encoding, content: body, raw }];
  return [{ type: media, encoding, content: decoded(body, encoding), raw }];
}

function splitParts(body: string, boundary: string): string[] | undefined {
  const parts: string[] = [];
  let current: string[] | undefined;
  for (const line of body.split("\r\n")) {
    const trimmed = line.replace(/[ \t]+$/, "");
    if (trimmed === `--${boundary}` || trimmed === `--${boundary}--`) {
      if (current !== undefined) parts.push(current.join("\r\n"));
      current = [];
      if (trimmed.endsWith("--") && trimmed !== `--${boundary}`) {
        return parts.length ? parts : undefined;
      }
    } else {
      current?.push(line);
    }
  }
  if (current !== undefined) parts.push(current.join("\r\n"));
  return parts.length > 0 ? parts : undefined;
}

function decoded(body: string, encoding: string): string {
  if (encoding === "base64") return Buffer.from(body, "base64").toString("latin1");
  if (encoding !== "quoted-printable") return body;
  return body.replace(/[ \t]+(?=\r\n|$)/g, "").replace(/=(?:\r\n|$)/g, "").replace(
    /=([0-9A-Fa-f]{2})/g,
    (_, hex: string) => String.fromCharCode(parseInt(hex, 16)),
  );
}
