// The fields and texts of log lines about events. event_log.ts decides whether a line is written.

import { Buffer } from "node:buffer";
import type { BackendName } from "../backend_name.ts";
import type { Account, Authorization } from "../accounts/account.ts";
import type { Outcome } from "../delivery/delivery.ts";
import type { Step } from "../delivery/steps.ts";
import { withoutSecrets } from "../secret.ts";
import type { SettingName } from "../settings/schema.ts";
import { lengthOf } from "../smtp/content.ts";
import { replyText } from "../smtp/reply.ts";
import type { Client, Principal } from "../submission/submission_service.ts";
import { BoundedTexts } from "./fields.ts";
import type { FieldName, LineFields } from "./line_fields.ts";
import { accountIds, attemptsOf, mailboxOf, senderOf } from "./message_facts.ts";
import type {
  ConnectionEvent,
  LoginEvent,
  MessageEvent,
  QueueEvent,
  RefusedEvent,
} from "./relay_event.ts";

/** Characters of a client's text that a line quotes at most. */
const MAX_QUOTED = 256;
/**
 * Octets of recipients' addresses in a line. Docker breaks lines of more than 16 KiB, and journald those of
 * more than 48 (journald.conf(5), LineMax=).
 */
const MAX_ADDRESSES = 8_000;
/** Quotes and comma, in JSON. */
const BETWEEN_ADDRESSES = 3;

/** Marks a message or login from a trusted network, without a login of the client. */
const TRUSTED = { trusted: true };

