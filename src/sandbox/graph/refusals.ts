// The imitated Graph's refusals.
// https://learn.microsoft.com/graph/errors

import { randomUUID } from "node:crypto";
import type { Context } from "hono";

/** A refusal, from which {@link refuse} makes the response. */
export interface Refusal {
  readonly status: 400 | 401 | 403 | 404 | 405 | 413 | 416 | 429 | 500 | 503;
  readonly code: string;
  readonly message: string;
}

export function refusal(status: Refusal["status"], code: string, message: string): Refusal {
  return { status, code, message };
}

export const ACCESS_DENIED = refusal(
  403,
  "ErrorAccessDenied",
  "Access is denied. Check credentials and try again.",
);

export const REQUEST_TOO_LARGE = refusal(
  413,
  "RequestEntityTooLarge",
  "The maximum request length supported is 4MB.",
);

export const NO_SUCH_ITEM = refusal(
  404,
  "ErrorItemNotFound",
  "The specified object was not found in the store.",
);

/** The code as reported (microsoft-graph-docs-contrib#2561); the status is not documented. */
export const MESSAGE_TOO_LARGE = refusal(
  413,
  "ErrorMessageSizeExceeded",
  "The message exceeds the maximum supported size.",
);

/** Graph's form of an error, with a request id in the body and in the header. */
export function refuse(
  context: Context,
  { status, code, message }: Refusal,
  headers: Readonly<Record<string, string>> = {},
): Response {
  const id = randomUUID();
  return context.json(errorBody(code, message, id), status, { "request-id": id, ...headers });
}

export function errorBody(code: string, message: string, requestId: string): object {
  const innerError = { date: new Date().toISOString(), "request-id": requestId };
  return { error: { code, message, innerError } };
}
