// Turns for logins with credentials that nobody knows yet: at one address as many at once as may still
// fail there, so that a hundred guesses at once get no further than a hundred in a row. Whoever is
// right has to wait for a moment, and no more: it is not the number of logins that is limited.

import type { EndUse, RateLimit } from "./rate_limit.ts";
import type { Timer } from "./turns.ts";

/** Milliseconds for a turn to come; a device waits for its answer meanwhile. */
export const TURN_TIMEOUT = 30_000;
/** Those who wait at one address at most, and at all of them; more are sent away at once. */
const MAX_WAITING = 1000;
const MAX_WAITING_ALL = 10_000;

/**
 * - A function: the turn has come, and this ends it.
 * - `known`: the credentials have proved to be right meanwhile; they need no turn.
 * - `reached`: so many others have failed meanwhile that the address is at its limit.
 * - `late`: no turn has come in time.
 */
export type GuessTurn = EndUse | "known" | "reached" | "late";

interface Waiting {
  readonly credentials: string;
  go(turn: GuessTurn): void;
}

export class GuessTurns {
  readonly #limit: RateLimit;
  readonly #known: (credentials: string) => boolean;
  readonly #timer: Timer;
  /** By address, in the order in which they came. */
  readonly #lines = new Map<string, Set<Waiting>>();
  #waiting = 0;
  #stopped = false;

  /** @param known whether these credentials have proved to be right */
  constructor(limit: RateLimit, known: (credentials: string) => boolean, timer: Timer) {
    this.#limit = limit;
    this.#known = known;
    this.#timer = timer;
  }

  /** @param client whose limit it is, @param credentials a name for them */
  take(client: string, credentials: string): Promise<GuessTurn> | GuessTurn {
    const line = this.#lines.get(client);
    // Who comes while others wait would not be before them for long, but need not be at all.
    const end = line === undefined ? this.#begin(client) : undefined;
    if (end !== undefined) return end;
    if (this.#known(credentials)) return "known";
    if (this.#limit.reached(client)) return "reached";
    return this.#wait(client, credentials);
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
      if (this.#known(waiting.credentials)) waiting.go("known");
      else if (this.#limit.reached(client)) waiting.go("reached");
      else {
        const end = this.#begin(client);
        if (end !== undefined) waiting.go(end);
      }
    }
  }
}
