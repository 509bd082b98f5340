// `settings`: every setting with the value that is in force, and where it comes from.

import process from "node:process";
import { environment, readEnvFile, settingsFor } from "../settings/environment.ts";
import { originOf } from "../settings/origin.ts";
import { printableJson } from "../settings/quoted.ts";
import { type SettingName, SETTINGS, type Settings } from "../settings/schema.ts";
import type { Environment, Setting } from "../settings/setting.ts";
import { givenText, standardText } from "../settings/shown_value.ts";
import { Table } from "./printed.ts";

export interface SettingsOptions {
  readonly json?: true;
  /** Only those that do not have their default. */
  readonly changed?: true;
}

/** A setting in force, as `--json` prints it. */
export interface SettingInForce {
  readonly name: SettingName;
  /** As it would be written; null if it is unset. Always null for a secret. */
  readonly value: string | null;
  readonly source: "environment" | "file" | "credential" | "default";
  /** The file; or the variables, where they have another name. */
  readonly from?: string;
  /** It is a secret, and has a value unless `source` is `default`. */
  readonly secret?: true;
}

/**
 * @returns what to print: a table, or JSON
 * @throws CommandError 78 with every problem of the settings
 */
export function settings(
  { json, changed }: SettingsOptions,
  envFile: string | undefined,
): { readonly text: string; readonly warnings: readonly string[] } {
  const { settings, warnings } = settingsFor(envFile);
  const sources: Sources = { variables: environment(envFile), envFile: envFileOf(envFile) };
  const all = (Object.keys(SETTINGS) as SettingName[])
    .map((name) => inForce(name, settings, sources))
    .filter(({ source }) => !changed || source !== "default");
  return { text: json ? printableJson(JSON.stringify(all, null, 2)) : tableOf(all), warnings };
}

interface Sources {
  readonly variables: Environment;
  readonly envFile: { readonly path: string; readonly variables: Environment } | undefined;
}

function envFileOf(path: string | undefined): Sources["envFile"] {
  return path === undefined ? undefined : { path, variables: readEnvFile(path) };
}

function inForce(
  name: SettingName,
  settings: Settings,
  { variables, envFile }: Sources,
): SettingInForce {
  const setting = SETTINGS[name] as Setting<unknown>;
  const origin = originOf(name, setting, variables);
  const kind = setting.secret ? { secret: true as const } : {};
  if (origin === undefined) {
    return { name, value: standardText(name, settings) ?? null, source: "default", ...kind };
  }
  if (origin.type !== "environment") {
    return { name, value: null, source: origin.type, from: origin.path, ...kind };
  }
  const value = givenText(name, variables) ?? null;
  const [first] = origin.variables;
  // The environment goes before the file.
  const inFile = envFile !== undefined &&
    origin.variables.every((variable) => envFile.variables[variable] !== undefined) &&
    origin.variables.every((variable) => !IN_PROCESS(variable));
  if (inFile) return { name, value, source: "file", from: envFile.path, ...kind };
  const other = first !== name ? { from: origin.variables.join(",") } : {};
  return { name, value, source: "environment", ...other, ...kind };
}

const IN_PROCESS = (variable: string) => process.env[variable] !== undefined;

function tableOf(all: readonly SettingInForce[]): string {
  if (all.length === 0) return "every setting has its default";
  const rows = all.map(({ name, value, source, from, secret }) => [
    name,
    from === undefined ? source : `${source} ${from}`,
    secret && source !== "default" ? "(secret, set)" : value ?? "(unset)",
  ]);
  return new Table().text([["setting", "source", "value"], ...rows]);
}
