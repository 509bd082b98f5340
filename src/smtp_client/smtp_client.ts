// The SMTP client: sends messages over kept connections.

import type { Clock } from "../clock.ts";
import { Deadlines, realTime } from "../http/deadlines.ts";
import type { Proxy } from "../runtime/runtime.ts";
import { type ConnectUpgradable, connectUpgradable } from "../runtime/upgradable.ts";
import { ConnectionPool, type NoTurn } from "./connection_pool.ts";
import type { DialogueObserver } from "./dialogue.ts";
import type {
  Failed,
  Login,
  MailClient,
  MailServer,
  OutgoingMessage,
  ProbeOptions,
  ProbeResult,
  SendOptions,
  SendResult,
} from "./mail_client.ts";
import {
  type ConnectionResult,
  type ConnectionSettings,
  MailConnection,
  type Patience,
} from "./mail_connection.ts";

export interface SmtpClientOptions {
  /** The argument of EHLO: this host's name, or an address literal (RFC 5321 §4.1.1.1). */
  readonly name: string;
  /** Certificate authorities trusted besides the runtime's, PEM, one each. */
  readonly authorities?: readonly string[];
  /** The proxy that a server is reached through, if any. */
  readonly proxyFor?: (hostname: string, port: number) => Proxy | undefined;
  /** Connections in all; 100 when left out. */
  readonly maxConnections?: number;
  /** Messages on one connection, for servers that count them; 100 when left out. */
  readonly maxMessages?: number;
  /** Milliseconds that an unused connection is kept; 10 s when left out. */
  readonly keepAlive?: number;
  /** How connections are made; {@link connectUpgradable} when left out. */
  readonly connect?: ConnectUpgradable;
  /** For tests; the machine's own time when left out. */
  readonly clock?: Pick<Clock, "now" | "alarm">;
  readonly observer?: DialogueObserver;
}

const DEFAULTS = {
  authorities: [],
  proxyFor: () => undefined,
  maxConnections: 100,
  maxMessages: 100,
  keepAlive: 10_000,
  connect: connectUpgradable,
  clock: realTime,
};

export class SmtpClient implements MailClient {
  readonly #clock: Pick<Clock, "now" | "alarm">;
  readonly #settings: ConnectionSettings;
  readonly #pool: ConnectionPool;

  constructor(options: SmtpClientOptions) {
    const { name, authorities, observer, connect, proxyFor, keepAlive, clock, ...limits } = {
      ...DEFAULTS,
      ...options,
    };
    this.#clock = clock;
    this.#settings = {
      name,
      connect,
      proxyFor,
      keepAlive,
      clock,
      observer,
      // No protocol by ALPN: none is registered for SMTP, and Exim refuses others.
      trust: { authorities, protocols: [] },
      deadlines: new Deadlines(clock),
    };
    this.#pool = new ConnectionPool(this.#settings, { ...limits, clock });
  }

  /** Connections that are open, being opened or being closed. */
  get connections(): number {
    return this.#pool.size;
  }

  async send(
    server: MailServer,
    login: Login,
    message: OutgoingMessage,
    options: SendOptions,
  ): Promise<SendResult> {
    checkEnvelope(message);
    const { waitTimeout, timeout, signal, waiting } = options;
    const first = await this.#pool.take(server, login, { timeout: waitTimeout, signal, waiting });
    if (typeof first === "string") return noTurn(first);
    const patience = { limit: this.#clock.now() + timeout, signal };
    const wasKept = first.isOpen;
    const result = await this.#attempt(first, message, options, patience);
    if (!wasKept || !isGone(result)) return counted(result, 1);
    // Nothing has been sent: the connection had gone while it was not used.
    const left = Math.max(patience.limit - this.#clock.now(), 0);
    const second = await this.#pool.take(server, login, { timeout: left, signal, fresh: true });
    if (typeof second === "string") return counted(result, 1);
    return counted(await this.#attempt(second, message, options, patience), 2);
  }

  async probe(
    server: MailServer,
    login: Login,
    { timeout, signal }: ProbeOptions,
  ): Promise<ProbeResult> {
    const owner = { idle() {}, gone() {} };
    const connection = new MailConnection(server, login, this.#settings, owner);
    const result = await connection.open({ limit: this.#clock.now() + timeout, signal });
    if (result.type === "ready") connection.quit();
    if (result.type === "accepted") throw new Error("no message was sent");
    return { ...result, conversation: { ...result.conversation, connections: 1 } };
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #attempt(
    connection: MailConnection,
    message: OutgoingMessage,
    options: SendOptions,
    patience: Patience,
  ): Promise<ConnectionResult> {
    if (!connection.isOpen) {
      const opened = await connection.open(patience);
      if (opened.type !== "ready") return opened;
    }
    return connection.send(message, options, patience);
  }
}

/** Whether a kept connection had gone, or goes now, before the server has answered MAIL. */
function isGone(result: ConnectionResult): boolean {
  if (result.type === "refused") return result.stage === "MAIL" && result.reply.code === 421;
  return result.type === "failed" && result.stage === "MAIL" && BROKEN.test(result.code);
}

/** Codes of a broken connection, as opposed to those of a server that is silent or says nonsense. */
const BROKEN = /^(?:CLOSED|E(?!TIMEDOUT$)[A-Z_]+)$/;

function counted(result: ConnectionResult, connections: number): SendResult {
  if (result.type === "ready") throw new Error("the message was not sent");
  return { ...result, conversation: { ...result.conversation, connections } };
}

function noTurn(code: NoTurn): Failed {
  return {
    type: "failed",
    stage: "connect",
    code,
    message: code === "BUSY" ? "no connection was free in time" : "given up by the relay",
    ambiguous: false,
    recipients: [],
    conversation: { connections: 0, reused: false, tls: false, sent: 0 },
  };
}

/** @throws TypeError for an address that would end its command */
function checkEnvelope({ from, recipients }: OutgoingMessage): void {
  if (recipients.length === 0) throw new TypeError("a message needs a recipient");
  // deno-lint-ignore no-control-regex -- finds control characters
  if ([from, ...recipients].some((address) => /[\x00-\x1f\x7f]/.test(address))) {
    throw new TypeError("an address contains a control character");
  }
}
