// Reads an installed service: the environment and credentials that systemd starts it with replace
// this command's own environment.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { type Finding, finding } from "./finding.ts";
import type { PortTools, WantedPort } from "./ports_check.ts";
import type { QueuePlace } from "./queue_check.ts";
import { queueAddress } from "../settings/queue_settings.ts";
import { SETTINGS } from "../settings/schema.ts";
import type { Environment, Setting } from "../settings/setting.ts";
import { credentialAt, type Service, serviceOf } from "../systemd/service.ts";
import { SERVICE } from "../systemd/units.ts";
import { type Files, isEnabled, readUnit, unitNames } from "../systemd/unit_file.ts";
import { actAs, readEnvFile } from "../settings/environment.ts";

export interface ServiceToCheck {
  /** The relay's environment, with the real paths of files. */
  readonly variables: Environment;
  readonly findings: readonly Finding[];
  /** There is nothing more to check. */
  readonly stopped: boolean;
  /** The ports that the service opens itself, tried as its user. */
  ports(wanted: readonly WantedPort[], tools: PortTools): [readonly WantedPort[], PortTools];
  /** For a queue in files; undefined if there is no unit. */
  readonly queuePlace?: QueuePlace;
  close(): void;
}

const files: Files = {
  read(path) {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path);
    } catch {
      return [];
    }
  },
};

/**
 * @param given a unit's name, with or without its ending, or the path of its file; true for ours
 * @throws CommandError 78 if the `--env-file` of its command line cannot be read
 */
export function serviceToCheck(given: string | true): ServiceToCheck {
  const name = given === true
    ? SERVICE.name
    : /\.service$/.test(given)
    ? given
    : `${given}.service`;
  const unit = readUnit(name, files);
  if (unit === undefined) {
    const missing = finding("service.missing", `there is no unit ${JSON.stringify(name)}`);
    return {
      variables: {},
      findings: [missing],
      stopped: true,
      ports: (...both) => both,
      close() {},
    };
  }
  const service = serviceOf(unit, files);
  const findings = [finding("service.ok", described(service))];
  if (process.getuid?.() !== 0) {
    findings.push(finding("service.not-root", "this user is not root"));
  }
  for (const absent of service.absent) {
    findings.push(finding("service.fails", `${absent} does not exist, or cannot be read`));
  }
  for (const line of service.ignored) findings.push(finding("service.ignored", line));
  enterWorkingDirectory(service, findings);

  const opened = new OpenedCredentials();
  const variables = variablesOf(service, opened, findings);
  findings.push(...hiddenFiles(service, variables), ...readOnlyQueue(service, variables));
  const sockets = socketsOf(unit.name);
  for (const { socket, setting, ports } of sockets) {
    findings.push(finding("service.sockets", `${socket} opens ${ports} in place of ${setting}`));
  }
  // The Azure SDK and a password for a login are read from this process.
  actAs(variables);
  const password = process.env["RELAY_PASSWORD"];
  const taken = new Set(sockets.map(({ setting }) => setting));
  return {
    variables: password === undefined ? variables : { ...variables, RELAY_PASSWORD: password },
    findings,
    stopped: false,
    queuePlace: {
      directory: service.workingDirectory,
      isMade: (directory) => service.stateDirectories.includes(directory),
    },
    ports: (wanted, tools) => [
      wanted.filter(({ setting }) => !taken.has(setting)),
      service.privileged ? tools : asUser(tools),
    ],
    close: () => opened.close(),
  };
}

function described({ unit, user, workingDirectory, credentials }: Service): string {
  const [file, ...dropIns] = unit.paths;
  const more = dropIns.length === 0 ? "" : `, with ${dropIns.join(", ")}`;
  const whose = user === undefined ? "a user of its own" : `user ${user}`;
  const handed = credentials.size === 0
    ? ""
    : `; credentials ${[...credentials.keys()].join(", ")}`;
  return `${file}${more}: runs as ${whose} in ${workingDirectory}${handed}`;
}

/** Makes the service's working directory this command's: relative paths start there. */
function enterWorkingDirectory(
  { workingDirectory, stateDirectories, command }: Service,
  findings: Finding[],
): void {
  const [program = ""] = command;
  if (program.startsWith("/") && !existsSync(program)) {
    findings.push(
      finding("service.fails", `the program ${JSON.stringify(program)} does not exist`),
    );
  }
  try {
    process.chdir(workingDirectory);
  } catch {
    // systemd makes it at the first start. Nothing is there yet, and nothing relative is elsewhere.
    if (stateDirectories.includes(workingDirectory) && !existsSync(workingDirectory)) {
      return process.chdir("/");
    }
    const what = `WorkingDirectory ${JSON.stringify(workingDirectory)} cannot be entered`;
    findings.push(finding("service.fails", what));
  }
}

