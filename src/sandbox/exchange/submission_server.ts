// An imitation of Exchange Online's submission server: STARTTLS, AUTH XOAUTH2 with a token of the imitated
// Entra ID, and strict about what the real one refuses. Messages go into the same inbox as Graph's.
// https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth

import { Buffer } from "node:buffer";
import { setTimeout as pause } from "node:timers/promises";
import { addressParser } from "postal-mime";
import type { Connection, ConnectionHandler, Runtime, TlsIdentity } from "../../runtime/runtime.ts";
import type { Content } from "../../smtp/content.ts";
import type { Effect, Envelope } from "../../smtp/effects.ts";
import { formatReply, REPLIES, type Reply } from "../../smtp/reply.ts";
import type { Credentials } from "../../smtp/sasl.ts";
import { Session } from "../../smtp/session.ts";
import { type IssuedToken, WRONG_SECRET } from "../entra.ts";
import type { Fault, Faults, SmtpOperation } from "../faults.ts";

/** The permission that a token has to carry. */
export const SMTP_ROLE = "SMTP.SendAsApp";
/** The audience of its tokens. */
const AUDIENCE = "https://outlook.office365.com";

export interface SubmittedMessage {
  readonly mailbox: string;
  readonly raw: Uint8Array;
  readonly recipients: readonly string[];
}

export interface ExchangeOptions {
  verify(token: string): IssuedToken | undefined;
  deliver(message: SubmittedMessage): void | Promise<void>;
  /** A smarthost instead: it takes mail of any sender, without a login or with nearly any. */
  readonly isSmarthost?: boolean;
  /** With it STARTTLS is demanded; without it there is no TLS, for the loopback. */
  readonly identity?: TlsIdentity | undefined;
  readonly faults?: Faults | undefined;
  /** Connections of a mailbox that have logged in; 3 when left out. */
  readonly connections?: number;
  /** Messages of a mailbox a minute; 30 when left out. */
  readonly perMinute?: number;
  /** Recipients of a message; 500 when left out. */
  readonly recipients?: number;
  /** Octets of a message; 36,700,160 when left out. */
  readonly size?: number;
  /** Default: every well-formed address has one, except `nobody@…`. */
  readonly hasMailbox?: (mailbox: string) => boolean;
  /** Milliseconds from a message to its reply. */
  readonly delay?: number;
  /** Milliseconds, for the minute; the machine's own clock when left out. */
  readonly now?: () => number;
}

/** What became of it, for tests. */
export interface ExchangeFigures {
  /** Connections that were made. */
  connections: number;
  /** AUTH commands. */
  logins: number;
  messages: number;
  /** Connections at once of one mailbox, at most. */
  mostConnections: number;
  /** Messages of one mailbox within a minute, at most. */
  mostPerMinute: number;
}

const MINUTE = 60_000;

export class SandboxExchange {
  readonly #options: ExchangeOptions;
  /** Connections that have logged in, by mailbox. */
  readonly loggedIn = new Map<string, number>();
  readonly #starts = new Map<string, number[]>();
  readonly #open = new Set<Submitter>();
  readonly #listeners: { close(): void }[] = [];
  readonly figures: ExchangeFigures = {
    connections: 0,
    logins: 0,
    messages: 0,
    mostConnections: 0,
    mostPerMinute: 0,
  };

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  get options(): ExchangeOptions {
    return this.#options;
  }

  /** @param port 0 for any free one */
  listen(runtime: Runtime, hostname = "127.0.0.1", port = 0): { readonly port: number } {
    const listener = runtime.listen({
      hostname,
      port,
      accept: (connection) => {
        this.figures.connections++;
        const submitter = new Submitter(connection, this);
        this.#open.add(submitter);
        return submitter;
      },
    });
    this.#listeners.push(listener);
    return { port: listener.port };
  }

