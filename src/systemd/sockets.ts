// Sockets that the service manager passes (sd_listen_fds(3)): descriptors from 3 on, each with a name
// for the protocol to serve there.

import { loadLibc, type SocketFacts } from "../runtime/libc.ts";

/** The purposes of sockets, by name (FileDescriptorName=). */
export const SOCKET_NAMES = ["smtp", "smtps", "http"] as const;
export type SocketName = (typeof SOCKET_NAMES)[number];

export interface HandedOver {
  readonly descriptor: number;
  /** Its address. */
  readonly hostname: string;
  readonly port: number;
}

export type HandedOverSockets = Readonly<Record<SocketName, readonly HandedOver[]>>;

export const NO_SOCKETS: HandedOverSockets = { smtp: [], smtps: [], http: [] };

/** The system calls that are needed. */
export interface Descriptors {
  describe(descriptor: number): SocketFacts;
  closeOnExec(descriptor: number): void;
}

type Environment = Record<string, string | undefined>;
export type Handed =
  | { readonly type: "sockets"; readonly sockets: HandedOverSockets }
  | { readonly type: "problems"; readonly problems: readonly string[] };

const FIRST = 3;
/** A bound on LISTEN_FDS, which is not checked by anything else. */
const MOST = 1024;

/**
 * Takes the sockets over and removes the variables, so that no child process uses them.
 *
 * @param pid our own
 */
export async function takeSockets(
  environment: Environment,
  pid: number,
  load: () => Promise<Descriptors> = loadLibc,
): Promise<Handed> {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = environment;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete environment[name];
  // The variables may be another process's, such as the parent's.
  if (LISTEN_FDS === undefined || LISTEN_PID !== String(pid)) return sockets(NO_SOCKETS);
  const count = /^\d{1,9}$/.test(LISTEN_FDS) ? Number(LISTEN_FDS) : NaN;
  if (!(count <= MOST)) {
    return problems([`LISTEN_FDS "${LISTEN_FDS}" must be a number up to ${MOST}`]);
  }
  if (count === 0) return sockets(NO_SOCKETS);
  let system: Descriptors;
  try {
    system = await load();
  } catch (error) {
    return problems([`the sockets handed over (LISTEN_FDS) cannot be used: ${text(error)}`]);
  }
  return sorted(count, LISTEN_FDNAMES?.split(":") ?? [], system);
}

function sorted(count: number, names: readonly string[], system: Descriptors): Handed {
  const found: Record<SocketName, HandedOver[]> = { smtp: [], smtps: [], http: [] };
  const wrong: string[] = [];
  for (let i = 0; i < count; i++) {
    const descriptor = FIRST + i;
    const given = names[i] ?? "";
    const what = `socket ${descriptor} of LISTEN_FDS (${given || "unnamed"})`;
    const name = meaning(given);
    if (name === undefined) {
      wrong.push(`${what}: FileDescriptorName= must be smtp, smtps or http`);
      continue;
    }
    const facts = system.describe(descriptor);
    if (facts.type === "other") {
      wrong.push(
        `${what} is ${facts.what}: it must be a TCP socket that listens (ListenStream=port)`,
      );
      continue;
    }
    system.closeOnExec(descriptor);
    found[name].push({ descriptor, hostname: facts.hostname, port: facts.port });
  }
  return wrong.length === 0 ? sockets(found) : problems(wrong);
}

/** Without a name systemd gives the socket unit's own, and its tools give "unknown". */
function meaning(given: string): SocketName | undefined {
  if (given === "" || given === "unknown" || given.endsWith(".socket")) return "smtp";
  return SOCKET_NAMES.find((name) => name === given);
}

function sockets(found: HandedOverSockets): Handed {
  return { type: "sockets", sockets: found };
}

function problems(lines: readonly string[]): Handed {
  return { type: "problems", problems: lines };
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
