// Accepts SMTP connections, ends those whose deadline is over, and stops them in good order.

import { type Clock, realClock } from "../clock.ts";
import type { Listener } from "../runtime/runtime.ts";
import { SmtpConnection } from "./connection.ts";
import type { ServerOptions } from "./options.ts";

/** Milliseconds between two checks of all deadlines: timeouts are that coarse. */
const TICK_MS = 500;
/** Evicted connections that may still read their last reply. */
const MAX_EVICTED = 256;
/** Milliseconds for messages that were cut off to get their outcomes, which are logged. */
const OUTCOME_MS = 2_000;
/** Milliseconds for clients to read their last reply at the end of a stop. */
const LAST_REPLY_MS = 500;

/** How a stop went. */
export interface Stopped {
  /** Messages that were still being submitted when the time was over. */
  readonly cutOff: number;
}

export class SmtpServer {
  readonly #options: ServerOptions;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<SmtpConnection>();
  /** Connections that were evicted and are not closed yet, the oldest first. */
  readonly #evicted = new Set<SmtpConnection>();
  readonly #clock: Clock;
  #endTicks = () => {};
  /** Called when a message or a connection has ended, while a stop waits. */
  #changed: (() => void) | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#clock = options.limits.clock ?? realClock;
    this.#armTick();
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Listens on one more address.
   *
   * @param hostname IP address; `::` takes IPv4 clients too
   * @param implicitTls TLS from the first octet (RFC 8314), else STARTTLS
   * @param descriptor a socket that is bound to this address and listens already
   * @throws Error with a `code` such as `EADDRINUSE`
   */
  listen(hostname: string, port: number, implicitTls: boolean, descriptor?: number): Listener {
    const { runtime, notify, protocol } = this.#options;
    const offerTls = protocol.identity() !== undefined;
    const context = {
      options: this.#options,
      session: { ...protocol.session, offerTls },
      clock: this.#clock,
      implicitTls,
      owner: {
        submitted: () => this.#changed?.(),
        evicted: (connection: SmtpConnection) => this.#evict(connection),
        closed: (connection: SmtpConnection) => this.#remove(connection),
      },
    };
    const listener = runtime.listen({
      hostname,
      port,
      descriptor,
      failed: (error) => notify({ type: "acceptFailed", error }),
      accept: (socket) => {
        const connection = new SmtpConnection(socket, context);
        this.#connections.add(connection);
        return connection;
      },
    });
    this.#listeners.push(listener);
    return listener;
  }

  /**
   * Stops: accepts no new connections, sends 421 to idle clients, and lets messages under way
   * finish. When the time is over, the rest is cut off: a client whose message has no final reply
   * gets 451 4.4.2, which says that the message may have been sent.
   *
   * @param timeout milliseconds
   * @param cutOff called when the time is over before all messages have their final reply: makes
   *   all deliveries fail, so that each outcome is known and logged
   */
  async stop(timeout: number, cutOff: () => void = () => {}): Promise<Stopped> {
    // A clock's alarm does not keep the program alive, and a message may have no socket while it waits.
    const alive = setInterval(() => {}, 60_000);
    try {
      return await this.#stop(timeout, cutOff);
    } finally {
      clearInterval(alive);
    }
  }

  async #stop(timeout: number, cutOff: () => void): Promise<Stopped> {
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#options.limits.limiter?.close();
    this.#each((connection) => connection.stop());
    await this.#until(() => this.#connections.size === 0, timeout);
    this.#each((connection) => connection.interrupt());
    const left = this.#submitting;
    if (left > 0) {
      cutOff();
      await this.#until(() => this.#submitting === 0, OUTCOME_MS);
      this.#each((connection) => connection.cutOff());
    }
    await this.#until(() => this.#connections.size === 0, LAST_REPLY_MS);
    this.#each((connection) => connection.destroy());
    this.#connections.clear();
    this.#endTicks();
    return { cutOff: left };
  }

  get #submitting(): number {
    let count = 0;
    for (const { submitting } of this.#connections) if (submitting) count++;
    return count;
  }

  /** Waits until a condition holds, which is checked whenever a message or a connection ends. */
  #until(done: () => boolean, milliseconds: number): Promise<void> {
    if (done()) return Promise.resolve();
    return new Promise((resolve) => {
      const end = () => {
        cancel();
        this.#changed = undefined;
        resolve();
      };
      const cancel = this.#clock.alarm(milliseconds, end);
      this.#changed = () => {
        if (done()) end();
      };
    });
  }

  /** A connection may end, and leave the set, during the call. */
  #each(action: (connection: SmtpConnection) => void): void {
    for (const connection of [...this.#connections]) action(connection);
  }

  #remove(connection: SmtpConnection): void {
    this.#connections.delete(connection);
    this.#evicted.delete(connection);
    this.#changed?.();
  }

  /** Evicted connections no longer count for MAX_CONNECTIONS, so they need a bound of their own. */
  #evict(connection: SmtpConnection): void {
    this.#evicted.add(connection);
    if (this.#evicted.size <= MAX_EVICTED) return;
    for (const longest of this.#evicted) {
      this.#evicted.delete(longest);
      return longest.destroy();
    }
  }

  #armTick(): void {
    this.#endTicks = this.#clock.alarm(TICK_MS, () => {
      this.#armTick();
      this.#tick();
    });
  }

  #tick(): void {
    const now = this.#clock.now();
    for (const connection of this.#connections) {
      try {
        connection.tick(now);
      } catch (error) {
        // One failing connection must not keep the others from being checked.
        connection.broken(error);
      }
    }
    this.#options.limits.limiter?.tick();
  }
}
