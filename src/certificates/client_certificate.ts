// The certificate that the relay logs in to Entra ID with, for the apps that it is registered with: watched
// as the TLS certificate is, and replaced without a restart.
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials

import type { CertificateProof } from "../entra/app_credentials.ts";
import type { CredentialFacts, ProofSource } from "../entra/proof_source.ts";
import type { Notify } from "../observe/relay_event.ts";
import { Secret } from "../secret.ts";
import { type Certificate, CertificateError } from "./certificate.ts";
import {
  type CertificateTexts,
  CertificateWatch,
  type LoadedCertificate,
  type WatchTimes,
} from "./certificate_watch.ts";
import type { CertificateState } from "./certificate_manager.ts";
import { kindName, kindOfCertificate } from "./key_kind.ts";
import type { CertificateSource, ReadRequest, ReadResult } from "./source.ts";

/** Days left below which it should have been renewed: it has to be registered with each app before its use. */
const SOON_DAYS = 30;
/** Bits of the shortest RSA key. Entra ID takes assertions with RSA signatures only (PS256). */
const SHORTEST = 2048;

export interface ClientCertificateOptions extends WatchTimes {
  readonly source: CertificateSource;
  readonly notify: Notify;
  /** Called when another certificate is in force. */
  readonly renewed: () => void;
}

interface LoadedProof extends LoadedCertificate {
  readonly proof: CertificateProof;
  readonly facts: CredentialFacts;
}

const TEXTS: CertificateTexts = {
  source: "the source of the relay's own certificate for Entra ID",
  loaded: "Client certificate loaded",
  replaced: "Client certificate replaced",
  unchanged: "Client certificate unchanged",
  readableAgain: "Client certificate readable again, and unchanged",
  notYet: "New client certificate not usable yet, keeping the current one",
  notRefreshed: "Client certificate not refreshed, keeping the current one",
  rejected: "New client certificate rejected, keeping the current one",
  internal: "Internal error while checking for a new client certificate",
  dates: {
    expired: "Client certificate expired: Entra ID refuses it",
    early: "Client certificate not valid yet: Entra ID refuses it",
    soon: "Client certificate expires soon: renew it, and register the new one with the apps",
  },
};

export class ClientCertificate implements ProofSource {
  readonly #watch: CertificateWatch<LoadedProof>;

  /**
   * Reads and reports the certificate, and watches its source from then on.
   *
   * @throws CertificateError with one line for the administrator
   */
  static async open(options: ClientCertificateOptions): Promise<ClientCertificate> {
    const { source, notify, renewed } = options;
    const watch = await CertificateWatch.open({
      source: ofClient(source),
      use: {
        load: (certificate) => Promise.resolve(loadProof(source.name, certificate)),
        fields: ({ facts: { certificate } }) => ({
          thumbprint: certificate!.thumbprint,
          sha1: certificate!.sha1,
        }),
        soon: SOON_DAYS,
        texts: TEXTS,
      },
      report(event) {
        notify({ type: "clientCertificate", ...event });
        if (event.change === "replaced") renewed();
      },
      times: options,
    });
    return new ClientCertificate(watch);
  }

  private constructor(watch: CertificateWatch<LoadedProof>) {
    this.#watch = watch;
  }

  get facts(): CredentialFacts {
    return this.#watch.loaded.facts;
  }

  /** For /readyz. It does not decide: other logins work without it, and a restart would not help. */
  get state(): CertificateState {
    const { expires, state } = this.#watch.validity;
    return {
      ready: true,
      source: this.facts.source,
      expires: expires.toISOString(),
      expired: state === "expired",
    };
  }

  /** When the source was last read, in milliseconds of Unix time. */
  get readAt(): number {
    return this.#watch.readAt;
  }

  /** Also after its end: the clock of this machine may be wrong, and Entra ID decides. */
  proof(): Promise<CertificateProof> {
    return Promise.resolve(this.#watch.loaded.proof);
  }

  refresh(): Promise<void> {
    return this.#watch.refresh();
  }

  close(): void {
    this.#watch.close();
  }
}

/** @throws CertificateError if its key is of another kind than Entra ID takes */
function loadProof(source: string, certificate: Certificate): LoadedProof {
  const { leaf, privateKey } = certificate;
  const kind = kindOfCertificate(leaf);
  if (kind?.name !== "RSA" || (kind.bits ?? 0) < SHORTEST) {
    throw new CertificateError(
      `the relay's own certificate for Entra ID has a key of the kind ${
        kind === undefined ? "unknown" : kindName(kind)
      }`,
      "kind",
      OTHER_KIND,
    );
  }
  const thumbprint = hexOf(leaf.fingerprint256);
  return {
    certificate,
    proof: { type: "certificate", thumbprint, key: new Secret(privateKey) },
    facts: {
      name: "certificate",
      source,
      certificate: {
        thumbprint,
        sha1: hexOf(leaf.fingerprint),
        notBefore: Date.parse(leaf.validFrom),
        notAfter: Date.parse(leaf.validTo),
      },
    },
  };
}

const OTHER_KIND = `make one with an RSA key of ${SHORTEST} bits or more`;

/** A source whose errors do not speak of TLS. */
function ofClient(source: CertificateSource): CertificateSource {
  return {
    name: source.name,
    interval: source.interval,
    patience: source.patience,
    async read(request: ReadRequest): Promise<ReadResult | undefined> {
      try {
        return await source.read(request);
      } catch (error) {
        if (!(error instanceof CertificateError) || error.fault !== "kind") throw error;
        const problem = error.problem.replace(/, which the relay cannot serve TLS with$/, "");
        throw new CertificateError(problem, "kind", OTHER_KIND);
      }
    },
  };
}

/** Node writes fingerprints with colons. */
function hexOf(fingerprint: string): string {
  return fingerprint.replaceAll(":", "").toUpperCase();
}
