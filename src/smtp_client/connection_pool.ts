// Connections to servers, kept for further messages of the same account: so many for each mailbox (or whatever
// else the server counts by), so many in all. Messages that find none free wait in line.

import type { Clock } from "../clock.ts";
import type { Login, MailServer } from "./mail_client.ts";
import { type ConnectionOwner, MailConnection } from "./mail_connection.ts";
import type { ConnectionSettings } from "./mail_connection.ts";

export interface PoolOptions {
  /** Connections in all. */
  readonly maxConnections: number;
  /** Messages on one connection. */
  readonly maxMessages: number;
  readonly clock: Pick<Clock, "alarm">;
}

export interface Turn {
  /** Milliseconds to wait for it. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
  readonly waiting?: ((isWaiting: boolean) => void) | undefined;
  /** A kept connection has just turned out to be gone: others may be too. */
  readonly fresh?: boolean;
}

/** Why there is no connection: all are in use, or the signal was aborted. */
export type NoTurn = "BUSY" | "ABORTED";

interface Waiter {
  readonly server: MailServer;
  readonly login: Login;
  readonly served: (connection: MailConnection) => void;
}

/** The connections that the server counts together. */
interface Group {
  /** Host, port, kind of TLS, and what shares the limit. */
  readonly key: string;
  readonly limit: number;
  /** With the account of each. */
  readonly all: Map<MailConnection, string>;
  /** Unused ones, the most recently used one last. */
  readonly idle: MailConnection[];
  readonly waiters: Waiter[];
}

export class ConnectionPool {
  readonly #settings: ConnectionSettings;
  readonly #options: PoolOptions;
  readonly #groups = new Map<string, Group>();
  #total = 0;
  /** Told to quit, and not gone yet. */
  readonly #quitting = new Set<MailConnection>();
  #closing = false;
  /** Called when no connection is left. */
  #closed: (() => void)[] = [];

  constructor(settings: ConnectionSettings, options: PoolOptions) {
    this.#settings = settings;
    this.#options = options;
  }

  /** Connections that are open, being opened or being closed. */
  get size(): number {
    return this.#total;
  }

