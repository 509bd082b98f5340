// Decides the mailbox to send from, and repairs the fields From and Sender (RFC 5322 §3.6.2).

import { Buffer } from "node:buffer";
import { CRLF } from "../octets.ts";
import type { SettingName } from "../settings/schema.ts";
import { printable, type Reply, reply } from "../smtp/reply.ts";
import { addressKey, isAddress, isAmbiguous } from "./addresses.ts";
import type { Author, Authors } from "./author.ts";
import { type AuthorsOptions, readAuthors } from "./authors.ts";
import { type Edit, removal } from "./edits.ts";
import { type HeaderField, isEmpty } from "./header.ts";
import { refolded } from "./folding.ts";
import { phrase } from "./phrase.ts";

/** What an account prescribes for the sender. */
export interface SenderOverride {
  /** The mailbox to send from, instead of the message's. */
  readonly fromEmail?: string;
  /** The display name for it. */
  readonly fromName?: string;
  /** Whether it may send as some addresses only: then From and Sender must not show any other. */
  readonly restricted?: boolean;
}

export interface OriginatorFields {
  readonly from: readonly HeaderField[];
  readonly sender: readonly HeaderField[];
  /** Resent-From and Resent-Sender. */
  readonly resent: readonly HeaderField[];
  /** Of the message's text, from its Content-Type; or "". */
  readonly charset: string;
}

/** A message that cannot be sent as it is. */
export interface Rejected {
  readonly type: "rejected";
  /** 5yz: the same message will be refused again. */
  readonly reply: Reply;
  /** For the log. */
  readonly code: string;
  /** For the log. */
  readonly detail: string;
  /** The setting whose limit it exceeds, if that is the reason. */
  readonly limit?: SettingName;
}

export interface Originator {
  readonly type: "originator";
  /** The mailbox to send from. */
  readonly sender: string;
  readonly edits: readonly Edit[];
  /** Missing fields to be added, with their line ends; or "". */
  readonly added: string;
  /** The addresses in From and Sender of the finished message. Computed by the call. */
  named(): readonly Named[];
}

/** An address that From or Sender names. */
export interface Named {
  /** The address; if it is ambiguous, the text of the field. */
  readonly text: string;
  /** Whether every reader finds exactly this address there. */
  readonly unambiguous: boolean;
}

export function rejected(reply: Reply, code: string, detail: string): Rejected {
  return { type: "rejected", reply, code, detail };
}

/**
 * The sender is the account's `fromEmail`, else the reverse-path, else the first address in From.
 * From and Sender stay if every reader finds the same addresses in them. They are rewritten if
 * their meaning is clear, and get the sender's address if they have none. If their meaning is
 * unclear, they stay too, and `named` returns them as not `unambiguous`. Reply-To is never changed.
 *
 * @param reversePath "" for the null one
 */
export function originator(
  fields: OriginatorFields,
  reversePath: string,
  account: SenderOverride,
): Originator | Rejected {
  const { fromEmail, restricted = false } = account;
  const options = { strict: restricted || fromEmail !== undefined, charset: fields.charset };
  // They describe an earlier sending (§3.6.6), but some readers show them as the sender.
  const resent = options.strict ? fields.resent.map(removal) : [];
  if (fromEmail !== undefined) {
    if (!isAddress(fromEmail) || isAmbiguous(fromEmail)) return badOverride(fromEmail);
    return overridden(fields, resent, fromEmail, account.fromName, options);
  }
  const edits = [...resent];
  const given = filled(fields.from, edits);
  const readings = given.map(({ body }) => readAuthors(body, options));
  const [from] = given;
  const [authors] = readings;
  const sender = isAddress(reversePath) ? reversePath : addressesOf(authors)[0];
  if (sender === undefined) return NO_SENDER;
  if (isAmbiguous(sender)) return ambiguousSender(sender);
  if (!areSame(given, readings)) return severalFrom(given.length);
  removeAllButFirst(given, edits);
  const named: Named[] = [];
  let added = "";
  if (from === undefined || authors === undefined) {
    added = `From: <${sender}>\r\n`;
    named.push({ text: sender, unambiguous: true });
  } else {
    settle(from, authors, sender, options.strict, edits, named);
  }
  const senders = filled(fields.sender, edits);
  removeAllButFirst(senders, edits);
  const [first] = senders;
  if (first !== undefined) {
    settle(first, readAuthors(first.body, options), sender, options.strict, edits, named);
  } else if (addressesOf(authors).length > 1) {
    // With several authors, Sender is required (§3.6.2).
    added += `Sender: <${sender}>\r\n`;
  }
  return { type: "originator", sender, edits, added, named: () => named };
}

/** The fields that are not empty. The others are removed. */
function filled(fields: readonly HeaderField[], edits: Edit[]): HeaderField[] {
  const found: HeaderField[] = [];
  for (const field of fields) {
    if (isEmpty(field)) edits.push(removal(field));
    else found.push(field);
  }
  return found;
}

