// A session whose effects are carried out in memory, and checked against the rules: the property tests
// are built on it.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MemoryBudget } from "../../src/server/memory.ts";
import { REPLIES, reply } from "../../src/smtp/reply.ts";
import type { Effect, Envelope, Refusal, SessionFacts } from "../../src/smtp/effects.ts";
import { secretIn } from "../../src/smtp/sasl.ts";
import { Session, type SessionOptions } from "../../src/smtp/session.ts";
import { DIALOGUE_OPTIONS } from "./options.ts";
import { joinOctets } from "./script.ts";

export interface DriverOptions extends SessionOptions {
  /** MAX_MEMORY, octets. */
  readonly maxMemory: number;
  /** Whether logins and messages are answered only by {@link Driver.settle}. */
  readonly late: boolean;
}

export interface Submission {
  readonly envelope: Envelope;
  /** Octets as Latin-1 characters, which read well where a test fails. */
  readonly content: string;
  readonly facts: SessionFacts;
}

/** Any login with this password succeeds. */
const GOOD_PASSWORD = "good";

const OPTIONS: DriverOptions = {
  ...DIALOGUE_OPTIONS,
  mechanisms: ["LOGIN", "PLAIN", "XOAUTH2", "OAUTHBEARER"],
  requireTls: false,
  late: false,
};

export class Driver {
  readonly session: Session;
  readonly memory: MemoryBudget;
  /** All replies since the greeting. */
  replies = "";
  readonly submissions: Submission[] = [];
  readonly logins: { mechanism: string; username: string; password: string }[] = [];
  readonly refusals: Refusal[] = [];
  closed = false;
  awaitsTls = false;
  late: boolean;
  /** How often the account of the trusted networks was asked for; every third login fails. */
  trustedLogins = 0;
  /** Accepted logins, those of the trusted account included. */
  goodLogins = 0;
  #question:
    | Extract<Effect, { type: "authenticate" | "authenticateTrusted" | "submit" }>
    | undefined;

  constructor(options: Partial<DriverOptions> = {}) {
    const all = { ...OPTIONS, ...options };
    this.late = all.late;
    this.memory = new MemoryBudget(all.maxMemory);
    this.session = new Session(all, false, this.memory.client("192.0.2.1"));
    const greeting = this.session.open();
    assert.deepEqual(greeting.map((effect) => effect.type), ["reply"]);
  }

  /** Feeds octets, or text as Latin-1, in one segment. */
  feed(octets: Uint8Array | string): void {
    const bytes = typeof octets === "string" ? Buffer.from(octets, "latin1") : octets;
    this.carryOut(this.session.receive(bytes));
    if (!this.late) this.settle();
  }

  /** Feeds octets cut before each of these positions. */
  feedCut(octets: Uint8Array, cuts: readonly number[]): void {
    let start = 0;
    for (
      const cut of [...cuts.map((cut) => cut % (octets.length + 1)), octets.length].sort(byValue)
    ) {
      this.feed(octets.subarray(start, cut));
      start = cut;
    }
  }

  /** Answers what the session has asked, until it asks no more. */
  settle(): void {
    while (this.#question !== undefined) {
      const question = this.#question;
      this.#question = undefined;
      assert.equal(this.session.progress.awaits, "owner");
      if (question.type === "submit") {
        question.reservation.release();
        const id = `Accepted as ${this.submissions.length}`;
        this.carryOut(this.session.submitted(reply(250, "2.0.0", id)));
      } else if (question.type === "authenticateTrusted") {
        const good = ++this.trustedLogins % 3 !== 0;
        if (good) this.goodLogins++;
        const refusal = reply(550, "5.7.1", "The trusted account is refused");
        this.carryOut(this.session.authenticated(good ? REPLIES.authenticated : refusal));
      } else {
        const good = secretIn(question.credentials).reveal() === GOOD_PASSWORD;
        if (good) this.goodLogins++;
        const refusal = reply(535, "5.7.8", "Authentication credentials invalid");
        this.carryOut(this.session.authenticated(good ? REPLIES.authenticated : refusal));
      }
    }
  }

  /** Lets the TLS handshake succeed. */
  tlsStarted(): void {
    assert.equal(this.awaitsTls, true);
    this.awaitsTls = false;
    this.carryOut(this.session.tlsStarted());
  }

  carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      assert.equal(this.closed, false, `an effect after the close: ${effect.type}`);
      switch (effect.type) {
        case "reply":
          assertWellFormed(effect.text);
          this.replies += effect.text;
          break;
        case "close":
          this.closed = true;
          break;
        case "startTls":
          this.awaitsTls = true;
          break;
        case "refused":
          this.refusals.push(effect.refusal);
          break;
        case "authenticate": {
          const { mechanism, username } = effect.credentials;
          const password = secretIn(effect.credentials).reveal();
          this.logins.push({ mechanism, username, password });
          this.#question = effect;
          break;
        }
        case "authenticateTrusted":
          this.#question = effect;
          break;
        case "submit": {
          const { envelope, facts } = effect;
          const content = Buffer.from(joinOctets(effect.content)).toString("latin1");
          assert.ok(effect.content.every((block) => block.length > 0), "an empty block");
          this.submissions.push({
            envelope: { ...envelope, recipients: [...envelope.recipients] },
            content,
            facts,
          });
          this.#question = effect;
          break;
        }
      }
    }
    if (this.closed && this.#question !== undefined) {
      // Its answer comes too late for the client; the message was held until then.
      if (this.#question.type === "submit") this.#question.reservation.release();
      this.#question = undefined;
    }
    // The replies so far have been written: there may be more.
    if (this.session.progress.awaits === "drain") this.carryOut(this.session.resume());
  }

  /** All that can be seen of the session from outside. */
  outcome(): unknown {
    const { replies, submissions, logins, trustedLogins, refusals, closed, awaitsTls } = this;
    const { awaits } = this.session.progress;
    const state = { closed, awaitsTls, awaits };
    return { replies, submissions, logins, trustedLogins, refusals, ...state };
  }
}

