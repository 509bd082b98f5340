// TRUSTED_NETWORKS, TRUSTED_USERNAME, TRUSTED_PASSWORD: what each may be, and that they go together.

import { parseUsername } from "../accounts/username.ts";
import { type Network, Networks, NETWORKS_FORM } from "../networks.ts";
import type { Parser } from "./parsers.ts";
import type { SettingName, Settings } from "./schema.ts";

/** The shortest prefixes, by family: nobody knows all who are in more than that. */
const SHORTEST = { 4: 8, 6: 32 } as const;

export const trustedNetworks: Parser<Networks> = {
  allowed: `${NETWORKS_FORM}; no prefix shorter than /${SHORTEST[4]}, or /${SHORTEST[6]} for IPv6`,
  parse(text) {
    const networks = Networks.parse(text);
    return networks?.ranges.every(narrow) ? networks : undefined;
  },
  culprit: (text) =>
    text.split(",").map((entry) => entry.trim()).find((entry) =>
      entry !== "" && !Networks.parse(entry)?.ranges.every(narrow)
    ),
};

function narrow({ family, prefix }: Network): boolean {
  return prefix >= SHORTEST[family];
}

const NAMES = ["TRUSTED_NETWORKS", "TRUSTED_USERNAME", "TRUSTED_PASSWORD"] as const;

/** @param sound whether these settings have values that can be judged */
export function trustedProblems(
  settings: Settings,
  sound: (...names: SettingName[]) => boolean,
): string[] {
  if (!sound(...NAMES)) return [];
  const { TRUSTED_NETWORKS: networks } = settings;
  if (networks === undefined) {
    return NAMES.filter((name) => settings[name] !== undefined).map((name) =>
      `${name} is set, but TRUSTED_NETWORKS is not: set both, or neither`
    );
  }
  const problems = NAMES.filter((name) => settings[name] === undefined).map((name) =>
    `${name} must be set when TRUSTED_NETWORKS is: clients there send as that account`
  );
  return [...problems, ...accountProblems(settings, sound)];
}

function accountProblems(
  settings: Settings,
  sound: (...names: SettingName[]) => boolean,
): string[] {
  const { TRUSTED_USERNAME: username, ALLOWED_TENANTS: tenants } = settings;
  if (username === undefined || !sound("USERNAME_DELIMITER")) return [];
  const name = parseUsername(username, settings.USERNAME_DELIMITER);
  if (name.type === "invalid") {
    return [`TRUSTED_USERNAME ${JSON.stringify(username)} is no username: ${name.problem}`];
  }
  const problems: string[] = [];
  const table = settings.AZURE_TABLES_URL !== undefined;
  if (name.type === "lookup" && !table && sound("AZURE_TABLES_URL")) {
    problems.push(
      `TRUSTED_USERNAME ${JSON.stringify(username)} is looked up in the table: AZURE_TABLES_URL ` +
        "must be set",
    );
  }
  if (name.type === "direct" && sound("ALLOWED_TENANTS") && tenants?.has(name.tenantId) === false) {
    problems.push(`TRUSTED_USERNAME is of the tenant ${name.tenantId}: ALLOWED_TENANTS lacks it`);
  }
  // Whether the entry has a from_email is found out with the login: it may be changed at any time.
  const mayHaveEntry = name.type === "lookup" || (table && settings.AZURE_TABLES_FORCE_USAGE);
  const judged = sound("ALLOWED_SENDERS", "AZURE_TABLES_URL", "AZURE_TABLES_FORCE_USAGE");
  if (judged && settings.ALLOWED_SENDERS === undefined && !mayHaveEntry) {
    problems.push(
      "ALLOWED_SENDERS must be set when TRUSTED_NETWORKS is, unless TRUSTED_USERNAME is an entry " +
        "of the lookup table (id@lookup) with from_email: clients there could send as anybody",
    );
  }
  return problems;
}
