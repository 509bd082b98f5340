// Notifies the service manager (sd_notify(3)) that the relay is ready, reloads or stops, of its status,
// and that it is alive (the watchdog of systemd.service(5)).

import { closeSync, openSync } from "node:fs";
import { EAGAIN, loadLibc } from "../runtime/libc.ts";
import { type RelayState, statusLine, stoppingLine } from "./status.ts";

/** Sends datagrams without blocking. */
export interface Messenger {
  /** @returns errno; 0 when it is sent */
  sendDatagram(path: string, text: string): number;
  /** CLOCK_MONOTONIC, microseconds. */
  monotonic(): bigint;
  /** What the service manager asks for, where it cannot send signals. */
  readonly requests?: Requests;
}

export interface Requests {
  /** Resolves when the relay is to stop. */
  readonly stop: Promise<void>;
  /** @param reload called when certificates and LOOKUP_FILE are to be read again */
  onReload(reload: () => void): void;
}

type Environment = Record<string, string | undefined>;
/** For the log. */
type Warn = (message: string, fields: Readonly<Record<string, unknown>>) => void;

/** Milliseconds between two checks whether the status line has changed. */
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
  /** A problem from before the log was open. */
  #problem: string | undefined;
  #failing = false;
  #state: (() => RelayState) | undefined;
  #sentStatus = "";
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
   * The service manager of the environment's variables, which are removed, so that no child process
   * notifies it in the relay's name. Without a service manager, all methods do nothing.
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
        manager.#reportProblem(error instanceof Error ? error.message : String(error));
      }
    }
    return manager;
  }

  /** What the service manager asks for other than by signals. */
  get requests(): Requests | undefined {
    return this.#messenger?.requests;
  }

  /** Problems with the service manager are logged from now on. */
  logTo(warn: Warn): void {
    this.#warn = warn;
    if (this.#problem !== undefined) this.#reportProblem(this.#problem);
    this.#problem = undefined;
  }

  /**
   * The relay listens. Starts the watchdog, whose messages are sent from the event loop: if the loop
   * hangs, none is sent and the service is restarted.
   */
  ready(state: () => RelayState): void {
    this.#state = state;
    this.#phase = "running";
    this.#sentStatus = statusLine(state());
    this.#notify("READY=1", `STATUS=${this.#sentStatus}`);
    if (this.#messenger === undefined) return;
    this.#timers.push(setInterval(() => this.#status(), STATUS_EVERY));
    if (this.#beatEvery !== undefined) {
      this.#beat();
      this.#timers.push(setInterval(() => this.#beat(), this.#beatEvery));
    }
  }

  /** Notifies that the relay reloads while this work runs. Fails as the work does. */
  async reloading(work: () => Promise<void>): Promise<void> {
    // Before READY=1 it would be taken for the end of the start.
    if (this.#phase !== "running") return await work();
    this.#reloads++;
    const usec = this.#messenger?.monotonic() ?? 0n;
    this.#notify("RELOADING=1", `MONOTONIC_USEC=${usec}`, "STATUS=Reloading");
    try {
      await work();
    } finally {
      this.#reloads--;
      if (this.#reloads === 0 && (this.#phase as string) === "running") {
        this.#sentStatus = statusLine(this.#state!());
        this.#notify("READY=1", `STATUS=${this.#sentStatus}`);
      }
    }
  }

  /**
   * The relay stops. Asks for more time again and again from the event loop, so that the unit's
   * TimeoutStopSec= need not be longer than SHUTDOWN_TIMEOUT. If the loop hangs, the stop times out.
   */
  stopping(): void {
    if (this.#phase === "stopping") return;
    this.#phase = "stopping";
    const extend = () => {
      const line = stoppingLine(this.#state?.().connections ?? 0);
      this.#notify(`EXTEND_TIMEOUT_USEC=${EXTEND_BY * 1000}`, `STATUS=${line}`);
    };
    this.#notify("STOPPING=1");
    extend();
    if (this.#messenger !== undefined) this.#timers.push(setInterval(extend, EXTEND_EVERY));
  }

  /** The relay ends, or does not start. @param why one line for the administrator, if it failed */
  ended(why?: string): void {
    for (const timer of this.#timers.splice(0)) clearInterval(timer);
    clearTimeout(this.#retry);
    this.#notify(`STATUS=${why ?? "Stopped"}`);
    clearTimeout(this.#retry);
  }

  /** Not sent while no connection could be accepted: only a restart frees leaked descriptors. */
  #beat(): void {
    if (this.#waiting.length > 0 || !this.#canAccept()) return;
    this.#notify("WATCHDOG=1");
  }

  #status(): void {
    if (this.#phase !== "running" || this.#reloads > 0) return;
    const line = statusLine(this.#state!());
    if (line === this.#sentStatus) return;
    this.#sentStatus = line;
    this.#notify(`STATUS=${line}`);
  }

  #notify(...assignments: readonly string[]): void {
    if (this.#messenger === undefined) return;
    if (this.#waiting.length >= MOST_WAITING) return;
    this.#waiting.push(assignments.map((text) => text.replace(/[\r\n]+/g, " ")).join("\n"));
    if (this.#waiting.length === 1) this.#send(0);
  }

  /** Sends in order. Retries with a timer where the service manager's queue is full. */
  #send(tries: number): void {
    while (this.#waiting.length > 0) {
      const errno = this.#messenger!.sendDatagram(this.#path!, this.#waiting[0]!);
      if (errno === EAGAIN && tries < RETRIES) {
        this.#retry = setTimeout(() => this.#send(tries + 1), RETRY_AFTER);
        return;
      }
      if (errno === 0) this.#failing = false;
      else this.#reportProblem(`errno ${errno}`);
      this.#waiting.shift();
    }
  }

  /** Logs once, until it works again. */
  #reportProblem(error: string): void {
    if (this.#warn === undefined) {
      this.#problem = error;
      return;
    }
    if (this.#failing) return;
    this.#failing = true;
    this.#warn("Cannot notify the service manager (NOTIFY_SOCKET)", {
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
