// Accepts SMTP connections, watches over their patience, and stops them in good order.

import type { Listener, Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { Refusal } from "../smtp/effects.ts";
import type { SessionObserver } from "../smtp/observer.ts";
import type { SessionOptions } from "../smtp/session.ts";
import { type Clock, realClock } from "./clock.ts";
import type { ConnectionLimiter } from "./connection_limiter.ts";
import { type ConnectionContext, SmtpConnection } from "./connection.ts";
import type { Client, Handlers, LimitSetting, Message, ProxyRefusal } from "./handlers.ts";
import type { MemoryBudget } from "./memory.ts";
import type { Timeouts } from "./connection_deadline.ts";
import type { Proxies } from "./proxy_gate.ts";

export interface ServerOptions<Account> {
  readonly runtime: Runtime;
  readonly handlers: Handlers<Account>;
  readonly session: Omit<SessionOptions, "offerTls">;
  /** The certificate for the next handshake; undefined where TLS is off. */
  identity(): TlsIdentity | undefined;
  readonly timeouts: Timeouts;
  /** The machine's own when left out. */
  readonly clock?: Clock;
  /** Who may stay; everybody when left out. */
  readonly limiter?: ConnectionLimiter;
  /** Where messages find room; unlimited when left out. */
  readonly memory?: MemoryBudget;
  /** Whose connections begin with a PROXY header; nobody's where left out. */
  readonly proxies?: Proxies | undefined;
  /** Gives each session that begins its observer; none is observed where left out. */
  readonly observe?: ((client: Client) => SessionObserver) | undefined;
}

/** How often patience is looked at, milliseconds: timeouts are that coarse. */
const TICK_MS = 500;
/** Connections without a place that may still read their last reply. */
const MAX_EVICTED = 256;
/** Milliseconds for messages that were cut off to come to their outcomes, which are logged. */
const OUTCOME_MS = 2_000;
/** Milliseconds for clients to read their last reply when the relay's patience is over. */
const LAST_REPLY_MS = 500;

/** How a stop went. */
export interface Stopped {
  /** Messages that were still being submitted when patience ended. */
  readonly cutOff: number;
}

export class SmtpServer<Account> {
  readonly #options: ServerOptions<Account>;
  readonly #clock: Clock;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<SmtpConnection<Account>>();
  /** Those that have lost their place and are not closed yet, the longest first. */
  readonly #evicted = new Set<SmtpConnection<Account>>();
  #endTicks = () => {};
  /** While a stop waits: a message or a connection has ended. */
  #changed: (() => void) | undefined;

  constructor(options: ServerOptions<Account>) {
    this.#options = options;
    this.#clock = options.clock ?? realClock;
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
    const { runtime, session, handlers, timeouts, limiter, memory, proxies } = this.#options;
    const offerTls = this.#options.identity() !== undefined;
    const context = {
      session: { ...session, offerTls },
      implicitTls,
      now: () => this.#clock.now(),
      timeouts,
      ...(limiter === undefined ? {} : { limiter }),
      ...(memory === undefined ? {} : { memory }),
      ...(proxies === undefined ? {} : { proxies }),
      identity: this.#options.identity,
      authenticate: handlers.authenticate.bind(handlers),
      trusted: handlers.trusted,
      observe: this.#options.observe,
      submit: handlers.submit.bind(handlers),
      abandoned: (message: Message, gone: Promise<boolean>) => handlers.abandoned?.(message, gone),
      answered: (message: Message) => handlers.answered?.(message),
      refused: (refusal: Refusal, client: Client, account: Account | undefined) =>
        handlers.refused?.(refusal, client, account),
      limited: (setting: LimitSetting, client: Client, what: string) =>
        handlers.limited?.(setting, client, what),
      evicted: (connection: SmtpConnection<Account>) => this.#evict(connection),
      proxyRefused: (refusal: ProxyRefusal, client: Client) =>
        handlers.proxyRefused?.(refusal, client),
      settled: () => this.#changed?.(),
      failed: handlers.failed.bind(handlers),
    };
    const listener = runtime.listen({
      hostname,
      port,
      descriptor,
      failed: (error) => handlers.notAccepted?.(error),
      accept: (socket) => {
        const ended: ConnectionContext<Account>["ended"] = (summary) => {
          this.#connections.delete(connection);
          this.#evicted.delete(connection);
          handlers.ended(summary);
          this.#changed?.();
        };
        const connection = new SmtpConnection<Account>(socket, { ...context, ended });
        this.#connections.add(connection);
        return connection;
      },
    });
    this.#listeners.push(listener);
    return listener;
  }

  /**
   * Stops: no new connections, 421 to idle clients, mail under way is finished. When patience ends,
   * what is left is cut off: a client whose message has no verdict then is told that it may have been
   * sent (451 4.4.2).
   *
   * @param patience milliseconds
   * @param cutOff called when patience ends before all messages have their verdict: has what still
   *   runs fail, so that each one's outcome is known and told
   */
  async stop(patience: number, cutOff: () => void = () => {}): Promise<Stopped> {
    for (const listener of this.#listeners.splice(0)) listener.close();
    this.#options.limiter?.close();
    this.#each((connection) => connection.stop());
    await this.#until(() => this.#connections.size === 0, patience);
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

  /** Waits until something is so, which is looked at whenever a message or a connection ends. */
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

  /** A connection may end, and leave the set, while it is told something. */
  #each(tell: (connection: SmtpConnection<Account>) => void): void {
    for (const connection of [...this.#connections]) tell(connection);
  }

  /** They are not counted any more, so there must not be many of them. */
  #evict(connection: SmtpConnection<Account>): void {
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
        // Else whoever comes behind it would never be looked at again.
        connection.broken(error);
      }
    }
    this.#options.limiter?.tick();
  }
}
