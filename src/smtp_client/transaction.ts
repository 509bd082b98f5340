// One mail transaction (RFC 5321 §3.3): MAIL, RCPT and DATA together where the server offers PIPELINING
// (RFC 2920), BDAT where it offers CHUNKING (RFC 3030).

import { Buffer } from "node:buffer";
import { sizeLimit } from "./extensions.ts";
import type { OutgoingMessage, RecipientReply, SendOptions, ServerReply } from "./mail_client.ts";
import { Failure, OWN_REPLIES, Refusal, type SessionResult } from "./session_result.ts";
import { kind, type Step, type Talk } from "./talk.ts";

/** What a transaction needs; the content itself passes by the session. */
export type Envelope =
  & Pick<OutgoingMessage, "from" | "recipients" | "size" | "eightBit" | "smtputf8">
  & Pick<SendOptions, "partlyRefused">;

export class Transaction {
  readonly #talk: Talk;
  readonly #envelope: Envelope;
  readonly #settle: (result: SessionResult) => void;
  readonly #chunking: boolean;
  readonly #pipelining: boolean;
  readonly #recipients: RecipientReply[] = [];
  #settled = false;

  /** @param settle gets the result, once; replies may follow it */
  constructor(talk: Talk, envelope: Envelope, settle: (result: SessionResult) => void) {
    this.#talk = talk;
    this.#envelope = envelope;
    this.#settle = settle;
    this.#chunking = talk.extensions.has("CHUNKING");
    this.#pipelining = talk.extensions.has("PIPELINING");
  }

  /** The replies to RCPT so far. */
  get recipients(): readonly RecipientReply[] {
    return this.#recipients;
  }

