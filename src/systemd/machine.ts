// The machine that the relay is installed on: its files, processes and systemctl.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import type { Machine } from "./install.ts";

/** Milliseconds for one systemctl: a restart waits for mail in flight. */
const SYSTEMCTL_TIMEOUT = 300_000;

export const machine: Machine = {
  read: (path) => existsSync(path) ? readFileSync(path, "utf8") : undefined,
  write: (path, text, mode) => replace(path, mode, (part) => writeFileSync(part, text)),
  directory: (path) => void mkdirSync(path, { recursive: true, mode: 0o755 }),
  exists: existsSync,
  sameContent: (one, other) =>
    realpathSync(one) === realpathSync(other) || readFileSync(one).equals(readFileSync(other)),
  copy: (from, to, mode) => replace(to, mode, (part) => copyFileSync(from, part)),
  executableOf(pid) {
    try {
      const path = readlinkSync(`/proc/${pid}/exe`);
      return path.endsWith(" (deleted)") ? undefined : path;
    } catch {
      return undefined;
    }
  },
  systemctl(...args) {
    const { status, stdout, stderr, error } = spawnSync("systemctl", args, {
      encoding: "utf8",
      timeout: SYSTEMCTL_TIMEOUT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    const output = `${stdout ?? ""}${stderr ?? ""}${error?.message ?? ""}`.trim();
    return { ok: status === 0, output: output.replace(/\s*\n\s*/g, " ") };
  },
};

/** A running program's file cannot be written, but it can be replaced. */
function replace(path: string, mode: number, make: (part: string) => void): void {
  const part = `${path}.${randomBytes(4).toString("hex")}.part`;
  try {
    make(part);
    chmodSync(part, mode);
    renameSync(part, path);
  } catch (error) {
    rmSync(part, { force: true });
    throw error;
  }
}
