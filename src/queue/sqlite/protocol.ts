// What the two sides of the store say to each other: the relay's thread asks, the worker that has the
// database answers.

import type {
  MessageFacts,
  MessageProgress,
  MessageState,
  Share,
  StoredMessage,
} from "../store.ts";
import type { ErrorFacts } from "./errors.ts";

/**
 * The same with its octets as they cross from thread to thread. One runtime looks at each element of a
 * typed array in a message, which takes 35 ms for 500 kB, and at none of an ArrayBuffer.
 */
export type Crossing<T> = { readonly [K in keyof T]: T[K] extends Uint8Array ? ArrayBuffer : T[K] };

/** Memory that nothing else uses: a small Buffer is a part of a large one, which would cross with it. */
export function crossing(octets: Uint8Array): ArrayBuffer {
  const { buffer, byteLength } = octets;
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength
    ? buffer
    : new Uint8Array(octets).buffer;
}

export function crossingMessage(stored: StoredMessage): Crossing<StoredMessage> {
  return { ...stored, record: crossing(stored.record), note: crossing(stored.note) };
}

/** A message to be added. Octets that are not in the row are in a file that is synced already. */
export interface AddedMessage extends MessageFacts {
  readonly record: ArrayBuffer;
  /** Octets of record and sealed content. */
  readonly octets: number;
  /** Undefined: in a file. */
  readonly content: ArrayBuffer | undefined;
}

export interface TakenRow {
  /** Of this taking: it may be taken again once it is given back. */
  readonly token: number;
  readonly stored: Crossing<StoredMessage>;
  readonly inFile: boolean;
}

/** A message that was taken. Nothing happens if it was given back since. */
export interface OwnMessage {
  readonly id: string;
  readonly token: number;
}

/** What can be asked, and what is answered. `now` is milliseconds of Unix time. */
export interface Operations {
  add: { readonly asked: { readonly message: AddedMessage; readonly now: number }; answer: void };
  take: {
    readonly asked: {
      readonly limit: number;
      readonly busy: readonly string[];
      readonly busyAccounts: readonly string[];
      readonly now: number;
    };
    answer: readonly TakenRow[];
  };
  sending: {
    readonly asked: OwnMessage & {
      readonly attempts: number;
      readonly note: ArrayBuffer;
      readonly now: number;
    };
    answer: boolean;
  };
  remove: {
    readonly asked: OwnMessage & {
      readonly recovered: "mailbox" | "all" | undefined;
      readonly now: number;
    };
    answer: void;
  };
  giveBack: {
    readonly asked: OwnMessage & {
      readonly pause: number;
      readonly progress: Crossing<MessageProgress>;
      readonly now: number;
    };
    answer: boolean;
  };
  content: { readonly asked: { readonly id: string }; answer: ArrayBuffer };
  getNote: {
    readonly asked: { readonly key: string; readonly now: number };
    answer: ArrayBuffer | undefined;
  };
  setNote: {
    readonly asked: {
      readonly key: string;
      readonly value: ArrayBuffer;
      readonly until: number;
      readonly now: number;
    };
    answer: void;
  };
  share: { readonly asked: { readonly account: string }; answer: Share };
  /** Nothing but the totals that come with each answer. */
  look: { readonly asked: Record<string, never>; answer: void };
}

export type Kind = keyof Operations;
export type Asked<K extends Kind> = Operations[K]["asked"];
export type Answer<K extends Kind> = Operations[K]["answer"];
export type Operation = { readonly [K in Kind]: { readonly kind: K } & Asked<K> }[Kind];

export type Result =
  | { readonly value: Answer<Kind> }
  | { readonly error: ErrorFacts };

export interface Totals {
  readonly messages: Readonly<Record<MessageState, number>>;
  readonly octets: number;
  readonly oldest: number | undefined;
  readonly oldestDead: number | undefined;
}

export type Request = { readonly operations: readonly Operation[] } | { readonly close: true };

export type Response =
  | { readonly opened: Totals }
  | { readonly refused: ErrorFacts }
  | { readonly results: readonly Result[]; readonly totals: Totals }
  | { readonly closed: true };
