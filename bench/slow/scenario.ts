// Slow clients against a relay, and an honest one among them that sends a message each second.

import { type Program, SECRET, serve, USERNAME } from "../../tests/end_to_end/programs.ts";
import { certificateFiles, metricsOf, Script, Watch, type Watched } from "../processes.ts";

export type SlowKind =
  /** Says nothing, and hears nothing either: does not hang up when the relay has. */
  | "deaf"
  /** Says nothing after the greeting. */
  | "silent"
  /** A command, octet by octet. */
  | "command"
  /** STARTTLS, and no ClientHello. */
  | "handshake"
  /** STARTTLS, and the half of a ClientHello. */
  | "half hello"
  /** Logged in, and the content octet by octet. */
  | "content";

export interface SlowClients {
  readonly port: number;
  /** All together. */
  readonly clients: number;
  /** Of them, those that log in and drip content. */
  readonly content: number;
  /** Taken in turn. */
  readonly addresses: readonly string[];
  readonly username: string;
  readonly password: string;
}

export interface SlowReport {
  readonly kinds: Record<string, {
    connected: number;
    closed: number;
    /** Milliseconds, median of those that were closed. */
    held: number | null;
    replies: Record<string, number>;
  }>;
  /** Connections that were not made, by error. */
  readonly failures: Record<string, number>;
}

export interface HonestClient {
  readonly port: number;
  readonly address: string;
  /** One a second. */
  readonly messages: number;
  readonly username: string;
  readonly password: string;
}

export interface HonestMessage {
  readonly number: number;
  /** Milliseconds from connecting to the reply. */
  readonly ms: number;
  readonly reply: string;
}

export interface SlowOptions {
  readonly clients: number;
  readonly content: number;
  readonly seconds: number;
  /** All clients on one address, the honest one too; else on a hundred, and it on its own. */
  readonly oneAddress: boolean;
  readonly environment?: Record<string, string>;
}

export interface SlowResult {
  readonly honest: readonly HonestMessage[];
  readonly slow: SlowReport;
  readonly relay: Watched;
  /** MB, before the first client. */
  readonly atRest: number;
  readonly metrics: ReadonlyMap<string, number>;
  /** What the relay has written besides warnings. */
  readonly errors: readonly string[];
}

const ADDRESSES = 100;

export async function slowClients(program: Program, options: SlowOptions): Promise<SlowResult> {
  const { clients, content, seconds, oneAddress, environment } = options;
  const files = await certificateFiles();
  const cloud = new Script("bench/slow/cloud.ts", {});
  const scripts = [cloud];
  try {
    const url = await cloud.line();
    const relay = await serve(program, {
      ...files.settings,
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      GRAPH_ENDPOINT: `${url}/graph`,
      ...environment,
    });
    try {
      const account = { username: USERNAME, password: SECRET };
      const own = oneAddress ? "127.0.1.1" : "127.0.2.1";
      const honest = new Script(
        "bench/slow/honest.ts",
        {
          port: relay.smtp,
          address: own,
          messages: seconds,
          ...account,
        } satisfies HonestClient,
      );
      scripts.push(honest);
      await honest.line();
      const watch = new Watch(relay.running.child.pid!);
      const addresses = Array.from(
        { length: oneAddress ? 1 : ADDRESSES },
        (_, i) => `127.0.1.${i + 1}`,
      );
      const slow = new Script(
        "bench/slow/clients.ts",
        {
          port: relay.smtp,
          clients,
          content,
          addresses,
          ...account,
        } satisfies SlowClients,
      );
      scripts.push(slow);
      const messages: HonestMessage[] = [];
      while (messages.length < seconds) messages.push(await honest.object());
      const metrics = await metricsOf(relay.http);
      slow.tell("end");
      let report = await slow.line();
      if (report === "ready") report = await slow.line();
      const watched = watch.end();
      return {
        honest: messages,
        slow: JSON.parse(report) as SlowReport,
        relay: watched,
        atRest: watched.first,
        metrics,
        errors: relay.running.stderr.split("\n").filter((line) =>
          line !== "" && !/^\S+ WARNING /.test(line)
        ),
      };
    } finally {
      await relay.running.stop();
    }
  } finally {
    for (const script of scripts) await script.end();
    files.remove();
  }
}

/** The honest client's messages that did not get their 250. */
export function failuresOf({ honest }: SlowResult): HonestMessage[] {
  return honest.filter(({ reply }) => !reply.startsWith("250 "));
}
