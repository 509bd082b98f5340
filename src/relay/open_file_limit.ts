// Whether the process may open as many files as its settings can make it open: each connection is one.

import { readFileSync } from "node:fs";
import type { LogFields } from "../observe/log.ts";

/**
 * What the relay needs besides connections: those that read their last reply (server.ts), listeners,
 * the HTTP side's clients, the log, files of certificates, the runtime's own.
 */
const BESIDES = 400;

/** Each client's message may need a connection to Graph of its own. */
const EACH = 2;

/** The limit in force; undefined where it cannot be read (elsewhere than on Linux), or there is none. */
export function openFileLimit(read = () => readFileSync("/proc/self/limits", "utf8")) {
  try {
    const limit = /^Max open files +(\d+)/m.exec(read())?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/** The most that may wait for a slot (connection_limiter.ts). */
const LARGEST_QUEUE = 8192;
/** What may, where the limit is not known. */
const SMALL_QUEUE = 1024;

/** How many may wait for a slot of MAX_CONNECTIONS: as many files as the limit leaves. */
export function queueFor(connections: number, limit: number | undefined): number {
  if (limit === undefined) return SMALL_QUEUE;
  return Math.max(0, Math.min(LARGEST_QUEUE, limit - connections * EACH - BESIDES));
}

/** The line for the log where the limit is too low for MAX_CONNECTIONS. */
export function openFileWarning(
  connections: number,
  limit: number | undefined,
): readonly [message: string, fields: LogFields] | undefined {
  const needed = connections * EACH + BESIDES;
  if (limit === undefined || limit >= needed) return undefined;
  const enough = Math.max(1, Math.floor((limit - BESIDES) / EACH));
  return [
    "The limit of open files is too low for MAX_CONNECTIONS: raise LimitNOFILE= of the service, " +
    "or ulimit -n, to what is needed, or set MAX_CONNECTIONS to what the limit is enough for",
    { limit, needed, max_connections: connections, enough_for: enough },
  ];
}
