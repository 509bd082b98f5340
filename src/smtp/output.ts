// A session's effects while they gather: replies to what came in one segment become one write.

import type { Effect } from "./effects.ts";
import { formatReply, REPLIES, type Reply } from "./reply.ts";

/** The replies that never change, as they go onto the wire. */
const FORMATTED = new Map<Reply, string>(
  Object.values(REPLIES).map((reply) => [reply, formatReply(reply)]),
);

export class Output {
  #effects: Effect[] = [];
  #replies = "";
  #length = 0;

  /** Octets of replies since the last {@link take}. */
  get length(): number {
    return this.#length + this.#replies.length;
  }

  say(answer: Reply): void {
    this.#replies += FORMATTED.get(answer) ?? formatReply(answer);
  }

  /** An effect that comes behind the replies so far. */
  then(effect: Effect): void {
    this.#flush();
    this.#effects.push(effect);
  }

  /** An effect that may come before or behind replies: they need not be parted for it. */
  besides(effect: Effect): void {
    this.#effects.push(effect);
  }

  /** All effects since the last call. */
  take(): Effect[] {
    this.#flush();
    const effects = this.#effects;
    this.#effects = [];
    this.#length = 0;
    return effects;
  }

  #flush(): void {
    if (this.#replies === "") return;
    this.#effects.push({ type: "reply", text: this.#replies });
    this.#length += this.#replies.length;
    this.#replies = "";
  }
}
