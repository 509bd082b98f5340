// The credential `secret`: CLIENT_SECRET, which the settings have.

import type { Secret } from "../secret.ts";
import type { ProofSource } from "./proof_source.ts";

export function fixedSecret(secret: Secret): ProofSource {
  const proof = Promise.resolve({ type: "secret", secret } as const);
  return {
    facts: { name: "secret", source: "setting" },
    proof: () => proof,
    refresh: () => Promise.resolve(),
    close() {},
  };
}
