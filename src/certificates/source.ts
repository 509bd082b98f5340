// A source of certificates, and how it is read for a new one.

import type { Certificate } from "./certificate.ts";

export interface CertificateSource {
  /** Its name in TLS_SOURCE, for the log and for /readyz. */
  readonly name: string;
  /** Milliseconds between two reads; undefined if it never changes. */
  readonly interval: number | undefined;
  /**
   * How many reads in a row may fail before a warning is logged: two files are replaced one after the
   * other.
   */
  readonly patience: number;
  /**
   * @returns the current certificate; undefined if its revision is still the known one
   * @throws CertificateError
   */
  read(request: ReadRequest): Promise<ReadResult | undefined>;
}

export interface ReadRequest {
  /** The revision that was read last. */
  readonly known: string | undefined;
  /** An administrator says that it is complete: do not wait for a writer to finish. */
  readonly complete: boolean;
  /** Ends the read when the relay stops. */
  readonly signal: AbortSignal;
}

export interface ReadResult {
  readonly certificate: Certificate;
  /** Different for each content. Must not reveal anything of the key. */
  readonly revision: string;
  /** Fields for the log that only this source knows. */
  readonly detail?: Readonly<Record<string, string>>;
}

/** A certificate that never changes. */
export function fixedSource(name: string, certificate: Certificate): CertificateSource {
  return {
    name,
    interval: undefined,
    patience: 0,
    read: ({ known }) =>
      Promise.resolve(known === undefined ? { certificate, revision: "fixed" } : undefined),
  };
}
