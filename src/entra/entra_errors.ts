// The meaning of errors of Entra ID's token endpoint for a login: one table.
//
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes. Entra ID's documentation
// asks programs to react to `error`; the AADSTS numbers say more to a person, so they are quoted.

import { serviceCode } from "../service_text.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import type { CredentialName } from "./app_credentials.ts";

/** AADSTS numbers have seven digits at most today. */
const MAX_NUMBER = 1_000_000_000;

/** A token request that failed. */
export interface EntraRefusal {
  readonly type: "refused" | "later";
  /** 535 5.7.8 for `refused`, 454 4.7.0 for `later` (RFC 4954 §6). */
  readonly reply: Reply;
  /** Entra ID's own code, such as `AADSTS7000215`, `invalid_client` or `ECONNREFUSED`. */
  readonly code: string;
  /** For the log: what happened, and what to do about it. */
  readonly detail: string;
  /** Milliseconds that Entra ID has asked to wait, where it throttles the app. */
  readonly retryAfter?: number;
  /** The scope is the reason, so that a request for another one may succeed. */
  readonly ofScope?: boolean;
  /**
   * Entra ID has refused this credential of the relay's own: the device is not at fault, and the same
   * request is refused until an administrator does something.
   */
  readonly credential?: CredentialName;
}

export interface EntraMeaning {
  readonly temporary: boolean;
  readonly text: string;
  readonly ofScope?: boolean;
}

/** AADSTS numbers whose meaning is known. */
export const AADSTS: Readonly<Record<number, EntraMeaning>> = {
  7000215: refused("the client secret is wrong (the value is needed, not the secret's id)"),
  7000222: refused("the client secret has expired; add a new one to the app registration"),
  700016: refused("the application is not known in this tenant; check client id and tenant id"),
  700011: refused("the application is not known in this tenant; check client id and tenant id"),
  70001: refused("the application is disabled or not known"),
  7000112: refused("the application is disabled"),
  7000218: refused("the client secret is missing"),
  90002: refused("the tenant does not exist, or belongs to another cloud (AZURE_CLOUD)"),
  900023: refused("the tenant id is not valid"),
  70011: refusedScope("the scope is not valid; check GRAPH_ENDPOINT and AZURE_CLOUD"),
  500011: refusedScope("Microsoft Graph is not known in this tenant; check AZURE_CLOUD"),
  700027: refused("the certificate that signs the client assertion is not the app's, or has ended"),
  700021: refused("the client assertion is for another application"),
  700023: refused("the client assertion is for another service; check AZURE_AUTHORITY_HOST"),
  700024: refused("the client assertion has ended, or has not begun; compare the clocks"),
  70021: refused("the app has no federated credential for the assertion"),
  700211: refused("the app has no federated credential with the assertion's issuer"),
  700212: refused("the app has no federated credential with the assertion's audience"),
  700213: refused("the app has no federated credential with the assertion's subject"),
  // https://github.com/Azure/login/issues/517
  7002137: refused("the app has no federated credential with the assertion's subject"),
  7002138: refused("the app's federated credential has the subject in another case"),
  53003: refused("a Conditional Access policy blocks this application"),
  530032: refused("a Conditional Access policy blocks this application"),
  50033: later("Entra ID has a temporary fault"),
  50196: later("Entra ID sees too many token requests in a loop"),
  90006: later("Entra ID has a temporary fault"),
  90012: later("Entra ID timed out"),
  90024: later("Entra ID has a temporary fault"),
  90033: later("Entra ID has a temporary fault"),
  90055: later("Entra ID throttles this tenant"),
  90090: later("Entra ID has a temporary fault"),
};

/** The values of `error` (RFC 6749 §5.2 and Entra ID's own) that ask the client to try again. */
const TEMPORARY_ERRORS = new Set(["temporarily_unavailable", "server_error"]);

/** A response without a token. */
export interface EntraError {
  readonly status: number;
  readonly error: string | undefined;
  readonly numbers: readonly number[];
  /** Milliseconds of its Retry-After. */
  readonly retryAfter?: number | undefined;
}