function removeAllButFirst(fields: readonly HeaderField[], edits: Edit[]): void {
  for (let i = 1; i < fields.length; i++) edits.push(removal(fields[i]!));
}

/** Repairs a From or Sender field if necessary, and records the addresses that it then names. */
function settle(
  field: HeaderField,
  reading: Authors,
  sender: string,
  strict: boolean,
  edits: Edit[],
  named: Named[],
): void {
  if (reading.type === "ambiguous" && (strict || reading.candidates.length > 0)) {
    named.push({ text: field.body.toString("utf8").trim(), unambiguous: false });
    return;
  }
  const authors = reading.type === "unambiguous" || reading.type === "repaired"
    ? reading.authors
    : [{ address: sender, name: nameIn(reading) }];
  if (reading.type !== "unambiguous") edits.push(replaced(field, authors));
  for (const { address } of authors) named.push({ text: address, unambiguous: true });
}

function addressesOf(authors: Authors | undefined): readonly string[] {
  if (authors === undefined || authors.type === "none") return [];
  if (authors.type === "ambiguous") return authors.candidates;
  return authors.authors.map(({ address }) => address);
}

/** Whether several From fields name the same authors, so that the first is enough. */
function areSame(fields: readonly HeaderField[], readings: readonly Authors[]): boolean {
  const [first] = fields;
  if (first === undefined || fields.length === 1) return true;
  if (fields.every(({ body }) => body.equals(first.body))) return true;
  const unambiguous = readings.every(({ type }) => type === "unambiguous" || type === "repaired");
  const keys = readings.map((authors) => addressesOf(authors).map(addressKey));
  return unambiguous && keys.every(({ length, [0]: key }) => length === 1 && key === keys[0]![0]);
}

function overridden(
  fields: OriginatorFields,
  resent: readonly Edit[],
  fromEmail: string,
  fromName: string | undefined,
  options: AuthorsOptions,
): Originator {
  // The author sends, so Sender should not be used (§3.6.2): it would name the original mailbox.
  const edits = [...resent, ...fields.sender.map(removal)];
  const given = phrase(fromName ?? "");
  const [from, ...others] = fields.from;
  let added = "";
  if (from === undefined) {
    added = `From: ${given === "" ? "" : given + " "}<${fromEmail}>\r\n`;
  } else {
    edits.push(...others.map(removal));
    const authors = readAuthors(from.body, options);
    const addresses = addressesOf(authors);
    const same = given === "" && authors.type === "unambiguous" && addresses.length === 1 &&
      addressKey(addresses[0]!) === addressKey(fromEmail);
    if (!same) {
      edits.push(replaced(from, [{ address: fromEmail, name: given || nameIn(authors) }]));
    }
  }
  const named = () => [{ text: fromEmail, unambiguous: true }];
  return { type: "originator", sender: fromEmail, edits, added, named };
}

/** The first author's name. */
function nameIn(authors: Authors): string {
  if (authors.type === "none") return authors.name;
  return authors.type === "ambiguous" ? "" : authors.authors[0]?.name ?? "";
}

/** Replaces the field by one that names exactly these authors. */
function replaced({ name, start, end }: HeaderField, authors: readonly Author[]): Edit {
  const fieldName = Buffer.from(name === "from" ? "From:" : "Sender:");
  const list = authors.flatMap(({ name: words, address }, i) => [
    Buffer.from(i > 0 ? ",\r\n\t" : " "),
    Buffer.from(words === "" ? "" : `${words} `, "latin1"),
    Buffer.from(`<${address}>`, "utf8"),
  ]);
  const octets = Buffer.concat([refolded(Buffer.concat([fieldName, ...list])), CRLF]);
  return { start, end: end + CRLF.length, octets };
}

const NO_SENDER = rejected(
  reply(550, "5.1.7", "No sender: MAIL FROM is empty and the From field has no address"),
  "NO_SENDER",
  "MAIL FROM:<> and no address in the From field",
);

function badOverride(fromEmail: string): Rejected {
  const detail = `from_email of this account is no mail address: "${quoted(fromEmail)}"`;
  return rejected(
    reply(550, "5.1.7", `No sender: ${detail}; correct it in the lookup`),
    "BAD_FROM_EMAIL",
    detail,
  );
}

function severalFrom(count: number): Rejected {
  const detail = `The message has ${count} From fields; RFC 5322 allows one`;
  return rejected(reply(554, "5.6.0", detail), "SEVERAL_FROM", detail);
}

function ambiguousSender(address: string): Rejected {
  const detail = `Sender whose address other mail systems read differently: <${quoted(address)}>`;
  return rejected(reply(550, "5.1.7", detail), "DOUBTFUL_SENDER", detail);
}

/** The beginning of a client's text, in a form fit for a reply or the log. */
function quoted(text: string): string {
  return printable(text.slice(0, 80)).trim();
}
