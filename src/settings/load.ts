// Reads the settings from the environment: all problems at once, each in one line.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { contradictions, doubts, unused } from "./contradictions.ts";
import { fileErrorText } from "./file_error.ts";
import { nearestOf } from "../nearest.ts";
import { originOf } from "./origin.ts";
import { quoted, withoutSecrets } from "./quoted.ts";
import { type SettingName, SETTINGS, type Settings } from "./schema.ts";
import type { Environment, Setting } from "./setting.ts";

export type LoadedSettings =
  | {
    readonly type: "settings";
    readonly settings: Settings;
    readonly warnings: readonly string[];
    /** The settings that have a value of their own, and not the default. */
    readonly given: ReadonlySet<SettingName>;
  }
  | { readonly type: "problems"; readonly problems: readonly string[] };

/** The settings of an environment, whether or not a relay can start with them. */
export interface ExaminedSettings {
  /** With the default instead of a value that is not allowed. */
  readonly settings: Settings;
  readonly problems: readonly string[];
  /** Of the warnings, those that may say why a setting is missing: misspelled names, empty files. */
  readonly hints: readonly string[];
  readonly warnings: readonly string[];
  /** The settings whose values are not allowed. */
  readonly invalid: ReadonlySet<SettingName>;
  /** The settings that have a value of their own, and not the default. */
  readonly given: ReadonlySet<SettingName>;
}

/**
 * @param defaults defaults of one command that differ from the schema's
 * @param ownTable whether that command has a lookup table where AZURE_TABLES_URL is not set
 */
export function loadSettings(
  environment: Environment,
  defaults: Partial<Record<SettingName, string>> = {},
  ownTable = false,
): LoadedSettings {
  const { settings, problems, hints, warnings, given } = examineSettings(
    environment,
    defaults,
    ownTable,
  );
  if (problems.length === 0) return { type: "settings", settings, warnings, given };
  return { type: "problems", problems: [...problems, ...hints] };
}

/** As {@link loadSettings}, but goes on in spite of problems, so that more of them can be found. */
export function examineSettings(
  environment: Environment,
  defaults: Partial<Record<SettingName, string>> = {},
  ownTable = false,
): ExaminedSettings {
  const problems: string[] = [];
  const emptyFiles: string[] = [];
  const values: Record<string, unknown> = {};
  const invalid = new Set<SettingName>();
  const given = new Set<SettingName>();
  for (const [name, setting] of Object.entries(SETTINGS) as [SettingName, Setting<unknown>][]) {
    if (originOf(name, setting, environment) !== undefined) given.add(name);
    const before = problems.length;
    const value = readSetting(name, setting, environment, defaults[name], problems, emptyFiles);
    if (value !== undefined) values[name] = value;
    if (problems.length > before) {
      invalid.add(name);
      const standard = defaults[name] ?? setting.standard;
      if (standard !== undefined) values[name] = setting.parser.parse(standard);
    }
  }
  const settings = values as unknown as Settings;
  problems.push(...contradictions(settings, invalid, ownTable));
  const hints = [...misspelled(environment), ...emptyFiles];
  const warnings = [...hints, ...doubts(settings, given), ...unused(environment, settings)];
  return { settings, problems, hints, warnings, invalid, given };
}

/**
 * One setting alone, for a command that needs no other. Problems of other settings are ignored.
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
 * @param standard default instead of the schema's
 * @param emptyFiles receives a line for each empty file of a secret
 */
function readSetting(
  name: SettingName,
  setting: Setting<unknown>,
  environment: Environment,
  standard: string | undefined,
  problems: string[],
  emptyFiles: string[] = [],
): unknown {
  // A problem names the variable that is set, which may be an alias.
  const own = environment[name] ? [name] : [];
  const others = setting.aliases?.filter((alias) => environment[alias]) ?? [];
  const set = own.length > 0 ? own : setting.merge === undefined ? others.slice(0, 1) : others;
  const [shownName = name] = set;
  const raw = setting.secret
    ? readSecret(name, environment[shownName], environment, problems, emptyFiles)
    : environment[shownName];
  const given = raw === undefined || raw === "" ? undefined : raw;
  if (setting.merge !== undefined && set.length > 1) {
    const values = set.map((variable) =>
      parsed(variable, setting, environment[variable]!, problems)
    );
    return values.includes(undefined) ? undefined : setting.merge(values);
  }
  const text = given ?? standard ?? setting.standard;
  if (text === undefined) return undefined;
  // A secret that is not under its own name is in the file.
  const file = set.length === 0 ? environment[`${name}_FILE`] : undefined;
  const where = setting.secret && given !== undefined && file ? ` in ${quoted(file)}` : "";
  return parsed(shownName, setting, text, problems, where);
}

/**
 * @param variable that has the text, for the problems
 * @param where the file that has the text, for the problems; "" if none has
 */
function parsed(
  variable: string,
  { parser, secret }: Setting<unknown>,
  text: string,
  problems: string[],
  where = "",
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
  const fault = parser.fault?.(text);
  const why = fault === undefined ? "" : `; ${fault}`;
  problems.push(`${variable}${where}${what} must be ${parser.allowed}${hint}${why}`);
  return undefined;
}

/**
 * A secret from `NAME`, from the file that `NAME_FILE` names, or from systemd's credentials. The
 * order is fixed. One newline at the end comes from an editor, and is removed.
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
      problems.push(`${name}_FILE ${quoted(path)} cannot be read: ${fileErrorText(error)}`);
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
    problems.push(`the credential ${name} cannot be read: ${fileErrorText(error)}`);
    return undefined;
  }
}

/** Without the one newline that an editor leaves at the end of a file. */
export function withoutNewline(text: string): string {
  return text.replace(/\r?\n$/, "");
}

/** Variables that the program reads besides its settings. */
const OTHER_NAMES = ["RELAY_PASSWORD"];

/** Variables whose names are within two letters of a setting's: a line for each. */
export function misspelled(environment: Environment): string[] {
  const warnings: string[] = [];
  const known = new Set<string>();
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting<unknown>][]) {
    known.add(name);
    for (const alias of setting.aliases ?? []) known.add(alias);
    if (setting.secret) known.add(`${name}_FILE`);
  }
  for (const name of OTHER_NAMES) known.add(name);
  const nearest = nearestOf(known);
  for (const name of Object.keys(environment)) {
    if (known.has(name) || /^http_proxy$/i.test(name)) continue;
    const near = nearest(name);
    const shown = /^\w+$/.test(name) ? name : quoted(name);
    if (near !== undefined) warnings.push(`${shown} is not a setting: did you mean ${near}?`);
  }
  return warnings;
}
