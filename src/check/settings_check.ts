// The settings as a relay would read them: each problem, and the parts that cannot be checked because
// of it.

import { backendProblems } from "../settings/backend_settings.ts";
import type { ExaminedSettings } from "../settings/load.ts";
import { credentialProblems } from "../settings/credential_settings.ts";
import { queueAccessProblems } from "../settings/queue_settings.ts";
import { type SettingName, SETTINGS, type Settings } from "../settings/schema.ts";
import type { Setting } from "../settings/setting.ts";
import { trustedProblems } from "../settings/trusted_settings.ts";
import { type Finding, finding } from "./finding.ts";

const TABLE = [
  "AZURE_TABLES_URL",
  "AZURE_TABLES_PARTITION_KEY",
  "AZURE_TABLES_CONNECTION_STRING",
  "AZURE_CLIENT_SECRET",
  "AZURE_CLOUD",
  "AZURE_AUTHORITY_HOST",
  "HTTPS_PROXY",
  "NO_PROXY",
] as const;

/** The settings of the relay's own credentials towards Entra ID. */
export const OWN_CREDENTIALS = [
  "CLIENT_SECRET",
  "CLIENT_CERTIFICATE_FILEPATH",
  "CLIENT_KEY_FILEPATH",
  "AZURE_KEY_VAULT_CLIENT_CERT_NAME",
  "MANAGED_IDENTITY_CLIENT_ID",
] as const satisfies readonly SettingName[];

const LOGIN = [
  ...TABLE,
  ...OWN_CREDENTIALS,
  "LOOKUP_FILE",
  "AZURE_TABLES_FORCE_USAGE",
  "GRAPH_ENDPOINT",
  "USERNAME_DELIMITER",
  "ALLOWED_TENANTS",
  "ALLOWED_SENDERS",
  "LARGE_MESSAGES",
  "BACKEND",
] as const;

/** The settings that a part of the check is about; with one of them invalid, it would judge another set-up. */
export const NEEDS = {
  table: TABLE,
  "lookup file": ["LOOKUP_FILE"],
  "own credentials": [
    ...OWN_CREDENTIALS,
    "AZURE_KEY_VAULT_URL",
    "AZURE_CLOUD",
    "AZURE_AUTHORITY_HOST",
    "HTTPS_PROXY",
    "NO_PROXY",
  ],
  queue: [
    "QUEUE_URL",
    "QUEUE_CONNECTION_STRING",
    "QUEUE_KEY",
    "QUEUE_MAX_MESSAGES",
    "QUEUE_MAX_BYTES",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLOUD",
    "AZURE_AUTHORITY_HOST",
    "HTTPS_PROXY",
    "NO_PROXY",
  ],
  certificate: [
    "TLS_SOURCE",
    "TLS_CERT_FILEPATH",
    "TLS_KEY_FILEPATH",
    "TLS_MIN_VERSION",
    "TLS_CIPHER_SUITE",
    "AZURE_KEY_VAULT_URL",
    "AZURE_KEY_VAULT_CERT_NAME",
    "AZURE_CLIENT_SECRET",
  ],
  "SMTP port": ["SMTP_LISTEN"],
  "SMTPS port": ["SMTPS_LISTEN"],
  "HTTP port": ["HTTP_LISTEN"],
  "Entra ID": ["AZURE_CLOUD", "AZURE_AUTHORITY_HOST", "HTTPS_PROXY", "NO_PROXY"],
  Graph: ["AZURE_CLOUD", "GRAPH_ENDPOINT", "HTTPS_PROXY", "NO_PROXY"],
  "ways out": [
    "BACKEND",
    "SMARTHOST_URL",
    "SMARTHOST_USERNAME",
    "SMARTHOST_PASSWORD",
    "EXCHANGE_SMTP_URL",
    "AZURE_CLOUD",
    "HTTPS_PROXY",
    "NO_PROXY",
  ],
  login: LOGIN,
  "trusted networks": [...LOGIN, "TRUSTED_NETWORKS", "TRUSTED_USERNAME", "TRUSTED_PASSWORD"],
} as const satisfies Readonly<Record<string, readonly SettingName[]>>;

