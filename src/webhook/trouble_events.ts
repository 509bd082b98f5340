// The webhook's events about logins, certificates, credentials and ways out: trouble that an administrator has to
// mend, each kind once in a while.

import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import { clientKey } from "../networks.ts";
import type { BackendEvent, LoginEvent, RelayEvent, TokenEvent } from "../observe/relay_event.ts";
import { shownDetail } from "../observe/shown.ts";
import type { Told } from "./message_events.ts";

/** Failed logins from one address within BURST_TIME, in milliseconds, that are a burst. */
const BURST = 10;
const BURST_TIME = 600_000;
/** Milliseconds between two events about the same address. */
const INTERVAL = 3_600_000;
/** Events about addresses in that time: an attack from many must not push those of messages out. */
const MAX_BURSTS = 100;
const DAY = 86_400_000;
/** Addresses, and usernames, that are remembered. */
const MAX_REMEMBERED = 1_000;
/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
const EXPIRED = "AADSTS7000222";

/** Failed logins of one address. Times are those of the clock's `now`. */
interface Failures {
  /** Since the last event about it. */
  count: number;
  /** Of these, those since `since`, at most BURST_TIME ago. */
  recent: number;
  since: number;
  /** No event about it before then; undefined if there was none. */
  quietUntil: number | undefined;
}

export class TroubleEvents {
  readonly #clock: Pick<Clock, "now">;
  readonly #failures: BoundedMap<Failures>;
  /** Times of the last events about addresses. */
  readonly #bursts: number[] = [];
  readonly #expired: BoundedMap<true>;
  /** Texts, and refusals of the relay's own credentials. */
  readonly #certificates: BoundedMap<true>;
  /** Ways out that a receiver knows to be down. */
  readonly #down = new Set<BackendEvent["backend"]>();
  /** Until when it is not told again that one is down, in the clock's `now`. */
  readonly #quiet = new Map<BackendEvent["backend"], number>();

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
    const max = MAX_REMEMBERED;
    this.#failures = new BoundedMap({ max, lifetime: INTERVAL, clock });
    this.#expired = new BoundedMap({ max, lifetime: DAY, clock });
    this.#certificates = new BoundedMap({ max, lifetime: DAY - INTERVAL, clock });
  }

  of(event: RelayEvent): readonly Told[] {
    if (event.type === "login") return this.#login(event);
    if (event.type === "token") return this.#refused(event);
    if (event.type === "backend") return this.#backend(event);
    if (event.type === "message" && "code" in event.outcome) {
      // The token of an open session was fetched again.
      if (event.submission.account.credential !== undefined) return [];
      return this.#secretExpired(event.submission.username, event.outcome.code);
    }
    if (event.type === "queue" && event.message.record !== undefined) {
      if (event.message.record.account.credential !== undefined) return [];
      return this.#secretExpired(event.message.record.username, event.code);
    }
    if (event.type !== "certificate" && event.type !== "clientCertificate") return [];
    if (!/WARNING|ERROR/.test(event.level)) return [];
    const { text, fields } = event;
    if (this.#certificates.has(text)) return [];
    this.#certificates.set(text, true);
    const expires = fields["expires"];
    const data = { text, ...(expires === undefined ? {} : { expires: String(expires) }) };
    if (event.type === "certificate") return [{ type: "certificate.ending", data }];
    return [{ type: "credential.ending", data: { credential: "certificate", ...data } }];
  }

  /** One of the relay's own credentials. */
  #refused({ refusal }: TokenEvent): readonly Told[] {
    if (refusal?.credential === undefined) return [];
    const { credential, code, detail } = refusal;
    const key = `${credential} ${code} ${detail}`;
    if (this.#certificates.has(key)) return [];
    this.#certificates.set(key, true);
    return [{ type: "credential.refused", data: { credential, code, detail } }];
  }

  /** A way that goes and comes back again and again is told about once in INTERVAL. */
  #backend({ backend, change, code, detail }: BackendEvent): readonly Told[] {
    if (change === "up") {
      if (!this.#down.delete(backend)) return [];
      return [{ type: "backend.up", data: { backend } }];
    }
    const now = this.#clock.now();
    if (now < (this.#quiet.get(backend) ?? now)) return [];
    this.#quiet.set(backend, now + INTERVAL);
    this.#down.add(backend);
    const reason = {
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail: shownDetail(detail) }),
    };
    return [{ type: "backend.down", data: { backend, ...reason } }];
  }

  #login({ client, credentials: { username }, result }: LoginEvent): readonly Told[] {
    if ("account" in result) return [];
    const { type, code = "" } = result;
    // With `later`, it is a secret of the relay's own.
    if (type === "later") return [];
    return [...this.#secretExpired(username, code), ...this.#failed(client.address, code)];
  }

  #failed(client: string, code: string): readonly Told[] {
    const address = clientKey(client);
    const now = this.#clock.now();
    const failures = this.#failures.get(address) ??
      { count: 0, recent: 0, since: now, quietUntil: undefined };
    if (now - failures.since > BURST_TIME) {
      Object.assign(failures, { recent: 0, since: now });
      if (failures.quietUntil === undefined) failures.count = 0;
    }
    failures.count++;
    failures.recent++;
    this.#failures.set(address, failures);
    if (failures.recent < BURST || now < (failures.quietUntil ?? now)) return [];
    while (now - (this.#bursts[0] ?? now) >= INTERVAL) this.#bursts.shift();
    if (this.#bursts.length >= MAX_BURSTS) return [];
    this.#bursts.push(now);
    const { count } = failures;
    Object.assign(failures, { count: 0, recent: 0, since: now, quietUntil: now + INTERVAL });
    return [{
      type: "login.failures",
      data: { client: address, count, ...(code === "" ? {} : { code }) },
    }];
  }

  #secretExpired(username: string, code: string | undefined): readonly Told[] {
    if (code !== EXPIRED || this.#expired.has(username)) return [];
    this.#expired.set(username, true);
    return [{ type: "secret.expired", data: { username, code } }];
  }
}
