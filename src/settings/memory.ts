// How much mail may be held where MAX_MEMORY is not set: what the control group leaves room for.

import { readFileSync } from "node:fs";
import { posix } from "node:path";

const MIB = 1024 ** 2;
const MOST = 256 * MIB;
const LEAST = 16 * MIB;
const ROOT = "/sys/fs/cgroup";

/** Octets: the smaller of 256 MiB and half the control group's limit. */
export function standardMemory(read: (path: string) => string = readText): number {
  const limits = limitFiles(read).map((path) => Number(tried(read, path)?.trim() || "max"));
  const lowest = Math.min(...limits.filter((limit) => limit > 0), Infinity);
  return Math.max(LEAST, Math.min(MOST, Math.floor(lowest / 2)));
}

/**
 * Where limits may stand: those of the process's own group and of all above it (version 2: kernel.org,
 * admin-guide/cgroup-v2), as a service manager sets them, and version 1's.
 */
function limitFiles(read: (path: string) => string): string[] {
  const files = [`${ROOT}/memory/memory.limit_in_bytes`];
  const own = /^0::(\/.*)$/m.exec(tried(read, "/proc/self/cgroup") ?? "")?.[1] ?? "/";
  for (let group = own;; group = posix.dirname(group)) {
    files.push(posix.join(ROOT, group, "memory.max"));
    if (group === "/" || group === ".") return files;
  }
}

function tried(read: (path: string) => string, path: string): string | undefined {
  try {
    return read(path);
  } catch {
    // No such group, another version, or not Linux.
    return undefined;
  }
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}
