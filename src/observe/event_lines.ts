// The fields and texts of log lines about events. event_log.ts decides whether a line is written.

import type { Account, Authorization } from "../accounts/account.ts";
import type { Outcome, Submission } from "../delivery/delivery.ts";
import { withoutSecrets } from "../secret.ts";
import type { SettingName } from "../settings/schema.ts";
import { replyText } from "../smtp/reply.ts";
import type { Client } from "../submission/submission_service.ts";
import type { LogFields } from "./log.ts";
import type {
  ConnectionEvent,
  LoginEvent,
  MessageEvent,
  QueueEvent,
  RefusedEvent,
} from "./relay_event.ts";

/** Characters of a client's text that a line quotes at most. */
const MAX_QUOTED = 256;

/** Marks a message or login from a trusted network, without a login of the client. */
const TRUSTED = { trusted: true };

export function loginFields({ credentials, client, result, trusted }: LoginEvent): LogFields {
  const { username, mechanism } = credentials;
  const how = trusted ? TRUSTED : { mechanism };
  const fields = { ...clientFields(client), username: quoted(username), ...how };
  if (!("account" in result)) {
    return { ...fields, detail: result.detail, reply: result.reply.code };
  }
  // Only if the username does not say the same.
  const telling = result.account.entry !== undefined || "token" in credentials;
  return telling ? { ...fields, ...accountFields(result.account, result.authorization) } : fields;
}

export function messageText(outcome: Outcome): string {
  if (outcome.type === "sent") return "Message sent";
  if (outcome.type === "queued") return "Message queued";
  if (outcome.type === "alreadySent") {
    return "Duplicate suppressed: the message was sent before, when its client had gone";
  }
  if (outcome.ambiguous) return "Message may have been sent";
  return outcome.type === "later" ? "Message deferred" : "Message refused";
}

export function messageFields(event: MessageEvent): LogFields {
  const { submission, principal, outcome, client, milliseconds } = event;
  const { id, account, envelope, facts } = submission;
  return {
    id,
    ...clientFields(client),
    ...(facts.trusted ? TRUSTED : {}),
    ...accountFields(account, principal.authorization),
    ...senderFields(envelope.from, "mailbox" in outcome ? outcome.mailbox : undefined),
    recipients: envelope.recipients.length,
    bytes: sizeOf(submission),
    ms: Math.round(milliseconds),
    ...outcomeFields(outcome),
  };
}

function sizeOf({ content }: Submission): number {
  return content.reduce((sum, block) => sum + block.length, 0);
}

function outcomeFields(outcome: Outcome): LogFields {
  if (outcome.type === "alreadySent") return { first: outcome.id };
  if (outcome.type === "queued") return {};
  const fields = {
    ...(outcome.requestId === undefined ? {} : { request: outcome.requestId }),
    ...(outcome.attempts === undefined ? {} : { attempts: outcome.attempts }),
  };
  if (outcome.type === "sent") return fields;
  return { ...fields, code: outcome.code, detail: outcome.detail, reply: outcome.reply.code };
}

const QUEUE_TEXTS = {
  sent: "Queued message sent",
  deferred: "Queued message deferred",
  held: "Queued message held until `queue retry`",
  dead: "Queued message given up; `queue show` has it",
} as const;

export function queueText({ change, ambiguous }: QueueEvent): string {
  return change === "deferred" && ambiguous
    ? "Queued message may have been sent"
    : QUEUE_TEXTS[change];
}

export function queueFields(event: QueueEvent): LogFields {
  const { message: { id, size, attempts, age, record }, code, detail, due, requestId } = event;
  return {
    id,
    ...(record === undefined ? {} : {
      ...accountFields(record.account, VERIFIED),
      ...senderFields(record.envelope.from, event.mailbox),
      recipients: record.envelope.recipients.length,
      ...(record.kind === "report" ? { report: true } : {}),
    }),
    bytes: size,
    attempts,
    age_s: Math.round(age / 1000),
    ...(requestId === undefined ? {} : { request: requestId }),
    ...(code === undefined ? {} : { code }),
    ...(detail === undefined ? {} : { detail }),
    ...(due === undefined ? {} : { next: new Date(due).toISOString() }),
  };
}

/** Only verified logins queue mail. */
export const VERIFIED = { unverified: () => undefined };

/** The sender; and the client's MAIL FROM, if that is another address. */
function senderFields(reversePath: string, mailbox: string | undefined): LogFields {
  if (mailbox === undefined || mailbox === reversePath) return { sender: reversePath };
  return { sender: mailbox, mail_from: reversePath };
}

export function refusedFields({ refusal, client, principal, limit }: RefusedEvent): LogFields {
  const { command, reply, argument, from, trusted } = refusal;
  return {
    ...clientFields(client),
    ...(trusted ? TRUSTED : {}),
    ...(principal === undefined ? {} : accountFields(principal.account, principal.authorization)),
    command,
    ...(argument === undefined ? {} : { argument: quoted(argument) }),
    ...(from === undefined ? {} : { sender: from }),
    detail: replyText(reply),
    reply: reply.code,
    ...(limit === undefined ? {} : { setting: limit }),
  };
}

export function connectionFields(event: ConnectionEvent): LogFields {
  const { client, secure, messages, milliseconds, reason } = event;
  return {
    ...clientFields(client),
    ...proxyFields(client),
    tls: secure,
    messages,
    ms: milliseconds,
    reason,
  };
}

export function limitFields(setting: SettingName, client: Client, owner: LogFields): LogFields {
  return { ...clientFields(client), ...owner, setting };
}

/**
 * The account. If several devices share an app, only the entry distinguishes them. Tenant and app
 * of an unverified token are the client's claim.
 */
export function accountFields(
  { tenantId, clientId, entry }: Account,
  authorization: Pick<Authorization, "unverified">,
): LogFields {
  return {
    tenant: tenantId,
    app: clientId,
    ...(entry === undefined ? {} : { entry: entry.id }),
    ...(authorization.unverified() === undefined ? {} : { proved: false }),
  };
}

export function clientFields({ connection, address }: Client): LogFields {
  return { connection, client: address };
}

/** The proxy, once for each connection, at its end. */
export function proxyFields({ proxy }: Client): LogFields {
  return proxy === undefined ? {} : { proxy };
}

/** A client's text, shortened. Secrets are removed first: half a secret does not look like one. */
function quoted(text: string): string {
  return withoutSecrets(text).slice(0, MAX_QUOTED);
}
