// The server alone on a real socket, with a test's own answers to logins and messages: the one place
// where tests build an `SmtpServer`. Its clients come in layers: greeted, ehlo, authed, sending.

import assert from "node:assert/strict";
import { afterEach } from "node:test";
import type { WaitingClient } from "../../src/delivery/delivery.ts";
import type { ConnectionEvent, RelayEvent } from "../../src/observe/relay_event.ts";
import type { Clock } from "../../src/clock.ts";
import type { Certificate } from "../../src/certificates/certificate.ts";
import { currentRuntime } from "../../src/runtime/current.ts";
import type { Runtime } from "../../src/runtime/runtime.ts";
import type { ConnectionLimiter } from "../../src/server/connection_limiter.ts";
import type { Timeouts } from "../../src/server/connection_deadline.ts";
import type { MemoryBudget } from "../../src/server/memory.ts";
import type { Proxies } from "../../src/server/proxy_gate.ts";
import { SmtpServer } from "../../src/server/server.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import type { Reply } from "../../src/smtp/reply.ts";
import type { SessionObserver } from "../../src/smtp/observer.ts";
import type { Credentials } from "../../src/smtp/sasl.ts";
import type { SenderCheck, SessionOptions } from "../../src/smtp/session.ts";
import type {
  Client,
  Login,
  Owner,
  Principal,
  ReceivedMessage,
  SubmissionService,
} from "../../src/submission/submission_service.ts";
import type { ProxyRefusal } from "../../src/server/proxy_gate.ts";
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

/** A test's answers to a server, and what it listens to. */
export interface TestHandlers {
  authenticate?(credentials: Credentials | "trusted", client: Client): Promise<TestLogin>;
  submit?(
    principal: Principal,
    message: ReceivedMessage,
    waiting: WaitingClient,
  ): Promise<Reply>;
  refused?(refusal: Refusal, client: Client, principal: Principal | undefined): void;
  notify?(event: RelayEvent): void;
  limited?(setting: string, client: Client, text: string): void;
  proxyRefused?(refusal: ProxyRefusal, client: Client): void;
  failed?(error: unknown): void;
  ended?(summary: ConnectionEvent): void;
  /** The client has left before the reply. @param gone whether the reply did not reach it */
  abandoned?(message: ReceivedMessage, gone: Promise<boolean>): void;
  /** The client was there for the reply. */
  answered?(message: ReceivedMessage): void;
}

/** The answer to a login: with an account, or without. */
export interface TestLogin {
  readonly reply: Reply;
  readonly account?: true;
  readonly owner?: Owner;
  readonly checkSender?: SenderCheck;
  /** False for a client's own token that no service has verified. */
  readonly proved?: boolean;
  /** The account's own address takes the reverse-path's place. */
  readonly anySender?: boolean;
}

let owners = 0;

function loginOf({ reply, account, owner, checkSender, proved, anySender }: TestLogin): Login {
  if (account === undefined) return { reply };
  return {
    reply,
    principal: {
      account: {
        tenantId: "tenant",
        clientId: "client",
        ...(anySender ? { fromEmail: "box@example.com" } : {}),
      },
      authorization: {
        token: () => Promise.reject(new Error("no token is needed here")),
        reject() {},
        confirm() {},
        unverified: () => proved === false ? "a token" : undefined,
        expiry: () => undefined,
      },
      username: "tenant@client",
      // Without an owner of its own, an account that shares nothing with others.
      owner: owner ?? { key: `owner ${++owners}`, known: false },
      checkSender: checkSender ?? (() => undefined),
    },
  };
}

/** The service that a test's handlers make. */
export function serviceOf(handlers: TestHandlers): SubmissionService {
  return {
    async authenticate(credentials, client) {
      const login = await handlers.authenticate?.(credentials, client);
      return loginOf(login ?? { reply: REPLIES.authenticated, account: true });
    },
    submit(principal, message, waiting) {
      let left = false;
      void waiting.left.then(() => {
        left = true;
        handlers.abandoned?.(message, waiting.replied.then((replied) => !replied));
      });
      void waiting.replied.then((replied) => {
        if (replied && !left) handlers.answered?.(message);
      });
      return handlers.submit?.(principal, message, waiting) ??
        Promise.resolve(reply(250, "2.0.0", "OK id=1"));
    },
    refused: (refusal, client, principal) => handlers.refused?.(refusal, client, principal),
  };
}

/** The listener that a test's handlers make. */
export function notifyOf(handlers: TestHandlers): (event: RelayEvent) => void {
  return (event) => {
    handlers.notify?.(event);
    if (event.type === "limit") handlers.limited?.(event.setting, event.client, event.text);
    if (event.type === "proxyHeader") {
      const { reason, detail } = event;
      handlers.proxyRefused?.({ reason, detail }, event.client);
    }
    if (event.type === "connectionFault") handlers.failed?.(event.error);
    if (event.type === "connection") handlers.ended?.(event);
  };
}

export interface ServerParts {
  readonly runtime?: Runtime;
  readonly session?: Partial<SessionOptions> | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** Left out without TLS. */
  readonly certificate?: Certificate | undefined;
  readonly clock?: Clock | undefined;
  readonly limiter?: ConnectionLimiter | undefined;
  readonly memory?: MemoryBudget | undefined;
  readonly proxies?: Proxies | undefined;
  readonly isTrusted?: (client: Client) => boolean;
  readonly observe?: (client: Client) => SessionObserver;
  readonly handlers: TestHandlers;
  /** In place of the handlers' own. */
  readonly service?: SubmissionService;
}

/** Builds a server that listens nowhere yet. */
export async function smtpServer(parts: ServerParts): Promise<SmtpServer> {
  const { session, timeouts, certificate, clock, limiter, memory, proxies, handlers } = parts;
  return new SmtpServer({
    runtime: parts.runtime ?? await currentRuntime(),
    service: parts.service ?? serviceOf(handlers),
    notify: notifyOf(handlers),
    protocol: {
      session: { ...SESSION, ...session },
      identity: () => certificate && { ...certificate, minVersion: "1.2" },
      proxies,
      isTrusted: parts.isTrusted,
      observe: parts.observe,
    },
    limits: {
      timeouts: { ...TIMEOUTS, ...timeouts },
      ...(clock === undefined ? {} : { clock }),
      ...(limiter === undefined ? {} : { limiter }),
      ...(memory === undefined ? {} : { memory }),
    },
  });
}

export interface ServerSetup extends Omit<ServerParts, "runtime" | "handlers"> {
  /** What the test is about; else every login succeeds, and every message is sent. */
  readonly handlers?: TestHandlers | undefined;
  readonly clock?: FakeClock | undefined;
  /** TLS from the first octet (RFC 8314). */
  readonly implicitTls?: boolean;
  /** The address that it listens on, 127.0.0.1 when left out. */
  readonly host?: string;
}

/** A server that listens, and what a test needs to talk to it. */
export interface TestServer extends Layers {
  readonly server: SmtpServer;
  readonly port: number;
  /** Waits until so many connections are open, greeted or not. */
  accepted(count: number): Promise<void>;
  /** The next connection that has ended, in their order. */
  oneEnds(): Promise<ConnectionEvent>;
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
    const ended: ConnectionEvent[] = [];
    const runtime = await currentRuntime();
    const server = await smtpServer({
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
