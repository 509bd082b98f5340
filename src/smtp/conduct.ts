// How a client behaves in a session: MAX_ERRORS and MAX_IDLE_COMMANDS. Pure bookkeeping.
//
// What counts is what an honest program does not do. Its mistakes are few, or they are about
// addresses that somebody has given it: a mailing with a thousand bad recipients is no attack.

import { REPLIES, type Reply } from "./reply.ts";

export interface ConductLimits {
  /** Commands answered 5yz that end a session; unlimited when left out. */
  readonly maxErrors?: number;
  /** Commands in a row that bring a client no further; unlimited when left out. */
  readonly maxIdleCommands?: number;
  /** Recipients of one message. */
  readonly maxRecipients: number;
}

/** A limit that is reached, and what the client is told of it. */
export interface Overrun {
  readonly setting: "MAX_ERRORS" | "MAX_IDLE_COMMANDS";
  readonly reply: Reply;
}

const TOO_MANY_ERRORS: Overrun = { setting: "MAX_ERRORS", reply: REPLIES.tooManyErrors };
const TOO_IDLE: Overrun = { setting: "MAX_IDLE_COMMANDS", reply: REPLIES.tooManyIdleCommands };

/** RFC 4954 §9: nobody is dropped for failed logins before the third. */
const LOGINS_FREE = 3;

/** The commands of a transaction, whose refusals follow from addresses and from each other. */
const ABOUT_RECIPIENTS = new Set(["RCPT", "DATA", "BDAT"]);

export class Conduct {
  readonly #limits: ConductLimits;
  #errors = 0;
  #excused = 0;
  #failedLogins = 0;
  #idle = 0;
  #overrun: Overrun | undefined;

  constructor(limits: ConductLimits) {
    this.#limits = limits;
  }

  /** The limit that the client has reached, once it has. */
  get overrun(): Overrun | undefined {
    return this.#overrun;
  }

  /**
   * A command was refused. What is refused with 4yz is not the client's fault.
   *
   * @param verb of the command; "" where it had none
   */
  refused(verb: string, { code }: Reply, authenticated: boolean): void {
    if (code < 500) return;
    if (authenticated && ABOUT_RECIPIENTS.has(verb)) {
      // Not for ever, though: as many as a message may have, before one must get further.
      if (++this.#excused <= this.#limits.maxRecipients) return;
    }
    if (verb === "AUTH") this.#failedLogins++;
    this.#errors++;
    if (this.#errors < (this.#limits.maxErrors ?? Infinity)) return;
    if (verb === "AUTH" && this.#failedLogins < LOGINS_FREE) return;
    this.#overrun ??= TOO_MANY_ERRORS;
  }

  /**
   * A command was answered.
   *
   * @param further whether it has brought the client to a stage in which it was not yet
   */
  answered(further: boolean, authenticated: boolean): void {
    // A program that keeps its connection between messages says NOOP for hours; who has logged in has
    // a name, and may.
    if (further || authenticated) this.#idle = 0;
    else if (++this.#idle >= (this.#limits.maxIdleCommands ?? Infinity)) this.#overrun ??= TOO_IDLE;
  }

  /** MAIL was accepted: its recipients may be as bad as those before. */
  mailBegan(): void {
    this.#excused = 0;
  }

  /** A message was accepted: what was wrong before has been put right. */
  messageSent(): void {
    this.#errors = 0;
    this.#excused = 0;
  }
}
