// Compares the limit of open files with what the settings need: each connection is an open file.

import { readFileSync } from "node:fs";
import type { LogFields } from "../observe/log.ts";

/**
 * Files needed besides connections: evicted connections that read their last reply (server.ts),
 * listeners, clients of the HTTP server, the log, certificate files, the runtime's own.
 */
const BESIDES = 400;

/** Each client's message may need its own connection to Graph. */
const EACH = 2;

/** The current limit; undefined if there is none, or if it cannot be read (outside of Linux). */
export function openFileLimit(read = () => readFileSync("/proc/self/limits", "utf8")) {
  try {
    const limit = /^Max open files +(\d+)/m.exec(read())?.[1];
    return limit === undefined ? undefined : Number(limit);
  } catch {
    return undefined;
  }
}

/** Connections that may wait for a slot at most (connection_limiter.ts). */
const LARGEST_QUEUE = 8192;
/** The same if the limit is unknown. */
const SMALL_QUEUE = 1024;

/** How many connections may wait for a slot of MAX_CONNECTIONS: as many as the limit leaves. */
export function queueFor(connections: number, limit: number | undefined): number {
  if (limit === undefined) return SMALL_QUEUE;
  return Math.max(0, Math.min(LARGEST_QUEUE, limit - connections * EACH - BESIDES));
}

/** The warning if the limit is too low for MAX_CONNECTIONS. */
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
