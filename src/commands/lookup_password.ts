// `lookup set-password`: gives an entry a password of the device's own. It is printed once, and only its hash
// is kept.

import process from "node:process";
import { type ColumnName, readEntry, type Row, textOf } from "../accounts/entry.ts";
import type { EntryRules } from "../accounts/entry_state.ts";
import {
  bitsOf,
  hashOf,
  LEAST_LENGTH,
  makePassword,
  MOST_LENGTH,
  STANDARD_LENGTH,
} from "../accounts/made_password.ts";
import { lookupCommand } from "../check/finding.ts";
import { CREDENTIAL_NAMES } from "../entra/app_credentials.ts";
import { CommandError, EXIT } from "../exit.ts";
import { looksLikeSecret } from "../secret.ts";
import type { Action, Changes } from "./lookup_arguments.ts";
import { entryJson, stateOf } from "./lookup_output.ts";
import { shown } from "./printed.ts";

/** Characters of a chosen password; octets at most, as much as a device can send. */
const CHOSEN = { least: 8, most: 256 } as const;

export interface PasswordOptions {
  /** Characters, as written. */
  readonly length?: string;
  /** Takes a chosen password. */
  readonly stdin?: boolean;
  /** Keeps the present password valid. */
  readonly next?: boolean;
  /** Ends the present password. */
  readonly promote?: boolean;
}

export type Wanted =
  | { readonly type: "make"; readonly length: number; readonly next: boolean }
  | { readonly type: "take"; readonly next: boolean }
  | { readonly type: "promote" };

/** @throws CommandError 2 if they do not fit each other, or the action */
export function passwordOptions(action: Action, options: PasswordOptions): Wanted {
  const { length, stdin = false, next = false, promote = false } = options;
  const given = Object.entries({ length: length !== undefined, stdin, next, promote })
    .flatMap(([name, isGiven]) => isGiven ? [`--${name}`] : []);
  if (action !== "set-password" && given.length > 0) {
    throw usage(`lookup ${action} has no option ${given[0]}: it is for set-password`);
  }
  if (promote && given.length > 1) throw usage("--promote takes no other option");
  if (promote) return { type: "promote" };
  if (stdin && length !== undefined) throw usage("--stdin and --length exclude each other");
  if (stdin) return { type: "take", next };
  const wanted = length === undefined
    ? STANDARD_LENGTH
    : /^\d{1,4}$/.test(length)
    ? Number(length)
    : NaN;
  if (!(wanted >= LEAST_LENGTH && wanted <= MOST_LENGTH)) {
    throw usage(`--length must be a number from ${LEAST_LENGTH} to ${MOST_LENGTH}`);
  }
  return { type: "make", length: wanted, next };
}

export interface PasswordTools {
  /** The entry. @throws CommandError if it does not exist */
  readonly find: () => Promise<Row>;
  /** Changes it. @throws CommandError */
  readonly store: (changes: Changes) => Promise<void>;
  readonly rules: EntryRules;
  readonly json: boolean;
}

/** @returns what to print */
export async function setPassword(
  id: string,
  wanted: Wanted,
  { find, store, rules, json }: PasswordTools,
): Promise<string> {
  const row = await find();
  const { changes, password, notes } = wanted.type === "promote"
    ? promotion(row)
    : await newPassword(row, wanted);
  const changed = { id, columns: { ...row.columns, ...changes } };
  refuseUnusable(changed);
  await store(changes);
  const state = stateOf(changed, rules);
  // The settings may still refuse its logins, or the id be no username.
  const all = state === "ok" ? notes : [...notes, `entry ${shown(id)}: ${state}`];
  for (const note of all) process.stderr.write(`smtp-oauth-relay: ${note}\n`);
  if (json) {
    const entry = entryJson(changed, rules);
    const made = password === undefined ? {} : { password };
    return JSON.stringify({ change: "changed", ...made, ...entry }, null, 2);
  }
  return password ?? `Entry ${shown(id)} changed`;
}

interface PasswordChange {
  readonly changes: Changes;
  /** To be printed. */
  readonly password?: string;
  readonly notes: readonly string[];
}

