// Where the value of a setting comes from. load.ts reads it from there.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Environment, Setting } from "./setting.ts";

/** What gives a setting its value. */
export type Origin =
  /** These variables, which are the setting's own or mean the same; several only if they are merged. */
  | { readonly type: "environment"; readonly variables: readonly string[] }
  /** The file that `NAME_FILE` names. */
  | { readonly type: "file"; readonly path: string }
  /** A file of systemd's credentials. */
  | { readonly type: "credential"; readonly path: string };

/** @returns undefined if the setting has its default */
export function originOf(
  name: string,
  { secret, aliases, merge }: Pick<Setting<unknown>, "secret" | "aliases" | "merge">,
  environment: Environment,
): Origin | undefined {
  const set = (variable: string) => !!environment[variable];
  if (set(name)) return { type: "environment", variables: [name] };
  const others = aliases?.filter(set) ?? [];
  const variables = merge === undefined ? others.slice(0, 1) : others;
  if (variables.length > 0) return { type: "environment", variables };
  if (!secret) return undefined;
  const path = environment[`${name}_FILE`];
  if (path) return hasText(path) ? { type: "file", path } : undefined;
  const directory = environment["CREDENTIALS_DIRECTORY"];
  if (!directory) return undefined;
  const credential = join(directory, name);
  return hasText(credential) ? { type: "credential", path: credential } : undefined;
}

/** Whether the file has more than one newline: an empty one leaves its setting unset. */
function hasText(path: string): boolean {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "") !== "";
  } catch {
    return false;
  }
}
