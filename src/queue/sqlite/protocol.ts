// What the two sides of the store say to each other: the relay's thread asks, the worker that has the
// database answers.

import type { MessageFacts, MessageProgress, MessageState, StoredMessage } from "../store.ts";
import type { ErrorFacts } from "./errors.ts";

/** A message to be added. Octets that are not in the row are in a file that is synced already. */
export interface AddedMessage extends MessageFacts {
  readonly record: Uint8Array;
  /** Octets of the sealed content. */
  readonly octets: number;
  /** Undefined: in a file. */
  readonly content: Uint8Array | undefined;
}

export interface TakenRow {
  readonly stored: StoredMessage;
  readonly inFile: boolean;
}

/** What can be asked, and what is answered. `now` is milliseconds of Unix time. */
export interface Operations {
  add: { readonly asked: { readonly message: AddedMessage; readonly now: number }; answer: void };
  take: {
    readonly asked: {
      readonly limit: number;
      readonly busy: readonly string[];
      readonly now: number;
    };
    answer: readonly TakenRow[];
  };
  sending: {
    readonly asked: {
      readonly id: string;
      readonly attempts: number;
      readonly note: Uint8Array;
      readonly now: number;
    };
    answer: boolean;
  };
  remove: { readonly asked: { readonly id: string }; answer: void };
  giveBack: {
    readonly asked: {
      readonly id: string;
      readonly progress: MessageProgress;
      readonly now: number;
    };
    answer: void;
  };
  content: { readonly asked: { readonly id: string }; answer: Uint8Array };
  getNote: {
    readonly asked: { readonly key: string; readonly now: number };
    answer: Uint8Array | undefined;
  };
  setNote: {
    readonly asked: {
      readonly key: string;
      readonly value: Uint8Array;
      readonly until: number;
      readonly now: number;
    };
    answer: void;
  };
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
}

export type Request = { readonly operations: readonly Operation[] } | { readonly close: true };

export type Response =
  | { readonly opened: Totals }
  | { readonly refused: ErrorFacts }
  | { readonly results: readonly Result[]; readonly totals: Totals }
  | { readonly closed: ErrorFacts | undefined };