  close(): void {
    for (const listener of this.#listeners.splice(0)) listener.close();
    for (const submitter of this.#open) submitter.destroy();
  }

  /** @internal */
  left(submitter: Submitter): void {
    this.#open.delete(submitter);
  }

  /** Whether the mailbox may send one more message in this minute. @internal */
  begins(mailbox: string): boolean {
    const { now = () => performance.now(), perMinute = 30 } = this.#options;
    const time = now();
    const starts = (this.#starts.get(mailbox) ?? []).filter((start) => start > time - MINUTE);
    starts.push(time);
    this.#starts.set(mailbox, starts);
    this.figures.mostPerMinute = Math.max(this.figures.mostPerMinute, starts.length);
    return starts.length <= perMinute;
  }
}

/** One connection. */
class Submitter implements ConnectionHandler {
  readonly #connection: Connection;
  readonly #server: SandboxExchange;
  readonly #session: Session;
  #mailbox: string | undefined;
  /** Nothing is answered any more. */
  #muted = false;

  constructor(connection: Connection, server: SandboxExchange) {
    this.#connection = connection;
    this.#server = server;
    const { identity, recipients = 500, isSmarthost = false } = server.options;
    this.#session = new Session({
      hostname: "sandbox.smtp.example",
      greeting: "Microsoft ESMTP MAIL Service ready (imitated)",
      maxMessageSize: 150 * 1024 * 1024,
      maxRecipients: recipients,
      offerTls: identity !== undefined,
      requireTls: identity !== undefined,
      mechanisms: isSmarthost ? ["PLAIN", "LOGIN", "XOAUTH2"] : ["LOGIN", "XOAUTH2"],
      checkRecipient: () => this.#rehearse("smtpRecipient"),
    });
    if (isSmarthost) this.#session.trust();
  }

  opened(): void {
    const fault = this.#rehearse("smtpConnect");
    if (fault !== undefined) {
      this.#write(formatReply(fault));
      return this.#connection.end();
    }
    this.#carryOut(this.#session.open());
  }

  data(bytes: Uint8Array): void {
    this.#carryOut(this.#session.receive(bytes));
  }

  drained(): void {
    this.#carryOut(this.#session.resume());
  }

  ended(): void {
    this.#connection.end();
  }

  secured(): void {
    this.#carryOut(this.#session.tlsStarted());
  }

  closed(): void {
    this.#logOut();
    this.#server.left(this);
  }

  destroy(): void {
    this.#connection.destroy();
  }

  #write(text: string): void {
    if (!this.#muted) this.#connection.write(Buffer.from(text, "latin1"));
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "reply":
          this.#write(effect.text);
          break;
        case "startTls":
          this.#connection.startTls(this.#server.options.identity!);
          break;
        case "authenticate":
          void this.#authenticate(effect.credentials);
          break;
        case "authenticateTrusted":
          this.#carryOut(
            this.#session.authenticated(REPLIES.authenticated, () => this.#rehearse("smtpSender")),
          );
          break;
        case "submit":
          void this.#submit(effect.envelope, effect.content).finally(() =>
            effect.reservation.release()
          );
          break;
        case "close":
          this.#connection.end();
          break;
      }
    }
    // Replies are small, and are written at once.
    if (this.#session.progress.awaits === "drain") this.#carryOut(this.#session.resume());
  }

  async #authenticate(credentials: Credentials): Promise<void> {
    this.#server.figures.logins++;
    const fault = this.#take("smtpLogin");
    if (fault?.delay !== undefined) await pause(fault.delay);
    const refusal = this.#scripted(fault) ?? this.#loginRefusal(credentials);
    if (refusal !== undefined) return this.#carryOut(this.#session.authenticated(refusal));
    const mailbox = credentials.username;
    this.#mailbox = mailbox.toLowerCase();
    const { loggedIn, figures } = this.#server;
    const count = (loggedIn.get(this.#mailbox) ?? 0) + 1;
    loggedIn.set(this.#mailbox, count);
    figures.mostConnections = Math.max(figures.mostConnections, count);
    this.#carryOut(
      this.#session.authenticated(REPLIES.authenticated, (from) => this.#senderRefusal(from)),
    );
  }

  #loginRefusal(credentials: Credentials): Reply | undefined {
    const { verify, connections = 3, hasMailbox = looksLikeMailbox, isSmarthost } =
      this.#server.options;
    if (isSmarthost) {
      const isWrong = "password" in credentials && credentials.password.reveal() === WRONG_SECRET;
      return isWrong ? WRONG_PASSWORD : undefined;
    }
    if (!("token" in credentials)) return BASIC_IS_OFF;
    const token = verify(credentials.token.reveal());
    const isGood = token !== undefined && token.audience === AUDIENCE &&
      token.roles.includes(SMTP_ROLE) && hasMailbox(credentials.username);
    if (!isGood) return UNSUCCESSFUL;
    const count = this.#server.loggedIn.get(credentials.username.toLowerCase()) ?? 0;
    return count < connections ? undefined : TOO_MANY_CONNECTIONS;
  }

  /** Also a null reverse-path: the mailbox itself has to be there. */
  #senderRefusal(from: string): Reply | undefined {
    const fault = this.#rehearse("smtpSender");
    if (fault !== undefined || this.#server.options.isSmarthost) return fault;
    return from.toLowerCase() === this.#mailbox ? undefined : SEND_AS_DENIED;
  }

  async #submit({ from, recipients }: Envelope, content: Content): Promise<void> {
    const { delay = 0, deliver, isSmarthost = false } = this.#server.options;
    const fault = this.#take("smtpSend");
    if (fault?.delay !== undefined) await pause(fault.delay);
    const raw = Buffer.concat(content);
    let answer = fault?.after === "take" ? undefined : this.#scripted(fault);
    if (!isSmarthost) answer ??= this.#messageRefusal(raw);
    if (answer === undefined) {
      const mailbox = isSmarthost ? from : this.#mailbox!;
      await deliver({ mailbox, raw, recipients: [...new Set(recipients)] });
      this.#server.figures.messages++;
      answer = fault?.after === "take" ? this.#scripted(fault) : undefined;
      answer ??= said(250, "2.0.0", "OK <sandbox> [Hostname=sandbox.prod.example]");
    }
    if (delay > 0) await pause(delay);
    this.#carryOut(this.#session.submitted(answer));
  }

  #messageRefusal(raw: Buffer): Reply | undefined {
    const { size = 36_700_160 } = this.#server.options;
    if (!this.#server.begins(this.#mailbox!)) return OVER_RATE;
    if (raw.length > size) return TOO_LARGE;
    for (let i = raw.indexOf(10); i >= 0; i = raw.indexOf(10, i + 1)) {
      if (raw[i - 1] !== 13) return BARE_LF;
    }
    return authorOf(raw) === this.#mailbox ? undefined : SEND_AS_DENIED;
  }

  #take(operation: SmtpOperation): Fault | undefined {
    return this.#server.options.faults?.take(operation);
  }

  #rehearse(operation: SmtpOperation): Reply | undefined {
    return this.#scripted(this.#take(operation));
  }

  /** The reply of a scripted fault; breaks the connection first if it says so. */
  #scripted(fault: Fault | undefined): Reply | undefined {
    if (fault === undefined) return undefined;
    const { connection, status = 451, code, message = "A scripted fault" } = fault;
    if (connection !== undefined) {
      this.#muted = true;
      if (connection === "reset") this.#connection.destroy();
      else if (connection !== "blackhole") this.#connection.end();
    }
    return code === undefined ? { code: status, text: message } : said(status, code, message);
  }

  #logOut(): void {
    if (this.#mailbox === undefined) return;
    const { loggedIn } = this.#server;
    const left = loggedIn.get(this.#mailbox)! - 1;
    if (left === 0) loggedIn.delete(this.#mailbox);
    else loggedIn.set(this.#mailbox, left);
    this.#mailbox = undefined;
  }
}

/** Not the relay's own replies, which docs/replies.md lists. */
function said(code: number, enhanced: string, text: string): Reply {
  return { code, enhanced, text };
}

/** The first address in From, read by another parser than the relay's own. */
function authorOf(raw: Buffer): string | undefined {
  const end = raw.indexOf("\r\n\r\n");
  const header = raw.toString("utf8", 0, end < 0 ? raw.length : end).replace(/\r\n[ \t]/g, " ");
  const from = /^from:(.*)$/im.exec(header)?.[1];
  return from === undefined ? undefined : addressParser(from)[0]?.address?.toLowerCase();
}

function looksLikeMailbox(mailbox: string): boolean {
  return /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(mailbox) && !/^nobody@/i.test(mailbox);
}

const UNSUCCESSFUL = said(
  535,
  "5.7.3",
  "Authentication unsuccessful [sandbox.prod.example]",
);
const WRONG_PASSWORD = said(535, "5.7.8", "Authentication credentials invalid");
const BASIC_IS_OFF = said(
  535,
  "5.7.139",
  "Authentication unsuccessful, basic authentication is disabled. [sandbox.prod.example]",
);
const TOO_MANY_CONNECTIONS = said(
  432,
  "4.3.2",
  "Concurrent connections limit exceeded. Visit https://aka.ms/concurrent_sending",
);
const OVER_RATE = said(
  451,
  "4.3.2",
  "STOREDRV.ClientSubmit; the imitation takes 30 messages a minute, the real one makes them wait",
);
const SEND_AS_DENIED = said(
  550,
  "5.7.60",
  "SMTP; Client does not have permissions to send as this sender",
);
const TOO_LARGE = said(
  554,
  "5.2.270",
  "STOREDRV.Submission.Exception:MapiExceptionMaxSubmissionExceeded",
);
const BARE_LF = said(
  550,
  "5.6.11",
  "SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds",
);
