// Where a certificate comes from, and how it is asked whether there is a new one.

import type { Certificate } from "./certificate.ts";

export interface CertificateSource {
  /** For the log and for /readyz: what TLS_SOURCE calls it. */
  readonly name: string;
  /** Milliseconds between two looks; undefined where it never changes. */
  readonly interval: number | undefined;
  /**
   * How many looks in a row may find something that cannot be used before it is warned about: two
   * files are replaced one after the other.
   */
  readonly patience: number;
  /**
   * @returns what is there now; undefined where it is still the revision that is known
   * @throws CertificateError
   */
  read(look: ReadRequest): Promise<ReadResult | undefined>;
}

export interface ReadRequest {
  /** The revision that was found last. */
  readonly known: string | undefined;
  /** An administrator says that it is complete: no waiting for a writer to finish. */
  readonly complete: boolean;
  /** Ends the look when the relay stops. */
  readonly signal: AbortSignal;
}

export interface ReadResult {
  readonly certificate: Certificate;
  /** Another one for each content. Never anything that a key could be told from. */
  readonly revision: string;
  /** Fields for the log that only this source knows. */
  readonly detail?: Readonly<Record<string, string>>;
}

/** A certificate that is there and stays. */
export function fixedSource(name: string, certificate: Certificate): CertificateSource {
  return {
    name,
    interval: undefined,
    patience: 0,
    read: ({ known }) =>
      Promise.resolve(known === undefined ? { certificate, revision: "fixed" } : undefined),
  };
}
