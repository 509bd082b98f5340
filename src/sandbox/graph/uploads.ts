// Upload sessions of the imitated Graph, for attachments of 3 to 150 MB.
// https://learn.microsoft.com/graph/outlook-large-attachments
// https://learn.microsoft.com/graph/api/attachment-createuploadsession

import { randomUUID } from "node:crypto";
import type { Context } from "hono";
import { MESSAGE_TOO_LARGE, NO_SUCH_ITEM, refusal, refuse, REQUEST_TOO_LARGE } from "./refusals.ts";
import { asObject, readBody, readJson, REQUEST_LIMIT } from "./body.ts";
import { describe, messageLimit } from "./draft_routes.ts";
import { type Drafts, sizeOf, type Upload } from "./drafts.ts";
import type { GraphOptions, MailboxRequest } from "./options.ts";

/**
 * Octets of a file for which a session can be opened. The page says 3 to 150 MB but not which MB. A file
 * of 3,100,000 octets must be possible in one of the two ways, so a session accepts it.
 */
export const SMALLEST_UPLOAD = 3_000_000;
export const LARGEST_UPLOAD = 150 * 1024 * 1024;

const LIFETIME_MS = 60 * 60_000;

export function createUploadSession(
  { context, mailbox, token, body }: MailboxRequest,
  drafts: Drafts,
  { uploadLifetime = LIFETIME_MS }: Pick<GraphOptions, "uploadLifetime">,
): Response {
  const item = asObject(readJson(context, body)?.["AttachmentItem"]);
  if (item === undefined) {
    return refuse(context, refusal(400, "BadRequest", "Empty Payload. JSON content expected."));
  }
  const draft = drafts.find(mailbox, context.req.param("id") ?? "");
  if (draft === undefined) return refuse(context, NO_SUCH_ITEM);
  if (item["attachmentType"] !== "file") {
    // Status and code as reported in microsoft-graph-docs-contrib#710.
    return refuse(
      context,
      refusal(
        405,
        "ErrorAttachmentSessionIsSupportedOnlyForFileAttachments",
        "Unsupported Attachment type specified. " +
          "Only File attachments can be uploaded using an Upload Session.",
      ),
    );
  }
  const description = describe(item);
  if ("code" in description) return refuse(context, description);
  const { size } = item;
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    return refuse(context, refusal(400, "ErrorInvalidRequest", "The size is missing or invalid."));
  }
  if (size < SMALLEST_UPLOAD) {
    return refuse(
      context,
      refusal(
        400,
        "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
        "Attachment size must be greater than the minimum size of 3 MB.",
      ),
    );
  }
  if (size > LARGEST_UPLOAD) {
    return refuse(
      context,
      refusal(
        413,
        "ErrorAttachmentSizeLimitExceeded",
        "The attachment exceeds the maximum size of 150 MB.",
      ),
    );
  }
  const upload = drafts.openUpload(draft, token.client, description, size, uploadLifetime);
  const url = addressOf(context, `/upload/${encodeURIComponent(upload.id)}`);
  url.search = `?authtoken=${upload.token}`;
  return context.json(
    {
      "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.uploadSession",
      uploadUrl: url.href,
      expirationDateTime: new Date(upload.expiresAt).toISOString(),
      nextExpectedRanges: ["0-"],
    },
    201,
    { "request-id": randomUUID() },
  );
}

/** A path next to `/v1.0`, as the client sees it, wherever the imitation is mounted. */
function addressOf(context: Context, path: string): URL {
  const url = new URL(context.req.url);
  const mark = Math.max(url.pathname.indexOf("/v1.0/"), 0);
  return new URL(url.pathname.slice(0, mark) + path, url);
}

/** Receives the next piece of a file. */
export async function uploadChunk(
  context: Context,
  upload: Upload | undefined,
  drafts: Drafts,
  limits: Pick<GraphOptions, "messageSizeLimit">,
): Promise<Response> {
  const body = await readBody(context, REQUEST_LIMIT);
  if (body === undefined) return refuse(context, REQUEST_TOO_LARGE);
  if (upload === undefined) return refuse(context, NO_SUCH_ITEM);
  if (context.req.header("content-type")?.toLowerCase() !== "application/octet-stream") {
    return refuse(
      context,
      refusal(400, "BadRequest", "The Content-Type has to be application/octet-stream."),
    );
  }
  const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(
    context.req.header("content-range") ?? "",
  );
  if (range === null) {
    return refuse(
      context,
      refusal(400, "InvalidContentRange", "The Content-Range header is missing or malformed."),
    );
  }
  const [start, end, total] = range.slice(1).map(Number) as [number, number, number];
  if (start !== upload.received || end < start || end >= upload.size || total !== upload.size) {
    return refuse(
      context,
      refusal(416, "InvalidRange", `The range expected starts at ${upload.received}.`),
    );
  }
  if (body.length !== end - start + 1) {
    return refuse(
      context,
      refusal(
        400,
        "InvalidContentRange",
        "The Content-Range header length does not match the provided number of bytes.",
      ),
    );
  }
  // Reported during the upload, not before it (microsoft-graph-docs-contrib#2561).
  if (sizeOf(upload.draft) + upload.received + body.length > messageLimit(limits)) {
    return refuse(context, MESSAGE_TOO_LARGE);
  }
  const attachment = drafts.append(upload, ownOctets(body));
  if (attachment === undefined) return progress(context, upload);
  const { id, mailbox } = upload.draft;
  const location = new URL(context.req.url);
  location.search = "";
  location.pathname = location.pathname.replace(
    /\/upload\/[^/]*$/,
    `/v1.0/users/${encodeURIComponent(mailbox)}/messages/${encodeURIComponent(id)}` +
      `/attachments/${encodeURIComponent(attachment)}`,
  );
  return context.body(null, 201, { Location: location.href, "request-id": randomUUID() });
}

/** A copy if the octets are a view on larger memory. */
function ownOctets(body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  return body.byteLength === body.buffer.byteLength ? new Uint8Array(body.buffer) : body.slice();
}

export function uploadStatus(context: Context, upload: Upload | undefined): Response {
  return upload === undefined ? refuse(context, NO_SUCH_ITEM) : progress(context, upload);
}

export function cancelUpload(
  context: Context,
  upload: Upload | undefined,
  drafts: Drafts,
): Response {
  if (upload === undefined) return refuse(context, NO_SUCH_ITEM);
  drafts.cancelUpload(upload);
  return context.body(null, 204, { "request-id": randomUUID() });
}

/** As the page shows it: capitalised unlike the first response, and without a dash after the start. */
function progress(context: Context, { expiresAt, received }: Upload): Response {
  return context.json(
    {
      ExpirationDateTime: new Date(expiresAt).toISOString(),
      nextExpectedRanges: [String(received)],
    },
    200,
    { "request-id": randomUUID() },
  );
}
