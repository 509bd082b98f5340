// As many large messages at once as MAX_MEMORY admits, of one shape, and what the relay's process holds
// at most meanwhile. Clients, relay and cloud are processes of their own.

import { readFileSync, writeFileSync } from "node:fs";
import { type Program, SECRET, serve, USERNAME } from "../../tests/end_to_end/programs.ts";
import { COPIES } from "../../src/server/memory.ts";
import { certificateFiles, Script, usageOf } from "../processes.ts";
import type { Shape } from "./shapes.ts";

export interface Load {
  readonly shape: Shape;
  /** `sendMail`: one request however large the message is; `upload`: a draft and an upload session. */
  readonly way: "sendMail" | "upload";
  /** Octets of MAX_MEMORY. */
  readonly memory: number;
  /** Octets of a message. */
  readonly octets: number;
  readonly messages: number;
  /** Clients that send at the same time: more than there is room for. */
  readonly clients: number;
  /** Octets that the clients write at once. */
  readonly segment: number;
  /** By DATA, or by BDAT in chunks of a segment each. */
  readonly verb: "DATA" | "BDAT";
  readonly tls: boolean;
}

export interface Senders extends Load {
  readonly port: number;
  readonly username: string;
  readonly password: string;
}

export interface SendersReport {
  readonly taken: number;
  /** Replies that asked a client to retry soon. */
  readonly deferred: number;
  /** All other replies. */
  readonly odd: readonly string[];
}

/** The relay's limit in MiB. */
export function allowed({ rest }: Peak, { memory }: Load): number {
  return memory / MIB + rest + WORKING_SHARE;
}

/** As many messages of one size as there is room for, followed by some more. */
export function fullLoad(
  memory: number,
  octets: number,
  rest: Partial<Load> & Pick<Load, "shape" | "way">,
): Load {
  const room = Math.floor(memory / COPIES / octets);
  return {
    memory,
    octets,
    messages: room * 3,
    clients: room + 2,
    segment: 256 * 1024,
    verb: "DATA",
    tls: true,
    ...rest,
  };
}

/** Memory in MiB. */
export interface Peak {
  readonly rest: number;
  readonly peak: number;
  /** Peak number of messages held at once. */
  readonly atOnce: number;
  /** Milliseconds of CPU for a MB of mail. */
  readonly cpu: number;
  readonly seconds: number;
  readonly report: SendersReport;
}

const MIB = 1024 ** 2;
/**
 * MiB above the relay's memory at rest that are not mail, independent of the amount of mail: compiled
 * code, connections, what is being created and sent, garbage between two collections.
 */
export const WORKING_SHARE = 40;
/** Milliseconds after a few short messages until memory is at rest. */
const REST = 2_000;

export async function peakOf(program: Program, load: Load): Promise<Peak> {
  const files = await certificateFiles();
  const cloud = new Script("bench/memory/gathering_cloud.ts", {});
  const scripts = [cloud];
  const senders = async (given: Senders) => {
    const script = new Script("bench/memory/senders.ts", given);
    scripts.push(script);
    return await script.object<SendersReport>();
  };
  try {
    const url = await cloud.line();
    const relay = await serve(program, {
      ...files.settings,
      MAX_MEMORY: String(load.memory),
      REQUIRE_TLS: String(load.tls),
      ...(load.way === "sendMail" ? { GRAPH_REQUEST_LIMIT: "150m" } : {}),
      AZURE_AUTHORITY_HOST: `${url}/entra`,
      GRAPH_ENDPOINT: `${url}/graph`,
    });
    try {
      const pid = relay.running.child.pid!;
      const all = { ...load, port: relay.smtp, username: USERNAME, password: SECRET };
      // Code that every relay loads and compiles for its first mail counts as memory at rest.
      await senders({ ...all, octets: 20_000, messages: 4, clients: 1, segment: 256 * 1024 });
      await new Promise((resolve) => setTimeout(resolve, REST));
      const rest = mebibytesOf(pid, "VmRSS");
      // The high-water mark is set back to what is resident now (proc_pid_clear_refs(5)).
      writeFileSync(`/proc/${pid}/clear_refs`, "5");
      const { cpu } = usageOf(pid);
      const begun = performance.now();
      const report = await senders(all);
      const seconds = (performance.now() - begun) / 1000;
      const peak = mebibytesOf(pid, "VmHWM");
      const used = usageOf(pid).cpu - cpu;
      cloud.tell("most");
      const atOnce = Number(await cloud.line());
      const megabytes = load.messages * load.octets / 1e6;
      return { rest, peak, atOnce, cpu: used * 1000 / megabytes, seconds, report };
    } finally {
      await relay.running.stop();
    }
  } finally {
    for (const script of scripts) await script.end();
    files.remove();
  }
}

/** Of proc_pid_status(5). */
export function mebibytesOf(pid: number, field: "VmRSS" | "VmHWM"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)![1]) * 1024 / MIB;
}
