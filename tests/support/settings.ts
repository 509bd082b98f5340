/** Settings as the environment gives them. */
import { loadSettings } from "../../src/settings/load.ts";
import type { Settings } from "../../src/settings/schema.ts";

/** @param environment what differs from a relay without TLS on a free port of the loopback */
export function settingsOf(environment: Readonly<Record<string, string>> = {}): Settings {
  const loaded = loadSettings({
    SMTP_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "off",
    TLS_SOURCE: "off",
    REQUIRE_TLS: "false",
    ...environment,
  });
  if (loaded.type === "problems") throw new Error(loaded.problems.join("\n"));
  return loaded.settings;
}
