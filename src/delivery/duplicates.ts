// Messages that were sent, but whose client was gone before its 250 (RFC 5321 §4.1.1.4, RFC 1047):
// it will send them again, and must not send them twice.
//
// Scanners give up after 30 to 60 seconds, while Graph still works on their message. Nothing is
// remembered, nor even hashed, of a message whose client was there to read its reply.

import { createHash } from "node:crypto";
import { LRUCache } from "lru-cache";
import { lengthOf } from "../smtp/content.ts";
import type { Outcome, SentBefore, Submission } from "./outcome.ts";

export interface DuplicatesOptions {
  /** Milliseconds that a sent message is remembered. */
  readonly window: number;
  /** Messages remembered at most; the oldest is forgotten. */
  readonly capacity?: number;
  now?(): number;
}

/** A delivery whose client is gone. */
interface Abandoned {
  /** When it began, among all deliveries. */
  readonly order: number;
  /** Under way, or the id under which the message was sent. */
  readonly sent: Promise<string | undefined> | string;
}

export class Duplicates {
  readonly #window: number;
  readonly #abandoned: LRUCache<string, Abandoned>;
  /** Envelopes and sizes of such messages: only what agrees in these is hashed. */
  readonly #likely: LRUCache<string, true>;
  /** What was found for a submission: when it is answered, its content is gone. */
  readonly #repeats = new WeakMap<Submission, string>();

  constructor({ window, capacity = 10_000, now = () => performance.now() }: DuplicatesOptions) {
    this.#window = window;
    this.#abandoned = new LRUCache({ max: capacity, perf: { now }, ttlResolution: 0 });
    this.#likely = new LRUCache({ max: capacity });
  }

  /**
   * The client has gone while its message was being delivered.
   *
   * @param order when the delivery began, among all of them
   * @param outcome what becomes of it
   * @param gone whether the reply did not reach the client, which is known after the outcome
   */
  abandon(
    submission: Submission,
    order: number,
    outcome: Promise<Outcome | SentBefore>,
    gone: Promise<boolean>,
  ): void {
    const summary = summaryOf(submission);
    // Once: the content is gone when the outcome is known.
    const digest = digestOf(submission);
    const key = keyOf(submission, summary, digest);
    const known = this.#abandoned.get(key);
    // Of two deliveries of one message, the first to have been sent is the one to be remembered.
    if (known !== undefined && typeof known.sent === "string") {
      const repeated = outcome.then(({ type }) => type === "sentBefore", () => false);
      void Promise.all([repeated, gone]).then(([isRepeated, isGone]) => {
        if (isRepeated && !isGone) this.#abandoned.delete(key);
      });
      return;
    }
    const settle = (id: string | undefined): string | undefined => {
      if (this.#abandoned.peek(key) !== entry) return id;
      this.#abandoned.delete(key);
      // What its token was before, nobody knew: by now, Graph has taken it.
      const now = keyOf(submission, summary, digest);
      if (id !== undefined) this.#abandoned.set(now, { order, sent: id }, { ttl: this.#window });
      return id;
    };
    const entry: Abandoned = {
      order,
      sent: Promise.all([outcome, gone]).then(
        ([settled, isGone]) => settle(isGone ? sentId(settled, submission.id) : undefined),
        () => settle(undefined),
      ),
    };
    this.#likely.set(summary, true);
    this.#abandoned.set(key, entry);
  }

  /**
   * The client was there to read that its message had been sent before: what it sends from now on is
   * another one, though it be equal.
   */
  answered(submission: Submission): void {
    const key = this.#repeats.get(submission);
    if (key !== undefined) this.#abandoned.delete(key);
  }

  /**
   * The id under which the same account's same envelope and content have been sent already; a
   * promise of it where that is still under way, which may turn out to be of nothing: then ask
   * again. Undefined where this message is to be delivered.
   *
   * @param order when this delivery began: those that began later wait for this one, if at all
   */
  sentBefore(
    submission: Submission,
    order: number,
  ): Promise<string | undefined> | string | undefined {
    if (this.#abandoned.size === 0) return undefined;
    const summary = summaryOf(submission);
    if (!this.#likely.has(summary)) return undefined;
    const key = keyOf(submission, summary, digestOf(submission));
    const found = this.#abandoned.get(key);
    if (found === undefined) return undefined;
    this.#repeats.set(submission, key);
    return typeof found.sent === "string" || found.order < order ? found.sent : undefined;
  }
}

/** What may have been sent is not known to have been: then the client's second try is needed. */
function sentId(outcome: Outcome | SentBefore, id: string): string | undefined {
  if (outcome.type === "sent") return id;
  return outcome.type === "sentBefore" ? outcome.id : undefined;
}

/**
 * All but the content's octets: the same account, envelope and size. Entries of the lookup table are
 * accounts of their own, though they may share an app: each may send as others.
 */
function summaryOf({ account, envelope, content }: Submission): string {
  const { tenantId, clientId, entry = null, fromEmail = "" } = account;
  const size = lengthOf(content);
  return JSON.stringify([
    tenantId,
    clientId,
    entry,
    fromEmail,
    envelope.from,
    envelope.recipients,
    size,
  ]);
}

/** Who only claims to be the account, by a token that Graph has not taken, is somebody else. */
function keyOf({ account }: Submission, summary: string, digest: Uint8Array): string {
  const hash = createHash("sha256").update(digest).update(summary);
  return hash.update(account.unproved?.() ?? "").digest("base64");
}

/** Of the content's octets. */
function digestOf({ content }: Submission): Uint8Array {
  const hash = createHash("sha256");
  for (const block of content) hash.update(block);
  return hash.digest();
}
