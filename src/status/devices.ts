// The devices that have logged in or tried to, by username and address.

import type { Reason } from "./reason.ts";
import { Rows } from "./rows.ts";

/** Devices that have logged in, … */
const MAX_KNOWN = 1_000;
/** … and those that have only tried: they push out none of the others. */
const MAX_STRANGERS = 200;

export interface Device extends DeviceName {
  readonly key: string;
  readonly known: boolean;
  /** Milliseconds of Unix time. */
  readonly seen: number;
  readonly sent?: number;
  readonly failed?: Reason;
  /** Nothing has worked since it last failed: a login, or a message if that was what failed. */
  readonly failing: boolean;
  /** Messages that were accepted on that day. */
  readonly messages: number;
  readonly day: string;
}

export interface DeviceName {
  readonly username: string;
  /** The id of its entry in the lookup table. */
  readonly entry?: string;
  readonly address: string;
}

export class Devices {
  readonly #known = new Rows<Device>(MAX_KNOWN);
  readonly #strangers = new Rows<Device>(MAX_STRANGERS);
  /** The days of the last times, which are costly to make. */
  #day = { from: 0, until: 0, name: "" };

  get size(): number {
    return this.#known.size + this.#strangers.size;
  }

  /** Devices that have changed after that version; all for 0. */
  since(version: number): readonly Device[] {
    return [...this.#known.since(version), ...this.#strangers.since(version)];
  }

  /** @param now milliseconds of Unix time */
  loggedIn(name: DeviceName, now: number, version: number): void {
    const device = this.#find(keyOf(name));
    const failing = device?.failing === true && device.failed?.type === "message";
    this.#change(name, { failing }, true, now, version);
  }

  /** A message of it was accepted. @param sent by the mail service */
  accepted(name: DeviceName, sent: boolean, now: number, version: number): void {
    this.#change(name, { failing: false, ...(sent ? { sent: now } : {}) }, true, now, version, 1);
  }

  /** A message of it that was accepted before was sent. */
  sent(name: DeviceName, now: number, version: number): void {
    this.#change(name, { sent: now, failing: false }, true, now, version);
  }

  /** @param proved whether it has logged in */
  failed(name: DeviceName, reason: Reason, proved: boolean, version: number): void {
    this.#change(name, { failed: reason, failing: true }, proved, reason.at, version);
  }

  /** The day of a time in the machine's time zone. */
  dayOf(at: number): string {
    if (at < this.#day.from || at >= this.#day.until) {
      const date = new Date(at);
      const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
      this.#day = {
        from: new Date(year, month, day).getTime(),
        until: new Date(year, month, day + 1).getTime(),
        name: `${year}-${month + 1}-${day}`,
      };
    }
    return this.#day.name;
  }

  #find(key: string): Device | undefined {
    return this.#known.get(key) ?? this.#strangers.get(key);
  }

  /** @param accepted messages that were accepted */
  #change(
    name: DeviceName,
    change: Pick<Device, "failing"> & Partial<Pick<Device, "sent" | "failed">>,
    proved: boolean,
    now: number,
    version: number,
    accepted = 0,
  ): void {
    const key = keyOf(name);
    const before = this.#find(key);
    const known = proved || before?.known === true;
    const day = this.dayOf(now);
    const messages = (before?.day === day ? before.messages : 0) + accepted;
    const device = { ...before, ...name, key, messages, ...change, day, seen: now, known };
    if (known && before?.known === false) this.#strangers.delete(key);
    (known ? this.#known : this.#strangers).set(key, device, version);
  }
}

function keyOf({ username, address }: DeviceName): string {
  return `${username} ${address}`;
}
