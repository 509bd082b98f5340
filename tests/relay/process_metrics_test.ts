/**
 * The process's own figures, as Prometheus's libraries have them
 * (https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics).
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import process from "node:process";
import { describe, it } from "node:test";
import { Metrics } from "../../src/observe/metrics.ts";
import { measureProcess } from "../../src/relay/process_metrics.ts";

function figures(metrics: Metrics): ReadonlyMap<string, number> {
  return new Map(
    [...metrics.text().matchAll(/^(process_\w+) (\S+)$/gm)].map(([, name, value]) => [
      name!,
      Number(value),
    ]),
  );
}

describe("the process's figures", () => {
  const metrics = new Metrics();
  measureProcess(metrics);
  const found = figures(metrics);

  it("are the machine's", () => {
    const memory = found.get("process_resident_memory_bytes")!;
    assert.ok(memory > 10e6 && memory < 10e9, String(memory));
    const cpu = found.get("process_cpu_seconds_total")!;
    assert.ok(cpu > 0 && cpu < 1e6, String(cpu));
    const age = Date.now() / 1000 - found.get("process_start_time_seconds")!;
    assert.ok(Math.abs(age - process.uptime()) < 2, String(age));
  });

  it("have the same start each time: another one is a restart", () => {
    const again = figures(metrics);
    const name = "process_start_time_seconds";
    assert.equal(again.get(name), found.get(name));
    assert.ok(again.get("process_cpu_seconds_total")! >= found.get("process_cpu_seconds_total")!);
  });

  it("have the open files", { skip: !existsSync("/proc/self/fd") && "only on Linux" }, () => {
    const open = found.get("process_open_fds")!;
    assert.ok(open >= 3 && open < found.get("process_max_fds")!, String(open));
  });
});
