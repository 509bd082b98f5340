// Programs that a test calls and that not each machine has. CI has all of them: a test that is skipped there
// counts as failed.

import { spawnSync } from "node:child_process";

/** @returns why a test that needs these programs is skipped; false if all of them are there */
export function absent(...programs: readonly string[]): string | false {
  const missing = programs.filter((program) =>
    spawnSync(program, ["--version"]).error !== undefined
  );
  return missing.length > 0 && `not installed: ${missing.join(", ")}`;
}
