// An imitation of Graph's sendMail in MIME mode, strict about what the real one refuses.
// https://learn.microsoft.com/graph/api/user-sendmail

import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import { type Context, Hono } from "hono";
import { addressesIn } from "../message/addresses.ts";
import { readHeader } from "../message/header.ts";
import type { IssuedToken } from "./entra.ts";

/** Octets of base64 in one request. */
export const REQUEST_LIMIT = 4 * 1024 * 1024;

export interface GraphOptions {
  verify(token: string): IssuedToken | undefined;
  /** Takes an accepted message: the mailbox it is sent from and its octets. */
  deliver(mailbox: string, raw: Uint8Array): void | Promise<void>;
  /** Whether there is such a mailbox; all well-formed addresses and object ids when left out. */
  readonly hasMailbox?: (mailbox: string) => boolean;
  /** Milliseconds from a request to its answer. */
  readonly delay?: number;
  /** Answers in place of the imitation, for rehearsing trouble. */
  readonly intercept?: (context: Context) => Response | Promise<Response> | undefined;
}

export class SandboxGraph {
  readonly routes = new Hono();
  readonly #options: GraphOptions;
  #requests = 0;
  #inFlight = 0;
  #mostInFlight = 0;

  constructor(options: GraphOptions) {
    this.#options = options;
    this.routes.all("/v1.0/users/:mailbox/sendMail", (context) => this.#counted(context));
    this.routes.notFound((context) =>
      refuse(context, 400, "BadRequest", "Resource not found for the segment.")
    );
  }

  /** sendMail requests seen. */
  get requests(): number {
    return this.#requests;
  }

  /** The most requests that have been under way at once. */
  get mostInFlight(): number {
    return this.#mostInFlight;
  }

  async #counted(context: Context): Promise<Response> {
    this.#requests++;
    this.#mostInFlight = Math.max(this.#mostInFlight, ++this.#inFlight);
    try {
      const answer = await this.#options.intercept?.(context) ?? await this.#sendMail(context);
      const { delay = 0 } = this.#options;
      if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
      return answer;
    } finally {
      this.#inFlight--;
    }
  }

  async #sendMail(context: Context): Promise<Response> {
    const { verify, deliver, hasMailbox = looksLikeMailbox } = this.#options;
    const body = Buffer.from(await context.req.arrayBuffer());
    if (context.req.method !== "POST") {
      return refuse(context, 405, "Request_BadRequest", "Specified HTTP method is not allowed.");
    }
    const bearer = /^Bearer ([\w.~+/=-]+)$/.exec(context.req.header("authorization") ?? "")?.[1];
    const token = bearer === undefined ? undefined : verify(bearer);
    if (token === undefined) {
      return refuse(
        context,
        401,
        "InvalidAuthenticationToken",
        "Access token is empty, unknown or expired.",
      );
    }
    if (!token.roles.includes("Mail.Send")) {
      return refuse(
        context,
        403,
        "ErrorAccessDenied",
        "Access is denied. Check credentials and try again.",
      );
    }
    if (body.length > REQUEST_LIMIT) {
      return refuse(
        context,
        413,
        "RequestEntityTooLarge",
        "The maximum request length supported is 4MB.",
      );
    }
    if (!/^text\/plain\b/i.test(context.req.header("content-type") ?? "")) {
      return refuse(context, 400, "BadRequest", "Unable to read JSON request payload.");
    }
    const mailbox = context.req.param("mailbox") ?? "";
    if (!hasMailbox(mailbox)) {
      return refuse(
        context,
        404,
        "ErrorInvalidUser",
        `The requested user '${mailbox}' is invalid.`,
      );
    }
    const raw = decodeBase64(body);
    if (raw === undefined) {
      return refuse(
        context,
        400,
        "ErrorMimeContentInvalidBase64String",
        "Invalid base64 string for MIME content.",
      );
    }
    const problem = mimeProblem(raw);
    if (problem !== undefined) return refuse(context, 400, problem.code, problem.message);
    await deliver(mailbox, raw);
    return context.body(null, 202, { "request-id": randomUUID() });
  }
}

function looksLikeMailbox(mailbox: string): boolean {
  return /^[^@\s]+@[^@\s]+\.[^@\s]+$/.test(mailbox) || /^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(mailbox);
}

/** Line breaks are allowed (the documentation's example has them); nothing else is forgiven. */
function decodeBase64(body: Buffer): Buffer | undefined {
  let text = body.toString("latin1");
  if (/\s/.test(text)) text = text.replace(/[\r\n]/g, "");
  if (text.length === 0 || text.length % 4 !== 0) return undefined;
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, "base64");
}

function mimeProblem(raw: Buffer): { code: string; message: string } | undefined {
  // Exchange misreads bare line feeds and returns the mail later (NDR 550 5.6.11): seen here at once.
  for (let i = raw.indexOf(10); i >= 0; i = raw.indexOf(10, i + 1)) {
    if (raw[i - 1] !== 13) {
      return { code: "ErrorMimeContentInvalid", message: "The MIME content has a bare line feed." };
    }
  }
  const { fields } = readHeader([raw]);
  const recipients = fields
    .filter(({ name }) => name === "to" || name === "cc" || name === "bcc")
    .flatMap(({ body }) => addressesIn(body.toString("utf8")));
  if (recipients.length === 0) {
    return { code: "ErrorInvalidRecipients", message: "The message contains no recipients." };
  }
  return undefined;
}

function refuse(
  context: Context,
  status: 400 | 401 | 403 | 404 | 405 | 413,
  code: string,
  message: string,
): Response {
  const id = randomUUID();
  return context.json(
    {
      error: { code, message, innerError: { date: new Date().toISOString(), "request-id": id } },
    },
    status,
    { "request-id": id },
  );
}
