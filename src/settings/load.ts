// Reads the settings from the environment: all problems at once, each in one line.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { nearest } from "./nearest.ts";
import { isLoopback } from "./parsers.ts";
import { type Setting, type SettingName, SETTINGS, type Settings } from "./schema.ts";
import { trustedProblems } from "./trusted.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

export type LoadedSettings =
  | {
    readonly type: "settings";
    readonly settings: Settings;
    readonly warnings: readonly string[];
    /** The settings that have a value of their own, and not the default. */
    readonly given: ReadonlySet<SettingName>;
  }
  | { readonly type: "problems"; readonly problems: readonly string[] };

/** What can be said of an environment, whether or not a relay may start with it. */
export interface ExaminedSettings {
  /** Where a value is not allowed, the standard one stands in its place. */
  readonly settings: Settings;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
  /** The settings whose values are not allowed. */
  readonly bad: ReadonlySet<SettingName>;
  /** The settings that have a value of their own, and not the default. */
  readonly given: ReadonlySet<SettingName>;
}

/**
 * @param defaults standards of one command that differ from the schema's
 * @param ownTable whether that command has a lookup table where AZURE_TABLES_URL is not set
 */
export function loadSettings(
  environment: Environment,
  defaults: Partial<Record<SettingName, string>> = {},
  ownTable = false,
): LoadedSettings {
  const { settings, problems, warnings, given } = examineSettings(environment, defaults, ownTable);
  if (problems.length === 0) return { type: "settings", settings, warnings, given };
  // What is missing or bad may stand under a misspelled name.
  return { type: "problems", problems: [...problems, ...misspelled(environment)] };
}

/** As {@link loadSettings}, for who wants to go on in spite of problems: to look for more of them. */
export function examineSettings(
  environment: Environment,
  defaults: Partial<Record<SettingName, string>> = {},
  ownTable = false,
): ExaminedSettings {
  const problems: string[] = [];
  const emptyFiles: string[] = [];
  const values: Record<string, unknown> = {};
  const bad = new Set<SettingName>();
  const given = new Set<SettingName>();
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, Setting<unknown>][]) {
    if (isGiven(name, setting, environment)) given.add(name);
    const before = problems.length;
    const value = readSetting(name, setting, environment, defaults[name], problems, emptyFiles);
    if (value !== undefined) values[name] = value;
    if (problems.length > before) {
      bad.add(name);
      const standard = defaults[name] ?? setting.standard;
      if (standard !== undefined) values[name] = setting.parser.parse(standard);
    }
  }
  const settings = values as unknown as Settings;
  problems.push(...contradictions(settings, bad, ownTable));
  const warnings = [
    ...misspelled(environment),
    ...emptyFiles,
    ...doubts(settings),
    ...unused(environment, settings),
  ];
  return { settings, problems, warnings, bad, given };
}

function isGiven(name: string, setting: Setting<unknown>, environment: Environment): boolean {
  return [name, `${name}_FILE`, ...setting.aliases ?? []].some((variable) => environment[variable]);
}

/**
 * One setting alone, for a command that needs no other: whatever else is wrong in the environment is
 * not its business.
 */
export function loadSetting<Name extends SettingName>(
  name: Name,
  environment: Environment,
): { readonly value: Settings[Name] } | { readonly problems: readonly string[] } {
  const problems: string[] = [];
  const value = readSetting(name, SETTINGS[name], environment, undefined, problems);
  return problems.length > 0 ? { problems } : { value: value as Settings[Name] };
}

/**
 * @param standard in place of the schema's
 * @param emptyFiles takes a line for each file of a secret that has nothing in it
 */
function readSetting(
  name: SettingName,
  setting: Setting<unknown>,
  environment: Environment,
  standard: string | undefined,
  problems: string[],
  emptyFiles: string[] = [],
): unknown {
  // What the reader has set is what a problem names.
  const own = environment[name] ? [name] : [];
  const others = (setting.aliases ?? []).filter((alias) => environment[alias]);
  const set = own.length > 0 ? own : setting.merge === undefined ? others.slice(0, 1) : others;
  const [shownName = name] = set;
  const raw = setting.secret
    ? readSecret(name, environment[shownName], environment, problems, emptyFiles)
    : environment[shownName];
  const given = raw === undefined || raw === "" ? undefined : raw;
  if (setting.missing !== undefined) {
    if (given !== undefined && given.toLowerCase() !== setting.missing.inert) {
      problems.push(`${name} is set, but this version does not have its function yet: unset it`);
    }
    return undefined;
  }
  if (setting.merge !== undefined && set.length > 1) {
    const values = set.map((variable) =>
      parsed(variable, setting, environment[variable]!, problems)
    );
    return values.includes(undefined) ? undefined : setting.merge(values);
  }
  const text = given ?? standard ?? setting.standard;
  return text === undefined ? undefined : parsed(shownName, setting, text, problems);
}

