// Installs the relay as a Windows service: both programs, a file for the settings, folders and what may be done
// with them. Installing again brings an installed service to this version, and keeps the settings.

import { win32 } from "node:path";
import {
  accessCommands,
  type Command,
  commandLine,
  FOLDERS,
  ownerCommand,
  REMOVAL,
  serviceCommands,
} from "./commands.ts";
import { HOST, type Layout, RELAY, SERVICE, SETTINGS, SETTINGS_FILE } from "./names.ts";

export interface InstallOptions {
  /** The program that is to be installed; the host is beside it. */
  readonly executable: string;
  readonly layout: Layout;
  readonly start: boolean;
}

/** The machine that it is installed on. */
export interface Machine {
  readonly files: Files;
  /** @returns the exit status, of sc.exe a Windows error, and what it prints */
  run(command: Command): { readonly status: number; readonly output: string };
  /** @param milliseconds until this returns */
  pause(milliseconds: number): void;
}

export interface Files {
  /** @returns undefined if it does not exist */
  read(path: string): string | undefined;
  write(path: string, text: string): void;
  directory(path: string): void;
  /** Also replaces a program that runs. */
  copy(from: string, to: string): void;
  /** @returns whether it is gone: a program that runs stays */
  remove(path: string): boolean;
}

export interface Done {
  /** What was done, a line each. */
  readonly lines: readonly string[];
  /** Why it could not be finished. */
  readonly problem?: string;
}

/** Windows errors: sc.exe ends with them. */
const NOT_ACTIVE = 1062;
const DOES_NOT_EXIST = 1060;

/** Milliseconds between two looks at a service that starts or stops, and how often: mail in flight is finished. */
const LOOK_EVERY = 500;
const LOOKS = 600;

/** What {@link install} would do, a line each; with `PowerShell`'s sign for a comment before what is no command. */
export function plan({ executable, layout, start }: InstallOptions): readonly string[] {
  const { programs, data } = layout;
  return [
    "# install-service does this, as administrator:",
    `# look that nothing in ${data} belongs to another user`,
    ...copies(executable, programs).map(([from, to]) => `# copy ${from} to ${to}`),
    `# make ${[data, ...FOLDERS.map((name) => win32.join(data, name))].join(", ")}`,
    `# write ${win32.join(data, SETTINGS)}, unless it is there`,
    ...serviceCommands(layout, false).map(commandLine),
    ...accessCommands(layout).map(commandLine),
    ...(start
      ? [`# if ${certificatePaths(data).join(" and ")} are there:`, `sc.exe start ${SERVICE}`]
      : []),
  ];
}

/** What {@link remove} would do. */
export function removalPlan({ programs, data }: Layout): readonly string[] {
  return [
    "# install-service --remove does this, as administrator:",
    `sc.exe stop ${SERVICE}`,
    ...REMOVAL.map(commandLine),
    `# delete ${win32.join(programs, HOST)} and ${win32.join(programs, RELAY)}`,
    `# keep ${data}`,
  ];
}

/** @throws what the machine's files throw */
export function install({ executable, layout, start }: InstallOptions, machine: Machine): Done {
  const { files } = machine;
  const { programs, data } = layout;
  const lines: string[] = [];
  const ownership = ownerCommand(hostBeside(executable), layout);
  const foreign = problemOf(machine, ownership);
  if (foreign !== undefined) return { lines, problem: foreign };
  const before = stateOf(machine);
  if (before.running) {
    const problem = stop(machine);
    if (problem !== undefined) return { lines, problem };
    lines.push(`${SERVICE} stopped`);
  }
  files.directory(programs);
  for (const [from, to] of copies(executable, programs)) {
    try {
      files.copy(from, to);
    } catch (error) {
      // Not without the lines: the service may have been stopped for this.
      return { lines, problem: `${to} cannot be replaced: ${(error as Error).message}` };
    }
    lines.push(`${to} copied from ${from}`);
  }
  for (const path of [data, ...FOLDERS.map((name) => win32.join(data, name))]) {
    files.directory(path);
  }
  const commands = serviceCommands(layout, before.exists);
  // Nothing is written into a folder that others may still change, or into which they have put something.
  for (const command of [...commands, ...accessCommands(layout), ownership]) {
    const problem = problemOf(machine, command);
    if (problem !== undefined) return { lines, problem };
  }
  lines.push(`${SERVICE} ${before.exists ? "brought to this version" : "made"}`);
  const settings = win32.join(data, SETTINGS);
  if (files.read(settings) === undefined) {
    files.write(settings, SETTINGS_FILE);
    lines.push(`${settings} written: settings go there`);
  } else {
    lines.push(`${settings} kept`);
  }
  const next = `then: sc.exe start ${SERVICE}`;
  if (!start && !before.running) return { lines: [...lines, `to start: sc.exe start ${SERVICE}`] };
  const absent = certificateFiles(data, files);
  if (absent.length > 0 && !before.running) {
    const are = absent.length > 1 ? "are" : "is";
    const line = `not started: ${
      absent.join(" and ")
    } ${are} missing (or set TLS_SOURCE in ${settings}); ${next}`;
    return { lines: [...lines, line] };
  }
  const problem = startService(machine, data);
  return problem === undefined ? { lines: [...lines, `${SERVICE} started`] } : { lines, problem };
}

