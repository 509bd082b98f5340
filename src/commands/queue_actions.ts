// What each action of `queue` does with the messages of a store.

import { createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Delimiter } from "../accounts/username.ts";
import { CommandError, EXIT } from "../exit.ts";
import { type MessageFilter, type QueueInspection, UnreadableError } from "../queue/inspection.ts";
import type { ChangeResult, QueueAdministration, StoredMessage } from "../queue/store.ts";
import { fileErrorText } from "../settings/file_error.ts";
import type { Content } from "../smtp/content.ts";
import { shown } from "./printed.ts";
import { accountMatcher, type FilterOptions, type QueueCommand } from "./queue_arguments.ts";
import { detailsOf, JsonArray, jsonOf, messagesText, MessageTable } from "./queue_output.ts";

/** What the actions work on. */
export interface QueueContext {
  readonly administration: QueueAdministration;
  readonly inspection: QueueInspection;
  readonly delimiter: Delimiter;
  readonly json: boolean;
  /** Columns of the terminal; undefined if standard output is not a terminal. */
  readonly columns?: number;
  /** Milliseconds of Unix time. */
  readonly now: number;
  /** Writes to standard output. Resolves when more can be written. */
  write(octets: string | Uint8Array): Promise<void>;
  /** Asks before a deletion; left out if it was agreed to before. */
  readonly ask?: Ask;
}

type Ask = (question: string) => Promise<boolean>;

/** @throws CommandError 1 if something could not be read or done; StoreError */
export async function act(command: QueueCommand, context: QueueContext): Promise<void> {
  switch (command.action) {
    case "list":
      return await list(command.filter, command.limit, context);
    case "show":
      return await show(command.id, context);
    case "retry":
    case "delete": {
      const { action, selection } = command;
      return selection.type === "ids"
        ? await changeThese(action, selection.ids, context)
        : await changeMatching(action, selection.filter, context);
    }
    case "export":
      return await exportContent(command.id, command.output, context);
  }
}

async function list(
  options: FilterOptions,
  limit: number,
  context: QueueContext,
): Promise<void> {
  const { inspection, json, write } = context;
  const table = new MessageTable(context);
  const array = new JsonArray();
  let isEmpty = true;
  for await (const messages of inspection.messages(filterOf(options, context), limit)) {
    isEmpty = false;
    await write(
      json ? array.text(messages.map((message) => jsonOf(message))) : table.text(messages),
    );
  }
  if (json) await write(array.end());
  else if (isEmpty) await write(none(options));
  unreadable(context, options.account !== undefined);
}

async function show(id: string, context: QueueContext): Promise<void> {
  const { inspection, json, write } = context;
  const message = await inspection.find(id);
  if (message === undefined) throw failure([unknown(id)]);
  await write(`${json ? jsonOf(message, 2) : detailsOf(message)}\n`);
  if (message.problem !== undefined) throw failure([`message ${shown(id)}: ${message.problem}`]);
}

type Action = "retry" | "delete";

const DONE: Readonly<Record<Action, string>> = { retry: "due now", delete: "deleted" };

async function changeThese(
  action: Action,
  ids: readonly string[],
  context: QueueContext,
): Promise<void> {
  const { administration, json, write, ask } = context;
  if (action === "delete" && ask !== undefined) await agree(await named(ids, context), ask);
  const array = new JsonArray();
  const failures: string[] = [];
  for await (const [id, result] of changed(action, ids, administration)) {
    if (json) await write(array.text([resultJson(id, result)]));
    else if (result === "done") await write(`Message ${shown(id)} is ${DONE[action]}\n`);
    if (result === "unknown") failures.push(unknown(id));
    if (result === "sending") failures.push(`message ${shown(id)} ${BEING_SENT}`);
  }
  if (json) await write(array.end());
  if (failures.length > 0) throw failure(failures);
}

/** Changes that are under way at once: in a storage account each may wait for the relays. */
const AT_ONCE = 64;

/** Yields the results in the order of the ids. */
async function* changed(
  action: Action,
  ids: readonly string[],
  administration: QueueAdministration,
): AsyncGenerator<readonly [id: string, result: ChangeResult]> {
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    const some = ids.slice(at, at + AT_ONCE);
    const results = await Promise.all(some.map((id) => administration[action](id)));
    for (const [index, result] of results.entries()) yield [some[index]!, result];
  }
}

const BEING_SENT = "is being sent now and was left as it is: try again in a minute";

/** What a question calls these messages. @throws CommandError 1 if one does not exist */
async function named(ids: readonly string[], { inspection }: QueueContext): Promise<string> {
  const states = new StateCounts();
  const missing: string[] = [];
  let route = "";
  for (const id of ids) {
    const message = await inspection.find(id);
    if (message === undefined) {
      missing.push(unknown(id));
      continue;
    }
    states.add(message.stored);
    if (message.record === undefined) continue;
    const { from, recipients: [first = "", ...others] } = message.record.envelope;
    const more = others.length === 0 ? "" : ` and ${others.length} more`;
    route = ` from ${shown(from)} to ${shown(first)}${more}`;
  }
  if (missing.length > 0) throw failure([...missing, "nothing was deleted"]);
  return ids.length === 1 ? `message ${shown(ids[0]!)}${route}` : String(states);
}

