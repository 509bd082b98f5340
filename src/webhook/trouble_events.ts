// What a webhook is told of logins and certificates: trouble that somebody has to do something about, and
// each kind once in a while.

import { accountKey } from "../accounts/account.ts";
import { BoundedMap } from "../bounded_map.ts";
import type { Clock } from "../clock.ts";
import { clientKey } from "../networks.ts";
import type { LoginEvent, RelayEvent } from "../observe/relay_event.ts";
import type { Told } from "./message_events.ts";

/** Failed logins from one address within BURST_TIME, in milliseconds, that are a burst. */
const BURST = 10;
const BURST_TIME = 600_000;
/** Milliseconds between two events about the same address or account. */
const INTERVAL = 3_600_000;
const DAY = 86_400_000;
/** Addresses, and accounts, that are remembered. */
const MAX_REMEMBERED = 1_000;
/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
const EXPIRED = "AADSTS7000222";

interface Failures {
  count: number;
  /** When the first of them was, on the clock's `now`. */
  since: number;
  /** Not before it is told again, on the clock's `now`. */
  quietUntil: number;
}

export class TroubleEvents {
  readonly #clock: Pick<Clock, "now">;
  readonly #failures: BoundedMap<Failures>;
  readonly #expired: BoundedMap<true>;
  readonly #certificates: BoundedMap<true>;

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
    const max = MAX_REMEMBERED;
    this.#failures = new BoundedMap({ max, lifetime: INTERVAL, clock });
    this.#expired = new BoundedMap({ max, lifetime: DAY, clock });
    this.#certificates = new BoundedMap({ max, lifetime: DAY - INTERVAL, clock });
  }

  of(event: RelayEvent): readonly Told[] {
    if (event.type === "login") return this.#login(event);
    if (event.type === "queue" && event.code === EXPIRED && event.message.record !== undefined) {
      const { account, username } = event.message.record;
      return this.#secretExpired(accountKey(account), { username, code: EXPIRED });
    }
    if (event.type !== "certificate" || !/WARNING|ERROR/.test(event.level)) return [];
    const { text, fields } = event;
    if (this.#certificates.has(text)) return [];
    this.#certificates.set(text, true);
    const expires = fields["expires"];
    const data = { text, ...(expires === undefined ? {} : { expires: String(expires) }) };
    return [{ type: "certificate.ending", data }];
  }

  #login({ client, credentials, result }: LoginEvent): readonly Told[] {
    if ("account" in result || result.type === "later") return [];
    const { username } = credentials;
    const { code = "" } = result;
    const expired = code === EXPIRED ? this.#secretExpired(username, { username, code }) : [];
    return [...expired, ...this.#failed(clientKey(client.address), code)];
  }

  #failed(address: string, code: string): readonly Told[] {
    const now = this.#clock.now();
    const failures = this.#failures.get(address) ?? { count: 0, since: now, quietUntil: 0 };
    const isOver = now < failures.quietUntil ? false : now - failures.since > BURST_TIME;
    if (isOver) Object.assign(failures, { count: 0, since: now });
    failures.count++;
    this.#failures.set(address, failures);
    if (failures.count < BURST || now < failures.quietUntil) return [];
    const { count } = failures;
    failures.count = 0;
    failures.quietUntil = now + INTERVAL;
    return [{
      type: "login.failures",
      data: { client: address, count, ...(code === "" ? {} : { code }) },
    }];
  }

  #secretExpired(key: string, data: Told["data"]): readonly Told[] {
    if (this.#expired.has(key)) return [];
    this.#expired.set(key, true);
    return [{ type: "secret.expired", data }];
  }
}
