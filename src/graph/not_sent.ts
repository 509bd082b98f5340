// Why a message that needs a draft was not sent: the reasons that have no code of Graph, or whose
// code means something else. graph_errors.ts has the others. No reason is ambiguous, because
// nothing is sent before the last request.

import type { NotSent } from "../delivery/delivery.ts";
import { reply } from "../smtp/reply.ts";
import type { GraphMeaning } from "./graph_errors.ts";

/** By the relay's own code. */
export const NOT_SENT = {
  LARGE_SIGNED: {
    code: 552,
    enhanced: "5.3.4",
    text: "the message is too large for one request to Graph, and signed: taking its attachments " +
      "out would break the signature. Send it smaller or unsigned",
  },
  LARGE_ENCRYPTED: {
    code: 552,
    enhanced: "5.3.4",
    text: "the message is too large for one request to Graph, and encrypted: its attachments " +
      "cannot be taken out. Send it smaller or not encrypted",
  },
  LARGE_TNEF: {
    code: 552,
    enhanced: "5.3.4",
    text: "the message is too large for one request to Graph, and in Outlook's own format " +
      "(winmail.dat), whose attachments cannot be taken out. Send it as HTML or plain text, or smaller",
  },
  LARGE_BODY: {
    code: 552,
    enhanced: "5.3.4",
    text: "even without its attachments the message is too large for one request to Graph. " +
      "Shorten its text, or send the text as an attached file",
  },
  MAIL_READWRITE: {
    code: 552,
    enhanced: "5.3.4",
    text:
      "the message is too large for one request to Graph, and the app may not make a draft for " +
      "it. Grant it Mail.ReadWrite for this mailbox, or send smaller messages",
  },
  UPLOAD_SESSION: {
    code: 552,
    enhanced: "5.3.4",
    text: "this cloud's Graph has no upload sessions. Send attachments smaller than 3 MB",
  },
  DRAFT_WITHOUT_ID: {
    code: 451,
    enhanced: "4.3.0",
    text: "Graph made a draft and did not say which",
  },
  DRAFT_GONE: {
    code: 451,
    enhanced: "4.3.0",
    text: "the draft of the message is no longer in the mailbox",
  },
  UPLOAD_URL: {
    code: 451,
    enhanced: "4.3.0",
    text: "Graph named no upload address that can be trusted",
  },
  UPLOAD_REFUSED: {
    code: 451,
    enhanced: "4.3.0",
    text: "the upload service did not take the attachment, or no longer knows the upload",
  },
  UPLOAD_ANSWER: {
    code: 451,
    enhanced: "4.3.0",
    text: "the upload service did not say how to go on",
  },
  UPLOAD_RANGE: {
    code: 451,
    enhanced: "4.3.0",
    text: "the upload service wants octets that cannot be next",
  },
  UPLOAD_ENDED: {
    code: 451,
    enhanced: "4.3.0",
    text: "the upload service ended an upload before its last octet",
  },
} as const satisfies Record<string, GraphMeaning>;

export type NotSentCode = keyof typeof NOT_SENT;

/**
 * @param cause Graph's error, if there is one; its code is the better known one
 * @param part the part of the message that is the reason, if any
 */
export function notSent(reason: NotSentCode, cause?: NotSent, part?: string): NotSent {
  const { code, enhanced, text: meaning } = NOT_SENT[reason];
  const text = part === undefined ? meaning : `${meaning}. In the way: ${part}`;
  const shown = cause?.code ?? reason;
  return {
    type: code < 500 ? "later" : "refused",
    reply: reply(code, enhanced, `${shown}: ${text}`),
    ambiguous: false,
    code: shown,
    detail: cause === undefined ? text : `${text} (${cause.detail})`,
    ...(cause?.requestId === undefined ? {} : { requestId: cause.requestId }),
    ...(cause?.retryAfter === undefined ? {} : { retryAfter: cause.retryAfter }),
  };
}

/** The same outcome, with the step at which it failed. */
export function failedAt(step: string, outcome: NotSent): NotSent {
  return { ...outcome, ambiguous: false, detail: `${step}: ${outcome.detail}` };
}
