// The settings of a command: the process's environment, and an --env-file under it.

import { readFileSync } from "node:fs";
import process from "node:process";
import { parseEnv } from "node:util";
import { type Environment, loadSetting, loadSettings } from "../settings/load.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { CommandError, EXIT } from "./exit.ts";

export interface CommandSettings {
  readonly settings: Settings;
  readonly warnings: readonly string[];
}

/**
 * Loads the settings.
 *
 * @param envFile a `.env` file; what the environment has too, the environment decides
 * @throws CommandError 78 with every problem
 */
export function settingsFor(
  envFile: string | undefined,
  defaults: Partial<Record<SettingName, string>> = {},
): CommandSettings {
  const loaded = loadSettings(environment(envFile), defaults);
  if (loaded.type === "problems") throw new CommandError(EXIT.config, loaded.problems);
  return loaded;
}

/**
 * Loads one setting, for a command that needs no other.
 *
 * @throws CommandError 78 where its value is not allowed
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
 * @throws CommandError 78 where the file cannot be read
 */
export function environment(envFile: string | undefined): Environment {
  return { ...readEnvFile(envFile), ...process.env };
}

function readEnvFile(path: string | undefined): Environment {
  if (path === undefined) return {};
  try {
    return parseEnv(readFileSync(path, "utf8"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(EXIT.config, [
      `--env-file "${path}" cannot be read: ${code ?? message}`,
    ]);
  }
}
