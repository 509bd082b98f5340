// Limits the client's errors and idle commands in a session: MAX_ERRORS and MAX_IDLE_COMMANDS.
//
// Honest clients make few mistakes, and may have many bad addresses: a mailing with a thousand bad
// recipients is not an attack.

import type { SessionOptions } from "./options.ts";
import { REPLIES, type Reply } from "./reply.ts";

/** A limit that is reached, and the client's last reply. */
export interface LimitReached {
  readonly setting: "MAX_ERRORS" | "MAX_IDLE_COMMANDS";
  readonly reply: Reply;
}

const TOO_MANY_ERRORS: LimitReached = { setting: "MAX_ERRORS", reply: REPLIES.tooManyErrors };
const TOO_IDLE: LimitReached = { setting: "MAX_IDLE_COMMANDS", reply: REPLIES.tooManyIdleCommands };

/** RFC 4954 §9: failed logins do not end a session before the third. */
const MIN_FAILED_LOGINS = 3;

/** The commands of a transaction, whose refusals follow from addresses and from each other. */
const RECIPIENT_COMMANDS = new Set(["RCPT", "DATA", "BDAT"]);

type Limits = Pick<SessionOptions, "maxErrors" | "maxIdleCommands" | "maxRecipients">;

export class SessionLimits {
  readonly #limits: Limits;
  #errors = 0;
  /** Refusals since MAIL that follow from addresses. */
  #recipientErrors = 0;
  #failedLogins = 0;
  #idleCommands = 0;
  #reached: LimitReached | undefined;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** The first limit that the client has reached. */
  get reached(): LimitReached | undefined {
    return this.#reached;
  }

  /**
   * A command was refused. A 4yz is not the client's fault, and does not count.
   *
   * @param verb of the command; "" where it had none
   */
  refused(verb: string, { code }: Reply, authenticated: boolean): void {
    if (code < 500) return;
    if (authenticated && RECIPIENT_COMMANDS.has(verb)) {
      // As many as a message may have recipients; from then on they count.
      if (++this.#recipientErrors <= this.#limits.maxRecipients) return;
    }
    if (verb === "AUTH") this.#failedLogins++;
    this.#errors++;
    if (this.#errors < (this.#limits.maxErrors ?? Infinity)) return;
    if (verb === "AUTH" && this.#failedLogins < MIN_FAILED_LOGINS) return;
    this.#reached ??= TOO_MANY_ERRORS;
  }

  /**
   * A command was answered.
   *
   * @param progressed whether it has brought the client to a stage that it had not reached before
   */
  answered(progressed: boolean, authenticated: boolean): void {
    // Programs that keep a connection between messages say NOOP for hours. They may, once logged in.
    if (progressed || authenticated) this.#idleCommands = 0;
    else if (++this.#idleCommands >= (this.#limits.maxIdleCommands ?? Infinity)) {
      this.#reached ??= TOO_IDLE;
    }
  }

  /** MAIL was accepted: its recipients may be as bad as those of the message before. */
  mailBegan(): void {
    this.#recipientErrors = 0;
  }

  /** A message was accepted: earlier errors no longer count. */
  messageSent(): void {
    this.#errors = 0;
    this.#recipientErrors = 0;
  }
}
