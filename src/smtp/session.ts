// One SMTP session (RFC 5321) as a state machine without I/O: octets in, effects out.
//
// Whoever owns the connection feeds `receive`, carries out the effects in order, and answers
// `authenticate` and `submit` through `authenticated` and `submitted`. Until then the session is
// busy: it keeps what arrives, and answers it when it goes on (RFC 2920 §3.2: replies in order).

import type { Secret } from "../secret.ts";
import { commandLimit, MAX_SASL_LINE, parseCommand } from "./command.ts";
import { type LimitReached, SessionLimits } from "./session_limits.ts";
import { type Content, ContentBuilder, lengthOf } from "./content.ts";
import type { Effect, Refusal } from "./effects.ts";
import { readRecipient, readSender, utf8 } from "./envelope.ts";
import { LineReader, type LineTooLong } from "./line_reader.ts";
import { type SessionObserver, shownCommand, shownContent } from "./observer.ts";
import { ehloReply, type SessionOptions } from "./options.ts";
import { EffectBuffer } from "./effect_buffer.ts";
import { ChunkReceiver, DataReceiver, MAX_DISCARDED } from "./receivers.ts";
import { formatReply, REPLIES, type Reply, reply } from "./reply.ts";
import { type Memory, UNLIMITED } from "./reservation.ts";
import {
  afterRefusal,
  beginSasl,
  type SaslExchange,
  type SaslStep,
  STANDARD_MECHANISMS,
} from "./sasl.ts";
import { LEAST, Transaction } from "./transaction.ts";

export type { SessionOptions } from "./options.ts";

/** Why MAIL is refused for a reverse-path, "" for the null one; undefined where not. Does no I/O. */
export type SenderCheck = (from: string) => Reply | undefined;

/** The way to a login. */
const enum Stage {
  Greeted,
  Hello,
  StartTls,
  Secure,
  SecureHello,
  Auth,
}

type Mode = "command" | "sasl" | "data" | "chunk" | "busy" | "tls" | "closed";

/**
 * Octets of replies to what has come at once, after which the client is to read them first: it may send
 * a hundred thousand short commands in one piece, and the answer to each is many times as long.
 */
const MAX_REPLIES = 16 * 1024;

/** First octet of a TLS record that holds a ClientHello. */
export const TLS_HANDSHAKE = 0x16;
/** Why a session ends whose client is on the wrong port. */
export const TLS_FIRST = "the client began with TLS on a port that begins in plain text";

export class Session {
  readonly #options: SessionOptions;
  readonly #memory: Memory;
  #mode: Mode = "command";
  #secure: boolean;
  /** The client's address may send without AUTH and TLS. */
  #trusted = false;
  #authenticated = false;
  /** A login was refused, or could not be checked, and none has succeeded since. */
  #loginFailed = false;
  /** The account is that of the trusted networks. */
  #asTrusted = false;
  #checkSender: SenderCheck | undefined;
  /** The account's own address takes the reverse-path's place. */
  #anySender = false;
  /** The argument of the MAIL that waits for the account of the trusted networks. */
  #mailWaiting: string | undefined;
  #helo: { name: string; esmtp: boolean } | undefined;
  #transaction: Transaction | undefined;
  #sasl: SaslExchange | undefined;
  /** What comes before the 535 of the login that is being checked (RFC 7628 §3.2.2). */
  #errorChallenge: Reply | undefined;

  /** Input that has not been looked at: while busy, or an unfinished line. */
  readonly #reader = new LineReader();
  #receiver: DataReceiver | undefined;
  #chunk: ChunkReceiver | undefined;
  /** Set when the session is to end as soon as nothing is under way. */
  #stopping: { readonly reply: Reply; readonly reason: string } | undefined;

  readonly #output = new EffectBuffer();
  readonly #limits: SessionLimits;
  /** The verb of the command that is being answered; undefined in between. */
  #verb: string | undefined;
  #stage: Stage = Stage.Greeted;
  /** Whether the command that is being answered has reached a further stage. */
  #further = false;
  #turn = 0;
  #greeted = false;
  #observer: SessionObserver | undefined;
  #held = false;

