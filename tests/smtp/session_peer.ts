// The dialogue scripts' server is the pure session here: effects are carried out in memory.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { MemoryBudget } from "../../src/server/memory.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";
import type { Effect } from "../../src/smtp/effects.ts";
import { secretIn } from "../../src/smtp/sasl.ts";
import { Session } from "../../src/smtp/session.ts";
import type {
  DialogueOptions,
  DialoguePeer,
  DialogueSubmission,
  ExpectedLogin,
} from "./dialogue.ts";
import { limitsOf, mechanismsOf } from "./options.ts";

/**
 * When logins and messages are answered: immediately, or only when the client has nothing left to
 * send and waits. In between the session has to keep what arrives.
 */
export type Answers = "at once" | "when awaited";

const AUTH_ANSWERS: Readonly<Record<ExpectedLogin["answer"], Reply>> = {
  235: REPLIES.authenticated,
  535: reply(535, "5.7.8", "Authentication credentials invalid"),
  454: reply(454, "4.7.0", "Temporary authentication failure"),
  421: REPLIES.tooManyFailedLogins,
};

type Question = Extract<Effect, { type: "authenticate" | "authenticateTrusted" | "submit" }>;

export class SessionPeer implements DialoguePeer {
  readonly #session: Session;
  readonly #memory: MemoryBudget;
  readonly #answers: Answers;
  readonly #limits: ReturnType<typeof limitsOf>;
  readonly #lines: string[] = [];
  readonly #anySender: boolean;
  readonly #logins: ExpectedLogin[] = [];
  /** MAIL's replies where they fail. */
  readonly #trustedLogins: (string | undefined)[] = [];
  readonly #submissions: DialogueSubmission[] = [];
  readonly #submissionAnswers: string[] = [];
  #question: Question | undefined;
  #handshake = false;
  #closed = false;

  constructor(options: DialogueOptions, implicitTls: boolean, answers: Answers) {
    this.#memory = new MemoryBudget(options.maxMemory);
    this.#session = new Session(
      { ...options, mechanisms: mechanismsOf(options) },
      implicitTls,
      this.#memory.client("192.0.2.1"),
    );
    this.#answers = answers;
    this.#limits = limitsOf(options);
    this.#anySender = options.anySender;
    if (options.trusted) this.#session.trust();
    this.#carryOut(this.#session.open());
  }

  send(octets: Uint8Array): void {
    this.#carryOut(this.#session.receive(octets));
  }

  readLine(): Promise<string> {
    return this.#attempt(() => {
      while (this.#lines.length === 0) {
        if (this.#closed) assert.fail("the server closed");
        if (!this.#answer()) assert.fail("the server says nothing and waits for the client");
      }
      return this.#lines.shift()!;
    });
  }

  startTls(): Promise<void> {
    return this.#attempt(() => {
      assert.deepEqual(this.#lines, [], "the server said more before TLS");
      if (!this.#handshake) assert.fail("the server does not begin TLS");
      this.#handshake = false;
      this.#carryOut(this.#session.tlsStarted());
    });
  }

  closed(): Promise<void> {
    return this.#attempt(() => {
      while (this.#answer());
      assert.deepEqual(this.#lines, [], "the server said more before it closed");
      if (!this.#closed) assert.fail("the server keeps the connection open");
    });
  }

  expectLogin(login: ExpectedLogin): void {
    this.#logins.push(login);
  }

  expectTrustedLogin(refusal: string | undefined): void {
    this.#trustedLogins.push(refusal);
  }

  answerSubmission(answer: string): void {
    this.#submissionAnswers.push(answer);
  }

  nextSubmission(): Promise<DialogueSubmission> {
    return this.#attempt(() => {
      while (this.#submissions.length === 0) {
        if (!this.#answer()) assert.fail("the server submitted nothing");
      }
      return this.#submissions.shift()!;
    });
  }

  leftovers(): string[] {
    return [
      ...this.#logins.map(({ username }) => `no login of ${username}`),
      ...this.#trustedLogins.map(() => "no login with the trusted account"),
      ...this.#submissionAnswers.map((answer) => `no message for the answer ${answer}`),
      ...this.#submissions.map(({ from }) => `a message from <${from}>`),
      ...(this.#memory.used === 0 ? [] : [`${this.#memory.used} octets of memory in use`]),
    ];
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      assert.equal(this.#closed, false, "the session goes on after it closed");
      switch (effect.type) {
        case "reply":
          assert.ok(effect.text.endsWith("\r\n"), "a reply does not end in CRLF");
          this.#lines.push(...effect.text.slice(0, -2).split("\r\n"));
          break;
        case "startTls":
          this.#handshake = true;
          break;
        case "close":
          this.#closed = true;
          break;
        case "submit":
          this.#submissions.push({
            ...effect.envelope,
            content: Buffer.concat(effect.content),
            facts: effect.facts,
          });
          this.#question = effect;
          break;
        case "authenticate":
        case "authenticateTrusted":
          this.#question = effect;
          break;
        case "refused":
          // A dialogue shows the replies; session_test.ts has the other effects.
          break;
      }
    }
    if (this.#answers === "at once") this.#answer();
  }

  /** Answers what the session asked. */
  #answer(): boolean {
    const question = this.#question;
    if (question === undefined) return false;
    this.#question = undefined;
    assert.equal(
      this.#session.progress.awaits,
      "owner",
      "the session does not wait for its answer",
    );
    if (question.type === "submit") {
      const answer = this.#submissionAnswers.shift() ?? "250 2.0.0 Accepted as 0001";
      question.reservation.release();
      this.#limits.sent();
      this.#carryOut(this.#session.submitted(replyOf(answer)));
      return true;
    }
    if (question.type === "authenticateTrusted") {
      if (this.#trustedLogins.length === 0) assert.fail("the script knows of no trusted login");
      const refusal = this.#trustedLogins.shift();
      const answer = refusal === undefined ? REPLIES.authenticated : replyOf(refusal);
      this.#loggedIn(answer);
      return true;
    }
    const { username } = question.credentials;
    const login = this.#logins.shift();
    if (login === undefined) assert.fail(`the script knows of no login; it was ${username}`);
    assert.deepEqual({ username, password: secretIn(question.credentials).reveal() }, {
      username: login.username,
      password: login.password,
    });
    this.#loggedIn(AUTH_ANSWERS[login.answer]);
    return true;
  }

  #loggedIn(answer: Reply): void {
    const [check, any] = [this.#limits.checkSender, this.#anySender];
    this.#carryOut(this.#session.authenticated(answer, check, any));
  }

  #attempt<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => resolve(work()));
  }
}

/** @param text such as `250 2.0.0 OK` */
export function replyOf(text: string): Reply {
  const [code, enhanced, ...words] = text.split(" ");
  return reply(Number(code), enhanced!, words.join(" "));
}
