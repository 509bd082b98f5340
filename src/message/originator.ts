// Who sends: the mailbox that Graph sends from, and the fields From and Sender (RFC 5322 §3.6.2).

import { Buffer } from "node:buffer";
import { printable, type Reply, reply } from "../smtp/reply.ts";
import { type AddressList, type Item, parseAddressList } from "./address_list.ts";
import { addressKey, isAddress } from "./addresses.ts";
import type { Edit } from "./edits.ts";
import type { HeaderField } from "./header.ts";
import { refolded } from "./header_repair.ts";
import { phrase } from "./phrase.ts";

/** What an account says about the sender, if it says anything. */
export interface SenderOverride {
  /** The mailbox to send from, whatever the message says. */
  readonly fromEmail?: string;
  /** The display name for it. */
  readonly fromName?: string;
}

export interface OriginatorFields {
  readonly from: readonly HeaderField[];
  readonly sender: readonly HeaderField[];
}

/** A message that cannot be sent as it is. */
export interface Unusable {
  readonly type: "unusable";
  /** 5yz: the same message will not do better later. */
  readonly reply: Reply;
  /** For the log. */
  readonly code: string;
  /** For the log. */
  readonly detail: string;
}

export interface Originator {
  readonly type: "originator";
  /** The mailbox to send from. */
  readonly sender: string;
  readonly edits: readonly Edit[];
  /** Fields with their line ends, for a header that lacks them; or "". */
  readonly added: string;
}

export function unusable(reply: Reply, code: string, detail: string): Unusable {
  return { type: "unusable", reply, code, detail };
}

/**
 * The sender is the account's `fromEmail`, else the reverse-path, else the first address in From.
 * From itself is replaced by `fromEmail` only. Reply-To is the author's business: it is never
 * touched.
 *
 * @param reversePath "" for the null one
 */
export function originator(
  fields: OriginatorFields,
  reversePath: string,
  account: SenderOverride,
): Originator | Unusable {
  const { fromEmail } = account;
  if (fromEmail !== undefined) {
    if (!isAddress(fromEmail)) return badOverride(fromEmail);
    return overridden(fields, fromEmail, account.fromName);
  }
  const lists = fields.from.map(({ body }) => parseAddressList(body));
  const authors = lists.flatMap(addressesOf).filter(isAddress);
  const sender = isAddress(reversePath) ? reversePath : authors[0];
  if (sender === undefined) return NO_SENDER;
  const [from] = fields.from;
  if (from === undefined) {
    return {
      type: "originator",
      sender,
      edits: surplus(fields.sender),
      added: `From: <${sender}>\r\n`,
    };
  }
  if (fields.from.length > 1) return severalFrom(fields.from.length);
  if (authors.length === 0) return badFrom(from);
  // Several authors need one who answers for the sending.
  const added = authors.length > 1 && fields.sender.length === 0 ? `Sender: <${sender}>\r\n` : "";
  return { type: "originator", sender, edits: surplus(fields.sender), added };
}

/** RFC 5322 §3.6 allows one Sender: the first stays. */
function surplus(senders: readonly HeaderField[]): Edit[] {
  return senders.slice(1).map(removal);
}

function overridden(
  fields: OriginatorFields,
  fromEmail: string,
  fromName: string | undefined,
): Originator {
  // The author sends, so Sender should not be used (§3.6.2): it would name the mailbox of before.
  const edits = fields.sender.map(removal);
  const given = phrase(fromName ?? "");
  const [from, ...others] = fields.from;
  if (from === undefined) {
    const name = given === "" ? "" : given + " ";
    return {
      type: "originator",
      sender: fromEmail,
      edits,
      added: `From: ${name}<${fromEmail}>\r\n`,
    };
  }
  edits.push(...others.map(removal));
  const { items } = parseAddressList(from.body);
  const [author] = mailboxesOf(items);
  const [only] = items;
  const same = given === "" && items.length === 1 && only?.type === "mailbox" &&
    addressKey(only.address) === addressKey(fromEmail);
  if (!same) {
    const name = given === "" ? nameOf(from, author) : Buffer.from(given, "latin1");
    const field = Buffer.concat([
      Buffer.from("From: "),
      name,
      Buffer.from(`${name.length === 0 ? "" : " "}<${fromEmail}>`, "utf8"),
    ]);
    const octets = Buffer.concat([refolded(field), Buffer.from("\r\n")]);
    edits.push({ start: from.start, end: from.end + 2, octets });
  }
  return { type: "originator", sender: fromEmail, edits, added: "" };
}

/** The display name in its own octets, encoded words and all. */
function nameOf(from: HeaderField, author: Item & { readonly type: "mailbox" } | undefined) {
  const range = author?.phrase;
  return range === undefined ? Buffer.alloc(0) : from.body.subarray(range.start, range.end);
}

function removal({ start, end }: HeaderField): Edit {
  return { start, end: end + 2, octets: new Uint8Array(0) };
}

/** Those that are well-formed first, then what merely looks like an address. */
function addressesOf({ items }: AddressList): string[] {
  const addresses = mailboxesOf(items).map(({ address }) => address);
  if (addresses.length > 0) return addresses;
  return items.flatMap((item) =>
    item.type === "unknown" && item.candidate !== undefined ? [item.candidate] : []
  );
}

function mailboxesOf(items: readonly Item[]): (Item & { readonly type: "mailbox" })[] {
  return items.flatMap((item) => {
    if (item.type === "mailbox") return [item];
    return item.type === "group" ? mailboxesOf(item.members) : [];
  });
}

const NO_SENDER = unusable(
  reply(550, "5.1.7", "No sender: MAIL FROM is empty and the From field has no address"),
  "NO_SENDER",
  "MAIL FROM:<> and no address in the From field",
);

function badOverride(fromEmail: string): Unusable {
  const detail = `from_email of this account is no mail address: "${quoted(fromEmail)}"`;
  return unusable(
    reply(550, "5.1.7", `No sender: ${detail}; correct it in the lookup table`),
    "BAD_FROM_EMAIL",
    detail,
  );
}

function severalFrom(count: number): Unusable {
  const detail = `The message has ${count} From fields; RFC 5322 allows one`;
  return unusable(reply(554, "5.6.0", detail), "SEVERAL_FROM", detail);
}

function badFrom(from: HeaderField): Unusable {
  const text = quoted(from.body.toString("latin1", 0, 200).trim());
  const problem = text === "" ? "is empty" : `has no valid address: "${text}"`;
  const detail = `The From field ${problem}`;
  return unusable(
    reply(554, "5.6.0", `${detail}; it should be like: From: Scanner <scanner@example.com>`),
    "BAD_FROM",
    detail,
  );
}

/** The beginning of what a stranger wrote, to be read in a reply or log. */
function quoted(text: string): string {
  return printable(text.slice(0, 80)).trim();
}