async function newPassword(
  row: Row,
  wanted: Exclude<Wanted, { readonly type: "promote" }>,
): Promise<PasswordChange> {
  const { id } = row;
  const [has, hasNext] = (["password_hash", "password_hash_next"] as const).map((name) =>
    isSet(row, name)
  );
  if (wanted.next && !has) {
    throw failure(
      `entry ${shown(id)} has no password that could stay valid: leave out --next` +
        (hasNext ? ", or use --promote first" : ""),
    );
  }
  const column = wanted.next ? "password_hash_next" : "password_hash";
  refuseUnusable({ id, columns: { ...row.columns, [column]: PLACEHOLDER } });
  const made = wanted.type === "make" ? makePassword(wanted.length) : undefined;
  const bits = wanted.type === "make" ? bitsOf(wanted.length) : 0;
  const hash = await hashOf(made ?? await chosenPassword(), bits);
  const notes = [
    `entry ${shown(id)} has ${wanted.next ? "one more" : "a new"} password` +
    (made === undefined ? "" : "; it is shown this once"),
  ];
  if (wanted.next) {
    notes.push(
      "the present password stays valid too; when the device has the new one, end it with: " +
        passwordCommand(id, "--promote"),
    );
  } else if (has) notes.push("the password from before ends within a minute");
  if (!wanted.next && hasNext) {
    notes.push(
      "the password of --next is still valid; to end it: " +
        lookupCommand("set", id, "password_hash_next="),
    );
  }
  return {
    changes: { [column]: hash },
    ...(made === undefined ? {} : { password: made }),
    notes,
  };
}

/** The next password becomes the only one. */
function promotion(row: Row): PasswordChange {
  const next = textOf(row.columns["password_hash_next"]);
  if (!next) throw failure(`entry ${shown(row.id)} has no password of --next`);
  return {
    changes: { password_hash: next, password_hash_next: undefined },
    notes: ["the password from before ends within a minute; that of --next is the only one now"],
  };
}

function isSet({ columns }: Row, name: ColumnName): boolean {
  return textOf(columns[name]) !== "";
}

/** A hash of no password, to see what else an entry needs. */
const PLACEHOLDER = `$sha256$${"A".repeat(22)}$${"A".repeat(43)}`;

/** @throws CommandError if logins by the entry's password would be refused whatever the password is */
function refuseUnusable({ id, columns }: Row): void {
  const missing: string[] = [];
  const needs: string[] = [];
  const has = (name: ColumnName) => textOf(columns[name]) !== "";
  if (!has("credential")) {
    missing.push("credential=certificate");
    needs.push(`a credential (${CREDENTIAL_NAMES.join(", ")})`);
  }
  if (!has("from_email") && !has("allowed_senders")) {
    missing.push("from_email=ADDRESS");
    needs.push("from_email or allowed_senders, which the password is limited to");
  }
  if (missing.length > 0) {
    throw failure(
      `entry ${shown(id)} needs ${needs.join(", and ")}: ${lookupCommand("set", id, ...missing)}`,
    );
  }
  // A disabled entry is not read any further.
  const reading = readEntry({ id, columns: { ...columns, disabled: undefined } });
  if (reading.type !== "malformed") return;
  const { column, allowed } = reading.mistake;
  throw failure(
    `entry ${shown(id)} has a mistake: ${column} must be ${allowed}; correct it with: ` +
      lookupCommand("set", id, column),
  );
}

function passwordCommand(id: string, option: string): string {
  return lookupCommand("set", id).replace("lookup set", `lookup set-password ${option}`);
}

/** One line of standard input. */
async function chosenPassword(): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  if (process.stdin.isTTY) {
    process.stderr.write("Password (it is shown while you type): ");
  }
  for await (const part of process.stdin as AsyncIterable<Uint8Array>) {
    parts.push(part);
    size += part.length;
    // A terminal does not end after the line.
    if (size > CHOSEN.most + 2 || part.includes(LF)) break;
  }
  process.stdin.destroy();
  let text: string;
  try {
    const octets = new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
    text = new TextDecoder("utf-8", { fatal: true }).decode(octets);
  } catch {
    throw usage("the password on standard input is not UTF-8");
  }
  const password = text.replace(/\r?\n$/, "");
  const problem = chosenProblem(password);
  if (problem !== undefined) throw usage(`the password on standard input ${problem}`);
  return password;
}

const LF = 10;

function chosenProblem(password: string): string | undefined {
  if (password === "") return "is empty";
  if (/[\r\n]/.test(password)) return "has more than one line";
  if (/\p{Cc}/u.test(password)) return "has control characters";
  if ([...password].length < CHOSEN.least) return `has fewer than ${CHOSEN.least} characters`;
  if (new TextEncoder().encode(password).length > CHOSEN.most) {
    return `is longer than ${CHOSEN.most} bytes`;
  }
  if (password.startsWith("$scrypt$") || password.startsWith("$sha256$")) {
    return "is a hash: set it with lookup set, as password_hash";
  }
  // The device's password must be of no use without this relay.
  if (looksLikeSecret(password)) return "looks like a client secret: choose another one";
  return undefined;
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}

function failure(line: string): CommandError {
  return new CommandError(EXIT.failure, [line]);
}
