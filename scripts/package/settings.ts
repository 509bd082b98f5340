// The settings as data, for the man page.

import { SETTINGS } from "../../src/settings/schema.ts";
import type { Setting } from "../../src/settings/setting.ts";
import type { SettingText } from "./man.ts";

export function settingTexts(): SettingText[] {
  return Object.entries<Setting<unknown>>(SETTINGS).map((
    [name, { standard, standardShown, help, secret }],
  ) => ({
    name,
    standard: `${secret ? "secret; " : ""}default: ${standardShown ?? standard ?? "none"}`,
    help,
  }));
}
