/**
 * A client session whose effects are carried out in memory and checked against the rules: handshakes
 * succeed, contents leave at once, and every message follows the one before.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { Secret } from "../../src/secret.ts";
import {
  type ClientEffect,
  ClientSession,
  type Envelope,
} from "../../src/smtp_client/client_session.ts";
import type { Login, TlsMode } from "../../src/smtp_client/mail_client.ts";
import type { SessionResult } from "../../src/smtp_client/session_result.ts";
import { ENVELOPE } from "./dialogue.ts";

export const SECRET = "a-long-secret-of-ours";

export const LOGINS: readonly Login[] = [
  { type: "none" },
  { type: "password", username: "user", password: new Secret(SECRET) },
  { type: "token", username: "alice@example.com", token: new Secret(SECRET) },
];
export const TLS_MODES: readonly TlsMode[] = ["loopback", "starttls", "implicit"];

export interface Scenario {
  readonly login: Login;
  readonly tls: TlsMode;
  /** The messages to send, in order. */
  readonly envelopes: readonly Partial<Envelope>[];
}

export class ClientDriver {
  readonly session: ClientSession;
  readonly results: SessionResult[] = [];
  /** Everything sent, with `<TLS>` and `<CONTENT>` where they were. */
  written = "";
  closed = false;
  readonly #envelopes: Partial<Envelope>[];
  /** Results that are still to come: of the opening, then of a message. */
  #due = 1;
  #nextIsDue = false;
  #content: "none" | "asked" | "left" = "none";

  constructor({ login, tls, envelopes }: Scenario) {
    const server = { hostname: "mail.example", port: 587, tls };
    this.#envelopes = [...envelopes];
    this.session = new ClientSession({ name: "client.example", server, login });
    this.session.connected();
  }

  feed(octets: Uint8Array | string): void {
    const bytes = typeof octets === "string" ? Buffer.from(octets, "latin1") : octets;
    this.#carryOut(this.session.receive(bytes));
    if (this.#nextIsDue) this.#next();
    if (this.#content === "asked" && this.session.takesContent) {
      this.#content = "left";
      this.session.contentLeaves();
    }
  }

  /** The server closes the connection. */
  end(): void {
    if (!this.closed) this.#carryOut(this.session.lost("CLOSED", "closed"));
    assert.equal(this.closed, true);
    assert.equal(this.#due, 0, "a message without a result");
  }

  #carryOut(effects: readonly ClientEffect[]): void {
    for (const effect of effects) {
      assert.ok(!this.closed || effect.type === "result", `${effect.type} after the close`);
      switch (effect.type) {
        case "write":
          assert.match(effect.text, /\r\n$/);
          // Not among the words, which are ASCII and have no other control characters.
          assert.doesNotMatch(effect.text.replaceAll("\r\n", ""), /[\r\n]/);
          this.written += effect.text;
          break;
        case "startTls":
          this.written += "<TLS>";
          this.#carryOut(this.session.tlsStarted());
          break;
        case "content":
          this.written += `${effect.bdat ?? ""}<CONTENT>`;
          this.#content = "asked";
          break;
        case "result":
          this.#check(effect.result);
          break;
        case "idle":
          this.#nextIsDue = true;
          break;
        case "close":
          this.closed = true;
      }
    }
  }

  #check(result: SessionResult): void {
    assert.equal(this.#due--, 1, "a result that nobody waits for");
    this.results.push(result);
    const text = JSON.stringify(result);
    assert.ok(!text.includes(SECRET), "a secret in a result");
    assert.ok(text.length < 64 * 1024, "a result without a bound");
    // But for a recipient of ours.
    assert.match(text.replaceAll("jürgen@", ""), /^[\x20-\x7e]*$/);
    switch (result.type) {
      case "ready":
        this.#nextIsDue = true;
        return;
      case "accepted":
        assert.equal(this.#content, "left", "accepted without its content");
        assert.equal(Math.floor(result.reply.code / 100), 2);
        break;
      case "refused":
        assert.ok(result.reply.code >= 400 && result.reply.code < 600);
        break;
      case "failed":
        assert.equal(result.ambiguous, this.#content === "left");
    }
    this.#content = "none";
  }

  #next(): void {
    this.#nextIsDue = false;
    const envelope = this.#envelopes.shift();
    if (envelope === undefined) return;
    this.#due++;
    this.#content = "none";
    this.#carryOut(this.session.send({ ...ENVELOPE, ...envelope }));
  }
}
