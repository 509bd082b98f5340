// A draft in the sender's mailbox: created from a MIME message, sent, or deleted.
//
// https://learn.microsoft.com/graph/api/user-post-messages, message-send and message-delete.
// All but the last one need Mail.ReadWrite besides Mail.Send.

import type { NotSent, ServiceOutcome } from "../delivery/delivery.ts";
import type { HttpFailure, HttpResponse } from "../http/client.ts";
import type { LazyContent } from "../message/lazy_piece.ts";
import { sent } from "./graph_errors.ts";
import { base64Body } from "./base64_body.ts";
import type { GraphClient } from "./graph_client.ts";
import { readObject } from "./json.ts";
import { failedAt, notSent } from "./not_sent.ts";

/** A message in the mailbox that has not been sent yet. */
export interface Draft {
  readonly type: "draft";
  /** Stays the same when the draft is sent, and names the copy in Sent Items then. */
  readonly id: string;
  /** Without a slash at the end. */
  readonly url: string;
}

/**
 * By default a message's id changes when it is moved, which sending does too. The preference is made for one
 * request at a time. https://learn.microsoft.com/graph/outlook-immutable-id
 */
export const IMMUTABLE_ID = { Prefer: 'IdType="ImmutableId"' };

const NO_BODY = { length: 0, parts: () => [] };
/** Characters of a message's id that are accepted; Exchange's have about 150. */
const MAX_ID = 1024;

/** Graph made no draft, because the app has no Mail.ReadWrite for the mailbox. */
export interface Forbidden {
  readonly type: "forbidden";
  /** Graph's refusal. */
  readonly outcome: NotSent;
}

/**
 * Creates a draft. If the response is lost, there may be a draft whose id is unknown; it stays in
 * the mailbox.
 *
 * @param base Graph's address without a slash at the end
 */
export async function createDraft(
  graph: GraphClient,
  base: string,
  sender: string,
  message: LazyContent,
): Promise<Draft | Forbidden | NotSent> {
  const messages = messagesUrl(base, sender);
  const result = await graph.request({
    method: "POST",
    url: new URL(messages),
    headers: { "Content-Type": "text/plain", ...IMMUTABLE_ID },
    body: base64Body(message),
    authorized: true,
    submits: false,
  }, [201]);
  if (result.type === "failed") {
    const { outcome, result: response } = result;
    if (isForbidden(outcome, response)) return { type: "forbidden", outcome };
    return failedAt("making the draft", outcome);
  }
  const { id } = readObject(result.response.body);
  if (typeof id === "string" && id.length <= MAX_ID && /^[\x21-\x7e]+$/.test(id) && !isDots(id)) {
    return draftWith(messages, id);
  }
  return notSent("DRAFT_WITHOUT_ID");
}

/** @param base Graph's address without a slash at the end */
export function messagesUrl(base: string, mailbox: string): string {
  return `${base}/v1.0/users/${encodeURIComponent(mailbox)}/messages`;
}

/** @param messages the address of the mailbox's messages */
export function draftWith(messages: string, id: string): Draft {
  return { type: "draft", id, url: `${messages}/${encodeURIComponent(id)}` };
}

/** Sends a draft. Only after an unambiguous failure is it certain to be still a draft. */
export async function sendDraft(
  graph: GraphClient,
  draft: Draft,
  id: string,
): Promise<ServiceOutcome> {
  const result = await graph.request({
    method: "POST",
    url: new URL(`${draft.url}/send`),
    headers: IMMUTABLE_ID,
    body: NO_BODY,
    authorized: true,
    submits: true,
    draft: draft.id,
  }, [202]);
  if (result.type === "failed") {
    const { outcome, result: response } = result;
    const gone = response?.type === "response" && response.status === 404;
    return gone
      ? notSent("DRAFT_GONE", outcome)
      : { ...outcome, detail: `sending the draft: ${outcome.detail}` };
  }
  return sent(id, result.response);
}

/** Deletes a draft. @returns the failure, if any */
export async function deleteDraft(
  graph: Pick<GraphClient, "request">,
  draft: Draft,
): Promise<string | undefined> {
  const result = await graph.request({
    method: "DELETE",
    url: new URL(draft.url),
    headers: IMMUTABLE_ID,
    authorized: true,
    submits: false,
  }, [204, 404]);
  return result.type === "failed" ? result.outcome.detail : undefined;
}

/**
 * Explains a refusal while a draft is made, which Mail.Send alone does not allow.
 *
 * @returns undefined if it has another reason, such as a disabled account
 */
export function withoutPermission(
  outcome: NotSent,
  result: HttpResponse | HttpFailure | undefined,
): NotSent | undefined {
  return isForbidden(outcome, result) ? notSent("MAIL_READWRITE", outcome) : undefined;
}

/** The directory and Exchange have several codes for a missing permission. */
function isForbidden(outcome: NotSent, result: HttpResponse | HttpFailure | undefined): boolean {
  return result?.type === "response" && result.status === 403 && outcome.reply.enhanced === "5.7.1";
}

/** `.` and `..` are path segments in every spelling. */
function isDots(id: string): boolean {
  return id === "." || id === "..";
}
