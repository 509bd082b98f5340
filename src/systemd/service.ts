// How systemd starts the service of a unit: environment, credentials, user and directories
// (systemd.exec(5)).

import { posix } from "node:path";
import { type Files, unescaped, type Unit, wordsOf } from "./unit_file.ts";

/** A credential, by its source. */
export type Credential =
  | { readonly type: "file"; readonly path: string }
  | { readonly type: "text"; readonly text: string }
  /** Encrypted: systemd-creds(1) decrypts it. */
  | { readonly type: "sealed"; readonly path: string }
  /** Does not exist, so the service does not start. */
  | { readonly type: "missing"; readonly path: string };

export interface Service {
  readonly unit: Unit;
  readonly environment: Readonly<Record<string, string>>;
  readonly credentials: ReadonlyMap<string, Credential>;
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly workingDirectory: string;
  /** The directories of StateDirectory=, which systemd makes when the service starts. */
  readonly stateDirectories: readonly string[];
  /** Undefined for one that exists only while the service runs. */
  readonly user: string | undefined;
  /** By name or number, besides the user's own. */
  readonly groups: readonly string[];
  /** Whether it may listen on ports below 1024. */
  readonly privileged: boolean;
  /** Directories that are hidden from it. */
  readonly hidden: readonly string[];
  /** The only directories that it may write to; undefined if there is no such limit. */
  readonly writable: readonly string[] | undefined;
  /** What systemd ignores, a line each; and the files without which it does not start the service. */
  readonly ignored: readonly string[];
  readonly absent: readonly string[];
}

/** Where credentials without a path are searched for. */
const STORES = ["/etc/credstore", "/run/credstore", "/usr/lib/credstore"];

export function serviceOf(unit: Unit, files: Files): Service {
  const get = (key: string) => unit.last("Service", key);
  const all = (key: string) => unit.all("Service", key).map((value) => expanded(value, unit.name));
  const yes = (key: string) => /^(?:yes|true|on|1)$/i.test(get(key) ?? "");
  const notes = { ignored: [] as string[], absent: [] as string[] };

  // A symbolic link may follow the name, with a colon.
  const made = (key: string, above: string) =>
    all(key).flatMap(wordsOf).map((name) => `${above}/${name.replace(/:.*$/, "")}`);
  const stateDirectories = made("StateDirectory", "/var/lib");

  const environment = environmentOf(all, files, notes);
  const home = get("ProtectHome") ?? "";
  const user = get("User");
  return {
    unit,
    environment,
    credentials: credentialsOf(all, files),
    // The prefixes of the program set how systemd runs it.
    command: wordsOf((all("ExecStart").at(-1) ?? "").replace(/^[-@:+!|]+/, "")),
    workingDirectory: (all("WorkingDirectory").at(-1) ?? "/").replace(/^-/, ""),
    stateDirectories,
    user: yes("DynamicUser") ? undefined : user ?? "root",
    groups: [...all("SupplementaryGroups").flatMap(wordsOf), ...all("Group").slice(-1)],
    privileged: (user === undefined || user === "root") && !yes("DynamicUser") ||
      all("AmbientCapabilities").join(" ").includes("CAP_NET_BIND_SERVICE"),
    hidden: [
      ...(yes("ProtectHome") || home === "tmpfs" ? ["/home", "/root", "/run/user"] : []),
      ...(yes("PrivateTmp") || yes("DynamicUser") ? ["/tmp", "/var/tmp"] : []),
    ],
    writable: yes("DynamicUser") || get("ProtectSystem") === "strict"
      ? [
        ...stateDirectories,
        ...made("RuntimeDirectory", "/run"),
        ...made("CacheDirectory", "/var/cache"),
        ...made("LogsDirectory", "/var/log"),
        ...all("ReadWritePaths").flatMap(wordsOf).map((path) => path.replace(/^[-+]+/, "")),
      ]
      : undefined,
    ...notes,
  };
}

/** The variables of Environment=, and of the files over them. */
function environmentOf(
  all: (key: string) => readonly string[],
  files: Files,
  { ignored, absent }: { readonly ignored: string[]; readonly absent: string[] },
): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const word of all("Environment").flatMap(wordsOf)) {
    const [, name, value] = /^([A-Za-z_]\w*)=(.*)$/s.exec(word) ?? [];
    if (name === undefined) {
      ignored.push(`Environment= has no NAME=value in ${JSON.stringify(word)}`);
    } else environment[name] = value!;
  }
  for (const given of all("EnvironmentFile")) {
    const path = given.replace(/^-/, "");
    const text = files.read(path);
    if (text === undefined) {
      if (path === given) absent.push(`EnvironmentFile ${JSON.stringify(path)}`);
      continue;
    }
    for (const { name, value, line } of variablesIn(text)) {
      if (/^[A-Za-z_]\w*$/.test(name)) environment[name] = value;
      else ignored.push(`${path} line ${line} is not NAME=value, so systemd ignores it`);
    }
  }
  for (const word of all("UnsetEnvironment").flatMap(wordsOf)) {
    const [name = "", ...value] = word.split("=");
    if (value.length === 0 || environment[name] === value.join("=")) delete environment[name];
  }
  return environment;
}

