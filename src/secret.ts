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

/** A run of the characters that Entra ID makes client secrets of; each has 40 of them. */
const SECRET_RUN = /(?<![\w.~-])[\w.~-]{34,48}(?![\w.~-])/g;

/**
 * The text without what has the form of one of Entra ID's client secrets: they stand in the wrong field
 * now and then, where their type cannot hide them.
 */
export function withoutSecrets(text: string): string {
  // Each of them has one, and hardly anything else does.
  if (!text.includes("~")) return text;
  return text.replace(SECRET_RUN, (run) => isSecret(run) ? `[${lengthShown(run)}]` : run);
}

/** What is said of a text that is not shown. */
export function lengthShown(text: string): string {
  return text.length === 1 ? "1 character" : `${text.length} characters`;
}

/** Whether there is something in the text that has the form of one of Entra ID's client secrets. */
export function looksLikeSecret(text: string): boolean {
  return withoutSecrets(text) !== text;
}

function isSecret(run: string): boolean {
  return run.includes("~") && /[a-z]/.test(run) && /[A-Z]/.test(run) && /\d/.test(run);
}
