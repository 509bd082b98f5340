// Makes To, Cc and Bcc name exactly the envelope's recipients, because Exchange takes the
// recipients from these fields.
// https://learn.microsoft.com/graph/outlook-send-mime-message

import { Buffer } from "node:buffer";
import { type Item, parseAddressList } from "../message/address_list.ts";
import { addressKey } from "../message/addresses.ts";
import type { Edit } from "../message/edits.ts";
import { type HeaderField, isWhite } from "../message/header.ts";
import { refolded } from "../message/folding.ts";

/** The fields of a header with recipients, in their order. */
export interface RecipientFields {
  readonly to: readonly HeaderField[];
  readonly cc: readonly HeaderField[];
  readonly bcc: readonly HeaderField[];
}

export interface RecipientEdits {
  readonly edits: readonly Edit[];
  /** A Bcc field with its line end, for a header that has none; or "". */
  readonly bcc: string;
}

/** Between two addresses that the relay writes: one line for each. */
const FOLDED_COMMA = ",\r\n\t";

/**
 * Makes the header name the envelope's recipients. A recipient that is missing is added to Bcc. One that is not
 * in the envelope is taken out, and so is whatever might be an address to Exchange; the reader's
 * view of To and Cc stays in `X-Original-To` and `X-Original-Cc`, the only kind of field that
 * Exchange may keep. Of Bcc nothing is kept, because no reader was meant to see it.
 *
 * @param recipients the envelope's, each with its domain
 */
export function recipientEdits(
  fields: RecipientFields,
  recipients: readonly string[],
): RecipientEdits {
  const wanted = new Map<string, string>();
  for (const recipient of recipients) {
    const key = addressKey(recipient);
    if (!wanted.has(key)) wanted.set(key, recipient);
  }
  const named = new Set<string>();
  const sift = (field: HeaderField) => sifted(field, wanted, named);
  const to = fields.to.map(sift);
  const cc = fields.cc.map(sift);
  const bcc = fields.bcc.map(sift);

  const missing: string[] = [];
  if (named.size < wanted.size) {
    for (const [key, recipient] of wanted) {
      if (!named.has(key)) missing.push(listed(recipient));
    }
  }
  const edits: Edit[] = [];
  rewrite(to, [], TO, edits);
  rewrite(cc, [], CC, edits);
  rewrite(bcc, missing, BCC, edits);
  const added = missing.length > 0 && bcc.length === 0;
  return { edits, bcc: added ? `Bcc: ${missing.join(FOLDED_COMMA)}\r\n` : "" };
}

/** The address as an item of a list. Some readers take a colon in it for the beginning of a group. */
function listed(address: string): string {
  return address.endsWith("]") ? `<${address}>` : address;
}

/** What stays of an item: its range in the field's body where that is all, which mostly costs nothing more. */
type Kept = Uint8Array | Pick<Item, "start" | "end">;

function octetsIn(kept: Kept, body: Buffer): Uint8Array {
  return kept instanceof Uint8Array ? kept : body.subarray(kept.start, kept.end);
}

/** The part of a field that stays. */
interface Sifted {
  readonly field: HeaderField;
  /** The items that stay, each with the white space around it. */
  readonly kept: readonly Kept[];
  /** How many of the envelope's recipients they name. */
  readonly recipients: number;
  /** Something was removed or rewritten. */
  readonly reduced: boolean;
  readonly regular: boolean;
}

function sifted(
  field: HeaderField,
  wanted: ReadonlyMap<string, string>,
  named: Set<string>,
): Sifted {
  const body = field.body;
  const { items, regular } = parseAddressList(body);
  let recipients = 0;
  let reduced = false;
  const siftItems = (list: readonly Item[]): Kept[] => {
    const kept: Kept[] = [];
    for (const item of list) {
      if (item.type === "empty") continue;
      if (item.type === "group") {
        kept.push(siftGroup(item));
        continue;
      }
      const key = item.type === "mailbox" && item.unambiguous
        ? addressKey(item.address)
        : undefined;
      if (item.type !== "mailbox" || key === undefined || !wanted.has(key)) {
        reduced = true;
        continue;
      }
      named.add(key);
      recipients++;
      if (item.unambiguous === "angle") {
        reduced = true;
        kept.push(withProperName(item, body));
      } else {
        kept.push(item);
      }
    }
    return kept;
  };
  const siftGroup = (group: Item & { readonly type: "group" }): Kept => {
    const { start, end, membersStart, members, membersEnd } = group;
    const before = reduced;
    reduced = false;
    const kept = siftItems(members);
    // Comments are not members either: an empty group has nothing in it.
    const same = !reduced;
    reduced ||= before;
    if (same) return group;
    return Buffer.concat([
      body.subarray(start, membersStart),
      joined(kept.map((one) => octetsIn(one, body))),
      body.subarray(membersEnd, end),
    ]);
  };
  return { field, kept: siftItems(items), recipients, reduced, regular };
}

