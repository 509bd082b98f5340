// Clients that send one message after another to a relay that is killed again and again.

import { Buffer } from "node:buffer";
import { SECRET, TENANT } from "../../tests/end_to_end/programs.ts";
import { Hangup, SmtpConnection } from "../smtp.ts";
import { contentOf, dotStuffed, type Size } from "../soak/message.ts";
import type { Sending } from "./ledgers.ts";

/** The ports of a relay that runs. */
export interface Ports {
  readonly smtp: number;
  readonly smtps: number;
}

export interface CrashClientsOptions {
  readonly clients: number;
  readonly random: () => number;
  /** Whether there is so much mail under way that clients have to wait. */
  readonly crowded: () => boolean;
  /** Called with the ledger's new entry. */
  readonly ended: (sending: Sending) => void;
}

const APPS = 4;
const MAILBOXES = 12;
/** Messages of one connection at most. */
const MOST = 25;
/** Milliseconds before a client that could not begin tries again. */
const AGAIN = 20;

export class CrashClients {
  readonly ledger: Sending[] = [];
  readonly #options: CrashClientsOptions;
  readonly #loops: Promise<void>[];
  /** Of the relays that run. */
  #relays: readonly Ports[] = [];
  #stopped = false;
  #next = 1;

  constructor(options: CrashClientsOptions) {
    this.#options = options;
    this.#loops = Array.from({ length: options.clients }, (_, client) => this.#run(client));
  }

  /** From now on these relays are there. */
  connectTo(relays: readonly Ports[]): void {
    this.#relays = relays;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Resolves when each client has ended its message. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
  }

  async #run(client: number): Promise<void> {
    const { random, crowded } = this.#options;
    while (!this.#stopped) {
      const ports = this.#relays[Math.floor(random() * this.#relays.length)];
      if (ports === undefined || crowded()) {
        await pause(AGAIN);
        continue;
      }
      try {
        await this.#connection(ports, client);
      } catch (error) {
        if (!(error instanceof Hangup)) throw error;
        await pause(AGAIN);
      }
    }
  }

  /** @throws Hangup */
  async #connection({ smtp, smtps }: Ports, client: number): Promise<void> {
    const { random, crowded } = this.#options;
    // A third each: TLS from the first octet, by STARTTLS, and plain.
    const way = client % 3;
    const address = `127.0.0.${client + 2}`;
    const connection = await SmtpConnection.open(
      way === 0 ? smtps : smtp,
      address,
      way === 0,
      way < 2,
    );
    try {
      await logIn(connection, Math.floor(random() * APPS));
      const messages = 1 + Math.floor(random() * MOST);
      for (let count = 0; count < messages && !this.#stopped && !crowded(); count++) {
        await this.#message(connection);
      }
      await connection.say("QUIT");
    } finally {
      connection.destroy();
    }
  }

  /** @throws Hangup */
  async #message(connection: SmtpConnection): Promise<void> {
    const { random } = this.#options;
    const message = this.#next++;
    const from = `m${Math.floor(random() * MAILBOXES)}@soak.example`;
    const to = `to${message % 7}@soak.example`;
    const octets = dotStuffed(contentOf(message, from, to, sizeFor(random)));
    for (
      const [command, code] of [[`MAIL FROM:<${from}>`, "250"], [`RCPT TO:<${to}>`, "250"], [
        "DATA",
        "354",
      ]] as const
    ) {
      const reply = await connection.say(command);
      if (!reply.startsWith(code)) return this.#end({ message, end: "reply", reply });
    }
    try {
      connection.write(octets);
      this.#end({ message, end: "reply", reply: await connection.reply() });
    } catch (error) {
      this.#end({ message, end: "lost" });
      throw error;
    }
  }

  #end(sending: Sending): void {
    this.ledger.push(sending);
    this.#options.ended(sending);
  }
}

/** Most fit into a row; the others get a file, and the largest of them go by a draft. */
function sizeFor(random: () => number): Size {
  const chance = random();
  if (chance < 0.03) return { octets: 460_000, attached: true };
  if (chance < 0.13) return { octets: 225_000, attached: true };
  if (chance < 0.25) return { octets: 10_000 + Math.floor(random() * 60_000), attached: false };
  return { octets: 100 + Math.floor(random() * 3_000), attached: false };
}

/** @throws Hangup; also if the relay refuses, which shows where nothing is sent */
async function logIn(connection: SmtpConnection, app: number): Promise<void> {
  const username = `${TENANT}@${String(app).padStart(8, "0")}-2222-4222-8222-222222222222`;
  const response = Buffer.from(`\0${username}\0${SECRET}`, "utf8").toString("base64");
  const reply = await connection.say(`AUTH PLAIN ${response}`);
  if (!reply.startsWith("235")) throw new Hangup(reply);
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
