// One SMTP connection: moves octets between a socket and its session, and carries out the effects.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers";
import type { OnWait } from "../delivery/outcome.ts";
import { clientKey, plainAddress } from "../networks.ts";
import type { Connection, ConnectionHandler, TlsIdentity } from "../runtime/runtime.ts";
import { formatReply, REPLIES, type Reply } from "../smtp/reply.ts";
import type { Reservation } from "../smtp/reservation.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { Effect, Refusal } from "../smtp/effects.ts";
import { Session, type SessionOptions, TLS_FIRST, TLS_HANDSHAKE } from "../smtp/session.ts";
import type { ConnectionLimiter, Slot } from "./connection_limiter.ts";
import {
  END_MISSED,
  EVICTIONS,
  INTERNAL,
  INTERRUPTED,
  SESSION_LIMITS,
  STOPPING,
  TIMEOUTS,
  TOO_FAR_AHEAD,
} from "./close_replies.ts";
import type {
  Client,
  ConnectionSummary,
  LimitSetting,
  Login,
  Message,
  Owner,
  ProxyRefusal,
  TrustedClients,
} from "./handlers.ts";
import type { EvictionReason, LimitedConnection } from "./limited_connection.ts";
import type { ClientMemory, MemoryBudget } from "./memory.ts";
import { ConnectionDeadline, type Timeouts, type WaitingFor } from "./connection_deadline.ts";
import { type Proxies, ProxyGate } from "./proxy_gate.ts";
import type { ServerOptions } from "./server.ts";

/** What a connection needs from its server. */
export interface ConnectionContext<Account> {
  readonly session: SessionOptions;
  /** Whether TLS comes before the greeting (RFC 8314 §3.3). */
  readonly implicitTls: boolean;
  /** The certificate in force now; undefined without TLS. */
  identity(): TlsIdentity | undefined;
  readonly timeouts: Timeouts;
  /** Who may stay; everybody when left out. */
  readonly limiter?: ConnectionLimiter;
  /** Where messages find room; unlimited when left out. */
  readonly memory?: MemoryBudget;
  /** Whose connections begin with a PROXY header. */
  readonly proxies?: Proxies;
  proxyRefused(refusal: ProxyRefusal, client: Client): void;
  authenticate(credentials: Credentials, client: Client): Promise<Login<Account>>;
  readonly trusted: TrustedClients<Account> | undefined;
  readonly observe: ServerOptions<Account>["observe"];
  submit(account: Account, message: Message, onWait: OnWait): Promise<Reply>;
  /** A message has its verdict. */
  settled(): void;
  abandoned(message: Message, gone: Promise<boolean>): void;
  answered(message: Message): void;
  refused(refusal: Refusal, client: Client, account: Account | undefined): void;
  limited(setting: LimitSetting, client: Client, what: string): void;
  /** The connection has lost its place, and is about to read its last reply. */
  evicted(connection: SmtpConnection<Account>): void;
  failed(error: unknown, client: Client): void;
  ended(summary: ConnectionSummary): void;
}

/** Replies that never change, ready to be written: most of them stand alone. */
const OCTETS = new Map(
  Object.values(REPLIES).map(formatReply).map((text) => [text, Buffer.from(text, "latin1")]),
);

/**
 * Octets that are taken ahead while a client waits for an answer, before no more is read: as much as
 * the commands that a client sends behind its message. Bun tells nothing of a paused socket, not
 * even that it is closed, so the less often one is paused the better.
 */
const MAX_AHEAD = 4 * 1024;
/** Octets of them that need no room of their own. */
const MAX_UNCOUNTED = 32 * 1024;
/**
 * The same in all while its login is being checked, or that of its network: as much as a thousand
 * recipients take, whom a client may name behind MAIL.
 */
const MAX_AHEAD_OF_LOGIN = 128 * 1024;
/**
 * Milliseconds in which a client that has ended its side shows whether it is gone: then the reply to its
 * message is answered with a reset.
 */
const SHOWN_MS = 500;
/** Milliseconds for a client that has lost its place to read why. */
const LAST_WORD_MS = 1_000;

