// One SMTP connection: moves octets between a socket and its session, and carries out the effects.

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { setImmediate } from "node:timers";
import type { Clock } from "../clock.ts";
import { clientKey, plainAddress } from "../networks.ts";
import type { ConnectionEvent, RelayEvent } from "../observe/relay_event.ts";
import type { Connection, ConnectionHandler } from "../runtime/runtime.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Effect } from "../smtp/effects.ts";
import { formatReply, REPLIES, type Reply } from "../smtp/reply.ts";
import { Session, type SessionOptions, type SessionProgress } from "../smtp/session.ts";
import type { Client, Login } from "../submission/submission_service.ts";
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
import { ConnectionDeadline, type WaitingFor } from "./connection_deadline.ts";
import type { Slot } from "./connection_limiter.ts";
import { ConnectionRecord } from "./connection_record.ts";
import { ConnectionRequests, type RequestOwner } from "./connection_requests.ts";
import type { EvictionReason, LimitedConnection } from "./limited_connection.ts";
import type { ClientMemory } from "./memory.ts";
import type { ConnectionLimits, ProtocolOptions, ServerOptions } from "./options.ts";
import type { PendingSubmission } from "./pending_submission.ts";
import { ProxyGate, type ProxyRefusal } from "./proxy_gate.ts";
import { EarlyInput, MAX_AHEAD, ReadAhead } from "./read_ahead.ts";

/** What a connection needs from its server. */
export interface ConnectionContext {
  readonly options: Pick<ServerOptions, "service" | "notify" | "protocol" | "limits">;
  readonly session: SessionOptions;
  /** Whether TLS comes before the greeting (RFC 8314 §3.3). */
  readonly implicitTls: boolean;
  readonly clock: Clock;
  readonly owner: ConnectionOwner;
}

/** The server, as its connections see it. */
export interface ConnectionOwner {
  /** A message has its verdict. */
  submitted(): void;
  /** The connection has lost its slot, and is about to read its last reply. */
  evicted(connection: SmtpConnection): void;
  /** The connection is closed, and its last message has its verdict. */
  closed(connection: SmtpConnection): void;
}

/** Replies that never change, ready to be written: most of them stand alone. */
const OCTETS = new Map(
  Object.values(REPLIES).map(formatReply).map((text) => [text, Buffer.from(text, "latin1")]),
);

/**
 * Milliseconds in which a client that has ended its side shows whether it is gone: then the reply to its
 * message is answered with a reset.
 */
const SHOWN_MS = 500;
/** Milliseconds for a client that has lost its place to read why. */
const LAST_WORD_MS = 1_000;

export class SmtpConnection implements ConnectionHandler, LimitedConnection, RequestOwner {
  readonly #context: ConnectionContext;
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #memory: ClientMemory | undefined;
  #client: Client;
  /** Until the first octets have been judged. */
  #gate: ProxyGate | undefined;
  readonly #requests: ConnectionRequests;
  readonly #record: ConnectionRecord;
  /** The peer has half-closed. */
  #peerEnded = false;
  #closing = false;
  /** When the connection was ended from our side. */
  #endedAt = 0;
  #writable = true;
  readonly #ahead: ReadAhead;
  /** The rest of what has come is about to be looked at. */
  #resuming = false;
  /** Content of a message is coming, as admission knows it. */
  #receiving = false;
  /** The reply has been written to a client that may be gone: the connection ends when that is known. */
  #awaitsReset = false;
  /** What `closed` found out, while a submission outlives its connection. */
  #summary: ConnectionEvent | undefined;
  #handshake = false;
  readonly #deadline: ConnectionDeadline;
  #slot: Slot | undefined;
  /** Not greeted yet: it waits for a place. */
  #held = false;
  /** Octets that have come all the same, or together with a PROXY header. */
  readonly #early = new EarlyInput();
  /** How far the session had come on its way to a login when admission was told of it. */
  #stage = 0;