/** As EnvironmentFile= is read: quotes, a backslash before a line's end, comments of whole lines. */
export function variablesIn(
  text: string,
): { readonly name: string; readonly value: string; readonly line: number }[] {
  const found: { name: string; value: string; line: number }[] = [];
  const pattern =
    /[ \t]*(?:[#;](?:\\[^]|[^\n\\])*|([^=\n]*?)[ \t]*=[ \t]*((?:"(?:\\[^]|[^"\\])*"|'[^']*'|\\[^]|[^\n\\])*)|([^\n]*))(?:\n|$)/gy;
  let line = 1;
  for (let at = 0; at < text.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null || match[0] === "") break;
    const [whole, name, value, other] = match;
    if (name !== undefined) found.push({ name, value: plain(value!), line });
    else if (other !== undefined && other.trim() !== "") {
      found.push({ name: "", value: other, line });
    }
    line += whole.split("\n").length - 1;
  }
  return found;
}

function plain(value: string): string {
  const quoted = /^(?:"((?:\\[^]|[^"\\])*)"|'([^']*)')[ \t\r]*$/.exec(value);
  if (quoted?.[2] !== undefined) return quoted[2];
  if (quoted?.[1] !== undefined) return quoted[1].replace(/\\(?:\n|(["\\`$]))/g, "$1");
  return value.trimEnd().replace(/\\(?:\n|([^]))/g, "$1");
}

function credentialsOf(
  all: (key: string) => readonly string[],
  files: Files,
): ReadonlyMap<string, Credential> {
  const found = new Map<string, Credential>();
  const split = (value: string) => {
    const colon = value.indexOf(":");
    return colon < 0
      ? [value, value] as const
      : [value.slice(0, colon), value.slice(colon + 1)] as const;
  };
  for (const value of all("SetCredential")) {
    const [id, text] = split(value);
    found.set(id, { type: "text", text: unescaped(text) });
  }
  for (
    const [key, type] of [["LoadCredential", "file"], [
      "LoadCredentialEncrypted",
      "sealed",
    ]] as const
  ) {
    for (const value of all(key)) {
      const [id, given] = split(value);
      const suffix = type === "sealed" ? ".encrypted" : "";
      const places = given.startsWith("/")
        ? [given]
        : STORES.map((store) => `${store}${suffix}/${given}`);
      const [place = ""] = places;
      const parts = files.list(place);
      if (parts.length > 0) {
        for (const part of parts) found.set(`${id}_${part}`, { type, path: `${place}/${part}` });
        continue;
      }
      const path = places.find((place) => files.read(place) !== undefined);
      // SetCredential= of the same name replaces a missing file.
      const before = found.get(id);
      if (path !== undefined) found.set(id, { type, path });
      else if (before?.type !== "text" || !isMeant(before.text)) {
        found.set(id, { type: before === undefined ? "missing" : "file", path: place });
      }
    }
  }
  return found;
}

/** Whether a default value is real, instead of a placeholder that lets the service start. */
function isMeant(text: string): boolean {
  return text.trim() !== "missing";
}

/** Expands the specifiers (systemd.unit(5)) that a unit of the relay may need. */
function expanded(value: string, name: string): string {
  const stem = name.replace(/\.\w+$/, "");
  const specifiers: Readonly<Record<string, string>> = {
    "%": "%",
    n: name,
    N: stem,
    p: stem.replace(/@.*$/, ""),
    i: /@(.*)$/.exec(stem)?.[1] ?? "",
    t: "/run",
    S: "/var/lib",
    C: "/var/cache",
    L: "/var/log",
    E: "/etc",
    d: `/run/credentials/${name}`,
  };
  return value.replace(/%(.)/g, (whole, letter: string) => specifiers[letter] ?? whole);
}

/**
 * The credential at a path in the service's environment: a file in the credentials' directory, or a
 * copy with its name in a runtime directory.
 */
export function credentialAt(path: string, { unit, credentials }: Service): string | undefined {
  const directories = [
    `/run/credentials/${unit.name}`,
    ...unit.all("Service", "RuntimeDirectory").flatMap(wordsOf).map((name) => `/run/${name}`),
  ];
  const id = posix.basename(path);
  return directories.includes(posix.dirname(path)) && credentials.has(id) ? id : undefined;
}
