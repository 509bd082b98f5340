// Installs the relay as a service: executable, units and a file for the settings. Installing again
// updates files of other versions.

import { SERVICE, SOCKETS, type Unit, UNITS as ALWAYS } from "./units.ts";

/** Where the units expect the executable. */
export const INSTALLED = "/usr/local/bin/smtp-oauth-relay";
const UNITS = "/etc/systemd/system";
/** The unit of the .deb or .rpm package, whose service {@link install} would replace. */
export const PACKAGED_UNIT = "/usr/lib/systemd/system/smtp-oauth-relay.service";
/** Settings and certificate. */
export const CONFIGURATION = "/etc/smtp-oauth-relay";
const ENVIRONMENT = `${CONFIGURATION}/environment`;

/** What the file for the settings says before somebody has written into it; the packages bring it too. */
export const SETTINGS_FILE =
  `# Settings of the relay, one NAME=value a line, without export. No secrets here: hand them over
# as credentials (LoadCredential=, see "systemctl cat smtp-oauth-relay").
# After a change: systemctl restart smtp-oauth-relay
# (LOG_LEVEL is INFO where this file does not say otherwise.)
#SERVER_HOSTNAME=smtp.example.com
`;

export interface InstallOptions {
  /** The program that is to be installed. */
  readonly executable: string;
  /** Ports 25, 587 and 465 by the socket units, or SMTP_LISTEN. */
  readonly socketActivation: boolean;
  readonly start: boolean;
}

/** The machine that it is installed on. */
export interface Machine {
  /** @returns undefined if the file does not exist */
  read(path: string): string | undefined;
  /** Atomically: other programs see the old file or the new one. */
  write(path: string, text: string, mode: number): void;
  directory(path: string): void;
  exists(path: string): boolean;
  sameContent(one: string, other: string): boolean;
  /** As {@link write}. */
  copy(from: string, to: string, mode: number): void;
  /** The file that a process was started from; undefined when that has been replaced since. */
  executableOf(pid: string): string | undefined;
  systemctl(...args: readonly string[]): { readonly ok: boolean; readonly output: string };
}

export interface Installed {
  /** What was done, a line each. */
  readonly lines: readonly string[];
  /** Why the service does not run although it should. */
  readonly problem?: string;
}

/** What {@link install} would do, and the units, in a form that is a unit itself. */
export function plan({ executable, socketActivation, start }: InstallOptions): readonly string[] {
  const units = unitsFor(socketActivation);
  const names = enabled(socketActivation).join(" ");
  const steps = [
    ...(executable === INSTALLED ? [] : [`copy ${executable} to ${INSTALLED}`]),
    `write ${ENVIRONMENT}, unless it is there`,
    ...units.map(({ name }) => `write ${UNITS}/${name}`),
    "systemctl daemon-reload",
    start ? `systemctl enable --now ${names}` : `systemctl enable ${names}`,
  ];
  return [
    "# install-service does this, as root:",
    ...steps.map((step) => `#   ${step}`),
    ...units.flatMap(({ name, text }) => ["", `# ${UNITS}/${name}`, text.trimEnd()]),
  ];
}

