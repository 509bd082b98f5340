// Who sends: the mailbox that Graph sends from, and the fields From and Sender (RFC 5322 §3.6.2).

import { Buffer } from "node:buffer";
import type { SettingName } from "../settings/schema.ts";
import { printable, type Reply, reply } from "../smtp/reply.ts";
import { type AddressList, type Item, parseAddressList } from "./address_list.ts";
import { addressKey, isAddress } from "./addresses.ts";
import { type Edit, removal } from "./edits.ts";
import { type HeaderField, isEmpty } from "./header.ts";
import { refolded } from "./folding.ts";
import { phrase, repairedPhrase } from "./phrase.ts";

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
  /** The setting whose limit it is over, if that is why. */
  readonly limit?: SettingName;
}

export interface Originator {
  readonly type: "originator";
  /** The mailbox to send from. */
  readonly sender: string;
  readonly edits: readonly Edit[];
  /** Fields with their line ends, for a header that lacks them; or "". */
  readonly added: string;
  /** Whom the finished message names in From and Sender: for those who have to ask. */
  named(): readonly Named[];
}

/** Somebody whom From or Sender names. */
export interface Named {
  /** The address; or where there is no certain one, what stands there. */
  readonly text: string;
  /** Whether every reader finds this address there, and no other. */
  readonly certain: boolean;
}

export function unusable(reply: Reply, code: string, detail: string): Unusable {
  return { type: "unusable", reply, code, detail };
}

/**
 * The sender is the account's `fromEmail`, else the reverse-path, else the first address in From.
 * From itself is replaced by `fromEmail` only, but one that is empty counts as missing, and one of
 * words alone, as programs write it that know no address, gets the sender's. Reply-To is the author's
 * business: it is never touched.
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
  const given = fields.from.filter((field) => !isEmpty(field));
  const empty = fields.from.filter(isEmpty).map(removal);
  const lists = given.map(({ body }) => parseAddressList(body));
  const authors = lists.flatMap(addressesOf).filter(isAddress);
  const sender = isAddress(reversePath) ? reversePath : authors[0];
  if (sender === undefined) return NO_SENDER;
  const [from] = given;
  const edits = [...surplus(fields.sender), ...empty];
  if (from === undefined) {
    const added = `From: <${sender}>\r\n`;
    const named = () => [address(sender), ...namedAsSender(fields)];
    return { type: "originator", sender, edits, added, named };
  }
  if (given.length > 1) return severalFrom(given.length);
  if (authors.length === 0) {
    const words = from.body.toString("latin1");
    if (!IS_WORDS.test(words)) return badFrom(from);
    edits.push(replaced(from, repairedPhrase(words), sender));
    const named = () => [address(sender), ...namedAsSender(fields)];
    return { type: "originator", sender, edits, added: "", named };
  }
  // Several authors need one who answers for the sending.
  const added = authors.length > 1 && fields.sender.length === 0 ? `Sender: <${sender}>\r\n` : "";
  const named = () => [...namedIn(from.body, lists[0]!.items), ...namedAsSender(fields)];
  return { type: "originator", sender, edits, added, named };
}

function address(text: string): Named {
  return { text, certain: true };
}

/** Of several Sender fields, the first stays. */
function namedAsSender({ sender: [sender] }: OriginatorFields): Named[] {
  return sender === undefined ? [] : namedIn(sender.body, parseAddressList(sender.body).items);
}

function namedIn(body: Buffer, items: readonly Item[]): Named[] {
  return items.flatMap((item) => {
    if (item.type === "group") return namedIn(body, item.members);
    if (item.type === "mailbox") return [{ text: item.address, certain: item.certain !== false }];
    const text = body.toString("utf8", item.start, item.end);
    // Words are nobody's address, unless they are encoded ones.
    if (item.type === "empty" || !/@|=\?/.test(text)) return [];
    const { candidate } = item;
    const certain = candidate !== undefined && /^[^@]*@[^@]*$/.test(text) && !text.includes("=?");
    return [{ text: certain ? candidate : text.trim(), certain }];
  });
}

/** Nothing in it was meant as an address, or as a list of them. */
// deno-lint-ignore no-control-regex -- all of them but white space
const IS_WORDS = /^[^@<>:;\x00-\x08\x0e-\x1f\x7f]*$/;

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
      named: () => [address(fromEmail)],
    };
  }
  edits.push(...others.map(removal));
  const { items } = parseAddressList(from.body);
  const [author] = mailboxesOf(items);
  const [only] = items;
  const same = given === "" && items.length === 1 && only?.type === "mailbox" &&
    addressKey(only.address) === addressKey(fromEmail);
  if (!same) {
    const name = given === "" ? nameOf(from, items, author) : given;
    edits.push(replaced(from, name, fromEmail));
  }
  const named = () => [address(fromEmail)];
  return { type: "originator", sender: fromEmail, edits, added: "", named };
}

/** @param name one character an octet */
function replaced({ start, end }: HeaderField, name: string, address: string): Edit {
  const field = Buffer.concat([
    Buffer.from(name === "" ? "From:" : `From: ${name}`, "latin1"),
    Buffer.from(` <${address}>\r\n`, "utf8"),
  ]);
  return { start, end: end + 2, octets: refolded(field) };
}

/** The display name in its own octets, encoded words and all; or what was meant as one. */
function nameOf(
  from: HeaderField,
  [first]: readonly Item[],
  author: Mailbox | undefined,
): string {
  const text = (start: number, end: number) => from.body.toString("latin1", start, end);
  // Of `Last, First <ann@x.test>`, the first item is no mailbox.
  if (author?.phrase !== undefined && first?.type !== "unknown") {
    const { start, end } = author.phrase;
    const words = text(start, end);
    if (author.certain !== "angle") return words;
    return words.includes("@") ? "" : repairedPhrase(words);
  }
  const all = text(0, from.body.length);
  // `ann@x.test (Ann)` was the way to give a name before RFC 822.
  const [, word = "", comment = ""] = COMMENTED.exec(all) ?? [];
  if (/.@./s.test(word)) return comment.includes("@") ? "" : repairedPhrase(comment);
  const bracket = all.lastIndexOf("<");
  const words = bracket < 0 ? all : all.slice(0, bracket);
  return IS_WORDS.test(words) ? repairedPhrase(words) : "";
}

/** One word, and a comment behind it. */
const COMMENTED = /^\s*([^\s<>(),;:"]+)\s*\(([^()\\]*)\)\s*$/;

type Mailbox = Item & { readonly type: "mailbox" };

/** Those that are well-formed first, then what merely looks like an address. */
function addressesOf({ items }: AddressList): string[] {
  const addresses = mailboxesOf(items).map(({ address }) => address);
  if (addresses.length > 0) return addresses;
  return items.flatMap((item) =>
    item.type === "unknown" && item.candidate !== undefined ? [item.candidate] : []
  );
}

function mailboxesOf(items: readonly Item[]): Mailbox[] {
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
  const problem = `has no valid address: "${text}"`;
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
