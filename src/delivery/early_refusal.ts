// Refuses at once what the mail service would certainly refuse, so that a queue does not take it: the
// client still waits for its reply, and can say why.

import type { Attempt, Backend, Delivery, Outcome, Submission } from "./delivery.ts";

export class EarlyRefusal implements Delivery {
  readonly #next: Delivery;
  readonly #backend: Pick<Backend, "refusal">;

  constructor(next: Delivery, backend: Pick<Backend, "refusal">) {
    this.#next = next;
    this.#backend = backend;
  }

  async deliver(submission: Submission, attempt: Attempt): Promise<Outcome> {
    return this.#backend.refusal?.(submission) ?? await this.#next.deliver(submission, attempt);
  }
}
