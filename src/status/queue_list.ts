// The queue's messages for the status page, and what an administrator may do with them there.

import { eventLoopTurn } from "../clock.ts";
import { QueueInspection } from "../queue/inspection.ts";
import type { ChangeResult, MessageState, StoredMessage } from "../queue/store.ts";
import type { LiveQueue } from "./live_state.ts";
import { shownName } from "../observe/shown.ts";
import { messageReason, type Remedy } from "./reason.ts";
import type { QueuedView } from "./view.ts";

/** Messages that are shown, … */
const MAX_SHOWN = 200;
/** … that are read at once, which blocks the event loop, … */
const PAGE = 200;
/** … and that are looked at. */
const MAX_READ = 10_000;

export interface QueueListing {
  readonly messages: readonly QueuedView[];
  /** There may be others. */
  readonly more: boolean;
}

/**
 * The oldest messages of the queue.
 *
 * @param states that are wanted
 * @param remedy what to do about a failure
 * @throws StoreError
 */
export async function listQueue(
  queue: LiveQueue,
  states: ReadonlySet<MessageState>,
  remedy: Remedy,
): Promise<QueueListing> {
  const administration = await queue.administration();
  const inspection = new QueueInspection(administration, queue.sealer);
  const messages: QueuedView[] = [];
  let after: StoredMessage | undefined;
  for (let read = 0; read < MAX_READ; read += PAGE) {
    const page = await administration.list(PAGE, after);
    for (const stored of page) {
      if (!states.has(stored.state)) continue;
      if (messages.length === MAX_SHOWN) return { messages, more: true };
      messages.push(viewOf(stored, inspection, remedy));
    }
    after = page.at(-1);
    if (after === undefined) return { messages, more: false };
    await eventLoopTurn();
  }
  return { messages, more: true };
}

/** @throws StoreError */
export async function changeQueued(
  queue: LiveQueue,
  action: "retry" | "delete",
  id: string,
): Promise<ChangeResult> {
  const result = await (await queue.administration())[action](id);
  if (result === "done") queue.changed(action, id);
  return result;
}

function viewOf(
  stored: StoredMessage,
  inspection: QueueInspection,
  remedy: Remedy,
): QueuedView {
  const { id, state, receivedAt: at, due, size, attempts, code } = stored;
  const { record, note, problem } = inspection.inspect(stored);
  const type = state === "dead" ? "refused" : "later";
  const why = { type, code, detail: note?.detail ?? "", ambiguous: false } as const;
  const reason = messageReason(why, record?.envelope.from ?? "", at);
  const fix = code === "" ? undefined : remedy(reason);
  return {
    ...{ id, state, at, due, size, attempts, code },
    ...(note?.detail === undefined ? {} : { detail: reason.failure.detail }),
    ...(fix === undefined ? {} : { fix }),
    ...(record === undefined ? {} : {
      sender: shownName(record.envelope.from),
      username: shownName(record.username),
      address: record.client,
    }),
    ...(problem === undefined ? {} : { problem }),
  };
}
