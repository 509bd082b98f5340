// Runs the dialogue scripts against a relay on a real socket, with TLS.

import assert from "node:assert/strict";
import type { ReceivedMessage } from "../../src/submission/submission_service.ts";
import { Buffer } from "node:buffer";
import { connect, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { type Certificate } from "../../src/certificates/certificate.ts";
import { selfSignedCertificate } from "../../src/certificates/self_signed.ts";
import { MemoryBudget } from "../../src/server/memory.ts";
import type { SmtpServer } from "../../src/server/server.ts";
import { REPLIES, type Reply, reply } from "../../src/smtp/reply.ts";
import { type Credentials, secretIn } from "../../src/smtp/sasl.ts";
import type {
  DialogueOptions,
  DialoguePeer,
  DialogueSubmission,
  ExpectedLogin,
} from "../smtp/dialogue.ts";
import { limitsOf, mechanismsOf } from "../smtp/options.ts";
import { replyOf } from "../smtp/session_peer.ts";
import { smtpServer } from "../support/smtp_server.ts";

const AUTH_ANSWERS: Readonly<Record<ExpectedLogin["answer"], Reply>> = {
  235: REPLIES.authenticated,
  535: reply(535, "5.7.8", "Authentication credentials invalid"),
  454: reply(454, "4.7.0", "Temporary authentication failure"),
  421: REPLIES.tooManyFailedLogins,
};

/** Milliseconds for a server to send something before a test gives up. */
const REPLY_TIMEOUT = 5_000;

let certificate: Promise<Certificate> | undefined;

export class SocketPeer implements DialoguePeer {
  readonly #server: SmtpServer;
  readonly #memory: MemoryBudget;
  #socket: Socket;
  readonly #implicitTls: boolean;
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #logins: ExpectedLogin[] = [];
  /** MAIL's replies when it fails. */
  readonly #trustedLogins: (string | undefined)[] = [];
  readonly #submissions: DialogueSubmission[] = [];
  readonly #answers: string[] = [];
  readonly #problems: string[] = [];

  static async connect(options: DialogueOptions, implicitTls: boolean): Promise<SocketPeer> {
    const identity = await (certificate ??= selfSignedCertificate());
    const memory = new MemoryBudget(options.maxMemory);
    const { checkSender, sent } = limitsOf(options);
    const handlers: { peer?: SocketPeer } = {};
    const rules = { checkSender, anySender: options.anySender };
    const server = await smtpServer({
      session: { ...options, mechanisms: mechanismsOf(options) },
      memory,
      certificate: options.offerTls || implicitTls ? identity : undefined,
      handlers: {
        authenticate(credentials) {
          const login = credentials === "trusted"
            ? handlers.peer!.#logInTrusted()
            : handlers.peer!.#authenticate(credentials);
          return Promise.resolve({ ...login, ...rules });
        },
        submit(_account, message) {
          sent();
          return Promise.resolve(handlers.peer!.#submit(message));
        },
        failed: (error) => handlers.peer!.#problems.push(String(error)),
      },
      isTrusted: () => options.trusted,
    });
    const { port } = server.listen("127.0.0.1", 0, implicitTls);
    const socket = connect({ host: "127.0.0.1", port, noDelay: true });
    await new Promise<void>((resolve, reject) =>
      socket.once("connect", resolve).once("error", reject)
    );
    const peer = handlers.peer = new SocketPeer(server, memory, socket, implicitTls);
    if (implicitTls) await peer.#handshake();
    else peer.#listen(socket);
    return peer;
  }

  constructor(
    server: SmtpServer,
    memory: MemoryBudget,
    socket: Socket,
    implicitTls: boolean,
  ) {
    this.#server = server;
    this.#memory = memory;
    this.#socket = socket;
    this.#implicitTls = implicitTls;
  }

  send(octets: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.#socket.write(Buffer.from(octets), () => resolve()));
  }

  async readLine(): Promise<string> {
    await this.#until(() => this.#text.includes("\r\n") || this.#ended, "the server says nothing");
    const end = this.#text.indexOf("\r\n");
    if (end < 0) assert.fail("the server closed");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 2);
    return line;
  }

  async startTls(): Promise<void> {
    assert.equal(this.#text, "", "the server said more before TLS");
    // With implicit TLS, the dialogue's own handshake is part of connecting.
    if (!this.#implicitTls) await this.#handshake();
  }

  async closed(): Promise<void> {
    await this.#until(() => this.#ended, "the server keeps the connection open");
    assert.equal(this.#text, "", "the server said more before it closed");
    this.#socket.destroy();
    await this.#server.stop(REPLY_TIMEOUT);
  }

  expectLogin(login: ExpectedLogin): void {
    this.#logins.push(login);
  }

  expectTrustedLogin(refusal: string | undefined): void {
    this.#trustedLogins.push(refusal);
  }

  answerSubmission(answer: string): void {
    this.#answers.push(answer);
  }

  async nextSubmission(): Promise<DialogueSubmission> {
    await this.#until(() => this.#submissions.length > 0, "the server submitted nothing");
    return this.#submissions.shift()!;
  }

  leftovers(): string[] {
    return [
      ...this.#logins.map(({ username }) => `no login of ${username}`),
      ...this.#trustedLogins.map(() => "no login with the trusted account"),
      ...this.#answers.map((answer) => `no message for the answer ${answer}`),
      ...this.#submissions.map(({ from }) => `a message from <${from}>`),
      ...this.#problems,
      ...(this.#memory.used === 0 ? [] : [`${this.#memory.used} octets of memory in use`]),
    ];
  }

  #authenticate(credentials: Credentials) {
    const { username } = credentials;
    const login = this.#logins.shift();
    if (login === undefined) throw new Error(`the script knows of no login; it was ${username}`);
    assert.deepEqual({ username, password: secretIn(credentials).reveal() }, {
      username: login.username,
      password: login.password,
    });
    const answer = AUTH_ANSWERS[login.answer];
    return login.answer === 235 ? { reply: answer, account: true as const } : { reply: answer };
  }

  #submit({ envelope, content, facts }: ReceivedMessage): Reply {
    this.#submissions.push({ ...envelope, content: Buffer.concat(content), facts });
    this.#wake?.();
    return replyOf(this.#answers.shift() ?? "250 2.0.0 Accepted as 0001");
  }

  #logInTrusted() {
    if (this.#trustedLogins.length === 0) throw new Error("the script knows of no trusted login");
    const refusal = this.#trustedLogins.shift();
    return refusal === undefined
      ? { reply: REPLIES.authenticated, account: true as const }
      : { reply: replyOf(refusal) };
  }

  async #handshake(): Promise<void> {
    this.#socket.removeAllListeners();
    const plain = this.#socket;
    plain.on("error", () => {});
    const secure = connectTls({ socket: plain, rejectUnauthorized: false });
    await new Promise<void>((resolve, reject) =>
      secure.once("secureConnect", resolve).once("error", reject)
    );
    secure.removeAllListeners("error");
    this.#socket = secure;
    this.#listen(secure);
  }

  #listen(socket: Socket): void {
    socket.on("data", (octets: Uint8Array) => {
      this.#text += Buffer.from(octets).toString("latin1");
      this.#wake?.();
    });
    const ended = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", ended);
    socket.on("close", ended);
    socket.on("error", ended);
  }

  async #until(condition: () => boolean, otherwise: string): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => late.reject(new Error(otherwise)), REPLY_TIMEOUT);
    try {
      while (!condition()) {
        await Promise.race([late.promise, new Promise<void>((resolve) => this.#wake = resolve)]);
      }
    } finally {
      clearTimeout(timer);
      late.promise.catch(() => {});
    }
  }
}
