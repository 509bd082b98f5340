// A pointer: the queue's message that points to a blob and says how its delivery goes. Its visibility is
// the relay's ownership, and the time until a message is due.

import {
  isMessageId,
  type MessageFacts,
  type MessageProgress,
  type MessageState,
} from "../store.ts";
import { asciiCode, MAX_NOTE, noteOf, noteText } from "./message_blob.ts";

export interface PointerText
  extends Pick<MessageFacts, "id" | "receivedAt" | "mailbox" | "connection">, MessageProgress {
  /** Left out by versions before this one. */
  readonly account?: string;
  readonly state: Extract<MessageState, "queued" | "sending">;
  /** The blob's, when the pointer was made. */
  readonly generation: number;
  /** How often the pointer had been received when a relay last did something with it. */
  readonly received: number;
}

/** Whether an administrator has made the message due, and no relay has done anything with it since. */
export function isRetry({ generation, received }: PointerText): boolean {
  return generation > 0 && received === 0;
}

const VERSION = 1;
/** Characters of a text at most: many pointers are remembered. */
const MAX_TEXT = 200;

/** @throws StoreError if the note is too long */
export function formatPointer(pointer: PointerText): string {
  return JSON.stringify({
    ...pointer,
    v: VERSION,
    code: asciiCode(pointer.code),
    note: noteText(pointer.note),
  });
}

/** @returns undefined if the queue's message is not one of ours, or of a later version */
export function parsePointer(text: string): PointerText | undefined {
  let value: Partial<Record<keyof PointerText | "v", unknown>>;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (value === null || typeof value !== "object" || value.v !== VERSION) return undefined;
  const { id, receivedAt, mailbox, connection, state, due, attempts, code, note } = value;
  const { generation, received, account } = value;
  const numbers = [receivedAt, due, attempts, generation, received];
  const isText = (text: unknown) => typeof text === "string" && text.length <= MAX_TEXT;
  if (
    !numbers.every(Number.isSafeInteger) || ![mailbox, connection, code].every(isText) ||
    account !== undefined && !isText(account) ||
    typeof note !== "string" || typeof id !== "string" || !isMessageId(id) ||
    (state !== "queued" && state !== "sending")
  ) return undefined;
  const octets = noteOf(note);
  if (octets.length > MAX_NOTE) return undefined;
  // Nothing else of what was received is kept.
  const key = {
    id,
    receivedAt,
    mailbox,
    connection,
    ...(account === undefined ? {} : { account }),
  };
  return { ...key, state, due, attempts, code, note: octets, generation, received } as PointerText;
}
