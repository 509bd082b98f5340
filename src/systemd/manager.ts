// What the relay tells the service manager that runs it (sd_notify(3)): that it is ready, reloads or
// stops, how it is doing, and that it is alive (the watchdog of systemd.service(5)).

import { closeSync, openSync } from "node:fs";
import { EAGAIN, loadLibc } from "../runtime/libc.ts";
import { type RelayState, statusLine, stoppingLine } from "./status.ts";

/** Tells something in datagrams, each one at once or not at all. */
export interface Messenger {
  /** @returns errno; 0 when it is sent */
  sendDatagram(path: string, text: string): number;
  /** CLOCK_MONOTONIC, microseconds. */
  monotonic(): bigint;
}

type Environment = Record<string, string | undefined>;
/** For the log. */
type Warn = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Milliseconds between two looks at the status line, which is told when it has changed. */
const STATUS_EVERY = 10_000;
/** Milliseconds until a full queue is tried again, and how often. */
const RETRY_AFTER = 50;
const RETRIES = 100;
/** Messages that wait for the queue at most. */
const MOST_WAITING = 16;
/** Milliseconds between two requests for more time to stop, and the time asked for each time. */
const EXTEND_EVERY = 5_000;
const EXTEND_BY = 20_000;

export class ServiceManager {
  readonly #path: string | undefined;
  readonly #beatEvery: number | undefined;
  #messenger: Messenger | undefined;
  #warn: Warn | undefined;
  /** Told once the log is there. */
  #problem: string | undefined;
  #troubled = false;
  #state: (() => RelayState) | undefined;
  #told = "";
  #reloads = 0;
  #phase: "starting" | "running" | "stopping" = "starting";
  readonly #timers: ReturnType<typeof setInterval>[] = [];
  #waiting: string[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #canAccept: () => boolean;

  private constructor(
    path: string | undefined,
    beatEvery: number | undefined,
    canAccept: () => boolean,
  ) {
    this.#path = path;
    this.#beatEvery = beatEvery;
    this.#canAccept = canAccept;
  }

