// Manages the current TLS identity: reads the source regularly, tests a new certificate with a
// handshake before it replaces the current one, and logs certificates that are rejected or expire
// soon.

import { setTimeout as sleep } from "node:timers/promises";
import type { PartState } from "../observe/http.ts";
import type { CertificateEvent, Notify } from "../observe/relay_event.ts";
import { LogThrottle } from "../observe/log_throttle.ts";
import type { Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { CertificateError, CertificateUnavailable } from "./certificate.ts";
import { certificateFields, handshakeFields, validityOf } from "./describe.ts";
import { type LoadedIdentity, loadIdentity } from "./tls_identity.ts";
import type { CertificateSource, ReadResult } from "./source.ts";

const DAY_MS = 86_400_000;
/** Milliseconds between two checks of the dates of a certificate that never changes. */
const DATES_INTERVAL_MS = 3_600_000;
/** Milliseconds until a problem that persists is logged again. */
const REPEAT_LOG_MS = 6 * 3_600_000;
/** Milliseconds for one read: a file on a network may never answer. */
const READ_TIMEOUT_MS = 30_000;
/**
 * Milliseconds until a new certificate is read again whose test handshake has failed: the handshake
 * also fails on a machine that is busy or out of sockets, and the change must be in use within 60
 * s.
 */
const RETRY_MS = 5_000;
/** Retries that early. After them it is tested again at the source's interval. */
const RETRIES = 6;

export interface CertificateManagerOptions {
  readonly source: CertificateSource;
  readonly settings: Settings;
  readonly runtime: Runtime;
  readonly notify: Notify;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A clock that never goes back, milliseconds. */
  readonly elapsed?: () => number;
  /** Milliseconds for one read; 30 s when left out. */
  readonly timeout?: number;
  /** Milliseconds until a new certificate that has failed is tested again; 5 s when left out. */
  readonly retry?: number;
}

/** The certificate's state for /readyz. */
export interface CertificateState extends PartState {
  readonly ready: true;
  readonly source: string;
  readonly expires: string;
  readonly expired: boolean;
}

const DATE_WARNINGS = {
  expired: "Certificate expired: clients that verify it refuse it",
  early: "Certificate not valid yet: clients that verify it refuse it",
  soon: "Certificate expires soon: renew it",
} as const;

export class CertificateManager {
  readonly #source: CertificateSource;
  readonly #settings: Settings;
  readonly #runtime: Runtime;
  readonly #notify: Notify;
  readonly #now: () => number;
  readonly #timeout: number;
  readonly #retry: number;
  readonly #dateLog: LogThrottle;
  readonly #problemLog: LogThrottle;
  readonly #stopping = new AbortController();
  #loaded: LoadedIdentity;
  #inForce: ReadResult;
  /** The last read certificate. If it is not the current one, each read tests it again. */
  #latest: ReadResult;
  /** Reads that come early, before the source's interval is over. */
  #retriesLeft = 0;
  /** Reads in a row whose result could not be used. */
  #failures = 0;
  #warned = false;
  #readAt: number;
  #reading: Promise<ReadResult> | undefined;
  #last: Promise<void> = Promise.resolve();
  #refreshing: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * Reads the certificate, tests and logs it, and watches its source from then on.
   *
   * @throws CertificateError with one line for the administrator
   */
  static async open(options: CertificateManagerOptions): Promise<CertificateManager> {
    const { source, settings, runtime } = options;
    const { signal } = new AbortController();
    const found = await source.read({ known: undefined, complete: true, signal });
    if (found === undefined) throw new Error("the first read of a source must give a certificate");
    const loaded = await loadIdentity(settings, runtime, found.certificate);
    return new CertificateManager(options, found, loaded);
  }

  private constructor(
    options: CertificateManagerOptions,
    found: ReadResult,
    loaded: LoadedIdentity,
  ) {
    const { now = Date.now, elapsed = () => performance.now() } = options;
    this.#source = options.source;
    this.#settings = options.settings;
    this.#runtime = options.runtime;
    this.#notify = options.notify;
    this.#now = now;
    this.#timeout = options.timeout ?? READ_TIMEOUT_MS;
    this.#retry = options.retry ?? RETRY_MS;
    this.#dateLog = new LogThrottle(DAY_MS, elapsed);
    this.#problemLog = new LogThrottle(REPEAT_LOG_MS, elapsed);
    this.#inForce = found;
    this.#latest = found;
    this.#readAt = now();
    this.#loaded = loaded;
    if (loaded.dropped !== undefined) this.#report("warning", "WARNING", loaded.dropped, {});
    this.#report("loaded", "INFO", "Certificate loaded");
    this.#logDates();
    this.#schedule();
  }

  /** For the next handshake. */
  get identity(): TlsIdentity {
    return this.#loaded.identity;
  }

  /** When the source was last read, in milliseconds of Unix time. */
  get readAt(): number {
    return this.#readAt;
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

  /** Reads the source at once: an administrator says that the certificate is new. Never fails. */
  refresh(): Promise<void> {
    // Requests that come before the read begins share it.
    this.#refreshing ??= this.#oneByOne(() => {
      this.#refreshing = undefined;
      return this.#check(true);
    });
    return this.#refreshing;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#stopping.abort();
  }

  /** Starts the timer of the next read. */
  #schedule(): void {
    clearTimeout(this.#timer);
    let wait = this.#source.interval ?? DATES_INTERVAL_MS;
    if (this.#retriesLeft > 0) {
      this.#retriesLeft--;
      wait = Math.min(wait, this.#retry);
    }
    this.#timer = setTimeout(() => this.#oneByOne(() => this.#check(false)), wait);
  }

  #oneByOne(check: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(check);
    return this.#last;
  }

  async #check(requested: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    try {
      const found = await this.#read(requested);
      this.#readAt = this.#now();
      if (found.revision !== this.#latest.revision) this.#retriesLeft = RETRIES;
      this.#latest = found;
      if (found.revision === this.#inForce.revision) this.#unchanged(requested);
      else await this.#replace(found);
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      this.#failed(error, requested);
    }
    if (this.#stopping.signal.aborted) return;
    this.#logDates();
    this.#schedule();
  }

  /** A read that hangs is not begun a second time: the next checks wait for the same one. */
  async #read(requested: boolean): Promise<ReadResult> {
    // An administrator who asks again gets the reason again.
    const known = requested ? this.#inForce : this.#latest;
    this.#reading ??= this.#source.read({
      known: known.revision,
      complete: requested,
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

  async #replace(found: ReadResult): Promise<void> {
    const loaded = await loadIdentity(this.#settings, this.#runtime, found.certificate);
    if (this.#stopping.signal.aborted) return;
    this.#loaded = loaded;
    this.#inForce = found;

    this.#failures = 0;
    this.#warned = false;
    this.#report("replaced", "INFO", "Certificate replaced");
  }

  #unchanged(requested: boolean): void {
    if (this.#warned) {
      this.#report("unchanged", "INFO", "Certificate readable again, and unchanged", {});
    } else if (requested) this.#report("unchanged", "INFO", "Certificate unchanged");
    this.#retriesLeft = 0;
    this.#failures = 0;
    this.#warned = false;
  }

  #failed(error: unknown, requested: boolean): void {
    if (!(error instanceof CertificateError)) {
      const stack = error instanceof Error ? error.stack : String(error);
      const text = "Internal error while checking for a new certificate";
      return this.#report("kept", "ERROR", text, { error: stack });
    }
    this.#failures++;
    const reason = error.message;
    const fields = { source: this.#source.name, reason, days: this.#validity().days };
    const due = requested ||
      this.#failures > this.#source.patience && this.#problemLog.allow(problemKey(error));
    if (!due) {
      const text = "New certificate not usable yet, keeping the current one";
      return this.#report("kept", "DEBUG", text, fields);
    }
    this.#warned = true;
    const message = error instanceof CertificateUnavailable
      ? "Certificate not refreshed, keeping the current one"
      : "New certificate rejected, keeping the current one";
    this.#report("kept", "WARNING", message, fields);
  }

  #report(
    change: CertificateEvent["change"],
    level: CertificateEvent["level"],
    text: string,
    fields: CertificateEvent["fields"] = this.#fields(),
  ): void {
    this.#notify({ type: "certificate", change, level, text, fields });
  }

  #logDates(): void {
    const { state } = this.#validity();
    if (state === "good" || !this.#dateLog.allow(`${state} ${this.#inForce.revision}`)) return;
    this.#report("warning", "WARNING", DATE_WARNINGS[state]);
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

/** Which errors count as the same problem. The error of a test handshake has its port in it. */
function problemKey({ message, fault }: CertificateError): string {
  return fault === "unusable" ? message.replace(/\d+/g, "") : message;
}
