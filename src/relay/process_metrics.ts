// The figures of this process, under the names that Prometheus's own client libraries give them
// (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).

import { readdirSync } from "node:fs";
import process from "node:process";
import type { Family } from "../observe/exposition.ts";
import type { Metrics } from "../observe/metrics.ts";
import { openFileLimit } from "./open_file_limit.ts";

/** Each with its help text. On other systems than Linux, the open files are left out. */
export const PROCESS_METRICS = {
  process_cpu_seconds_total: "Total user and system CPU time spent in seconds.",
  process_resident_memory_bytes: "Resident memory size in bytes.",
  process_start_time_seconds: "Start time of the process since unix epoch in seconds.",
  process_open_fds: "Number of open file descriptors.",
  process_max_fds: "Maximum number of open file descriptors.",
} as const;

type ProcessMetric = keyof typeof PROCESS_METRICS;

/** Adds them to `/metrics`. */
export function measureProcess(metrics: Metrics): void {
  // Once: Prometheus takes another start time for another process.
  const start = Date.now() / 1000 - process.uptime();
  const limit = openFileLimit();
  metrics.collect(() => [
    family("process_cpu_seconds_total", cpuSeconds(), "counter"),
    family("process_resident_memory_bytes", process.memoryUsage().rss),
    family("process_start_time_seconds", start),
    family("process_open_fds", openFiles()),
    family("process_max_fds", limit),
  ]);
}

function family(
  name: ProcessMetric,
  value: number | undefined,
  type: Family["type"] = "gauge",
): Family {
  const samples = value === undefined ? [] : [{ labels: {}, value }];
  return { name, type, help: PROCESS_METRICS[name], samples };
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Undefined outside of Linux. */
function openFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}
