// Builds the executable: `dist/smtp-oauth-relay` for the machine it runs on, with --all every
// target. Run by Bun, whose compiler makes it.

import { execFileSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

const TARGETS = [
  "bun-linux-x64",
  "bun-linux-x64-musl",
  "bun-linux-arm64",
  "bun-linux-arm64-musl",
  "bun-darwin-x64",
  "bun-darwin-arm64",
  "bun-windows-x64",
];
const root = fileURLToPath(new URL("..", import.meta.url));
const name = "smtp-oauth-relay";

function commit(): string {
  if (process.env["RELAY_BUILD_COMMIT"]) return process.env["RELAY_BUILD_COMMIT"];
  try {
    return execFileSync("git", ["rev-parse", "--short=12", "HEAD"], { cwd: root, encoding: "utf8" })
      .trim();
  } catch {
    return "unknown commit";
  }
}

function build(outfile: string, target: string | undefined): void {
  execFileSync("bun", [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    // The settings come from the environment and --env-file alone, whatever lies in the directory.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--define=RELAY_BUILD_COMMIT=${JSON.stringify(commit())}`,
    ...(target === undefined ? [] : [`--target=${target}`]),
    `--outfile=${outfile}`,
    "src/main.ts",
  ], { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
}

mkdirSync(`${root}dist`, { recursive: true });
if (process.argv.includes("--all")) {
  for (const target of TARGETS) build(`dist/${name}-${target.slice("bun-".length)}`, target);
} else {
  rmSync(`${root}dist/${name}`, { force: true });
  build(`dist/${name}`, undefined);
}
