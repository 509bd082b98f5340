// Messages that were sent, but whose client was gone before its 250 (RFC 5321 §4.1.1.4, RFC 1047). The client
// will submit them again, and they must not be sent twice.
//
// Scanners give up after 30 to 60 seconds, while the mail service still works on their message. Nothing is
// remembered, nor even hashed, of a message whose client was there to read its reply.

import { LRUCache } from "lru-cache";
import type { Outcome } from "./delivery.ts";
import type { Fingerprint } from "./fingerprint.ts";

export interface DuplicatesOptions {
  /** Milliseconds that a sent message is remembered. */
  readonly window: number;
  /** Messages remembered at most; the oldest is forgotten. */
  readonly capacity?: number;
  now?(): number;
}

/** A delivery that is under way, and whose client is gone. */
interface Abandoned {
  /** When it began, among all deliveries. */
  readonly order: number;
  /** The id under which the message was sent, if it was. */
  readonly sent: Promise<string | undefined>;
}

interface Known {
  readonly summary: string;
  /** The id under which the message was sent; or what is under way, at least one. */
  readonly deliveries: string | Set<Abandoned>;
}

export class Duplicates {
  readonly #window: number;
  readonly #capacity: number;
  readonly #now: () => number;
  /** Made with the first entry: it takes all of its memory at once, in a loop that each start would compile. */
  #entries: LRUCache<string, Known> | undefined;
  /** How many of them have each summary: only a message that agrees in it is hashed. */
  readonly #likely = new Map<string, number>();

  constructor({ window, capacity = 10_000, now = () => performance.now() }: DuplicatesOptions) {
    this.#window = window;
    this.#capacity = capacity;
    this.#now = now;
  }

  get #known(): LRUCache<string, Known> {
    return this.#entries ??= new LRUCache({
      max: this.#capacity,
      perf: { now: this.#now },
      ttlResolution: 0,
      onInsert: ({ summary }) => this.#count(summary, 1),
      dispose: ({ summary }) => this.#count(summary, -1),
    });
  }

  /**
   * The client has gone, or has ended its side, while its message was being delivered.
   *
   * @param order when the delivery began, among all of them
   * @param outcome the outcome of the delivery
   * @param replied whether the reply reached the client, which is known after the outcome
   */
  abandon(
    message: Fingerprint,
    order: number,
    outcome: Promise<Outcome>,
    replied: Promise<boolean>,
  ): void {
    // Now: the content is gone when the outcome is known.
    const { key, summary } = message;
    const known = this.#known.get(key)?.deliveries;
    // Of two deliveries of one message, the first to have been sent is the one to be remembered.
    if (typeof known === "string") return;
    const settle = (id: string | undefined): string | undefined => {
      underWay.delete(delivery);
      const isCurrent = this.#known.peek(key)?.deliveries === underWay;
      if (isCurrent && (underWay.size === 0 || id !== undefined)) this.#known.delete(key);
      // Another key where the mail service has verified the client's token by this message.
      if (isCurrent && id !== undefined) {
        this.#known.set(message.key, { summary, deliveries: id }, { ttl: this.#window });
      }
      return id;
    };
    const delivery: Abandoned = {
      order,
      sent: Promise.all([outcome, replied]).then(
        ([settled, isThere]) => settle(isThere ? undefined : sentId(settled, message.id)),
        () => settle(undefined),
      ),
    };
    const underWay = (known ?? new Set()).add(delivery);
    this.#known.set(key, { summary, deliveries: underWay });
  }

  /**
   * The id under which the same message was sent, or a promise of it while it is still being sent.
   * The promise may resolve to undefined: then call again. Undefined if this message is to be
   * delivered.
   *
   * @param order when this delivery began: it waits only for those that began before, so that no
   *   two wait for each other
   */
  find(message: Fingerprint, order: number): Promise<string | undefined> | string | undefined {
    if (this.#likely.size === 0 || !this.#likely.has(message.summary)) return undefined;
    const known = this.#known.get(message.key)?.deliveries;
    if (known === undefined || typeof known === "string") return known;
    for (const { order: other, sent } of known) if (other < order) return sent;
    return undefined;
  }

  #count(summary: string, change: 1 | -1): void {
    const count = (this.#likely.get(summary) ?? 0) + change;
    if (count === 0) this.#likely.delete(summary);
    else this.#likely.set(summary, count);
  }

  /**
   * A client was there to read that this message had been sent before. What it submits from now on is
   * another message, even if it is equal.
   */
  forget(message: Fingerprint): void {
    this.#entries?.delete(message.key);
  }
}

/** An ambiguous outcome counts as not sent: the client's second try is needed then. */
function sentId(outcome: Outcome, id: string): string | undefined {
  if (outcome.type === "sent" || outcome.type === "queued") return id;
  return outcome.type === "alreadySent" ? outcome.id : undefined;
}