  /** Ends with the server ready for the next transaction, or by a {@link Refusal} or {@link Failure}. */
  *run(): Step<void> {
    const talk = this.#talk;
    talk.stage = "MAIL";
    const obstacle = this.#obstacle();
    if (obstacle !== undefined) return this.#refuse(obstacle);
    const { from, recipients, partlyRefused, size } = this.#envelope;
    // After a 354, only the end of the connection stops a message that not everybody is to get.
    const withData = this.#pipelining && !this.#chunking &&
      (recipients.length === 1 || partlyRefused === "send");
    const mail = `MAIL FROM:<${from}>${this.#parameters()}\r\n`;
    const commands = recipients.map((recipient) => `RCPT TO:<${recipient}>\r\n`);
    talk.write(
      this.#pipelining ? mail + commands.join("") + (withData ? "DATA\r\n" : "") : mail,
    );

    // RFC 2920 §3.1: each command has its reply, whatever those before it say.
    const reply = yield* talk.reply();
    if (kind(reply) !== 2) this.#refuse(talk.refusal(reply));
    const accepted = yield* this.#nameRecipients(commands);

    if (!this.#chunking && (withData || !this.#settled)) {
      if (!this.#settled) talk.stage = "DATA";
      if (!withData) talk.write("DATA\r\n");
      const ready = yield* talk.reply();
      if (this.#settled && kind(ready) === 3) return yield* this.#sendNothing(accepted);
      if (!this.#settled && kind(ready) !== 3) this.#refuse(talk.refusal(ready));
    }
    if (this.#settled) return yield* this.#reset();
    yield* this.#sendContent(this.#chunking ? `BDAT ${size} LAST\r\n` : undefined);
  }

  /** @returns how many the server has accepted */
  *#nameRecipients(commands: readonly string[]): Step<number> {
    const talk = this.#talk;
    const { recipients, partlyRefused } = this.#envelope;
    let accepted = 0;
    if (!this.#settled) talk.stage = "RCPT";
    for (let i = 0; i < commands.length; i++) {
      if (!this.#pipelining) {
        if (this.#settled) return accepted;
        talk.write(commands[i]!);
      }
      const reply = yield* talk.reply();
      if (kind(reply) === 3) throw talk.refusal(reply);
      if (kind(reply) === 2) accepted++;
      if (this.#settled) continue;
      this.#recipients.push({ recipient: recipients[i]!, reply: talk.shown(reply) });
    }
    const stops = partlyRefused === "stop" ? accepted < commands.length : accepted === 0;
    if (stops && !this.#settled) this.#refuse(new Refusal("RCPT", this.#worthTrying()));
    return accepted;
  }

  /** The refusal that stands for all: one that passes, if there is one. */
  #worthTrying(): ServerReply {
    const refused = this.#recipients.map(({ reply }) => reply).filter(({ code }) => code >= 400);
    return refused.find(({ code }) => code < 500) ?? refused[0]!;
  }

  /** A message that is not to be sent to anybody has got its 354. */
  *#sendNothing(accepted: number): Step<void> {
    // Against all rules: with a recipient, even an empty message would be one.
    if (accepted > 0) throw new Failure("UNEXPECTED", "DATA was accepted after MAIL was refused");
    // RFC 2920 §3.1
    this.#talk.write(".\r\n");
    yield* this.#talk.reply();
  }

  *#sendContent(bdat: string | undefined): Step<void> {
    const talk = this.#talk;
    talk.stage = "content";
    talk.sendContent(bdat);
    const early = yield "content";
    // The rest of the content would be taken for commands: the connection ends here.
    if (early !== undefined) throw talk.refusal(early);
    const reply = yield* talk.reply();
    if (kind(reply) === 2) {
      this.#settled = true;
      const recipients = this.#recipients;
      return this.#settle({ type: "accepted", reply: talk.shown(reply), recipients });
    }
    this.#refuse(talk.refusal(reply));
    // RFC 3030 §2: after a failed BDAT the transaction is still there.
    if (bdat !== undefined) yield* this.#reset();
  }

  /** Ends a transaction that the server still has open (RFC 5321 §4.1.1.5). */
  *#reset(): Step<void> {
    this.#talk.write("RSET\r\n");
    this.#talk.demand(yield* this.#talk.reply(), 2);
  }

  /**
   * Gives the result while the replies to further commands are still to come.
   *
   * @throws a failure, and what comes with the end of the connection: both end the session
   */
  #refuse(problem: Refusal | Failure): void {
    if (problem instanceof Failure || this.#talk.leaving) throw problem;
    this.#settled = true;
    this.#settle(refused(problem, this.#talk, this.#recipients));
  }

  /** Why the server would certainly not take the message, found before it is asked. */
  #obstacle(): Refusal | undefined {
    const { extensions } = this.#talk;
    const { size, smtputf8 } = this.#envelope;
    if (!extensions.has("SMTPUTF8")) {
      if (!this.#asciiAddresses()) {
        return new Refusal("MAIL", OWN_REPLIES.addressNotAscii, "SMTPUTF8");
      }
      if (smtputf8) return new Refusal("MAIL", OWN_REPLIES.headerNotAscii, "SMTPUTF8");
    }
    const limit = sizeLimit(extensions);
    if (limit === undefined || size <= limit) return undefined;
    return new Refusal("MAIL", OWN_REPLIES.tooLarge(size, limit), "SIZE");
  }

  #parameters(): string {
    const { extensions } = this.#talk;
    const { size, eightBit, smtputf8 } = this.#envelope;
    // Without 8BITMIME the octets go as they are, as Exim and qmail send them: servers pass them on. A
    // conversion (RFC 6152 §3) would break signatures, a refusal would lose the mail.
    return (extensions.has("SIZE") ? ` SIZE=${size}` : "") +
      (eightBit && extensions.has("8BITMIME") ? " BODY=8BITMIME" : "") +
      (smtputf8 || !this.#asciiAddresses() ? " SMTPUTF8" : "");
  }

  #asciiAddresses(): boolean {
    const { from, recipients } = this.#envelope;
    return isAscii(from) && recipients.every(isAscii);
  }
}

/** The result of a refusal. */
export function refused(
  { stage, reply, own }: Refusal,
  { challenge }: Talk,
  recipients: readonly RecipientReply[],
): SessionResult {
  return {
    type: "refused",
    stage,
    reply,
    ...(own === undefined ? {} : { own }),
    ...(challenge === undefined ? {} : { challenge }),
    recipients,
  };
}

function isAscii(text: string): boolean {
  return Buffer.byteLength(text, "utf8") === text.length;
}
