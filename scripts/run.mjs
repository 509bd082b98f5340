// Runs one of the locked runtimes, installed first where that is needed:
// `node scripts/run.mjs bun|deno ARGUMENT…`. `deno task` would take their executables for scripts.

import { spawn } from "node:child_process";
import { delimiter, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import "./setup.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const [runtime = "", ...args] = process.argv.slice(2);
// On Windows, the shell takes a slash in a command for the beginning of an option.
const binaries = join(root, "node_modules", ".bin");

const child = spawn(join(binaries, runtime), args, {
  cwd: root,
  env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH}` },
  stdio: "inherit",
  shell: process.platform === "win32",
});
// A terminal sends Ctrl-C to both; the child decides when to end.
process.on("SIGINT", () => {});
process.on("SIGTERM", () => child.kill("SIGTERM"));
child.on("exit", (status, signal) => {
  process.exitCode = signal === null ? status ?? 1 : 1;
});
