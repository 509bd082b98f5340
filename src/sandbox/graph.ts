// An imitation of the part of Graph that sends mail in MIME mode: sendMail, drafts, attachments, upload
// sessions, and the search for what was sent. Strict about what the real one refuses, including its limit of concurrent requests.
// https://learn.microsoft.com/graph/api/user-sendmail

import { randomUUID } from "node:crypto";
import { type Context, Hono } from "hono";
import type { IssuedToken } from "./entra.ts";
import { faultResponse, pause } from "./fault_responses.ts";
import type { Fault } from "./faults.ts";
import {
  ACCESS_DENIED,
  errorBody,
  MESSAGE_TOO_LARGE,
  type Refusal,
  refusal,
  refuse,
  REQUEST_TOO_LARGE,
} from "./graph/refusals.ts";
import { discardBody, readBody, REQUEST_LIMIT } from "./graph/body.ts";
import {
  attach,
  createDraft,
  deleteMessage,
  messageLimit,
  sendDraft,
} from "./graph/draft_routes.ts";
import { Drafts } from "./graph/drafts.ts";
import { findMessages, getMessage, READING_ROLES } from "./graph/message_routes.ts";
import { decodeMime, recipientsOf, senderRefusal } from "./graph/mime_rules.ts";
import type { GraphOperation, GraphOptions, MailboxRequest } from "./graph/options.ts";
import { SentItems } from "./graph/sent_items.ts";
import { Throttle, throttleKey } from "./graph/throttle.ts";
import { cancelUpload, createUploadSession, uploadChunk, uploadStatus } from "./graph/uploads.ts";

export { REQUEST_LIMIT } from "./graph/body.ts";
export { LARGEST_UPLOAD, SMALLEST_UPLOAD } from "./graph/uploads.ts";
export type { AcceptedMessage, GraphOperation, GraphOptions } from "./graph/options.ts";

type Handler = (request: MailboxRequest) => Response | Promise<Response>;

export class SandboxGraph {
  readonly routes = new Hono();
  readonly #options: GraphOptions;
  readonly #drafts: Drafts;
  readonly #sent = new SentItems();
  readonly #throttle: Throttle;
  readonly #counts = new Map<GraphOperation, number>();
  #inFlight = 0;
  #mostInFlight = 0;
  #authorizedUploads = 0;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.#drafts = new Drafts(options);
    this.#throttle = new Throttle(options.concurrency ?? 4);
    const drafts = this.#drafts;
    const sent = this.#sent;

