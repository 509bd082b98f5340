/**
 * Conversations of a client session as plain text. Each line is one thing that happens, in order:
 * `C:` what the client sends, `S:` what the server sends, `<TLS>` a handshake, `<CONTENT>` the content, to
 * its end, `<IDLE>` free for another message, `<CLOSE>` the end of the connection.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import {
  type ClientEffect,
  ClientSession,
  type ClientSessionOptions,
  type Envelope,
} from "../../src/smtp_client/client_session.ts";
import type { SessionResult } from "../../src/smtp_client/session_result.ts";

export const OPTIONS: ClientSessionOptions = {
  name: "client.example",
  server: { hostname: "mail.example", port: 587, tls: "loopback" },
  login: { type: "none" },
};

export const ENVELOPE: Envelope = {
  from: "alice@example.com",
  recipients: ["bob@example.org"],
  size: 1000,
  eightBit: false,
  smtputf8: false,
  partlyRefused: "send",
};

/** A session in the hands of a test. */
export class SessionPlayer {
  readonly session: ClientSession;
  readonly results: SessionResult[] = [];
  /** What the session has done that no line has named yet. */
  #done: string[] = [];

  constructor(options: Partial<ClientSessionOptions> = {}) {
    this.session = new ClientSession({ ...OPTIONS, ...options });
    this.session.connected();
  }

  /** The last result. */
  get result(): SessionResult {
    return this.results.at(-1) ?? assert.fail("there is no result");
  }

  send(envelope: Partial<Envelope> = {}): void {
    this.carryOut(this.session.send({ ...ENVELOPE, ...envelope }));
  }

  /** Plays the lines, and checks that nothing else happens. */
  play(script: string): this {
    for (const line of script.trim().split("\n").map((line) => line.trim())) {
      const [, who, text = ""] = /^(?:([CS]): ?)?(.*)$/.exec(line)!;
      if (who === "S") {
        this.#nothingLeft(line);
        this.say(`${text}\r\n`);
      } else {
        assert.equal(this.#done.shift()?.trimEnd(), line);
        if (line === "<TLS>") this.carryOut(this.session.tlsStarted());
        if (line === "<CONTENT>") this.session.contentLeaves();
      }
    }
    this.#nothingLeft("the end");
    return this;
  }

  say(text: string): void {
    this.carryOut(this.session.receive(Buffer.from(text, "latin1")));
  }

  carryOut(effects: readonly ClientEffect[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case "write":
          for (const line of effect.text.split("\r\n").slice(0, -1)) this.#done.push(`C: ${line}`);
          break;
        case "content":
          if (effect.bdat !== undefined) this.#done.push(`C: ${effect.bdat.trimEnd()}`);
          this.#done.push("<CONTENT>");
          break;
        case "startTls":
          this.#done.push("<TLS>");
          break;
        case "result":
          this.results.push(effect.result);
          break;
        default:
          this.#done.push(`<${effect.type.toUpperCase()}>`);
      }
    }
  }

  #nothingLeft(where: string): void {
    assert.deepEqual(this.#done, [], `not in the script, before ${where}`);
  }
}

/** A session that is open, with what the server offers. */
export function opened(
  extensions: readonly string[],
  options: Partial<ClientSessionOptions> = {},
): SessionPlayer {
  const player = new SessionPlayer(options);
  const lines = ["mail.example", ...extensions];
  player.play(`
    S: 220 mail.example
    C: EHLO client.example
    ${lines.map((line, i) => `S: 250${i < lines.length - 1 ? "-" : " "}${line}`).join("\n")}
  `);
  assert.equal(player.result.type, "ready");
  return player;
}
