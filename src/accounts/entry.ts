// An entry of the lookup table: its columns, and what each may hold.

import { isAddress } from "../message/addresses.ts";
import { SENDER_LIST_FORM, SenderList } from "./sender_list.ts";
import { parseTenant } from "./tenant.ts";
import { parseId } from "./username.ts";

/** A row as the table has it. */
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
  readonly allowedSenders: SenderList | undefined;
}

export type EntryReading =
  | { readonly type: "entry"; readonly entry: Entry }
  | { readonly type: "disabled"; readonly id: string }
  /** Nothing of it is used. */
  | { readonly type: "malformed"; readonly id: string; readonly mistake: Mistake };

export interface Mistake {
  readonly column: ColumnName;
  /** The end of "COLUMN must be …". What the column holds may be a secret that was pasted there. */
  readonly allowed: string;
}

/** The entry that keeps a login out, for who would mend it. */
export interface Culprit {
  /** Its RowKey. */
  readonly id: string;
  /** The column at fault; left out where the entry is disabled. */
  readonly column?: ColumnName;
}

interface Column<T> {
  /** The end of "must be …". */
  readonly allowed: string;
  /** @returns undefined where the value is not allowed */
  parse(text: string): T | undefined;
}

const MAX_NAME = 256;

/** How each column is read; an empty value counts as none. */
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
    parse: (text) => SenderList.parse(text),
  },
  disabled: {
    allowed: "true or false",
    parse(text) {
      const lower = text.toLowerCase();
      return lower === "true" ? true : lower === "false" ? false : undefined;
    },
  },
} as const satisfies Record<string, Column<unknown>>;

export type ColumnName = keyof typeof COLUMNS;

type Values = { [Name in ColumnName]?: ReturnType<(typeof COLUMNS)[Name]["parse"]> };

/** Reads a row: as a whole, or not at all. What is disabled needs no more than that. */
export function readEntry({ id, columns }: Row): EntryReading {
  const malformed = (column: ColumnName): EntryReading => {
    return { type: "malformed", id, mistake: { column, allowed: COLUMNS[column].allowed } };
  };
  const values: Values = {};
  for (const name of ["disabled", ...Object.keys(COLUMNS)] as ColumnName[]) {
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
  return { type: "entry", entry: { id, tenantId, clientId, fromEmail, fromName, allowedSenders } };
}

/** The columns that say who is let in, by their names without case and hyphens. */
const DECISIVE = namesOf(["tenant_id", "client_id", "allowed_senders", "disabled"]);
/** The others, of which the tables of the Python relay may have namesakes that it never read. */
const OTHERS = namesOf(["from_email", "from_name"]);

function namesOf(names: readonly ColumnName[]): ReadonlyMap<string, ColumnName> {
  return new Map(names.map((name) => [folded(name), name]));
}

/**
 * A column that is meant to be ours, but is called otherwise, such as `Disabled`. The table service
 * tells names by case; that such a column does nothing would let in who was shut out. Where ours is
 * there, too, it is the one that counts.
 */
function misnamed(columns: Row["columns"]): Mistake | undefined {
  const [found] = namesakes(columns, DECISIVE);
  if (found === undefined) return undefined;
  const [name, column] = found;
  return { column, allowed: `called exactly so in the table, not ${JSON.stringify(name)}` };
}

/** The columns that may be meant to be ours, and do nothing, though the entry can be used. */
export function withoutEffect({ columns }: Row): string[] {
  return namesakes(columns, OTHERS).map(([name]) => name);
}

function namesakes(
  columns: Row["columns"],
  names: ReadonlyMap<string, ColumnName>,
): [name: string, column: ColumnName][] {
  return Object.entries(columns).flatMap(([name, value]) => {
    const column = names.get(folded(name));
    const stray = column !== undefined && column !== name && textOf(value) !== "" &&
      textOf(columns[column]) === "";
    return stray ? [[name, column]] : [];
  });
}

function folded(name: string): string {
  return name.toLowerCase().replaceAll(/[-_ ]/g, "");
}

/**
 * A column's value as text, "" for none; undefined for what is no text, truth or UUID.
 * The SDK gives an Edm.Guid as an object.
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
