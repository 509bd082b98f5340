// One SMTP connection: moves octets between a socket and its session, and carries out the effects.

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { setImmediate } from "node:timers";
import type { Clock } from "../clock.ts";
import { clientKey, plainAddress } from "../networks.ts";
import type { ConnectionEvent, RelayEvent } from "../observe/relay_event.ts";
import { ownText } from "../octets.ts";
import type { Connection, ConnectionHandler, TlsFacts } from "../runtime/runtime.ts";
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
import { EarlyInput, MAX_AHEAD, ReadAhead, type ReadAheadOwner } from "./read_ahead.ts";

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
  /** A message has its final reply. */
  submitted(): void;
  /** The connection has lost its slot, and only reads its last reply. */
  evicted(connection: SmtpConnection): void;
  /** The connection is closed, and its last message has its final reply. */
  closed(connection: SmtpConnection): void;
}

/** Fixed replies as octets, ready to be written: most replies are sent alone. */
const OCTETS = new Map(
  Object.values(REPLIES).map(formatReply).map((text) => [text, Buffer.from(text, "latin1")]),
);

/**
 * Milliseconds in which a half-closed connection shows whether its client is gone: then the reply
 * to its message causes a reset.
 */
const RESET_MS = 500;
/** Milliseconds for a client that has lost its slot to read the reason. */
const EVICTED_MS = 1_000;

