// Gathers a session's effects: the replies to all that came in one segment become one write.

import type { Effect } from "./effects.ts";
import { formatReply, REPLIES, type Reply } from "./reply.ts";

/** The replies that never change, formatted once. */
const FORMATTED = new Map<Reply, string>(
  Object.values(REPLIES).map((reply) => [reply, formatReply(reply)]),
);

/** Shared: it never changes. */
const NONE: Effect[] = [];

export class EffectBuffer {
  #effects = NONE;
  #replies = "";
  #length = 0;

  /** Octets of replies since the last {@link drain}. */
  get length(): number {
    return this.#length + this.#replies.length;
  }

  reply(reply: Reply): void {
    const text = FORMATTED.get(reply) ?? formatReply(reply);
    // Most replies are sent alone. Joined with nothing, each was a text of its own, copied and hashed again.
    this.#replies = this.#replies === "" ? text : this.#replies + text;
  }

  /** Adds an effect that comes after the replies so far. */
  effect(effect: Effect): void {
    this.#flush();
    this.#add(effect);
  }

  /** Adds an effect whose order among the replies does not matter: they stay one write. */
  notify(effect: Effect): void {
    this.#add(effect);
  }

  /** All effects since the last call. */
  drain(): Effect[] {
    this.#flush();
    const effects = this.#effects;
    this.#effects = NONE;
    this.#length = 0;
    return effects;
  }

  #add(effect: Effect): void {
    if (this.#effects.length === 0) this.#effects = [effect];
    else this.#effects.push(effect);
  }

  #flush(): void {
    if (this.#replies === "") return;
    this.#add({ type: "reply", text: this.#replies });
    this.#length += this.#replies.length;
    this.#replies = "";
  }
}
