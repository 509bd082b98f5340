// What Graph's responses mean for the client, and whether the request may be repeated: one table.
//
// Graph's mail API has Exchange's response codes in `error.code`; `error.message` is for people,
// and the relay never depends on it (https://learn.microsoft.com/graph/errors).

import { isCertificateError, isProxyRefusal } from "../connection_errors.ts";
import type { NotSent, Sent } from "../delivery/delivery.ts";
import type { HttpFailure, HttpResponse } from "../http/client.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import { asBuffer } from "../octets.ts";
import { serviceCode, serviceWords } from "../service_text.ts";

/** A row: the reply for a response of Graph. */
export interface GraphMeaning {
  readonly code: number;
  readonly enhanced: string;
  /** In an administrator's words. */
  readonly text: string;
}

/** By `error.code`, whatever the HTTP status. */
export const BY_CODE: Readonly<Record<string, GraphMeaning>> = {
  ErrorMimeContentInvalid: { code: 554, enhanced: "5.6.0", text: "the message is not valid MIME" },
  ErrorMimeContentInvalidBase64String: {
    code: 554,
    enhanced: "5.6.0",
    text: "the message is not valid MIME",
  },
  ErrorContentConversionFailed: {
    code: 554,
    enhanced: "5.6.0",
    text: "Exchange cannot convert the message",
  },
  ErrorInvalidRecipients: {
    code: 550,
    enhanced: "5.1.3",
    text: "no recipient, or one that is not valid",
  },
  ErrorInvalidSmtpAddress: { code: 550, enhanced: "5.1.3", text: "an address is not valid" },
  ErrorMessageSizeExceeded: {
    code: 552,
    enhanced: "5.2.3",
    text: "the message is larger than the mailbox may send",
  },
  ErrorAccessDenied: {
    code: 550,
    enhanced: "5.7.1",
    text: "the app may not send as this mailbox: grant Mail.Send, or put the mailbox in its scope",
  },
  ErrorSendAsDenied: {
    code: 550,
    enhanced: "5.7.1",
    text: "the From address is not the sending mailbox, which has no right to send as it",
  },
  ErrorInvalidUser: { code: 550, enhanced: "5.1.0", text: "the sender has no mailbox" },
  ResourceNotFound: { code: 550, enhanced: "5.1.0", text: "the sender has no mailbox" },
  ErrorItemNotFound: { code: 550, enhanced: "5.1.0", text: "the sender has no mailbox" },
  Request_ResourceNotFound: { code: 550, enhanced: "5.1.0", text: "the sender has no mailbox" },
  MailboxNotEnabledForRESTAPI: {
    code: 550,
    enhanced: "5.1.0",
    text: "the sender's mailbox is not in Exchange Online, or has no licence",
  },
  ErrorAccountDisabled: { code: 550, enhanced: "5.2.1", text: "the sender's account is disabled" },
  ErrorQuotaExceeded: { code: 452, enhanced: "4.2.2", text: "the sender's mailbox is full" },
  ErrorSubmissionQuotaExceeded: {
    code: 451,
    enhanced: "4.3.2",
    text: "the mailbox has sent as much as it may in a day",
  },
  NoPermissionsInAccessToken: {
    code: 550,
    enhanced: "5.7.1",
    text: "the app has no application permission: grant Mail.Send",
  },
  InvalidAuthenticationToken: { code: 451, enhanced: "4.7.0", text: "Graph refused the token" },
  ApplicationThrottled: { code: 451, enhanced: "4.3.2", text: "Graph throttles this mailbox" },
  ErrorServerBusy: { code: 451, enhanced: "4.3.2", text: "Graph is busy" },
  CommandConcurrencyLimitReached: {
    code: 451,
    enhanced: "4.3.2",
    text: "Graph throttles this mailbox",
  },
  ErrorMailboxStoreUnavailable: {
    code: 451,
    enhanced: "4.3.0",
    text: "the mailbox is not available for the moment",
  },
  ErrorMailboxMoveInProgress: {
    code: 451,
    enhanced: "4.3.0",
    text: "the mailbox is being moved",
  },
  ErrorInternalServerTransientError: {
    code: 451,
    enhanced: "4.3.0",
    text: "Graph has a temporary fault",
  },
  ErrorTimeoutExpired: { code: 451, enhanced: "4.3.0", text: "Graph timed out" },
};

