// The default of MAX_MEMORY, from the memory limit of the control group.

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
 * The files that may have a limit: those of the process's own group and of all above it, as a service
 * manager sets them (cgroups(7); of version 2, kernel.org's admin-guide/cgroup-v2). In a container, its own
 * group mostly is the root that it sees.
 */
function limitFiles(read: (path: string) => string): string[] {
  const groups = tried(read, "/proc/self/cgroup") ?? "";
  const unified = /^0::(\/.*)$/m.exec(groups)?.[1];
  const version1 = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(\/.*)$/m.exec(groups)?.[1];
  return [
    ...upwards(unified).map((group) => posix.join(ROOT, group, "memory.max")),
    ...upwards(version1).map((group) => posix.join(ROOT, "memory", group, "memory.limit_in_bytes")),
  ];
}

/** A group and all above it; the root alone where the group is unknown. */
function upwards(group = "/"): string[] {
  return group === "/" || group === "." ? ["/"] : [group, ...upwards(posix.dirname(group))];
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
