// Which mailboxes' messages are wanted now, and which pointers wait for a mailbox.

import type { Clock } from "../../clock.ts";
import { FURTHEST_AHEAD, type MessageFacts } from "../store.ts";
import type { PointerText } from "./pointer_text.ts";
import type { Handle } from "./pointers.ts";

/** Mailboxes whose pause is remembered. */
const MAX_PAUSES = 10_000;
/** Pointers that are remembered, to be made visible early; others become visible when they are due. */
const MAX_HIDDEN = 5000;

export type Selector = (
  message: Pick<MessageFacts, "mailbox" | "connection"> & Partial<Pick<MessageFacts, "account">>,
) => boolean;

/** A pointer that this relay has hidden until later. It may belong to another relay by now. */
export interface HiddenPointer {
  readonly handle: Handle;
  readonly text: PointerText;
}

export class Mailboxes {
  readonly #clock: Pick<Clock, "date">;
  readonly #show: (hidden: readonly HiddenPointer[]) => void;
  /** By mailbox: milliseconds of Unix time. */
  readonly #paused = new Map<string, number>();
  /** By id of the message. */
  readonly #hidden = new Map<string, HiddenPointer>();

  /** @param show makes the messages of hidden pointers due, in this order */
  constructor(clock: Pick<Clock, "date">, show: (hidden: readonly HiddenPointer[]) => void) {
    this.#clock = clock;
    this.#show = show;
  }

  /** Until when no message of the mailbox is to be taken, in Unix time; 0 for no pause. */
  pausedUntil(mailbox: string): number {
    const until = this.#paused.get(mailbox) ?? 0;
    const now = this.#clock.date();
    if (until > now && until <= now + FURTHEST_AHEAD) return until;
    this.#paused.delete(mailbox);
    return 0;
  }

  pause(mailbox: string, until: number): void {
    if (until <= Math.max(this.#clock.date(), this.pausedUntil(mailbox))) return;
    if (this.#paused.size >= MAX_PAUSES) this.#paused.clear();
    this.#paused.set(mailbox, until);
  }

  /** An administrator wants a message of the mailbox to be tried now. */
  unpause(mailbox: string): void {
    this.#paused.delete(mailbox);
  }

  /**
   * Chooses messages: one of a mailbox at most, and none whose connection has another one taken, so that they
   * keep their order.
   *
   * @param busy mailboxes whose messages are not wanted now
   * @param busyAccounts accounts likewise
   * @param taken messages that are taken already
   */
  selector(
    busy: ReadonlySet<string>,
    busyAccounts: ReadonlySet<string>,
    taken: Iterable<Pick<MessageFacts, "connection">>,
  ): Selector {
    const mailboxes = new Set<string>();
    const connections = new Set<string>();
    for (const { connection } of taken) connections.add(connection);
    return ({ mailbox, connection, account = "" }) => {
      if (busyAccounts.has(account)) return false;
      if (busy.has(mailbox) || mailboxes.has(mailbox) || connections.has(connection)) return false;
      if (this.pausedUntil(mailbox) > 0) return false;
      mailboxes.add(mailbox);
      connections.add(connection);
      return true;
    };
  }

  /** Remembers a pointer that is hidden until later. */
  hide(handle: Handle, text: PointerText): void {
    if (this.#hidden.size < MAX_HIDDEN) this.#hidden.set(text.id, { handle, text });
  }

  /** Forgets a pointer, because it was received. */
  seen(id: string): void {
    this.#hidden.delete(id);
  }

  /** A mailbox works again, or all of them do: what has waited for it is due now, in order of arrival. */
  recovered(mailbox: string | undefined): void {
    if (mailbox === undefined) this.#paused.clear();
    else this.#paused.delete(mailbox);
    const waiting = [...this.#hidden.values()]
      .filter(({ text }) => mailbox === undefined || text.mailbox === mailbox)
      .sort((one, other) => one.text.receivedAt - other.text.receivedAt);
    for (const { text } of waiting) this.#hidden.delete(text.id);
    this.#show(waiting);
  }
}
