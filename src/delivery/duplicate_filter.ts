// Keeps a message from being sent twice whose client was gone before its reply and has come again.

import type { Attempt, Delivery, Outcome, Submission, WaitingClient } from "./delivery.ts";
import { Duplicates, type DuplicatesOptions } from "./duplicates.ts";
import { Fingerprint } from "./fingerprint.ts";
import { alreadySent, madeRoom } from "./outcomes.ts";

/**
 * An equal message gets the outcome `alreadySent`. One that comes while the first is still under way waits
 * for its outcome. An account that may not send a message must not learn here that it was sent: a sender
 * policy belongs before this filter (see `directDelivery`).
 */
export class DuplicateFilter implements Delivery {
  readonly #next: Delivery;
  readonly #duplicates: Duplicates;
  #begun = 0;

  constructor(next: Delivery, options: DuplicatesOptions) {
    this.#next = next;
    this.#duplicates = new Duplicates(options);
  }

  async deliver(submission: Submission, attempt: Attempt): Promise<Outcome> {
    const order = ++this.#begun;
    const message = new Fingerprint(submission, attempt.authorization);
    let isOver = false;
    // Before anything is awaited: a client that has left already is noted before the next delivery looks.
    void attempt.client?.left.then(() => {
      if (!isOver) this.#duplicates.abandon(message, order, outcome, attempt.client!.replied);
    });
    const outcome = this.#deliver(submission, attempt, message, order);
    try {
      return await outcome;
    } finally {
      isOver = true;
    }
  }

  async #deliver(
    submission: Submission,
    attempt: Attempt,
    message: Fingerprint,
    order: number,
  ): Promise<Outcome> {
    // Of deliveries that begin in the same moment, such as after a common question to the lookup table, the
    // clients that have left are noted first.
    await undefined;
    const { client } = attempt;
    // Deliveries of the same message that began before this one may be sending it yet.
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
  }
}

const ENDED = Symbol("ended");

/**
 * Waits for another delivery. That may wait for minutes for its own turn, and any number for it: each of
 * these waits can be ended too.
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
