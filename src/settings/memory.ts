// How much mail may be held where MAX_MEMORY is not set: what the machine or container leaves room for.

import { readFileSync } from "node:fs";

const MIB = 1024 ** 2;
const MOST = 256 * MIB;
const LEAST = 16 * MIB;

/** Where a control group tells its limit: version 2, then version 1 (kernel.org, cgroup-v2.rst). */
const LIMIT_FILES = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/** Octets: the smaller of 256 MiB and half the control group's limit. */
export function standardMemory(read: (path: string) => string = readText): number {
  for (const path of LIMIT_FILES) {
    try {
      const text = read(path).trim();
      if (/^\d+$/.test(text)) return Math.max(LEAST, Math.min(MOST, Math.floor(Number(text) / 2)));
    } catch {
      // Not in a control group, or not on Linux.
    }
  }
  return MOST;
}

function readText(path: string): string {
  return readFileSync(path, "utf8");
}
