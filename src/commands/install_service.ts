// `install-service`: installs the relay as a systemd service, or prints what it would do.

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
import process from "node:process";
import { ownExecutable } from "../runtime/current.ts";
import { install, type InstallOptions, type Machine, plan } from "../systemd/install.ts";
import { CommandError, EXIT } from "../exit.ts";

export interface InstallServiceOptions {
  readonly print: boolean;
  readonly start: boolean;
  readonly socketActivation: boolean;
}

/** Milliseconds for one systemctl: a restart waits for mail in flight. */
const SYSTEMCTL_TIMEOUT = 300_000;

/**
 * @returns lines for standard output
 * @throws CommandError where it cannot be installed here, or does not run
 */
export function installService(
  { print, start, socketActivation }: InstallServiceOptions,
): readonly string[] {
  const executable = ownExecutable();
  const options: InstallOptions = {
    executable: executable === undefined ? "the executable" : realpathSync(executable),
    start,
    socketActivation,
  };
  if (print) return plan(options);
  const problems = whyNotHere(executable);
  if (problems.length > 0) throw new CommandError(EXIT.unavailable, problems);
  try {
    const { lines, problem } = install(options, machine);
    if (problem === undefined) return lines;
    throw new CommandError(EXIT.failure, [...lines, problem]);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new CommandError(EXIT.failure, [`install-service: ${message}`]);
  }
}

function whyNotHere(executable: string | undefined): readonly string[] {
  const problems: string[] = [];
  if (process.platform !== "linux") {
    return ["install-service is for Linux with systemd; this is another system"];
  }
  // sd_booted(3)
  if (!existsSync("/run/systemd/system")) {
    problems.push("install-service needs systemd, which does not run this machine");
  }
  if (process.getuid?.() !== 0) {
    problems.push(
      "install-service must be run as root, as with sudo; --print only shows the units",
    );
  }
  if (executable === undefined) {
    problems.push(
      "install-service installs the compiled executable, and this is a run from source: " +
        "build it first (npm run build)",
    );
  }
  return problems;
}

const machine: Machine = {
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
