// Finds settings that are valid alone but not together, and valid settings that are doubtful.

import { backendDoubts, backendProblems } from "./backend_settings.ts";
import { credentialProblems } from "./credential_settings.ts";
import { isLoopback } from "./listen_address.ts";
import { queueDoubts, queueProblems } from "./queue_settings.ts";
import { quoted, withoutSecrets } from "./quoted.ts";
import type { SettingName, Settings } from "./schema.ts";
import type { Environment } from "./setting.ts";
import { traceDoubts, traceProblems } from "./trace_settings.ts";
import { trustedProblems } from "./trusted_settings.ts";
import { webhookProblems } from "./webhook_settings.ts";

/**
 * Settings that are valid alone, but not together.
 *
 * @param invalid settings without a valid value
 * @param ownTable whether there is a lookup table without AZURE_TABLES_URL
 */
export function contradictions(
  settings: Settings,
  invalid: ReadonlySet<SettingName>,
  ownTable: boolean,
): string[] {
  const problems: string[] = [];
  const valid = (...names: SettingName[]) => !names.some((name) => invalid.has(name));
  if (settings.TLS_SOURCE === "keyvault") {
    for (const name of ["AZURE_KEY_VAULT_URL", "AZURE_KEY_VAULT_CERT_NAME"] as const) {
      if (valid(name) && settings[name] === undefined) {
        problems.push(`${name} must be set when TLS_SOURCE is keyvault`);
      }
    }
  }
  problems.push(...credentialProblems(settings, valid));
  if (
    valid("SMTPS_LISTEN") && settings.TLS_SOURCE === "off" && settings.SMTPS_LISTEN !== undefined
  ) {
    problems.push("SMTPS_LISTEN needs a certificate: TLS_SOURCE must not be off");
  }
  const http = settings.HTTP_LISTEN;
  if (
    valid("HTTP_LISTEN", "HTTP_PASSWORD") && http !== "off" && !isLoopback(http.hostname) &&
    settings.HTTP_PASSWORD === undefined
  ) {
    problems.push("HTTP_PASSWORD must be set when HTTP_LISTEN is not a loopback address");
  }
  if (valid("AZURE_TABLES_URL")) problems.push(...tableProblems(settings, valid, ownTable));
  problems.push(...trustedProblems(settings, valid, ownTable));
  problems.push(...backendProblems(settings, valid));
  problems.push(...queueProblems(settings, valid));
  problems.push(...webhookProblems(settings, valid));
  problems.push(...traceProblems(settings, valid));
  return problems;
}

function tableProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
  ownTable: boolean,
): string[] {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_CONNECTION_STRING: access } = settings;
  if (url === undefined) {
    const problems: string[] = [];
    const hasEntries = ownTable || settings.LOOKUP_FILE !== undefined || !valid("LOOKUP_FILE");
    if (
      !hasEntries && valid("AZURE_TABLES_FORCE_USAGE") && settings.AZURE_TABLES_FORCE_USAGE
    ) {
      problems.push(
        "AZURE_TABLES_FORCE_USAGE needs entries: LOOKUP_FILE or AZURE_TABLES_URL must be set",
      );
    }
    if (access !== undefined) {
      problems.push(
        "AZURE_TABLES_CONNECTION_STRING does not say which table: AZURE_TABLES_URL must be set",
      );
    }
    return problems;
  }
  if (
    url.protocol === "http:" && valid("AZURE_TABLES_CONNECTION_STRING") && access === undefined
  ) {
    return [
      "AZURE_TABLES_URL with http needs AZURE_TABLES_CONNECTION_STRING: an identity's token goes " +
      "over https only",
    ];
  }
  return [];
}

/** @param given the settings that have a value of their own */
export function doubts(settings: Settings, given: ReadonlySet<SettingName>): string[] {
  const warnings: string[] = [];
  if (settings.TLS_SOURCE === "off" && settings.REQUIRE_TLS) {
    // Clients in TRUSTED_NETWORKS need neither: REQUIRE_TLS=false would only open it to others.
    warnings.push(
      settings.TRUSTED_NETWORKS === undefined
        ? "TLS_SOURCE is off and REQUIRE_TLS is true: no client can log in; set REQUIRE_TLS=false " +
          "only where the network is safe"
        : "TLS_SOURCE is off and REQUIRE_TLS is true: no client can log in, only those in " +
          "TRUSTED_NETWORKS can send",
    );
  } else if (!settings.REQUIRE_TLS) {
    warnings.push("REQUIRE_TLS is false: passwords may cross the network in plain text");
  }
  const everything = settings.PROXY_PROTOCOL_NETWORKS?.ranges.find(({ prefix }) => prefix === 0);
  if (everything !== undefined) {
    warnings.push(
      `PROXY_PROTOCOL_NETWORKS contains all addresses (${everything.address}/0): any host that can ` +
        "connect can claim to be any client; list only the proxies",
    );
  }
  warnings.push(...backendDoubts(settings, given));
  warnings.push(...queueDoubts(settings, given));
  warnings.push(...traceDoubts(settings, given));
  return warnings;
}

/** Conventional variables that have no effect here. */
export function unused(environment: Environment, settings: Settings): string[] {
  if (settings.HTTPS_PROXY === undefined) {
    const names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"];
    const name = names.find((name) => environment[name]);
    if (name === undefined) return [];
    return [`${name} has no effect, because everything goes out by https: set HTTPS_PROXY`];
  }
  return (settings.NO_PROXY?.unread ?? []).map((entry) =>
    `NO_PROXY ${
      quoted(withoutSecrets(entry.replace(/=.*/s, "=…")))
    } is not a name, address or network: it has no effect`
  );
}