  constructor(connection: Connection, context: ConnectionContext) {
    this.#connection = connection;
    this.#context = context;
    this.#record = new ConnectionRecord(context.clock.now());
    const { protocol, limits } = context.options;
    const address = plainAddress(connection.remoteAddress);
    this.#memory = limits.memory?.client(clientKey(address));
    this.#session = new Session(context.session, context.implicitTls, this.#memory);
    this.#deadline = new ConnectionDeadline(limits.timeouts);
    this.#client = {
      connection: randomBytes(4).toString("hex"),
      address,
      port: connection.remotePort,
    };
    this.#gate = new ProxyGate(this.#client, protocol.proxies);
    this.#ahead = new ReadAhead(
      connection,
      this.#memory,
      () => this.#guard(() => this.#dropAhead()),
    );
    this.#requests = new ConnectionRequests(context.options.service, this);
  }

  get client(): Client {
    return this.#client;
  }

  get slot(): Slot | undefined {
    return this.#slot;
  }

  opened(): void {
    this.#guard(() => {
      const waiting = this.#gate?.waiting === true;
      this.#slot = this.#limits.limiter?.add(this);
      if (!waiting) return this.#begin();
      this.#deadline.at = this.#now() + this.#protocol.proxies!.headerTimeout;
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
    this.#ahead.pause(true);
  }

  /** There is a place. */
  admit(): void {
    if (!this.#held || this.#closing) return;
    this.#held = false;
    this.#guard(() => {
      this.#ahead.pause(false);
      const early = this.#early.take();
      if (this.#context.implicitTls) return this.#startTls(early);
      this.#run(this.#greet());
      if (early !== undefined) this.#run(this.#session.receive(early));
    });
  }

  /** The greeting: who the client is, is certain by now. */
  #greet(): Effect[] {
    const { isTrusted, observe } = this.#protocol;
    if (isTrusted?.(this.#client)) this.#session.trust();
    this.#session.observe(observe?.(this.#client));
    return this.#session.open();
  }

  /** There is no place, or not any more. */
  evict(why: EvictionReason): void {
    if (why === "retired") return this.#retired();
    const { reply, setting, logMessage } = EVICTIONS[why];
    this.#guard(() => {
      this.#limit(setting, logMessage);
      if (this.#closing || this.#mute) {
        this.#record.reason ||= logMessage;
        return this.#connection.destroy();
      }
      const { pending } = this.#requests;
      if (pending !== undefined) {
        // The message gets its own reply before: that its wait has ended.
        this.#run(this.#session.stop(reply, logMessage));
        pending.endWait();
        return this.#context.owner.evicted(this);
      }
      this.#run(this.#session.abort(reply, logMessage));
      this.#deadline.at = Math.min(
        this.#deadline.at,
        this.#now() + LAST_WORD_MS,
      );
      this.#context.owner.evicted(this);
    });
  }

  /**
   * Its place is another's. A message goes on without its client, which may yet read the reply; and
   * the last reply may be on its way.
   */
  #retired(): void {
    if (!this.submitting && !this.#awaitsReset) {
      const until = this.#endedAt + LAST_WORD_MS;
      if (this.#now() >= until) return this.#connection.destroy();
      this.#deadline.at = Math.min(this.#deadline.at, until);
    }
    this.#context.owner.evicted(this);
  }

  /** Whether a reply in plain text would be garbage to the client: TLS has to come first. */
  get #mute(): boolean {
    return this.#handshake || this.#gate?.waiting === true ||
      (this.#context.implicitTls && !this.#record.secure);
  }

  data(bytes: Uint8Array): void {
    if (this.#gate !== undefined && !this.#passes(this.#gate, bytes)) return;
    this.#record.received += bytes.length;
    // What comes behind the last reply is read only so that the reply is not lost to a reset.
    if (this.#closing) return;
    if (this.#held) return this.#keep(bytes);
    this.#guard(() => this.#run(this.#session.receive(bytes)));
  }

  #keep(bytes: Uint8Array): void {
    if (this.#early.add(bytes)) return;
    this.#record.reason ||= "the client sent too much before the greeting";
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
      this.#record.reason = "PROXY header";
      this.#notify({ type: "proxyHeader", client: this.#client, ...refusal });
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
    return this.#requests.pending !== undefined;
  }

  ended(): void {
    this.#guard(() => {
      if (this.#gate?.waiting) return this.#refuseProxy(this.#gate.cutOff());
      this.#peerEnded = true;
      if (this.#left) this.#requests.leave();
      const { awaits } = this.#session.progress;
      const waits = awaits === "owner" || awaits === "drain";
      if (!waits || this.#handshake) this.#end("the client hung up");
    });
  }

  secured(): void {
    this.#record.secure = true;
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
    if (header !== undefined) {
      this.#notify({ type: "proxyHeader", client: this.#client, ...header });
    }
    this.#closing = true;
    this.#requests.clientLeft();
    this.#requests.left?.clientReplied(error === undefined && !this.submitting);
    this.#deadline.at = Infinity;
    // Nobody reads what it replies from now on.
    this.#session.observe(undefined);
    this.#guard(() => {
      // What the client had sent ahead is not delivered any more: it gets no reply, and sends it again.
      this.#session.abort(STOPPING, "the connection is gone");
      this.#ahead.release();
      this.#slot?.remove();
    });
    const closing = {
      error,
      opening,
      inHandshake: this.#handshake,
      implicitTls: this.#context.implicitTls,
      proxyHeader: header !== undefined,
    };
    this.#summary = this.#record.event(this.#client, closing, this.#now());
    this.#over();
  }

  /** Tells the server, which waits for messages under way even where their client has gone. */
  #over(): void {
    if (this.#summary === undefined || this.submitting) return;
    this.#context.owner.closed(this);
    this.#notify({ ...this.#summary, messages: this.#record.messages });
  }

  /**
   * Whether the client has ended its side and gone, most likely. One that has sent QUIT ahead, as a
   * script does, reads its replies yet; one that gives up has not.
   */
  get #left(): boolean {
    return this.#peerEnded && this.#session.unread === 0;
  }

  /** Called now and then: ends what has made no progress for too long. */
  tick(now: number): void {
    if (now < this.#deadline.at) return;
    if (this.#gate?.waiting) return this.#refuseProxy(this.#gate.timedOut());
    if (this.#awaitsReset && !this.#closing) return this.#end("the client hung up");
    if (this.#closing || this.#handshake) {
      if (!this.#closing) {
        this.#record.timedOut = true;
        this.#record.reason = "TLS handshake timed out";
      }
      return this.#connection.destroy();
    }
    if (!this.#writable) {
      // One more reply would be one more that is not read.
      this.#record.timedOut = true;
      this.#record.reason = "the client does not read the replies";
      return this.#connection.destroy();
    }
    this.#guard(() => {
      const { reply, setting, logMessage } = this.#session.progress.endMissed
        ? END_MISSED
        : TIMEOUTS[this.#deadline.setting ?? "COMMAND_TIMEOUT"];
      this.#limit(setting, logMessage);
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
    if (this.#closing || this.submitting) return;
    this.#guard(() => this.#run(this.#session.abort(STOPPING, "the relay is stopping")));
  }

  /** Ends the session in the middle of a submission, whose verdict comes too late. */
  cutOff(): void {
    if (this.#closing) return;
    this.#guard(() => {
      if (this.submitting) this.#run(this.#session.submitted(INTERRUPTED));
      this.#run(this.#session.abort(STOPPING, "the relay is stopping"));
    });
  }

  /** A fault that the connection has not dealt with itself. */
  broken(error: unknown): void {
    this.failed(error);
    this.#connection.destroy();
  }

  /** Lets go at once. */
  destroy(): void {
    this.#record.reason ||= "the relay is stopping";
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
          void this.#requests.authenticate(effect.credentials);
          break;
        case "authenticateTrusted":
          void this.#requests.authenticate("trusted");
          break;
        case "submit":
          void this.#requests.submit(effect, this.#left);
          break;
        case "refused":
          this.#options.service.refused(effect.refusal, this.#client, this.#requests.principal);
          break;
        case "close":
          if (effect.limit !== undefined) {
            this.#limit(effect.limit, SESSION_LIMITS[effect.limit]);
          }
          this.#end(effect.reason);
          break;
      }
    }
    if (this.#closing) return;
    const progress = this.#session.progress;
    const { awaits, contentBegun, stage } = progress;
    if (contentBegun !== this.#receiving) {
      this.#receiving = contentBegun;
      if (awaits !== "owner") this.#slot?.setActivity(this.#receiving ? "receiving" : "idle");
    }
    if (this.#requests.principal === undefined && stage > this.#stage) {
      this.#stage = stage;
      this.#slot?.progress();
    }
    if (this.#peerEnded && awaits !== "owner" && awaits !== "drain") {
      if (this.#requests.left === undefined) return this.#end("the client hung up");
      this.#awaitsReset = true;
      this.#deadline.at = this.#now() + SHOWN_MS;
      return;
    }
    this.#flow(progress);
  }

  /** Reads on exactly when the session can take more and the client reads our replies. */
  #flow(progress: SessionProgress = this.#session.progress): void {
    if (this.#closing || this.#awaitsReset) return;
    const busy = progress.awaits === "owner" && !this.#handshake;
    const held = progress.awaits === "drain";
    const ahead = busy || held ? this.#session.unread : 0;
    if (!this.#keepAhead(ahead)) return;
    this.#ahead.pause(held || ahead > MAX_AHEAD || !this.#writable);
    if (held && this.#writable) this.#resume();
    const waitingFor: WaitingFor = busy || (held && this.#writable)
      ? "relay"
      : this.#handshake
      ? "handshake"
      : !this.#writable
      ? "client reading"
      : progress.awaits === "content"
      ? "content"
      : "command";
    this.#deadline.update(waitingFor, progress, this.#record.received, this.#now());
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
   * Finds memory for what has come ahead.
   *
   * @returns whether the connection goes on
   */
  #keepAhead(octets: number): boolean {
    switch (this.#ahead.keep(octets, this.#requests.principal !== undefined)) {
      case "kept":
        return true;
      case "too far":
        this.#run(this.#session.abort(TOO_FAR_AHEAD, "the client sent too much ahead"));
        return false;
      case "no memory":
        this.#dropAhead();
        return !this.#closing;
    }
  }

  /** What is under way comes to its answer. What has come after it is not looked at. */
  #dropAhead(): void {
    this.#run(this.#session.stop(TOO_FAR_AHEAD, "no room for what the client sent ahead"));
  }

  /** @param received what has come of the handshake already */
  #startTls(received?: Uint8Array): void {
    const identity = this.#protocol.identity();
    if (identity === undefined) throw new Error("TLS was offered without a certificate");
    this.#handshake = true;
    this.#connection.startTls(identity, received);
    this.#flow();
  }

  loggedIn({ reply, principal }: Login): void {
    if (principal !== undefined && this.#memory !== undefined) this.#memory.owner = principal.owner;
    // The account's own address takes the reverse-path's place.
    const anySender = principal?.account.fromEmail !== undefined;
    this.#guard(() =>
      this.#run(this.#session.authenticated(reply, principal?.checkSender, anySender))
    );
  }

  submitted(reply: Reply | undefined, pending: PendingSubmission): void {
    if (reply !== undefined) this.#record.messages++;
    // What the client has sent ahead, such as QUIT, may end the connection with the reply.
    const isThere = this.#requests.left === undefined && !this.#closing;
    this.#guard(() => reply && this.#run(this.#session.submitted(reply)));
    if (isThere) pending.clientReplied(true);
    this.#context.owner.submitted();
    this.#over();
  }

  /** A bug in one session ends that session alone. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.failed(error);
    }
  }

  failed(error: unknown): void {
    this.#notify({ type: "connectionFault", error, client: this.#client });
    if (this.#mute) return this.#connection.destroy();
    try {
      this.#run(this.#session.abort(INTERNAL, "internal error"));
    } catch {
      this.#connection.destroy();
    }
  }

  get #options(): ConnectionContext["options"] {
    return this.#context.options;
  }

  get #protocol(): ProtocolOptions {
    return this.#context.options.protocol;
  }

  get #limits(): ConnectionLimits {
    return this.#context.options.limits;
  }

  #now(): number {
    return this.#context.clock.now();
  }

  #notify(event: RelayEvent): void {
    this.#context.options.notify(event);
  }

  #limit(setting: SettingName, text: string): void {
    this.#notify({ type: "limit", setting, client: this.#client, text });
  }

  #end(reason: string): void {
    if (this.#closing) return;
    this.#record.reason = reason;
    this.#closing = true;
    this.#endedAt = this.#now();
    this.#deadline.at = this.#endedAt + this.#limits.timeouts.linger;
    this.#ahead.release();
    this.#ahead.pause(false);
    this.#connection.end();
    this.#slot?.retire();
  }
}
