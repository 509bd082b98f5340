/** Events of a relay, as the listeners get them, made of what a test is about. */
import type { Account, Authorization } from "../../src/accounts/account.ts";
import type { LoginFailure } from "../../src/accounts/account.ts";
import type { Outcome, Submission } from "../../src/delivery/delivery.ts";
import { EventLog, type EventLogOptions } from "../../src/observe/event_log.ts";
import { eventMetrics } from "../../src/observe/event_metrics.ts";
import type { LevelLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import {
  type ConnectionEvent,
  notifyAll,
  type ProxyHeaderEvent,
  type RelayEvent,
} from "../../src/observe/relay_event.ts";
import type { SettingName } from "../../src/settings/schema.ts";
import type { Refusal } from "../../src/smtp/effects.ts";
import type { Credentials } from "../../src/smtp/sasl.ts";
import type { Client, Principal } from "../../src/submission/submission_service.ts";
import { CLIENT, TENANT } from "./logins.ts";
import { MESSAGE } from "./submissions.ts";

export const ACCOUNT: Account = { tenantId: TENANT, clientId: CLIENT };

/** The account of an entry of the lookup table. */
export function entryAccount(id: string): Account {
  return { ...ACCOUNT, entry: { id, foundBy: "id" } };
}

/** @param unverified names a token that no service has verified */
export function principalOf(account: Account, unverified?: string): Principal {
  const authorization: Authorization = {
    token: () => Promise.reject(new Error("no token is needed here")),
    reject() {},
    confirm() {},
    unverified: () => unverified,
    expiry: () => undefined,
  };
  const owner = { key: "owner", known: true };
  const username = account.entry === undefined
    ? `${account.tenantId}@${account.clientId}`
    : `${account.entry.id}@lookup`;
  return { account, authorization, username, owner, checkSender: () => undefined };
}

export const PRINCIPAL = principalOf(ACCOUNT);

export function submissionEvent(
  outcome: Outcome,
  client: Client,
  principal = PRINCIPAL,
  part: Partial<Submission> = {},
): RelayEvent {
  const submission: Submission = {
    id: "0123456789abcdef",
    account: principal.account,
    username: principal.username,
    envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
    messageId: "<1@x.test>",
    content: [MESSAGE],
    facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
    client: client.address,
    connection: client.connection,
    receivedAt: Date.UTC(2026, 10, 5, 6, 7, 8),
    ...part,
  };
  return {
    type: "message",
    ...{ client, submission, outcome, principal },
    ...{ receiving: 3.4, milliseconds: 12.6, steps: [] },
  };
}

export function loginEvent(
  credentials: Credentials,
  client: Client,
  result: Principal | LoginFailure,
  trusted = false,
): RelayEvent {
  return { type: "login", credentials, client, result, trusted, milliseconds: 5.5, steps: [] };
}

export function refusedEvent(
  refusal: Refusal,
  client: Client,
  principal?: Principal,
  limit?: SettingName,
): RelayEvent {
  return { type: "refused", refusal, client, principal, limit };
}

export function limitEvent(
  setting: SettingName,
  client: Client,
  text: string,
  principal?: Principal,
): RelayEvent {
  return { type: "limit", setting, client, text, principal };
}

export function proxyHeaderEvent(
  refusal: Pick<ProxyHeaderEvent, "reason" | "detail">,
  client: Client,
): RelayEvent {
  return { type: "proxyHeader", client, ...refusal };
}

export function connectionEvent(client: Client, part: Partial<ConnectionEvent> = {}): RelayEvent {
  return {
    type: "connection",
    client,
    secure: true,
    handshakeFailed: false,
    received: 100,
    messages: 1,
    milliseconds: 5,
    reason: "QUIT",
    error: false,
    ...part,
  };
}

/** The log and the metrics, as a relay listens with them. */
export function listeners(
  log: LevelLog,
  now: () => number = () => 0,
  metrics: Metrics = new Metrics(),
  more: EventLogOptions = {},
) {
  const suppressed = () => metrics.count("log_lines_suppressed", {});
  const events = new EventLog(log, { now, suppressed, ...more });
  const notify = notifyAll([eventMetrics(metrics), events.notify]);
  return { notify, close: () => events.close(), metrics };
}
