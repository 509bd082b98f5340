// What the storage services' errors mean.
// https://learn.microsoft.com/rest/api/storageservices/common-rest-api-error-codes

import type { Clock } from "../../clock.ts";
import { serviceCode } from "../../service_text.ts";
import { StoreError } from "../store.ts";

/** With the status of the response, where there was one. */
export class ServiceError extends StoreError {
  readonly status: number | undefined;

  constructor(code: string, message: string, status: number | undefined) {
    super(code, message);
    this.status = status;
  }
}

/** One of the two services of the account. */
export interface Service {
  /** Host name, for people. */
  readonly host: string;
  /** The role that an identity needs. */
  readonly role: string;
}

export const BLOB_ROLE = "Storage Blob Data Contributor";
export const QUEUE_ROLE = "Storage Queue Data Contributor";

/** After these codes, nothing is known to be wrong with the request, and it may succeed again. */
const PASSING = new Set([
  "EAI_AGAIN",
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EPIPE",
  "TRUNCATED",
]);
/** Names of the errors that `@azure/identity` throws. */
const IDENTITY_ERROR =
  /^(?:CredentialUnavailableError|AuthenticationError|AggregateAuthenticationError|AuthenticationRequiredError)$/;
/** Milliseconds before a request is sent for the second time; at random from half of it. */
const PAUSE = 400;

/**
 * Sends a request that may be repeated, and repeats it once where that may help: a client waits meanwhile,
 * and everything else is tried again by the queue.
 *
 * @param request gets the number of the try, from 0
 * @throws ServiceError
 */
export async function repeated<T>(
  service: Service,
  clock: Pick<Clock, "sleep" | "random">,
  request: (again: number) => Promise<T>,
): Promise<T> {
  try {
    return await once(service, () => request(0));
  } catch (error) {
    const { code, status } = error as ServiceError;
    const passing = status === undefined ? PASSING.has(code) : status === 500 || status === 503;
    if (!passing) throw error;
  }
  await clock.sleep(PAUSE / 2 + clock.random() * PAUSE / 2);
  return await once(service, () => request(1));
}

/**
 * Creates a container or a queue if it does not exist. An identity or a signature may be allowed to use it, but
 * not to create it.
 *
 * @param use a request that it takes to exist
 * @throws ServiceError
 */
export async function created(
  service: Service,
  clock: Pick<Clock, "sleep" | "random">,
  create: () => Promise<unknown>,
  use: () => Promise<unknown>,
): Promise<void> {
  try {
    await repeated(service, clock, create);
  } catch (error) {
    if ((error as ServiceError).status !== 403) throw error;
    await once(service, use).catch((second: ServiceError) => {
      throw second.status === 404 ? error : second;
    });
  }
}

/** @throws ServiceError */
export async function once<T>(service: Service, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    throw serviceError(service, error);
  }
}

function serviceError({ host, role }: Service, error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  const { status, code, name } = factsOf(error);
  if (IDENTITY_ERROR.test(name)) {
    const said = /AADSTS\d{1,9}/.exec(String((error as Error).message))?.[0];
    const problem = `the relay's own identity got no token for ${host}`;
    return new ServiceError(said ?? "NO_IDENTITY", `${problem}: ${said ?? name}`, undefined);
  }
  if (status !== undefined) {
    const known = code ?? `HTTP ${status}`;
    return new ServiceError(
      known,
      `${host} says ${known}${adviceFor(status, known, role)}`,
      status,
    );
  }
  if (name === "AbortError" || code === "TIMEOUT") {
    return new ServiceError("ETIMEDOUT", `${host} did not answer in time`, undefined);
  }
  if (code !== undefined) {
    return new ServiceError(code, `${host} cannot be reached: ${code}`, undefined);
  }
  return new ServiceError(name, `${host}: the request failed: ${name}`, undefined);
}

function adviceFor(status: number, code: string, role: string): string {
  if (code === "AuthenticationFailed") {
    return ": check QUEUE_CONNECTION_STRING (is the key that account's, has the signature run out?) " +
      "and the relay's clock";
  }
  if (code === "KeyBasedAuthenticationNotPermitted") {
    return ": the account does not allow keys; unset QUEUE_CONNECTION_STRING, so that the relay's " +
      "identity is used";
  }
  if (status === 401 || status === 403) {
    return `: give the relay's identity the role "${role}" (or the shared access signature its ` +
      "rights), and see that the account's firewall lets the relay in";
  }
  if (code === "ContainerBeingDeleted" || code === "QueueBeingDeleted") {
    return ": it was just deleted; the relay can create it again in about a minute";
  }
  if (code === "InvalidHeaderValue") {
    return ": it may not know the version of the API; start Azurite with --skipApiVersionCheck";
  }
  if (status === 404) return ": check QUEUE_URL";
  if (status === 503 || status === 429) return ": it is busy and throttles the relay";
  return "";
}

interface Facts {
  readonly name: string;
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
    details?: { errorCode?: unknown; code?: unknown };
    response?: { headers?: { get(name: string): string | undefined } };
  };
  const codes = [
    response?.headers?.get("x-ms-error-code"),
    details?.errorCode,
    details?.code,
    code,
  ];
  return {
    name: serviceCode(name) ?? "Error",
    status: typeof statusCode === "number" ? statusCode : undefined,
    // A service's code is quoted, so its form is checked.
    code: codes.map((code) => serviceCode(code)).find((code) => code !== undefined),
  };
}