export type Part = keyof typeof NEEDS;

/**
 * The invalid settings, and the missing ones, which are among the problems too: checks that need
 * them are skipped.
 */
export function withContradictions(
  settings: Settings,
  invalid: ReadonlySet<SettingName>,
): ReadonlySet<SettingName> {
  const { TLS_SOURCE, AZURE_KEY_VAULT_URL, AZURE_KEY_VAULT_CERT_NAME } = settings;
  const all = new Set(invalid);
  if (TLS_SOURCE === "keyvault") {
    if (AZURE_KEY_VAULT_URL === undefined) all.add("AZURE_KEY_VAULT_URL");
    if (AZURE_KEY_VAULT_CERT_NAME === undefined) all.add("AZURE_KEY_VAULT_CERT_NAME");
  }
  const { AZURE_TABLES_URL: table, AZURE_TABLES_CONNECTION_STRING: access } = settings;
  const lacking = table === undefined
    ? settings.AZURE_TABLES_FORCE_USAGE && settings.LOOKUP_FILE === undefined
    : table.protocol === "http:" && access === undefined;
  if (lacking) all.add("AZURE_TABLES_URL");
  const valid = (...names: SettingName[]) => !names.some((name) => invalid.has(name));
  const isInVault = settings.AZURE_KEY_VAULT_CLIENT_CERT_NAME !== undefined;
  if (
    credentialProblems(settings, valid).length > 0 || isInVault && !valid("AZURE_KEY_VAULT_URL")
  ) {
    all.add(isInVault ? "AZURE_KEY_VAULT_CLIENT_CERT_NAME" : "CLIENT_CERTIFICATE_FILEPATH");
  }
  if (settings.DELIVERY_MODE === "queue") {
    if (settings.QUEUE_KEY === undefined) all.add("QUEUE_KEY");
    if (queueAccessProblems(settings, valid).length > 0) all.add("QUEUE_URL");
  }
  if (backendProblems(settings, valid).length > 0) all.add("BACKEND");
  if (trustedProblems(settings, valid).length > 0) all.add("TRUSTED_NETWORKS");
  return all;
}

/** Whether all settings that the part needs are valid. */
export function canJudge(part: Part, invalid: ReadonlySet<SettingName>): boolean {
  return !NEEDS[part].some((name) => invalid.has(name));
}

/** @param wanted the parts to judge, where their settings allow it */
export function checkSettings(
  { problems, warnings, invalid }: Pick<ExaminedSettings, "problems" | "warnings" | "invalid">,
  set: number,
  wanted: readonly Part[],
): readonly Finding[] {
  const findings = [
    ...problems.map((problem) => finding("settings.bad", problem)),
    ...warnings.map((warning) => finding("settings.doubtful", warning)),
  ];
  const unjudged = wanted.filter((part) => !canJudge(part, invalid));
  if (unjudged.length > 0) {
    const names = [...invalid].filter((name) =>
      unjudged.some((part) => (NEEDS[part] as readonly SettingName[]).includes(name))
    );
    findings.push(
      finding(
        "settings.not-judged",
        `not checked because of ${names.join(", ")}: ${unjudged.join(", ")}`,
      ),
    );
  }
  if (findings.length > 0) return findings;
  return [finding("settings.ok", `${set} set, all others at their defaults; all allowed`)];
}

/** How many settings the environment has a value for. */
export function countSet(environment: Readonly<Record<string, string | undefined>>): number {
  return Object.entries(SETTINGS as Readonly<Record<string, Setting<unknown>>>)
    .filter(([name, { aliases = [] }]) =>
      [name, `${name}_FILE`, ...aliases].some((variable) => (environment[variable] ?? "") !== "")
    ).length;
}
