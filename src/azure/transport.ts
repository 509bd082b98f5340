// The Azure SDKs over the relay's HTTP client: the table, the vault and their tokens use the same
// authorities, proxy and deadlines as everything else.
//
// The SDKs' own client is `node:https`, which ignores EXTRA_CA_CERTS_FILEPATH and, on some
// runtimes, NODE_EXTRA_CA_CERTS.

import { Buffer } from "node:buffer";
import { Readable } from "node:stream";
import type {
  HttpClient as PipelineClient,
  PipelineRequest,
  PipelineResponse,
  PipelineRetryOptions,
  ProxySettings,
} from "@azure/core-rest-pipeline";
import type { HttpClient, HttpFailure, HttpResponse, RequestBody } from "../http/client.ts";
import { asBuffer } from "../octets.ts";
import { serviceCode, withoutCredentials } from "../service_text.ts";

/** Milliseconds for a request for which the SDK sets no timeout. */
const TIMEOUT = 10_000;
/** A page of a thousand table entries has at most 4 MiB; as JSON it can be larger. */
const MAX_RESPONSE = 16 * 1024 * 1024;

/**
 * How often an SDK's pipeline retries, for the `retryOptions` of its clients. A login waits meanwhile:
 * with the SDKs' default of three retries, five seconds for a refused connection. One retry is useful,
 * because the service may have closed a kept-alive connection.
 */
export const AZURE_RETRIES = {
  maxRetries: 1,
  retryDelayInMs: 200,
  maxRetryDelayInMs: 1000,
} as const;

/**
 * The options that every client of an SDK is created with.
 *
 * @param origin the only origin that requests may go to, even if a response names others: a table and a
 *   vault have one address. Left out for identities, whose hosts the SDK knows.
 * @example new TableClient(url, name, credential, azureClientOptions(http, url.origin))
 */
export function azureClientOptions(
  http: Pick<HttpClient, "request">,
  origin?: string,
): AzureClientOptions {
  return {
    httpClient: azureTransport(http, origin),
    retryOptions: { ...AZURE_RETRIES },
    proxyOptions: { ...NO_SDK_PROXY },
  };
}

export interface AzureClientOptions {
  httpClient: PipelineClient;
  retryOptions: PipelineRetryOptions;
  proxyOptions: ProxySettings;
}

/**
 * Never used, because the transport has its own proxy. Without this option, the SDKs read HTTPS_PROXY,
 * HTTP_PROXY and ALL_PROXY, and creating a client fails if one of them is not a URL (`10.0.0.1:3128`).
 */
const NO_SDK_PROXY = { host: "http://proxy.invalid", port: 80 } as const;

/** Header fields that the HTTP client sets, and those that ask for features it does not have. */
const OWN_FIELDS = new Set([
  "host",
  "content-length",
  "connection",
  "transfer-encoding",
  "accept-encoding",
  "expect",
]);
/** Methods that send `Content-Length: 0` when they have no body (RFC 9110 §8.6). */
const WITH_BODY = new Set(["POST", "PUT", "PATCH"]);

/**
 * The `httpClient` option of an SDK's clients.
 *
 * Failures are `RestError`s with the HTTP client's codes (see {@link HttpFailure}). The SDKs retry after
 * `ECONNREFUSED`, `ECONNRESET` and `ENOTFOUND`. A request that timed out is not retried: it fails with
 * `TIMEOUT`, or with an `AbortError` if the SDK itself set the timeout.
 */
export function azureTransport(
  http: Pick<HttpClient, "request">,
  origin?: string,
): PipelineClient {
  return { sendRequest: (request) => send(http, request, origin) };
}

