// One connection to a server with its session: carries out the session's effects, sends the content as
// fast as the server takes it, and keeps the times of RFC 5321 §4.5.3.2.

import { Buffer } from "node:buffer";
import type { Clock } from "../clock.ts";
import type { Deadlines, Timed } from "../http/deadlines.ts";
import type { OutboundHandler, Proxy, ServiceTrust, Upgradable } from "../runtime/runtime.ts";
import type { ConnectUpgradable } from "../runtime/upgradable.ts";
import { serviceCode } from "../service_text.ts";
import { type ClientEffect, ClientSession } from "./client_session.ts";
import { ContentStream } from "./content_stream.ts";
import type { DialogueObserver } from "./dialogue.ts";
import type {
  Conversation,
  Login,
  MailServer,
  OutgoingMessage,
  SendOptions,
} from "./mail_client.ts";
import type { OpeningOptions } from "./opening.ts";
import { words } from "./server_reply.ts";
import type { SessionResult } from "./session_result.ts";
import { BLOCK_TIME, CLEANUP_TIME, REPLY_TIMES } from "./timeouts.ts";

export interface ConnectionSettings {
  readonly connect: ConnectUpgradable;
  readonly trust: ServiceTrust;
  readonly proxyFor: (hostname: string, port: number) => Proxy | undefined;
  /** The argument of EHLO. */
  readonly name: string;
  /** Milliseconds that an unused connection is kept. */
  readonly keepAlive: number;
  readonly clock: Pick<Clock, "now">;
  readonly deadlines: Deadlines<MailConnection>;
  readonly observer: DialogueObserver | undefined;
}

/** The pool that a connection belongs to. */
export interface ConnectionOwner {
  /** It is free for another message. */
  idle(connection: MailConnection): void;
  /** It can carry no more messages, and is closed. */
  gone(connection: MailConnection): void;
}

/** What a caller waits for, and until when. */
export interface Patience {
  /** The clock's `now()` at which it ends. */
  readonly limit: number;
  readonly signal?: AbortSignal | undefined;
}

export type ConnectionResult = SessionResult & {
  readonly conversation: Omit<Conversation, "connections">;
};

interface Running {
  readonly patience: Patience;
  readonly resolve: (result: ConnectionResult) => void;
  readonly reject: (bug: unknown) => void;
  readonly abort: () => void;
  readonly message?: OutgoingMessage;
  readonly beforeSending?: SendOptions["beforeSending"];
  readonly awaitsLastReply?: SendOptions["awaitsLastReply"];
}

export class MailConnection implements OutboundHandler, Timed {
  deadline = Infinity;
  /** The clock's `now()` up to which a caller waits. */
  #limit = Infinity;
  readonly #settings: ConnectionSettings;
  readonly #owner: ConnectionOwner;
  readonly #server: OpeningOptions["server"];
  readonly #session: ClientSession;
  readonly #socket: Upgradable;
  #running: Running | undefined;
  #stream: ContentStream | undefined;
  /** Messages that were begun. */
  #messages = 0;
  #connected = false;
  #isOpen = false;
  #isIdle = false;
  #gone = false;

