// Clients with a login that take all they can get, and an honest one of another account that sends a
// message each second.

import { type Program, SECRET, serve, USERNAME } from "../../tests/end_to_end/programs.ts";
import { TENANT } from "../../tests/support/logins.ts";
import { certificateFiles, metricsOf, Script, Watch, type Watched } from "../processes.ts";
import type { HonestClient, HonestMessage } from "../slow/scenario.ts";

export type Greed =
  /** Logs in, and says nothing. */
  | "silent"
  /** MAIL with a SIZE that takes all memory, no octet of it, and NOOP each second. */
  | "announces"
  /** Sends a message, and closes before its reply. */
  | "gone"
  /** Sends a message, and waits for its reply. */
  | "waits"
  /** As many octets of a large message as there is room for, and then a drip. */
  | "drips"
  /** Begins a message, and takes it back, over and over: it is never idle for long. */
  | "bustles";

export const GREEDS: readonly Greed[] = [
  "silent",
  "announces",
  "gone",
  "waits",
  "drips",
  "bustles",
];

/** Mailboxes of this name take a second for each message at the simulated Graph. */
export const SLOW_MAILBOX = "greedy@example.com";

export interface GreedyClients {
  readonly greed: Greed;
  readonly port: number;
  readonly clients: number;
  readonly address: string;
  readonly username: string;
  readonly password: string;
  /** Octets of a message that is announced or dripped. */
  readonly octets: number;
}

/** What has become of them by the end. */
export interface GreedyReport {
  readonly loggedIn: number;
  readonly closed: number;
  /** By their codes, those that are no 2yz or 3yz. */
  readonly replies: Readonly<Record<string, number>>;
}

export interface SharesOptions {
  readonly greed: Greed;
  readonly clients: number;
  readonly seconds: number;
  /** The honest client's address is theirs. */
  readonly sameAddress: boolean;
  /** Graph has taken a message of the greedy account before. */
  readonly known: boolean;
  readonly environment?: Record<string, string>;
}

export interface SharesResult {
  readonly honest: readonly HonestMessage[];
  readonly greedy: GreedyReport;
  readonly relay: Watched;
  readonly metrics: ReadonlyMap<string, number>;
  /** Milliseconds that `/healthz` took, once a second. */
  readonly health: readonly number[];
}

const GREEDY_USERNAME = `${TENANT}@99999999-9999-4999-8999-999999999999`;
const MAX_MESSAGE_SIZE = 36_700_160;

export async function shares(program: Program, options: SharesOptions): Promise<SharesResult> {
  const { greed, clients, seconds, sameAddress, known, environment } = options;
  const files = await certificateFiles();
  const cloud = new Script("bench/shares/cloud.ts", {});
  const scripts = [cloud];
  try {
    const url = await cloud.line();
    const relay = await serve(program, {
      ...files.settings,
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      GRAPH_ENDPOINT: `${url}/graph`,
      // What still waits at the end need not be sent.
      SHUTDOWN_TIMEOUT: "1s",
      ...environment,
    });
    try {
      const honestOf = (username: string, address: string, messages: number) =>
        new Script(
          "bench/slow/honest.ts",
          {
            port: relay.smtp,
            address,
            messages,
            username,
            password: SECRET,
          } satisfies HonestClient,
        );
      if (known) {
        const before = honestOf(GREEDY_USERNAME, "127.0.1.1", 0);
        scripts.push(before);
        await before.line();
      }
      const greedy = new Script(
        "bench/shares/greedy.ts",
        {
          greed,
          port: relay.smtp,
          clients,
          address: "127.0.1.1",
          username: GREEDY_USERNAME,
          password: SECRET,
          octets: MAX_MESSAGE_SIZE,
        } satisfies GreedyClients,
      );
      scripts.push(greedy);
      // All of them have what they can get.
      await greedy.line();
      const honest = honestOf(USERNAME, sameAddress ? "127.0.1.1" : "127.0.2.1", seconds);
      scripts.push(honest);
      await honest.line();
      const watch = new Watch(relay.running.child.pid!);
      const health: number[] = [];
      const messages: HonestMessage[] = [];
      while (messages.length < seconds) {
        messages.push(await honest.object());
        const begun = performance.now();
        await (await fetch(`http://127.0.0.1:${relay.http}/healthz`)).text();
        health.push(performance.now() - begun);
      }
      const metrics = await metricsOf(relay.http);
      greedy.tell("end");
      const report = await greedy.object<GreedyReport>();
      return { honest: messages, greedy: report, relay: watch.end(), metrics, health };
    } finally {
      await relay.running.stop();
    }
  } finally {
    for (const script of scripts) await script.end();
    files.remove();
  }
}

/** Milliseconds in which an honest client has to be served. */
const SERVED = 2_000;

/** The honest client's messages that were not taken, or too late. */
export function failuresOf({ honest }: Pick<SharesResult, "honest">): HonestMessage[] {
  return honest.filter(({ reply, ms }) => !reply.startsWith("250 ") || ms > SERVED);
}