export class SmtpConnection<Account> implements ConnectionHandler, LimitedConnection {
  readonly #context: ConnectionContext<Account>;
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #memory: ClientMemory | undefined;
  #client: Client;
  /** Until the first octets have been judged. */
  #gate: ProxyGate | undefined;
  readonly #openedAt = performance.now();
  #account: Account | undefined;
  #owner: Owner | undefined;
  #secure = false;
  /** The peer has half-closed. */
  #peerEnded = false;
  #closing = false;
  /** When the connection was ended from our side. */
  #endedAt = 0;
  #writable = true;
  #paused = false;
  /** Room for what has come ahead, where that is much. */
  #aheadRoom: Reservation | undefined;
  /** The rest of what has come is about to be looked at. */
  #resuming = false;
  /** The message that is being submitted. */
  #submitting: Message | undefined;
  /** Ends its wait for its turn, while it waits. */
  #endWait: (() => void) | undefined;
  /** Content of a message is coming, as admission knows it. */
  #receiving = false;
  /** Tells its handler whether the client was gone, once that client has ended its side. */
  #gone: ((gone: boolean) => void) | undefined;
  /** The reply has been written to a client that may be gone: the connection ends when that is known. */
  #awaitsReset = false;
  /** What `closed` found out, while a submission outlives its connection. */
  #summary: ConnectionSummary | undefined;
  #handshake = false;
  #timedOut = false;
  readonly #deadline: ConnectionDeadline;
  #slot: Slot | undefined;
  /** Not greeted yet: it waits for a place. */
  #held = false;
  /** Octets that have come all the same, or together with a PROXY header. */
  #early: Uint8Array[] = [];
  #earlyOctets = 0;
  /** How far the session had come on its way to a login when admission was told of it. */
  #stage = 0;
  #received = 0;
  #messages = 0;
  #reason = "";

