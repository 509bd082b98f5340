// Keeps a message from being sent twice when its client was gone before the reply and submits it again.

import type { Attempt, Delivery, Outcome, Submission, WaitingClient } from "./delivery.ts";
import { Duplicates, type DuplicatesOptions } from "./duplicates.ts";
import { Fingerprint } from "./fingerprint.ts";
import { alreadySent, madeRoom } from "./outcomes.ts";

/** A delivery. */
interface Begun {
  /** When it began, among all of them. */
  readonly order: number;
  readonly message: Fingerprint;
  /** Its outcome is known. */
  isOver: boolean;
}

/**
 * An equal message gets the outcome `alreadySent`. One that comes while the first is still under way waits
 * for its outcome. An account that may not send a message must not learn here that it was sent: a sender
 * policy belongs before this filter (see `checkedDelivery`).
 */
export class DuplicateFilter implements Delivery {
  readonly #next: Delivery;
  readonly #duplicates: Duplicates;
  #begun = 0;

  constructor(next: Delivery, options: DuplicatesOptions) {
    this.#next = next;
    this.#duplicates = new Duplicates(options);
  }

  deliver(submission: Submission, attempt: Attempt): Promise<Outcome> {
    const { authorization, client } = attempt;
    const order = ++this.#begun;
    const begun: Begun = {
      order,
      message: new Fingerprint(submission, authorization),
      isOver: false,
    };
    // Before anything is awaited: a client that has left already is noted before the next delivery looks.
    void client?.left.then(() => {
      if (!begun.isOver) this.#duplicates.abandon(begun.message, order, outcome, client.replied);
    });
    const outcome = this.#deliver(submission, attempt, begun);
    return outcome;
  }

  async #deliver(submission: Submission, attempt: Attempt, begun: Begun): Promise<Outcome> {
    // Several deliveries may begin in the same moment, such as after one answer of the lookup table to all of
    // them. The clients that have left are noted first.
    await undefined;
    const { message, order } = begun;
    const { client } = attempt;
    try {
      // Deliveries of the same message that began before this one may still be sending it.
      for (;;) {
        const found = this.#duplicates.find(message, order);
        if (found === undefined) return await this.#next.deliver(submission, attempt);
        const id = typeof found === "string" ? found : await unlessEnded(found, client);
        if (id === ENDED) return madeRoom();
        if (id === undefined) continue;
        void client?.replied.then((replied) => {
          if (replied) this.#duplicates.forget(message);
        });
        return alreadySent(id);
      }
    } finally {
      begun.isOver = true;
    }
  }
}

const ENDED = Symbol("ended");

/**
 * Waits for another delivery. That delivery may wait for minutes itself, and any number of others for it, so
 * each of these waits can be ended too.
 */
async function unlessEnded<T>(
  awaited: Promise<T>,
  client: WaitingClient | undefined,
): Promise<T | typeof ENDED> {
  if (client === undefined) return await awaited;
  const { signal } = client;
  if (signal.aborted) return ENDED;
  const { promise: ended, resolve } = Promise.withResolvers<typeof ENDED>();
  const end = () => resolve(ENDED);
  signal.addEventListener("abort", end);
  client.waiting(true);
  try {
    return await Promise.race([awaited, ended]);
  } finally {
    signal.removeEventListener("abort", end);
    client.waiting(false);
  }
}