  /** A connection that has been kept, or a new one that is not open yet. It comes back by itself. */
  take(server: MailServer, login: Login, turn: Turn): Promise<MailConnection | NoTurn> {
    if (turn.signal?.aborted) return Promise.resolve("ABORTED");
    const group = this.#groupOf(server);
    const kept = turn.fresh ? undefined : takeIdle(group, server.account);
    if (kept !== undefined) return Promise.resolve(kept);
    if (this.#hasRoom(group)) return Promise.resolve(this.#connect(group, server, login));
    return this.#wait(group, server, login, turn);
  }

  /** Closes unused connections, and the others after their message. Resolves when none is left. */
  close(): Promise<void> {
    this.#closing = true;
    for (const { idle } of this.#groups.values()) {
      for (const connection of idle.splice(0)) this.#quit(connection);
    }
    if (this.#total === 0) return Promise.resolve();
    return new Promise((resolve) => this.#closed.push(resolve));
  }

  #wait(
    group: Group,
    server: MailServer,
    login: Login,
    turn: Turn,
  ): Promise<MailConnection | NoTurn> {
    return new Promise((resolve) => {
      turn.waiting?.(true);
      const end = (result: MailConnection | NoTurn) => {
        cancel();
        turn.signal?.removeEventListener("abort", abort);
        const index = group.waiters.indexOf(waiter);
        if (index >= 0) group.waiters.splice(index, 1);
        this.#discard(group);
        turn.waiting?.(false);
        resolve(result);
      };
      const waiter: Waiter = { server, login, served: end };
      const abort = () => end("ABORTED");
      const cancel = this.#options.clock.alarm(turn.timeout, () => end("BUSY"));
      turn.signal?.addEventListener("abort", abort);
      if (turn.fresh) group.waiters.unshift(waiter);
      else group.waiters.push(waiter);
      // An unused connection takes the place: another account's, or one that is not to be trusted.
      const isFull = group.all.size >= group.limit;
      const unused = isFull ? group.idle.shift() : this.#oldestIdle();
      if (unused !== undefined) this.#quit(unused);
    });
  }

  #hasRoom({ all, limit }: Group): boolean {
    return all.size < limit && this.#total < this.#options.maxConnections;
  }

  #connect(group: Group, server: MailServer, login: Login): MailConnection {
    const owner: ConnectionOwner = {
      idle: (connection) => this.#free(group, connection),
      gone: (connection) => this.#forget(group, connection),
    };
    const connection = new MailConnection(server, login, this.#settings, owner);
    group.all.set(connection, server.account);
    this.#total++;
    return connection;
  }

  #free(group: Group, connection: MailConnection): void {
    const isWorn = connection.messages >= this.#options.maxMessages;
    // Otherwise the messages of one account could keep all connections for as long as there are any.
    if (isWorn || this.#accountsStarve()) return this.#quit(connection);
    const [waiter] = group.waiters;
    // The connection of another account gives its place to the one whose turn it is.
    if (waiter !== undefined && waiter.server.account !== group.all.get(connection)) {
      this.#quit(connection);
    } else if (waiter !== undefined) waiter.served(connection);
    else if (this.#closing || this.#othersWait()) this.#quit(connection);
    else group.idle.push(connection);
  }

  #quit(connection: MailConnection): void {
    this.#quitting.add(connection);
    connection.quit();
  }

  #forget(group: Group, connection: MailConnection): void {
    group.all.delete(connection);
    this.#quitting.delete(connection);
    const index = group.idle.indexOf(connection);
    if (index >= 0) group.idle.splice(index, 1);
    this.#total--;
    this.#discard(group);
    this.#serve();
    if (this.#total > 0) return;
    for (const resolve of this.#closed.splice(0)) resolve();
  }

  /** Gives places to the accounts that wait, first to those with the fewest connections. */
  #serve(): void {
    for (;;) {
      let next: Group | undefined;
      for (const group of this.#groups.values()) {
        if (group.waiters.length === 0 || !this.#hasRoom(group)) continue;
        if (next === undefined || group.all.size < next.all.size) next = group;
      }
      if (next === undefined) return;
      const waiter = next.waiters[0]!;
      // Among accounts with as many connections, the one that was served longest ago is the next.
      this.#groups.delete(next.key);
      this.#groups.set(next.key, next);
      waiter.served(this.#connect(next, waiter.server, waiter.login));
    }
  }

  /** Whether more accounts wait without any connection than places become free. */
  #accountsStarve(): boolean {
    if (this.#total < this.#options.maxConnections) return false;
    let starving = 0;
    for (const { waiters, all } of this.#groups.values()) {
      if (waiters.length > 0 && all.size === 0) starving++;
    }
    return starving > this.#quitting.size;
  }

  /** Whether more messages wait for a place among all connections than places become free. */
  #othersWait(): boolean {
    if (this.#total < this.#options.maxConnections) return false;
    let wanted = 0;
    for (const { waiters, all, limit } of this.#groups.values()) {
      wanted += Math.min(waiters.length, Math.max(limit - all.size, 0));
    }
    return wanted > this.#quitting.size;
  }

  #oldestIdle(): MailConnection | undefined {
    for (const { idle } of this.#groups.values()) {
      const oldest = idle.shift();
      if (oldest !== undefined) return oldest;
    }
    return undefined;
  }

  #groupOf(server: MailServer): Group {
    const { hostname, port, tls, account, limit: { connections: limit, shared } } = server;
    const counted = shared === undefined ? { account } : { shared };
    const key = JSON.stringify([hostname.toLowerCase(), port, tls, counted]);
    let group = this.#groups.get(key);
    if (group === undefined) {
      this.#groups.set(key, group = { key, limit, all: new Map(), idle: [], waiters: [] });
    }
    return group;
  }

  /** Groups exist only while something is in them. */
  #discard(group: Group): void {
    const { key, all, waiters } = group;
    if (all.size > 0 || waiters.length > 0) return;
    // Another one may have its key by now.
    if (this.#groups.get(key) === group) this.#groups.delete(key);
  }
}

function takeIdle({ all, idle }: Group, account: string): MailConnection | undefined {
  const index = idle.findLastIndex((connection) => all.get(connection) === account);
  return index < 0 ? undefined : idle.splice(index, 1)[0];
}
