// Sends a message that is too large for one request: a draft of the message without its large
// attachments, then these one by one, then the request that sends the draft. If the app may not
// make drafts, one request is tried anyway: Graph decides whether it is too large.
//
// https://learn.microsoft.com/graph/outlook-large-attachments

import type { NotSent, ServiceOutcome } from "../delivery/delivery.ts";
import { extractAttachments, type Extraction } from "./extract_attachments.ts";
import { readHeader } from "../message/header.ts";
import type { LazyContent } from "../message/lazy_piece.ts";
import { attach } from "./attachments.ts";
import type { ServiceUrl } from "../http/service_url.ts";
import { base64Body } from "./base64_body.ts";
import type { GraphClient } from "./graph_client.ts";
import { eventLoopTurn } from "../clock.ts";
import { createDraft, deleteDraft, type Draft, sendDraft } from "./drafts.ts";
import { failedAt, notSent, type NotSentCode } from "./not_sent.ts";
import { sendMail } from "./send_mail.ts";

export interface Upload {
  readonly service: ServiceUrl;
  readonly sender: string;
  /** As it is to be sent. */
  readonly message: LazyContent;
  /** Octets of base64 in one request. */
  readonly requestLimit: number;
  /** The message's id in the reply. */
  readonly id: string;
  /** For deleting a draft after the delivery's time is over; default: the delivery's client. */
  readonly cleanup?: Pick<GraphClient, "request">;
}

/**
 * Nothing is sent before the last request, so a failure before it is never ambiguous. A draft that
 * was certainly not sent is deleted; one that may have been sent is left alone.
 */
export async function uploadAndSend(graph: GraphClient, upload: Upload): Promise<ServiceOutcome> {
  const { service, sender, message, requestLimit, id } = upload;
  const parts = partsOf(message, requestLimit);
  if (parts.type === "tooLarge") return withoutUpload(parts);
  // Splitting a large message takes time, in which Graph may have closed idle connections. After
  // this turn they are known to be closed, and are not used.
  await eventLoopTurn();
  const draft = await createDraft(graph, service.href, sender, parts.rest);
  if (draft.type === "forbidden") return await sendWhole(graph, upload, draft.outcome);
  if (draft.type !== "draft") return draft;
  for (const attachment of parts.attachments) {
    const failure = await attach(graph, draft, attachment);
    if (failure !== undefined) return await discard(upload.cleanup ?? graph, draft, failure);
  }
  const outcome = await sendDraft(graph, draft, id);
  if (outcome.type === "sent") return outcome;
  if (!outcome.ambiguous) return await discard(upload.cleanup ?? graph, draft, outcome);
  return { ...outcome, detail: `${outcome.detail}; its draft is left as it is` };
}

/**
 * Why a message over the limit cannot be uploaded, found without asking Graph. Undefined if it can be, or if
 * that would take long to find out: it has parts to be read.
 */
export function uploadRefusal(message: LazyContent, requestLimit: number): NotSent | undefined {
  const type = readHeader(message).fields.find(({ name }) => name === "content-type");
  const text = type?.body.toString("latin1") ?? "";
  if (/^\s*multipart\/(?!signed|encrypted)/i.test(text)) return undefined;
  const parts = partsOf(message, requestLimit);
  return parts.type === "tooLarge" ? withoutUpload(parts) : undefined;
}

/** The draft has to fit into one request, in base64. */
function partsOf(message: LazyContent, requestLimit: number): Extraction {
  return extractAttachments(message, Math.floor(requestLimit / 4) * 3);
}

type TooLarge = Extract<Extraction, { readonly type: "tooLarge" }>;

function withoutUpload({ reason, part }: TooLarge): NotSent {
  return notSent(TOO_LARGE_CODES[reason], undefined, part);
}

/**
 * Sends the message in one request, because the app may not make a draft.
 *
 * @param forbidden Graph's refusal of the draft
 */
async function sendWhole(
  graph: GraphClient,
  upload: Upload,
  forbidden: NotSent,
): Promise<ServiceOutcome> {
  const { service, sender, message, id } = upload;
  const outcome = await sendMail(graph, { service, sender, body: base64Body(message), id });
  if (outcome.type === "sent") return outcome;
  const isTooLarge = !outcome.ambiguous && outcome.reply.enhanced === TOO_LARGE;
  if (!isTooLarge) {
    return { ...outcome, detail: `${outcome.detail}; no draft: ${forbidden.detail}` };
  }
  const meant = notSent("MAIL_READWRITE", { ...outcome, code: forbidden.code });
  return failedAt(`making the draft: ${forbidden.detail}; sending it whole`, meant);
}

/** RFC 3463 X.3.4, the reply's code for a 413 of Graph. */
const TOO_LARGE = "5.3.4";

async function discard(
  graph: Pick<GraphClient, "request">,
  draft: Draft,
  outcome: NotSent,
): Promise<NotSent> {
  const trouble = await deleteDraft(graph, draft);
  if (trouble === undefined) return outcome;
  return { ...outcome, detail: `${outcome.detail}; its draft could not be deleted: ${trouble}` };
}

const TOO_LARGE_CODES = {
  signed: "LARGE_SIGNED",
  encrypted: "LARGE_ENCRYPTED",
  tnef: "LARGE_TNEF",
  body: "LARGE_BODY",
} as const satisfies Record<TooLarge["reason"], NotSentCode>;