    const user = "/v1.0/users/:mailbox";
    const message = `${user}/messages/:id`;
    this.#serve(`${user}/sendMail`, "sendMail", "Mail.Send", (asked) => this.#sendMail(asked));
    this.#read(
      `${user}/messages`,
      "findMessages",
      (asked) => findMessages(asked, { drafts, sent }),
    );
    this.#read(message, "getMessage", (asked) => getMessage(asked, { drafts, sent }));
    this.#serve(
      `${user}/messages`,
      "createDraft",
      "Mail.ReadWrite",
      (asked) => createDraft(asked, drafts),
    );
    this.#serve(
      `${message}/attachments`,
      "attach",
      "Mail.ReadWrite",
      (asked) => attach(asked, drafts, options),
    );
    this.#serve(
      `${message}/attachments/createUploadSession`,
      "createUploadSession",
      "Mail.ReadWrite",
      (asked) => createUploadSession(asked, drafts, options),
    );
    this.#serve(
      `${message}/send`,
      "sendDraft",
      "Mail.Send",
      (asked) => sendDraft(asked, drafts, sent, options),
    );
    this.routes.delete(message, (context) =>
      this.#rehearsed(
        context,
        "deleteDraft",
        (hidden) =>
          this.#authorized(
            context,
            "DELETE",
            ["Mail.ReadWrite"],
            (asked) => deleteMessage(asked, drafts, sent),
            hidden,
          ),
      ));
    this.routes.all("/upload/:id", (context) => this.#upload(context));
    // An application has no "me"; a request without a token is refused before it gets here.
    this.routes.get("/v1.0/me", (context) => refuse(context, NO_TOKEN));
    this.routes.onError((error, context) => {
      // A client that disconnects during its request is not a fault of the imitation.
      if ((error as NodeJS.ErrnoException).code !== "ECONNRESET") console.error(error);
      return refuse(context, refusal(500, "ErrorInternalServerError", "The imitation failed."));
    });
    this.routes.notFound((context) =>
      refuse(context, refusal(400, "BadRequest", "Resource not found for the segment."))
    );
  }

  /** sendMail requests seen. */
  get requests(): number {
    return this.count("sendMail");
  }

  /** Requests for one operation seen, including refused ones. */
  count(operation: GraphOperation): number {
    return this.#counts.get(operation) ?? 0;
  }

  /** The most requests at the same time so far. */
  get mostInFlight(): number {
    return this.#mostInFlight;
  }

  /** The most requests of one app to one mailbox at the same time so far. */
  get mostPerMailbox(): number {
    return this.#throttle.most;
  }

  /** Requests that got 429 because they exceeded the limit for their app and mailbox. */
  get throttled(): number {
    return this.#throttle.refused;
  }

  /** Requests to an upload URL with an Authorization header, which must never happen. */
  get authorizedUploads(): number {
    return this.#authorizedUploads;
  }

  /** Drafts that are neither sent nor deleted. */
  get drafts(): number {
    return this.#drafts.size;
  }

  #serve(path: string, operation: GraphOperation, role: string, handle: Handler): void {
    this.routes.all(path, (context) =>
      this.#rehearsed(
        context,
        operation,
        (hidden) => this.#authorized(context, "POST", [role], handle, hidden),
      ));
  }

  #read(path: string, operation: GraphOperation, handle: Handler): void {
    this.routes.get(path, (context) =>
      this.#rehearsed(
        context,
        operation,
        (hidden) => this.#authorized(context, "GET", READING_ROLES, handle, hidden),
      ));
  }

  /** Counts a request, enforces the limit, and carries out scripted faults. */
  async #rehearsed(
    context: Context,
    operation: GraphOperation,
    carryOut: (hidden: number) => Response | Promise<Response>,
    key = this.#keyOf(context),
  ): Promise<Response> {
    const { delay = 0, faults, intercept, retryAfter = 1 } = this.#options;
    this.#counts.set(operation, this.count(operation) + 1);
    this.#mostInFlight = Math.max(this.#mostInFlight, ++this.#inFlight);
    const leave = key === undefined ? () => {} : this.#throttle.enter(key);
    try {
      if (leave === undefined) {
        await discardBody(context);
        return refuse(context, OVER_CONCURRENCY, { "Retry-After": String(retryAfter) });
      }
      const fault = faults?.take(operation);
      if (fault?.after === "head") return await faultResponse(context, fault, graphError);
      if (fault !== undefined && fault.after !== "take") {
        await discardBody(context);
        return await faultResponse(context, fault, graphError);
      }
      const response = await intercept?.(context, operation) ?? await carryOut(fault?.hidden ?? 0);
      // A refusal stays as it is: nothing was accepted.
      if (fault !== undefined && response.ok) {
        return await faultResponse(context, fault, graphError);
      }
      await pause(delay);
      return response;
    } finally {
      leave?.();
      this.#inFlight--;
    }
  }

  #keyOf(context: Context): string | undefined {
    const token = this.#tokenOf(context);
    return token && throttleKey(token.client, context.req.param("mailbox") ?? "");
  }

  #tokenOf(context: Context): IssuedToken | undefined {
    const bearer = /^Bearer ([\w.~+/=-]+)$/.exec(context.req.header("authorization") ?? "")?.[1];
    const token = bearer === undefined ? undefined : this.#options.verify(bearer);
    return token !== undefined && isFor(token, context.req.url) ? token : undefined;
  }

  async #authorized(
    context: Context,
    method: string,
    roles: readonly string[],
    handle: Handler,
    hidden: number,
  ): Promise<Response> {
    const { hasMailbox = looksLikeMailbox } = this.#options;
    const body = await readBody(context, REQUEST_LIMIT);
    if (context.req.method !== method) return refuse(context, WRONG_METHOD);
    const token = this.#tokenOf(context);
    if (token === undefined) return refuse(context, NO_TOKEN);
    if (!roles.some((role) => token.roles.includes(role))) return refuse(context, ACCESS_DENIED);
    if (body === undefined) return refuse(context, REQUEST_TOO_LARGE);
    const mailbox = context.req.param("mailbox") ?? "";
    if (!hasMailbox(mailbox)) {
      const text = `The requested user '${mailbox}' is invalid.`;
      return refuse(context, refusal(404, "ErrorInvalidUser", text));
    }
    return handle({ context, mailbox, token, body, hidden });
  }

  async #sendMail({ context, mailbox, body, hidden }: MailboxRequest): Promise<Response> {
    const raw = decodeMime(context.req.header("content-type"), body);
    if ("code" in raw) return refuse(context, raw);
    const recipients = recipientsOf(raw);
    if ("code" in recipients) return refuse(context, recipients);
    const denied = senderRefusal(raw);
    if (denied !== undefined) return refuse(context, denied);
    if (raw.length > messageLimit(this.#options)) return refuse(context, MESSAGE_TOO_LARGE);
    const clientRequestId = context.req.header("client-request-id");
    await this.#options.deliver({ mailbox, raw, recipients, uploads: [], clientRequestId });
    this.#sent.add({ mailbox, raw }, hidden);
    return context.body(null, 202, { "request-id": randomUUID() });
  }

  /** The URL alone authorises: an Authorization header is refused, because the documentation forbids it. */
  #upload(context: Context): Response | Promise<Response> {
    const { req } = context;
    const operation = UPLOAD_METHODS[req.method];
    if (operation === undefined) return refuse(context, WRONG_METHOD);
    const upload = this.#drafts.findUpload(req.param("id") ?? "", req.query("authtoken"));
    const key = upload && throttleKey(upload.client, upload.draft.mailbox);
    return this.#rehearsed(context, operation, async () => {
      if (req.header("authorization") !== undefined) {
        this.#authorizedUploads++;
        await discardBody(context);
        return refuse(context, UNWANTED_TOKEN);
      }
      if (operation === "uploadStatus") return uploadStatus(context, upload);
      if (operation === "cancelUpload") return cancelUpload(context, upload, this.#drafts);
      return await uploadChunk(context, upload, this.#drafts, this.#options);
    }, key);
  }
}