async function send(
  http: Pick<HttpClient, "request">,
  request: PipelineRequest,
  origin: string | undefined,
): Promise<PipelineResponse> {
  // The SDK that sends the request has loaded this already.
  const { createHttpHeaders, RestError } = await import("@azure/core-rest-pipeline");
  const refuse = (code: string, message: string) => new RestError(message, { code });
  const url = new URL(request.url);
  if (url.protocol !== "https:" && !request.allowInsecureConnection) {
    throw refuse("INSECURE", `${url.origin} is not https`);
  }
  if (origin !== undefined && url.origin !== origin) {
    throw refuse("ELSEWHERE", `${url.origin} is not ${origin}`);
  }
  const body = bodyOf(request);
  if (body === "unknown") {
    throw refuse("UNSUPPORTED_BODY", "only text and octets can be sent, no streams or forms");
  }
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) {
    if (!OWN_FIELDS.has(name.toLowerCase())) headers[name] = value;
  }
  const signal = request.abortSignal as AbortSignal | undefined;
  const result = await http.request({
    method: request.method,
    url,
    headers,
    ...(body === undefined ? {} : { body }),
    timeout: request.timeout > 0 ? request.timeout : TIMEOUT,
    maxResponse: MAX_RESPONSE,
    ...(signal === undefined ? {} : { signal }),
  });
  if (result.type === "failure") throw errorFor(result, request, refuse);
  const fields = fieldsOf(result);
  if (isStreamed(request, result.status)) {
    const readableStreamBody = Readable.from([result.body], { objectMode: false });
    return {
      request,
      status: result.status,
      headers: createHttpHeaders(fields),
      readableStreamBody,
    };
  }
  let bodyAsText = asBuffer(result.body).toString("utf8");
  if (result.status >= 400) {
    // The SDKs turn these into an error's code and message, which are logged.
    const credentials = credentialsIn(request);
    bodyAsText = withoutCredentials(bodyAsText, credentials);
    const code = serviceCode(fields[ERROR_CODE], credentials);
    if (code === undefined) delete fields[ERROR_CODE];
  }
  return { request, status: result.status, headers: createHttpHeaders(fields), bodyAsText };
}

/** Whether the SDK wants octets instead of text: a blob. An error's body is text. */
function isStreamed(
  { streamResponseStatusCodes: codes }: PipelineRequest,
  status: number,
): boolean {
  return status < 300 && (codes?.has(status) || codes?.has(Number.POSITIVE_INFINITY)) === true;
}

/** Removes Location from a redirect (RFC 9110 §15.4): the pipeline would follow it, with a new token. */
function fieldsOf({ status, headers }: HttpResponse): Record<string, string> {
  const fields = Object.fromEntries(headers);
  if (status >= 300 && status < 400) delete fields["location"];
  return fields;
}

/** https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2 */
const ERROR_CODE = "x-ms-error-code";

/** Fields of a form that are credentials (RFC 6749 §2.3.1, RFC 7521 §4.2). */
const CREDENTIAL_FIELDS = ["client_secret", "client_assertion", "assertion", "refresh_token"];

/** The credentials of a request, which a service could echo: its token or key, secret, signature. */
function credentialsIn({ url, headers, body }: PipelineRequest): readonly string[] {
  const authorization = headers.get("authorization") ?? "";
  const found = [authorization.slice(authorization.lastIndexOf(" ") + 1)];
  const signature = new URL(url).searchParams.get("sig");
  if (signature !== null) found.push(signature);
  if (typeof body === "string") {
    const form = new URLSearchParams(body);
    for (const name of CREDENTIAL_FIELDS) found.push(form.get(name) ?? "");
  }
  return found;
}

/** The error does not contain the request, whose header has a token. */
function errorFor(
  { code, message }: HttpFailure,
  { abortSignal, timeout }: PipelineRequest,
  refuse: (code: string, message: string) => Error,
): Error {
  const late = code === "ETIMEDOUT";
  if (abortSignal?.aborted || (late && timeout > 0)) {
    return Object.assign(new Error(message), { name: "AbortError" });
  }
  // The SDK retries after this code, which is safe: nothing has been sent.
  if (code === "UNASKED") return refuse("ECONNRESET", message);
  return refuse(late ? "TIMEOUT" : code, message);
}

function bodyOf({ body, method }: PipelineRequest): RequestBody | undefined | "unknown" {
  if (body === undefined || body === null) {
    return WITH_BODY.has(method) ? { length: 0, parts: () => [] } : undefined;
  }
  let octets: Uint8Array;
  if (typeof body === "string") octets = Buffer.from(body, "utf8");
  else if (body instanceof ArrayBuffer) octets = new Uint8Array(body);
  else if (ArrayBuffer.isView(body)) {
    octets = new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  } else return "unknown";
  return { length: octets.length, parts: () => [octets] };
}
