// Limits guesses of HTTP_PASSWORD: by address, so that a stranger's do not lock out the administrator.

import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { BoundedMap } from "../bounded_map.ts";
import { type Clock, realClock } from "../clock.ts";
import { RateLimit } from "../limits/rate_limit.ts";
import { clientKey, plainAddress } from "../networks.ts";
import type { Secret } from "../secret.ts";
import { LogThrottle } from "./log_throttle.ts";

/** Wrong passwords of an address (IPv6: its /64) in a minute. */
const RATE = { most: 20, window: 60_000 };
/**
 * Milliseconds after a right password in which the address is not limited: it may be a proxy's, and a
 * stranger after it must not lock out all others.
 */
const TRUSTED = 3_600_000;
/** Addresses that are remembered, and of which there is a line in a minute. */
const MAX_TRUSTED = 1_000;
const MAX_LINES = 10;

export interface PasswordGuardOptions {
  /** An address gets no more tries for a while. */
  limited?(address: string): void;
  readonly clock?: Pick<Clock, "now">;
}

export class PasswordGuard {
  readonly #password: Secret;
  readonly #limited: (address: string) => void;
  readonly #rate: RateLimit;
  readonly #trusted: BoundedMap<true>;
  readonly #lines: LogThrottle;

  constructor(password: Secret, options: PasswordGuardOptions = {}) {
    const { limited = () => {}, clock = realClock } = options;
    this.#password = password;
    this.#limited = limited;
    this.#rate = new RateLimit({ rate: RATE, clock });
    this.#trusted = new BoundedMap({ max: MAX_TRUSTED, lifetime: TRUSTED, clock });
    this.#lines = new LogThrottle(RATE.window, () => clock.now(), MAX_LINES);
  }

  /**
   * @param address as the socket has it
   * @returns `limited` without a look at what was given
   */
  check(given: string, address: string): "right" | "wrong" | "limited" {
    // A socket for both families has all clients of IPv4 in one network of IPv6.
    const key = clientKey(plainAddress(address));
    if (!this.#trusted.has(key) && this.#rate.reached(key)) {
      if (this.#lines.allow(key)) this.#limited(key);
      return "limited";
    }
    if (!sameText(given, this.#password.reveal())) {
      this.#rate.count(key);
      return "wrong";
    }
    this.#trusted.set(key, true);
    return "right";
  }
}

/** Compares in a time that does not depend on where the texts differ. */
function sameText(a: string, b: string): boolean {
  const key = randomBytes(32);
  const digest = (text: string) => createHmac("sha256", key).update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}
