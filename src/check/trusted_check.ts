// Checks the trusted networks and logs in as their account, through the relay's own submission service.

import { readFileSync } from "node:fs";
import type { EntrySource } from "../accounts/entry_source.ts";
import { parseUsername } from "../accounts/username.ts";
import { defaultGateways } from "./gateways.ts";
import type { Check } from "./run.ts";
import { judgeNetworks, judgeTrustedLogin, judgeTrustedRefusal } from "./trusted_findings.ts";
import type { HttpClient } from "../http/client.ts";
import type { Settings } from "../settings/schema.ts";
import { CLIENT, LOGIN_DEADLINE, RecordedEvents } from "./login_check.ts";
import { processing } from "../submission/service.ts";

export interface TrustedToCheck {
  readonly settings: Settings;
  readonly http: HttpClient;
  /** The lookup table. */
  readonly entries: EntrySource | undefined;
}

/** Undefined where there are no trusted networks. */
export function checkTrusted({ settings, http, entries }: TrustedToCheck): Check | undefined {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username } = settings;
  const recorded = new RecordedEvents();
  const { trusted } = processing({ settings, http, events: recorded, entries }).handlers;
  if (networks === undefined || username === undefined || trusted === undefined) return undefined;
  return {
    subject: "trusted",
    deadline: LOGIN_DEADLINE,
    async run() {
      const findings = judgeNetworks(networks, gatewaysHere());
      const { account } = await trusted.logIn(CLIENT);
      if (account === undefined) {
        const name = parseUsername(username, settings.USERNAME_DELIMITER);
        return [...findings, judgeTrustedRefusal(recorded.refusal, name)];
      }
      // From the cache: the login has fetched it.
      const token = await account.token();
      const roles = "type" in token ? undefined : token.roles;
      const uploads = settings.LARGE_MESSAGES === "upload";
      return [...findings, ...judgeTrustedLogin(account, roles, uploads)];
    },
  };
}

function gatewaysHere(): readonly string[] | undefined {
  return defaultGateways({ ipv4: read("/proc/net/route"), ipv6: read("/proc/net/ipv6_route") });
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
