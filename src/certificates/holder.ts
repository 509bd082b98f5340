// Holds the TLS identity in force and watches over it: new certificates are proved and swapped in,
// what cannot be used is told, and so is an end that comes near.

import { setTimeout as sleep } from "node:timers/promises";
import type { PartState } from "../observe/http.ts";
import type { Log } from "../observe/log.ts";
import { LogThrottle } from "../observe/log_throttle.ts";
import type { Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { CertificateError, CertificateUnavailable } from "./certificate.ts";
import { certificateFields, handshakeFields, validityOf } from "./describe.ts";
import { type LoadedIdentity, loadIdentity } from "./identity.ts";
import type { CertificateSource, Found } from "./source.ts";

const DAY_MS = 86_400_000;
/** Milliseconds between two looks at the dates of a certificate that never changes. */
const DATES_MS = 3_600_000;
/** Milliseconds after which a source that still cannot be used is told of again. */
const AGAIN_MS = 6 * 3_600_000;
/** Milliseconds for one look: a file on a network may never answer. */
const LOOK_TIMEOUT = 30_000;
/**
 * Milliseconds until the next look where a new certificate has failed its proof: a machine that is
 * busy, or out of sockets, fails it too, and the change is to be in force within 60 s.
 */
const SOON_MS = 5_000;
/** How many looks follow that soon. After them it is proved at the looks of the source's interval. */
const SOON_LOOKS = 6;

export interface HolderOptions {
  readonly source: CertificateSource;
  readonly settings: Settings;
  readonly runtime: Runtime;
  readonly log: Log;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A clock that never goes back, milliseconds. */
  readonly elapsed?: () => number;
  /** Milliseconds for one look; 30 s when left out. */
  readonly timeout?: number;
  /** Milliseconds until a new certificate that has failed is looked at again; 5 s when left out. */
  readonly soon?: number;
}

/** The certificate's state for /readyz. */
export interface CertificateState extends PartState {
  readonly ready: true;
  readonly source: string;
  readonly expires: string;
  readonly expired: boolean;
}

const DATES = {
  expired: "The certificate has expired: clients that check it refuse it",
  early: "The certificate is not valid yet: clients that check it refuse it",
  soon: "The certificate expires soon: renew it",
} as const;

export class IdentityHolder {
  readonly #source: CertificateSource;
  readonly #settings: Settings;
  readonly #runtime: Runtime;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #timeout: number;
  readonly #soon: number;
  readonly #dates: LogThrottle;
  readonly #trouble: LogThrottle;
  readonly #stopping = new AbortController();
  #loaded: LoadedIdentity;
  #inForce: Found;
  /** What was found last. Where that is not what is in force, each look proves it again. */
  #latest: Found;
  /** Looks that come soon, and not only after the source's interval. */
  #soonLooks = 0;
  /** Looks in a row that have found nothing that can be used. */
  #failures = 0;
  #told = false;
  #reading: Promise<Found> | undefined;
  #turn: Promise<void> = Promise.resolve();
  #asked: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Reads the certificate, proves it, tells of it, and watches over it from then on.
   *
   * @throws CertificateError with one line for the administrator
   */
  static async open(options: HolderOptions): Promise<IdentityHolder> {
    const { source, settings, runtime } = options;
    const { signal } = new AbortController();
    const found = await source.read({ known: undefined, complete: true, signal });
    if (found === undefined) throw new Error("a source must find something at first");
    const loaded = await loadIdentity(settings, runtime, found.certificate);
    return new IdentityHolder(options, found, loaded);
  }

  private constructor(options: HolderOptions, found: Found, loaded: LoadedIdentity) {
    const { now = Date.now, elapsed = () => performance.now() } = options;
    this.#source = options.source;
    this.#settings = options.settings;
    this.#runtime = options.runtime;
    this.#log = options.log;
    this.#now = now;
    this.#timeout = options.timeout ?? LOOK_TIMEOUT;
    this.#soon = options.soon ?? SOON_MS;
    this.#dates = new LogThrottle(DAY_MS, elapsed);
    this.#trouble = new LogThrottle(AGAIN_MS, elapsed);
    this.#inForce = found;
    this.#latest = found;
    this.#loaded = loaded;
    if (loaded.dropped !== undefined) this.#log.warning(loaded.dropped);
    this.#log.info("Certificate loaded", this.#fields());
    this.#tellDates();
    this.#schedule();
  }

  /** For the next handshake. */
  get identity(): TlsIdentity {
    return this.#loaded.identity;
  }

  get state(): CertificateState {
    const { expires, state } = this.#validity();
    return {
      ready: true,
      source: this.#source.name,
      expires: expires.toISOString(),
      expired: state === "expired",
    };
  }

  /** Looks at once: an administrator has said that the certificate is new. Never fails. */
  refresh(): Promise<void> {
    // Many that ask at once are content with one look, if that has not begun yet.
    this.#asked ??= this.#inTurn(() => {
      this.#asked = undefined;
      return this.#look(true);
    });
    return this.#asked;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  /** The next look, so long after the one that is over. */
  #schedule(): void {
    clearTimeout(this.#timer);
    let wait = this.#source.interval ?? DATES_MS;
    if (this.#soonLooks > 0) {
      this.#soonLooks--;
      wait = Math.min(wait, this.#soon);
    }
    this.#timer = setTimeout(() => this.#inTurn(() => this.#look(false)), wait);
  }

  /** One look after another. */
  #inTurn(look: () => Promise<void>): Promise<void> {
    this.#turn = this.#turn.then(look);
    return this.#turn;
  }

  async #look(asked: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    try {
      const found = await this.#read(asked);
      if (found.revision !== this.#latest.revision) this.#soonLooks = SOON_LOOKS;
      this.#latest = found;
      if (found.revision === this.#inForce.revision) this.#unchanged(asked);
      else await this.#swap(found);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#failed(error, asked);
    }
    if (this.#stopping.signal.aborted) return;
    this.#tellDates();
    this.#schedule();
  }

  /** A read that hangs is waited for, look after look, rather than begun once more. */
  async #read(asked: boolean): Promise<Found> {
    // Whoever asks wants to hear again what is wrong with it.
    const known = asked ? this.#inForce : this.#latest;
    this.#reading ??= this.#source.read({
      known: known.revision,
      complete: asked,
      signal: this.#stopping.signal,
    }).then((found) => found ?? known).finally(() => this.#reading = undefined);
    const over = new AbortController();
    try {
      return await Promise.race([
        this.#reading,
        sleep(this.#timeout, undefined, { signal: over.signal }).then(() => {
          throw new CertificateUnavailable(
            `TLS_SOURCE "${this.#source.name}" has not answered for ${
              this.#timeout / 1000
            } seconds`,
          );
        }),
      ]);
    } finally {
      over.abort();
    }
  }

  async #swap(found: Found): Promise<void> {
    const loaded = await loadIdentity(this.#settings, this.#runtime, found.certificate);
    if (this.#stopping.signal.aborted) return;
    this.#loaded = loaded;
    this.#inForce = found;
    this.#soonLooks = 0;
    this.#failures = 0;
    this.#told = false;
    this.#log.info("Certificate replaced", this.#fields());
  }

  #unchanged(asked: boolean): void {
    if (this.#told) this.#log.info("The certificate can be read again, and is unchanged");
    else if (asked) this.#log.info("Certificate unchanged", this.#fields());
    this.#soonLooks = 0;
    this.#failures = 0;
    this.#told = false;
  }

  #failed(error: unknown, asked: boolean): void {
    if (!(error instanceof CertificateError)) {
      const stack = error instanceof Error ? error.stack : String(error);
      this.#log.error("Internal error while looking at the certificate", { error: stack });
      return;
    }
    this.#failures++;
    const reason = error.message;
    const fields = { source: this.#source.name, reason, days: this.#validity().days };
    const due = asked ||
      this.#failures > this.#source.patience && this.#trouble.allow(kindOf(error));
    if (!due) return this.#log.debug("The certificate in force stays for now", fields);
    this.#told = true;
    const message = error instanceof CertificateUnavailable
      ? "The certificate could not be refreshed: the one in force stays"
      : "The new certificate cannot be used: the one in force stays";
    this.#log.warning(message, fields);
  }

  #tellDates(): void {
    const { state } = this.#validity();
    if (state === "good" || !this.#dates.allow(`${state} ${this.#inForce.revision}`)) return;
    this.#log.warning(DATES[state], this.#fields());
  }

  #validity() {
    return validityOf(this.#loaded.certificate.leaf, this.#now());
  }

  #fields() {
    return {
      source: this.#source.name,
      ...certificateFields(this.#loaded.certificate.leaf, this.#now()),
      ...handshakeFields(this.#loaded.handshakes),
      ...this.#inForce.detail,
    };
  }
}

/** Errors of one kind are one trouble. A proof names its port, which is another one each time. */
function kindOf({ message, fault }: CertificateError): string {
  return fault === "unusable" ? message.replace(/\d+/g, "") : message;
}
