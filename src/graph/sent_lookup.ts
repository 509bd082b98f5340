// Asks Graph whether a message was sent: by the immutable id of its draft, if there was one, then by its
// Message-ID.
//
// https://learn.microsoft.com/graph/outlook-immutable-id and
// https://learn.microsoft.com/graph/api/user-list-messages, which needs Mail.ReadBasic.All.

import type { SentAnswer, SentQuestion } from "../delivery/sent_lookup.ts";
import { deleteDraft, type Draft, draftWith, IMMUTABLE_ID, messagesUrl } from "./drafts.ts";
import type { GraphClient, GraphResult } from "./graph_client.ts";
import { readObject } from "./json.ts";

/** Milliseconds by which Graph's clock may be behind; its times are in whole seconds. */
const CLOCK_SKEW = 60_000;
/** Messages with one Message-ID that are looked at; Graph lists 1000 at most at once. */
const MAX_HITS = 1000;

/**
 * A copy that is older than the first attempt does not count: a Message-ID need not be unique in a mailbox.
 * All folders count, because Graph answers 202 when it has saved the message in Drafts and moves it to Sent
 * Items later (https://learn.microsoft.com/graph/outlook-things-to-know-about-send-mail). So does a copy in
 * Drafts, unless the message was to be sent by a draft: then it may be one of the relay's that it never sent.
 */
export async function lookUpSent(
  graph: GraphClient,
  base: string,
  { sending, since, isLast }: Pick<SentQuestion, "sending" | "since" | "isLast">,
): Promise<SentAnswer> {
  const { mailbox, messageId, draft } = sending;
  const messages = messagesUrl(base, mailbox);
  if (draft !== undefined) {
    const answer = await askForDraft(graph, draftWith(messages, draft), isLast);
    if (answer !== undefined) return answer;
  }
  if (messageId === undefined) return NOT_FOUND;
  const earliest = since - CLOCK_SKEW;
  return await askForMessageId(graph, messages, messageId, earliest, draft !== undefined);
}

const SENT: SentAnswer = { type: "sent" };
const NOT_FOUND: SentAnswer = { type: "notFound" };

/** @returns undefined if the mailbox has no message with that id */
async function askForDraft(
  graph: GraphClient,
  draft: Draft,
  isLast: boolean,
): Promise<SentAnswer | undefined> {
  const result = await graph.request({
    method: "GET",
    url: new URL(`${draft.url}?$select=isDraft`),
    headers: IMMUTABLE_ID,
    authorized: true,
    submits: false,
  }, [200]);
  if (result.type === "failed") {
    // Without Mail.ReadWrite there was no draft, unless the permission is gone.
    const status = statusOf(result);
    return status === 404 || status === 403 ? undefined : later(result.outcome.detail);
  }
  const { isDraft } = readObject(result.response.body);
  if (isDraft === false) return SENT;
  if (isDraft !== true) return later("Graph does not say whether the message is a draft");
  if (!isLast) return NOT_FOUND;
  // It has not been sent by now. In the worst case Graph sends it all the same: then it is sent twice, but
  // not lost.
  const trouble = await deleteDraft(graph, draft);
  return trouble === undefined ? NOT_FOUND : later(`the draft could not be deleted: ${trouble}`);
}

/**
 * @param messages the address of the mailbox's messages
 * @param earliest when a copy was made at the earliest, milliseconds of Unix time
 * @param byDraft whether the message was to be sent by a draft
 */
async function askForMessageId(
  graph: GraphClient,
  messages: string,
  messageId: string,
  earliest: number,
  byDraft: boolean,
): Promise<SentAnswer> {
  // OData 4.01 URL conventions §5.1.1.14.1: a quote is doubled.
  const filter = `internetMessageId eq '${messageId.replaceAll("'", "''")}'`;
  const query = `$filter=${encodeURIComponent(filter)}` +
    `&$select=id,isDraft,createdDateTime&$top=${MAX_HITS}`;
  const result = await graph.request({
    method: "GET",
    url: new URL(`${messages}?${query}`),
    headers: {},
    authorized: true,
    submits: false,
  }, [200]);
  if (result.type === "failed") {
    const status = statusOf(result);
    const { detail } = result.outcome;
    if (status === 403) return { type: "forbidden", detail };
    // The mailbox is gone.
    return status === 404 ? NOT_FOUND : later(detail);
  }
  const hits = readObject(result.response.body)["value"];
  if (!Array.isArray(hits)) return later("Graph gave no list of messages");
  const isCopy = (hit: unknown) => {
    const { createdDateTime, isDraft } = (hit ?? {}) as Record<string, unknown>;
    const created = typeof createdDateTime === "string" ? Date.parse(createdDateTime) : NaN;
    return created >= earliest && (isDraft === false || !byDraft);
  };
  return hits.some(isCopy) ? SENT : NOT_FOUND;
}

function statusOf({ result }: Extract<GraphResult, { type: "failed" }>): number | undefined {
  return result?.type === "response" ? result.status : undefined;
}

function later(detail: string): SentAnswer {
  return { type: "later", detail };
}
