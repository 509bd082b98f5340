// What the clients of a scenario are asked for, and report.

import { Script } from "../processes.ts";

/** Each connection sends its messages one after another, for so long at most. */
export interface Closed {
  readonly type: "closed";
  readonly connections: number;
  readonly messages: number;
  readonly milliseconds: number;
  /** Milliseconds over which the connections begin. */
  readonly spread: number;
}

export type Load =
  | Closed
  /** One message, then QUIT. */
  | { readonly type: "sessions"; readonly number: number; readonly concurrency: number }
  /** So many messages a second as long as a connection is free. */
  | {
    readonly type: "paced";
    readonly connections: number;
    readonly perSecond: number;
    readonly milliseconds: number;
  }
  /** Idle connections, in steps. */
  | { readonly type: "growing"; readonly connections: readonly number[] };

export interface Clients {
  readonly port: number;
  /** Of a message. */
  readonly octets: number;
  /** The message is an attachment of base64, instead of a text. */
  readonly attachment?: boolean;
  /** That the connections log in with in turn. */
  readonly accounts?: number;
  readonly load: Load;
}

/** Milliseconds. */
export interface Latency {
  readonly p50: number;
  readonly p99: number;
}

export interface ClientsReport {
  readonly seconds: number;
  /** Messages that were accepted. */
  readonly sent: number;
  readonly errors: number;
  readonly firstError: string;
  readonly perAccount: readonly number[];
  /** From the last octet of a message to the reply. */
  readonly latency?: Latency;
  /** From MAIL to the reply after the message. */
  readonly transaction?: Latency;
  /** Seconds from the first message of each connection to its end, over all of them. */
  readonly active?: number;
  /** Seconds of the clients' own CPU. */
  readonly cpu: number;
}

/** Runs the clients to their end. @throws Error if the process ends without a report */
export async function runClients(clients: Clients): Promise<ClientsReport> {
  const script = new Script("bench/peers/clients.ts", clients);
  try {
    return await script.object<ClientsReport>();
  } finally {
    await script.end();
  }
}

/** Idle connections: `next` resolves once the next step of them is open. */
export class GrowingClients {
  readonly #script: Script;

  constructor(port: number, connections: readonly number[]) {
    const load = { type: "growing", connections } as const;
    this.#script = new Script(
      "bench/peers/clients.ts",
      { port, octets: 0, load } satisfies Clients,
    );
  }

  async next(): Promise<void> {
    await this.#script.line();
  }

  /** Asks for the next step. */
  grow(): void {
    this.#script.tell("");
  }

  async end(): Promise<void> {
    await this.#script.end();
  }
}
