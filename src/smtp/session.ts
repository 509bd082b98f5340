// One SMTP session (RFC 5321) as a state machine without I/O: octets in, effects out.
//
// The owner of the connection feeds `receive`, carries out the effects in order, and answers
// `authenticate` and `submit` by calling `authenticated` and `submitted`. Until then the session is
// busy: it keeps what arrives, and answers it afterwards (RFC 2920 §3.2: replies in order).

import { loginAnswered, saslResponse } from "./auth_command.ts";
import { commandLimit, MAX_SASL_LINE } from "./command_line.ts";
import { answerCommand } from "./commands.ts";
import { chunkOctets, dataOctets } from "./content_commands.ts";
import type { Effect } from "./effects.ts";
import type { LineTooLong } from "./line_reader.ts";
import { type SessionObserver, shownCommand } from "./observer.ts";
import type { SenderCheck, SessionOptions } from "./options.ts";
import { REPLIES, type Reply } from "./reply.ts";
import { type Memory, UNLIMITED } from "./reservation.ts";
import { SessionContext } from "./session_context.ts";
import { COMMAND, Stage, type State } from "./session_state.ts";

export type { SenderCheck, SessionOptions } from "./options.ts";

/** How far a session has come, and what it waits for. */
export interface SessionProgress {
  /** The client's stage on the way to a login; a further stage is progress. */
  readonly stage: number;
  /**
   * Counts complete commands, and answers that the client had to wait for. Of the commands in an open
   * transaction, only those count that bring it further.
   */
  readonly exchanges: number;
  /**
   * - `command`: a command line, or a SASL response
   * - `content`: content of a message, for which another timeout applies
   * - `owner`: the answer to `authenticate` or `submit`, or the end of a TLS handshake
   * - `drain`: replies must be written before the next commands are processed: then call `resume`
   * - `nothing`: the session has ended
   */
  readonly awaits: "command" | "content" | "owner" | "drain" | "nothing";
  /** Whether content of a message has begun to come. It may pause between chunks. */
  readonly contentBegun: boolean;
  /**
   * Whether the content so far ends in a line with a single dot that ends no content, because that line
   * or the line before it ends in LF alone: the client may think that it has sent all.
   */
  readonly endMissed: boolean;
}

/**
 * Octets of replies to one segment before the client must read some: a segment may hold a hundred
 * thousand short commands, and each reply is many times as long.
 */
const MAX_REPLIES = 16 * 1024;

const AWAITS: Readonly<Record<State["mode"], SessionProgress["awaits"]>> = {
  command: "command",
  sasl: "command",
  data: "content",
  chunk: "content",
  busy: "owner",
  tls: "owner",
  closed: "nothing",
};

/** First octet of a TLS record that holds a ClientHello. */
export const TLS_HANDSHAKE = 0x16;
/** The reason for ending a session whose client uses the wrong port. */
export const TLS_FIRST =
  "the client began with TLS: choose STARTTLS in it, or add a port with SMTPS_LISTEN";

export class Session {
  readonly #context: SessionContext;
  /** Whether the first octets have come. */
  #begun = false;
  #awaitsDrain = false;

  /**
   * @param secure whether the connection is on TLS already (RFC 8314 §3.3)
   * @param memory where messages find room
   */
  constructor(options: SessionOptions, secure = false, memory: Memory = UNLIMITED) {
    this.#context = new SessionContext(options, secure, memory);
  }

  get progress(): SessionProgress {
    const { stage, exchanges, state, client } = this.#context;
    const receiving = state.mode === "data" || state.mode === "chunk";
    return {
      stage,
      exchanges,
      awaits: this.#awaitsDrain ? "drain" : AWAITS[state.mode],
      contentBegun: receiving || client.transaction?.chunked === true,
      endMissed: state.mode === "data" && state.receiver.endMissed,
    };
  }

  /** Octets that have come and are not processed yet. */
  get unread(): number {
    return this.#context.input.input.length;
  }

  /**
   * The client's address may send without AUTH and without TLS: MAIL asks for the account that it sends
   * as. The client may still log in. Call it before {@link open}.
   */
  trust(): void {
    this.#context.trusted = true;
  }

  /** Observes the dialogue from now on. */
  observe(observer: SessionObserver | undefined): void {
    this.#context.observer = observer;
  }

  /** The greeting. Call it once, before any input. */
  open(): Effect[] {
    const { hostname, greeting } = this.#context.options;
    this.#context.reply({ code: 220, text: `${hostname} ${greeting}` });
    return this.#drain();
  }