/** Counts messages, for a question. */
class StateCounts {
  readonly #counts = new Map<string, number>();
  #all = 0;

  add({ state }: StoredMessage): void {
    this.#counts.set(state, (this.#counts.get(state) ?? 0) + 1);
    this.#all++;
  }

  toString(): string {
    const counts = [...this.#counts].map(([state, count]) => `${count} ${state}`).join(", ");
    return `${messagesText(this.#all)} (${counts})`;
  }
}

/** @throws CommandError 1 if the answer is not yes */
async function agree(what: string, ask: Ask): Promise<void> {
  if (!await ask(`Delete ${what}? [y/N] `)) throw failure(["not deleted"]);
}

async function changeMatching(
  action: Action,
  options: FilterOptions,
  context: QueueContext,
): Promise<void> {
  const { administration, json, write } = context;
  const array = new JsonArray();
  const counts: Record<ChangeResult, number> = { done: 0, sending: 0, unknown: 0 };
  for await (const ids of chosenIds(action, filterOf(options, context), context)) {
    for await (const [id, result] of changed(action, ids, administration)) {
      counts[result]++;
      if (json) await write(array.text([resultJson(id, result)]));
    }
  }
  const { done, sending } = counts;
  if (json) await write(array.end());
  else if (done + sending === 0) await write(none(options));
  else if (done > 0) {
    await write(`${messagesText(done)} ${done === 1 ? "is" : "are"} ${DONE[action]}\n`);
  }
  if (sending > 0) {
    const be = sending === 1 ? "is" : "are";
    throw failure([`${messagesText(sending)} ${be} being sent now and left as before: try again`]);
  }
  unreadable(context, options.account !== undefined);
}

/** The ids in lists: before a question all of them, so that only what was agreed to is deleted. */
async function* chosenIds(
  action: Action,
  filter: MessageFilter,
  context: QueueContext,
): AsyncGenerator<readonly string[]> {
  const { inspection, ask } = context;
  if (action === "retry" || ask === undefined) {
    let ids: string[] = [];
    for await (const messages of inspection.stored(filter)) {
      ids.push(...messages.map(({ id }) => id));
      if (ids.length < AT_ONCE) continue;
      yield ids;
      ids = [];
    }
    if (ids.length > 0) yield ids;
    return;
  }
  const states = new StateCounts();
  const all: string[] = [];
  for await (const messages of inspection.stored(filter)) {
    for (const stored of messages) {
      states.add(stored);
      all.push(stored.id);
    }
  }
  if (all.length === 0) return;
  await agree(String(states), ask);
  yield all;
}

async function exportContent(
  id: string,
  output: string | undefined,
  { inspection, write }: QueueContext,
): Promise<void> {
  const content = await openedContent(id, inspection);
  if (output === undefined || output === "-") {
    for (const piece of content) await write(piece);
    return;
  }
  try {
    // A file that exists may be another message.
    await pipeline(content, createWriteStream(output, { flags: "wx", mode: 0o600 }));
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === "EEXIST";
    // A part of a message looks like a message.
    if (!exists) await rm(output, { force: true }).catch(() => {});
    const what = exists ? "exists already" : `cannot be written: ${fileErrorText(error)}`;
    throw failure([`--output ${shown(output)} ${what}`]);
  }
}

async function openedContent(id: string, inspection: QueueInspection): Promise<Content> {
  try {
    const content = await inspection.content(id);
    if (content === undefined) throw failure([unknown(id)]);
    return content;
  } catch (error) {
    if (!(error instanceof UnreadableError)) throw error;
    throw failure([`message ${shown(id)} cannot be read: ${error.message}`]);
  }
}

function filterOf(
  { states, account, olderThan }: FilterOptions,
  { delimiter, now }: QueueContext,
): MessageFilter {
  return {
    ...(states === undefined ? {} : { states }),
    ...(olderThan === undefined ? {} : { receivedBefore: now - olderThan }),
    ...(account === undefined ? {} : { account: accountMatcher(account, delimiter) }),
  };
}

/**
 * @param leftOut whether messages that cannot be read were left out: their account is not known
 * @throws CommandError 1 if a message could not be read
 */
function unreadable({ inspection }: QueueContext, leftOut: boolean): void {
  if (inspection.problems.size === 0) return;
  const what = leftOut ? "left out, because the account cannot be read" : "could not be opened";
  throw failure(
    [...inspection.problems].map(([problem, count]) =>
      `${messagesText(count)} ${what}: ${problem}`
    ),
  );
}

function none(filter: FilterOptions): string {
  return Object.keys(filter).length === 0 ? "No messages.\n" : "No message matches.\n";
}

function resultJson(id: string, result: ChangeResult): string {
  return JSON.stringify({ id, result });
}

function unknown(id: string): string {
  return `there is no message ${shown(id)} in the queue`;
}

function failure(lines: readonly string[]): CommandError {
  return new CommandError(EXIT.failure, lines);
}