/** Removes the service and the programs, and keeps the data. */
export function remove({ programs, data }: Layout, machine: Machine): Done {
  const lines: string[] = [];
  const before = stateOf(machine);
  if (!before.exists) return { lines, problem: `there is no service ${SERVICE}` };
  if (before.running) {
    const problem = stop(machine);
    if (problem !== undefined) return { lines, problem };
  }
  for (const command of REMOVAL) {
    const { status, output } = machine.run(command);
    // The source of the event log may never have been made.
    if (status !== 0 && command[0] === "sc.exe") {
      return { lines, problem: failed(command, status, output) };
    }
  }
  lines.push(`${SERVICE} removed`);
  for (const name of [HOST, RELAY]) {
    const path = win32.join(programs, name);
    if (machine.files.remove(path)) lines.push(`${path} deleted`);
    else lines.push(`${path} stays while it runs: delete it afterwards`);
  }
  return { lines: [...lines, `kept: ${data}, with settings, certificates, log and queue`] };
}

function copies(executable: string, programs: string): readonly (readonly [string, string])[] {
  return [[executable, RELAY] as const, [hostBeside(executable), HOST] as const]
    .map(([from, name]) => [from, win32.join(programs, name)] as const)
    .filter(([from, to]) => from.toLowerCase() !== to.toLowerCase());
}

function hostBeside(executable: string): string {
  return win32.join(win32.dirname(executable), HOST);
}

/** The number before its name is not translated: 1 stopped, 2 to 4 start, stop and run. */
function stateOf(machine: Machine): { exists: boolean; running: boolean; stopped: boolean } {
  const { status, output } = machine.run(["sc.exe", "query", SERVICE]);
  const state = /:\s*([1-7])\s+[A-Z]+_?[A-Z]+/;
  // The service's type comes first, and has two digits: 10 WIN32_OWN_PROCESS.
  const number = state.exec(output)?.[1];
  const exists = status !== DOES_NOT_EXIST && status === 0;
  return { exists, running: exists && number !== "1", stopped: exists && number === "1" };
}

function stop(machine: Machine): string | undefined {
  const command = ["sc.exe", "stop", SERVICE];
  const { status, output } = machine.run(command);
  if (status !== 0 && status !== NOT_ACTIVE) return failed(command, status, output);
  for (let looks = 0; looks < LOOKS; looks++) {
    if (stateOf(machine).stopped) return undefined;
    machine.pause(LOOK_EVERY);
  }
  return `${SERVICE} does not stop`;
}

function startService(machine: Machine, data: string): string | undefined {
  const command = ["sc.exe", "start", SERVICE];
  const { status, output } = machine.run(command);
  if (status !== 0) return failed(command, status, output);
  for (let looks = 0; looks < LOOKS; looks++) {
    const { output } = machine.run(["sc.exe", "query", SERVICE]);
    if (/:\s*4\s+RUNNING/.test(output)) return undefined;
    if (/:\s*1\s+STOPPED/.test(output)) {
      return `${SERVICE} does not start: ${win32.join(data, "logs", "relay.log")} says why`;
    }
    machine.pause(LOOK_EVERY);
  }
  return `${SERVICE} is not ready in time`;
}

function problemOf(machine: Machine, command: Command): string | undefined {
  const { status, output } = machine.run(command);
  return status === 0 ? undefined : failed(command, status, output);
}

function failed(command: Command, status: number, output: string): string {
  return `${commandLine(command)}: status ${status}${output === "" ? "" : `: ${output}`}`;
}

function certificatePaths(data: string): readonly string[] {
  return ["cert.pem", "key.pem"].map((name) => win32.join(data, "certs", name));
}

/** The missing files of the certificate, if the settings read it from the usual ones. */
function certificateFiles(data: string, files: Files): readonly string[] {
  const text = files.read(win32.join(data, SETTINGS)) ?? "";
  const source = /^\s*TLS_SOURCE\s*=\s*["']?(\w+)/m.exec(text)?.[1];
  if (source !== undefined && source.toLowerCase() !== "file") return [];
  if (/^\s*TLS_(?:CERT|KEY)_FILEPATH\s*=\s*\S/m.test(text)) return [];
  return certificatePaths(data).filter((path) => files.read(path) === undefined);
}