/** Thousands of them may be idle: what few need is made when it is needed, and none has a closure of its own. */
export class SmtpConnection
  implements ConnectionHandler, LimitedConnection, RequestOwner, ReadAheadOwner {
  readonly #context: ConnectionContext;
  readonly #connection: Connection;
  readonly #session: Session;
  readonly #memory: ClientMemory | undefined;
  #client: Client;
  /** Present until the first octets have been checked for a PROXY header. */
  #gate: ProxyGate | undefined;
  readonly #requests: ConnectionRequests;
  readonly #record: ConnectionRecord;
  /** The peer has half-closed. */
  #peerEnded = false;
  #closing = false;
  /** When the relay ended the connection. */
  #endedAt = 0;
  #writable = true;
  /** Made for the few connections that wait, or send ahead. */
  #ahead: ReadAhead | undefined;
  /** The rest of the received octets is about to be processed. */
  #resuming = false;
  /** Content of a message is arriving, as the limiter knows it. */
  #receiving = false;
  /** When it began to arrive. */
  #receivingSince = 0;
  /** The reply was written to a client that may be gone; the connection ends once that is known. */
  #awaitsReset = false;
  /** The event of the closed connection, while its submission is still under way. */
  #summary: ConnectionEvent | undefined;
  #handshake = false;
  readonly #deadline: ConnectionDeadline;
  #slot: Slot | undefined;
  /** Not greeted yet: waits for a slot. */
  #awaitsSlot = false;
  /** Octets that came before the greeting, or together with a PROXY header. */
  #early: EarlyInput | undefined;
  /** The last stage on the way to a login that the limiter knows of. */
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
      connection: ownText(randomUUID().slice(0, 8)),
      address,
      port: connection.remotePort,
    };
    this.#gate = new ProxyGate(this.#client, protocol.proxies);
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

  /** The client's address is known: asks for a slot. `admit` follows once there is one. */
  #begin(): void {
    if (this.#closing) return;
    this.#deadline.at = Infinity;
    this.#awaitsSlot = true;
    const key = clientKey(this.#client.address);
    if (this.#memory !== undefined) this.#memory.address = key;
    if (this.#slot === undefined) return this.admit();
    this.#slot.identify(key);
    if (!this.#awaitsSlot || this.#closing) return;
    // The next octets may belong to a handshake.
    this.#pause(true);
  }

  /** There is a slot. */
  admit(): void {
    if (!this.#awaitsSlot || this.#closing) return;
    this.#awaitsSlot = false;
    this.#guard(() => {
      this.#pause(false);
      const early = this.#early?.take();
      this.#early = undefined;
      if (this.#context.implicitTls) return this.#startTls(early);
      this.#run(this.#greet());
      if (early !== undefined) this.#run(this.#session.receive(early));
    });
  }

  /** The greeting; the client's address is certain by now. */
  #greet(): Effect[] {
    const { isTrusted, observe } = this.#protocol;
    if (isTrusted?.(this.#client)) this.#session.trust();
    this.#session.observe(observe?.(this.#client));
    return this.#session.open();
  }

  /** There is no slot, or no longer one. */
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
        // The message gets its own reply first: that its wait has ended.
        this.#run(this.#session.stop(reply, logMessage));
        pending.endWait();
        return this.#context.owner.evicted(this);
      }
      this.#run(this.#session.abort(reply, logMessage));
      this.#deadline.at = Math.min(
        this.#deadline.at,
        this.#now() + EVICTED_MS,
      );
      this.#context.owner.evicted(this);
    });
  }

  /**
   * Another connection has the slot. A message goes on, and its client may still read the reply; or
   * the last reply may be on its way.
   */
  #retired(): void {
    if (!this.submitting && !this.#awaitsReset) {
      const until = this.#endedAt + EVICTED_MS;
      if (this.#now() >= until) return this.#connection.destroy();
      this.#deadline.at = Math.min(this.#deadline.at, until);
    }
    this.#context.owner.evicted(this);
  }

  /** Whether the client cannot read a reply in plain text, because TLS must come first. */
  get #mute(): boolean {
    return this.#handshake || this.#gate?.waiting === true ||
      (this.#context.implicitTls && !this.#record.secure);
  }

  data(bytes: Uint8Array): void {
    if (this.#gate !== undefined && !this.#passes(this.#gate, bytes)) return;
    this.#record.received += bytes.length;
    // Octets after the last reply are read only so that a reset does not destroy the reply.
    if (this.#closing) return;
    if (this.#awaitsSlot) return this.#keep(bytes);
    // Not by #guard, which would need one more function for each piece.
    try {
      this.#run(this.#session.receive(bytes));
    } catch (error) {
      this.failed(error);
    }
  }

  #keep(bytes: Uint8Array): void {
    this.#early ??= new EarlyInput();
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
        // TLS needs the handshake's first octets when it begins.
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

  /** Ends the connection without a reply, which would not fit the PROXY protocol. */
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

  /** Whether a message is being submitted, even if its client is gone. */
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

  secured(tls: TlsFacts): void {
    this.#record.secure = true;
    this.#client = { ...this.#client, tls };
    this.#handshake = false;
    this.#slot?.progress();
    this.#guard(() => {
      const effects = this.#context.implicitTls ? this.#greet() : this.#session.tlsStarted();
      this.#run(effects);
    });
  }

  closed(error?: Error, opening?: Uint8Array): void {
    if (this.#gate?.waiting) this.#refuseProxy(this.#gate.cutOff());
    // Only with implicit TLS: before STARTTLS the gate has seen the first octets.
    const header = opening === undefined ? undefined : this.#gate?.insteadOfTls(opening);
    if (header !== undefined) {
      this.#notify({ type: "proxyHeader", client: this.#client, ...header });
    }
    this.#closing = true;
    this.#requests.clientLeft();
    this.#requests.left?.clientReplied(error === undefined && !this.submitting);
    this.#deadline.at = Infinity;
    // The client reads no more replies.
    this.#session.observe(undefined);
    this.#guard(() => {
      // A message that the client had sent ahead is dropped: without a reply, the client sends it
      // again.
      this.#session.abort(STOPPING, "the connection is gone");
      this.#ahead?.release();
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

  /** Reports the end once the message under way has its final reply too. */
  #over(): void {
    if (this.#summary === undefined || this.submitting) return;
    this.#context.owner.closed(this);
    this.#notify({ ...this.#summary, messages: this.#record.messages });
  }

  /**
   * Whether the client has most likely gone: it has ended its side, and has not sent QUIT ahead. A
   * script that sends QUIT ahead still reads its replies.
   */
  get #left(): boolean {
    return this.#peerEnded && this.#session.unread === 0;
  }

  /** Called about twice a second: ends a connection whose deadline is over. */
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
      // The client would not read one more reply.
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

  /** Ends the session now, unless a message is being submitted. */
  interrupt(): void {
    if (this.#closing || this.submitting) return;
    this.#guard(() => this.#run(this.#session.abort(STOPPING, "the relay is stopping")));
  }

  /** Ends the session in the middle of a submission, whose reply would come too late. */
  cutOff(): void {
    if (this.#closing) return;
    this.#guard(() => {
      if (this.submitting) this.#run(this.#session.submitted(INTERRUPTED));
      this.#run(this.#session.abort(STOPPING, "the relay is stopping"));
    });
  }

  /** A fault that the connection itself has not handled. */
  broken(error: unknown): void {
    this.failed(error);
    this.#connection.destroy();
  }

  /** Closes the connection at once. */
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
          void this.#requests.submit(effect, this.#left, this.#receivingTime());
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
      if (contentBegun) this.#receivingSince = this.#now();
      if (awaits !== "owner") this.#slot?.setActivity(this.#receiving ? "receiving" : "idle");
    }
    if (this.#requests.principal === undefined && stage > this.#stage) {
      this.#stage = stage;
      this.#slot?.progress();
    }
    if (this.#peerEnded && awaits !== "owner" && awaits !== "drain") {
      if (this.#requests.left === undefined) return this.#end("the client hung up");
      this.#awaitsReset = true;
      this.#deadline.at = this.#now() + RESET_MS;
      return;
    }
    this.#flow(progress);
  }

  /** Reads on only while the session can take more and the client reads the replies. */
  #flow(progress: SessionProgress = this.#session.progress): void {
    if (this.#closing || this.#awaitsReset) return;
    const busy = progress.awaits === "owner" && !this.#handshake;
    const draining = progress.awaits === "drain";
    const ahead = busy || draining ? this.#session.unread : 0;
    if (!this.#keepAhead(ahead)) return;
    this.#pause(draining || ahead > MAX_AHEAD || !this.#writable);
    if (draining && this.#writable) this.#resume();
    const waitingFor: WaitingFor = busy || (draining && this.#writable)
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

  #pause(pause: boolean): void {
    if (pause) this.#ahead ??= this.#newAhead();
    this.#ahead?.pause(pause);
  }

  #newAhead(): ReadAhead {
    return new ReadAhead(this.#connection, this.#memory, this);
  }

  /** Milliseconds; a message that came all at once took none. */
  #receivingTime(): number {
    return this.#receiving ? this.#now() - this.#receivingSince : 0;
  }

  /** Other connections are served before the rest of many commands is processed. */
  #resume(): void {
    if (this.#resuming) return;
    this.#resuming = true;
    setImmediate(() => {
      this.#resuming = false;
      if (!this.#closing && this.#writable) this.#guard(() => this.#run(this.#session.resume()));
    });
  }

  /**
   * Takes memory for octets that the client has sent ahead.
   *
   * @returns whether the connection goes on
   */
  #keepAhead(octets: number): boolean {
    if (octets > 0) this.#ahead ??= this.#newAhead();
    switch (this.#ahead?.keep(octets, this.#requests.principal !== undefined)) {
      case undefined:
      case "kept":
        return true;
      case "too much":
        this.#run(this.#session.abort(TOO_FAR_AHEAD, "the client sent too much ahead"));
        return false;
      case "no memory":
        this.#dropAhead();
        return !this.#closing;
    }
  }

  /** Others need the memory of what the client has sent ahead. */
  giveUpAhead(): void {
    this.#guard(() => this.#dropAhead());
  }

  /** The login or message under way gets its reply. Everything that came after it is dropped. */
  #dropAhead(): void {
    this.#run(this.#session.stop(TOO_FAR_AHEAD, "no room for what the client sent ahead"));
  }

  /** @param received octets of the handshake that have already come */
  #startTls(received?: Uint8Array): void {
    const identity = this.#protocol.identity();
    if (identity === undefined) throw new Error("TLS was offered without a certificate");
    this.#handshake = true;
    this.#connection.startTls(identity, received);
    this.#flow();
  }

  loggedIn({ reply, principal }: Login): void {
    if (principal !== undefined && this.#memory !== undefined) this.#memory.owner = principal.owner;
    // The account's own address replaces the reverse-path.
    const anySender = principal?.account.fromEmail !== undefined;
    this.#guard(() =>
      this.#run(this.#session.authenticated(reply, principal?.checkSender, anySender))
    );
  }

  submitted(reply: Reply | undefined, pending: PendingSubmission): void {
    if (reply !== undefined) this.#record.messages++;
    // Checked first: a QUIT that was sent ahead may end the connection with the reply.
    const isThere = this.#requests.left === undefined && !this.#closing;
    this.#guard(() => reply && this.#run(this.#session.submitted(reply)));
    if (isThere) pending.clientReplied(true);
    this.#context.owner.submitted();
    this.#over();
  }

  /** A bug in one session ends only that session. */
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
    this.#ahead?.release();
    this.#pause(false);
    this.#connection.end();
    this.#slot?.retire();
  }
}
