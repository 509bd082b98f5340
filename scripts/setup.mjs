// Installs the locked dependencies when they are not there yet, so that each package script works
// alone on a fresh clone with nothing but Node and npm.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import process from "node:process";

const root = new URL("..", import.meta.url);
const lock = new URL("package-lock.json", root);
// npm writes this file at the end of every install.
const installed = new URL("node_modules/.package-lock.json", root);

if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const result = spawnSync(npm, ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    // Scripts pipe the program's output: the installer's belongs on stderr.
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (result.status !== 0) {
    console.error("setup: `npm ci` failed; see the lines above");
    process.exit(result.status ?? 1);
  }
}
