// Identifies a message by account, envelope and content, so that a second submission of it is recognized.

import { createHash } from "node:crypto";
import type { Authorization } from "../accounts/account.ts";
import { lengthOf } from "../smtp/content.ts";
import type { Submission } from "./delivery.ts";

/** The fingerprint of a submission. Nothing is computed before it is needed, and the content is read once. */
export class Fingerprint {
  readonly #submission: Submission;
  readonly #authorization: Pick<Authorization, "unverified">;
  #summary: string | undefined;
  #digest: Uint8Array | undefined;

  constructor(submission: Submission, authorization: Pick<Authorization, "unverified">) {
    this.#submission = submission;
    this.#authorization = authorization;
  }

  /** The submission's id. */
  get id(): string {
    return this.#submission.id;
  }

  /**
   * All but the content's octets: the account, the envelope and the size. Entries of the lookup table are
   * accounts of their own, though they may share an app: each may send as others.
   */
  get summary(): string {
    if (this.#summary !== undefined) return this.#summary;
    const { account, envelope, content } = this.#submission;
    const { tenantId, clientId, entry, fromEmail = "" } = account;
    const { from, recipients } = envelope;
    const size = lengthOf(content);
    const parts = [tenantId, clientId, entry?.id ?? null, fromEmail, from, recipients, size];
    return this.#summary = JSON.stringify(parts);
  }

  /**
   * The first call reads the content, which must not have been discarded by then. The key changes when the
   * client's own token is verified: a login that only claims to be the account must not match it.
   */
  get key(): string {
    const hash = createHash("sha256").update(this.#contentDigest()).update(this.summary);
    return hash.update(this.#authorization.unverified() ?? "").digest("base64");
  }

  #contentDigest(): Uint8Array {
    if (this.#digest !== undefined) return this.#digest;
    const hash = createHash("sha256");
    for (const block of this.#submission.content) hash.update(block);
    return this.#digest = hash.digest();
  }
}
