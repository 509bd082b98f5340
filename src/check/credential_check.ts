// Checks the relay's own credentials towards Entra ID: each is read, and logs in to the apps whose entries name
// it, as the relay would.

import { readEntry, type Row } from "../accounts/entry.ts";
import { CertificateError, CertificateUnavailable } from "../certificates/certificate.ts";
import { realClock } from "../clock.ts";
import {
  type App,
  CREDENTIAL_NAMES,
  type CredentialName,
  type RelayCredentials,
} from "../entra/app_credentials.ts";
import { OwnCredentials } from "../entra/relay_credentials.ts";
import { CommandError } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { type OpenCredentials, openCredentials } from "../relay/relay_credentials.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import type { Environment } from "../settings/setting.ts";
import { judgeFacts, judgeToken, unset } from "./credential_findings.ts";
import { type Finding, finding } from "./finding.ts";
import type { Check } from "./run.ts";

/** Milliseconds for one token request. */
const TOKEN_TIMEOUT = 20_000;
/** Milliseconds: the entries, the vault, and token requests after one another. */
const DEADLINE = 180_000;
/** Apps that are logged in to, for each credential. */
const MAX_APPS = 10;

export interface CredentialsToCheck {
  /** None if they cannot be opened. */
  readonly credentials: OwnCredentials;
  /** Why they cannot be opened. */
  readonly problems: readonly Finding[];
}

/** Opens them as the relay does. @param variables of the process, or of the service to check */
export async function openCredentialsToCheck(
  settings: Settings,
  http: HttpClient,
  variables: Environment,
): Promise<CredentialsToCheck> {
  try {
    const parts = { settings, http, variables, notify: () => {}, renewed: () => {} };
    const { credentials }: OpenCredentials = await openCredentials(parts);
    return { credentials, problems: [] };
  } catch (error) {
    const lines = error instanceof CertificateError || error instanceof CommandError
      ? error.lines
      : undefined;
    if (lines === undefined) throw error;
    const code = error instanceof CertificateUnavailable
      ? "credential.unavailable"
      : "credential.unusable";
    const problems = lines.map((line) => finding(code, line));
    return { credentials: new OwnCredentials(), problems };
  }
}

/**
 * @param rows of the lookup's entries, as far as they can be read
 * @returns undefined if there is no credential, and no entry can name one
 */
export function checkCredentials(
  { credentials, problems }: CredentialsToCheck,
  rows: (() => Promise<readonly Row[]>) | undefined,
  tools: { readonly settings: Settings; readonly http: HttpClient },
): Check | undefined {
  const isSet = credentials.list().length > 0 || problems.length > 0;
  if (!isSet && rows === undefined) return undefined;
  return {
    subject: "credential",
    deadline: DEADLINE,
    async run() {
      const users = usersOf(await rows?.() ?? []);
      const findings = [...problems];
      for (const name of CREDENTIAL_NAMES) {
        const user = users.get(name);
        const facts = credentials.list().find((facts) => facts.name === name);
        if (facts !== undefined) {
          findings.push(...await checkOne(credentials, name, user?.apps ?? [], tools));
        } else if (user !== undefined && problems.length === 0) {
          findings.push(unset(name, user.ids));
        }
      }
      return findings;
    },
  };
}

interface Users {
  /** Of entries. */
  readonly ids: string[];
  readonly apps: App[];
}

/** Which entries and apps each credential logs in for. */
function usersOf(rows: readonly Row[]): ReadonlyMap<CredentialName, Users> {
  const users = new Map<CredentialName, Users>();
  for (const row of rows) {
    const reading = readEntry(row);
    if (reading.type !== "entry" || reading.entry.device === undefined) continue;
    const { id, tenantId, clientId, device: { credential } } = reading.entry;
    const { ids, apps } = users.get(credential) ?? { ids: [], apps: [] };
    ids.push(id);
    if (!apps.some((app) => app.tenantId === tenantId && app.clientId === clientId)) {
      apps.push({ tenantId, clientId });
    }
    users.set(credential, { ids, apps });
  }
  return users;
}

async function checkOne(
  credentials: OwnCredentials,
  name: CredentialName,
  apps: readonly App[],
  { settings, http }: { readonly settings: Settings; readonly http: HttpClient },
): Promise<readonly Finding[]> {
  const proof = await credentials.proof(name);
  if ("reply" in proof) {
    return [finding("credential.unavailable", `${proof.code}: ${proof.detail}`)];
  }
  const factsNow = () => credentials.list().find((facts) => facts.name === name)!;
  const findings: Finding[] = judgeFacts(factsNow(), Date.now());
  if (apps.length === 0) {
    const what = `${name} is set, but no usable entry of the lookup names it`;
    return [...findings, finding("credential.not-tried", what)];
  }
  for (const app of apps.slice(0, MAX_APPS)) {
    const token = await tokenFor({ ...app, credential: name }, credentials, settings, http);
    findings.push(
      "type" in token
        ? judgeToken(token, factsNow(), app, Date.now())
        : finding("credential.ok", `${name} logs in to app ${app.clientId} of ${app.tenantId}`),
    );
  }
  const more = apps.length - MAX_APPS;
  if (more > 0) {
    findings.push(finding("credential.not-tried", `${name} for ${more} more apps`));
  }
  return findings;
}

async function tokenFor(
  app: RelayCredentials,
  credentials: OwnCredentials,
  settings: Settings,
  http: HttpClient,
) {
  const { authorityHost, graphScope: scope } = cloudOf(settings);
  const { requestToken } = await import("../entra/msal.ts");
  const options = { http, authorityHost, scope, timeout: TOKEN_TIMEOUT, clock: realClock };
  return await credentials.token(app, async (proof, explain) => {
    const result = await requestToken(app, proof, options);
    return "type" in result ? explain(result) : result;
  });
}
