// Types, lint and format of everything that is ours.

import { spawnSync } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const steps = [
  ["deno", "check", "src", "tests", "bench", "scripts"],
  ["deno", "lint"],
  ["deno", "fmt", "--check"],
];

for (const [command, ...args] of steps) {
  console.log(`\n${command} ${args.join(" ")}`);
  const { status } = spawnSync(`${root}node_modules/.bin/${command}`, args, {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) process.exit(status ?? 1);
}
