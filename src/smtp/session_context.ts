// Shared by the commands of a session: its state, its input and effects, and the ways to reply.

import type { Secret } from "../secret.ts";
import { EffectBuffer } from "./effect_buffer.ts";
import type { Refusal } from "./effects.ts";
import { utf8 } from "./envelope.ts";
import { LineReader } from "./line_reader.ts";
import type { SessionObserver } from "./observer.ts";
import type { SessionOptions } from "./options.ts";
import { formatReply, REPLIES, type Reply } from "./reply.ts";
import type { Memory } from "./reservation.ts";
import { type LimitReached, SessionLimits } from "./session_limits.ts";
import { ClientState, CLOSED, COMMAND, Stage, type State } from "./session_state.ts";

/**
 * The commands that are refused before a required TLS. RFC 3207 §4 allows NOOP, EHLO, STARTTLS and
 * QUIT; HELO, which devices send first, is harmless.
 */
const NEED_TLS = new Set(["AUTH", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP"]);

export class SessionContext {
  readonly options: SessionOptions;
  readonly memory: Memory;
  readonly limits: SessionLimits;
  /** Octets that are not processed yet: while busy, or an incomplete line. */
  readonly input = new LineReader();
  readonly effects = new EffectBuffer();
  observer: SessionObserver | undefined;

  state: State = COMMAND;
  client = new ClientState();
  secure: boolean;
  /** Whether the client's address may send without AUTH and TLS. */
  trusted = false;
  /** The furthest stage that the client has reached. */
  stage: Stage = Stage.Greeted;
  /** Complete commands, and answers that the client had to wait for. */
  exchanges = 0;
  /** The verb of the command that is being answered; undefined in between. */
  verb: string | undefined;
  /** Set when the session is to end as soon as nothing is under way. */
  stopping: { readonly reply: Reply; readonly reason: string } | undefined;

  constructor(options: SessionOptions, secure: boolean, memory: Memory) {
    this.options = options;
    this.secure = secure;
    this.memory = memory;
    this.limits = new SessionLimits(options);
  }

  reply(reply: Reply): void {
    this.effects.reply(reply);
    this.observer?.reply(formatReply(reply));
    if (reply.code >= 500 && this.verb !== undefined) {
      this.limits.refused(this.verb, reply, this.mayMail);
    }
  }

  /** Refuses a command of a login or a message, and notifies the owner of the loss. */
  refuse(command: Refusal["command"], reply: Reply, argument?: string, tried?: Secret): void {
    this.reply(reply);
    this.notifyRefused(command, reply, argument, tried);
  }

  notifyRefused(
    command: Refusal["command"],
    reply: Reply,
    argument?: string,
    tried?: Secret,
  ): void {
    const { login, transaction } = this.client;
    this.effects.notify({
      type: "refused",
      refusal: {
        command,
        reply,
        authenticated: login.authenticated,
        ...(tried === undefined ? {} : { tried }),
        ...(argument === undefined ? {} : { argument: utf8(argument) ?? argument }),
        ...(transaction === undefined ? {} : { from: transaction.from }),
        ...(login.authenticated && login.trusted ? { trusted: true } : {}),
      },
    });
  }

  close(reason: string, limit?: LimitReached["setting"]): void {
    this.effects.effect({ type: "close", reason, ...(limit === undefined ? {} : { limit }) });
    if (this.state.mode === "data") this.state.receiver.discard();
    this.state = CLOSED;
    this.input.clear();
    this.endTransaction();
  }

  endTransaction(): void {
    this.client.transaction?.discard();
    this.client.transaction = undefined;
  }

  /** The client has come to a stage on its way to a login; only a further one counts. */
  reach(stage: Stage): void {
    if (stage > this.stage) this.stage = stage;
  }

  /** TLS has begun: everything known from before is forgotten (RFC 3207 §4.2). */
  forgetClient(): void {
    this.endTransaction();
    this.client = new ClientState();
  }

  /** Whether TLS has to come first. A password waits for it even at a trusted address. */
  lacksTls(verb: string): boolean {
    if (!this.options.requireTls || this.secure) return false;
    return this.trusted ? verb === "AUTH" : NEED_TLS.has(verb);
  }

  /** Whether RCPT, DATA and BDAT need only MAIL before them. */
  get mayMail(): boolean {
    return this.client.login.authenticated || this.trusted;
  }

  /** The reply to a client that has not logged in. */
  get noLogin(): Reply {
    const { login } = this.client;
    return !login.authenticated && login.failed
      ? REPLIES.loginFailedBefore
      : REPLIES.mustAuthenticate;
  }
}
