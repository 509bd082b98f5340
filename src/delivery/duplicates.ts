// Messages that were sent, but whose client was gone before its 250 (RFC 5321 §4.1.1.4, RFC 1047):
// it will send them again, and must not send them twice.
//
// Scanners give up after 30 to 60 seconds, while Graph still works on their message. Nothing is
// remembered, nor even hashed, of a message whose client was there to read its reply.

import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Outcome, Submission } from "./outcome.ts";

export interface DuplicatesOptions {
  /** Milliseconds that a sent message is remembered. */
  readonly window: number;
  /** Messages remembered at most; the oldest is forgotten. */
  readonly capacity?: number;
  now?(): number;
}

/** A delivery whose client is gone: under way, or sent under this id. */
type Abandoned = Promise<string | undefined> | string;

export class Duplicates {
  readonly #window: number;
  readonly #abandoned: LRUCache<string, Abandoned>;

  constructor({ window, capacity = 10_000, now = () => performance.now() }: DuplicatesOptions) {
    this.#window = window;
    this.#abandoned = new LRUCache({ max: capacity, perf: { now }, ttlResolution: 0 });
  }

  /** The client has gone while its message was being delivered. */
  abandon(submission: Submission, outcome: Promise<Outcome>): void {
    const key = keyOf(submission);
    const pending: Promise<string | undefined> = outcome.then(
      (settled) => {
        // What may have been sent is not known to have been: then the client's second try is needed.
        const id = settled.type === "sent" ? submission.id : undefined;
        if (this.#abandoned.peek(key) !== pending) return id;
        if (id === undefined) this.#abandoned.delete(key);
        else this.#abandoned.set(key, id, { ttl: this.#window });
        return id;
      },
      () => {
        this.#abandoned.delete(key);
        return undefined;
      },
    );
    // Of two deliveries of one message, the first to have been sent is the one to be remembered.
    if (typeof this.#abandoned.get(key) !== "string") this.#abandoned.set(key, pending);
  }

  /**
   * The id under which the same account's same envelope and content have been sent already, awaited
   * where that is still under way; undefined where this message is to be delivered.
   */
  sentBefore(submission: Submission): Promise<string | undefined> | string | undefined {
    if (this.#abandoned.size === 0) return undefined;
    return this.#abandoned.get(keyOf(submission));
  }
}

/** The same for the same account, envelope and content only. */
function keyOf({ account, envelope, content }: Submission): string {
  const hash = createHash("sha256");
  const names = [account.tenantId, account.clientId, envelope.from, ...envelope.recipients];
  hash.update(JSON.stringify(names));
  for (const block of content) hash.update(block);
  return hash.digest("base64");
}
