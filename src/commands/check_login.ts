// The part of `check` that logs in and sends: on the relay's own way, with an observer in place of the
// log.

import type { LoginResult } from "../accounts/accounts.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { parseUsername } from "../accounts/username.ts";
import { type Finding, finding } from "../check/finding.ts";
import { judgeRefusal, judgeRoles } from "../check/login.ts";
import { judgeOutcome, mayBeSent, testContent, type TestMessage } from "../check/message.ts";
import type { Check } from "../check/run.ts";
import type { Outcome, Submission } from "../delivery/delivery.ts";
import type { HttpClient } from "../http/client.ts";
import type { Secret } from "../secret.ts";
import type { Settings } from "../settings/schema.ts";
import type { Message } from "../server/handlers.ts";
import { type Observer, processing } from "../submission/service.ts";

export interface LoginToCheck {
  readonly username: string | undefined;
  /** Or why there is none. */
  readonly password: Secret | Finding | undefined;
  /** To be sent, once the login has succeeded. */
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
/** Milliseconds that no delivery is over (DELIVERY_TIMEOUT). */
const LONGEST_DELIVERY = 540_000;
/** Milliseconds for the delivery's own deadline to be the one that counts. */
const MARGIN = 10_000;
/** The client whom the check stands for. */
export const CLIENT = { connection: "check", address: "127.0.0.1", port: 0 };

/** Login, permissions and message: each needs the one before it. */
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
  const told = new Told();
  const { handlers } = processing({ settings, http, events: told, entries });
  const { account } = await handlers.authenticate(
    { mechanism: "PLAIN", username, password },
    CLIENT,
  );
  if (account === undefined) {
    return [judgeRefusal(told.refusal, parseUsername(username, settings.USERNAME_DELIMITER))];
  }
  const { tenantId, clientId } = account;
  // The one that the login has fetched.
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
  const { submission: { id }, outcome } = told.submitted;
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

/** Keeps what the log would be told. */
export class Told implements Observer {
  #login: LoginResult | undefined;
  #submitted: { submission: Pick<Submission, "id">; outcome: Outcome } | undefined;

  get refusal(): Exclude<LoginResult, { type: "account" }> {
    if (this.#login === undefined || this.#login.type === "account") throw new Error("no refusal");
    return this.#login;
  }

  get submitted(): { submission: Pick<Submission, "id">; outcome: Outcome } {
    if (this.#submitted === undefined) throw new Error("no outcome");
    return this.#submitted;
  }

  login(_credentials: unknown, _client: unknown, result: LoginResult): void {
    this.#login = result;
  }

  message(submission: Pick<Submission, "id">, outcome: Outcome): void {
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