export function loginFields(event: LoginEvent): LineFields {
  const { credentials, client, result, trusted, milliseconds } = event;
  const { username, mechanism } = credentials;
  const how = trusted ? TRUSTED : { mechanism };
  const fields = {
    ...clientFields(client),
    username: quoted(username),
    ...how,
    ms: Math.round(milliseconds),
  };
  if (!("account" in result)) {
    const { code, detail, reply } = result;
    return { ...fields, ...(code === undefined ? {} : { code }), detail, reply: reply.code };
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

/** @param addresses whether the recipients are named */
export function messageFields(event: MessageEvent, addresses: boolean): LineFields {
  const { submission, principal, outcome, client, receiving, milliseconds, steps } = event;
  const { id, account, username, envelope, messageId, facts } = submission;
  const mailbox = mailboxOf(outcome) ?? envelope.from;
  // For each message: what is not there is undefined, because that costs less than another object.
  const fields: MutableFields = {
    id,
    message_id: messageId ?? MALFORMED,
    connection: client.connection,
    client: client.address,
    trusted: facts.trusted,
    username: username === "" ? undefined : quoted(username),
    tenant: account.tenantId,
    app: account.clientId,
    entry: account.entry?.id,
    proved: principal.authorization.unverified() === undefined ? undefined : false,
    sender: mailbox,
    mail_from: mailbox === envelope.from ? undefined : envelope.from,
    recipients: envelope.recipients.length,
    bytes: lengthOf(submission.content),
    ms: Math.round(milliseconds),
    ms_received: Math.round(receiving),
  };
  addSteps(fields, steps);
  fields.attempts = attemptsOf(outcome, steps);
  addOutcome(fields, outcome);
  fields.tls_version = client.tls?.version;
  fields.tls_cipher = client.tls?.cipher;
  return addresses ? { ...fields, ...recipientFields(envelope.recipients) } : fields;
}

/** Fields that are added in their order in the line. */
type MutableFields = { -readonly [Name in keyof LineFields]: LineFields[Name] };

/** A Message-ID that no other system can be asked for. */
const MALFORMED = "(malformed)";

/** The username, as in the line of the login; a client with a token may have given none. */
function usernameField(username: string): LineFields {
  return username === "" ? {} : { username: quoted(username) };
}

const STEP_FIELDS = {
  prepare: "ms_prepared",
  wait: "ms_waited",
  token: "ms_token",
  request: "ms_graph",
  pause: "ms_paused",
  store: "ms_stored",
} as const satisfies Record<Step["name"], FieldName>;

/** Of each kind of step that there was, all its milliseconds. */
function addSteps(fields: MutableFields, steps: readonly Step[]): void {
  for (const step of steps) {
    const field = stepField(step);
    if (fields[field] !== undefined) continue;
    let sum = 0;
    for (const other of steps) if (stepField(other) === field) sum += other.milliseconds;
    fields[field] = Math.round(sum);
  }
}

function stepField({ name, backend }: Step): FieldName {
  return name === "request" && backend !== undefined ? "ms_smtp" : STEP_FIELDS[name];
}

function stepFields(steps: readonly Step[]): LineFields {
  const fields: MutableFields = {};
  addSteps(fields, steps);
  return fields;
}

function tlsFields({ tls }: Client): LineFields {
  return tls === undefined ? {} : { tls_version: tls.version, tls_cipher: tls.cipher };
}

/** As many addresses as a line has room for, and how many there are besides. */
function recipientFields(recipients: readonly string[]): LineFields {
  let left = MAX_ADDRESSES;
  const shown: string[] = [];
  for (const address of recipients) {
    left -= Buffer.byteLength(address) + BETWEEN_ADDRESSES;
    if (left < 0) break;
    shown.push(address);
  }
  const omitted = recipients.length - shown.length;
  return { to: new BoundedTexts(shown), ...(omitted === 0 ? {} : { to_omitted: omitted }) };
}

function addOutcome(fields: MutableFields, outcome: Outcome): void {
  if (outcome.type === "queued") return;
  if (outcome.type === "alreadySent") {
    fields.first = outcome.id;
    return;
  }
  fields.backend = outcome.backend;
  fields.request = outcome.requestId;
  if (outcome.type === "sent") return;
  fields.code = outcome.code;
  fields.detail = outcome.detail;
  fields.reply = outcome.reply.code;
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

/** @param addresses whether the recipients are named */
export function queueFields(event: QueueEvent, addresses: boolean): LineFields {
  const { message: { id, size, attempts, age, record }, code, detail, due, requestId } = event;
  return {
    id,
    ...(record === undefined ? {} : recordFields(record, event.mailbox)),
    bytes: size,
    age_s: Math.round(age / 1000),
    ...stepFields(event.steps),
    attempts,
    ...backendField(event.backend),
    ...(requestId === undefined ? {} : { request: requestId }),
    ...(code === undefined ? {} : { code }),
    ...(detail === undefined ? {} : { detail }),
    ...(due === undefined ? {} : { next: new Date(due).toISOString() }),
    ...(addresses && record !== undefined ? recipientFields(record.envelope.recipients) : {}),
  };
}

/** Graph is left out: it is the usual one. */
function backendField(backend: BackendName | undefined): LineFields {
  return backend === undefined ? {} : { backend };
}

function recordFields(
  record: NonNullable<QueueEvent["message"]["record"]>,
  mailbox: string | undefined,
): LineFields {
  const { kind, messageId, connection, client, username, account, envelope } = record;
  const own = kind === "report";
  return {
    ...(messageId === undefined && own ? {} : { message_id: messageId ?? MALFORMED }),
    connection,
    client,
    ...usernameField(username),
    ...accountFields(account, VERIFIED),
    ...senderOf(envelope.from, mailbox),
    recipients: envelope.recipients.length,
    ...(own ? { report: true } : {}),
  };
}

/** Only verified logins queue mail. */
export const VERIFIED = { unverified: () => undefined };

export function refusedFields({ refusal, client, principal, limit }: RefusedEvent): LineFields {
  const { command, reply, argument, from, trusted } = refusal;
  return {
    ...clientFields(client),
    ...(trusted ? TRUSTED : {}),
    ...(principal === undefined ? {} : principalFields(principal)),
    command,
    ...(argument === undefined ? {} : { argument: quoted(argument) }),
    ...(from === undefined ? {} : { sender: from }),
    detail: replyText(reply),
    reply: reply.code,
    ...(limit === undefined ? {} : { setting: limit }),
  };
}

/** The login that a connection has. */
export function principalFields({ username, account, authorization }: Principal): LineFields {
  return { ...usernameField(username), ...accountFields(account, authorization) };
}

export function connectionFields(event: ConnectionEvent): LineFields {
  const { client, secure, messages, milliseconds, reason } = event;
  return {
    ...clientFields(client),
    ...proxyFields(client),
    tls: secure,
    ...tlsFields(client),
    messages,
    ms: milliseconds,
    reason,
  };
}

export function limitFields(setting: SettingName, client: Client, owner: LineFields): LineFields {
  return { ...clientFields(client), ...owner, setting };
}

/**
 * The account. If several devices share an app, only the entry distinguishes them. Tenant and app
 * of an unverified token are the client's claim.
 */
export function accountFields(
  account: Account,
  authorization: Pick<Authorization, "unverified">,
): LineFields {
  return {
    ...accountIds(account),
    ...(authorization.unverified() === undefined ? {} : { proved: false }),
  };
}

export function clientFields({ connection, address }: Client): LineFields {
  return { connection, client: address };
}

/** The proxy, once for each connection, at its end. */
export function proxyFields({ proxy }: Client): LineFields {
  return proxy === undefined ? {} : { proxy };
}

/** A client's text, shortened. Secrets are removed first: half a secret does not look like one. */
function quoted(text: string): string {
  return withoutSecrets(text).slice(0, MAX_QUOTED);
}
