// What makes a terminal for a program that asks a question on one.

import { spawnSync } from "node:child_process";

/** Why there is none: only util-linux's `script` takes these arguments, and not each system has it. */
export const NO_SCRIPT = /util-linux/.test(String(spawnSync("script", ["--version"]).stdout))
  ? false
  : "util-linux's script is not installed";
