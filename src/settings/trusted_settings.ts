// Whether TRUSTED_NETWORKS, TRUSTED_USERNAME and TRUSTED_PASSWORD go together, and with the other
// settings.

import { shownUsername } from "../accounts/shown_username.ts";
import { parseUsername } from "../accounts/username.ts";
import type { SettingName, Settings } from "./schema.ts";

const NAMES = ["TRUSTED_NETWORKS", "TRUSTED_USERNAME", "TRUSTED_PASSWORD"] as const;

/**
 * @param valid whether these settings have values that can be judged
 * @param ownTable whether there is a lookup table without AZURE_TABLES_URL: the sandbox's
 */
export function trustedProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
  ownTable = false,
): string[] {
  // An invalid value has a problem of its own. Here it counts as set, so that the other problems show.
  const given = (name: (typeof NAMES)[number]) => settings[name] !== undefined || !valid(name);
  if (!given("TRUSTED_NETWORKS")) {
    return NAMES.filter(given).map((name) =>
      `${name} is set, but TRUSTED_NETWORKS is not: set both, or neither`
    );
  }
  const problems = NAMES.filter((name) => !given(name)).map((name) =>
    `${name} must be set when TRUSTED_NETWORKS is: clients there send as that account`
  );
  return [...problems, ...accountProblems(settings, valid, ownTable)];
}

function accountProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
  ownTable: boolean,
): string[] {
  const { TRUSTED_USERNAME: username, ALLOWED_TENANTS: tenants } = settings;
  if (!valid("TRUSTED_USERNAME", "USERNAME_DELIMITER")) return [];
  const problems: string[] = [];
  const name = username === undefined
    ? undefined
    : parseUsername(username, settings.USERNAME_DELIMITER);
  const hasEntries = ownTable || settings.AZURE_TABLES_URL !== undefined ||
    settings.LOOKUP_FILE !== undefined;
  const isEntry = hasEntries && name?.type === "invalid" && name.bareId !== undefined;
  if (name?.type === "invalid" && !isEntry) {
    const shown = shownUsername(username!, settings.USERNAME_DELIMITER);
    problems.push(`TRUSTED_USERNAME ${shown} is not a username: ${name.problem}`);
  }
  if (name?.type === "lookup" && !hasEntries && valid("AZURE_TABLES_URL", "LOOKUP_FILE")) {
    const shown = shownUsername(username!, settings.USERNAME_DELIMITER);
    problems.push(
      `TRUSTED_USERNAME ${JSON.stringify(shown)} is looked up: LOOKUP_FILE or ` +
        "AZURE_TABLES_URL must be set",
    );
  }
  if (
    name?.type === "direct" && valid("ALLOWED_TENANTS") && tenants?.has(name.tenantId) === false
  ) {
    problems.push(
      `TRUSTED_USERNAME is of the tenant ${name.tenantId}, which is not in ALLOWED_TENANTS`,
    );
  }
  // Whether the entry has a from_email is checked at each login: the entry may change at any time.
  // A username that is missing or invalid may become that of an entry.
  const mayHaveEntry = name?.type === "lookup" ||
    (hasEntries && (settings.AZURE_TABLES_FORCE_USAGE || name?.type !== "direct"));
  const judged = valid(
    ...([
      "ALLOWED_SENDERS",
      "AZURE_TABLES_URL",
      "AZURE_TABLES_FORCE_USAGE",
      "LOOKUP_FILE",
    ] as const),
  );
  if (judged && settings.ALLOWED_SENDERS === undefined && !mayHaveEntry) {
    problems.push(
      "ALLOWED_SENDERS must be set when TRUSTED_NETWORKS is, unless TRUSTED_USERNAME is an entry " +
        "of the lookup (id@lookup) with from_email: clients there could send as anybody",
    );
  }
  return problems;
}