const ENTRIES = Object.entries(SETTINGS as Readonly<Record<string, Setting<unknown>>>);
const SECRETS = ENTRIES.filter(([, { secret }]) => secret).map(([name]) => name);

function variablesOf(
  service: Service,
  opened: OpenedCredentials,
  findings: Finding[],
): Record<string, string> {
  const { environment, credentials, command } = service;
  const at = command.findIndex((word) => /^--env-file(?:=|$)/.test(word));
  const envFile = at < 0 ? undefined : command[at]!.split("=")[1] ?? command[at + 1];
  const variables: Record<string, string> = {};
  for (const [name, value] of Object.entries({ ...readEnvFile(envFile), ...environment })) {
    if (value !== undefined) variables[name] = value;
  }
  for (const [id, credential] of credentials) {
    if (credential.type === "missing") {
      const what = `LoadCredential ${id}: ${JSON.stringify(credential.path)} does not exist`;
      findings.push(finding("service.fails", what));
    }
    if (credential.type === "sealed") {
      const why = opened.open(id, credential.path);
      if (why !== undefined) findings.push(finding("service.sealed", `${id}: ${why}`));
    }
    if (credential.type === "text") opened.put(id, credential.text);
    const given = variables[id] || variables[`${id}_FILE`];
    if (!SECRETS.includes(id) || given) continue;
    const text = opened.text(id);
    if (text !== undefined) variables[id] = text.replace(/\r?\n$/, "");
    else if (credential.type === "file") variables[`${id}_FILE`] = credential.path;
  }
  for (const [name, value] of Object.entries(variables)) {
    const id = credentialAt(value, service);
    const credential = id === undefined ? undefined : credentials.get(id);
    if (id === undefined || credential === undefined) continue;
    variables[name] = opened.path(id) ?? ("path" in credential ? credential.path : value);
  }
  return variables;
}

/** Credentials that systemd-creds has decrypted, or that are in the unit: in memory, and in files on request. */
class OpenedCredentials {
  readonly #texts = new Map<string, string>();
  #directory: string | undefined;

  /** @returns why it could not be opened */
  open(id: string, path: string): string | undefined {
    const { status, stdout, stderr, error } = spawnSync(
      "systemd-creds",
      ["decrypt", `--name=${id}`, path, "-"],
      { encoding: "utf8", timeout: 30_000, stdio: ["ignore", "pipe", "pipe"] },
    );
    if (status !== 0) return error?.message ?? `systemd-creds: ${stderr.trim()}`;
    this.#texts.set(id, stdout);
    return undefined;
  }

  put(id: string, text: string): void {
    this.#texts.set(id, text);
  }

  text(id: string): string | undefined {
    return this.#texts.get(id);
  }

