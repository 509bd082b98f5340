// Opens the relay's own credentials towards Entra ID, as the settings say. Code of those that are unset is
// not loaded.

import process from "node:process";
import type { ClientCertificate } from "../certificates/client_certificate.ts";
import type { CertificateSource } from "../certificates/source.ts";
import { type Clock, realClock } from "../clock.ts";
import type { CredentialName } from "../entra/app_credentials.ts";
import type { ProofSource } from "../entra/proof_source.ts";
import { OwnCredentials } from "../entra/relay_credentials.ts";
import type { HttpClient } from "../http/client.ts";
import type { Notify } from "../observe/relay_event.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import { clientCertificateSource } from "./certificate_source.ts";

export interface CredentialParts {
  readonly settings: Settings;
  readonly http: HttpClient;
  readonly notify: Notify;
  /** Called when a credential has been renewed. */
  readonly renewed: (name: CredentialName) => void;
  /** Replaces the source of the certificate in the settings. */
  readonly certificates?: CertificateSource | undefined;
  readonly clock?: Clock;
  /** Of the process, when left out: where Azure and Kubernetes say what there is. */
  readonly variables?: Readonly<Record<string, string | undefined>>;
}

export interface OpenCredentials {
  readonly credentials: OwnCredentials;
  /** Undefined if it is not configured. */
  readonly certificate: ClientCertificate | undefined;
}

/**
 * @throws CertificateError if the certificate cannot be used; nothing stays open then
 * @throws CommandError if the relay's own identity, for the vault, cannot be made
 */
export async function openCredentials(parts: CredentialParts): Promise<OpenCredentials> {
  const { settings, http, clock = realClock, variables = process.env } = parts;
  const { CLIENT_SECRET: secret, MANAGED_IDENTITY_CLIENT_ID: clientId } = settings;
  const { AZURE_FEDERATED_TOKEN_FILE: tokenFile = "" } = variables;
  const sources: ProofSource[] = [];
  if (secret !== undefined) {
    const { fixedSecret } = await import("../entra/fixed_secret.ts");
    sources.push(fixedSecret(secret));
  }
  const certificate = await openCertificate(parts);
  if (certificate !== undefined) sources.push(certificate);
  if (clientId !== undefined) {
    const { identityEndpoint, ManagedIdentity } = await import("../entra/managed_identity.ts");
    const endpoint = identityEndpoint(variables);
    const audience = cloudOf(settings).exchangeAudience;
    sources.push(new ManagedIdentity({ http, clientId, audience, endpoint, clock }));
  }
  if (tokenFile !== "") {
    const { TokenFile } = await import("../entra/token_file.ts");
    sources.push(new TokenFile(tokenFile));
  }
  return { credentials: new OwnCredentials(sources, () => clock.date()), certificate };
}

async function openCertificate(
  { settings, http, notify, renewed, certificates }: CredentialParts,
): Promise<ClientCertificate | undefined> {
  const source = certificates ?? await clientCertificateSource(settings, http);
  if (source === undefined) return undefined;
  const { ClientCertificate } = await import("../certificates/client_certificate.ts");
  const onRenewed = () => renewed("certificate");
  return await ClientCertificate.open({ source, notify, renewed: onRenewed });
}