function byValue(a: number, b: number): number {
  return a - b;
}

const EHLO_LINES =
  /^250[ -](?:relay\.example|SIZE \d+|8BITMIME|SMTPUTF8|PIPELINING|CHUNKING|ENHANCEDSTATUSCODES|LIMITS RCPTMAX=\d+|STARTTLS|AUTH LOGIN PLAIN XOAUTH2 OAUTHBEARER|HELP)$/;

/**
 * Checks complete replies: RFC 5321 §4.2 for their form, §4.5.3.1.5 for their length, RFC 2034 §3
 * for the enhanced codes, which only the answers to EHLO and HELO and 3yz replies go without.
 */
export function assertWellFormed(text: string): void {
  assert.ok(text.endsWith("\r\n"), "a reply is not a whole line");
  for (const line of text.slice(0, -2).split("\r\n")) {
    assert.ok(line.length + 2 <= 512, `a reply of ${line.length + 2} octets`);
    assert.match(line, /^[2345]\d\d[ -][\x20-\x7e]*$/);
    if (line.startsWith("3") || EHLO_LINES.test(line)) continue;
    assert.match(line, /^([245])\d\d \1\.\d{1,3}\.\d{1,3} [\x20-\x7e]+$/);
  }
}

type Step = string | "<TLS>" | "<SETTLE>" | "<TRUST>";

const HELLO = "EHLO client.example\r\n";
/** NUL, "user", NUL, "good". */
const LOGIN = "AUTH PLAIN AHVzZXIAZ29vZA==\r\n";
/** user=user ^A auth=Bearer bad ^A ^A */
const BAD_TOKEN = "AUTH XOAUTH2 dXNlcj11c2VyAWF1dGg9QmVhcmVyIGJhZAEB\r\n";
const AUTHENTICATED: Step[] = [HELLO, LOGIN, "<SETTLE>"];
const MAIL = [...AUTHENTICATED, "MAIL FROM:<alice@example.com>\r\n"];
const RCPT = [...MAIL, "RCPT TO:<bob@example.net>\r\n"];
const DATA = [...RCPT, "DATA\r\n"];
/** No login, no TLS. */
const TRUSTED: Step[] = ["<TRUST>", HELLO, "MAIL FROM:<alice@example.com>\r\n"];

/** What leads to each state that a session can be in. */
export const STATES: Readonly<Record<string, readonly Step[]>> = {
  "after the greeting": [],
  "in the middle of a command": ["RSE"],
  "in a command that is too long": ["NOOP " + "x".repeat(600)],
  "after HELO": ["HELO client\r\n"],
  "after EHLO": [HELLO],
  "before a TLS handshake": [HELLO, "STARTTLS\r\n"],
  "on TLS": [HELLO, "STARTTLS\r\n", "<TLS>"],
  "at the empty challenge of AUTH PLAIN": [HELLO, "AUTH PLAIN\r\n"],
  "at the first challenge of AUTH LOGIN": [HELLO, "AUTH LOGIN\r\n"],
  "at the second challenge of AUTH LOGIN": [HELLO, "AUTH LOGIN dXNlcg==\r\n"],
  "at the empty challenge of AUTH XOAUTH2": [HELLO, "AUTH XOAUTH2\r\n"],
  "at the empty challenge of AUTH OAUTHBEARER": [HELLO, "AUTH OAUTHBEARER\r\n"],
  "at the error challenge of AUTH XOAUTH2": [HELLO, BAD_TOKEN, "<SETTLE>"],
  "in a response that is too long": [HELLO, "AUTH PLAIN\r\n", "A".repeat(12_400)],
  "while a login is checked": [HELLO, LOGIN],
  "logged in": AUTHENTICATED,
  "after MAIL": MAIL,
  "after RCPT": RCPT,
  "in DATA": DATA,
  "in DATA after a half end": [...DATA, "x\r\n.\r"],
  "in DATA beyond the limit": [...DATA, "x".repeat(2001)],
  "in a chunk": [...RCPT, "BDAT 30\r\nabc"],
  "in a refused chunk": [...MAIL, "BDAT 30\r\nabc"],
  "between chunks": [...RCPT, "BDAT 3\r\nabc"],
  "after a refused chunk": [...RCPT, "BDAT 3000\r\n" + "x".repeat(3000)],
  "while a message is delivered": [...DATA, "Subject: x\r\n\r\n.\r\n"],
  "after the greeting, trusted": ["<TRUST>"],
  "while the trusted account logs in": TRUSTED,
  "in DATA, trusted": [...TRUSTED, "<SETTLE>", "RCPT TO:<bob@example.net>\r\n", "DATA\r\n"],
  "logged in, trusted": ["<TRUST>", ...AUTHENTICATED],
  "closed": ["QUIT\r\n"],
};

/** A session in one of {@link STATES}, with messages limited to 2000 octets unless told otherwise. */
export function driverIn(state: string, options: Partial<DriverOptions> = {}): Driver {
  const steps = STATES[state] ?? assert.fail(`no such state: ${state}`);
  const driver = new Driver({ maxMessageSize: 2000, ...options });
  driver.late = true;
  for (const step of steps) {
    if (step === "<TLS>") driver.tlsStarted();
    else if (step === "<SETTLE>") driver.settle();
    else if (step === "<TRUST>") driver.session.trust();
    else driver.feed(step);
  }
  driver.late = options.late ?? false;
  driver.replies = "";
  return driver;
}