  /**
   * @param secure whether the connection is on TLS already (RFC 8314 §3.3)
   * @param memory where messages find room
   */
  constructor(options: SessionOptions, secure = false, memory: Memory = UNLIMITED) {
    this.#options = options;
    this.#memory = memory;
    this.#secure = secure;
    this.#limits = new SessionLimits(options);
  }

  /** How far the client has come on its way to a login: what counts as progress before that. */
  get stage(): number {
    return this.#stage;
  }

  /**
   * Counts complete commands, and answers that the client had to wait for. Of the commands in an open
   * transaction, only those count that bring it further.
   */
  get turn(): number {
    return this.#turn;
  }

  /** Whether content of a message has begun to come, which may pause between chunks. */
  get contentBegun(): boolean {
    return this.receivingContent || this.#transaction?.chunked === true;
  }

  /** Whether an answer to `authenticate` or `submit`, or a TLS handshake, is awaited. */
  get busy(): boolean {
    return this.#mode === "busy" || this.#mode === "tls";
  }

  /**
   * Whether commands wait that have come, because the replies so far are to be read before: then
   * {@link resume} goes on.
   */
  get held(): boolean {
    return this.#held;
  }

  /** Whether the client has sent something ahead that is not answered yet. */
  get inputWaiting(): boolean {
    return this.unread > 0;
  }

  /** Octets that have come and have not been looked at. */
  get unread(): number {
    return this.#reader.input.length;
  }

  /**
   * Whether the content so far ends in a line with a single dot that ends no content, because the line
   * before it, or that line, ends in LF alone: the client may think that it has sent all.
   */
  get endMissed(): boolean {
    return this.#mode === "data" && this.#receiver!.endMissed;
  }

  /** Whether message content is being received: another timeout applies. */
  get receivingContent(): boolean {
    return this.#mode === "data" || this.#mode === "chunk";
  }

  /**
   * The client's address is one that may send without AUTH, and without TLS: MAIL asks for the account
   * that it sends as. It may log in itself all the same. Call it before {@link open}.
   */
  trust(): void {
    this.#trusted = true;
  }

  /** Has the dialogue observed from here on. */
  observe(observer: SessionObserver | undefined): void {
    this.#observer = observer;
  }

  /** The greeting. Call it once, before any input. */
  open(): Effect[] {
    const { hostname, greeting } = this.#options;
    this.#say({ code: 220, text: `${hostname} ${greeting}` });
    return this.#take();
  }