const UPLOAD_METHODS: Readonly<Record<string, GraphOperation>> = {
  PUT: "uploadChunk",
  GET: "uploadStatus",
  DELETE: "cancelUpload",
};

const OVER_CONCURRENCY = refusal(
  429,
  "ApplicationThrottled",
  "Application is over its MailboxConcurrency limit.",
);
const WRONG_METHOD = refusal(405, "Request_BadRequest", "Specified HTTP method is not allowed.");
const NO_TOKEN = refusal(
  401,
  "InvalidAuthenticationToken",
  "Access token is empty, unknown or expired.",
);
const UNWANTED_TOKEN: Refusal = refusal(
  401,
  "InvalidAuthenticationToken",
  "The upload URL is authenticated by itself: an Authorization header is not allowed.",
);

function graphError(
  { status = 503, code = CODES[status] ?? "UnknownError", message = "A scripted fault." }: Fault,
  requestId: string,
): object {
  return errorBody(code, message, requestId);
}

/** Graph's most frequent code for each status; a fault's `code` overrides it. */
const CODES: Readonly<Record<number, string>> = {
  401: "InvalidAuthenticationToken",
  403: "ErrorAccessDenied",
  404: "ErrorItemNotFound",
  429: "ApplicationThrottled",
  500: "ErrorInternalServerError",
  503: "ErrorServerBusy",
};

/** `nobody@…` has no mailbox, so that the response for an unknown mailbox can be rehearsed. */
function looksLikeMailbox(mailbox: string): boolean {
  if (/^nobody@/i.test(mailbox)) return false;
  return /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(mailbox) || /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(mailbox);
}

/** Whether the token is for Graph: under the imitation's host, or under the real one. */
function isFor({ audience }: IssuedToken, url: string): boolean {
  return [new URL(url).host, "graph.microsoft.com"].includes(new URL(audience).host);
}
