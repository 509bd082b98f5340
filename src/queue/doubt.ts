// QUEUE_AMBIGUOUS: what becomes of a message that may have been sent, because the request that sends it
// has no result. No service has a key that would make sending it again harmless.

import type { Clock } from "../clock.ts";
import type { SentLookup, SentQuestion } from "../delivery/sent_lookup.ts";
import type { QueueNote } from "./record.ts";

/** `send`: it is sent (again); `wait`: it is asked about at `due`; `hold`: an administrator decides. */
export type DoubtPlan =
  | { readonly type: "send"; readonly note: QueueNote }
  | {
    readonly type: "wait";
    readonly note: QueueNote;
    readonly due: number;
    readonly detail: string;
  }
  | { readonly type: "hold"; readonly note: QueueNote; readonly detail: string };

export type DoubtAnswer =
  | DoubtPlan
  | { readonly type: "sent"; readonly note: QueueNote; readonly detail: string };

export interface DoubtPolicy {
  /** After a request without a result. */
  afterFailure(note: QueueNote): DoubtPlan;
  /**
   * Before the next try of a message that is in doubt.
   *
   * @param login the account, as it may ask now
   * @param note has no `asked` if the relay ended in the middle of the last try
   */
  resolve(
    login: Pick<SentQuestion, "account" | "authorization">,
    note: QueueNote,
  ): Promise<DoubtAnswer>;
}

/** Milliseconds after which the mailbox is asked: a copy appears late. */
const FIRST_QUESTION = 60_000;
const SECOND_QUESTION = 300_000;

export interface DoubtOptions {
  readonly mode: "retry" | "ask" | "hold";
  /** Is asked in mode `ask`. */
  readonly service: SentLookup;
  /** Called when the app has no right to ask; the message is then sent again. */
  forbidden(detail: string): void;
  /** Called when the message went by a service that cannot be asked; it is then sent again. */
  impossible(): void;
  readonly clock: Pick<Clock, "date">;
}

export function doubtPolicy(options: DoubtOptions): DoubtPolicy {
  const { mode, service, forbidden, impossible, clock } = options;
  const plan = (before: QueueNote): DoubtPlan => {
    if (mode === "retry") return { type: "send", note: settled(before) };
    if (mode === "ask" && before.sending?.backend !== undefined) {
      impossible();
      return { type: "send", note: settled(before) };
    }
    const note = { ...before, doubt: true, asked: 0 };
    if (mode === "ask") return wait(note, FIRST_QUESTION);
    return { type: "hold", note, detail: "it may have been sent: QUEUE_AMBIGUOUS is hold" };
  };
  const wait = (note: QueueNote, time: number): DoubtPlan => {
    const due = Math.max(0, Math.floor(clock.date() + time));
    const detail = "it may have been sent: the mailbox will be asked";
    return { type: "wait", note: { ...note, askAt: due }, due, detail };
  };
  return {
    afterFailure: plan,
    async resolve(login, note) {
      const { firstAttempt, sending, asked } = note;
      if (asked === undefined) return plan(note);
      // It was held, and an administrator has decided; or there is nothing to ask for.
      if (mode !== "ask" || firstAttempt === undefined || sending === undefined) {
        return { type: "send", note: settled(note) };
      }
      // After an outage all that wait are due at once. The machine's time may have been set back.
      const early = Math.min((note.askAt ?? 0) - clock.date(), SECOND_QUESTION);
      if (early > 0) return wait(note, early);
      const isLast = asked > 0;
      const answer = await service.lookUp({ ...login, sending, since: firstAttempt, isLast });
      switch (answer.type) {
        case "sent":
          return { type: "sent", note, detail: "it is in the mailbox: it was sent before" };
        case "forbidden":
          forbidden(answer.detail);
          return { type: "send", note: settled(note) };
        case "later":
          return wait(note, FIRST_QUESTION);
        case "notFound":
          return isLast
            ? { type: "send", note: settled(note) }
            : wait({ ...note, asked: asked + 1 }, SECOND_QUESTION - FIRST_QUESTION);
      }
    },
  };
}

/** The note of a message that is no longer in doubt. */
function settled(note: QueueNote): QueueNote {
  const { doubt: _, asked: __, askAt: ___, sending: ____, ...rest } = note;
  return rest;
}
