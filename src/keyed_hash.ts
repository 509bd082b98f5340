// Names secrets without holding them: an HMAC under a key that only this process knows, so that
// neither a memory dump gives a secret away nor anybody can find two secrets with one hash.

import { createHmac, randomBytes } from "node:crypto";

export class KeyedHash {
  readonly #key = randomBytes(32);

  /** The same for the same parts in the same order, as long as this object lives. */
  of(...parts: readonly string[]): string {
    const hmac = createHmac("sha256", this.#key);
    // Lengths go in so that no two lists of parts can have the same octets.
    for (const part of parts) hmac.update(`${part.length}:${part};`);
    return hmac.digest("base64");
  }
}