/** @param variable that has the text, for the problems */
function parsed(
  variable: string,
  { parser, secret }: Setting<unknown>,
  text: string,
  problems: string[],
): unknown {
  const value = parser.parse(text, variable);
  if (value !== undefined) return value;
  const shown = (part: string) => quoted(withoutSecrets(part));
  const culprit = secret ? undefined : parser.culprit?.(text);
  const what = secret
    ? ""
    : culprit === undefined || culprit === text
    ? ` ${shown(text)}`
    : ` ${shown(culprit)}, in ${shown(text)},`;
  const meant = secret ? undefined : parser.meant?.(text);
  const hint = meant === undefined ? "" : `; did you mean ${quoted(meant)}?`;
  problems.push(`${variable}${what} must be ${parser.allowed}${hint}`);
  return undefined;
}

/**
 * A secret from `NAME`, from the file that `NAME_FILE` names, or from systemd's credentials. The
 * order is the contract's; one newline at the end is the editor's, not the secret's.
 *
 * @param given the value of `NAME`, or of another variable that means the same
 */
function readSecret(
  name: string,
  given: string | undefined,
  environment: Environment,
  problems: string[],
  emptyFiles: string[],
): string | undefined {
  const direct = given || undefined;
  const path = environment[`${name}_FILE`] || undefined;
  if (direct !== undefined && path !== undefined) {
    problems.push(`${name} and ${name}_FILE are both set: unset one`);
    return undefined;
  }
  if (direct !== undefined) return direct;
  if (path !== undefined) {
    try {
      const secret = withoutNewline(readFileSync(path, "utf8"));
      if (secret === "") {
        emptyFiles.push(`${name}_FILE ${quoted(path)} is empty: ${name} is unset`);
      }
      return secret;
    } catch (error) {
      problems.push(`${name}_FILE ${quoted(path)} cannot be read: ${reason(error)}`);
      return undefined;
    }
  }
  const directory = environment["CREDENTIALS_DIRECTORY"];
  if (!directory) return undefined;
  try {
    const secret = withoutNewline(readFileSync(join(directory, name), "utf8"));
    if (secret === "") emptyFiles.push(`the credential ${name} is empty: ${name} is unset`);
    return secret;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    problems.push(`the credential ${name} cannot be read: ${reason(error)}`);
    return undefined;
  }
}

/** Without the one newline that an editor leaves at the end of a file. */
export function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}

/** As a JSON string; what a terminal would obey, and JSON lets pass, is escaped too. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A password or a signature in a URL, or a whole connection string, where none of them belongs. */
function withoutSecrets(text: string): string {
  // Word by word: a pattern that ends in an at sign would search for it from each "://" anew.
  return text.replace(/\S+/g, withoutPassword)
    .replace(/((?:AccountKey|SharedAccessSignature) *=)[^;]*/gi, "$1…")
    .replace(/((?:^|[?&;=])sig=)[^&;\s]*/gi, "$1…");
}

function withoutPassword(url: string): string {
  const at = url.lastIndexOf("@");
  const user = /:\/\/[^/:@]*:/.exec(url.slice(0, Math.max(0, at)));
  return user === null ? url : url.slice(0, user.index) + user[0] + "…" + url.slice(at);
}

/**
 * Settings that are allowed each, but not together.
 *
 * @param bad those that have no value to judge
 * @param ownTable whether there is a lookup table without AZURE_TABLES_URL
 */
