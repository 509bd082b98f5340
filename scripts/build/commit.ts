// The commit that is built, for `version`.

import { execFileSync } from "node:child_process";
import process from "node:process";

/** What changes an executable. */
const INPUTS = ["src", "scripts", "package.json", "package-lock.json", "LICENSE"];

/**
 * `RELAY_BUILD_COMMIT` where git cannot be asked (in a container), else git's answer; `-dirty`
 * behind it where the executable is made of something else than the commit.
 */
export function commit(root: string): string {
  const given = process.env["RELAY_BUILD_COMMIT"];
  if (given) return given;
  const git = (...args: string[]) =>
    execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
      .trim();
  try {
    // Twelve digits, however many this clone needs to distinguish its own.
    const head = git("rev-parse", "HEAD").slice(0, 12);
    return git("status", "--porcelain", "--", ...INPUTS) === "" ? head : `${head}-dirty`;
  } catch {
    return "unknown commit";
  }
}