/** Numbers that mean the same as status 429. */
const THROTTLED = new Set([50196, 90055]);

/**
 * Reads the body of an error response, of which nothing is taken for granted. An `error` that is not a
 * word (RFC 6749 §5.2) is left out.
 *
 * @param credentials of the request, which the response may echo
 */
export function readEntraError(
  status: number,
  body: unknown,
  credentials: readonly string[] = [],
): EntraError {
  const { error, error_codes } = (typeof body === "object" && body !== null ? body : {}) as {
    error?: unknown;
    error_codes?: unknown;
  };
  return {
    status,
    error: serviceCode(error, credentials),
    numbers: Array.isArray(error_codes)
      ? error_codes.filter((n) => Number.isSafeInteger(n) && n >= 0 && n < MAX_NUMBER)
      : [],
  };
}

export function refusalFor(answer: EntraError): EntraRefusal {
  const { status, numbers, retryAfter = 0 } = answer;
  const throttled = status === 429 || numbers.some((number) => THROTTLED.has(number));
  const refusal = meaningOf(answer);
  return throttled && retryAfter > 0 ? { ...refusal, retryAfter } : refusal;
}

function meaningOf({ status, error, numbers }: EntraError): EntraRefusal {
  const known = numbers.find((number) => AADSTS[number] !== undefined);
  const number = known ?? numbers[0];
  const code = number === undefined ? error ?? `HTTP ${status}` : `AADSTS${number}`;
  if (error === undefined) {
    // Not from Entra ID: a proxy's page, a captive portal, an overloaded front end.
    const hint = status === 404 ? "; check AZURE_AUTHORITY_HOST" : "";
    return refusal(later(`unexpected answer with status ${status}${hint}`), code);
  }
  const throttledOrBroken = status === 429 || status >= 500 || TEMPORARY_ERRORS.has(error);
  if (throttledOrBroken) return refusal(later(`Entra ID asks to try later (${error})`), code);
  if (known !== undefined) return refusal(AADSTS[known]!, code);
  return refusal(refused(`Entra ID refused the login (${error})`), code);
}

/** No response came back, or none that could be read. */
export function unreachable(code: string, message: string): EntraRefusal {
  return refusal(later(`Entra ID cannot be reached (${message})`), code);
}

/** A failure of the relay's own, before Entra ID could be asked. */
export function unasked(code: string, text: string): EntraRefusal {
  return refusal(later(text), code);
}

/** An entry names a credential of the relay's own that is not set. The device is not at fault. */
export function credentialUnset(name: CredentialName): EntraRefusal {
  const text = `the relay has no credential "${name}" of its own; set ${CREDENTIAL_SETTINGS[name]}`;
  return unasked("CREDENTIAL_UNSET", text);
}

/** What configures each of the relay's own credentials. */
export const CREDENTIAL_SETTINGS: Readonly<Record<CredentialName, string>> = {
  secret: "CLIENT_SECRET",
  certificate: "CLIENT_CERTIFICATE_FILEPATH and CLIENT_KEY_FILEPATH, or " +
    "AZURE_KEY_VAULT_CLIENT_CERT_NAME",
  "managed-identity": "MANAGED_IDENTITY_CLIENT_ID",
  "workload-identity": "AZURE_FEDERATED_TOKEN_FILE (Kubernetes does)",
};

function refusal({ temporary, text, ofScope }: EntraMeaning, code: string): EntraRefusal {
  return {
    ...(ofScope === undefined ? {} : { ofScope }),
    type: temporary ? "later" : "refused",
    reply: temporary
      ? reply(454, "4.7.0", `Temporary authentication failure: ${code}: ${text}`)
      : reply(535, "5.7.8", `Authentication failed: ${code}: ${text}`),
    code,
    detail: text,
  };
}

function refused(text: string): EntraMeaning {
  return { temporary: false, text };
}

function refusedScope(text: string): EntraMeaning {
  return { temporary: false, text, ofScope: true };
}

function later(text: string): EntraMeaning {
  return { temporary: true, text };
}