/** By HTTP status, if the code is unknown. */
export const BY_STATUS: Readonly<Record<number, GraphMeaning>> = {
  400: { code: 554, enhanced: "5.6.0", text: "Graph does not accept the message" },
  401: { code: 451, enhanced: "4.7.0", text: "Graph refused the token" },
  403: { code: 550, enhanced: "5.7.1", text: "the app may not send as this mailbox" },
  404: {
    code: 550,
    enhanced: "5.1.0",
    text: "the sender has no mailbox, or GRAPH_ENDPOINT is not where Graph is",
  },
  408: { code: 451, enhanced: "4.3.0", text: "the request timed out on its way" },
  409: { code: 451, enhanced: "4.3.0", text: "another program is changing the mailbox" },
  413: {
    code: 552,
    enhanced: "5.3.4",
    text: "the message is larger than Graph takes in one request",
  },
  423: { code: 451, enhanced: "4.3.0", text: "the mailbox is locked for the moment" },
  425: { code: 451, enhanced: "4.3.0", text: "Graph asks to try later" },
  429: { code: 451, enhanced: "4.3.2", text: "Graph throttles this mailbox" },
};

/** A response outside of both tables. */
export const OTHER_4XX: GraphMeaning = {
  code: 554,
  enhanced: "5.3.5",
  text: "Graph does not understand the relay's request",
};
export const OTHER: GraphMeaning = {
  code: 451,
  enhanced: "4.3.0",
  text: "Graph gave an unexpected answer",
};

/** No response; the message cannot have been sent. */
export const UNREACHABLE: GraphMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "Graph cannot be reached",
};
/** Likewise; not repeated, because a wrong certificate is not replaced while a client waits. */
export const UNTRUSTED: GraphMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "the certificate that Graph's address shows is not trusted; nothing was sent",
};
/** Likewise; not repeated, because a proxy's rules do not change meanwhile either. */
export const NO_WAY: GraphMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "the proxy does not let the relay through to Graph; nothing was sent",
};
/** Likewise, because the relay stopped and did not begin the request. */
export const STOPPING: GraphMeaning = {
  code: 451,
  enhanced: "4.3.2",
  text: "the relay is being stopped",
};
/** No clear response; the message may have been sent. */
export const AMBIGUOUS: GraphMeaning = {
  code: 451,
  enhanced: "4.4.2",
  text: "no clear answer from Graph; the message may have been sent",
};

/** As AMBIGUOUS, for a request that does not send. */
export const INTERRUPTED: GraphMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "no clear answer from Graph; the message was not sent",
};

/** The reply for a response, and whether the message may have been sent all the same. */
export interface Classification {
  readonly reply: Reply;
  readonly ambiguous: boolean;
  readonly code: string;
  readonly detail: string;
  readonly requestId?: string;
  /**
   * How the request may be repeated, because the service certainly accepted nothing: with a
   * `newToken`, or `later`. Left out if it must not be repeated.
   */
  readonly retry?: "newToken" | "later";
  /** Whether Graph itself may be down. */
  readonly outage?: boolean;
}

/** Codes about one mailbox, whatever the status: Graph works for the others. */
const OF_MAILBOX: ReadonlySet<string> = new Set([
  "ApplicationThrottled",
  "CommandConcurrencyLimitReached",
  "ErrorMailboxStoreUnavailable",
  "ErrorMailboxMoveInProgress",
]);

/**
 * Classifies an unexpected response.
 *
 * @param submits whether the request may send the message
 * @param credentials of the request, which the response may echo
 */
export function classifyResponse(
  { status, headers, body }: HttpResponse,
  submits = true,
  credentials: readonly string[] = [],
): Classification {
  const error = readError(body, credentials);
  const requestId = requestIdIn(headers, credentials);
  const code = error.code ?? `HTTP ${status}`;
  const row = tooLarge(status, error) ? BY_STATUS[413]! : meaning(status, error.code);
  const throttled = status === 429 ||
    status === 503 && (headers.has("retry-after") || row.enhanced === "4.3.2");
  // For the request that submits, anything but a refusal may come after the message was accepted.
  const ambiguous = submits && !throttled && (status < 400 || status === 408 || status >= 500);
  const text = ambiguous ? `${row.text}; the message may have been sent` : row.text;
  const retry = throttled ? "later" : status === 401 || status === 403 ? "newToken" : undefined;
  return {
    reply: reply(row.code, row.enhanced, `${code}: ${text}`),
    ambiguous,
    code,
    detail: error.message === undefined ? text : `${text} (${error.message})`,
    ...(requestId === undefined ? {} : { requestId }),
    ...(retry === undefined ? {} : { retry }),
    // A 503 is the service's, also if it asks to wait; 429 and some codes are one mailbox's.
    ...((status >= 500 || status === 408) && !OF_MAILBOX.has(code) ? { outage: true } : {}),
  };
}

