// The settings as a relay would read them: each problem by itself, and what it keeps from being judged.

import type { ExaminedSettings } from "../settings/load.ts";
import { type SettingName, SETTINGS } from "../settings/schema.ts";
import { type Finding, finding } from "./finding.ts";

/** The settings that a part of the check is about; with one of them bad, it would judge another set-up. */
export const NEEDS = {
  certificate: [
    "TLS_SOURCE",
    "TLS_CERT_FILEPATH",
    "TLS_KEY_FILEPATH",
    "TLS_MIN_VERSION",
    "TLS_CIPHER_SUITE",
    "AZURE_KEY_VAULT_URL",
    "AZURE_KEY_VAULT_CERT_NAME",
  ],
  "SMTP port": ["SMTP_LISTEN"],
  "SMTPS port": ["SMTPS_LISTEN"],
  "HTTP port": ["HTTP_LISTEN"],
  "Entra ID": ["AZURE_CLOUD", "AZURE_AUTHORITY_HOST", "HTTPS_PROXY", "NO_PROXY"],
  Graph: ["AZURE_CLOUD", "GRAPH_ENDPOINT", "HTTPS_PROXY", "NO_PROXY"],
  login: [
    "AZURE_CLOUD",
    "AZURE_AUTHORITY_HOST",
    "GRAPH_ENDPOINT",
    "USERNAME_DELIMITER",
    "HTTPS_PROXY",
    "NO_PROXY",
  ],
} as const satisfies Readonly<Record<string, readonly SettingName[]>>;

export type Part = keyof typeof NEEDS;

/** Whether nothing that the part needs is bad. */
export function canJudge(part: Part, bad: ReadonlySet<SettingName>): boolean {
  return !NEEDS[part].some((name) => bad.has(name));
}

/** @param wanted the parts that would be judged if they could */
export function checkSettings(
  { problems, warnings, bad }: Pick<ExaminedSettings, "problems" | "warnings" | "bad">,
  set: number,
  wanted: readonly Part[],
): readonly Finding[] {
  const findings = [
    ...problems.map((problem) => finding("settings.bad", problem)),
    ...warnings.map((warning) => finding("settings.doubtful", warning)),
  ];
  const unjudged = wanted.filter((part) => !canJudge(part, bad));
  if (unjudged.length > 0) {
    const names = [...bad].filter((name) =>
      unjudged.some((part) => (NEEDS[part] as readonly SettingName[]).includes(name))
    );
    findings.push(
      finding(
        "settings.not-judged",
        `not looked at because of ${names.join(", ")}: ${unjudged.join(", ")}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [finding("settings.ok", `${set} set, all others at their defaults; all allowed`)];
}

/** How many settings the environment has a value for. */
export function countSet(environment: Readonly<Record<string, string | undefined>>): number {
  return Object.keys(SETTINGS).filter((name) =>
    (environment[name] ?? "") !== "" || (environment[`${name}_FILE`] ?? "") !== ""
  ).length;
}
