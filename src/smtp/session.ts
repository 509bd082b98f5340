// One SMTP session (RFC 5321) as a state machine without I/O: octets in, effects out.
//
// Whoever owns the connection feeds `receive`, carries out the effects in order, and answers
// `authenticate` and `submit` through `authenticated` and `submitted`. Until then the session is
// busy: it keeps what arrives, and answers it when it goes on (RFC 2920 §3.2: replies in order).

import { commandLimit, MAX_SASL_LINE, parseCommand } from "./command.ts";
import { type Content, ContentBuilder } from "./content.ts";
import type { Effect } from "./effects.ts";
import { readRecipient, readSender } from "./envelope.ts";
import { LineReader, type LineTooLong } from "./line_reader.ts";
import { ChunkReceiver, DataReceiver } from "./receivers.ts";
import { formatReply, REPLIES, type Reply, reply } from "./reply.ts";
import { beginSasl, MECHANISM_NAMES, type SaslExchange, type SaslStep } from "./sasl.ts";

export interface SessionOptions {
  /** The name in the greeting and in the answer to EHLO. */
  readonly hostname: string;
  /** The text of the 220 line behind the name. */
  readonly greeting: string;
  /** Octets; announced as SIZE (RFC 1870). */
  readonly maxMessageSize: number;
  /** Recipients of one message; announced as LIMITS RCPTMAX (RFC 9422). */
  readonly maxRecipients: number;
  /** Whether a certificate is there to start TLS with. */
  readonly offerTls: boolean;
  /** Whether mail and AUTH have to wait for TLS. */
  readonly requireTls: boolean;
}

interface Transaction {
  readonly from: string;
  readonly recipients: string[];
  readonly smtputf8: boolean;
  /** Set by the first BDAT. */
  chunks?: ContentBuilder;
  chunksFailed: boolean;
}

type Mode = "command" | "sasl" | "data" | "chunk" | "busy" | "tls" | "closed";

/** First octet of a TLS record that holds a ClientHello. */
const TLS_HANDSHAKE = 0x16;

export class Session {
  readonly #options: SessionOptions;
  #mode: Mode = "command";
  #secure: boolean;
  #authenticated = false;
  #helo: { name: string; esmtp: boolean } | undefined;
  #transaction: Transaction | undefined;
  #sasl: SaslExchange | undefined;

  /** Input that has not been looked at: while busy, or an unfinished line. */
  readonly #reader = new LineReader();
  #receiver: DataReceiver | undefined;
  #chunk: ChunkReceiver | undefined;

  #effects: Effect[] = [];
  #replies = "";
  #greeted = false;

  /** @param secure whether the connection is on TLS already (RFC 8314 §3.3) */
  constructor(options: SessionOptions, secure = false) {
    this.#options = options;
    this.#secure = secure;
  }

  /** Whether an answer to `authenticate` or `submit`, or a TLS handshake, is awaited. */
  get busy(): boolean {
    return this.#mode === "busy" || this.#mode === "tls";
  }

