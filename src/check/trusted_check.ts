// The part of `check` for trusted networks: by the relay's own code, like login_check.ts.

import { readFileSync } from "node:fs";
import type { EntryFile } from "../accounts/entries.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { parseUsername } from "../accounts/username.ts";
import type { OwnCredentials } from "../entra/relay_credentials.ts";
import type { HttpClient } from "../http/client.ts";
import type { RelayEvent } from "../observe/relay_event.ts";
import { buildSubmissions } from "../relay/submission.ts";
import type { Settings } from "../settings/schema.ts";
import { defaultGateways } from "./gateways.ts";
import { CLIENT, failureIn, LOGIN_DEADLINE, rolesOf } from "./login_check.ts";
import type { Check } from "./run.ts";
import { usesGraph } from "./way_check.ts";
import { judgeNetworks, judgeTrustedLogin, judgeTrustedRefusal } from "./trusted_findings.ts";

export interface TrustedToCheck {
  readonly settings: Settings;
  readonly http: HttpClient;
  /** The lookup table. */
  readonly entries: EntrySource | undefined;
  /** LOOKUP_FILE. */
  readonly file: EntryFile | undefined;
  /** The relay's own. */
  readonly own: OwnCredentials;
}

/** Undefined if no network is trusted. */
export function checkTrusted(
  { settings, http, entries, file, own }: TrustedToCheck,
): Check | undefined {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username } = settings;
  const { TRUSTED_PASSWORD: password } = settings;
  if (networks === undefined || username === undefined || password === undefined) return undefined;
  const events: RelayEvent[] = [];
  const notify = (event: RelayEvent) => void events.push(event);
  const { service } = buildSubmissions({ settings, http, notify, entries, file, own });
  return {
    subject: "trusted",
    deadline: LOGIN_DEADLINE,
    async run() {
      const findings = judgeNetworks(networks, gatewaysHere());
      const { principal } = await service.authenticate("trusted", CLIENT);
      if (principal === undefined) {
        const name = parseUsername(username, settings.USERNAME_DELIMITER);
        return [...findings, judgeTrustedRefusal(failureIn(events), name)];
      }
      const isGraph = usesGraph(settings, principal.account);
      const roles = isGraph ? await rolesOf(principal, settings) : undefined;
      const uploads = settings.LARGE_MESSAGES === "upload";
      return [...findings, ...judgeTrustedLogin(principal.account, roles, uploads)];
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
