// Logs in and sends the test message through the relay's own submission service, with an observer in
// place of the log.

import type { LoginResult } from "../accounts/accounts.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { parseUsername } from "../accounts/username.ts";
import { type Finding, finding } from "./finding.ts";
import { judgeRefusal, judgeRoles } from "./login_findings.ts";
import { judgeOutcome, mayBeSent, testContent, type TestMessage } from "./test_message.ts";
import type { Check } from "./run.ts";
import type { Outcome, SentBefore, Submission } from "../delivery/outcome.ts";
import type { HttpClient } from "../http/client.ts";
import type { Secret } from "../secret.ts";
import type { Settings } from "../settings/schema.ts";
import type { Message } from "../server/handlers.ts";
import { type Observer, processing } from "../submission/service.ts";

export interface LoginToCheck {
  readonly username: string | undefined;
  /** Or the finding that says why it cannot be read. */
  readonly password: Secret | Finding | undefined;
  /** Sent after the login has succeeded. */
  readonly test: TestMessage | undefined;
  readonly settings: Settings;
  readonly http: HttpClient;
  /** The lookup table. */
  readonly entries: EntrySource | undefined;
  /** Takes the ids of the messages that were sent, or may have been. */
  readonly sent: string[];
}

/** Milliseconds for a login: the table, then a token. */
export const LOGIN_DEADLINE = 60_000;
/** Milliseconds that no delivery exceeds (DELIVERY_TIMEOUT). */
const LONGEST_DELIVERY = 540_000;
/** Milliseconds by which the delivery's own deadline comes first. */
const MARGIN = 10_000;
/** The client that the check acts as. */
export const CLIENT = { connection: "check", address: "127.0.0.1", port: 0 };

/** Checks login, permissions and message, in this order: each needs the one before it. */
export function checkLogin(parts: LoginToCheck): Check {
  const { username, password, test, settings } = parts;
  const delivery = test === undefined
    ? 0
    : Math.min(settings.DELIVERY_TIMEOUT, LONGEST_DELIVERY) + MARGIN;
  return {
    subject: "login",
    deadline: LOGIN_DEADLINE + delivery,
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
  { test, settings, http, entries, sent }: LoginToCheck,
): Promise<readonly Finding[]> {
  const recorded = new RecordedEvents();
  const { handlers } = processing({ settings, http, events: recorded, entries });
  const { account } = await handlers.authenticate(
    { mechanism: "PLAIN", username, password },
    CLIENT,
  );
  if (account === undefined) {
    return [judgeRefusal(recorded.refusal, parseUsername(username, settings.USERNAME_DELIMITER))];
  }
  const { tenantId, clientId } = account;
  // From the cache: the login has fetched it.
  const token = await account.token();
  const roles = "type" in token ? undefined : token.roles;
  const findings = [
    finding("login.ok", `tenant ${tenantId} gave app ${clientId} a token`),
    ...(roles === undefined ? [] : judgeRoles(roles, settings.LARGE_MESSAGES === "upload")),
  ];
  if (test === undefined) {
    const what =
      "none was asked for: --from and --to send one, and nothing else shows whether the " +
      "app may send";
    return [...findings, finding("message.not-tried", what)];
  }
  await handlers.submit(account, messageOf(test, settings));
  const { submission: { id }, outcome } = recorded.submitted;
  if (mayBeSent(outcome)) sent.push(id);
  const from = account.fromEmail ?? test.from;
  return [...findings, judgeOutcome(outcome, id, { from, to: test.to }, roles)];
}

function messageOf(test: TestMessage, { SERVER_HOSTNAME }: Settings): Message {
  return {
    envelope: { from: test.from, recipients: [test.to] },
    content: testContent(test, SERVER_HOSTNAME),
    facts: {
      helo: SERVER_HOSTNAME,
      esmtp: true,
      tls: false,
      smtputf8: /[^\x20-\x7e]/.test(test.from + test.to),
    },
    client: CLIENT,
  };
}

/** Records the events that would be logged. */
export class RecordedEvents implements Observer {
  #login: LoginResult | undefined;
  #submitted: { submission: Submission; outcome: Outcome | SentBefore } | undefined;

  get refusal(): Exclude<LoginResult, { type: "account" }> {
    if (this.#login === undefined || this.#login.type === "account") throw new Error("no refusal");
    return this.#login;
  }

  get submitted(): { submission: Submission; outcome: Outcome | SentBefore } {
    if (this.#submitted === undefined) throw new Error("no outcome");
    return this.#submitted;
  }

  login(_credentials: unknown, _client: unknown, result: LoginResult): void {
    this.#login = result;
  }

  message(submission: Submission, outcome: Outcome | SentBefore): void {
    this.#submitted = { submission, outcome };
  }

  refused(): void {}
  limited(): void {}
  proxyRefused(): void {}
  notAccepted(): void {}
  bug(): void {}
  connection(): void {}
  tableTrouble(): void {}
  tableRecovered(): void {}
}