function contradictions(
  settings: Settings,
  bad: ReadonlySet<SettingName>,
  ownTable: boolean,
): string[] {
  const problems: string[] = [];
  const sound = (...names: SettingName[]) => !names.some((name) => bad.has(name));
  if (settings.TLS_SOURCE === "keyvault") {
    for (const name of ["AZURE_KEY_VAULT_URL", "AZURE_KEY_VAULT_CERT_NAME"] as const) {
      if (sound(name) && settings[name] === undefined) {
        problems.push(`${name} must be set when TLS_SOURCE is keyvault`);
      }
    }
  }
  if (
    sound("SMTPS_LISTEN") && settings.TLS_SOURCE === "off" && settings.SMTPS_LISTEN !== undefined
  ) {
    problems.push("SMTPS_LISTEN needs a certificate: TLS_SOURCE must not be off");
  }
  const http = settings.HTTP_LISTEN;
  if (
    sound("HTTP_LISTEN", "HTTP_PASSWORD") && http !== "off" && !isLoopback(http.hostname) &&
    settings.HTTP_PASSWORD === undefined
  ) {
    problems.push("HTTP_PASSWORD must be set when HTTP_LISTEN is not a loopback address");
  }
  if (sound("AZURE_TABLES_URL")) problems.push(...tableProblems(settings, sound, ownTable));
  problems.push(...trustedProblems(settings, sound, ownTable));
  return problems;
}

function tableProblems(
  settings: Settings,
  sound: (...names: SettingName[]) => boolean,
  ownTable: boolean,
): string[] {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_CONNECTION_STRING: access } = settings;
  if (url === undefined) {
    const problems: string[] = [];
    if (!ownTable && sound("AZURE_TABLES_FORCE_USAGE") && settings.AZURE_TABLES_FORCE_USAGE) {
      problems.push("AZURE_TABLES_FORCE_USAGE needs a table: AZURE_TABLES_URL must be set");
    }
    if (access !== undefined) {
      problems.push(
        "AZURE_TABLES_CONNECTION_STRING does not say which table: AZURE_TABLES_URL must be set",
      );
    }
    return problems;
  }
  if (
    url.protocol === "http:" && sound("AZURE_TABLES_CONNECTION_STRING") && access === undefined
  ) {
    return [
      "AZURE_TABLES_URL with http needs AZURE_TABLES_CONNECTION_STRING: an identity's token goes " +
      "over https only",
    ];
  }
  return [];
}

function doubts(settings: Settings): string[] {
  const warnings: string[] = [];
  if (settings.TLS_SOURCE === "off" && settings.REQUIRE_TLS) {
    // Clients in TRUSTED_NETWORKS need neither: REQUIRE_TLS=false would only open it to others.
    warnings.push(
      settings.TRUSTED_NETWORKS === undefined
        ? "TLS_SOURCE is off and REQUIRE_TLS is true: no client can log in; set REQUIRE_TLS=false " +
          "only where the network is safe"
        : "TLS_SOURCE is off and REQUIRE_TLS is true: no client can log in, only those in " +
          "TRUSTED_NETWORKS can send",
    );
  } else if (!settings.REQUIRE_TLS) {
    warnings.push("REQUIRE_TLS is false: passwords may cross the network in plain text");
  }
  const everything = settings.PROXY_PROTOCOL_NETWORKS?.ranges.find(({ prefix }) => prefix === 0);
  if (everything !== undefined) {
    warnings.push(
      `PROXY_PROTOCOL_NETWORKS holds all addresses (${everything.address}/0): whoever can connect ` +
        "can claim to be any client; name the proxies alone",
    );
  }
  return warnings;
}

/** Conventional variables that a reader may count on, without any effect here. */
function unused(environment: Environment, settings: Settings): string[] {
  if (settings.HTTPS_PROXY === undefined) {
    const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    const name = names.find((name) => environment[name]);
    if (name === undefined) return [];
    return [`${name} has no effect, because everything goes out by https: set HTTPS_PROXY`];
  }
  return (settings.NO_PROXY?.unread ?? []).map((entry) =>
    `NO_PROXY ${quoted(withoutSecrets(entry))} is no name, address or network: it exempts nothing`
  );
}

/** Variables that the program reads besides its settings. */
const OTHER_NAMES = ["RELAY_PASSWORD"];

/** Variables that are not ours, but within two letters of one that is: a line for each. */
export function misspelled(environment: Environment): string[] {
  const warnings: string[] = [];
  const known = new Set<string>();
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    known.add(name);
    for (const alias of setting.aliases ?? []) known.add(alias);
    if (setting.secret) known.add(`${name}_FILE`);
  }
  for (const name of OTHER_NAMES) known.add(name);
  for (const name of Object.keys(environment)) {
    if (known.has(name) || /^http_proxy$/i.test(name)) continue;
    const near = nearest(name, known);
    const shown = /^\w+$/.test(name) ? name : quoted(name);
    if (near !== undefined) warnings.push(`${shown} is not a setting: did you mean ${near}?`);
  }
  return warnings;
}