/** Its address in brackets, after the name as a quoted string. */
function withProperName(
  { phrase, address }: Item & { readonly type: "mailbox" },
  body: Buffer,
): Buffer {
  const name = phrase === undefined
    ? ""
    : body.toString("latin1", phrase.start, phrase.end).replace(/\s+/g, " ").trim();
  const quoted = name === "" || /[@<>()"\\,:;]|=\?/.test(name) ? "" : ` "${name}"`;
  return Buffer.concat([Buffer.from(quoted, "latin1"), Buffer.from(` <${address}>`, "utf8")]);
}

interface Kind {
  /** The field that keeps the original for readers. */
  readonly original: string | undefined;
  /** Replaces a field without recipients; undefined if it is removed. */
  readonly empty: string | undefined;
}
const TO: Kind = {
  original: "X-Original-To",
  // Exchange and strict readers want a destination field.
  empty: "To: undisclosed-recipients:;",
};
const CC: Kind = { original: "X-Original-Cc", empty: undefined };
const BCC: Kind = { original: undefined, empty: undefined };

/** RFC 5322 §3.6 allows one field of a kind: the first gets the rest of the others. */
function rewrite(
  fields: readonly Sifted[],
  added: readonly string[],
  kind: Kind,
  edits: Edit[],
): void {
  const [first] = fields;
  if (first === undefined) return;
  const isFine = !first.reduced && first.regular && first.kept.length > 0;
  if (fields.length === 1 && added.length === 0 && isFine) return;
  const others = fields.slice(1);
  const items = first.kept.map((item) => octetsIn(item, first.field.body));
  for (const { kept, field: { body } } of others) {
    const more = kept.map((item) => octetsIn(item, body));
    items.push(...more.map((item, index) => index > 0 ? item : onNewLine(item)));
  }
  if (added.length > 0) {
    items.unshift(Buffer.from(` ${added.join(FOLDED_COMMA)}`, "utf8"));
  }
  const recipients = fields.reduce((sum, field) => sum + field.recipients, added.length);
  // An address field must not be empty (RFC 5322 §3.6.3).
  const emptied = items.length === 0 ||
    (recipients === 0 && fields.some(({ reduced }) => reduced));
  const field = emptied ? kind.empty : Buffer.concat([first.field.nameAndColon, joined(items)]);
  const lines = [
    ...(field === undefined ? [] : [refolded(toOctets(field))]),
    ...original(first, kind),
  ];
  edits.push(replacement(first.field, lines));
  for (const other of others) edits.push(replacement(other.field, original(other, kind)));
}

function toOctets(field: string | Buffer): Buffer {
  return typeof field === "string" ? Buffer.from(field, "latin1") : field;
}

/** The client's field under a name that is not an address field. */
function original({ field, reduced }: Sifted, { original: name }: Kind): Buffer[] {
  if (!reduced || name === undefined) return [];
  return [refolded(Buffer.concat([Buffer.from(`${name}:`), field.body]))];
}

/** Replaces a field by others. */
function replacement({ start, end }: HeaderField, fields: readonly Buffer[]): Edit {
  const octets = Buffer.concat(fields.flatMap((field) => [field, CRLF]));
  return { start, end: end + CRLF.length, octets };
}

const CRLF = Buffer.from("\r\n");
const COMMA = Buffer.from(",");
const SPACE = Buffer.from(" ");

/** The items, separated by commas. White space after the last could be a line of its own. */
function joined(items: readonly Uint8Array[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const item of items) {
    if (pieces.length > 0) pieces.push(COMMA);
    else if (!isFolding(item[0]!)) pieces.push(SPACE);
    pieces.push(item);
  }
  const list = Buffer.concat(pieces);
  let end = list.length;
  while (end > 0 && isFolding(list[end - 1]!)) end--;
  return list.subarray(0, end);
}

function onNewLine(item: Uint8Array): Uint8Array {
  let start = 0;
  while (isFolding(item[start]!)) start++;
  return Buffer.concat([Buffer.from("\r\n\t"), item.subarray(start)]);
}

/** White space, or an octet of the line end in a folding (RFC 5322 FWS). */
function isFolding(octet: number): boolean {
  return isWhite(octet) || octet === 13 || octet === 10;
}
