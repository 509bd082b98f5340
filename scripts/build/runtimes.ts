// Bun's runtime for another system, as npm hands it out, and only with the hash in package-lock.json.

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { type Lock } from "./lock.ts";
import type { Target } from "./targets.ts";

/** Milliseconds for one download of some 50 MB. */
const PATIENCE = 10 * 60_000;

/** A runtime is not available; the message is one line. */
export class RuntimeError extends Error {}

/**
 * Downloads and unpacks a runtime (npm keeps the download in its own cache).
 *
 * @param folder for temporary files; the caller removes it
 * @returns the path of the runtime
 * @throws RuntimeError
 */
export function fetchRuntime(target: Target, lock: Lock, folder: string): string {
  const locked = lock.packages[`node_modules/${target.package}`];
  if (locked === undefined) throw new RuntimeError(`package-lock.json has no ${target.package}`);
  const name = `${target.package}@${locked.version}`;
  const own = mkdtempSync(join(folder, `${target.name}-`));
  npmPack(name, own);
  const archive = readdirSync(own).find((file) => file.endsWith(".tgz"));
  if (archive === undefined) throw new RuntimeError(`npm has not packed ${name}`);
  const octets = readFileSync(join(own, archive));
  const integrity = `sha512-${createHash("sha512").update(octets).digest("base64")}`;
  if (integrity !== locked.integrity) {
    throw new RuntimeError(`${name} has the hash ${integrity}, package-lock.json another one`);
  }
  // Windows has a tar of this kind, too.
  execFileSync("tar", ["-xzf", archive, `package/${target.file}`], { cwd: own });
  rmSync(join(own, archive));
  return join(own, "package", target.file);
}

function npmPack(name: string, folder: string): void {
  try {
    execFileSync(
      process.platform === "win32" ? "npm.cmd" : "npm",
      ["pack", "--ignore-scripts", "--prefer-offline", "--loglevel=error", name],
      {
        cwd: folder,
        stdio: ["ignore", "ignore", "pipe"],
        encoding: "utf8",
        timeout: PATIENCE,
        shell: process.platform === "win32",
      },
    );
  } catch (error) {
    const said = String((error as { stderr?: unknown }).stderr ?? "").trim().split("\n")[0];
    throw new RuntimeError(`npm pack ${name}: ${said || (error as Error).message}`);
  }
}
