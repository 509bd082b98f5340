// The forms of an SMTP username: `tenant<delimiter>client`, or `id<delimiter>lookup`; and of the names in it. A text of
// neither form may be the bare id of a lookup's entry.

import { Buffer } from "node:buffer";
import { lengthShown, looksLikePassword, looksLikeSecret } from "../secret.ts";

export type Delimiter = "@" | ":" | "|";

export type Username =
  | { readonly type: "direct"; readonly tenantId: string; readonly clientId: string }
  /** To be looked up in the table by its RowKey. */
  | { readonly type: "lookup"; readonly id: string };

export interface UsernameError {
  readonly type: "invalid";
  /** One line for the reply and the log; never with the username, which may be a secret. */
  readonly problem: string;
  /**
   * The whole text, where it may be the id of an entry with a password of its own. Never a text that looks like
   * a secret: it would be sent to the lookup.
   */
  readonly bareId?: string;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** 16 octets are 22 characters, and two of padding at most, in base64url and base64. */
const SHORT_ID = /^[A-Za-z0-9+/_-]{22}={0,2}$/;
/** A table's keys are 1 KiB at most, and so is any username. */
const MAX_USERNAME = 1024;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_DOMAIN = 253;

/**
 * Reads a username.
 *
 * Everything from the first `.` after the delimiter is dropped: clients that insist on an address can
 * use `tenant@client.example.com`.
 */
export function parseUsername(text: string, delimiter: Delimiter): Username | UsernameError {
  const name = parse(text, delimiter);
  if (name.type !== "invalid") return name;
  if (!looksLikeSecret(text)) return mayBeId(text) ? { ...name, bareId: text } : name;
  return invalid(
    `${name.problem}; it has ${lengthShown(text)} and ${LOOKS_SWAPPED}`,
  );
}

function mayBeId(text: string): boolean {
  return text !== "" && text.length <= MAX_USERNAME && !looksLikePassword(text);
}

/** The end of the problem with a username that may be the password. */
const LOOKS_SWAPPED = "looks like a client secret: are the two swapped?";

function parse(text: string, delimiter: Delimiter): Username | UsernameError {
  const form = `tenant${delimiter}client or id${delimiter}lookup`;
  if (text === "") return invalid(`the username is empty; expected ${form}`);
  if (text.length > MAX_USERNAME) return invalid("the username is too long");
  const at = text.indexOf(delimiter);
  if (at < 0) return invalid(`the username has no "${delimiter}"; expected ${form}`);
  const left = text.slice(0, at);
  const rest = text.slice(at + 1);
  const dot = rest.indexOf(".");
  const right = dot < 0 ? rest : rest.slice(0, dot);
  if (right.includes(delimiter)) return invalid(`the username has more than one "${delimiter}"`);
  if (right === "lookup") {
    return left === "" ? invalid("the lookup id is empty") : { type: "lookup", id: left };
  }
  const tenantId = parseId(left);
  if (tenantId === undefined) {
    return invalid(`the tenant id is neither a UUID nor its short form; expected ${form}`);
  }
  const clientId = parseId(right);
  if (clientId === undefined) {
    return invalid(`the client id is neither a UUID nor its short form; expected ${form}`);
  }
  return { type: "direct", tenantId, clientId };
}

/**
 * A UUID in either form as a UUID in lower case; octets in RFC 9562 order.
 *
 * @returns undefined if the text is neither
 */
export function parseId(text: string): string | undefined {
  if (UUID.test(text)) return text.toLowerCase();
  if (!SHORT_ID.test(text)) return undefined;
  // Node's base64 decoder takes both alphabets.
  const hex = Buffer.from(text, "base64url").toString("hex");
  if (hex.length !== 32) return undefined;
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** A tenant's id as a UUID in lower case, or a domain in lower case; undefined for what is neither. */
export function parseTenant(text: string): string | undefined {
  const id = parseId(text);
  if (id !== undefined) return id;
  const domain = text.toLowerCase();
  if (domain.length > MAX_DOMAIN || !domain.includes(".")) return undefined;
  return domain.split(".").every((label) => LABEL.test(label)) ? domain : undefined;
}

/** Whether {@link parseTenant} gave a domain: only Entra ID knows which tenant it belongs to. */
export function isDomain(tenant: string): boolean {
  return tenant.includes(".");
}

/** The base64url form of a UUID, 22 characters. */
export function shortId(uuid: string): string {
  return Buffer.from(uuid.replaceAll("-", ""), "hex").toString("base64url");
}

/**
 * A name for the account of a username, the same for all its spellings; undefined for a malformed one.
 *
 * @param lookup whether there is one, so that the username may be a bare id
 */
export function usernameKey(
  username: string,
  delimiter: Delimiter,
  lookup = false,
): string | undefined {
  const name = parseUsername(username, delimiter);
  if (name.type === "direct") return `${name.tenantId} ${name.clientId}`;
  const id = name.type === "lookup" ? name.id : lookup ? name.bareId : undefined;
  return id === undefined ? undefined : `id ${id}`;
}

function invalid(problem: string): UsernameError {
  return { type: "invalid", problem };
}
