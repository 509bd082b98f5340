// An entry of the lookup table: its key, its columns, and their allowed values.
// https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model

import { CREDENTIAL_NAMES, type CredentialName } from "../entra/app_credentials.ts";
import { isAddress } from "../message/addresses.ts";
import { type BackendNames, BACKENDS_FORM, parseBackends } from "../backend_name.ts";
import { nearest } from "../nearest.ts";
import { parsePasswordHash, PASSWORD_HASH_FORM, type PasswordHash } from "./password_hash.ts";
import { SENDER_LIST_FORM, SenderList } from "./sender_list.ts";
import { parseId, parseTenant } from "./username.ts";

/** A row as it is in the table. */
export interface Row {
  /** Its RowKey. */
  readonly id: string;
  readonly columns: Readonly<Record<string, unknown>>;
}

/** A row that may be used. */
export interface Entry {
  /** Its RowKey. */
  readonly id: string;
  /** UUID in lower case, or a domain of the tenant. */
  readonly tenantId: string;
  /** UUID in lower case. */
  readonly clientId: string;
  readonly fromEmail: string | undefined;
  readonly fromName: string | undefined;
  /** The column's text, which {@link SenderList.parse} can read. */
  readonly allowedSenders: string | undefined;
  /** The mail services that its messages are sent with, in place of BACKEND. */
  readonly backends?: BackendNames | undefined;
  /** Set if the device logs in with a password of its own. */
  readonly device: DeviceLogin | undefined;
}

/** How a device without a client secret logs in, and the relay for it. */
export interface DeviceLogin {
  /** Each of these passwords is valid. */
  readonly hashes: readonly [PasswordHash] | readonly [PasswordHash, PasswordHash];
  /** Which of the relay's own credentials logs in to Entra ID. */
  readonly credential: CredentialName;
}

export type EntryReading =
  | { readonly type: "entry"; readonly entry: Entry }
  | { readonly type: "disabled"; readonly id: string }
  /** None of its columns is used. */
  | { readonly type: "malformed"; readonly id: string; readonly mistake: Mistake };

export interface Mistake {
  readonly column: ColumnName;
  /** The end of "COLUMN must be …", without the value: it may be a secret that was pasted there. */
  readonly allowed: string;
}

/** An entry that causes a login to fail, for the administrator who corrects it. */
export interface EntryReference {
  /** Its RowKey. */
  readonly id: string;
  /** The column at fault; left out if the entry is disabled. */
  readonly column?: ColumnName;
}

interface Column<T> {
  /** The end of "must be …". */
  readonly allowed: string;
  /** @returns undefined if the value is not allowed */
  parse(text: string): T | undefined;
}

