// Who sends: the mailbox to send from, and the fields From and Sender (RFC 5322 §3.6.2).

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

/** What an account says about the sender, if it says anything. */
export interface SenderOverride {
  /** The mailbox to send from, whatever the message says. */
  readonly fromEmail?: string;
  /** The display name for it. */
  readonly fromName?: string;
  /** Whether it may send as some addresses only: then nothing in From and Sender may be read as another. */
  readonly restricted?: boolean;
}

export interface OriginatorFields {
  readonly from: readonly HeaderField[];
  readonly sender: readonly HeaderField[];
  /** Resent-From and Resent-Sender. */
  readonly resent: readonly HeaderField[];
  /** Of the message's text, as its Content-Type has it; or "". */
  readonly charset: string;
}

/** A message that cannot be sent as it is. */
export interface Rejected {
  readonly type: "rejected";
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
  /** Whom the finished message names in From and Sender. Computed when it is asked for. */
  named(): readonly Named[];
}

/** Somebody whom From or Sender names. */
export interface Named {
  /** The address; or where it is ambiguous, what stands there. */
  readonly text: string;
  /** Whether every reader finds this address there, and no other. */
  readonly unambiguous: boolean;
}

export function rejected(reply: Reply, code: string, detail: string): Rejected {
  return { type: "rejected", reply, code, detail };
}

/**
 * The sender is the account's `fromEmail`, else the reverse-path, else the first address in From. From
 * and Sender stay where every reader finds the same addresses in them, are written anew where it is
 * clear what was meant, and get the sender's address where they have none. Where it is not clear, they
 * stay too, and are not `unambiguous` in what `named` tells. Reply-To is the author's business: it is never
 * touched.
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
  // They speak of an earlier sending (§3.6.6); but some readers show them as the sender's.
  const resent = options.strict ? fields.resent.map(removal) : [];
  if (fromEmail !== undefined) {
    if (!isAddress(fromEmail) || isAmbiguous(fromEmail)) return badOverride(fromEmail);
    return overridden(fields, resent, fromEmail, account.fromName, options);
  }
  const given = fields.from.filter((field) => !isEmpty(field));
  const readings = given.map(({ body }) => readAuthors(body, options));
  const [from] = given;
  const [authors] = readings;
  const sender = isAddress(reversePath) ? reversePath : addressesOf(authors)[0];
  if (sender === undefined) return NO_SENDER;
  if (isAmbiguous(sender)) return ambiguousSender(sender);
  if (!areSame(given, readings)) return severalFrom(given.length);
  const edits = [...resent, ...fields.from.filter(isEmpty).map(removal)];
  edits.push(...given.slice(1).map(removal));
  const named: Named[] = [];
  let added = "";
  if (from === undefined || authors === undefined) {
    added = `From: <${sender}>\r\n`;
    named.push({ text: sender, unambiguous: true });
  } else {
    settle(from, authors, sender, options.strict, edits, named);
  }
  const senders = fields.sender.filter((field) => !isEmpty(field));
  edits.push(...fields.sender.filter(isEmpty).map(removal), ...senders.slice(1).map(removal));
  const [first] = senders;
  if (first !== undefined) {
    settle(first, readAuthors(first.body, options), sender, options.strict, edits, named);
  } else if (addressesOf(authors).length > 1) {
    // With several authors, Sender is required (§3.6.2).
    added += `Sender: <${sender}>\r\n`;
  }
  return { type: "originator", sender, edits, added, named: () => named };
}

/** Mends a From or Sender field where it has to be, and notes whom it names then. */
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
  if (authors === undefined || authors.type === "nobody") return [];
  if (authors.type === "ambiguous") return authors.candidates;
  return authors.authors.map(({ address }) => address);
}

/** Whether several From fields say the same, so that the first is enough. */
function areSame(fields: readonly HeaderField[], readings: readonly Authors[]): boolean {
  const [first, ...others] = fields;
  if (first === undefined || others.every(({ body }) => body.equals(first.body))) return true;
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
  // The author sends, so Sender should not be used (§3.6.2): it would name the mailbox of before.
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
  if (authors.type === "nobody") return authors.name;
  return authors.type === "ambiguous" ? "" : authors.authors[0]?.name ?? "";
}

/** The field with these in it and nothing else. */
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
    reply(550, "5.1.7", `No sender: ${detail}; correct it in the lookup table`),
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

/** The beginning of what a stranger wrote, to be read in a reply or log. */
function quoted(text: string): string {
  return printable(text.slice(0, 80)).trim();
}
