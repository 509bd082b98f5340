// The command line of `queue`: the action, the messages that it is about, and its options.

import type { Account } from "../accounts/account.ts";
import { type Delimiter, parseTenant, parseUsername } from "../accounts/username.ts";
import { CommandError, EXIT } from "../exit.ts";
import { isMessageId, type MessageState } from "../queue/store.ts";
import { nearest } from "../nearest.ts";
import { age } from "../settings/parsers.ts";
import { shown } from "./printed.ts";

const ACTIONS = ["list", "show", "retry", "delete", "export"] as const;
type Action = (typeof ACTIONS)[number];

const STATES: readonly MessageState[] = ["queued", "sending", "held", "dead"];

/** The options as they are given. */
export interface QueueOptions {
  readonly json?: boolean;
  /** Deletes without asking. */
  readonly yes?: boolean;
  /** All messages, for an action that changes them. */
  readonly all?: boolean;
  readonly state?: string;
  readonly account?: string;
  readonly olderThan?: string;
  readonly limit?: string;
  readonly output?: string;
  /** The unit of a service, whose settings count instead of this command's environment. */
  readonly service?: string | true;
}

export interface FilterOptions {
  readonly states?: ReadonlySet<MessageState>;
  /** A username, the id of an entry, or a tenant or client id. */
  readonly account?: string;
  /** Milliseconds. */
  readonly olderThan?: number;
}

/** The messages that an action changes. */
export type Selection =
  | { readonly type: "ids"; readonly ids: readonly string[] }
  | { readonly type: "filter"; readonly filter: FilterOptions };

export type QueueCommand =
  | { readonly action: "list"; readonly filter: FilterOptions; readonly limit: number }
  | { readonly action: "show"; readonly id: string }
  | { readonly action: "retry" | "delete"; readonly selection: Selection }
  | { readonly action: "export"; readonly id: string; readonly output?: string };

const FILTERS = ["state", "account", "olderThan"] as const;

const ALLOWED: Readonly<Record<Action, readonly (keyof QueueOptions)[]>> = {
  list: ["json", "limit", ...FILTERS],
  show: ["json"],
  retry: ["json", "all", ...FILTERS],
  delete: ["json", "all", "yes", ...FILTERS],
  export: ["output"],
};

/** @throws CommandError 2 if they do not go together */
export function readCommand(words: readonly string[], options: QueueOptions): QueueCommand {
  const [word = "", ...ids] = words;
  const action = actionOf(word);
  for (const name of Object.keys(options) as (keyof QueueOptions)[]) {
    if (name !== "service" && options[name] !== undefined && !ALLOWED[action].includes(name)) {
      throw usage(`${flagOf(name)} is not an option of queue ${action}`);
    }
  }
  const other = ids.find((id) => !isMessageId(id));
  if (other !== undefined) throw usage(`${shown(other)} is not the ID of a message`);
  if (action === "list") {
    if (ids.length > 0) throw usage("queue list takes no ID: queue show does");
    return { action, filter: filterOf(options), limit: limitOf(options.limit) };
  }
  if (action === "retry" || action === "delete") {
    return { action, selection: selectionOf(action, ids, options) };
  }
  const [id] = ids;
  if (id === undefined) throw usage(`queue ${action} needs an ID: queue list shows them`);
  if (ids.length > 1) throw usage(`queue ${action} takes one ID`);
  if (action === "show") return { action, id };
  const { output } = options;
  return { action, id, ...(output === undefined ? {} : { output }) };
}

function actionOf(word: string): Action {
  const action = ACTIONS.find((name) => name === word);
  if (action !== undefined) return action;
  if (word === "") throw usage(`queue needs an action: ${ACTIONS.join(", ")}`);
  const near = nearest(word, ACTIONS);
  const hint = near === undefined
    ? `one of ${ACTIONS.join(", ")} is needed`
    : `did you mean ${near}?`;
  throw usage(`unknown action ${shown(word)} of queue: ${hint}`);
}

function selectionOf(
  action: Action,
  ids: readonly string[],
  options: QueueOptions,
): Selection {
  const given = FILTERS.filter((name) => options[name] !== undefined);
  if (ids.length > 0) {
    const other = options.all ? "all" : given[0];
    if (other !== undefined) throw usage(`give IDs or ${flagOf(other)}, not both`);
    return { type: "ids", ids: [...new Set(ids)] };
  }
  if (options.all && given.length > 0) {
    throw usage(`--all means every message: leave it or ${flagOf(given[0]!)} out`);
  }
  if (!options.all && given.length === 0) {
    throw usage(
      `queue ${action} needs IDs, or --state, --account or --older-than, or --all for every message`,
    );
  }
  return { type: "filter", filter: filterOf(options) };
}

function filterOf({ state, account, olderThan }: QueueOptions): FilterOptions {
  if (account === "") throw usage("--account must not be empty");
  return {
    ...(state === undefined ? {} : { states: statesOf(state) }),
    ...(account === undefined ? {} : { account }),
    ...(olderThan === undefined ? {} : { olderThan: timeOf(olderThan) }),
  };
}

function statesOf(text: string): ReadonlySet<MessageState> {
  const states = text.split(",").map((part) => {
    const word = part.trim().toLowerCase();
    const state = STATES.find((name) => name === word);
    if (state !== undefined) return state;
    const near = nearest(word, STATES);
    const hint = near === undefined ? "" : `; did you mean ${near}?`;
    throw usage(`--state ${shown(part.trim())} must be one of ${STATES.join(", ")}${hint}`);
  });
  return new Set(states);
}

function timeOf(text: string): number {
  const time = age.parse(text);
  if (time !== undefined) return time;
  const meant = age.meant!(text);
  const hint = meant === undefined ? "" : `; did you mean ${meant}?`;
  throw usage(`--older-than ${shown(text)} must be ${age.allowed}${hint}`);
}

function limitOf(text: string | undefined): number {
  if (text === undefined) return Infinity;
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw usage(`--limit ${shown(text)} must be a whole number from 1 on`);
}

/** Whether an account is the one that a text names, in any of the ways that `--account` takes. */
export function accountMatcher(text: string, delimiter: Delimiter): (account: Account) => boolean {
  const username = parseUsername(text, delimiter);
  switch (username.type) {
    case "lookup":
      return ({ entry }) => entry?.id === username.id;
    case "direct":
      return ({ tenantId, clientId }) =>
        tenantId === username.tenantId && clientId === username.clientId;
    case "invalid": {
      // The id of an entry may have the form of any other name.
      const id = parseTenant(text);
      return ({ entry, tenantId, clientId }) =>
        entry?.id === text || id !== undefined && (tenantId === id || clientId === id);
    }
  }
}

function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function usage(line: string): CommandError {
  return new CommandError(EXIT.usage, [line]);
}
