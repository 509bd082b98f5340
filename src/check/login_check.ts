// The part of `check` that logs in and sends: by the relay's own code, with a listener instead of
// the log.

import { randomUUID } from "node:crypto";
import type { LoginFailure } from "../accounts/account.ts";
import type { EntryFile } from "../accounts/entries.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { parseUsername } from "../accounts/username.ts";
import { realClock } from "../clock.ts";
import type { WaitingClient } from "../delivery/delivery.ts";
import type { OwnCredentials } from "../entra/relay_credentials.ts";
import type { HttpClient } from "../http/client.ts";
import type { MessageEvent, RelayEvent } from "../observe/relay_event.ts";
import { buildSubmissions } from "../relay/submission.ts";
import type { Secret } from "../secret.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import type { Principal, ReceivedMessage } from "../submission/submission_service.ts";
import type { MailClient } from "../smtp_client/mail_client.ts";
import { type Finding, finding } from "./finding.ts";
import { judgeRefusal, judgeRoles } from "./login_findings.ts";
import type { Check } from "./run.ts";
import { checkFound, SEARCH_TIME } from "./sent_check.ts";
import { checkWayLogin, usesGraph } from "./way_check.ts";
import { judgeOutcome, mayBeSent, testContent, type TestMessage } from "./test_message.ts";

export interface LoginToCheck {
  readonly username: string | undefined;
  /** Or why there is no account. */
  readonly password: Secret | Finding | undefined;
  /** To be sent, once the login has succeeded. */
  readonly test: TestMessage | undefined;
  readonly settings: Settings;
  readonly http: HttpClient;
  readonly mail: MailClient;
  /** The lookup table. */
  readonly entries: EntrySource | undefined;
  /** LOOKUP_FILE. */
  readonly file: EntryFile | undefined;
  /** The relay's own. */
  readonly own: OwnCredentials;
  /** Takes the ids of the messages that were sent, or may have been. */
  readonly sent: string[];
}

/** Milliseconds for a login: the table, then a token. */
export const LOGIN_DEADLINE = 60_000;
/** Milliseconds for a login to a mail server. */
const WAY_TIME = 15_000;
/** Milliseconds that no delivery exceeds (DELIVERY_TIMEOUT). */
const LONGEST_DELIVERY = 540_000;
/** Milliseconds in addition, so that the delivery's own deadline comes first. */
const MARGIN = 10_000;
/** The client that the check stands for. */
export const CLIENT = { connection: "check", address: "127.0.0.1", port: 0 };

/** Login, permissions and message: each needs the one before it. */
export function checkLogin(parts: LoginToCheck): Check {
  const { username, password, test, settings } = parts;
  const delivery = test === undefined
    ? 0
    : Math.min(settings.DELIVERY_TIMEOUT, LONGEST_DELIVERY) + MARGIN;
  return {
    subject: "login",
    deadline: LOGIN_DEADLINE + delivery + (asks(settings) ? SEARCH_TIME : 0),
    async run() {
      if (username === undefined || password === undefined) {
        const what = "not tried: that needs --username and --password-file";
        return [finding("login.not-tried", what)];
      }
      return "level" in password ? [password] : await logIn(username, password, parts);
    },
  };
}

async function logIn(
  username: string,
  password: Secret,
  { test, settings, http, mail, entries, file, own, sent }: LoginToCheck,
): Promise<readonly Finding[]> {
  const events: RelayEvent[] = [];
  const notify = (event: RelayEvent) => void events.push(event);
  const { service, sentLookup } = buildSubmissions({
    ...{ settings, http, mail, notify, entries, file, own },
  });
  const credentials = { mechanism: "PLAIN", username, password } as const;
  const { principal } = await service.authenticate(credentials, CLIENT);
  if (principal === undefined) {
    const name = parseUsername(username, settings.USERNAME_DELIMITER);
    return [judgeRefusal(failureIn(events), name)];
  }
  const { account } = principal;
  const { tenantId, clientId } = account;
  const roles = usesGraph(settings, account) ? await rolesOf(principal, settings) : undefined;
  const { authorization } = principal;
  const mailbox = account.fromEmail ?? test?.from;
  const findings = [
    finding("login.ok", `tenant ${tenantId} gave app ${clientId} a token`),
    ...(roles === undefined ? [] : judgeRoles(roles, settings.LARGE_MESSAGES === "upload")),
    ...await checkWayLogin({ settings, account, authorization, mailbox }, {
      mail,
      timeout: WAY_TIME,
    }),
  ];
  if (test === undefined) {
    const what =
      "none was asked for: --from and --to send one, and nothing else shows whether the " +
      "app may send";
    return [...findings, finding("message.not-tried", what)];
  }
  const messageId = `<check-${randomUUID()}@${settings.SERVER_HOSTNAME}>`;
  const since = Date.now();
  await service.submit(principal, messageOf(test, settings, messageId), WAITING);
  const { submission: { id }, outcome } = messageIn(events);
  if (mayBeSent(outcome)) sent.push(id);
  const from = account.fromEmail ?? test.from;
  findings.push(judgeOutcome(outcome, id, { from, to: test.to }, roles));
  if (outcome.type === "sent" && asks(settings)) {
    const question = { account, authorization, sending: { mailbox: from, messageId }, since };
    findings.push(await checkFound(sentLookup, question, realClock));
  }
  return findings;
}

/** Whether the relay would look for messages that may have been sent. */
function asks({ DELIVERY_MODE, QUEUE_AMBIGUOUS }: Settings): boolean {
  return DELIVERY_MODE === "queue" && QUEUE_AMBIGUOUS === "ask";
}

function messageOf(
  test: TestMessage,
  { SERVER_HOSTNAME }: Settings,
  messageId: string,
): ReceivedMessage {
  return {
    envelope: { from: test.from, recipients: [test.to] },
    content: testContent(test, SERVER_HOSTNAME, messageId),
    facts: {
      helo: SERVER_HOSTNAME,
      esmtp: true,
      tls: false,
      smtputf8: /[^\x20-\x7e]/.test(test.from + test.to),
    },
    receiving: 0,
    client: CLIENT,
  };
}

/** The roles of the token that the login has fetched. */
export async function rolesOf(
  { authorization }: Principal,
  settings: Settings,
): Promise<readonly string[] | undefined> {
  const token = await authorization.token(cloudOf(settings).graphScope);
  return "type" in token ? undefined : token.roles;
}

/** Waits for the outcome, without a limit of its own. */
const WAITING: WaitingClient = {
  signal: new AbortController().signal,
  waiting() {},
  left: new Promise(() => {}),
  replied: new Promise(() => {}),
};

/** Why the login failed, as the log would say it. */
export function failureIn(events: readonly RelayEvent[]): LoginFailure {
  for (const event of events) {
    if (event.type === "login" && "reply" in event.result) return event.result;
  }
  throw new Error("no login has failed");
}

function messageIn(events: readonly RelayEvent[]): MessageEvent {
  const found = events.find((event): event is MessageEvent => event.type === "message");
  if (found === undefined) throw new Error("no message has come to an outcome");
  return found;
}