  constructor(
    server: Pick<MailServer, "hostname" | "port" | "tls">,
    login: Login,
    settings: ConnectionSettings,
    owner: ConnectionOwner,
  ) {
    this.#settings = settings;
    this.#owner = owner;
    this.#server = server;
    const { name, observer, trust, connect, proxyFor } = settings;
    this.#session = new ClientSession({ name, server, login, observer });
    const { hostname, port, tls } = server;
    this.#socket = connect({
      hostname,
      port,
      proxy: proxyFor(hostname, port),
      ...(tls === "implicit" ? { tls: trust } : {}),
    }, this);
  }

  /** Messages that were begun on it. */
  get messages(): number {
    return this.#messages;
  }

  /** Whether it has been open. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** The result is `ready`, or why it is not. */
  open(patience: Patience): Promise<ConnectionResult> {
    return this.#run(patience, {}, () => []);
  }

  /** Sends a message. The connection must be open, and free. */
  send(
    message: OutgoingMessage,
    { partlyRefused, beforeSending, awaitsLastReply }: Pick<
      SendOptions,
      "partlyRefused" | "beforeSending" | "awaitsLastReply"
    >,
    patience: Patience,
  ): Promise<ConnectionResult> {
    this.#messages++;
    this.#stream = undefined;
    return this.#run(
      patience,
      { message, beforeSending, awaitsLastReply },
      () => this.#session.send({ ...message, partlyRefused }),
    );
  }

  /** Ends it politely. It must be open, and free. */
  quit(): void {
    this.#isIdle = false;
    this.#apply(this.#session.quit());
  }

  destroy(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#socket.destroy();
    this.#settings.deadlines.forget(this);
    this.#owner.gone(this);
  }

  connected(): void {
    if (this.#connected) return this.#apply(this.#session.tlsStarted());
    this.#connected = true;
    this.#session.connected();
    this.#wait(this.#replyTime());
  }

  data(octets: Uint8Array): void {
    const { replies } = this.#session;
    const effects = this.#session.receive(octets);
    // Each command has its own time, however many were sent together.
    if (this.#session.replies > replies) this.#wait(this.#replyTime());
    this.#apply(effects);
  }

  drained(): void {
    if (this.#stream !== undefined) this.#sendContent(this.#stream);
  }

  closed(error?: Error): void {
    const code = (error as { code?: unknown } | undefined)?.code;
    // The message can quote a certificate's names, which come from a stranger.
    const said = words(error?.message ?? "", []) ?? "the server has closed the connection";
    const { hostname, port } = this.#server;
    const message = this.#connected ? said : `no connection to ${hostname}:${port}: ${said}`;
    const ending = error === undefined ? "CLOSED" : serviceCode(code) ?? "EUNKNOWN";
    this.#apply(this.#session.lost(ending, message));
    this.destroy();
  }

  expired(): void {
    if (this.#isIdle) return this.quit();
    const running = this.#running;
    if (running === undefined) return this.destroy();
    const { stage } = this.#session;
    const { via } = this.#socket;
    const message = stage === "connect"
      ? `no connection in time${via === undefined ? "" : ` through ${via}`}`
      : this.#session.takesContent
      ? "the server has not taken the content in time"
      : `no reply in time (${stage})`;
    this.#apply(this.#session.lost("ETIMEDOUT", message));
  }

  #run(
    patience: Patience,
    what: Pick<Running, "message" | "beforeSending" | "awaitsLastReply">,
    begin: () => readonly ClientEffect[],
  ): Promise<ConnectionResult> {
    this.#isIdle = false;
    return new Promise((resolve, reject) => {
      const abort = () => this.#apply(this.#session.lost("ABORTED", "given up by the relay"));
      this.#running = { patience, resolve, reject, abort, ...what };
      this.#limit = patience.limit;
      patience.signal?.addEventListener("abort", abort);
      this.#wait(this.#replyTime());
      this.#apply(begin());
      if (patience.signal?.aborted) abort();
    });
  }

  #apply(effects: readonly ClientEffect[]): void {
    for (const effect of effects) {
      if (this.#gone && effect.type !== "result") continue;
      switch (effect.type) {
        case "write":
          this.#socket.write(Buffer.from(effect.text, "utf8"));
          this.#wait(this.#replyTime());
          break;
        case "startTls":
          this.#socket.startTls(this.#settings.trust);
          break;
        case "content":
          void this.#beginContent(effect.bdat);
          break;
        case "result":
          this.#settle(effect.result);
          break;
        case "idle":
          this.#isIdle = true;
          this.#wait(this.#settings.keepAlive);
          this.#owner.idle(this);
          break;
        case "close":
          this.destroy();
      }
    }
  }

  async #beginContent(bdat: string | undefined): Promise<void> {
    const running = this.#running;
    if (running?.message === undefined) return;
    const { content, size } = running.message;
    try {
      const mayBeSent = await running.beforeSending?.() ?? true;
      // The server may have refused the message or gone meanwhile.
      if (this.#running !== running || !this.#session.takesContent) return;
      if (!mayBeSent) {
        return this.#apply(this.#session.lost("STOPPED", "the message must not be sent"));
      }
      this.#stream = new ContentStream(content, { size, stuffed: bdat === undefined, head: bdat });
      this.#sendContent(this.#stream);
    } catch (bug) {
      this.#throw(running, bug);
    }
  }

  #sendContent(stream: ContentStream): void {
    const running = this.#running;
    try {
      while (this.#session.takesContent && !this.#gone) {
        const octets = stream.next();
        if (octets === undefined) return this.#apply(this.#session.contentRefused());
        if (stream.isLast) {
          this.#session.contentLeaves();
          this.#socket.write(octets);
          if (running?.awaitsLastReply) this.#limit = Infinity;
          return this.#wait(this.#replyTime());
        }
        const hasRoom = this.#socket.write(octets);
        this.#wait(BLOCK_TIME);
        if (!hasRoom) return;
      }
    } catch (bug) {
      this.#throw(running, bug);
    }
  }

  #settle(result: SessionResult): void {
    if (result.type === "ready") this.#isOpen = true;
    this.#finish()?.resolve({
      ...result,
      conversation: {
        reused: this.#messages > 1,
        tls: this.#session.secure,
        sent: this.#stream?.read ?? 0,
      },
    });
  }

  /** A content that cannot be made ends its own message, and the connection. */
  #throw(running: Running | undefined, bug: unknown): void {
    if (running === undefined || this.#running !== running) return;
    this.#finish();
    this.destroy();
    running.reject(bug);
  }

  #finish(): Running | undefined {
    const running = this.#running;
    this.#running = undefined;
    this.#limit = Infinity;
    running?.patience.signal?.removeEventListener("abort", running.abort);
    if (running !== undefined) this.#wait(CLEANUP_TIME);
    return running;
  }

  #replyTime(): number {
    return this.#running === undefined ? CLEANUP_TIME : REPLY_TIMES[this.#session.stage];
  }

  /** Sets the time for what comes next, within the caller's patience. */
  #wait(time: number): void {
    if (this.#gone) return;
    const { clock, deadlines } = this.#settings;
    this.deadline = Math.min(clock.now() + time, this.#limit);
    deadlines.watch(this);
  }
}
