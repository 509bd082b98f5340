// Turns for logins with credentials that nobody knows yet: at one address as many at once as may still
// fail there, so that a hundred guesses at once get no further than a hundred in a row. Whoever is
// right has to wait for a moment, and no more: it is not the number of logins that is limited. What has
// been refused before is no guess, and needs no turn either.

import type { EndUse, RateLimit } from "./rate_limit.ts";
import type { Timer } from "./semaphore.ts";

/** Milliseconds for a turn to come; a device waits for its answer meanwhile. */
export const TURN_TIMEOUT = 30_000;
/** Those who wait at one address at most, and at all of them; more are sent away at once. */
const MAX_WAITING = 1000;
const MAX_WAITING_ALL = 10_000;

/**
 * - A function: the turn has come, and this ends it.
 * - `right`, `refused`: that is known of the credentials by now; they need no turn.
 * - `reached`: so many others have failed meanwhile that the address is at its limit.
 * - `late`: no turn has come in time.
 */
export type GuessTurn = EndUse | Verdict | "reached" | "late";

/** What is known of credentials. */
export type Verdict = "right" | "refused";

interface Waiting {
  readonly credentials: string;
  go(turn: GuessTurn): void;
}

export class GuessTurns {
  readonly #limit: RateLimit;
  readonly #verdict: (client: string, credentials: string) => Verdict | undefined;
  readonly #timer: Timer;
  /** By address, in the order in which they came. */
  readonly #lines = new Map<string, Set<Waiting>>();
  #waiting = 0;
  #stopped = false;

  constructor(
    limit: RateLimit,
    verdict: (client: string, credentials: string) => Verdict | undefined,
    timer: Timer,
  ) {
    this.#limit = limit;
    this.#verdict = verdict;
    this.#timer = timer;
  }

  /** @param client whose limit it is, @param credentials a name for them */
  take(client: string, credentials: string): Promise<GuessTurn> | GuessTurn {
    const decided = this.#decide(client, credentials);
    if (decided !== undefined) return decided;
    const line = this.#lines.get(client);
    // Who comes while others wait would not be before them for long, but need not be at all.
    const end = line === undefined ? this.#begin(client) : undefined;
    return end ?? this.#wait(client, credentials);
  }

  /** What is certain without a turn: an address at its limit stops all but what is right. */
  #decide(client: string, credentials: string): Verdict | "reached" | undefined {
    const verdict = this.#verdict(client, credentials);
    return verdict !== "right" && this.#limit.reached(client) ? "reached" : verdict;
  }

  /** Nobody waits any longer, now or later: the relay is stopping. */
  stop(): void {
    this.#stopped = true;
    for (const line of this.#lines.values()) for (const waiting of [...line]) waiting.go("late");
  }

  #begin(client: string): EndUse | undefined {
    const end = this.#limit.begin(client);
    return end === undefined ? undefined : (failed) => {
      end(failed);
      this.#next(client);
    };
  }

  #wait(client: string, credentials: string): Promise<GuessTurn> | GuessTurn {
    const line = this.#lines.get(client) ?? new Set();
    if (this.#stopped || line.size >= MAX_WAITING || this.#waiting >= MAX_WAITING_ALL) {
      return "late";
    }
    this.#lines.set(client, line);
    this.#waiting++;
    const { promise, resolve } = Promise.withResolvers<GuessTurn>();
    const waiting: Waiting = {
      credentials,
      go: (turn) => {
        stop();
        line.delete(waiting);
        if (line.size === 0) this.#lines.delete(client);
        this.#waiting--;
        resolve(turn);
      },
    };
    const stop = this.#timer(TURN_TIMEOUT, () => waiting.go("late"));
    line.add(waiting);
    return promise;
  }

  /** A login of this address is over: what becomes of those who wait. */
  #next(client: string): void {
    for (const waiting of [...this.#lines.get(client) ?? []]) {
      const turn = this.#decide(client, waiting.credentials) ?? this.#begin(client);
      if (turn !== undefined) waiting.go(turn);
    }
  }
}
