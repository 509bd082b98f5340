// A message as a blob: the sealed record, then the sealed content; everything else is its metadata.
// https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources

import { Buffer } from "node:buffer";
import {
  isMessageId,
  type MessageFacts,
  type MessageProgress,
  type MessageState,
  StoreError,
} from "../store.ts";

/** Octets of a sealed note: metadata has 8 KiB in all, in base64. */
export const MAX_NOTE = 4096;
/** Octets of a sealed record, which is read at once: 1000 recipients have less than half of it. */
const MAX_RECORD = 2 * 1024 * 1024;

/** What a blob's metadata says. */
export interface BlobEntry extends MessageFacts, MessageProgress {
  /** Octets of the sealed record at the beginning of the blob. */
  readonly recordSize: number;
  /**
   * How often the message got a new pointer. A pointer of an earlier generation is left over, and one of a
   * later generation belongs to a change that is not finished.
   */
  readonly generation: number;
  /** Until when no message of its mailbox is to be taken, in Unix time; 0 for no pause. */
  readonly pause: number;
  /** When an administrator began to change the message; 0 when that is over. */
  readonly changing: number;
}

/** As stored at one time. */
export interface BlobVersion {
  readonly entry: BlobEntry;
  /** Of the whole blob, in octets. */
  readonly size: number;
  readonly etag: string;
  readonly modifiedAt: number;
}

/** The folder of the messages. */
export const MESSAGES = "messages/";
/** The code of a blob whose metadata is not a message's. */
export const NO_MESSAGE = "NO_MESSAGE";
/** Digits of a time, so that names sort by arrival until the year 33658. */
const DIGITS = 15;

/** Sorts by arrival. */
export function blobName({ id, receivedAt }: Pick<MessageFacts, "id" | "receivedAt">): string {
  if (!isMessageId(id)) throw new Error("a message's id has other characters");
  return `${MESSAGES}${String(receivedAt).padStart(DIGITS, "0")}-${id}`;
}

/** @returns undefined for what is no message's name */
export function partsOfName(name: string): { id: string; receivedAt: number } | undefined {
  const [, digits, id] = /^messages\/(\d{15})-([\w-]{1,64})$/.exec(name) ?? [];
  return id === undefined ? undefined : { id, receivedAt: Number(digits) };
}

const STATES: readonly MessageState[] = ["queued", "sending", "held", "dead"];

export function toMetadata(entry: BlobEntry): Record<string, string> {
  const metadata: Record<string, string> = {
    size: String(entry.size),
    mailbox: entry.mailbox,
    account: entry.account,
    connection: entry.connection,
    record: String(entry.recordSize),
    generation: String(entry.generation),
    state: entry.state,
    due: String(entry.due),
    attempts: String(entry.attempts),
    code: asciiCode(entry.code),
    note: noteText(entry.note),
    pause: entry.pause === 0 ? "" : String(entry.pause),
    changing: entry.changing === 0 ? "" : String(entry.changing),
  };
  for (const [name, value] of Object.entries(metadata)) {
    if (value === "") delete metadata[name];
  }
  return metadata;
}

/** @returns undefined if it is not a message's */
export function fromMetadata(
  name: string,
  metadata: Readonly<Record<string, string>> | undefined,
): BlobEntry | undefined {
  const parts = partsOfName(name);
  if (parts === undefined || metadata === undefined) return undefined;
  // Header fields and lists may spell names differently.
  const values = new Map(
    Object.entries(metadata).map(([name, value]) => [name.toLowerCase(), String(value)]),
  );
  const text = (name: string) => values.get(name) ?? "";
  const number = (name: string) => Number(values.get(name) ?? "0");
  const state = STATES.find((state) => state === text("state"));
  const numbers = ["size", "record", "generation", "due", "attempts", "pause", "changing"].map(
    number,
  );
  const isCount = (number: number) => Number.isSafeInteger(number) && number >= 0;
  const note = noteOf(text("note"));
  if (
    state === undefined || !values.has("record") || !numbers.every(isCount) ||
    number("record") > MAX_RECORD || note.length > MAX_NOTE
  ) return undefined;
  return {
    ...parts,
    size: number("size"),
    mailbox: text("mailbox"),
    account: text("account"),
    connection: text("connection"),
    recordSize: number("record"),
    generation: number("generation"),
    state,
    due: number("due"),
    attempts: number("attempts"),
    code: text("code"),
    note,
    pause: number("pause"),
    changing: number("changing"),
  };
}

/** Without what changes. */
export function factsOf(message: MessageFacts): MessageFacts {
  const { id, receivedAt, size, mailbox, account, connection } = message;
  return { id, receivedAt, size, mailbox, account, connection };
}

/** @throws StoreError if the note is too long */
export function noteText(note: Uint8Array): string {
  if (note.length > MAX_NOTE) {
    throw new StoreError("NOTE_TOO_LARGE", `a note has ${note.length} octets`);
  }
  return Buffer.from(note.buffer, note.byteOffset, note.length).toString("base64");
}

export function noteOf(text: string): Uint8Array {
  return Buffer.from(text, "base64");
}

/** A value of a header field. */
export function asciiCode(code: string): string {
  return code.replace(/[^\x21-\x7e]/g, "_").slice(0, 200);
}
