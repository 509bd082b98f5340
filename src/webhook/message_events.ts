// What a webhook is told of a message.

import type { Outcome } from "../delivery/delivery.ts";
import { accountIds, attemptsOf, mailboxOf, senderOf } from "../observe/message_facts.ts";
import type { MessageEvent, QueueEvent } from "../observe/relay_event.ts";
import { shownDetail } from "../observe/shown.ts";
import { lengthOf } from "../smtp/content.ts";
import type { WebhookData, WebhookType } from "./webhook_event.ts";

/** An event without its time. */
export interface Told {
  readonly type: WebhookType;
  readonly data: WebhookData;
}

/** A message that a client has submitted, with its reply. */
export function submissionEvents(event: MessageEvent): readonly Told[] {
  const { submission, outcome, principal, milliseconds } = event;
  const { id, username, envelope, messageId, content } = submission;
  const data: WebhookData = {
    id,
    ...(messageId === undefined ? {} : { message_id: messageId }),
    username,
    ...accountIds(submission.account),
    ...(principal.authorization.unverified() === undefined ? {} : { proved: false }),
    client: event.client.address,
    ...senderOf(envelope.from, mailboxOf(outcome)),
    recipients: envelope.recipients.length,
    bytes: lengthOf(content),
    milliseconds: Math.round(milliseconds),
    reply: outcome.reply.code,
    ...outcomeData(event),
  };
  return typesOf(outcome).map((type) => ({ type, data }));
}

function typesOf(outcome: Outcome): readonly WebhookType[] {
  switch (outcome.type) {
    case "sent":
      return ["message.accepted", "message.sent"];
    case "queued":
      return ["message.accepted", "message.queued"];
    case "alreadySent":
      return ["message.accepted"];
    case "later":
    case "refused":
      if (outcome.ambiguous) return ["message.ambiguous"];
      return [outcome.type === "later" ? "message.deferred" : "message.failed"];
  }
}

function outcomeData({ outcome, steps, submission }: MessageEvent): WebhookData {
  if (outcome.type === "queued") return {};
  if (outcome.type === "alreadySent") return { first: outcome.id };
  const { requestId } = outcome;
  const sender = mailboxOf(outcome) ?? submission.envelope.from;
  const attempts = attemptsOf(outcome, steps);
  return {
    ...(attempts === undefined ? {} : { attempts }),
    ...(outcome.backend === undefined ? {} : { backend: outcome.backend }),
    ...(requestId === undefined ? {} : { request: requestId }),
    ...(outcome.type === "sent"
      ? {}
      : { code: outcome.code, detail: shownDetail(outcome.detail, [sender]) }),
  };
}

/** What became of a queued message. */
export function queueEvent(event: QueueEvent): Told {
  const { message: { id, size, attempts, age, record }, code, detail, due, requestId } = event;
  const sender = event.mailbox ?? record?.envelope.from ?? "";
  return {
    type: queueType(event),
    data: {
      id,
      ...(record?.messageId === undefined ? {} : { message_id: record.messageId }),
      ...(record === undefined ? {} : {
        username: record.username,
        ...accountIds(record.account),
        client: record.client,
        ...senderOf(record.envelope.from, event.mailbox),
        recipients: record.envelope.recipients.length,
        ...(record.kind === "report" ? { report: true } : {}),
      }),
      bytes: size,
      queued: true,
      attempts,
      age_seconds: Math.round(age / 1000),
      ...(event.backend === undefined ? {} : { backend: event.backend }),
      ...(requestId === undefined ? {} : { request: requestId }),
      ...(code === undefined ? {} : { code }),
      ...(detail === undefined ? {} : { detail: shownDetail(detail, [sender]) }),
      ...(event.ambiguous ? { ambiguous: true } : {}),
      ...(due === undefined ? {} : { next: new Date(due).toISOString() }),
    },
  };
}

function queueType({ change, ambiguous, message }: QueueEvent): WebhookType {
  switch (change) {
    case "sent":
      return message.record?.kind === "report" ? "message.bounced" : "message.sent";
    case "deferred":
      return ambiguous ? "message.ambiguous" : "message.deferred";
    case "held":
      return "message.held";
    case "dead":
      return "message.failed";
  }
}
