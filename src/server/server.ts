// Accepts SMTP connections, watches over their patience, and stops them in good order.

import type { Listener, Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { SessionOptions } from "../smtp/session.ts";
import { type ConnectionContext, SmtpConnection, type Timeouts } from "./connection.ts";
import type { Handlers } from "./handlers.ts";

export interface ServerOptions<Account> {
  readonly runtime: Runtime;
  readonly handlers: Handlers<Account>;
  readonly session: Omit<SessionOptions, "offerTls">;
  /** The certificate for the next handshake; undefined where TLS is off. */
  identity(): TlsIdentity | undefined;
  readonly timeouts: Timeouts;
}

/** How often patience is looked at, milliseconds: timeouts are that coarse. */
const TICK_MS = 500;

export class SmtpServer<Account> {
  readonly #options: ServerOptions<Account>;
  readonly #listeners: Listener[] = [];
  readonly #connections = new Set<SmtpConnection<Account>>();
  readonly #ticker: ReturnType<typeof setInterval>;
  #whenEmpty: (() => void) | undefined;

  constructor(options: ServerOptions<Account>) {
    this.#options = options;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /**
   * Listens on one more address.
   *
   * @param hostname IP address; `::` takes IPv4 clients too
   * @param implicitTls TLS from the first octet (RFC 8314), else STARTTLS
   * @throws Error with a `code` such as `EADDRINUSE`
   */
  listen(hostname: string, port: number, implicitTls: boolean): Listener {
    const { runtime, session, handlers, timeouts } = this.#options;
    const offerTls = this.#options.identity() !== undefined;
    const context = {
      session: { ...session, offerTls },
      implicitTls,
      timeouts,
      identity: this.#options.identity,
      authenticate: handlers.authenticate.bind(handlers),
      submit: handlers.submit.bind(handlers),
      failed: handlers.failed.bind(handlers),
    };
    const listener = runtime.listen({
      hostname,
      port,
      accept: (socket) => {
        const ended: ConnectionContext<Account>["ended"] = (summary) => {
          this.#connections.delete(connection);
          handlers.ended(summary);
          if (this.#connections.size === 0) this.#whenEmpty?.();
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
   * Stops: no new connections, 421 to idle clients, mail under way is finished.
   *
   * @param patience milliseconds until what is left is cut off
   * @returns whether everything ended by itself
   */
  async stop(patience: number): Promise<boolean> {
    for (const listener of this.#listeners.splice(0)) listener.close();
    for (const connection of [...this.#connections]) connection.stop();
    const inTime = await this.#emptyWithin(patience);
    for (const connection of [...this.#connections]) connection.destroy();
    clearInterval(this.#ticker);
    return inTime;
  }

  #emptyWithin(patience: number): Promise<boolean> {
    if (this.#connections.size === 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), patience);
      this.#whenEmpty = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  #tick(): void {
    const now = Date.now();
    for (const connection of this.#connections) connection.tick(now);
  }
}
