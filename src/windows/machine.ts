// The machine that the relay is installed on: its files, and Windows' programs.

import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { win32 } from "node:path";
import process from "node:process";
import type { Machine } from "./install.ts";

/** Milliseconds for one of Windows' programs. */
const TIMEOUT = 60_000;

export const machine: Machine = {
  files: {
    read: (path) => existsSync(path) ? readFileSync(path, "utf8") : undefined,
    write: (path, text) => writeFileSync(path, text),
    directory: (path) => void mkdirSync(path, { recursive: true }),
    copy(from, to) {
      // First beside it: on a full disk, the program that is there stays.
      copyFileSync(from, `${to}.new`);
      // A program that runs cannot be written, but it can be renamed.
      rmSync(`${to}.old`, { force: true });
      if (existsSync(to)) renameSync(to, `${to}.old`);
      renameSync(`${to}.new`, to);
      removed(`${to}.old`);
    },
    remove: removed,
  },
  run([program, ...args]) {
    // By its whole path: the first one in PATH or in the current folder may be another.
    const path = win32.isAbsolute(program!)
      ? program!
      : win32.join(process.env["SystemRoot"] ?? "C:\\Windows", "System32", program!);
    const { status, stdout, stderr, error } = spawnSync(path, args, {
      encoding: "utf8",
      timeout: TIMEOUT,
      stdio: ["ignore", "pipe", "pipe"],
      windowsHide: true,
    });
    const output = `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`.trim();
    return { status: status ?? -1, output: output.replace(/\s*\n\s*/g, " ") };
  },
  pause: (milliseconds) =>
    void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds),
};

function removed(path: string): boolean {
  try {
    rmSync(path, { force: true });
    return true;
  } catch {
    return false;
  }
}
