// The value of a setting as people may see it, in `settings` and on the status page. Values of secrets are in
// neither.

import { withoutSecrets as withoutClientSecrets } from "../secret.ts";
import { cloudOf } from "./clouds.ts";
import { originOf } from "./origin.ts";
import { withoutSecrets } from "./quoted.ts";
import { type SettingName, SETTINGS, type Settings } from "./schema.ts";
import type { Environment, Setting } from "./setting.ts";

/** The text in the variables that count; undefined for a secret, or if it has its default. */
export function givenText(name: SettingName, variables: Environment): string | undefined {
  const setting: Setting<unknown> = SETTINGS[name];
  const origin = originOf(name, setting, variables);
  if (setting.secret || origin?.type !== "environment") return undefined;
  const text = origin.variables.map((variable) => variables[variable]).join(",");
  // One in the wrong field.
  return withoutClientSecrets(withoutSecrets(text));
}

/** The default as it would be written; undefined if there is none. */
export function standardText(name: SettingName, settings: Settings): string | undefined {
  const { secret, standard }: Setting<unknown> = SETTINGS[name];
  if (name === "AZURE_AUTHORITY_HOST") return cloudOf(settings).authorityHost.origin;
  if (name === "GRAPH_ENDPOINT") return cloudOf(settings).graphEndpoint.origin;
  return secret ? undefined : standard;
}
