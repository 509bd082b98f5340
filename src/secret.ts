// A value that must never reach a log, an error text or a page: its every string form is a mask.

import { inspect } from "node:util";

const MASK = "[redacted]";

/**
 * Holds a client secret, token or key. Only {@link Secret.reveal} gives the value out, so that
 * every place which does so can be found by its name.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  // `console.log` and `util.inspect` on both runtimes.
  [inspect.custom](): string {
    return MASK;
  }
}