  /**
   * The service manager that the environment tells of; its variables are gone afterwards, so that
   * no child speaks in our name. Where there is none, all that follows does nothing.
   *
   * @param pid our own
   */
  static async of(
    environment: Environment,
    pid: number,
    load: () => Promise<Messenger> = loadLibc,
    canAccept: () => boolean = hasDescriptor,
  ): Promise<ServiceManager> {
    const { NOTIFY_SOCKET: path, WATCHDOG_USEC, WATCHDOG_PID } = environment;
    for (const name of ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]) delete environment[name];
    const ours = WATCHDOG_PID === undefined || WATCHDOG_PID === String(pid);
    const watched = ours && /^[1-9]\d{0,15}$/.test(WATCHDOG_USEC ?? "");
    // Microseconds to milliseconds; half of it is what sd_watchdog_enabled(3) recommends.
    const beatEvery = watched ? Math.min(Number(WATCHDOG_USEC) / 2000, 2 ** 31 - 1) : undefined;
    const manager = new ServiceManager(path, beatEvery, canAccept);
    if (path !== undefined) {
      try {
        manager.#messenger = await load();
      } catch (error) {
        manager.#trouble(error instanceof Error ? error.message : String(error));
      }
    }
    return manager;
  }

  /** From now on it is the log that is told when the service manager cannot be. */
  logTo(warn: Warn): void {
    this.#warn = warn;
    if (this.#problem !== undefined) this.#trouble(this.#problem);
    this.#problem = undefined;
  }

  /**
   * The relay listens. Begins with the watchdog, which is told of from the event loop: a loop that
   * stands still tells nothing, and the service is restarted.
   */
  ready(state: () => RelayState): void {
    this.#state = state;
    this.#phase = "running";
    this.#told = statusLine(state());
    this.#tell("READY=1", `STATUS=${this.#told}`);
    if (this.#messenger === undefined) return;
    this.#timers.push(setInterval(() => this.#status(), STATUS_EVERY));
    if (this.#beatEvery !== undefined) {
      this.#beat();
      this.#timers.push(setInterval(() => this.#beat(), this.#beatEvery));
    }
  }

  /** While this work runs, the relay reloads. Fails as the work does. */
  async reloading(work: () => Promise<void>): Promise<void> {
    // Before READY=1 it would be taken for the end of the start.
    if (this.#phase !== "running") return await work();
    this.#reloads++;
    const usec = this.#messenger?.monotonic() ?? 0n;
    this.#tell("RELOADING=1", `MONOTONIC_USEC=${usec}`, "STATUS=Reloading");
    try {
      await work();
    } finally {
      this.#reloads--;
      if (this.#reloads === 0 && (this.#phase as string) === "running") {
        this.#told = statusLine(this.#state!());
        this.#tell("READY=1", `STATUS=${this.#told}`);
      }
    }
  }

  /**
   * The relay stops. As long as that takes and makes progress possible, it asks for more time: the
   * unit's TimeoutStopSec= need not know of SHUTDOWN_TIMEOUT. A stop that stands still is not waited
   * for.
   */
  stopping(): void {
    if (this.#phase === "stopping") return;
    this.#phase = "stopping";
    const extend = () => {
      const line = stoppingLine(this.#state?.().connections ?? 0);
      this.#tell(`EXTEND_TIMEOUT_USEC=${EXTEND_BY * 1000}`, `STATUS=${line}`);
    };
    this.#tell("STOPPING=1");
    extend();
    if (this.#messenger !== undefined) this.#timers.push(setInterval(extend, EXTEND_EVERY));
  }

  /** The relay ends, or does not start. @param why one line for the administrator, if it failed */
  ended(why?: string): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    clearTimeout(this.#retry);
    this.#tell(`STATUS=${why ?? "Stopped"}`);
    clearTimeout(this.#retry);
  }

  /** Not where no connection could be accepted: a restart cures a process without descriptors. */
  #beat(): void {
    if (this.#waiting.length > 0 || !this.#canAccept()) return;
    this.#tell("WATCHDOG=1");
  }

  #status(): void {
    if (this.#phase !== "running" || this.#reloads > 0) return;
    const line = statusLine(this.#state!());
    if (line === this.#told) return;
    this.#told = line;
    this.#tell(`STATUS=${line}`);
  }

  #tell(...assignments: readonly string[]): void {
    if (this.#messenger === undefined) return;
    if (this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push(assignments.map((text) => text.replace(/[\r\n]+/g, " ")).join("\n"));
    if (this.#waiting.length === 1) this.#send(0);
  }

  /** In order. A full queue is no reason to wait here: the service manager may be busy. */
  #send(tries: number): void {
    while (this.#waiting.length > 0) {
      const errno = this.#messenger!.sendDatagram(this.#path!, this.#waiting[0]!);
      if (errno === EAGAIN && tries < RETRIES) {
        this.#retry = setTimeout(() => this.#send(tries + 1), RETRY_AFTER);
        return;
      }
      if (errno === 0) this.#troubled = false;
      else this.#trouble(`errno ${errno}`);
      this.#waiting.shift();
    }
  }

  /** Once, until it works again. */
  #trouble(error: string): void {
    if (this.#warn === undefined) {
      this.#problem = error;
      return;
    }
    if (this.#troubled) return;
    this.#troubled = true;
    this.#warn("The service manager cannot be told how the relay does (NOTIFY_SOCKET)", {
      socket: this.#path,
      error,
    });
  }
}

/** Whether one more descriptor can be had, as each connection needs. */
function hasDescriptor(): boolean {
  try {
    closeSync(openSync("/dev/null", "r"));
    return true;
  } catch (error) {
    const { code } = error as { code?: string };
    return code !== "EMFILE" && code !== "ENFILE";
  }
}
