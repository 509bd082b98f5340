// The interface between the queue and where its messages are kept. A store holds sealed octets that it
// cannot read, and never decides what becomes of a message.

/**
 * Milliseconds that a message waits, or a mailbox is paused, at most: Retry-After is a day at most. A time
 * that is further ahead was stored while the machine's clock was wrong, and is not waited for.
 */
export const FURTHEST_AHEAD = 25 * 3_600_000;

/** Stable storage for messages. All times are milliseconds of Unix time. */
export interface QueueStore extends QueueUsage {
  /**
   * Adds a message, in state `queued`. Resolves once it is on stable storage, so that it survives a power
   * cut. If it fails, nothing of the message is kept that could be sent.
   *
   * @throws StoreError
   */
  add(message: NewMessage): Promise<void>;
  /**
   * Takes messages whose time has come, the oldest first: one of a mailbox at most, and none whose
   * connection has another one taken. They belong to the caller, and to no other relay, until they are
   * given back or removed.
   *
   * @param limit how many at most
   * @param busy mailboxes whose messages are not wanted now
   * @param busyAccounts accounts likewise, as far as the store knows; left out for none
   * @throws StoreError
   */
  take(
    limit: number,
    busy: ReadonlySet<string>,
    busyAccounts?: ReadonlySet<string>,
  ): Promise<readonly TakenMessage[]>;
  readonly notes: Notes;
  /** Ends once everything under way is stored. Messages that are taken stay as they are. */
  close(): Promise<void>;
}

export interface QueueUsage {
  /** What the store holds, and what it has room for. May be a few seconds old. */
  usage(): Usage;
  /**
   * What an account has in the store, in all states.
   *
   * @throws StoreError
   */
  share(account: string): Promise<Share>;
}

/** Whether it can be the id of a message: stores make names of it. */
export function isMessageId(id: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}$/.test(id);
}

/** What can be read of a message without the key. Kept small: SECURITY.md lists it. */
export interface MessageFacts {
  /** Names the message in the reply to its client, in log lines and for `queue show`. */
  readonly id: string;
  readonly receivedAt: number;
  /** Octets of its content before sealing. */
  readonly size: number;
  /** Keyed hashes: the mailbox that sends it, the account, and the connection that it came by. */
  readonly mailbox: string;
  readonly account: string;
  readonly connection: string;
}

/**
 * `queued`: waits until `due`. `sending`: a request that may send it was begun and has no recorded
 * result. `held`: waits for an administrator. `dead`: given up.
 */
export type MessageState = "queued" | "sending" | "held" | "dead";

/** What changes while a message is in the queue. */
export interface MessageProgress {
  readonly state: MessageState;
  /** `queued`: when it may be tried; otherwise when it got its state. */
  readonly due: number;
  /** Requests that may have sent it. */
  readonly attempts: number;
  /** The code of the last failure, or "". */
  readonly code: string;
  /** Sealed: what else the queue remembers about its attempts. Empty at first. */
  readonly note: Uint8Array;
}

export interface StoredMessage extends MessageFacts, MessageProgress {
  /** Sealed: the envelope, the account and its credentials. */
  readonly record: Uint8Array;
}

export interface NewMessage extends MessageFacts {
  readonly record: Uint8Array;
  /** Octets of the sealed content. */
  readonly sealedSize: number;
  /** The sealed content in pieces, made as they are asked for and belonging to the store. Read once. */
  content(): AsyncIterable<Uint8Array>;
}

/** A message that belongs to the caller. */
export interface TakenMessage {
  /** As it was when it was taken. In state `sending`, an earlier attempt ended without a result. */
  readonly stored: StoredMessage;
  /**
   * The sealed content, in pieces of any length, each valid until the next one is asked for.
   *
   * @throws StoreError
   */
  content(): AsyncIterable<Uint8Array>;
  /**
   * Records, before a request that may send the message, that it is begun. Resolves once that is on stable
   * storage. May be called again, before each such request.
   *
   * @returns false if the message belongs to another relay by now, or was deleted: it must not be sent
   * @throws StoreError
   */
  sending(attempts: number, note: Uint8Array): Promise<boolean>;
  /**
   * Deletes the message: it was sent.
   *
   * @param recovered the mailbox, or the whole back end, works again after an outage: its messages that
   *   have failed are due now, in their old order
   * @throws StoreError
   */
  remove(recovered?: "mailbox" | "all"): Promise<void>;
  /**
   * Stores how it goes on, and ends the ownership.
   *
   * @param pause until when no message of the same mailbox is to be taken, also after a restart; 0 for
   *   no pause
   * @returns false if the message belongs to another relay by now, or was deleted: it stays as it is
   * @throws StoreError
   */
  giveBack(progress: MessageProgress, pause?: number): Promise<boolean>;
}

export interface Share {
  readonly messages: number;
  /** As in {@link Usage}. */
  readonly octets: number;
  /** Whether no other account has a message. */
  readonly isAlone: boolean;
}

export interface Usage {
  /** By state, all that are stored. */
  readonly messages: Readonly<Record<MessageState, number>>;
  /** Octets of records and contents, as stored. */
  readonly octets: number;
  /** When the oldest message that is neither held nor dead was received; undefined if there is none. */
  readonly oldest: number | undefined;
  /** When the first of the dead messages was given up; undefined if there is none. */
  readonly oldestDead: number | undefined;
  /** Octets free on the disk and in all; undefined where the store has no such bound. */
  readonly disk: { readonly free: number; readonly total: number } | undefined;
}

/** Small sealed values that survive a restart, for all relays of the store. */
export interface Notes {
  /** @returns undefined if there is none, or if its time is over. @throws StoreError */
  get(key: string): Promise<Uint8Array | undefined>;
  /** @param until when it is forgotten. @throws StoreError */
  set(key: string, value: Uint8Array, until: number): Promise<void>;
}

/** What an administrator does with the messages, beside a running relay. */
export interface QueueAdministration {
  /**
   * A page of messages, in order of arrival.
   *
   * @param after the last one of the page before
   * @throws StoreError
   */
  list(limit: number, after?: StoredMessage): Promise<readonly StoredMessage[]>;
  /** @throws StoreError */
  find(id: string): Promise<FoundMessage | undefined>;
  /**
   * Makes a message due now, in whatever state it is, and ends the pause of its mailbox. `sending` means that
   * the relay is at it now.
   *
   * @throws StoreError
   */
  retry(id: string): Promise<ChangeResult>;
  /** @throws StoreError */
  delete(id: string): Promise<ChangeResult>;
  readonly notes: Pick<Notes, "get">;
  close(): Promise<void>;
}

export type ChangeResult = "done" | "sending" | "unknown";

export interface FoundMessage {
  readonly stored: StoredMessage;
  /**
   * The sealed content, in pieces of any length, each valid until the next one is asked for.
   *
   * @throws StoreError
   */
  content(): AsyncIterable<Uint8Array>;
}

/**
 * The store cannot do what was asked of it. Nothing is lost: what was on stable storage before is there
 * when the cause is gone.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  /** Such as `SQLITE_FULL`, `EROFS` or `ECONNREFUSED`. */
  readonly code: string;
  /** Whether there is no room: the client gets 452 instead of 451. */
  readonly full: boolean;

  /** @param message what happened and to which file or address, without credentials */
  constructor(code: string, message: string, full = false) {
    super(message);
    this.code = code;
    this.full = full;
  }
}
