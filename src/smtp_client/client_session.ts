// The client's side of an SMTP session without I/O (RFC 5321 §3): octets in, effects out, the mirror of
// the server's session.

import type { DialogueObserver } from "./dialogue.ts";
import type { Stage } from "./mail_client.ts";
import { type OpeningOptions, openSession } from "./opening.ts";
import { type RawReply, type ReplyFault, ReplyReader } from "./reply_reader.ts";
import { Failure, OWN_REPLIES, Refusal, type SessionResult } from "./session_result.ts";
import { type ClientEffect, type Step, Talk, type Wait } from "./talk.ts";
import { type Envelope, refused, Transaction } from "./transaction.ts";

export type { ClientEffect } from "./talk.ts";
export type { Envelope } from "./transaction.ts";

export interface ClientSessionOptions extends OpeningOptions {
  readonly observer?: DialogueObserver | undefined;
}

const FAULTS: Readonly<Record<ReplyFault, string>> = {
  MALFORMED: "the server says something that is no SMTP reply",
  TOOLONG: "the server's reply is too long",
};

const CLOSED: ClientEffect = {
  type: "result",
  result: {
    type: "failed",
    stage: "MAIL",
    code: "CLOSED",
    message: "the connection has ended",
    ambiguous: false,
    recipients: [],
  },
};

export class ClientSession {
  readonly #reader = new ReplyReader();
  readonly #talk: Talk;
  /** Undefined while the session is idle, and after its end. */
  #task: Step<void> | undefined;
  #waitsFor: Wait = "reply";
  #transaction: Transaction | undefined;
  /** Whether the running task has given its result. */
  #settled = false;
  /** Whether the last octets of the content may have left. */
  #contentLeft = false;
  #secure: boolean;
  #closed = false;

  /** The first result is `ready`, unless the session ends. */
  constructor(options: ClientSessionOptions) {
    this.#talk = new Talk(options.observer, () => this.#reader.pending);
    this.#secure = options.server.tls === "implicit";
    this.#run(this.#open(options));
  }

  get stage(): Stage {
    return this.#talk.stage;
  }

  /** How many replies have been read. */
  get replies(): number {
    return this.#talk.replies;
  }

  /** Whether it is in TLS. */
  get secure(): boolean {
    return this.#secure;
  }

  /** Whether the content may be sent, or go on being sent. */
  get takesContent(): boolean {
    return this.#task !== undefined && this.#waitsFor === "content";
  }

  /** The connection is there, in TLS if that is implicit: the greeting follows. */
  connected(): void {
    this.#talk.stage = "greeting";
  }

  receive(octets: Uint8Array): readonly ClientEffect[] {
    if (this.#closed) return [];
    this.#reader.add(octets);
    while (this.#task !== undefined) {
      const reply = this.#reader.next();
      if (reply === undefined) return this.#talk.drain();
      if (typeof reply === "string") return this.lost(reply, FAULTS[reply]);
      if (this.#waitsFor === "tls") return this.lost("INJECTION", "plain text came instead of TLS");
      this.#talk.heard(reply);
      this.#resume(reply);
    }
    // A reply to nothing: the server closes the connection, or has lost count.
    if (this.#reader.pending) this.#close();
    return this.#talk.drain();
  }

  tlsStarted(): readonly ClientEffect[] {
    this.#secure = true;
    this.#resume(undefined);
    return this.#talk.drain();
  }

  /** The last octets of the content are sent now: from here on they may have arrived. */
  contentLeaves(): void {
    this.#contentLeft = true;
    this.#resume(undefined);
  }

  /** Begins a transaction. The session must be idle; if it has just ended, the transaction fails. */
  send(envelope: Envelope): readonly ClientEffect[] {
    if (this.#closed) return [CLOSED];
    this.#settled = this.#contentLeft = false;
    this.#transaction = new Transaction(this.#talk, envelope, (result) => this.#settle(result));
    this.#run(this.#transact(this.#transaction));
    return this.#talk.drain();
  }

  /** Ends an idle session (RFC 5321 §4.1.1.10). */
  quit(): readonly ClientEffect[] {
    if (!this.#closed) this.#run(this.#quit());
    return this.#talk.drain();
  }

  /** The connection is gone, or is given up. */
  lost(code: string, message: string): readonly ClientEffect[] {
    this.#fail(new Failure(code, message));
    return this.#talk.drain();
  }

  /** The content has a stray line end, and is not sent to its end. */
  contentRefused(): readonly ClientEffect[] {
    this.#fail(new Refusal("content", OWN_REPLIES.strayLineEnd, "content"));
    return this.#talk.drain();
  }

  *#open(options: ClientSessionOptions): Step<void> {
    const mechanism = yield* openSession(this.#talk, options);
    const { extensions } = this.#talk;
    this.#settle({ type: "ready", extensions, ...(mechanism === undefined ? {} : { mechanism }) });
  }

  *#transact(transaction: Transaction): Step<void> {
    yield* transaction.run();
    if (this.#talk.leaving) this.#close();
    else this.#talk.effect({ type: "idle" });
  }

  *#quit(): Step<void> {
    this.#settled = true;
    this.#talk.write("QUIT\r\n");
    yield* this.#talk.reply();
    this.#close();
  }

  #run(task: Step<void>): void {
    this.#task = task;
    this.#resume(undefined);
  }

  #resume(input: RawReply | undefined): void {
    const task = this.#task;
    if (task === undefined) return;
    try {
      const { done, value } = task.next(input);
      if (done !== true) this.#waitsFor = value;
      else if (this.#task === task) this.#task = undefined;
    } catch (problem) {
      if (!(problem instanceof Refusal || problem instanceof Failure)) throw problem;
      this.#fail(problem);
    }
  }

  #settle(result: SessionResult): void {
    this.#settled = true;
    this.#talk.effect({ type: "result", result });
  }

  /** Ends the session, with a result if the task has given none yet. */
  #fail(problem: Refusal | Failure): void {
    if (this.#closed) return;
    const talk = this.#talk;
    const recipients = this.#transaction?.recipients ?? [];
    if (this.#task !== undefined && !this.#settled) {
      if (problem instanceof Refusal) this.#settle(refused(problem, talk, recipients));
      else {
        const { code, message } = problem;
        const ambiguous = this.#contentLeft;
        this.#settle({ type: "failed", stage: talk.stage, code, message, ambiguous, recipients });
      }
    }
    // A server that has refused the login, say, is left politely; but not in the middle of a content.
    const polite = problem instanceof Refusal && talk.stage !== "content" && !talk.leaving;
    if (polite) this.#run(this.#quit());
    else this.#close();
  }

  #close(): void {
    if (!this.#closed) this.#talk.effect({ type: "close" });
    this.#closed = true;
    this.#task = undefined;
  }
}
