// What proves to Entra ID that a token request is the app's: a secret that the client has given, or one of
// the relay's own credentials.

import type { Secret } from "../secret.ts";

/** An app registration in a tenant. */
export interface App {
  /** UUID in lower case, or a domain of the tenant. */
  readonly tenantId: string;
  /** UUID in lower case. */
  readonly clientId: string;
}

/** With a secret that came from the client. */
export interface ClientCredentials extends App {
  readonly clientSecret: Secret;
}

/** With one of the relay's own credentials. */
export interface RelayCredentials extends App {
  readonly credential: CredentialName;
}

export type AppCredentials = ClientCredentials | RelayCredentials;

/** The relay's own credentials, as the lookup's column `credential` names them. */
export const CREDENTIAL_NAMES = [
  "secret",
  "certificate",
  "managed-identity",
  "workload-identity",
] as const;

export type CredentialName = (typeof CREDENTIAL_NAMES)[number];

/** What one token request shows to Entra ID, to prove that it is the app's. */
export type AppProof =
  | { readonly type: "secret"; readonly secret: Secret }
  | CertificateProof
  | AssertionProof;

/** An assertion that the key of a registered certificate signs (PS256). */
export interface CertificateProof {
  readonly type: "certificate";
  /** SHA-256 of the certificate's DER form, in hex: the header's `x5t#S256`. */
  readonly thumbprint: string;
  /** PEM (PKCS #8). */
  readonly key: Secret;
}

/** A token of another issuer, which the app trusts: a federated credential. */
export interface AssertionProof {
  readonly type: "assertion";
  readonly assertion: Secret;
}
