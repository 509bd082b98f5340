// Judges the trusted networks: which other hosts may be in them, and whether their account can log in and
// is bound to senders.

import type { LoginFailure } from "../accounts/account.ts";
import { UNBOUND } from "../submission/trusted_login.ts";
import type { Username, UsernameError } from "../accounts/username.ts";
import type { Networks } from "../networks.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";
import { judgeRefusal, judgeRoles } from "./login_findings.ts";

/** @param gateways of this machine; undefined if they cannot be known */
export function judgeNetworks(
  networks: Networks,
  gateways: readonly string[] | undefined,
): readonly Finding[] {
  const named = `TRUSTED_NETWORKS ${networks}`;
  const inside = gateways?.filter((address) => networks.has(address)) ?? [];
  const findings = inside.map((gateway) =>
    finding(
      "trusted.gateway",
      `${named} contains ${gateway}, the gateway of this machine or container: if Docker's proxy or ` +
        "a router replaces its clients' addresses with its own, everybody outside may send",
    )
  );
  if (holdsLoopback(networks)) {
    const what =
      `${named} contains addresses of this machine itself: every program on it may send, and ` +
      "every client that reaches the relay through one of them";
    findings.push(finding("trusted.loopback", what));
  }
  if (findings.length > 0) return findings;
  const known = gateways === undefined
    ? "; this system does not show whether it contains a gateway"
    : gateways.length === 0
    ? "; this machine has no gateway"
    : `; this machine's gateway ${gateways.join(", ")} is not in it`;
  return [finding("trusted.networks", named + known)];
}

function holdsLoopback(networks: Networks): boolean {
  // No range is wider than all of 127.0.0.0/8.
  return networks.has("::1") ||
    networks.ranges.some(({ family, address }) => family === 4 && address.startsWith("127."));
}

const BY_LOGIN: Readonly<Partial<Record<Code, string>>> = {
  "login.secret-wrong":
    "set TRUSTED_PASSWORD to the secret's value, not its id; if it is lost, make a new secret",
  "login.secret-expired":
    "make a new secret in the app registration, and set TRUSTED_PASSWORD to its value",
};

/** Why the account of the trusted networks cannot log in. */
export function judgeTrustedRefusal(
  result: LoginFailure,
  username: Username | UsernameError,
): Finding {
  if (result.code === UNBOUND) return finding("trusted.unbound", result.detail);
  const { code, what, fix } = judgeRefusal(result, username);
  return finding(
    result.type === "later" ? "trusted.later" : "trusted.refused",
    `TRUSTED_USERNAME cannot log in: ${what}`,
    BY_LOGIN[code] ?? fix,
  );
}

export interface TrustedLogin {
  readonly tenantId: string;
  readonly clientId: string;
  readonly fromEmail?: string;
}

/**
 * @param roles of its token; undefined if there is no token any more
 * @param uploads whether large messages are sent as a draft with uploads, which needs Mail.ReadWrite
 */
export function judgeTrustedLogin(
  { tenantId, clientId, fromEmail }: TrustedLogin,
  roles: readonly string[] | undefined,
  uploads: boolean,
): readonly Finding[] {
  const bound = fromEmail === undefined
    ? "sends as those in ALLOWED_SENDERS only"
    : `sends as ${fromEmail} only`;
  const what = `TRUSTED_USERNAME: tenant ${tenantId} gave app ${clientId} a token; it ${bound}`;
  const doubts = judgeRoles(roles ?? [], uploads).filter(({ level }) => level !== "ok");
  return [
    finding("trusted.account", what),
    ...(roles === undefined
      ? []
      : doubts.map(({ code, what, fix }) =>
        finding(code, `that of TRUSTED_USERNAME ${what}`, fix)
      )),
  ];
}
