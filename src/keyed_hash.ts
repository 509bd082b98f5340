// Identifies secrets without storing them: an HMAC under a random key of this process. The hashes
// do not reveal a secret, and an attacker cannot find two secrets with one hash.

import { createHmac, randomBytes } from "node:crypto";

export class KeyedHash {
  readonly #key = randomBytes(32);

  /** The same for the same parts in the same order, as long as this object lives. */
  of(...parts: readonly string[]): string {
    const hmac = createHmac("sha256", this.#key);
    // With lengths, so that different lists never give the same octets.
    for (const part of parts) hmac.update(`${part.length}:${part};`);
    return hmac.digest("base64");
  }
}