/** Whether there was no connection because the service's certificate is not trusted. */
export function isUntrusted({ sent, code }: Pick<HttpFailure, "sent" | "code">): boolean {
  return !sent && isCertificateError(code);
}

/** Classifies a missing response. @param submits as for {@link classifyResponse} */
export function classifyFailure(failure: HttpFailure, submits = true): Classification {
  const { sent, code, message } = failure;
  const stopped = !sent && code === "ABORTED";
  const untrusted = isUntrusted(failure);
  const forbidden = !sent && isProxyRefusal(code);
  const row = sent
    ? (submits ? AMBIGUOUS : INTERRUPTED)
    : stopped
    ? STOPPING
    : untrusted
    ? UNTRUSTED
    : forbidden
    ? NO_WAY
    : UNREACHABLE;
  return {
    reply: reply(row.code, row.enhanced, `${code}: ${row.text}`),
    ambiguous: sent && submits,
    code,
    detail: `${row.text} (${message})`,
    ...(sent || stopped || untrusted || forbidden ? {} : { retry: "later" }),
    ...(code === "ABORTED" ? {} : { outage: true }),
  };
}

/** The relay stopped, and nothing was begun. */
export function stopped(): NotSent {
  const detail = `${STOPPING.text}; nothing was sent`;
  return {
    type: "later",
    reply: reply(STOPPING.code, STOPPING.enhanced, `STOPPING: ${detail}`),
    ambiguous: false,
    code: "STOPPING",
    detail,
  };
}

/** Graph has accepted the message. @param id the message's id in the reply */
export function sent(id: string, { headers }: Pick<HttpResponse, "headers">): Sent {
  const requestId = requestIdIn(headers);
  return {
    type: "sent",
    reply: reply(250, "2.0.0", `OK id=${id}`),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** A UUID; its length and characters leave no room for a token. */
const REQUEST_ID = /^[A-Za-z0-9-]{1,40}$/;

/** Graph's id of the request, for the log. */
function requestIdIn(
  headers: HttpResponse["headers"],
  credentials: readonly string[] = [],
): string | undefined {
  const id = serviceCode(headers.get("request-id"), credentials);
  return id !== undefined && REQUEST_ID.test(id) ? id : undefined;
}

/** The message's outcome. */
export function outcomeOf(classification: Classification): NotSent {
  const { retry: _, ...rest } = classification;
  return { ...rest, type: classification.reply.code < 500 ? "later" : "refused" };
}

function meaning(status: number, code: string | undefined): GraphMeaning {
  const known = code !== undefined && Object.hasOwn(BY_CODE, code) ? BY_CODE[code] : undefined;
  // 5yz only for a certain refusal: for a 5xx status, the client would give up on a temporary
  // fault; for a status below 400 or 408, on a message that may have been sent.
  const refused = status >= 400 && status < 500 && status !== 408;
  if (known !== undefined && (refused || known.code < 500)) return known;
  return BY_STATUS[status] ?? (status >= 400 && status < 500 ? OTHER_4XX : OTHER);
}

/** The request limit causes a 413, or a 400 that only its message distinguishes. */
function tooLarge(status: number, { code, message }: GraphError): boolean {
  return status === 400 && (code === undefined || code === "BadRequest") &&
    /maximum request length/i.test(message ?? "");
}

interface GraphError {
  readonly code: string | undefined;
  readonly message: string | undefined;
}

/** Leaves out a malformed code, and credentials in the message. */
function readError(body: Uint8Array, credentials: readonly string[]): GraphError {
  try {
    const text = asBuffer(body).toString("utf8");
    const error = (JSON.parse(text) as { error?: { code?: unknown; message?: unknown } }).error;
    return {
      code: serviceCode(error?.code, credentials),
      message: serviceWords(error?.message, credentials),
    };
  } catch {
    // HTML from a proxy, or nothing.
    return { code: undefined, message: undefined };
  }
}
