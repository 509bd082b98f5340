// A control group with a limit on memory, version 1 or 2 (cgroups(7); of version 2, kernel.org's
// admin-guide/cgroup-v2).

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import type { Program } from "../../tests/end_to_end/programs.ts";

const ROOT = "/sys/fs/cgroup";

export interface MemoryGroup {
  readonly path: string;
  readonly version: 1 | 2;
  /** The program to start in the group. */
  inside(program: Program): Program;
  figures(): MemoryFigures;
  /** Call it after all processes of the group have ended. */
  remove(): void;
}

export interface MemoryFigures {
  /** Peak in octets, including page cache and, in version 2, socket buffers. */
  readonly most: number;
  /** How often the limit was reached; the kernel then usually reclaims page cache. */
  readonly reached: number;
  /** Processes that were killed for lack of memory. */
  readonly killed: number;
}

/** @returns the group, or why it cannot be created */
export function memoryGroup(limit: number): MemoryGroup | string {
  const name = `smtp-oauth-relay-bench-${process.pid}`;
  const unified = existsSync(`${ROOT}/cgroup.controllers`);
  const path = unified ? `${ROOT}/${name}` : `${ROOT}/memory/${name}`;
  try {
    // Only in a directory that is a control group.
    if (!existsSync(`${dirname(path)}/cgroup.procs`)) return `${dirname(path)} is no control group`;
    mkdirSync(path);
  } catch (error) {
    return (error as Error).message;
  }
  const read = (file: string) => readFileSync(`${path}/${file}`, "utf8");
  const field = (file: string, name: string) =>
    Number(new RegExp(`^${name} (\\d+)`, "m").exec(read(file))?.[1] ?? 0);
  try {
    if (unified) {
      writeFileSync(`${path}/memory.max`, String(limit));
      if (existsSync(`${path}/memory.swap.max`)) writeFileSync(`${path}/memory.swap.max`, "0");
    } else {
      writeFileSync(`${path}/memory.limit_in_bytes`, String(limit));
      const swap = `${path}/memory.memsw.limit_in_bytes`;
      if (existsSync(swap)) writeFileSync(swap, String(limit));
    }
  } catch (error) {
    rmdirSync(path);
    return (error as Error).message;
  }
  return {
    path,
    version: unified ? 2 : 1,
    inside: ({ name, command }) => ({
      name,
      // A process moves itself into the group, then executes the program.
      command: ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', path, ...command],
    }),
    figures: () =>
      unified
        ? {
          most: existsSync(`${path}/memory.peak`) ? Number(read("memory.peak")) : NaN,
          reached: field("memory.events", "max"),
          killed: field("memory.events", "oom_kill"),
        }
        : {
          most: Number(read("memory.max_usage_in_bytes")),
          reached: Number(read("memory.failcnt")),
          killed: field("memory.oom_control", "oom_kill"),
        },
    remove: () => rmdirSync(path),
  };
}
