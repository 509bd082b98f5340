// Manages the current TLS identity: watches the source of its certificate, and tests a new one with a
// handshake before it replaces the current one.

import type { PartState } from "../observe/http.ts";
import type { Notify } from "../observe/relay_event.ts";
import type { Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { type CertificateTexts, CertificateWatch, type WatchTimes } from "./certificate_watch.ts";
import { handshakeFields } from "./describe.ts";
import { type LoadedIdentity, loadIdentity } from "./tls_identity.ts";
import type { CertificateSource } from "./source.ts";

export interface CertificateManagerOptions extends WatchTimes {
  readonly source: CertificateSource;
  readonly settings: Settings;
  readonly runtime: Runtime;
  readonly notify: Notify;
}

/** The certificate's state for /readyz. */
export interface CertificateState extends PartState {
  readonly ready: true;
  readonly source: string;
  readonly expires: string;
  readonly expired: boolean;
}

const TEXTS: Omit<CertificateTexts, "source"> = {
  loaded: "Certificate loaded",
  replaced: "Certificate replaced",
  unchanged: "Certificate unchanged",
  readableAgain: "Certificate readable again, and unchanged",
  notYet: "New certificate not usable yet, keeping the current one",
  notRefreshed: "Certificate not refreshed, keeping the current one",
  rejected: "New certificate rejected, keeping the current one",
  internal: "Internal error while checking for a new certificate",
  dates: {
    expired: "Certificate expired: clients that verify it refuse it",
    early: "Certificate not valid yet: clients that verify it refuse it",
    soon: "Certificate expires soon: renew it",
  },
};

export class CertificateManager {
  readonly #source: string;
  readonly #watch: CertificateWatch<LoadedIdentity>;

  /**
   * Reads the certificate, tests and logs it, and watches its source from then on.
   *
   * @throws CertificateError with one line for the administrator
   */
  static async open(options: CertificateManagerOptions): Promise<CertificateManager> {
    const { source, settings, runtime, notify } = options;
    let loadedBefore = false;
    const watch = await CertificateWatch.open({
      source,
      use: {
        async load(certificate) {
          const loaded = await loadIdentity(settings, runtime, certificate);
          // It is about the settings, which do not change: once is enough.
          if (!loadedBefore && loaded.dropped !== undefined) {
            const text = loaded.dropped;
            notify({ type: "certificate", change: "warning", level: "WARNING", text, fields: {} });
          }
          loadedBefore = true;
          return loaded;
        },
        fields: ({ handshakes }) => handshakeFields(handshakes),
        texts: { ...TEXTS, source: `TLS_SOURCE "${source.name}"` },
      },
      report: (event) => notify({ type: "certificate", ...event }),
      times: options,
    });
    return new CertificateManager(source.name, watch);
  }

  private constructor(source: string, watch: CertificateWatch<LoadedIdentity>) {
    this.#source = source;
    this.#watch = watch;
  }

  /** For the next handshake. */
  get identity(): TlsIdentity {
    return this.#watch.loaded.identity;
  }

  /** When the source was last read, in milliseconds of Unix time. */
  get readAt(): number {
    return this.#watch.readAt;
  }

  get state(): CertificateState {
    const { expires, state } = this.#watch.validity;
    return {
      ready: true,
      source: this.#source,
      expires: expires.toISOString(),
      expired: state === "expired",
    };
  }

  /** Reads the source at once: an administrator says that the certificate is new. Never fails. */
  refresh(): Promise<void> {
    return this.#watch.refresh();
  }

  close(): void {
    this.#watch.close();
  }
}
