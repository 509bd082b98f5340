// Judges the relay's own credentials towards Entra ID: their ends, and why Entra ID refuses one. No I/O.

import type { App, CredentialName } from "../entra/app_credentials.ts";
import { CREDENTIAL_SETTINGS, type EntraRefusal } from "../entra/entra_errors.ts";
import { isUntrusted } from "../entra/own_refusal.ts";
import type { CertificateFacts, CredentialFacts } from "../entra/proof_source.ts";
import { day, inDays } from "./chain_findings.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding, lookupCommand } from "./finding.ts";

const DAY = 86_400_000;
/** Days left below which the relay warns, too: a new certificate has to be registered with each app first. */
const SOON_DAYS = 30;
/** Entries that are named. */
const MAX_NAMED = 5;

/** @param now milliseconds of Unix time */
export function judgeFacts({ name, certificate }: CredentialFacts, now: number): Finding[] {
  if (certificate === undefined) return [];
  const { notBefore, notAfter } = certificate;
  const what = `${name} ${thumbprintsOf(certificate)}`;
  const days = Math.floor((notAfter - now) / DAY);
  if (notAfter <= now) {
    return [finding("credential.expired", `${what} ended on ${day(notAfter)}`)];
  }
  if (notBefore > now) {
    return [finding("credential.not-yet-valid", `${what} is not valid before ${day(notBefore)}`)];
  }
  const valid = `${what} is valid until ${day(notAfter)}, ${inDays(days)} left`;
  return [finding(days < SOON_DAYS ? "credential.expires-soon" : "credential.found", valid)];
}

/** SHA-1, which the portal lists, comes first. */
function thumbprintsOf({ sha1, thumbprint }: CertificateFacts): string {
  return `with thumbprint ${sha1} (SHA-256 ${thumbprint})`;
}

/** By Entra ID's numbers, where they do not depend on the credential. */
const BY_NUMBER: Readonly<Record<number, Code>> = {
  700027: "credential.unregistered",
  700024: "credential.time",
  700023: "credential.cloud",
  90002: "credential.app",
  700016: "credential.app",
  700011: "credential.app",
  70001: "credential.app",
  7000112: "credential.app",
};

/** Why no token came for an app. @param now milliseconds of Unix time */
export function judgeToken(
  refusal: EntraRefusal,
  { name, certificate, assertion }: CredentialFacts,
  { tenantId, clientId }: App,
  now: number,
): Finding {
  const { code, detail } = refusal;
  const number = Number(/^AADSTS(\d+)$/.exec(code)?.[1]);
  const what = `${name} for app ${clientId} of tenant ${tenantId}: ${code}: ${detail}`;
  // Only a refusal of the credential, or of the app, names it; anything else may pass.
  if (refusal.credential === undefined) {
    return Number.isNaN(number) && /^(?:E[A-Z]|IDENTITY_|TOKEN_FILE)/.test(code)
      ? finding("credential.unavailable", what)
      : finding("credential.later", what);
  }
  if (isUntrusted(code)) {
    const values = assertion === undefined ? undefined : `add a federated credential to app ` +
      `${clientId} with issuer ${assertion.issuer}, subject ${assertion.subject}, audience ` +
      `${assertion.audience}: Entra admin center, App registrations, Certificates & secrets`;
    return finding("credential.untrusted", short(what), values);
  }
  if (number === 700027 && certificate !== undefined) {
    // The same number; to register it again would not help.
    if (certificate.notAfter <= now) return finding("credential.expired", what);
    const upload =
      `upload the certificate ${thumbprintsOf(certificate)} to app ${clientId}: Entra ` +
      "admin center, App registrations, Certificates & secrets, Certificates";
    return finding("credential.unregistered", short(what), upload);
  }
  if (number === 7000215 || number === 7000222) {
    const known = name === "secret" ? "credential.secret" : "credential.unregistered";
    return finding(known, what);
  }
  return finding(BY_NUMBER[number] ?? "credential.refused", what);
}

/** Without the remedy that the detail ends with: the fix has it. */
function short(what: string): string {
  return what.replace(/; (?:add a federated credential|upload the certificate) .*$/, "");
}

/** @param ids of the entries that name a credential which is not set */
export function unset(name: CredentialName, ids: readonly string[]): Finding {
  const named = ids.slice(0, MAX_NAMED).map((id) => JSON.stringify(id)).join(", ");
  const more = ids.length > MAX_NAMED ? ` and ${ids.length - MAX_NAMED} more` : "";
  const [entries, needs] = ids.length === 1 ? ["entry", "needs"] : ["entries", "need"];
  return finding(
    "credential.unset",
    `${entries} ${named}${more} of the lookup ${needs} "${name}", which is not set`,
    `set ${CREDENTIAL_SETTINGS[name]}; or name another one: ${
      lookupCommand("set", ids[0]!, "credential")
    }`,
  );
}
