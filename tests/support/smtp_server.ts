// The server alone on a real socket, with a test's own answers to logins and messages: the one place
// where tests build an `SmtpServer`. Its clients come in layers: greeted, ehlo, authed, sending.

import assert from "node:assert/strict";
import { afterEach } from "node:test";
import type { Certificate } from "../../src/certificates/certificate.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { Admission } from "../../src/server/admission.ts";
import type { Clock } from "../../src/server/clock.ts";
import type { ConnectionSummary, Handlers } from "../../src/server/handlers.ts";
import type { MemoryBudget } from "../../src/server/memory.ts";
import type { Timeouts } from "../../src/server/patience.ts";
import type { Proxies } from "../../src/server/proxy_gate.ts";
import { SmtpServer } from "../../src/server/server.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import type { SessionOptions } from "../../src/smtp/session.ts";
import type { FakeClock } from "./fake_clock.ts";
import { type Layers, layers } from "./layers.ts";

/** Milliseconds; no test waits for these. */
const TIMEOUTS: Timeouts = {
  command: 60_000,
  data: 60_000,
  handshake: 60_000,
  unread: 60_000,
  linger: 60_000,
};

const SESSION: Omit<SessionOptions, "offerTls"> = {
  hostname: "relay.example",
  greeting: "ready",
  maxMessageSize: 50_000_000,
  maxRecipients: 10,
  requireTls: false,
};

export interface ServerParts<Account> {
  readonly runtime?: Runtime;
  readonly session?: Partial<SessionOptions> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Left out where there is no TLS. */
  readonly certificate?: Certificate | undefined;
  readonly clock?: Clock | undefined;
  readonly admission?: Admission | undefined;
  readonly memory?: MemoryBudget | undefined;
  readonly proxies?: Proxies | undefined;
  readonly handlers: Handlers<Account>;
}

/** Builds a server that listens nowhere yet. */
export async function smtpServer<Account>(
  parts: ServerParts<Account>,
): Promise<SmtpServer<Account>> {
  const { session, timeouts, certificate, clock, admission, memory, proxies, handlers } = parts;
  return new SmtpServer<Account>({
    runtime: parts.runtime ?? await currentRuntime(),
    session: { ...SESSION, ...session },
    identity: () => certificate && { ...certificate, minVersion: "1.2" },
    timeouts: { ...TIMEOUTS, ...timeouts },
    ...(clock === undefined ? {} : { clock }),
    ...(admission === undefined ? {} : { admission }),
    ...(memory === undefined ? {} : { memory }),
    proxies,
    handlers,
  });
}

export interface ServerSetup extends Omit<ServerParts<true>, "runtime" | "handlers"> {
  /** What the test is about; else every login succeeds, and every message is sent. */
  readonly handlers?: Partial<Handlers<true>> | undefined;
  readonly clock?: FakeClock | undefined;
  /** TLS from the first octet (RFC 8314). */
  readonly implicitTls?: boolean;
  /** The address that it listens on, 127.0.0.1 when left out. */
  readonly host?: string;
}

/** A server that listens, and what a test needs to talk to it. */
export interface TestServer extends Layers {
  readonly server: SmtpServer<true>;
  readonly port: number;
  /** Waits until so many connections are open, greeted or not. */
  accepted(count: number): Promise<void>;
  /** The next connection that has ended, in their order. */
  oneEnds(): Promise<ConnectionSummary>;
  /**
   * Waits until the server has read what clients of this process had written: another one's session
   * comes after that.
   */
  hasRead(): Promise<void>;
}

/** Servers and clients for a suite; after each test they end. Faults of a server fail its test. */
export class TestServers {
  readonly #ends: (() => void | Promise<void>)[] = [];
  readonly #faults: unknown[] = [];

  constructor() {
    afterEach(() => this.#end());
  }

  /** @param client to destroy after the test */
  keep<Client extends { destroy(): void }>(client: Client): Client {
    this.#ends.push(() => client.destroy());
    return client;
  }

  async start(setup: ServerSetup = {}): Promise<TestServer> {
    const { handlers, implicitTls = false, host = "127.0.0.1", clock, ...parts } = setup;
    const waiting = new Set<() => void>();
    const wake = () => {
      for (const resolve of waiting) resolve();
      waiting.clear();
    };
    const until = async (condition: () => boolean) => {
      while (!condition()) await new Promise<void>((resolve) => waiting.add(resolve));
    };
    const ended: ConnectionSummary[] = [];
    const runtime = await currentRuntime();
    const server = await smtpServer<true>({
      ...parts,
      clock,
      runtime: {
        ...runtime,
        listen: (options) =>
          runtime.listen({
            ...options,
            accept(connection) {
              queueMicrotask(wake);
              return options.accept(connection);
            },
          }),
      },
      handlers: {
        authenticate: () => Promise.resolve({ reply: REPLIES.authenticated, account: true }),
        submit: () => Promise.resolve(reply(250, "2.0.0", "OK id=1")),
        failed: (error) => this.#faults.push(error),
        ...handlers,
        ended(summary) {
          handlers?.ended?.(summary);
          ended.push(summary);
          wake();
        },
      },
    });
    const { port } = server.listen(host, 0, implicitTls);
    this.#ends.unshift(async () => {
      const stopped = server.stop(1_000);
      await (clock === undefined ? stopped : clock.passUntil(stopped));
    });
    const clients = layers(port, {
      host: host === "::" ? "127.0.0.1" : host,
      implicitTls,
      username: "user",
      password: "secret",
      keep: (client) => this.keep(client),
    });
    return {
      server,
      port,
      ...clients,
      accepted: (count) => until(() => server.connections >= count),
      async oneEnds() {
        await until(() => ended.length > 0);
        return ended.shift()!;
      },
      async hasRead() {
        const client = await clients.greeted();
        assert.match(await client.say("QUIT"), /^221 /);
        client.destroy();
      },
    };
  }

  async #end(): Promise<void> {
    // The clients leave first, so that no server waits for them.
    for (const end of this.#ends.splice(0).reverse()) await end();
    const faults = this.#faults.splice(0);
    assert.deepEqual(faults, []);
  }
}
