// Plays dialogue scripts against a server. The server is behind an interface: the same scripts
// talk to the pure session and to a relay on a socket.

import assert from "node:assert/strict";
import { escapeOctets } from "./escapes.ts";
import type { DialogueOptions } from "./options.ts";
import { type AuthAnswer, type Dialogue, joinOctets, type Step } from "./script.ts";

export { type Dialogue, parseDialogue, readDialogue, scriptNames } from "./script.ts";
export { DIALOGUE_OPTIONS, type DialogueOptions } from "./options.ts";

/** A message that the server took from the client, as it hands it on. */
export interface DialogueSubmission {
  readonly from: string;
  readonly recipients: readonly string[];
  readonly content: Uint8Array;
  readonly facts: {
    readonly helo: string;
    readonly esmtp: boolean;
    readonly tls: boolean;
    readonly smtputf8: boolean;
    readonly trusted?: true;
  };
}

/** A login that the script announces, and its outcome. */
export interface ExpectedLogin {
  readonly username: string;
  readonly password: string;
  /** 535 and 454 come with the enhanced codes 5.7.8 and 4.7.0, and a text of the peer's choice. */
  readonly answer: AuthAnswer;
}

/** A client's connection to a server, and a hand on what the server asks of others. */
export interface DialoguePeer {
  /** Sends these octets in one segment. */
  send(octets: Uint8Array): void | Promise<void>;
  /** The server's next line, without its CRLF. Fails when none comes. */
  readLine(): Promise<string>;
  /** Does the client's part of the TLS handshake. Fails when a line is still unread. */
  startTls(): Promise<void>;
  /** Waits until the server closes. Fails when it says anything before. */
  closed(): Promise<void>;
  /** Announces one login; they come in this order, and any other one fails. */
  expectLogin(login: ExpectedLogin): void;
  /**
   * Announces one login with the account of the trusted networks. @param refusal MAIL's reply where it
   * fails
   */
  expectTrustedLogin(refusal: string | undefined): void;
  /** The reply to the next message that has none yet; without it, one of the peer's with `250 2.0.0`. */
  answerSubmission(reply: string): void;
  /** The next message. Fails when none comes. */
  nextSubmission(): Promise<DialogueSubmission>;
  /** What was announced and did not happen, or happened and was not asked for; a line each. */
  leftovers(): string[];
}

/** Opens a connection to a server with these options. */
export type Connect = (
  options: DialogueOptions,
  implicitTls: boolean,
) => DialoguePeer | Promise<DialoguePeer>;

/**
 * How the client's octets travel: a segment for each line or group, as the script has it; a
 * segment for each octet; or all of them in one, as far as TLS lets them (RFC 2920 asks the
 * server to keep what it cannot answer yet).
 */
export type Segments = "as written" | "octet by octet" | "all in one";

/**
 * Plays a script.
 *
 * @returns all lines that the server said
 * @throws {AssertionError} that begins with the script's name and line, where the server strays
 */
export async function playDialogue(
  dialogue: Dialogue,
  connect: Connect,
  segments: Segments = "as written",
): Promise<string[]> {
  const open = async () => new Player(await connect(dialogue.options, dialogue.implicitTls));
  const steps = segments === "all in one" ? joined(dialogue.steps) : dialogue.steps;
  const transcript: string[] = [];
  let player = await open();
  for (const step of steps) {
    try {
      if (step.type === "connect") player = await open();
      else await player.play(step, segments, transcript);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      throw new assert.AssertionError({ message: `${step.at}: ${problem}` });
    }
  }
  return transcript;
}

/** One connection. */
class Player {
  readonly #peer: DialoguePeer;
  #submission: DialogueSubmission | undefined;

  constructor(peer: DialoguePeer) {
    this.#peer = peer;
  }

  async play(step: Step, segments: Segments, transcript: string[]): Promise<void> {
    const peer = this.#peer;
    switch (step.type) {
      case "send":
        return await this.#send(step.octets, segments);
      case "expect": {
        const line = await peer.readLine();
        transcript.push(line);
        const { pattern, source } = step.line;
        if (!pattern.test(line)) assert.fail(`expected "${source}", the server said "${line}"`);
        return;
      }
      case "tls":
        return await peer.startTls();
      case "closed":
        await peer.closed();
        assert.deepEqual(peer.leftovers(), [], "the script is silent about this");
        return;
      case "auth":
        return peer.expectLogin(step);
      case "trusted":
        return peer.expectTrustedLogin(step.refusal);
      case "submit":
        return peer.answerSubmission(step.answer);
      case "envelope": {
        const submission = await peer.nextSubmission();
        this.#submission = submission;
        const { from, recipients } = submission;
        assert.deepEqual({ from, recipients }, { from: step.from, recipients: step.recipients });
        return;
      }
      case "content":
        assert.equal(escapeOctets(this.#current().content), escapeOctets(step.octets));
        return;
      case "facts": {
        const { esmtp, helo, tls, smtputf8, trusted } = step;
        const facts = { esmtp, helo, tls, smtputf8, ...(trusted ? { trusted } : {}) };
        assert.deepEqual(this.#current().facts, facts);
        return;
      }
      case "connect":
        return;
    }
  }

  async #send(octets: Uint8Array, segments: Segments): Promise<void> {
    if (segments !== "octet by octet") return await this.#peer.send(octets);
    for (let i = 0; i < octets.length; i++) {
      const sent = this.#peer.send(octets.subarray(i, i + 1));
      if (sent !== undefined) await sent;
    }
  }

  #current(): DialogueSubmission {
    return this.#submission ?? assert.fail("! envelope has to come first");
  }
}

/** Puts all that the client sends up to a TLS handshake, or a connection's end, into one segment. */
function joined(steps: readonly Step[]): Step[] {
  const result: Step[] = [];
  let announced: Step[] = [];
  let sent: Uint8Array[] = [];
  let checks: Step[] = [];
  const flush = (at: string) => {
    result.push(...announced);
    if (sent.length > 0) result.push({ type: "send", octets: joinOctets(sent), at });
    result.push(...checks);
    [announced, sent, checks] = [[], [], []];
  };
  for (const step of steps) {
    if (step.type === "send") sent.push(step.octets);
    else if (["auth", "trusted", "submit"].includes(step.type)) announced.push(step);
    else checks.push(step);
    if (step.type === "tls" || step.type === "closed") flush(step.at);
    // A new connection is to be there before anything is announced to it.
    if (step.type === "connect") flush(step.at);
  }
  flush("end");
  return result;
}
