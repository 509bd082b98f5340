// Starts the instrumented program and watches over it.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { ChildReport } from "./child.ts";
import type { Budget, Finding } from "./fuzz.ts";
import type { Instrumented } from "./instrument.ts";

export type { ChildReport } from "./child.ts";

/** Seconds over the budget until the program counts as hanging: its measurement of memory takes some. */
const GRACE = 28;

const CHILD = fileURLToPath(new URL("child.ts", import.meta.url));

/** With the collector within reach, as its own runtime has it. */
const COMMAND = "Deno" in globalThis
  ? ["run", "-A", "--no-check", "--v8-flags=--expose-gc"]
  : ["--expose-gc"];

/**
 * Fuzzes one target on this runtime, with coverage. What went wrong is a finding.
 *
 * @param grace seconds
 */
export function guided(
  { path, branches }: Instrumented,
  target: string,
  { seed, runs, seconds }: Budget,
  grace = GRACE,
): Promise<Partial<ChildReport> & { readonly finding?: Finding }> {
  const file = join(dirname(path), `${target}-${seed}.input`);
  const child = spawn(process.execPath, [
    ...COMMAND,
    CHILD,
    path,
    String(branches),
    target,
    String(seed),
    String(runs),
    String(seconds),
    file,
  ], {
    env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = true;
    child.kill("SIGKILL");
  }, (seconds + grace) * 1000);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => stdout += text);
  child.stderr.setEncoding("utf8").on("data", (text: string) => stderr += text);
  return new Promise((resolve) => {
    child.once("close", (status) => {
      clearTimeout(timer);
      if (status === 0) return resolve(JSON.parse(stdout.trim().split("\n").at(-1)!));
      let input = "";
      try {
        input = readFileSync(file, "utf8");
      } catch {
        // It ended before its first input.
      }
      const error = hangs ? "it hangs" : `ended with ${status}: ${stderr}`;
      resolve({ target, finding: { target, input, error } });
    });
  });
}
