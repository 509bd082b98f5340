// One of the relay's own credentials: it proves to Entra ID that a token request is an app's.

import type { AppProof, CredentialName } from "./app_credentials.ts";
import type { EntraRefusal } from "./entra_errors.ts";

export interface ProofSource {
  /** What is known of it now, without asking for anything. */
  readonly facts: CredentialFacts;
  /**
   * What the next token request shows. A secret or a certificate is the same object as long as it is the same.
   * Never fails.
   *
   * @returns a refusal (454) if there is no proof at present
   */
  proof(): Promise<AppProof | EntraRefusal>;
  /** Reads it again at once: an administrator says that it is new. Never fails. */
  refresh(): Promise<void>;
  close(): void;
}

/** What may be shown of a credential; nothing of it is secret. What is not known is left out. */
export interface CredentialFacts {
  readonly name: CredentialName;
  /** Where it comes from: `setting`, `file`, `keyvault`, `identity`. */
  readonly source: string;
  /** Of a certificate. */
  readonly certificate?: CertificateFacts;
  /** Of an assertion, once there has been one: what the app's federated credential must have. */
  readonly assertion?: AssertionFacts;
}

export interface CertificateFacts {
  /** SHA-256, in hex of upper case. */
  readonly thumbprint: string;
  /** SHA-1, in hex of upper case, as the portal shows it. */
  readonly sha1: string;
  /** Milliseconds of Unix time. */
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface AssertionFacts {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  /** Milliseconds of Unix time. */
  readonly notAfter: number;
}
