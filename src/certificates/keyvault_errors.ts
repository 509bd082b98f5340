// What an error of Key Vault means: one line for the administrator.
// https://learn.microsoft.com/azure/key-vault/general/common-error-codes

import { serviceCode, serviceWords } from "../service_text.ts";
import type { CertificateTrouble } from "./certificate.ts";

/** The fields of an error of the SDK, its transport or its credential that are used here. */
interface SdkError {
  readonly name?: string;
  readonly message?: string;
  readonly code?: string;
  readonly statusCode?: number;
  readonly details?: {
    readonly error?: {
      readonly code?: string;
      readonly message?: string;
      readonly innerError?: { readonly code?: string };
    };
  };
}

/** Names of the errors that a credential throws: `@azure/identity`, errors.ts. */
const NO_TOKEN = new Set([
  "AuthenticationError",
  "AggregateAuthenticationError",
  "AuthenticationRequiredError",
  "CredentialUnavailableError",
]);
const ROLE = 'give the relay\'s identity the role "Key Vault Secrets User" there ' +
  "(it takes effect after some minutes)";
const LONGEST = 300;

/**
 * @param name of the certificate
 * @param late the timeout's message, where the request timed out
 * @param setting that names the certificate
 * @returns the end of a line, without anything that was sent
 */
export function explainVault(
  error: unknown,
  name: string,
  late?: string,
  setting = "AZURE_KEY_VAULT_CERT_NAME",
): string {
  const { name: kind = "", message = "", statusCode, details } = error as SdkError;
  const code = serviceCode((error as SdkError).code);
  if (late !== undefined) return late;
  if (NO_TOKEN.has(kind)) {
    return `the relay's own identity gets no token for it: ${noToken(kind, message)}`;
  }
  if (message.startsWith("The challenge ")) {
    return "the server there is not a Key Vault of that name: check AZURE_KEY_VAULT_URL";
  }
  if (statusCode === undefined) {
    return `it cannot be reached: ${
      code === undefined ? words(message) : `${code}: ${words(message)}`
    }`;
  }
  const inner = serviceCode(details?.error?.innerError?.code);
  const said = inner ?? serviceCode(details?.error?.code) ?? `HTTP ${statusCode}`;
  if (statusCode === 404) return `it has no certificate "${name}": check ${setting} (${said})`;
  return `${meaning(statusCode, inner, name, words(details?.error?.message ?? ""))} (${said})`;
}

/** The same for programs. */
export function troubleOf(error: unknown, late?: string): CertificateTrouble {
  const { name: kind = "", message = "", statusCode, details } = error as SdkError;
  if (late !== undefined) return "unreachable";
  if (NO_TOKEN.has(kind)) return "identity";
  if (message.startsWith("The challenge ")) return "foreign";
  switch (statusCode) {
    case undefined:
      return "unreachable";
    case 401:
      return "identity";
    case 404:
      return "absent";
    case 403: {
      const inner = details?.error?.innerError?.code;
      if (inner === "SecretDisabled") return "disabled";
      return /^ForbiddenBy(?:Firewall|Connection)$/.test(inner ?? "") ? "firewall" : "forbidden";
    }
    default:
      return "refused";
  }
}

/** Entra ID's own message, out of the SDK's longer one. */
function noToken(kind: string, message: string): string {
  const said = /\bAADSTS\d+: [^]*/.exec(message)?.[0];
  if (said !== undefined) return words(said);
  if (message.includes("network_error")) return "Entra ID cannot be reached (AZURE_AUTHORITY_HOST)";
  return kind === "AggregateAuthenticationError" || kind === "CredentialUnavailableError"
    ? `no identity was found: ${words(message)}`
    : words(message);
}

function meaning(
  status: number,
  inner: string | undefined,
  name: string,
  message: string,
): string {
  if (status === 403) {
    switch (inner) {
      case "SecretDisabled":
        return `the current version of "${name}" is disabled: enable it, or make a new one`;
      case "ForbiddenByFirewall":
      case "ForbiddenByConnection":
        return "its firewall blocks this machine: see the vault's page Networking";
      case "AccessDenied":
      case "ForbiddenByPolicy":
        return `it does not hand out "${name}": its access policy must let the relay's identity ` +
          "get secrets";
      default:
        return `it does not hand out "${name}": ${ROLE}`;
    }
  }
  if (status === 401) {
    return "it does not accept the relay's identity: vault and identity must be of one tenant, " +
      `and AZURE_CLOUD the vault's cloud: ${message}`;
  }
  if (status === 429) return "it throttles: it has had too many requests";
  return `it answers with HTTP ${status}${message === "" ? "" : `: ${message}`}`;
}

/** In one line, without the trace id. */
function words(message: unknown): string {
  const line = (serviceWords(message) ?? "").replace(/ ?Trace ID: .*$/, "").trim();
  return line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line;
}
