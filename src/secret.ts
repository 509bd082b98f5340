// A value that must never reach a log, an error text or a page: all of its string forms are a mask.

const MASK = "[redacted]";
/** `inspect.custom` of `node:util` (https://nodejs.org/api/util.html#utilinspectcustom), which would load it. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/**
 * Holds a client secret, token or key. Only {@link Secret.reveal} returns the value, so that all
 * its uses can be found by that name.
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
  [INSPECT](): string {
    return MASK;
  }
}

/** A run of the characters of Entra ID's client secrets, which have 40 of them. */
const SECRET_RUN = /(?<![\w.~-])[\w.~-]{34,48}(?![\w.~-])/g;

/** A private key in PEM form (RFC 7468 §10), also where its line ends are escaped or its end is missing. */
const PRIVATE_KEY =
  /-----BEGIN ([A-Z0-9 ]{0,32})PRIVATE KEY-----[^]*?(?:-----END \1PRIVATE KEY-----|$)/g;

/**
 * The text without everything that has the form of a client secret of Entra ID, or of a private key: users
 * sometimes enter one in the wrong field, where its type cannot hide it.
 */
export function withoutSecrets(text: string): string {
  return withoutClientSecrets(
    text.includes("PRIVATE KEY-----") ? text.replace(PRIVATE_KEY, "[private key]") : text,
  );
}

function withoutClientSecrets(text: string): string {
  // Every client secret has a tilde, and hardly anything else does.
  if (!text.includes("~")) return text;
  return text.replace(SECRET_RUN, (run) => isSecret(run) ? `[${lengthShown(run)}]` : run);
}

/** Replaces a text that is not shown by its length. */
export function lengthShown(text: string): string {
  return text.length === 1 ? "1 character" : `${text.length} characters`;
}

/** Whether a part of the text has the form of a client secret of Entra ID. */
export function looksLikeSecret(text: string): boolean {
  return withoutClientSecrets(text) !== text;
}

/** A run of the characters of made passwords, as long as `lookup set-password` makes them at least. */
const MADE_RUN = /(?<![A-Za-z0-9])[A-Za-z0-9]{20,}(?![A-Za-z0-9])/g;
/** Words without spaces between them, with a number before or after: no made password looks like this. */
const WORDS = /^\d{0,4}(?:[a-z]*(?:[A-Z][a-z]+)*|[A-Z]+)\d{0,4}$/;

/** Whether a part of the text has the form of a made password: letters and digits without an order. */
export function looksLikePassword(text: string): boolean {
  return (text.match(MADE_RUN) ?? []).some((run) => !WORDS.test(run));
}

function isSecret(run: string): boolean {
  return run.includes("~") && /[a-z]/.test(run) && /[A-Z]/.test(run) && /\d/.test(run);
}