  constructor(connection: Connection, context: ConnectionContext<Account>) {
    this.#connection = connection;
    this.#context = context;
    const address = plainAddress(connection.remoteAddress);
    this.#memory = context.memory?.client(clientKey(address));
    this.#session = new Session(context.session, context.implicitTls, this.#memory);
    this.#deadline = new ConnectionDeadline(context.timeouts);
    this.#client = {
      connection: randomBytes(4).toString("hex"),
      address,
      port: connection.remotePort,
    };
    this.#gate = new ProxyGate(this.#client, context.proxies);
  }

  opened(): void {
    this.#guard(() => {
      const waiting = this.#gate?.waiting === true;
      this.#slot = this.#context.limiter?.add(this);
      if (!waiting) return this.#begin();
      this.#deadline.at = performance.now() + this.#context.proxies!.headerTimeout;
    });
  }

  /** The client's address is known: asks for a place, and goes on once there is one. */
  #begin(): void {
    if (this.#closing) return;
    this.#deadline.at = Infinity;
    this.#held = true;
    const key = clientKey(this.#client.address);
    if (this.#memory !== undefined) this.#memory.address = key;
    if (this.#slot === undefined) return this.admit();
    this.#slot.identify(key);
    if (!this.#held || this.#closing) return;
    // What comes now may belong to a handshake.
    this.#paused = true;
    this.#connection.pause();
  }

  /** There is a place. */
  admit(): void {
    if (!this.#held || this.#closing) return;
    this.#held = false;
    this.#guard(() => {
      if (this.#paused) {
        this.#paused = false;
        this.#connection.resume();
      }
      const early = this.#early.splice(0);
      if (this.#context.implicitTls) {
        return this.#startTls(early.length === 0 ? undefined : Buffer.concat(early));
      }
      this.#run(this.#greet());
      for (const bytes of early) this.#run(this.#session.receive(bytes));
    });
  }

  /** The greeting: who the client is, is certain by now. */
  #greet(): Effect[] {
    if (this.#context.trusted?.has(this.#client)) this.#session.trust();
    this.#session.observe(this.#context.observe?.(this.#client));
    return this.#session.open();
  }

  /** There is no place, or not any more. */
  evict(why: EvictionReason): void {
    if (why === "retired") return this.#retired();
    const { reply, setting, logMessage } = EVICTIONS[why];
    this.#guard(() => {
      this.#context.limited(setting, this.#client, logMessage);
      if (this.#closing || this.#mute) {
        this.#reason ||= logMessage;
        return this.#connection.destroy();
      }
      if (this.#submitting !== undefined) {
        // The message gets its own reply before: that its wait has ended.
        this.#run(this.#session.stop(reply, logMessage));
        this.#endWait?.();
        return this.#context.evicted(this);
      }
      this.#run(this.#session.abort(reply, logMessage));
      this.#deadline.at = Math.min(
        this.#deadline.at,
        performance.now() + LAST_WORD_MS,
      );
      this.#context.evicted(this);
    });
  }

  /**
   * Its place is another's. A message goes on without its client, which may yet read the reply; and
   * the last reply may be on its way.
   */
  #retired(): void {
    if (this.#submitting === undefined && !this.#awaitsReset) {
      const until = this.#endedAt + LAST_WORD_MS;
      if (performance.now() >= until) return this.#connection.destroy();
      this.#deadline.at = Math.min(this.#deadline.at, until);
    }
    this.#context.evicted(this);
  }

  /** Whether a reply in plain text would be garbage to the client: TLS has to come first. */
  get #mute(): boolean {
    return this.#handshake || this.#gate?.waiting === true ||
      (this.#context.implicitTls && !this.#secure);
  }

  data(bytes: Uint8Array): void {
    if (this.#gate !== undefined && !this.#passes(this.#gate, bytes)) return;
    this.#received += bytes.length;
    // What comes behind the last reply is read only so that the reply is not lost to a reset.
    if (this.#closing) return;
    if (this.#held) return this.#keep(bytes);
    this.#guard(() => this.#run(this.#session.receive(bytes)));
  }

  /**
   * Keeps what has come before the client was greeted. An honest one waits for the greeting (RFC 5321
   * §4.3.1), or has sent its ClientHello; thousands may be in the queue, each with what it sent.
   */
  #keep(bytes: Uint8Array): void {
    this.#earlyOctets += bytes.length;
    if (this.#earlyOctets <= MAX_AHEAD) return void this.#early.push(Uint8Array.from(bytes));
    this.#early = [];
    this.#reason ||= "the client sent too much before the greeting";
    this.#closing = true;
    this.#connection.destroy();
  }

  /** Whether the octets are the client's own. */
  #passes(gate: ProxyGate, bytes: Uint8Array): boolean {
    if (this.#closing) return false;
    const step = gate.push(bytes);
    switch (step.type) {
      case "pass":
        if (step.open) this.#gate = undefined;
        return true;
      case "header":
        this.#client = step.client;
        // A handshake's first octets have to be there when TLS begins.
        if (this.#context.implicitTls && step.rest.length > 0) this.#keep(step.rest);
        this.#guard(() => this.#begin());
        if (!this.#context.implicitTls && step.rest.length > 0) this.data(step.rest);
        return false;
      case "refused":
        this.#refuseProxy(step.refusal);
        return false;
      case "more":
        return false;
    }
  }

  /** Ends the connection without a word, which whoever sends or lacks a header would not understand. */
  #refuseProxy(refusal: ProxyRefusal | undefined): void {
    if (!this.#closing && refusal !== undefined) {
      this.#reason = "PROXY header";
      this.#context.proxyRefused(refusal, this.#client);
    }
    this.#closing = true;
    this.#connection.destroy();
  }

  drained(): void {
    this.#guard(() => {
      this.#writable = true;
      this.#flow();
    });
  }

  /** Whether a message is being submitted, with its client or without. */
  get submitting(): boolean {
    return this.#submitting !== undefined;
  }

  ended(): void {
    this.#guard(() => {
      if (this.#gate?.waiting) return this.#refuseProxy(this.#gate.cutOff());
      this.#peerEnded = true;
      if (this.#left) this.#leave();
      const waits = this.#session.busy || this.#session.held;
      if (!waits || this.#handshake) this.#end("the client hung up");
    });
  }

  secured(): void {
    this.#secure = true;
    this.#handshake = false;
    this.#slot?.progress();
    this.#guard(() => {
      const effects = this.#context.implicitTls ? this.#greet() : this.#session.tlsStarted();
      this.#run(effects);
    });
  }

  closed(error?: Error, opening?: Uint8Array): void {
    if (this.#gate?.waiting) this.#refuseProxy(this.#gate.cutOff());
    // Implicit TLS alone: before STARTTLS the gate has seen the first octets.
    const header = opening === undefined ? undefined : this.#gate?.insteadOfTls(opening);
    if (header !== undefined) this.#context.proxyRefused(header, this.#client);
    this.#closing = true;
    if (this.#submitting !== undefined) this.#abandon();
    this.#gone?.(error !== undefined || this.#submitting !== undefined);
    this.#deadline.at = Infinity;
    // Nobody reads what it replies from now on.
    this.#session.observe(undefined);
    this.#guard(() => {
      // What the client had sent ahead is not delivered any more: it gets no reply, and sends it again.
      this.#session.abort(STOPPING, "the connection is gone");
      this.#keepAhead(0);
      this.#slot?.remove();
    });
    const reason = this.#reason || (error === undefined ? "the client hung up" : error.message);
    const wrongPort = header === undefined ? this.#wrongPort(opening) : undefined;
    this.#summary = {
      client: this.#client,
      secure: this.#secure,
      handshakeFailed: this.#handshake && header === undefined,
      ...(wrongPort === undefined ? {} : { wrongPort }),
      received: this.#received,
      messages: this.#messages,
      milliseconds: Math.round(performance.now() - this.#openedAt),
      reason,
      error: error !== undefined || this.#timedOut,
    };
    this.#over();
  }

  /**
   * What the client took this port for. One that says nothing until the handshake has timed out waits
   * for a greeting, most likely; one that leaves before may be a probe.
   *
   * @param opening what it sent in place of a handshake
   */
  #wrongPort(opening: Uint8Array | undefined): ConnectionSummary["wrongPort"] {
    if (this.#reason === TLS_FIRST) return "tls";
    if (!this.#context.implicitTls || !this.#handshake) return undefined;
    if (opening === undefined) return this.#timedOut ? "silent" : undefined;
    return opening[0] === TLS_HANDSHAKE ? undefined : "plain";
  }

  /** Tells the server, which waits for messages under way even where their client has gone. */
  #over(): void {
    if (this.#summary === undefined || this.#submitting !== undefined) return;
    this.#context.ended({ ...this.#summary, messages: this.#messages });
  }

  /**
   * Whether the client has ended its side and gone, most likely. One that has sent QUIT ahead, as a
   * script does, reads its replies yet; one that gives up has not.
   */
  get #left(): boolean {
    return this.#peerEnded && !this.#session.inputWaiting;
  }

  /** Most likely nobody reads the reply: the place is anybody's, whatever becomes of the message. */
  #leave(): void {
    if (this.#submitting === undefined) return;
    this.#abandon();
    this.#slot?.retire();
  }

  #abandon(): void {
    if (this.#gone !== undefined) return;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#gone = resolve;
    this.#guard(() => this.#context.abandoned(this.#submitting!, promise));
  }

  /** Called now and then: ends what has made no progress for too long. */
  tick(now: number): void {
    if (now < this.#deadline.at) return;
    if (this.#gate?.waiting) return this.#refuseProxy(this.#gate.timedOut());
    if (this.#awaitsReset && !this.#closing) return this.#end("the client hung up");
    if (this.#closing || this.#handshake) {
      if (!this.#closing) {
        this.#timedOut = true;
        this.#reason = "TLS handshake timed out";
      }
      return this.#connection.destroy();
    }
    if (!this.#writable) {
      // One more reply would be one more that is not read.
      this.#timedOut = true;
      this.#reason = "the client does not read the replies";
      return this.#connection.destroy();
    }
    this.#guard(() => {
      const { reply, setting, logMessage } = this.#session.endMissed
        ? END_MISSED
        : TIMEOUTS[this.#deadline.setting ?? "COMMAND_TIMEOUT"];
      this.#context.limited(setting, this.#client, logMessage);
      this.#run(this.#session.abort(reply, "timed out"));
    });
  }

  /** Ends the session as soon as no mail is under way (RFC 5321 §3.8). */
  stop(): void {
    if (this.#mute) return this.destroy();
    if (this.#closing) return;
    this.#guard(() => this.#run(this.#session.stop(STOPPING, "the relay is stopping")));
  }

  /** Ends the session now: only what is being submitted may still come to its own verdict. */
  interrupt(): void {
    if (this.#closing || this.#submitting !== undefined) return;
    this.#guard(() => this.#run(this.#session.abort(STOPPING, "the relay is stopping")));
  }

  /** Ends the session in the middle of a submission, whose verdict comes too late. */
  cutOff(): void {
    if (this.#closing) return;
    this.#guard(() => {
      if (this.#submitting !== undefined) this.#run(this.#session.submitted(INTERRUPTED));
      this.#run(this.#session.abort(STOPPING, "the relay is stopping"));
    });
  }

  /** A fault that the connection has not dealt with itself. */
  broken(error: unknown): void {
    this.#fail(error);
    this.#connection.destroy();
  }

  /** Lets go at once. */
  destroy(): void {
    this.#reason ||= "the relay is stopping";
    this.#closing = true;
    this.#connection.destroy();
  }

  #run(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "reply":
          this.#writable = this.#connection.write(
            OCTETS.get(effect.text) ?? Buffer.from(effect.text, "latin1"),
          );
          break;
        case "startTls":
          this.#startTls();
          break;
        case "authenticate":
          void this.#authenticate(() =>
            this.#context.authenticate(effect.credentials, this.#client)
          );
          break;
        case "authenticateTrusted":
          void this.#authenticate(() => this.#context.trusted!.logIn(this.#client));
          break;
        case "submit":
          void this.#submit(effect);
          break;
        case "refused":
          this.#context.refused(effect.refusal, this.#client, this.#account);
          break;
        case "close":
          if (effect.limit !== undefined) {
            this.#context.limited(effect.limit, this.#client, SESSION_LIMITS[effect.limit]);
          }
          this.#end(effect.reason);
          break;
      }
    }
    if (this.#closing) return;
    if (this.#session.contentBegun !== this.#receiving) {
      this.#receiving = !this.#receiving;
      if (!this.#session.busy) this.#slot?.setActivity(this.#receiving ? "receiving" : "idle");
    }
    if (this.#account === undefined && this.#session.stage > this.#stage) {
      this.#stage = this.#session.stage;
      this.#slot?.progress();
    }
    if (this.#peerEnded && !this.#session.busy && !this.#session.held) {
      if (this.#gone === undefined) return this.#end("the client hung up");
      this.#awaitsReset = true;
      this.#deadline.at = performance.now() + SHOWN_MS;
      return;
    }
    this.#flow();
  }

  /** Reads on exactly when the session can take more and the client reads our replies. */
  #flow(): void {
    if (this.#closing || this.#awaitsReset) return;
    const busy = this.#session.busy && !this.#handshake;
    const held = this.#session.held;
    const ahead = busy || held ? this.#session.unread : 0;
    if (!this.#keepAhead(ahead)) return;
    const pause = held || ahead > MAX_AHEAD || !this.#writable;
    if (pause !== this.#paused) {
      this.#paused = pause;
      if (pause) this.#connection.pause();
      else this.#connection.resume();
    }
    if (held && this.#writable) this.#resume();
    const waitingFor: WaitingFor = busy || (held && this.#writable)
      ? "relay"
      : this.#handshake
      ? "handshake"
      : !this.#writable
      ? "client reading"
      : this.#session.receivingContent
      ? "content"
      : "command";
    this.#deadline.update(waitingFor, this.#session, this.#received, performance.now());
  }

  /** Others have their turn before what is left of many commands is looked at. */
  #resume(): void {
    if (this.#resuming) return;
    this.#resuming = true;
    setImmediate(() => {
      this.#resuming = false;
      if (!this.#closing && this.#writable) this.#guard(() => this.#run(this.#session.resume()));
    });
  }

  /**
   * Finds room for what has come ahead: one read may bring half a megabyte, and each connection may
   * wait. Nobody has reason to send much behind a login that is being checked.
   *
   * @param octets of it
   * @returns whether the connection goes on
   */
  #keepAhead(octets: number): boolean {
    if (octets <= MAX_UNCOUNTED) {
      this.#aheadRoom?.release();
      this.#aheadRoom = undefined;
      return true;
    }
    if (this.#memory === undefined) return true;
    if (this.#account === undefined && octets > MAX_AHEAD_OF_LOGIN) {
      this.#run(this.#session.abort(TOO_FAR_AHEAD, "the client sent too much ahead"));
      return false;
    }
    const room = this.#aheadRoom ??= this.#memory.open(octets);
    if (room?.ensure(octets) === true) {
      room.giveUp = () => this.#guard(() => this.#dropAhead());
      return true;
    }
    this.#dropAhead();
    return !this.#closing;
  }

  /** What is under way comes to its answer. What has come behind it is not looked at. */
  #dropAhead(): void {
    this.#aheadRoom = undefined;
    this.#run(this.#session.stop(TOO_FAR_AHEAD, "no room for what the client sent ahead"));
  }

  /** @param received what has come of the handshake already */
  #startTls(received?: Uint8Array): void {
    const identity = this.#context.identity();
    if (identity === undefined) throw new Error("TLS was offered without a certificate");
    this.#handshake = true;
    this.#connection.startTls(identity, received);
    this.#flow();
  }

  async #authenticate(logIn: () => Promise<Login<Account>>): Promise<void> {
    this.#slot?.pin();
    try {
      const login = await logIn();
      if (login.account !== undefined) {
        this.#account = login.account;
        this.#owner = login.owner;
        if (this.#memory !== undefined) this.#memory.owner = login.owner;
      }
      // Credentials that nobody has verified yet are a stranger's, until a message goes through.
      if (login.account !== undefined && login.proved !== false) {
        this.#slot?.authenticated(this.#owner);
      } else this.#slot?.unpin();
      const { reply: answer, checkSender, anySender } = login;
      this.#guard(() => this.#run(this.#session.authenticated(answer, checkSender, anySender)));
    } catch (error) {
      this.#fail(error);
    }
  }

  async #submit(effect: Extract<Effect, { type: "submit" }>): Promise<void> {
    const { envelope, content, facts, reservation } = effect;
    const message = this.#submitting = { envelope, content, facts, client: this.#client };
    // It waits for us, whoever it is.
    this.#slot?.pin();
    let answer: Reply | undefined;
    try {
      const account = this.#account;
      if (account === undefined) throw new Error("a message was submitted without an account");
      const verdict = this.#context.submit(account, this.#submitting, (end) => {
        this.#endWait = reservation.giveUp = end;
        this.#slot?.setActivity(end === undefined ? "busy" : "waiting");
      });
      // It had sent all that it wanted to, and ended its side, before this message's turn came.
      if (this.#left) this.#leave();
      answer = await verdict;
      this.#messages++;
      // Whoever logged in with what nobody had verified has proved it by this.
      if (answer.code < 300) this.#slot?.authenticated(this.#owner);
      else this.#slot?.unpin();
    } catch (error) {
      this.#fail(error);
    }
    this.#submitting = undefined;
    this.#endWait = undefined;
    reservation.release();
    // What the client has sent ahead, such as QUIT, may end the connection with the reply.
    const isThere = this.#gone === undefined && !this.#closing;
    this.#guard(() => answer && this.#run(this.#session.submitted(answer)));
    if (isThere && answer !== undefined && answer.code < 300) {
      this.#guard(() => this.#context.answered(message));
    }
    this.#context.settled();
    this.#over();
  }

  /** A bug in one session ends that session alone. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#context.failed(error, this.#client);
    if (this.#mute) return this.#connection.destroy();
    try {
      this.#run(this.#session.abort(INTERNAL, "internal error"));
    } catch {
      this.#connection.destroy();
    }
  }

  #end(reason: string): void {
    if (this.#closing) return;
    this.#reason = reason;
    this.#closing = true;
    this.#endedAt = performance.now();
    this.#deadline.at = this.#endedAt + this.#context.timeouts.linger;
    this.#keepAhead(0);
    if (this.#paused) this.#connection.resume();
    this.#connection.end();
    this.#slot?.retire();
  }
}
