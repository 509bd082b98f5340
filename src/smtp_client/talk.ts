// What the steps of a conversation share: what has been said, heard and found out, and how a step ends
// it. Replies are told apart by their first digit alone, as RFC 5321 §4.2.1 allows.

import type { DialogueObserver } from "./dialogue.ts";
import type { Extensions } from "./extensions.ts";
import type { ServerReply, Stage } from "./mail_client.ts";
import type { RawReply } from "./reply_reader.ts";
import { serverReply } from "./server_reply.ts";
import { Failure, Refusal, type SessionResult } from "./session_result.ts";

export type ClientEffect =
  /** Send the text, in UTF-8. */
  | { readonly type: "write"; readonly text: string }
  /** Begin TLS, then call `ClientSession.tlsStarted`. */
  | { readonly type: "startTls" }
  /**
   * Send the content: after the command `bdat` and as it is, or as DATA if that is left out. Call
   * `ClientSession.contentLeaves` before its last octets are sent.
   */
  | { readonly type: "content"; readonly bdat?: string }
  | { readonly type: "result"; readonly result: SessionResult }
  /** Another transaction may begin. */
  | { readonly type: "idle" }
  /** Nothing more is to be sent or read. */
  | { readonly type: "close" };

/** What a step waits for: a reply, the end of the handshake, or the end of the content. */
export type Wait = "reply" | "tls" | "content";

/** One step, which is resumed with a reply, or with nothing after other waits. */
export type Step<T> = Generator<Wait, T, RawReply | undefined>;

/** What the observer sees of a content. */
const CONTENT = "(the message)";
/** The server closes the connection after this reply (RFC 5321 §3.8). */
const CLOSING = 421;

export class Talk {
  stage: Stage = "connect";
  extensions: Extensions = new Map();
  /** Credentials sent so far, which a reply may echo. */
  credentials: readonly string[] = [];
  /** What the server has said about a token. */
  challenge: string | undefined;
  /** Whether there are octets after the last reply. */
  readonly pending: () => boolean;
  #effects: ClientEffect[] = [];
  readonly #observer: DialogueObserver | undefined;
  #leaving = false;
  #replies = 0;

  constructor(observer: DialogueObserver | undefined, pending: () => boolean) {
    this.#observer = observer;
    this.pending = pending;
  }

  /** The server has announced that it closes the connection. */
  get leaving(): boolean {
    return this.#leaving;
  }

  /** How many replies have been read. */
  get replies(): number {
    return this.#replies;
  }

  heard(reply: RawReply): void {
    this.#replies++;
    this.#observer?.heard(reply);
    if (reply.code === CLOSING) this.#leaving = true;
  }

  /** @param shown for the observer, without credentials */
  write(text: string, shown = text): void {
    this.#observer?.said(shown.trimEnd());
    const last = this.#effects.at(-1);
    if (last?.type !== "write") return this.effect({ type: "write", text });
    this.#effects[this.#effects.length - 1] = { type: "write", text: last.text + text };
  }

  /** Lets the content be sent: see the effect. */
  sendContent(bdat: string | undefined): void {
    this.#observer?.said(
      bdat === undefined ? `${CONTENT}\r\n.` : `${bdat.trimEnd()}\r\n${CONTENT}`,
    );
    this.effect({ type: "content", ...(bdat === undefined ? {} : { bdat }) });
  }

  effect(effect: ClientEffect): void {
    this.#effects.push(effect);
  }

  /** All effects since the last call. */
  drain(): readonly ClientEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Waits for a reply. */
  *reply(): Step<RawReply> {
    return (yield "reply")!;
  }

  /** @throws Refusal, or Failure, if the reply is of another kind */
  demand(reply: RawReply, wanted: 2 | 3): void {
    if (kind(reply) !== wanted) throw this.refusal(reply);
  }

  /** What a reply means that is not the wanted one. */
  refusal(reply: RawReply): Refusal | Failure {
    if (reply.code >= 400) return new Refusal(this.stage, this.shown(reply));
    return new Failure("UNEXPECTED", `${reply.code} is no reply that can follow here`);
  }

  shown(reply: RawReply): ServerReply {
    return serverReply(reply, this.credentials);
  }
}

/** The first digit (RFC 5321 §4.2.1). */
export function kind({ code }: RawReply): number {
  return Math.floor(code / 100);
}
