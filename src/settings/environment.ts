// The settings of a command: the process's environment, and an --env-file under it.

import { readFileSync } from "node:fs";
import process from "node:process";
import { fileErrorText } from "./file_error.ts";
import { loadSetting, loadSettings, misspelled } from "./load.ts";
import { type SettingName, SETTINGS, type Settings } from "./schema.ts";
import type { Environment } from "./setting.ts";
import { CommandError, EXIT } from "../exit.ts";
import { late } from "../late_modules.ts";

export interface CommandSettings {
  readonly settings: Settings;
  readonly warnings: readonly string[];
  /** The settings that have a value of their own, and not the default. */
  readonly given: ReadonlySet<SettingName>;
}

/**
 * Loads the settings.
 *
 * @param envFile a `.env` file; the environment takes precedence
 * @param ownTable whether the command has a lookup table where AZURE_TABLES_URL is not set
 * @throws CommandError 78 with every problem
 */
export function settingsFor(
  envFile: string | undefined,
  defaults: Partial<Record<SettingName, string>> = {},
  ownTable = false,
): CommandSettings {
  const loaded = loadSettings(environment(envFile), defaults, ownTable);
  if (loaded.type === "problems") throw new CommandError(EXIT.config, loaded.problems);
  return loaded;
}

/**
 * Loads some settings, for a command that needs no others.
 *
 * @throws CommandError 78 with every problem of theirs
 */
export function settingsAmong<Name extends SettingName>(
  names: readonly Name[],
  envFile: string | undefined,
): Pick<Settings, Name> {
  return settingsIn(names, environment(envFile));
}

/**
 * As {@link settingsAmong}, from variables that have been read.
 *
 * @throws CommandError 78 with every problem of theirs
 */
export function settingsIn<Name extends SettingName>(
  names: readonly Name[],
  variables: Environment,
): Pick<Settings, Name> {
  const values: Partial<Record<Name, unknown>> = {};
  const problems: string[] = [];
  for (const name of names) {
    const loaded = loadSetting(name, variables);
    if ("problems" in loaded) problems.push(...loaded.problems);
    else values[name] = loaded.value;
  }
  if (problems.length > 0) {
    throw new CommandError(EXIT.config, [...problems, ...misspelled(variables)]);
  }
  return values as Pick<Settings, Name>;
}

/**
 * Loads one setting, for a command that needs no other.
 *
 * @throws CommandError 78 if its value is not allowed
 */
export function settingFor<Name extends SettingName>(
  name: Name,
  envFile: string | undefined,
): Settings[Name] {
  const loaded = loadSetting(name, environment(envFile));
  if ("problems" in loaded) throw new CommandError(EXIT.config, loaded.problems);
  return loaded.value;
}

/**
 * The variables themselves.
 *
 * @throws CommandError 78 if the file cannot be read
 */
export function environment(envFile: string | undefined): Environment {
  const file = readEnvFile(envFile);
  handOn(file);
  return { ...file, ...process.env };
}

/** Variables that the Azure SDK itself reads, such as AZURE_TENANT_ID: it has no --env-file. */
const READ_BY_SDK = /^(?:AZURE|IDENTITY|IMDS|MSI)_/;

function handOn(file: Environment): void {
  for (const [name, value] of Object.entries(file)) {
    if (!READ_BY_SDK.test(name) || name in SETTINGS) continue;
    process.env[name] ??= value;
  }
}

/** Makes the Azure SDK read exactly these variables. */
export function actAs(variables: Environment): void {
  for (const name of Object.keys(process.env)) {
    if (READ_BY_SDK.test(name)) delete process.env[name];
  }
  handOn(variables);
}

/** @throws CommandError 78 if the file cannot be read */
export function readEnvFile(path: string | undefined): Environment {
  if (path === undefined) return {};
  try {
    // Editors on Windows write a byte order mark, which not every runtime removes.
    const text = readFileSync(path, "utf8").replace(/^\ufeff/, "");
    const line = brokenLine(text);
    if (line !== undefined) {
      throw new CommandError(EXIT.config, [
        `--env-file "${path}" line ${line} is neither NAME=VALUE nor a comment (#)`,
      ]);
    }
    return late.util.parseEnv(text);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(EXIT.config, [
      `--env-file "${path}" cannot be read: ${fileErrorText(error)}`,
    ]);
  }
}

const ASSIGNMENT = /^\s*(?:export\s+)?[^\s=#][^=]*=\s*(["'`]?)/;

/** The number of the first line that `parseEnv` would ignore: it may be meant as a setting. */
function brokenLine(text: string): number | undefined {
  const lines = text.split("\n");
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    if (/^\s*(?:#|$)/.test(line)) continue;
    const match = ASSIGNMENT.exec(line);
    if (match === null) return index + 1;
    const quote = match[1]!;
    if (quote === "" || line.slice(match[0].length).includes(quote)) continue;
    // A value of several lines; a quote that never closes is part of its own line.
    const closing = lines.findIndex((other, at) => at > index && other.includes(quote));
    if (closing > 0) index = closing;
  }
  return undefined;
}