  receive(bytes: Uint8Array): Effect[] {
    const session = this.#context;
    const { mode } = session.state;
    // RFC 3207 §4.2, CVE-2011-0411: octets in plain text after STARTTLS are dropped.
    if (mode === "closed" || mode === "tls") return [];
    if (!this.#begun && bytes.length > 0) {
      this.#begun = true;
      if (bytes[0] === TLS_HANDSHAKE && !session.secure) {
        session.close(TLS_FIRST);
        return this.#drain();
      }
    }
    // The session ends with the answer that it waits for.
    if (mode === "busy" && session.stopping !== undefined) return [];
    session.input.add(bytes);
    if (mode !== "busy" && !this.#awaitsDrain) this.#process();
    return this.#drain();
  }

  /** The replies so far have been written. */
  resume(): Effect[] {
    return this.#awaitsDrain ? this.#goOn() : [];
  }

  /** TLS is in place: everything known from before is forgotten (RFC 3207 §4.2). */
  tlsStarted(): Effect[] {
    const session = this.#context;
    if (session.state.mode !== "tls") return [];
    session.exchanges++;
    session.observer?.command("(TLS handshake)");
    session.forgetClient();
    session.reach(Stage.Secure);
    session.secure = true;
    session.state = COMMAND;
    return this.#goOn();
  }

  /**
   * Answers `authenticate` and `authenticateTrusted`. With any reply but a 2yz there is no account; in
   * answer to the latter, MAIL is refused with it. A 421 ends the session (RFC 5321 §3.8).
   *
   * @param checkSender asked for each reverse-path
   * @param anySender whether the account's own address replaces the reverse-path: then one without
   *   a domain is accepted
   */
  authenticated(answer: Reply, checkSender?: SenderCheck, anySender = false): Effect[] {
    const session = this.#context;
    const { state } = session;
    if (state.mode !== "busy" || state.awaited.effect === "submit") return [];
    if (answer.code === 421) return this.abort(answer, "a login was answered with 421");
    session.exchanges++;
    loginAnswered(session, state.awaited, answer, checkSender, anySender);
    session.verb = undefined;
    return this.#goOn();
  }

  /** Answers `submit`. The transaction is over, however it went (RFC 5321 §4.1.1.4). */
  submitted(answer: Reply): Effect[] {
    const session = this.#context;
    const { state } = session;
    if (state.mode !== "busy" || state.awaited.effect !== "submit") return [];
    session.exchanges++;
    session.state = COMMAND;
    // Without a verb: a refusal by the mail service does not count as the client's error.
    session.reply(answer);
    if (answer.code < 300) session.limits.messageSent();
    return this.#goOn();
  }

  /** Ends the session from the server's side: a timeout, a limit, a stop (RFC 5321 §3.8). */
  abort(answer: Reply, reason: string): Effect[] {
    const session = this.#context;
    if (session.state.mode === "closed") return [];
    this.#awaitsDrain = false;
    session.verb = undefined;
    session.reply(answer);
    session.close(reason);
    return this.#drain();
  }

  /**
   * Ends the session as {@link abort} does, but not before the end of a message that is being received,
   * or an answer that is awaited. Everything that the client has sent after it is dropped.
   */
  stop(answer: Reply, reason: string): Effect[] {
    const session = this.#context;
    const { mode } = session.state;
    const isUnderWay = mode === "busy" || mode === "tls" || mode === "data" || mode === "chunk";
    if (!isUnderWay) return this.abort(answer, reason);
    session.stopping = { reply: answer, reason };
    if (mode === "busy") session.input.clear();
    return [];
  }

  #goOn(): Effect[] {
    this.#process();
    return this.#drain();
  }

  #drain(): Effect[] {
    return this.#context.effects.drain();
  }

  /** Processes as much input as possible. */
  #process(): void {
    const session = this.#context;
    const { input } = session;
    this.#awaitsDrain = false;
    for (;;) {
      if (session.state.mode === "command" && this.#endsHere()) return;
      if (input.input.length === 0) return;
      if (session.state.mode === "busy") return input.keep();
      if (session.effects.length > MAX_REPLIES) {
        this.#awaitsDrain = true;
        return input.keep();
      }
      const { state } = session;
      switch (state.mode) {
        case "command": {
          const line = input.next(commandLimit);
          if (line === undefined) return;
          this.#answerCommand(line);
          break;
        }
        case "sasl": {
          const line = input.next(() => MAX_SASL_LINE);
          if (line === undefined) return;
          session.exchanges++;
          session.verb = "AUTH";
          session.observer?.command("(SASL response)");
          saslResponse(session, state.exchange, line);
          session.verb = undefined;
          break;
        }
        case "data":
          dataOctets(session, state);
          break;
        case "chunk":
          chunkOctets(session, state);
          break;
        default:
          return;
      }
    }
  }

  /** Ends the session if it is to stop, or if the client has reached a limit. */
  #endsHere(): boolean {
    const session = this.#context;
    const { stopping, limits: { reached } } = session;
    if (stopping !== undefined) {
      session.reply(stopping.reply);
      session.close(stopping.reason);
      return true;
    }
    if (reached !== undefined) {
      session.reply(reached.reply);
      session.close(`${reached.setting} reached`, reached.setting);
      return true;
    }
    return false;
  }

  #answerCommand(line: string | LineTooLong): void {
    const session = this.#context;
    const { stage, client: { transaction } } = session;
    const recipients = transaction?.recipients.length;
    session.verb = "";
    session.observer?.command(shownCommand(line));
    if (typeof line === "string") answerCommand(session, line);
    else if (line.limit === MAX_SASL_LINE) session.refuse("AUTH", REPLIES.authTooLong);
    else session.reply(REPLIES.lineTooLong);
    session.verb = undefined;
    const isCommandNext = session.state.mode === "command";
    if (isCommandNext) session.limits.answered(session.stage > stage, session.mayMail);
    // A command that brings an open transaction no further must not keep the connection open either.
    const isSame = isCommandNext && transaction !== undefined &&
      session.client.transaction === transaction && transaction.recipients.length === recipients;
    if (!isSame) session.exchanges++;
  }
}
