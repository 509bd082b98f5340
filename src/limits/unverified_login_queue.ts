// The queue of logins whose credentials have not worked before. At one address, as many are checked at
// once as may still fail there, so that a hundred guesses at once get no further than a hundred in a row.
// Right credentials wait for a moment and no more: the number of logins is not limited. Credentials that
// were refused before are not a new guess, and do not wait either.

import type { Clock } from "../clock.ts";
import type { EndUse, RateLimit } from "./rate_limit.ts";

/** Milliseconds that a login waits at most; a device waits for its reply meanwhile. */
export const QUEUE_TIMEOUT = 30_000;
/** Logins that wait at most, at one address and in all; further ones are rejected at once. */
const MAX_WAITING = 1000;
const MAX_WAITING_ALL = 10_000;

/**
 * - A function: the login may be checked now, and this ends its check.
 * - `right`, `refused`: this is known of the credentials by now; their login is checked without queueing.
 * - `reached`: so many other logins have failed meanwhile that the address is at its limit.
 * - `timeout`: the login has waited too long, or too many wait.
 */
export type QueueResult = EndUse | KnownCredentials | "reached" | "timeout";

/** What is known of credentials. */
export type KnownCredentials = "right" | "refused";

interface Waiting {
  readonly credentials: string;
  proceed(result: QueueResult): void;
}

export class UnverifiedLoginQueue {
  readonly #limit: RateLimit;
  readonly #known: (client: string, credentials: string) => KnownCredentials | undefined;
  readonly #clock: Pick<Clock, "alarm">;
  /** By address, in the order in which they came. */
  readonly #queues = new Map<string, Set<Waiting>>();
  #waiting = 0;
  #stopped = false;

  /** @param limit of failed logins by address */
  constructor(
    limit: RateLimit,
    known: (client: string, credentials: string) => KnownCredentials | undefined,
    clock: Pick<Clock, "alarm">,
  ) {
    this.#limit = limit;
    this.#known = known;
    this.#clock = clock;
  }

  /** @param client the key of its address, @param credentials a name for them */
  acquire(client: string, credentials: string): Promise<QueueResult> | QueueResult {
    const decided = this.#decide(client, credentials);
    if (decided !== undefined) return decided;
    // A login does not overtake those that wait already.
    const end = this.#queues.has(client) ? undefined : this.#begin(client);
    return end ?? this.#wait(client, credentials);
  }

  /** Rejects all current and future waiters: the relay is stopping. */
  stop(): void {
    this.#stopped = true;
    for (const queue of this.#queues.values()) {
      for (const waiting of [...queue]) waiting.proceed("timeout");
    }
  }

  /** What is certain without a check: an address at its limit stops all credentials but right ones. */
  #decide(client: string, credentials: string): KnownCredentials | "reached" | undefined {
    const known = this.#known(client, credentials);
    return known !== "right" && this.#limit.reached(client) ? "reached" : known;
  }

  #begin(client: string): EndUse | undefined {
    const end = this.#limit.begin(client);
    return end === undefined ? undefined : (failed) => {
      end(failed);
      this.#next(client);
    };
  }

  #wait(client: string, credentials: string): Promise<QueueResult> | QueueResult {
    const queue = this.#queues.get(client) ?? new Set();
    if (this.#stopped || queue.size >= MAX_WAITING || this.#waiting >= MAX_WAITING_ALL) {
      return "timeout";
    }
    this.#queues.set(client, queue);
    this.#waiting++;
    const { promise, resolve } = Promise.withResolvers<QueueResult>();
    const waiting: Waiting = {
      credentials,
      proceed: (result) => {
        cancel();
        queue.delete(waiting);
        if (queue.size === 0) this.#queues.delete(client);
        this.#waiting--;
        resolve(result);
      },
    };
    const cancel = this.#clock.alarm(QUEUE_TIMEOUT, () => waiting.proceed("timeout"));
    queue.add(waiting);
    return promise;
  }

  /** A check at this address has ended, which may decide about those that wait. */
  #next(client: string): void {
    for (const waiting of [...this.#queues.get(client) ?? []]) {
      const result = this.#decide(client, waiting.credentials) ?? this.#begin(client);
      if (result !== undefined) waiting.proceed(result);
    }
  }
}
