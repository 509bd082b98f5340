// The test message: its content, and what its outcome means. It is delivered like every message.

import { Buffer } from "node:buffer";
import type { NotSent, Outcome } from "../delivery/delivery.ts";
import { MAIL_SEND } from "../entra/token.ts";
import type { Content } from "../smtp/content.ts";
import { smtpRemedy } from "../smtp_backend/smtp_errors.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

/**
 * By Graph's `error.code`, or `HTTP` and the status where there is none (src/graph/graph_errors.ts); and by
 * the relay's own codes.
 */
const BY_CODE: Readonly<Record<string, Code>> = {
  ErrorAccessDenied: "message.access-denied",
  NoPermissionsInAccessToken: "message.access-denied",
  "HTTP 403": "message.access-denied",
  ErrorSendAsDenied: "message.send-as",
  ErrorInvalidUser: "message.no-mailbox",
  ResourceNotFound: "message.no-mailbox",
  ErrorItemNotFound: "message.no-mailbox",
  Request_ResourceNotFound: "message.no-mailbox",
  MailboxNotEnabledForRESTAPI: "message.not-licensed",
  ErrorAccountDisabled: "message.not-licensed",
  SENDER_NOT_ALLOWED: "message.sender-not-allowed",
  LOOKUP_ENTRY: "message.sender-not-allowed",
  ErrorInvalidRecipients: "message.recipient",
  ErrorInvalidSmtpAddress: "message.recipient",
};

/** What to do, by Graph's code or the status. */
const FIXES: Readonly<Record<string, string>> = {
  ErrorQuotaExceeded:
    "empty the mailbox, or give it a retention policy: it keeps every sent message",
  ErrorSubmissionQuotaExceeded: "wait for a day, or send from several mailboxes",
  "HTTP 404":
    "correct GRAPH_ENDPOINT, to which /v1.0 is appended; if it is right, check that the sender has a " +
    "mailbox",
};
/** The app has Mail.Send for all mailboxes, so it is Exchange that refuses. */
const RESTRICTED =
  "the token has Mail.Send: look for an application access policy in Exchange that " +
  "excludes this mailbox (Get-ApplicationAccessPolicy), and check that the mailbox belongs to this " +
  "tenant";

export interface TestMessage {
  readonly from: string;
  readonly to: string;
}

/**
 * A plain text that says where the message comes from.
 *
 * @param messageId with its angle brackets
 */
export function testContent(
  { from, to }: TestMessage,
  hostname: string,
  messageId: string,
): Content {
  const lines = [
    `From: <${from}>`,
    `To: <${to}>`,
    `Message-ID: ${messageId}`,
    "Subject: Test message of smtp-oauth-relay",
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "",
    `This message was sent by smtp-oauth-relay check, run on ${hostname}.`,
    "It was delivered like every message of the relay.",
    "",
  ];
  return [Buffer.from(lines.join("\r\n"), "utf8")];
}

/**
 * @param id the submission's, which is in the log too
 * @param roles that the token names
 */
export function judgeOutcome(
  outcome: Exclude<Outcome, NotSent> | Omit<NotSent, "reply">,
  id: string,
  { from, to }: TestMessage,
  roles: readonly string[] = [],
): Finding {
  if (outcome.type === "sent" || outcome.type === "alreadySent") {
    const request = outcome.type === "sent" && outcome.requestId !== undefined
      ? `, Graph's request-id ${outcome.requestId}`
      : "";
    return finding("message.sent", `sent from ${from} to ${to}, id=${id}${request}`);
  }
  if (outcome.type === "queued") throw new Error("a test message is never queued");
  const about = `from ${from} to ${to}, id=${id}: ${outcome.code}: ${outcome.detail}`;
  if (outcome.ambiguous) return finding("message.ambiguous", `may have been sent ${about}`);
  const code = codeOf(outcome);
  const fix = code === "message.access-denied" && roles.includes(MAIL_SEND)
    ? RESTRICTED
    : Object.hasOwn(FIXES, outcome.code)
    ? FIXES[outcome.code]
    : smtpRemedy(outcome.code);
  return finding(code, about, fix);
}

/** Whether the message is with Graph, or may be. */
export function mayBeSent(outcome: Outcome): boolean {
  return !("ambiguous" in outcome) || outcome.ambiguous;
}

function codeOf({ type, code }: Pick<NotSent, "type" | "code">): Code {
  if (type === "later") return "message.later";
  return Object.hasOwn(BY_CODE, code) ? BY_CODE[code]! : "message.refused";
}