  /** Writes it to a file that only this command's user can read. */
  path(id: string): string | undefined {
    const text = this.#texts.get(id);
    if (text === undefined) return undefined;
    // In a file system in memory, if there is one.
    const base = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();
    this.#directory ??= mkdtempSync(join(base, "relay-check-"));
    const path = join(this.#directory, id);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  close(): void {
    this.#texts.clear();
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Findings for files that the service cannot read. systemd reads the credentials for it. */
function hiddenFiles(service: Service, variables: Environment): Finding[] {
  const { credentials, hidden, workingDirectory } = service;
  const handed = new Set(
    [...credentials.values()].map((credential) => "path" in credential ? credential.path : ""),
  );
  const tls = (variables["TLS_SOURCE"] || "file").toLowerCase() === "file"
    ? ["TLS_CERT_FILEPATH", "TLS_KEY_FILEPATH"]
    : [];
  const { aliases = [] } = SETTINGS.EXTRA_CA_CERTS_FILEPATH as Setting<unknown>;
  const names = [
    ...tls,
    ...["CLIENT_CERTIFICATE_FILEPATH", "CLIENT_KEY_FILEPATH", "LOOKUP_FILE"],
    "EXTRA_CA_CERTS_FILEPATH",
    ...aliases,
    ...SECRETS.map((name) => `${name}_FILE`),
  ];
  const user = userOf(service);
  return names.flatMap((name) => {
    const given = variables[name];
    if (!given || handed.has(given)) return [];
    const path = resolve(workingDirectory, given);
    const where = `${name} ${JSON.stringify(given)}`;
    const above = hidden.find((directory) => path.startsWith(`${directory}/`));
    if (above !== undefined) {
      return [finding("service.hidden", `${where}: the unit hides ${above} from the service`)];
    }
    if (user === undefined || !existsSync(path) || mayRead(path, user)) return [];
    return [finding("service.hidden", `${where} cannot be read by the service's user`)];
  });
}

/** A finding if the service may not write where its queue is to be. */
function readOnlyQueue(service: Service, variables: Environment): Finding[] {
  const { writable, workingDirectory } = service;
  const address = queueAddress.parse(variables["QUEUE_URL"] || SETTINGS.QUEUE_URL.standard!);
  const isQueue = variables["DELIVERY_MODE"]?.toLowerCase() === "queue";
  if (!isQueue || writable === undefined || address?.type !== "sqlite") return [];
  const path = resolve(workingDirectory, address.path);
  if (writable.some((directory) => path.startsWith(`${directory.replace(/\/$/, "")}/`))) return [];
  return [
    finding("service.read-only", `QUEUE_URL ${path} is in none of the service's directories`),
  ];
}

interface User {
  /** Undefined for a dynamic user, created when the service starts. */
  readonly uid: number | undefined;
  readonly gids: readonly number[];
}

/** @returns undefined for root, which can read everything, and for an unknown user */
function userOf({ user, groups }: Service): User | undefined {
  const rows = (path: string) => (files.read(path) ?? "").split("\n").map((row) => row.split(":"));
  const group = rows("/etc/group");
  const gids = groups.flatMap((name) => {
    const row = group.find(([other, , gid]) => other === name || gid === name);
    return row === undefined ? [] : [Number(row[2])];
  });
  if (user === undefined) return { uid: undefined, gids };
  const row = rows("/etc/passwd").find(([name, , uid]) => name === user || uid === user);
  if (row === undefined || row[2] === "0") return undefined;
  const own = group.filter(([, , , members = ""]) => members.split(",").includes(row[0]!));
  return {
    uid: Number(row[2]),
    gids: [Number(row[3]), ...own.map(([, , gid]) => Number(gid)), ...gids],
  };
}

/** By the modes of the file and of the directories above it, without access control lists. */
function mayRead(path: string, { uid, gids }: User): boolean {
  const may = (at: string, bit: number) => {
    const { mode, uid: owner, gid } = statSync(at);
    const shift = owner === uid ? 6 : gids.includes(gid) ? 3 : 0;
    return ((mode >> shift) & bit) !== 0;
  };
  for (let at = dirname(path); at !== "/"; at = dirname(at)) {
    if (!may(at, 1)) return false;
  }
  return may(path, 4);
}

const BY_SOCKET: Readonly<Record<string, WantedPort["setting"]>> = {
  smtp: "SMTP_LISTEN",
  smtps: "SMTPS_LISTEN",
  http: "HTTP_LISTEN",
};

/** The enabled socket units that pass sockets to the service. */
function socketsOf(name: string) {
  return unitNames("socket", files).flatMap((socket) => {
    const unit = readUnit(socket, files);
    const own = `${socket.replace(/\.socket$/, "")}.service`;
    if (unit === undefined || (unit.last("Socket", "Service") ?? own) !== name) return [];
    const setting = BY_SOCKET[unit.last("Socket", "FileDescriptorName") ?? ""];
    if (setting === undefined || !isEnabled(socket, files)) return [];
    return [{ socket, setting, ports: unit.all("Socket", "ListenStream").join(", ") }];
  });
}

/**
 * Listens as the service's user would, although this command may use ports below 1024.
 *
 * @param first the lowest port that needs no privilege (ip(7))
 */
export function asUser(tools: PortTools, first = firstUnprivileged()): PortTools {
  return {
    ...tools,
    listen(hostname, port) {
      if (port > 0 && port < first) {
        throw Object.assign(new Error("the port needs a privilege"), { code: "EACCES" });
      }
      return tools.listen(hostname, port);
    },
  };
}

function firstUnprivileged(): number {
  const text = files.read("/proc/sys/net/ipv4/ip_unprivileged_port_start") ?? "";
  return Number(text.trim() || 1024);
}
