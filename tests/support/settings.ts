/** The settings out of an environment, for tests that know whether it is a good one. */
import assert from "node:assert/strict";
import { loadSettings } from "../../src/settings/load.ts";
import type { Environment } from "../../src/settings/setting.ts";
import type { Settings } from "../../src/settings/schema.ts";

type LoadOptions = Parameters<typeof loadSettings> extends [unknown, ...infer Rest] ? Rest : never;

/** With their warnings. @param options as `loadSettings` takes them */
export function goodSettings(environment: Environment, ...options: LoadOptions) {
  const loaded = loadSettings(environment, ...options);
  assert(loaded.type === "settings", JSON.stringify(loaded));
  return loaded;
}

export function settingsOf(environment: Environment, ...options: LoadOptions): Settings {
  return goodSettings(environment, ...options).settings;
}

/** What is wrong with a bad one. */
export function problemsOf(environment: Environment): readonly string[] {
  const loaded = loadSettings(environment);
  assert(loaded.type === "problems", "no problem was found");
  return loaded.problems;
}

/** @param environment what differs from a relay without TLS on a free port of the loopback */
export function plainSettings(environment: Environment = {}): Settings {
  return settingsOf({
    SMTP_LISTEN: "127.0.0.1:0",
    HTTP_LISTEN: "off",
    TLS_SOURCE: "off",
    REQUIRE_TLS: "false",
    ...environment,
  });
}
