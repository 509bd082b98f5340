// The dialogue of one SMTP connection, for people to read: everything before its first message, and
// its latest transaction. Its size is bounded.

import type { SessionObserver } from "../../smtp/observer.ts";

export interface DialogueLine {
  /** `note`: an event, or the number of lines that are left out here. */
  readonly by: "client" | "server" | "note";
  readonly text: string;
}

/** Characters of a line that are kept. */
const MAX_LINE = 400;
/** Lines that are kept from the beginning and from the end of each part. */
const MAX_FIRST = 60;
const MAX_LAST = 30;

/** Keeps the first and the last lines, if they are too many. */
class Lines {
  readonly #first: DialogueLine[] = [];
  readonly #last: DialogueLine[] = [];
  #leftOut = 0;

  add(line: DialogueLine): void {
    if (this.#first.length < MAX_FIRST) return void this.#first.push(line);
    this.#last.push(line);
    if (this.#last.length <= MAX_LAST) return;
    this.#last.shift();
    this.#leftOut++;
  }

  get all(): DialogueLine[] {
    const note = `${this.#leftOut} lines are left out here`;
    const between = this.#leftOut === 0 ? [] : [{ by: "note", text: note } as const];
    return [...this.#first, ...between, ...this.#last];
  }
}

export class Dialogue implements SessionObserver {
  readonly #opening = new Lines();
  #current = this.#opening;
  #transactions = 0;

  command(shown: string): void {
    if (/^MAIL\b/i.test(shown)) {
      this.#current = new Lines();
      this.#transactions++;
    }
    const by = shown.startsWith("(") ? "note" : "client";
    this.#current.add({ by, text: cut(shown) });
  }

  reply(text: string): void {
    for (const line of text.trimEnd().split("\r\n")) {
      this.#current.add({ by: "server", text: cut(line) });
    }
  }

  note(text: string): void {
    this.#current.add({ by: "note", text: `(${cut(text)})` });
  }

  /** The dialogue so far, which grows until the next transaction begins. */
  excerpt(): () => DialogueLine[] {
    const opening = this.#opening;
    const current = this.#current;
    const before = this.#transactions - 1;
    if (current === opening) return () => opening.all;
    const text = `(${before} transaction${before === 1 ? "" : "s"} before this)`;
    const between = before > 0 ? [{ by: "note", text } as const] : [];
    return () => [...opening.all, ...between, ...current.all];
  }
}

function cut(text: string): string {
  return text.length > MAX_LINE ? `${text.slice(0, MAX_LINE)}…` : text;
}
