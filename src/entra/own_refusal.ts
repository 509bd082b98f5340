// What a refusal of one of the relay's own credentials means, and what an administrator does about it. The
// device is not at fault: its login may succeed later.

import { reply } from "../smtp/reply.ts";
import type { App, CredentialName } from "./app_credentials.ts";
import type { EntraRefusal } from "./entra_errors.ts";
import type { AssertionFacts, CertificateFacts, CredentialFacts } from "./proof_source.ts";

/**
 * @param refusal of type `refused`
 * @param now milliseconds of Unix time
 */
export function ownRefusal(
  refusal: EntraRefusal,
  facts: CredentialFacts,
  { clientId }: App,
  now: number,
): EntraRefusal {
  const { code, detail } = refusal;
  const remedy = remedyFor(code, facts, clientId, now);
  const words = TEXTS[`${code} ${facts.name}`] ?? detail;
  const named = `the relay's own credential "${facts.name}" is refused: ${words}`;
  return {
    ...refusal,
    type: "later",
    reply: reply(454, "4.7.0", `Temporary authentication failure: ${code}: ${named}`),
    detail: remedy === undefined ? named : `${named}; ${remedy}`,
    credential: facts.name,
  };
}

/** Where the meaning depends on the credential; by code and credential. */
const TEXTS: Readonly<Record<string, string>> = {
  "AADSTS7000222 secret": "the client secret has expired",
  "AADSTS7000222 certificate": "the certificate has expired",
  "AADSTS7000215 secret": "CLIENT_SECRET is not a secret of the app",
  "AADSTS700027 certificate": "the certificate is not registered with the app, or has ended",
} satisfies Readonly<Record<`AADSTS${number} ${CredentialName}`, string>>;

function remedyFor(
  code: string,
  { name, certificate, assertion }: CredentialFacts,
  clientId: string,
  now: number,
): string | undefined {
  switch (code) {
    case "AADSTS7000215":
    case "AADSTS7000222":
      if (name !== "secret") break;
      return `add a client secret to the app ${clientId}, and set CLIENT_SECRET to its value`;
    case "AADSTS700023":
      return "the assertion must be for the token endpoint of the app's own cloud: check AZURE_CLOUD " +
        "and AZURE_AUTHORITY_HOST";
    case "AADSTS700024":
      return endRemedy(assertion);
  }
  if (certificate !== undefined && OF_CERTIFICATE.test(code)) {
    return certificateRemedy(certificate, clientId, now);
  }
  if (assertion !== undefined && isUntrusted(code)) {
    return federationRemedy(assertion, clientId);
  }
  return undefined;
}

const OF_CERTIFICATE = /^AADSTS(?:700027|7000222|7000215)$/;

/** Whether a code says that the app has no federated credential for the assertion. */
export function isUntrusted(code: string): boolean {
  return /^AADSTS7002(?:1|1[1-3]\d?)$/.test(code);
}

/** @param assertion of another issuer, which chose its end; undefined for one of the relay's own */
function endRemedy(assertion: AssertionFacts | undefined): string {
  const compare = "compare this machine's clock with the time";
  if (assertion === undefined) return compare;
  const end = new Date(assertion.notAfter).toISOString();
  return `the assertion ends at ${end}: ${compare}, and see whether its issuer still renews it`;
}

function certificateRemedy(
  { thumbprint, sha1, notAfter }: CertificateFacts,
  clientId: string,
  now: number,
): string {
  const end = new Date(notAfter).toISOString();
  if (notAfter <= now) return `the certificate ended at ${end}: renew it, and register the new one`;
  return `upload the certificate with the thumbprint ${sha1} (SHA-256: ${thumbprint}), valid until ` +
    `${end}, to the app ${clientId}, under Certificates & secrets`;
}

function federationRemedy(
  { issuer, subject, audience, notAfter }: AssertionFacts,
  clientId: string,
): string {
  return `add a federated credential to the app ${clientId}, with issuer "${issuer}", subject ` +
    `"${subject}" and audience "${audience}" (the assertion ends at ${
      new Date(notAfter).toISOString()
    })`;
}