/** @throws what the machine's files throw */
export function install(options: InstallOptions, machine: Machine): Installed {
  const { executable, socketActivation, start } = options;
  const lines: string[] = [];
  let changed = false;
  const did = (line: string, counts = true) => {
    lines.push(line);
    changed ||= counts;
  };

  if (machine.exists(INSTALLED) && machine.sameContent(executable, INSTALLED)) {
    did(`${INSTALLED} is up to date`, false);
  } else {
    machine.copy(executable, INSTALLED, 0o755);
    did(`${INSTALLED} copied from ${executable}`);
  }

  machine.directory(CONFIGURATION);
  if (!machine.exists(ENVIRONMENT)) {
    machine.write(ENVIRONMENT, SETTINGS_FILE, 0o644);
    did(`${ENVIRONMENT} written: settings go there`);
  }

  // Units of an earlier installation are updated, even if the options do not ask for them now.
  const wanted = unitsFor(socketActivation);
  const units = unitsFor(true).filter((unit) =>
    wanted.includes(unit) || machine.exists(`${UNITS}/${unit.name}`)
  );
  for (const { name, text } of units) {
    const path = `${UNITS}/${name}`;
    const before = machine.read(path);
    if (before === text) {
      did(`${path} is up to date`, false);
      continue;
    }
    if (before !== undefined) machine.write(`${path}.old`, before, 0o644);
    machine.write(path, text, 0o644);
    did(`${path} written${before === undefined ? "" : `; the previous file is ${name}.old`}`);
  }

  const names = enabled(socketActivation);
  for (const args of [["daemon-reload"], ["enable", ...names]]) {
    const { ok, output } = machine.systemctl(...args);
    if (!ok) return { lines, problem: `systemctl ${args.join(" ")}: ${output}` };
  }
  lines.push(`${names.join(", ")} enabled`);
  if (!start) return { lines: [...lines, `to start: systemctl start ${names.join(" ")}`] };
  return { ...startService(machine, socketActivation, changed, lines) };
}

function startService(
  machine: Machine,
  socketActivation: boolean,
  changed: boolean,
  lines: readonly string[],
): Installed {
  const service = SERVICE.name;
  const active = (name: string) => machine.systemctl("is-active", "--quiet", name).ok;
  const absent = certificateFiles(machine);
  if (absent.length > 0 && !active(service)) {
    const next = socketActivation
      ? `systemctl start ${[...SOCKETS, SERVICE].map(({ name }) => name).join(" ")}`
      : `systemctl start ${service}`;
    return {
      lines: [
        ...lines,
        `not started: ${absent.join(" and ")} ${absent.length > 1 ? "are" : "is"} missing ` +
        `(or set TLS_SOURCE in ${ENVIRONMENT}); then: ${next}`,
      ],
    };
  }
  const closed = socketActivation ? SOCKETS.filter(({ name }) => !active(name)) : [];
  const steps: string[][] = [];
  if (closed.length > 0) {
    // Sockets cannot be opened for a service that runs already.
    if (active(service)) steps.push(["stop", service]);
    steps.push(["start", ...closed.map(({ name }) => name)]);
  }
  const outdated = active(service) &&
    machine.executableOf(property(machine, "MainPID")) === undefined;
  if (changed || outdated || closed.length > 0 || !active(service)) {
    steps.push(["restart", service]);
  }
  for (const args of steps) {
    const { ok, output } = machine.systemctl(...args);
    if (ok) continue;
    const why = property(machine, "StatusText") || output;
    return { lines, problem: `systemctl ${args.join(" ")}: ${why} (journalctl -u ${service})` };
  }
  const how = steps.length === 0 ? "runs on" : "started";
  return { lines: [...lines, `${service} ${how}: ${property(machine, "StatusText")}`] };
}

function unitsFor(socketActivation: boolean): readonly Unit[] {
  return socketActivation ? [...ALWAYS, ...SOCKETS] : ALWAYS;
}

/** The names of those that are started with the machine. */
function enabled(socketActivation: boolean): readonly string[] {
  return [SERVICE, ...(socketActivation ? SOCKETS : [])].map(({ name }) => name);
}

/** The missing files of the certificate, if the settings read it from files. */
function certificateFiles(machine: Machine): readonly string[] {
  const source = /^\s*TLS_SOURCE\s*=\s*["']?(\w+)/m.exec(machine.read(ENVIRONMENT) ?? "")?.[1];
  if (source !== undefined && source.toLowerCase() !== "file") return [];
  return ["cert.pem", "key.pem"].map((name) => `${CONFIGURATION}/${name}`)
    .filter((path) => !machine.exists(path));
}

/** A property of the service. StatusText is the relay's own STATUS= line. */
function property(machine: Machine, name: "StatusText" | "MainPID"): string {
  return machine.systemctl("show", `--property=${name}`, "--value", SERVICE.name).output;
}
