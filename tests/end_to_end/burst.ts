// Sends a burst from one mailbox through a relay to a simulated Graph that allows four concurrent
// requests, and returns the result.

import { startCloud } from "../support/cloud.ts";
import { type Program, SECRET, serve, USERNAME } from "./programs.ts";
import { SmtpClient } from "./smtp_client.ts";

export const CLIENTS = 20;
/** By each client, one after another. */
export const MESSAGES = 10;
const SENDER = "scanner@example.com";

export interface BurstOptions {
  /** Milliseconds that Graph needs for a message. */
  readonly delay: number;
  /** GRAPH_CONCURRENCY of the relay. */
  readonly relayConcurrency?: number;
  /** By each client; {@link MESSAGES} by default. */
  readonly messages?: number;
  /** Seconds in Graph's 429. */
  readonly retryAfter?: number;
}

export interface BurstResult {
  readonly replies: readonly string[];
  /** In the order in which Graph accepted them. */
  readonly arrived: readonly { readonly client: number; readonly number: number }[];
  readonly requests: number;
  readonly mostInFlight: number;
  readonly throttled: number;
  readonly seconds: number;
}

export async function burst(program: Program, options: BurstOptions): Promise<BurstResult> {
  const { delay, relayConcurrency = 4, messages = MESSAGES, retryAfter = 1 } = options;
  const cloud = await startCloud({ graph: { delay, concurrency: 4, retryAfter } });
  const relay = await serve(program, {
    TLS_SOURCE: "off",
    REQUIRE_TLS: "false",
    GRAPH_CONCURRENCY: String(relayConcurrency),
    AZURE_AUTHORITY_HOST: cloud.authority.href,
    GRAPH_ENDPOINT: cloud.endpoint.href,
  });
  try {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, async () => {
      const client = new SmtpClient(relay.smtp);
      await client.login(USERNAME, SECRET);
      return client;
    }));
    const begun = performance.now();
    const replies = await Promise.all(clients.map(async (client, index) => {
      const own: string[] = [];
      for (let number = 0; number < messages; number++) {
        own.push(await client.send(SENDER, "to@example.org", `${index} ${number}`));
      }
      client.destroy();
      return own;
    }));
    const { requests, mostInFlight, throttled } = cloud.graph;
    return {
      replies: replies.flat(),
      arrived: cloud.inbox.list().reverse().map(({ subject }) => {
        const [client, number] = subject.split(" ").map(Number);
        return { client: client!, number: number! };
      }),
      requests,
      mostInFlight,
      throttled,
      seconds: (performance.now() - begun) / 1000,
    };
  } finally {
    await relay.running.stop();
    await cloud.close();
  }
}