  /** Whether message content is being received: another timeout applies. */
  get receivingContent(): boolean {
    return this.#mode === "data" || this.#mode === "chunk";
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
        this.#close("the client began with TLS on a port that begins in plain text");
        return this.#take();
      }
    }
    this.#reader.add(bytes);
    if (this.#mode !== "busy") this.#process();
    return this.#take();
  }

  /** TLS is in place: everything known from before is forgotten (RFC 3207 §4.2). */
  tlsStarted(): Effect[] {
    if (this.#mode !== "tls") return [];
    this.#secure = true;
    this.#helo = undefined;
    this.#authenticated = false;
    this.#transaction = undefined;
    this.#mode = "command";
    return this.#take();
  }

  /** Answers `authenticate`. Any reply but a 2yz leaves the session as it was. */
  authenticated(answer: Reply): Effect[] {
    if (this.#mode !== "busy") return [];
    this.#authenticated = answer.code < 300;
    return this.#goOn(answer);
  }

  /** Answers `submit`. The transaction is over, however it went (RFC 5321 §4.1.1.4). */
  submitted(answer: Reply): Effect[] {
    if (this.#mode !== "busy") return [];
    return this.#goOn(answer);
  }

  /** Ends the session from the server's side: a timeout, a limit, a stop (RFC 5321 §3.8). */
  abort(answer: Reply, reason: string): Effect[] {
    if (this.#mode === "closed") return [];
    this.#say(answer);
    this.#close(reason);
    return this.#take();
  }

  #goOn(answer: Reply): Effect[] {
    this.#mode = "command";
    this.#say(answer);
    this.#process();
    return this.#take();
  }

  // --- output ---

  #say(answer: Reply): void {
    this.#replies += formatReply(answer);
  }

  #effect(effect: Effect): void {
    this.#flush();
    this.#effects.push(effect);
  }

  #flush(): void {
    if (this.#replies === "") return;
    this.#effects.push({ type: "reply", text: this.#replies });
    this.#replies = "";
  }

  #take(): Effect[] {
    this.#flush();
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  #close(reason: string): void {
    this.#effect({ type: "close", reason });
    this.#mode = "closed";
    this.#reader.clear();
    this.#transaction = undefined;
    this.#receiver = undefined;
    this.#chunk = undefined;
  }

  // --- input ---

  #process(): void {
    while (this.#reader.input.length > 0) {
      switch (this.#mode) {
        case "command": {
          const line = this.#reader.next(commandLimit);
          if (line === undefined) return;
          if (typeof line === "string") this.#command(line);
          else this.#say(line.limit === MAX_SASL_LINE ? REPLIES.authTooLong : REPLIES.lineTooLong);
          break;
        }
        case "sasl": {
          const line = this.#reader.next(() => MAX_SASL_LINE);
          if (line === undefined) return;
          this.#saslLine(line);
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

  // --- commands ---

  #command(line: string): void {
    const command = parseCommand(line);
    if (!("verb" in command)) return this.#say(command);
    const { verb, argument } = command;
    if (this.#options.requireTls && !this.#secure && NEEDS_TLS.has(verb)) {
      return this.#say(REPLIES.mustStartTls);
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
        this.#transaction = undefined;
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

  #hello(name: string, esmtp: boolean): void {
    // Any name will do, or none: devices send their serial number, brackets, or nothing.
    this.#helo = { name, esmtp };
    this.#transaction = undefined;
    const { hostname, maxMessageSize, maxRecipients, offerTls } = this.#options;
    if (!esmtp) return this.#say({ code: 250, text: hostname });
    const lines = [
      hostname,
      `SIZE ${maxMessageSize}`,
      "8BITMIME",
      "SMTPUTF8",
      "PIPELINING",
      "CHUNKING",
      "ENHANCEDSTATUSCODES",
      `LIMITS RCPTMAX=${maxRecipients}`,
    ];
    if (offerTls && !this.#secure) lines.push("STARTTLS");
    if (this.#mayAuthenticate) lines.push(`AUTH ${MECHANISM_NAMES.join(" ")}`);
    this.#say({ code: 250, text: lines });
  }

  get #mayAuthenticate(): boolean {
    return this.#secure || !this.#options.requireTls;
  }

  #startTls(argument: string): void {
    if (argument !== "") return this.#say(REPLIES.noArgument);
    if (this.#secure) return this.#say(REPLIES.tlsActive);
    if (!this.#options.offerTls) return this.#say(REPLIES.tlsNotOffered);
    this.#say(REPLIES.readyForTls);
    this.#effect({ type: "startTls" });
    this.#mode = "tls";
    this.#reader.clear();
  }

  #auth(argument: string): void {
    if (argument === "") return this.#say(REPLIES.needsArgument);
    if (this.#helo === undefined) return this.#say(REPLIES.helloFirst);
    if (this.#transaction !== undefined) return this.#say(REPLIES.authInTransaction);
    if (this.#authenticated) return this.#say(REPLIES.alreadyAuthenticated);
    const [mechanism, initial, ...more] = argument.split(/ +/);
    if (more.length > 0) return this.#say(REPLIES.badBase64);
    const { exchange, step } = beginSasl(mechanism!, initial);
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
    if (step.type === "failed") return this.#say(step.reply);
    this.#mode = "busy";
    this.#effect({ type: "authenticate", credentials: step.credentials });
  }

  #mail(argument: string): void {
    if (!this.#authenticated) return this.#say(REPLIES.mustAuthenticate);
    if (this.#helo === undefined) return this.#say(REPLIES.helloFirst);
    if (this.#transaction !== undefined) return this.#say(REPLIES.nestedMail);
    const sender = readSender(argument, this.#options.maxMessageSize);
    if ("code" in sender) return this.#say(sender);
    this.#transaction = { ...sender, recipients: [], chunksFailed: false };
    this.#say(REPLIES.senderOk);
  }

  #rcpt(argument: string): void {
    if (!this.#authenticated) return this.#say(REPLIES.mustAuthenticate);
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#say(REPLIES.mailFirst);
    if (transaction.chunks !== undefined || transaction.chunksFailed) {
      return this.#say(REPLIES.rcptAfterBdat);
    }
    const recipient = readRecipient(argument, transaction.smtputf8);
    if (typeof recipient !== "string") return this.#say(recipient);
    if (transaction.recipients.length >= this.#options.maxRecipients) {
      return this.#say(REPLIES.tooManyRecipients);
    }
    transaction.recipients.push(recipient);
    this.#say(REPLIES.recipientOk);
  }

  // --- content ---

  #data(argument: string): void {
    if (!this.#authenticated) return this.#say(REPLIES.mustAuthenticate);
    if (argument !== "") return this.#say(REPLIES.noArgument);
    const transaction = this.#transaction;
    if (transaction === undefined) return this.#say(REPLIES.mailFirst);
    if (transaction.chunks !== undefined || transaction.chunksFailed) {
      return this.#say(REPLIES.dataAfterBdat);
    }
    if (transaction.recipients.length === 0) return this.#say(REPLIES.rcptFirst);
    this.#receiver = new DataReceiver(this.#options.maxMessageSize);
    this.#mode = "data";
    this.#say(REPLIES.startData);
  }

  #dataOctets(): void {
    const receiver = this.#receiver!;
    const { input } = this.#reader;
    const end = receiver.push(input);
    this.#reader.consume(end < 0 ? input.length : end);
    if (end < 0) return;
    const transaction = this.#transaction!;
    const content = receiver.finish();
    this.#receiver = undefined;
    this.#transaction = undefined;
    this.#mode = "command";
    if (content === undefined) return this.#say(REPLIES.tooBig);
    this.#submit(transaction, content);
  }

  #bdat(argument: string): void {
    const match = /^(\d{1,15})( +LAST)?$/i.exec(argument);
    if (match === null) return this.#say(REPLIES.bdatSyntax);
    const octets = Number(match[1]);
    const last = match[2] !== undefined;
    this.#chunk = new ChunkReceiver(octets, last, this.#chunkProblem(octets) ?? this.#chunks());
    if (this.#chunk.refusal !== undefined && this.#transaction !== undefined) {
      this.#transaction.chunksFailed = true;
      delete this.#transaction.chunks;
    }
    this.#mode = "chunk";
    if (octets === 0) this.#endOfChunk();
  }

  #chunks(): ContentBuilder {
    return this.#transaction!.chunks ??= new ContentBuilder();
  }

  #chunkProblem(octets: number): Reply | undefined {
    if (this.#options.requireTls && !this.#secure) return REPLIES.mustStartTls;
    if (!this.#authenticated) return REPLIES.mustAuthenticate;
    const transaction = this.#transaction;
    if (transaction === undefined) return REPLIES.mailFirst;
    if (transaction.chunksFailed) return REPLIES.bdatFailed;
    if (transaction.recipients.length === 0) return REPLIES.rcptFirst;
    const size = (transaction.chunks?.length ?? 0) + octets;
    return size > this.#options.maxMessageSize ? REPLIES.tooBig : undefined;
  }

  #chunkOctets(): void {
    const chunk = this.#chunk!;
    this.#reader.consume(chunk.push(this.#reader.input));
    if (chunk.complete) this.#endOfChunk();
  }

  #endOfChunk(): void {
    const { refusal, last } = this.#chunk!;
    const transaction = this.#transaction;
    this.#chunk = undefined;
    this.#mode = "command";
    if (last) this.#transaction = undefined;
    if (refusal !== undefined) return this.#say(refusal);
    const chunks = transaction!.chunks!;
    if (last) return this.#submit(transaction!, chunks.finish());
    this.#say(reply(250, "2.0.0", `${chunks.length} octets so far`));
  }

  #submit({ from, recipients, smtputf8 }: Transaction, content: Content): void {
    const helo = this.#helo!;
    this.#mode = "busy";
    this.#effect({
      type: "submit",
      envelope: { from, recipients },
      content,
      facts: { helo: helo.name, esmtp: helo.esmtp, tls: this.#secure, smtputf8 },
    });
  }
}

/** RFC 3207 §4 lets NOOP, EHLO, STARTTLS and QUIT through; a device's HELO harms nobody. */
const NEEDS_TLS = new Set(["AUTH", "MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP"]);
