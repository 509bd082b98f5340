// Watches the source of a certificate: reads it regularly, tests a new certificate before it replaces the
// current one, and reports certificates that are rejected or expire soon.

import { setTimeout as sleep } from "node:timers/promises";
import { LogThrottle } from "../observe/log_throttle.ts";
import type { CertificateEvent } from "../observe/relay_event.ts";
import { type Certificate, CertificateError, CertificateUnavailable } from "./certificate.ts";
import { certificateFields, type Validity, validityOf } from "./describe.ts";
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

export interface CertificateWatchOptions<Loaded extends LoadedCertificate> {
  readonly source: CertificateSource;
  readonly use: CertificateUse<Loaded>;
  readonly report: CertificateReport;
  readonly times?: WatchTimes;
}

/** A certificate in the form that it is used in. */
export interface LoadedCertificate {
  readonly certificate: Certificate;
}

/** What a certificate is for. */
export interface CertificateUse<Loaded extends LoadedCertificate> {
  /**
   * Tests a certificate, before it replaces the current one.
   *
   * @throws CertificateError
   */
  load(certificate: Certificate): Promise<Loaded>;
  /** Further fields for the log. */
  fields(loaded: Loaded): Readonly<Record<string, string>>;
  /** Days left below which it should have been renewed; 14 when left out. */
  readonly soon?: number;
  readonly texts: CertificateTexts;
}

/** What is logged. */
export interface CertificateTexts {
  /** The source, as the beginning of a line. */
  readonly source: string;
  readonly loaded: string;
  readonly replaced: string;
  readonly unchanged: string;
  readonly readableAgain: string;
  readonly notYet: string;
  readonly notRefreshed: string;
  readonly rejected: string;
  readonly internal: string;
  readonly dates: Readonly<Record<Exclude<Validity["state"], "good">, string>>;
}

export type CertificateReport = (event: Omit<CertificateEvent, "type">) => void;

export interface WatchTimes {
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** A clock that never goes back, milliseconds. */
  readonly elapsed?: () => number;
  /** Milliseconds for one read; 30 s when left out. */
  readonly timeout?: number;
  /** Milliseconds until a new certificate that has failed is tested again; 5 s when left out. */
  readonly retry?: number;
}

export class CertificateWatch<Loaded extends LoadedCertificate> {
  readonly #source: CertificateSource;
  readonly #use: CertificateUse<Loaded>;
  readonly #send: CertificateReport;
  readonly #now: () => number;
  readonly #timeout: number;
  readonly #retry: number;
  readonly #dateLog: LogThrottle;
  readonly #problemLog: LogThrottle;
  readonly #stopping = new AbortController();
  #loaded: Loaded;
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
   * Reads the certificate, tests and reports it, and watches its source from then on.
   *
   * @throws CertificateError with one line for the administrator
   */
  static async open<Loaded extends LoadedCertificate>(
    options: CertificateWatchOptions<Loaded>,
  ): Promise<CertificateWatch<Loaded>> {
    const { source, use } = options;
    const { signal } = new AbortController();
    const found = await source.read({ known: undefined, complete: true, signal });
    if (found === undefined) throw new Error("the first read of a source must give a certificate");
    return new CertificateWatch(options, found, await use.load(found.certificate));
  }

  private constructor(
    { source, use, report, times = {} }: CertificateWatchOptions<Loaded>,
    found: ReadResult,
    loaded: Loaded,
  ) {
    const { now = Date.now, elapsed = () => performance.now() } = times;
    this.#source = source;
    this.#use = use;
    this.#send = report;
    this.#now = now;
    this.#timeout = times.timeout ?? READ_TIMEOUT_MS;
    this.#retry = times.retry ?? RETRY_MS;
    this.#dateLog = new LogThrottle(DAY_MS, elapsed);
    this.#problemLog = new LogThrottle(REPEAT_LOG_MS, elapsed);
    this.#inForce = found;
    this.#latest = found;
    this.#readAt = now();
    this.#loaded = loaded;
    this.#report("loaded", "INFO", use.texts.loaded);
    this.#logDates();
    this.#schedule();
  }

  /** The one in force. */
  get loaded(): Loaded {
    return this.#loaded;
  }

  get validity(): Validity {
    return validityOf(this.#loaded.certificate.leaf, this.#now(), this.#use.soon);
  }

  /** When the source was last read, in milliseconds of Unix time. */
  get readAt(): number {
    return this.#readAt;
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
            `${this.#use.texts.source} has not answered for ${this.#timeout / 1000} seconds`,
          );
        }),
      ]);
    } finally {
      over.abort();
    }
  }

  async #replace(found: ReadResult): Promise<void> {
    const loaded = await this.#use.load(found.certificate);
    if (this.#stopping.signal.aborted) return;
    this.#loaded = loaded;
    this.#inForce = found;
    this.#failures = 0;
    this.#warned = false;
    this.#report("replaced", "INFO", this.#use.texts.replaced);
  }

  #unchanged(requested: boolean): void {
    const { texts } = this.#use;
    if (this.#warned) this.#report("unchanged", "INFO", texts.readableAgain, {});
    else if (requested) this.#report("unchanged", "INFO", texts.unchanged);
    this.#retriesLeft = 0;
    this.#failures = 0;
    this.#warned = false;
  }

  #failed(error: unknown, requested: boolean): void {
    const { texts } = this.#use;
    if (!(error instanceof CertificateError)) {
      const stack = error instanceof Error ? error.stack : String(error);
      return this.#report("kept", "ERROR", texts.internal, { error: stack });
    }
    this.#failures++;
    const reason = error.message;
    const fields = { source: this.#source.name, reason, days: this.validity.days };
    const due = requested ||
      this.#failures > this.#source.patience && this.#problemLog.allow(problemKey(error));
    if (!due) return this.#report("kept", "DEBUG", texts.notYet, fields);
    this.#warned = true;
    const message = error instanceof CertificateUnavailable ? texts.notRefreshed : texts.rejected;
    this.#report("kept", "WARNING", message, fields);
  }

  #report(
    change: CertificateEvent["change"],
    level: CertificateEvent["level"],
    text: string,
    fields: CertificateEvent["fields"] = this.#fields(),
  ): void {
    this.#send({ change, level, text, fields });
  }

  #logDates(): void {
    const { state } = this.validity;
    if (state === "good" || !this.#dateLog.allow(`${state} ${this.#inForce.revision}`)) return;
    this.#report("warning", "WARNING", this.#use.texts.dates[state]);
  }

  #fields() {
    return {
      source: this.#source.name,
      ...certificateFields(this.#loaded.certificate.leaf, this.#now()),
      ...this.#use.fields(this.#loaded),
      ...this.#inForce.detail,
    };
  }
}

/** Which errors count as the same problem. The error of a test handshake has its port in it. */
function problemKey({ message, fault }: CertificateError): string {
  return fault === "unusable" ? message.replace(/\d+/g, "") : message;
}
