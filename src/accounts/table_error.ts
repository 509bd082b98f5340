// The meaning of the table service's errors, and advice for them: one table.
// https://learn.microsoft.com/rest/api/storageservices/table-service-error-codes

import type { PipelineResponse } from "@azure/core-rest-pipeline";
import { serviceCode, serviceWords } from "../service_text.ts";
import type { Explanation, TableTrouble } from "./entry_source.ts";

const REFUSED = "access to the table is refused";

/** Meanings by the service's own code. */
export const TABLE_TROUBLE: Readonly<Record<string, Explanation>> = {
  TableNotFound: {
    problem: "the table does not exist",
    advice: "check the name at the end of AZURE_TABLES_URL",
  },
  TableBeingDeleted: { problem: "the table is being deleted" },
  AuthenticationFailed: refused(
    "check AZURE_TABLES_CONNECTION_STRING (is the key that account's, has the signature run out?) " +
      "and the relay's clock",
  ),
  AuthorizationFailure: refused(
    "check AZURE_TABLES_CONNECTION_STRING (its key, or its signature's rights), and whether the " +
      "storage account's firewall lets the relay in",
  ),
  AuthorizationPermissionMismatch: refused(
    "give the relay's identity the role Storage Table Data Reader (Contributor to change " +
      "entries), or the shared access signature that right",
  ),
  InsufficientAccountPermissions: refusedAs("the shared access signature lacks a right"),
  AuthorizationResourceTypeMismatch: refusedAs(
    "the shared access signature must allow objects and the table service",
  ),
  KeyBasedAuthenticationNotPermitted: {
    problem: "the storage account does not allow keys",
    advice: "unset AZURE_TABLES_CONNECTION_STRING, so that the relay's identity is used",
  },
  InvalidAuthenticationInfo: refusedAs(
    "the relay's identity, or AZURE_TABLES_CONNECTION_STRING, is not accepted",
  ),
  NoAuthenticationInformation: refusedAs("the relay shows no identity"),
  ServerBusy: { problem: "the table service is busy" },
  OperationTimedOut: { problem: "the table service took too long" },
};

function refused(advice: string): Explanation {
  return { problem: REFUSED, advice };
}

function refusedAs(reason: string): Explanation {
  return { problem: `${REFUSED}: ${reason}` };
}

/** As one text, for replies, log and reference. */
export function explanationText({ problem, advice }: Explanation): string {
  return advice === undefined ? problem : `${problem}: ${advice}`;
}

/** Codes of a table that was deleted with all its entries. */
const GONE = new Set(["TableNotFound", "TableBeingDeleted"]);

/** Names of the errors that `@azure/identity` throws. */
const IDENTITY_ERROR =
  /^(?:CredentialUnavailableError|AuthenticationError|AggregateAuthenticationError|AuthenticationRequiredError)$/;

/** None of the sources of an identity that the SDK has tried exists. */
const NO_SOURCE = /^(?:CredentialUnavailableError|AggregateAuthenticationError)$/;

/** Codes of a query for a key that no entry can have. */
const IMPOSSIBLE_KEY = new Set(["OutOfRangeInput", "KeyValueTooLarge", "PropertyValueTooLarge"]);

/** Whether the error says that the entry does not exist. */
export function isMissingEntry(error: unknown): boolean {
  const { status, code } = factsOf(error);
  return status === 404 && code === "ResourceNotFound" ||
    status === 400 && code !== undefined && IMPOSSIBLE_KEY.has(code);
}

/** What the SDK's error means. @param timeout milliseconds that the query had */
export function classifyTableError(error: unknown, timeout: number): TableTrouble {
  const { name, status, code } = factsOf(error);
  if (IDENTITY_ERROR.test(name)) return identityTrouble(error as Error);
  if (status !== undefined) {
    const known = code ?? `HTTP ${status}`;
    const concerns = isOfQuery(status) ? "question" : "table";
    return { ...trouble(known, TABLE_TROUBLE[known] ?? byStatus(status)), concerns };
  }
  if (name === "AbortError" || code === "TIMEOUT" || code === "ETIMEDOUT") return late(timeout);
  if (code === "INSECURE") {
    return trouble(code, { problem: "the table is not asked over plain http" });
  }
  if (code !== undefined) {
    return trouble(code, {
      problem: "the table cannot be reached",
      advice: "check AZURE_TABLES_URL and the network",
    });
  }
  // An error of the SDK itself.
  const problem = serviceWords(error instanceof Error ? error.message : String(error));
  return trouble(name, { problem: problem?.slice(0, 200) ?? "the SDK does not say why" });
}

/** @param timeout milliseconds */
export function late(timeout: number): TableTrouble {
  const problem = `the table did not answer within ${Math.round(timeout / 10) / 100} s`;
  return trouble("ETIMEDOUT", { problem });
}

/** The relay's own identity got no token for the table. */
function identityTrouble(error: Error): TableTrouble {
  const said = /AADSTS\d{1,9}/.exec(error.message)?.[0];
  if (
    said === undefined && NO_SOURCE.test(error.name) &&
    !/network_error|^AuthenticationError/m.test(error.message)
  ) {
    return trouble("NO_IDENTITY", {
      problem: "no identity of the relay's own was found for the table",
      advice:
        "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, run where there is a " +
        "managed identity, or set AZURE_TABLES_CONNECTION_STRING",
    });
  }
  return trouble(said ?? serviceCode(error.name) ?? "Error", {
    problem: "the relay's own identity for the table got no token",
    advice: "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or the machine's " +
      "managed identity",
  });
}

function byStatus(status: number): Explanation {
  if (status === 401 || status === 403) {
    return refused(
      "check AZURE_TABLES_CONNECTION_STRING, or give the relay's identity the role Storage Table " +
        "Data Reader",
    );
  }
  if (status === 404) return { problem: "there is no table service at AZURE_TABLES_URL" };
  if (status === 429) return { problem: "the table service throttles the relay" };
  if (status >= 500) return { problem: "the table service has a temporary fault" };
  return {
    problem: "the table service does not understand the request",
    advice: "check AZURE_TABLES_URL",
  };
}

function trouble(code: string, explanation: Explanation): TableTrouble {
  const detail = explanationText(explanation);
  return { type: "trouble", code, detail, explanation, gone: GONE.has(code), concerns: "table" };
}

/** Statuses 4xx that are about access, the address or the load. The others are about the query. */
const OF_TABLE = new Set([401, 403, 404, 407, 408, 429]);

function isOfQuery(status: number): boolean {
  return status >= 400 && status < 500 && !OF_TABLE.has(status);
}

interface Facts {
  readonly name: string;
  /** Of the response, where there was one. */
  readonly status: number | undefined;
  /** The service's own code, or the network's. */
  readonly code: string | undefined;
}

/** What the SDK's errors hold: https://learn.microsoft.com/javascript/api/@azure/core-rest-pipeline/resterror */
function factsOf(error: unknown): Facts {
  const { name, statusCode, code, details, response } = (error ?? {}) as {
    name?: unknown;
    statusCode?: unknown;
    code?: unknown;
    details?: { odataError?: { code?: unknown } };
    response?: PipelineResponse;
  };
  const codes = [details?.odataError?.code, response?.headers.get("x-ms-error-code"), code];
  // A service's code is quoted, so its form is checked.
  const own = codes.map((code) => serviceCode(code)).find((code) => code !== undefined);
  return {
    name: serviceCode(name) ?? "Error",
    status: typeof statusCode === "number" ? statusCode : undefined,
    code: own,
  };
}