  receive(bytes: Uint8Array): Effect[] {
    if (this.#mode === "closed") return [];
    // RFC 3207 §4.2, CVE-2011-0411: what arrives in plain text behind STARTTLS is never looked at.
    if (this.#mode === "tls") return [];
    if (!this.#greeted && bytes.length > 0) {
      this.#greeted = true;
      if (bytes[0] === TLS_HANDSHAKE && !this.#secure) {
        this.#close(TLS_FIRST);
        return this.#take();
      }
    }
    // What stops behind the answer that is awaited looks at nothing more.
    if (this.#mode === "busy" && this.#stopping !== undefined) return [];
    this.#reader.add(bytes);
    if (this.#mode !== "busy" && !this.#held) this.#process();
    return this.#take();
  }

  /** The replies so far have been written. */
  resume(): Effect[] {
    if (!this.#held) return [];
    this.#process();
    return this.#take();
  }

  /** TLS is in place: everything known from before is forgotten (RFC 3207 §4.2). */
  tlsStarted(): Effect[] {
    if (this.#mode !== "tls") return [];
    this.#turn++;
    this.#observer?.command("(TLS handshake)");
    this.#reached(Stage.Secure);
    this.#secure = true;
    this.#helo = undefined;
    this.#authenticated = false;
    this.#loginFailed = false;
    this.#asTrusted = false;
    this.#checkSender = undefined;
    this.#anySender = false;
    this.#endTransaction();
    this.#mode = "command";
    this.#process();
    return this.#take();
  }

  /**
   * Answers `authenticate` and `authenticateTrusted`. With any reply but a 2yz there is no account; in
   * answer to the latter, MAIL is refused with it. A 421 ends the session (RFC 5321 §3.8).
   *
   * @param checkSender what MAIL is to be refused with; asked for each reverse-path
   * @param anySender whether the account's own address takes the reverse-path's place: then one without
   *   a domain will do
   */
  authenticated(answer: Reply, checkSender?: SenderCheck, anySender = false): Effect[] {
    if (this.#mode !== "busy") return [];
    if (answer.code === 421) return this.abort(answer, "a login was answered with 421");
    const mail = this.#mailWaiting;
    this.#mailWaiting = undefined;
    this.#authenticated = answer.code < 300;
    if (mail === undefined) this.#loginFailed = !this.#authenticated;
    this.#asTrusted = this.#authenticated && mail !== undefined;
    this.#checkSender = checkSender;
    this.#anySender = anySender;
    this.#verb = mail === undefined ? "AUTH" : "MAIL";
    if (mail !== undefined && this.#authenticated) {
      this.#mode = "command";
      this.#turn++;
      this.#mail(mail);
      this.#verb = undefined;
      this.#process();
      return this.#take();
    }
    const challenge = this.#errorChallenge;
    this.#errorChallenge = undefined;
    if (challenge === undefined || answer.code !== 535 || this.#stopping !== undefined) {
      return this.#goOn(answer);
    }
    this.#sasl = afterRefusal(answer);
    return this.#goOn(challenge, "sasl");
  }

  /** Answers `submit`. The transaction is over, however it went (RFC 5321 §4.1.1.4). */
  submitted(answer: Reply): Effect[] {
    if (this.#mode !== "busy") return [];
    // A message's verdict is Graph's, and no conduct of the client's.
    if (answer.code < 300) this.#limits.messageSent();
    return this.#goOn(answer);
  }

  /** Ends the session from the server's side: a timeout, a limit, a stop (RFC 5321 §3.8). */
  abort(answer: Reply, reason: string): Effect[] {
    if (this.#mode === "closed") return [];
    this.#verb = undefined;
    this.#say(answer);
    this.#close(reason);
    return this.#take();
  }

  /**
   * Ends the session as {@link abort} does, but not before a message that is being received, or an
   * answer that is awaited. What the client has sent behind that is not looked at any more.
   */
  stop(answer: Reply, reason: string): Effect[] {
    if (!this.busy && !this.receivingContent) return this.abort(answer, reason);
    this.#stopping = { reply: answer, reason };
    if (this.#mode === "busy") this.#reader.clear();
    return [];
  }

  #goOn(answer: Reply, mode: Mode = "command"): Effect[] {
    this.#mode = mode;
    this.#turn++;
    this.#say(answer);
    this.#verb = undefined;
    this.#process();
    return this.#take();
  }

  // --- output ---

  #say(answer: Reply): void {
    this.#output.reply(answer);
    this.#observer?.reply(formatReply(answer));
    if (answer.code >= 500 && this.#verb !== undefined) {
      this.#limits.refused(this.#verb, answer, this.#mayMail);
    }
  }

  #take(): Effect[] {
    return this.#output.drain();
  }

  #close(reason: string, limit?: LimitReached["setting"]): void {
    this.#output.effect({ type: "close", reason, ...(limit === undefined ? {} : { limit }) });
    this.#mode = "closed";
    this.#held = false;
    this.#reader.clear();
    this.#receiver?.discard();
    this.#endTransaction();
    this.#receiver = undefined;
    this.#chunk = undefined;
  }

  #endTransaction(): void {
    this.#transaction?.discard();
    this.#transaction = undefined;
  }

  /** Refuses what loses a login or a message, and has somebody told of it. */
  #refuse(command: Refusal["command"], answer: Reply, argument?: string, tried?: Secret): void {
    this.#say(answer);
    this.#tell(command, answer, argument, tried);
  }

  #tell(command: Refusal["command"], answer: Reply, argument?: string, tried?: Secret): void {
    const transaction = this.#transaction;
    this.#output.notify({
      type: "refused",
      refusal: {
        command,
        reply: answer,
        authenticated: this.#authenticated,
        ...(tried === undefined ? {} : { tried }),
        ...(argument === undefined ? {} : { argument: utf8(argument) ?? argument }),
        ...(transaction === undefined ? {} : { from: transaction.from }),
        ...(this.#asTrusted ? { trusted: true } : {}),
      },
    });
  }

  // --- input ---

  #process(): void {
    this.#held = false;
    for (;;) {
      if (this.#stopping !== undefined && this.#mode === "command") {
        this.#say(this.#stopping.reply);
        return this.#close(this.#stopping.reason);
      }
      const { reached } = this.#limits;
      if (reached !== undefined && this.#mode === "command") {
        this.#say(reached.reply);
        return this.#close(`${reached.setting} reached`, reached.setting);
      }
      if (this.#reader.input.length === 0) return;
      if (this.#mode === "busy") return this.#reader.keep();
      if (this.#output.length > MAX_REPLIES && this.#mode !== "closed") {
        this.#held = true;
        return this.#reader.keep();
      }
      switch (this.#mode) {
        case "command": {
          const line = this.#reader.next(commandLimit);
          if (line === undefined) return;
          this.#verb = "";
          this.#further = false;
          const transaction = this.#transaction;
          const recipients = transaction?.recipients.length;
          this.#observer?.command(shownCommand(line));
          if (typeof line === "string") this.#command(line);
          else if (line.limit === MAX_SASL_LINE) this.#refuse("AUTH", REPLIES.authTooLong);
          else this.#say(REPLIES.lineTooLong);
          // What brings an open transaction no further does not keep it open either.
          const same = transaction !== undefined && transaction === this.#transaction;
          const longer = same && transaction.recipients.length !== recipients;
          if (!same || longer || this.#mode !== "command") this.#turn++;
          if (this.#mode === "command") {
            this.#limits.answered(this.#further, this.#mayMail);
          }
          this.#verb = undefined;
          break;
        }
        case "sasl": {
          const line = this.#reader.next(() => MAX_SASL_LINE);
          if (line === undefined) return;
          this.#turn++;
          this.#verb = "AUTH";
          this.#observer?.command("(SASL response)");
          this.#saslLine(line);
          this.#verb = undefined;
          break;
        }
        case "data":
          this.#dataOctets();
          break;
        case "chunk":
          this.#chunkOctets();
          break;
        default:
          return;
      }
    }
  }

  #reached(stage: Stage): void {
    if (stage <= this.#stage) return;
    this.#stage = stage;
    this.#further = true;
  }

  // --- commands ---

  #command(line: string): void {
    const command = parseCommand(line);
    if (!("verb" in command)) return this.#say(command);
    const { verb, argument } = command;
    this.#verb = verb;
    if (this.#lacksTls(verb)) {
      if (verb !== "AUTH" && verb !== "MAIL") return this.#say(REPLIES.mustStartTls);
      return this.#refuse(verb, REPLIES.mustStartTls);
    }
    switch (verb) {
      case "EHLO":
        return this.#hello(argument, true);
      case "HELO":
        return this.#hello(argument, false);
      case "STARTTLS":
        return this.#startTls(argument);
      case "AUTH":
        return this.#auth(argument);
      case "MAIL":
        return this.#mail(argument);
      case "RCPT":
        return this.#rcpt(argument);
      case "DATA":
        return this.#data(argument);
      case "BDAT":
        return this.#bdat(argument);
      case "RSET":
        if (argument !== "") return this.#say(REPLIES.noArgument);
        this.#endTransaction();
        return this.#say(REPLIES.ok);
      case "NOOP":
        return this.#say(REPLIES.ok);
      case "VRFY":
        return this.#say(argument === "" ? REPLIES.needsArgument : REPLIES.cannotVerify);
      case "HELP":
        return this.#say(REPLIES.help);
      case "QUIT":
        if (argument !== "") return this.#say(REPLIES.noArgument);
        this.#say(REPLIES.quit);
        return this.#close("quit");
      case "EXPN":
      case "TURN":
      case "ETRN":
      case "SEND":
      case "SOML":
      case "SAML":
        return this.#say(REPLIES.notImplemented);
      case "GET":
      case "HEAD":
      case "POST":
      case "PUT":
      case "DELETE":
      case "PATCH":
      case "OPTIONS":
      case "CONNECT":
        // A browser that was led here must not get any further (cross-protocol attacks).
        this.#say(REPLIES.notHttp);
        return this.#close("the client spoke HTTP");
      default:
        return this.#say(REPLIES.unknown);
    }
  }

  /** Whether TLS has to come first. A password has to wait for it wherever its client is. */
  #lacksTls(verb: string): boolean {
    if (!this.#options.requireTls || this.#secure) return false;
    return this.#trusted ? verb === "AUTH" : NEEDS_TLS.has(verb);
  }

  #hello(name: string, esmtp: boolean): void {
    // Any name will do, or none: devices send their serial number, brackets, or nothing.
    this.#helo = { name, esmtp };
    this.#reached(this.#secure ? Stage.SecureHello : Stage.Hello);
    this.#endTransaction();
    if (esmtp) return this.#say(ehloReply(this.#options, this.#secure));
    this.#say({ code: 250, text: this.#options.hostname });
  }

  #startTls(argument: string): void {
    if (argument !== "") return this.#say(REPLIES.noArgument);
    if (this.#secure) return this.#say(REPLIES.tlsActive);
    if (!this.#options.offerTls) return this.#say(REPLIES.tlsNotOffered);
    this.#reached(Stage.StartTls);
    this.#say(REPLIES.readyForTls);
    this.#output.effect({ type: "startTls" });
    this.#mode = "tls";
    this.#reader.clear();
  }

  #auth(argument: string): void {
    if (argument === "") return this.#say(REPLIES.needsArgument);
    if (this.#helo === undefined) return this.#say(REPLIES.helloFirst);
    if (this.#transaction !== undefined) return this.#say(REPLIES.authInTransaction);
    if (this.#authenticated && !this.#asTrusted) return this.#say(REPLIES.alreadyAuthenticated);
    const [mechanism, initial, ...more] = argument.split(/ +/);
    if (more.length > 0) return this.#refuse("AUTH", REPLIES.badBase64);
    this.#reached(Stage.Auth);
    const { mechanisms = STANDARD_MECHANISMS } = this.#options;
    const { exchange, step } = beginSasl(mechanism!, initial, mechanisms);
    this.#sasl = exchange;
    this.#saslStep(step);
  }

  #saslLine(line: string | LineTooLong): void {
    if (typeof line !== "string") {
      return this.#saslStep({ type: "failed", reply: REPLIES.authTooLong });
    }
    const exchange = this.#sasl;
    if (exchange !== undefined) this.#saslStep(exchange(line.trimEnd()));
  }

  #saslStep(step: SaslStep): void {
    if (step.type === "challenge") {
      this.#mode = "sasl";
      return this.#say(step.reply);
    }
    this.#sasl = undefined;
    this.#mode = "command";
    if (step.type === "failed") {
      this.#loginFailed ||= step.reply.code === 535;
      return this.#refuse("AUTH", step.reply, undefined, step.tried);
    }
    if (step.type === "refused") return this.#say(step.reply);
    this.#mode = "busy";
    this.#errorChallenge = step.errorChallenge;
    this.#output.effect({ type: "authenticate", credentials: step.credentials });
  }

  #mail(argument: string): void {
    if (!this.#authenticated && !this.#trusted) {
      return this.#refuse("MAIL", this.#noLogin);
    }
    if (this.#helo === undefined) return this.#say(REPLIES.helloFirst);
    if (this.#transaction !== undefined) return this.#say(REPLIES.nestedMail);
    if (!this.#authenticated) {
      this.#mailWaiting = argument;
      this.#mode = "busy";
      return this.#output.effect({ type: "authenticateTrusted" });
    }
    const sender = readSender(argument, this.#options.maxMessageSize, this.#anySender);
    if ("code" in sender) return this.#refuse("MAIL", sender, argument);
    const notAllowed = this.#checkSender?.(sender.from);
    if (notAllowed !== undefined) return this.#refuse("MAIL", notAllowed, argument);
    const reservation = this.#memory.open(sender.size);
    if (reservation === undefined) return this.#refuse("MAIL", REPLIES.outOfMemory, argument);
    this.#transaction = new Transaction(sender, reservation);
    this.#limits.mailBegan();
    this.#say(REPLIES.senderOk);
  }

  /** What is said to a client that has not logged in. */
  get #noLogin(): Reply {
    return this.#loginFailed ? REPLIES.loginFailedBefore : REPLIES.mustAuthenticate;
  }

  /** Whether RCPT, DATA and BDAT need only MAIL before them. */
  get #mayMail(): boolean {
    return this.#authenticated || this.#trusted;
  }

  #rcpt(argument: string): void {
    if (!this.#mayMail) return this.#say(this.#noLogin);
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#say(REPLIES.mailFirst);
    if (transaction.chunked) return this.#say(REPLIES.rcptAfterBdat);
    const recipient = readRecipient(argument, transaction.smtputf8);
    if (typeof recipient !== "string") return this.#refuse("RCPT", recipient, argument);
    const notSendable = this.#options.checkRecipient?.(recipient);
    if (notSendable !== undefined) return this.#refuse("RCPT", notSendable, argument);
    if (transaction.recipients.length >= this.#options.maxRecipients) {
      if (transaction.full) return this.#say(REPLIES.tooManyRecipients);
      transaction.full = true;
      return this.#refuse("RCPT", REPLIES.tooManyRecipients, argument);
    }
    if (!transaction.add(recipient)) return this.#refuse("RCPT", REPLIES.outOfMemory, argument);
    this.#say(REPLIES.recipientOk);
  }

  // --- content ---

  #data(argument: string): void {
    if (!this.#mayMail) return this.#say(this.#noLogin);
    if (argument !== "") return this.#say(REPLIES.noArgument);
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#say(REPLIES.mailFirst);
    if (transaction.chunked) return this.#say(REPLIES.dataAfterBdat);
    if (transaction.recipients.length === 0) return this.#say(REPLIES.rcptFirst);
    // Others may have needed the room meanwhile: better said now than behind the message.
    const { reservation, overhead } = transaction;
    if (!reservation.ensure(Math.max(1, overhead))) {
      this.#refuse("DATA", REPLIES.outOfMemory);
      return this.#endTransaction();
    }
    this.#receiver = new DataReceiver(this.#options.maxMessageSize, reservation, overhead);
    this.#mode = "data";
    this.#say(REPLIES.startData);
  }

  #dataOctets(): void {
    const receiver = this.#receiver!;
    const { input } = this.#reader;
    const end = receiver.push(input);
    this.#reader.consume(end < 0 ? input.length : end);
    if (receiver.overHardLimit) return this.#giveUp("DATA");
    if (end < 0) return;
    const content = receiver.finish();
    this.#observer?.command(shownContent(content));
    this.#receiver = undefined;
    this.#mode = "command";
    this.#turn++;
    if (!("code" in content)) return this.#submit(content);
    this.#verb = "DATA";
    this.#refuse("DATA", content);
    this.#verb = undefined;
    this.#endTransaction();
  }

  /**
   * The client has not stopped where it ought to have, or will not: it gets the verdict in the middle
   * (RFC 5321 §7.8). No 421 (§3.8) behind it, which a client may take for the verdict and try again.
   */
  #giveUp(command: "DATA" | "BDAT"): void {
    if (this.#authenticated) this.#refuse(command, REPLIES.tooBig);
    else this.#say(REPLIES.tooBig);
    this.#close("the client sent far more than the maximum size");
  }

  #bdat(argument: string): void {
    const match = /^(\d+)(?: +(\S.*))?$/.exec(argument);
    if (match === null) {
      this.#say(REPLIES.bdatSyntax);
      // Octets of a chunk may follow, nobody knows how many: they must not be read as commands.
      if (/^[+-]?\d/.test(argument)) this.#close("the client sent BDAT with a size that is none");
      return;
    }
    const [, size = "", word] = match;
    const octets = Number(size);
    if (octets > this.#options.maxMessageSize + MAX_DISCARDED) return this.#giveUp("BDAT");
    const last = word?.toUpperCase() === "LAST";
    const transaction = this.#transaction;
    const target = word === undefined || last
      ? this.#chunkTarget(octets)
      : transaction?.lose(REPLIES.bdatSyntax) ?? REPLIES.bdatSyntax;
    this.#chunk = new ChunkReceiver(octets, last, target, transaction);
    if (target instanceof ContentBuilder && transaction !== undefined) {
      transaction.reservation.giveUp = () => {
        transaction.lose(REPLIES.outOfMemory);
        this.#chunk?.refuse(REPLIES.outOfMemory);
      };
    }
    this.#mode = "chunk";
    this.#tellLoss();
    if (octets === 0) this.#endOfChunk();
  }

  #chunkTarget(octets: number): ContentBuilder | Reply {
    if (this.#lacksTls("DATA")) return REPLIES.mustStartTls;
    if (!this.#mayMail) return this.#noLogin;
    return this.#transaction?.chunk(octets, this.#options.maxMessageSize) ?? REPLIES.mailFirst;
  }

  #chunkOctets(): void {
    const chunk = this.#chunk!;
    this.#reader.consume(chunk.push(this.#reader.input));
    if (!chunk.complete) return;
    this.#verb = "BDAT";
    this.#endOfChunk();
    this.#verb = undefined;
  }

  #endOfChunk(): void {
    const { target, last } = this.#chunk!;
    this.#observer?.command("(the octets of the chunk)");
    this.#chunk = undefined;
    this.#mode = "command";
    this.#turn++;
    if (target instanceof ContentBuilder) {
      if (last) return this.#submit(target.finish());
      return this.#say(reply(250, "2.0.0", `${target.length} octets so far`));
    }
    if (target === REPLIES.outOfMemory && this.#transaction?.broken === false) {
      this.#transaction.lose(REPLIES.outOfMemory);
    }
    this.#tellLoss();
    if (last) this.#endTransaction();
    this.#say(target);
  }

  /** A message in chunks may be lost between two of them: its room may go to others at any time. */
  #tellLoss(): void {
    const loss = this.#transaction?.takeLoss();
    if (loss !== undefined) this.#tell("BDAT", loss);
  }

  #submit(content: Content): void {
    const { from, recipients, smtputf8, reservation, overhead } = this.#transaction!;
    const { name, esmtp } = this.#helo!;
    this.#transaction = undefined;
    this.#mode = "busy";
    reservation.settle(Math.max(LEAST, lengthOf(content) + overhead));
    reservation.giveUp = undefined;
    this.#output.effect({
      type: "submit",
      envelope: { from, recipients },
      content,
      facts: {
        helo: name,
        esmtp,
        tls: this.#secure,
        smtputf8,
        ...(this.#asTrusted ? { trusted: true } : {}),
      },
      reservation,
    });
  }
}

/** RFC 3207 §4 lets NOOP, EHLO, STARTTLS and QUIT through; a device's HELO harms nobody. */
const NEEDS_TLS = new Set(["AUTH", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP"]);