const MAX_NAME = 256;
/** Octets. */
const MAX_KEY = 1024;
// deno-lint-ignore no-control-regex -- the table service forbids them
const FORBIDDEN = /[/\\#?\x00-\x1f\x7f-\x9f]/;

/** How each column is read; an empty value counts as a missing one. */
export const COLUMNS = {
  tenant_id: {
    allowed: "a UUID, or a domain of the tenant",
    parse: parseTenant,
  },
  client_id: {
    allowed: "a UUID",
    parse: parseId,
  },
  from_email: {
    allowed: "one mail address",
    parse: (text) => isAddress(text) ? text : undefined,
  },
  from_name: {
    allowed: `a text of ${MAX_NAME} characters at most, without control characters`,
    parse: (text) => text.length <= MAX_NAME && !/[\p{Cc}\ufffd]/u.test(text) ? text : undefined,
  },
  allowed_senders: {
    allowed: SENDER_LIST_FORM,
    parse: (text) => SenderList.parse(text) === undefined ? undefined : text,
  },
  disabled: {
    allowed: "true or false",
    parse(text) {
      const lower = text.toLowerCase();
      return lower === "true" ? true : lower === "false" ? false : undefined;
    },
  },
  backend: {
    allowed: BACKENDS_FORM,
    parse: parseBackends,
  },
  password_hash: {
    allowed: PASSWORD_HASH_FORM,
    parse: parsePasswordHash,
  },
  password_hash_next: {
    allowed: PASSWORD_HASH_FORM,
    parse: parsePasswordHash,
  },
  credential: {
    allowed: `one of ${CREDENTIAL_NAMES.join(", ")}`,
    parse: (text) => CREDENTIAL_NAMES.find((name) => name === text.toLowerCase()),
  },
} as const satisfies Record<string, Column<unknown>>;

export type ColumnName = keyof typeof COLUMNS;

type Values = { [Name in ColumnName]?: ReturnType<(typeof COLUMNS)[Name]["parse"]> };

/** A disabled row may have any mistake in its other columns. */
const READ_ORDER = ["disabled", ...Object.keys(COLUMNS)] as readonly ColumnName[];

/** Reads a row as a whole, or not at all. Of a disabled row, no other column is read. */
export function readEntry({ id, columns }: Row): EntryReading {
  const malformed = (column: ColumnName): EntryReading => {
    return { type: "malformed", id, mistake: { column, allowed: COLUMNS[column].allowed } };
  };
  const values: Values = {};
  for (const name of READ_ORDER) {
    const text = textOf(columns[name]);
    if (text === "") continue;
    const value = text === undefined ? undefined : COLUMNS[name].parse(text);
    if (value === undefined) return malformed(name);
    (values as Record<string, unknown>)[name] = value;
    if (values.disabled) return { type: "disabled", id };
  }
  const mistake = misnamed(columns);
  if (mistake !== undefined) return { type: "malformed", id, mistake };
  const { tenant_id: tenantId, client_id: clientId } = values;
  if (tenantId === undefined) return malformed("tenant_id");
  if (clientId === undefined) return malformed("client_id");
  const { from_email: fromEmail, from_name: fromName, allowed_senders: allowedSenders } = values;
  const device = deviceIn(values);
  if (device !== undefined && "column" in device) return { type: "malformed", id, mistake: device };
  const { backend: backends } = values;
  return {
    type: "entry",
    entry: {
      ...{ id, tenantId, clientId, fromEmail, fromName, allowedSenders, device },
      ...(backends === undefined ? {} : { backends }),
    },
  };
}

/** The device's password is worth the entry's senders, so that these have to be named. */
function deviceIn(values: Values): DeviceLogin | Mistake | undefined {
  const { password_hash: hash, password_hash_next: next, credential } = values;
  const [first, second] = [hash, next].filter((value) => value !== undefined);
  if (first === undefined) {
    if (credential === undefined) return undefined;
    return {
      column: "password_hash",
      allowed: "set too where credential is (lookup set-password)",
    };
  }
  if (credential === undefined) {
    const names = CREDENTIAL_NAMES.join(", ");
    return { column: "credential", allowed: `set where there is a password_hash: one of ${names}` };
  }
  if (values.from_email === undefined && values.allowed_senders === undefined) {
    return {
      column: "from_email",
      allowed:
        "set where there is a password_hash, or allowed_senders: the password is worth no more",
    };
  }
  return { hashes: second === undefined ? [first] : [first, second], credential };
}

/** The columns that decide about logins, by their names without case, hyphens and white space. */
const DECISIVE = namesOf([
  ...(["tenant_id", "client_id", "allowed_senders", "disabled"] as const),
  ...(["password_hash", "password_hash_next", "credential"] as const),
]);
/** The others: tables of the Python relay may have columns of similar names, which it never read. */
const OTHERS = namesOf(["from_email", "from_name", "backend"]);

function namesOf(names: readonly ColumnName[]): ReadonlyMap<string, ColumnName> {
  return new Map(names.map((name) => [folded(name), name]));
}

/**
 * A misspelled column, such as `Disabled`: the table service distinguishes case. Ignoring it would let in
 * a client that was meant to be shut out. Where the correct column exists, too, that one counts.
 */
function misnamed(columns: Row["columns"]): Mistake | undefined {
  const found = namesakes(columns, DECISIVE)[0] ?? strayHash(columns);
  if (found === undefined) return undefined;
  const [name, column] = found;
  return { column, allowed: `called exactly so in the table, not ${JSON.stringify(name)}` };
}

/**
 * A hash in a column of another name, where none is in its own: without it, the device's password would be shown to
 * Entra ID as a secret.
 */
function strayHash(columns: Row["columns"]): [name: string, column: ColumnName] | undefined {
  if (["password_hash", "password_hash_next"].some((own) => textOf(columns[own]) !== "")) {
    return undefined;
  }
  for (const [name, value] of Object.entries(columns)) {
    if (Object.hasOwn(COLUMNS, name) || typeof value !== "string") continue;
    if (parsePasswordHash(value.trim()) !== undefined) return [name, "password_hash"];
  }
  return undefined;
}

/** Misspelled columns that have no effect, though the entry can be used, and the names that they resemble. */
export function withoutEffect({ columns }: Row): [name: string, meant: string][] {
  const found = new Map<string, string>(namesakes(columns, OTHERS));
  for (const [name, value] of Object.entries(columns)) {
    if (Object.hasOwn(COLUMNS, name) || name === "description" || textOf(value) === "") continue;
    const meant = found.get(name) ?? nearest(name, Object.keys(COLUMNS));
    if (meant !== undefined) found.set(name, meant);
  }
  return [...found];
}

function namesakes(
  columns: Row["columns"],
  names: ReadonlyMap<string, ColumnName>,
): [name: string, column: ColumnName][] {
  const found: [name: string, column: ColumnName][] = [];
  for (const name of Object.keys(columns)) {
    if (Object.hasOwn(COLUMNS, name)) continue;
    const column = names.get(folded(name));
    if (column === undefined || textOf(columns[name]) === "") continue;
    if (textOf(columns[column]) === "") found.push([name, column]);
  }
  return found;
}

function folded(name: string): string {
  return name.toLowerCase().replaceAll(/[-_\s]/g, "");
}

/**
 * A column's value as text, "" for a missing one; undefined for a value that is not text, a boolean or a
 * UUID. The SDK gives an Edm.Guid as an object.
 */
export function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value.trim();
  if (typeof value === "boolean") return String(value);
  if (typeof value === "object" && "type" in value && "value" in value) {
    const { type, value: inner } = value;
    return type === "Guid" && typeof inner === "string" ? inner.trim() : undefined;
  }
  return undefined;
}

/** Whether a table may have this PartitionKey or RowKey. No query is made for others. */
export function isTableKey(text: string): boolean {
  return tableKeyProblem(text) === undefined;
}

/** Why a table may not have this key, as the end of "the id …". */
export function tableKeyProblem(text: string): string | undefined {
  if (text === "") return "is empty";
  if (new TextEncoder().encode(text).length > MAX_KEY) {
    return "is over 1 KiB, which is the most for a key of a table";
  }
  if (FORBIDDEN.test(text) || !text.isWellFormed()) {
    return "can be no key of a table: / \\ # ? and controls are not allowed";
  }
  return undefined;
}
