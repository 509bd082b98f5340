// Drafts in the imitated Graph: create from MIME, add attachments, send, delete.
// https://learn.microsoft.com/graph/api/user-post-messages
// https://learn.microsoft.com/graph/api/message-post-attachments
// https://learn.microsoft.com/graph/api/message-send
// https://learn.microsoft.com/graph/api/message-delete

import { randomUUID } from "node:crypto";
import { readContent, readSummary } from "../inbox/message_content.ts";
import { MESSAGE_TOO_LARGE, NO_SUCH_ITEM, type Refusal, refusal, refuse } from "./refusals.ts";
import { decodeBase64, readJson } from "./body.ts";
import { type Draft, type Drafts, type FileDescription, sizeOf } from "./drafts.ts";
import { decodeMime, recipientsOf, senderRefusal } from "./mime_rules.ts";
import { findCopy, prefersImmutableId } from "./message_routes.ts";
import type { GraphOptions, MailboxRequest } from "./options.ts";
import type { SentItems } from "./sent_items.ts";

const DEFAULT_MESSAGE_LIMIT = 150 * 1024 * 1024;

type Limits = Pick<GraphOptions, "messageSizeLimit">;

export function messageLimit({ messageSizeLimit = DEFAULT_MESSAGE_LIMIT }: Limits): number {
  return messageSizeLimit;
}

/** A draft needs no recipients; sending it does. */
export async function createDraft(
  { context, mailbox, body }: MailboxRequest,
  drafts: Drafts,
): Promise<Response> {
  const raw = decodeMime(context.req.header("content-type"), body);
  if ("code" in raw) return refuse(context, raw);
  const [{ from, to, cc, bcc, subject }, { attachments }] = await Promise.all([
    readSummary(raw),
    readContent(raw),
  ]);
  const draft = drafts.add(mailbox, raw);
  const now = draft.createdAt.toISOString();
  const isImmutable = prefersImmutableId(context);
  const recipients = (list: readonly string[]) =>
    list.map((address) => ({ emailAddress: { name: address, address } }));
  return context.json(
    {
      "@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/messages/$entity",
      id: isImmutable ? draft.immutableId : draft.id,
      createdDateTime: now,
      lastModifiedDateTime: now,
      hasAttachments: attachments.length > 0,
      subject,
      isDraft: true,
      isRead: true,
      from: from === "" ? null : recipients([from])[0],
      toRecipients: recipients(to),
      ccRecipients: recipients(cc),
      bccRecipients: recipients(bcc),
    },
    201,
    {
      "request-id": randomUUID(),
      ...(isImmutable ? { "Preference-Applied": 'IdType="ImmutableId"' } : {}),
    },
  );
}

/** Adds a file to a draft: less than 3 MB, because the limit of 4 MB applies to its base64. */
export function attach(
  { context, mailbox, body }: MailboxRequest,
  drafts: Drafts,
  limits: Limits,
): Response {
  const json = readJson(context, body);
  if (json === undefined) {
    return refuse(context, refusal(400, "BadRequest", "Unable to read JSON request payload."));
  }
  const draft = drafts.find(mailbox, context.req.param("id") ?? "");
  if (draft === undefined) return refuse(context, NO_SUCH_ITEM);
  if (json["@odata.type"] !== "#microsoft.graph.fileAttachment") {
    return refuse(context, badAttachment("The type has to be #microsoft.graph.fileAttachment."));
  }
  const description = describe(json);
  if ("code" in description) return refuse(context, description);
  const encoded = json["contentBytes"];
  const content = typeof encoded !== "string"
    ? undefined
    : encoded === ""
    ? new Uint8Array()
    : decodeBase64(encoded);
  if (content === undefined) {
    return refuse(context, badAttachment("contentBytes is missing or not base64."));
  }
  if (sizeOf(draft) + content.length > messageLimit(limits)) {
    return refuse(context, MESSAGE_TOO_LARGE);
  }
  const id = drafts.attach(draft, description, new Uint8Array(content));
  const { name, contentType, inline, contentId = null } = description;
  return context.json(
    {
      "@odata.type": "#microsoft.graph.fileAttachment",
      id,
      lastModifiedDateTime: new Date().toISOString(),
      name,
      contentType,
      size: content.length,
      isInline: inline,
      contentId,
    },
    201,
    { "request-id": randomUUID() },
  );
}

/** Name, type and disposition of a file, in the form of both ways to attach one. */
export function describe(json: Readonly<Record<string, unknown>>): FileDescription | Refusal {
  const { name, contentType = null, isInline = false, contentId = null } = json;
  if (typeof name !== "string" || name === "") return badAttachment("The name is missing.");
  if (contentType !== null && typeof contentType !== "string") {
    return badAttachment("contentType has to be a string.");
  }
  if (typeof isInline !== "boolean") return badAttachment("isInline has to be true or false.");
  if (contentId !== null && typeof contentId !== "string") {
    return badAttachment("contentId has to be a string.");
  }
  return {
    name,
    contentType: contentType ?? "application/octet-stream",
    inline: isInline,
    ...(contentId === null ? {} : { contentId }),
  };
}

function badAttachment(message: string): Refusal {
  return refusal(400, "ErrorInvalidRequest", message);
}

/**
 * Sends a draft, which becomes a copy in Sent Items. A file whose upload is unfinished is not part of it: an upload session is
 * separate storage until its last octet.
 */
export async function sendDraft(
  { context, mailbox, body, hidden }: MailboxRequest,
  drafts: Drafts,
  sent: SentItems,
  { deliver, ...limits }: Limits & Pick<GraphOptions, "deliver">,
): Promise<Response> {
  const draft = drafts.find(mailbox, context.req.param("id") ?? "");
  if (draft === undefined) return refuse(context, NO_SUCH_ITEM);
  if (body.length > 0) {
    return refuse(context, refusal(400, "BadRequest", "The request must not have a body."));
  }
  const recipients = recipientsOf(draft.raw);
  if ("code" in recipients) return refuse(context, recipients);
  const denied = senderRefusal(draft.raw);
  if (denied !== undefined) return refuse(context, denied);
  if (sizeOf(draft) > messageLimit(limits)) return refuse(context, MESSAGE_TOO_LARGE);
  drafts.delete(draft);
  const clientRequestId = context.req.header("client-request-id");
  const uploads = uploadsOf(draft);
  await deliver({ mailbox, raw: draft.raw, recipients, uploads, clientRequestId });
  sent.add(draft, hidden, draft);
  return context.body(null, 202, { "request-id": randomUUID() });
}

function uploadsOf({ files }: Draft) {
  return files.map(({ id: _, ...file }) => file);
}

/** Deletes a draft, or a sent copy. */
export function deleteMessage(
  { context, mailbox }: MailboxRequest,
  drafts: Drafts,
  sent: SentItems,
): Response {
  const id = context.req.param("id") ?? "";
  const draft = drafts.find(mailbox, id);
  const copy = draft === undefined ? findCopy(sent, mailbox, id) : undefined;
  if (draft === undefined && copy === undefined) return refuse(context, NO_SUCH_ITEM);
  if (draft !== undefined) drafts.delete(draft);
  if (copy !== undefined) sent.delete(copy);
  return context.body(null, 204, { "request-id": randomUUID() });
}
