// What becomes of a login and of a message: the way from the SMTP server to Entra ID and Graph.

import { randomBytes } from "node:crypto";
import type { Account, LoginFailure, LoginResult } from "../accounts/account.ts";
import { Accounts } from "../accounts/accounts.ts";
import type { TableState } from "../accounts/lookup_cache.ts";
import { ClientTokens } from "../accounts/client_tokens.ts";
import { Entries } from "../accounts/entries.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { LoginGuard } from "../limits/login_guard.ts";
import { MessageLimit } from "./message_rate.ts";
import { Owners } from "./owners.ts";
import { senderCheck, SenderPolicy } from "../accounts/senders.ts";
import { shownCredentials } from "../accounts/shown_username.ts";
import {
  liveAccount,
  type LiveLoginResult,
  type LiveParts,
  type SessionAccount,
} from "./live_account.ts";
import { asTrusted, boundAccount, UNBOUND } from "./trusted_login.ts";
import { DirectDelivery } from "../delivery/direct.ts";
import type { NotSent, OnWait, Submission } from "../delivery/outcome.ts";
import { TokenSource } from "../entra/tokens.ts";
import { GraphBackend } from "../graph/backend.ts";
import { realClock } from "../clock.ts";
import type { HttpClient } from "../http/client.ts";
import type { Events } from "../observe/events.ts";
import type { Client, Handlers, Login, Message, TrustedClients } from "../server/handlers.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { discard } from "../smtp/content.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";

/** Milliseconds for one token request: a client waits for its 235 meanwhile. */
const TOKEN_TIMEOUT = 20_000;

export interface Processing {
  readonly handlers: Handlers<SessionAccount>;
  /** Whether the lookup table answered the last question; undefined where there is none. */
  tableState(): TableState | undefined;
  /** Logins that were made to wait wait no longer. */
  stopping(): void;
  /** Ends what is under way at Entra and Graph: its outcome is known as far as it can be. */
  cutOff(): void;
}

/** Who is told of what happens: the log, mostly. */
export type Observer = Pick<
  Events,
  | "login"
  | "message"
  | "refused"
  | "limited"
  | "proxyRefused"
  | "notAccepted"
  | "bug"
  | "connection"
  | "tableTrouble"
  | "tableRecovered"
>;

export interface ProcessingParts {
  readonly settings: Settings;
  readonly http: Pick<HttpClient, "request" | "abort">;
  readonly events: Observer;
  /** Where usernames of the form `id@lookup` are looked up. */
  readonly entries: EntrySource | undefined;
}

export function processing(
  { settings, http, events, entries: source }: ProcessingParts,
): Processing {
  const cloud = cloudOf(settings);
  const { authorityHost, graphEndpoint, graphScope } = cloud;
  const tokens = new TokenSource({
    maxAge: settings.TOKEN_CACHE_MAX_AGE,
    async request(credentials, scope) {
      // MSAL is loaded with the first login, not with the program.
      const { requestToken } = await import("../entra/msal.ts");
      return requestToken(credentials, { http, authorityHost, scope, timeout: TOKEN_TIMEOUT });
    },
  });
  const { ALLOWED_TENANTS: allowedTenants, ALLOWED_SENDERS: allowedSenders } = settings;
  const entries = source === undefined ? undefined : new Entries({
    source,
    maxAge: settings.AZURE_TABLES_CACHE_MAX_AGE,
    onTrouble: (trouble, served) => events.tableTrouble(trouble, served),
    onRecovery: () => events.tableRecovered(),
  });
  const accounts = new Accounts({
    delimiter: settings.USERNAME_DELIMITER,
    tokens,
    scope: graphScope,
    clientTokens: new ClientTokens({ audiences: cloud.graphAudiences }),
    ...(entries === undefined ? {} : { entries }),
    entryNeeded: settings.AZURE_TABLES_FORCE_USAGE,
    ...(allowedTenants === undefined ? {} : { allowedTenants }),
  });
  const parts: LiveParts = {
    policy: new SenderPolicy(allowedSenders),
    scope: graphScope,
    refresh: (account) => accounts.refresh(account),
  };
  const guard = new LoginGuard({
    rate: settings.AUTH_RATE_LIMIT,
    delimiter: settings.USERNAME_DELIMITER,
    login: (credentials, mayAskAgain) => accounts.login(credentials, mayAskAgain),
    clock: realClock,
  });
  const messageRate = settings.MESSAGE_RATE_LIMIT;
  const limit = messageRate === "off" ? undefined : new MessageLimit(messageRate, realClock);
  const backend = new GraphBackend({
    http,
    endpoint: graphEndpoint,
    timeout: settings.GRAPH_HTTP_TIMEOUT,
    requestLimit: settings.GRAPH_REQUEST_LIMIT,
    concurrency: settings.GRAPH_CONCURRENCY,
    pacingTimeout: settings.PACING_TIMEOUT,
    deliveryTimeout: settings.DELIVERY_TIMEOUT,
    largeMessages: settings.LARGE_MESSAGES,
  });
  const delivery = new DirectDelivery({
    backend,
    hostname: settings.SERVER_HOSTNAME,
    reencodeQuotedPrintable: settings.REENCODE_QUOTED_PRINTABLE,
    duplicateWindow: settings.DUPLICATE_WINDOW,
    limits: {
      header: settings.MAX_HEADER_SIZE,
      depth: settings.MAX_MIME_DEPTH,
      parts: settings.MAX_MIME_PARTS,
    },
  });
  const owners = new Owners();
  const submissions = new WeakMap<Message, Submission>();
  /** Whose client has gone, or ended its side, before their delivery began. */
  const left = new WeakMap<Message, Promise<boolean>>();
  /** Those that had been sent before. */
  const repeated = new WeakSet<Message>();
  const handlers: Handlers<SessionAccount> = {
    async authenticate(credentials: Credentials, client: Client): Promise<Login<SessionAccount>> {
      const result = await guard.login(credentials, client.address);
      if (result.type === "limited") {
        events.limited("AUTH_RATE_LIMIT", client, result.what);
        return { reply: result.reply };
      }
      const shown = shownCredentials(credentials, result, settings.USERNAME_DELIMITER);
      events.login(shown, client, live(result, parts));
      return loginOf(result, owners, limit, parts);
    },
    trusted: trustedClients(settings, accounts, events, owners, limit, parts),
    async submit(session: SessionAccount, message: Message, onWait?: OnWait) {
      const begun = performance.now();
      const { account, authorization } = session;
      const place = limit?.begin(account, authorization);
      const tooMany = limit !== undefined && place === undefined;
      // Where a fault hides what has become of it, it may have been sent.
      let counts = true;
      const claimed = authorization.unverified() !== undefined;
      try {
        const current = tooMany ? session : await session.renewed();
        const submission: Submission = {
          id: randomBytes(8).toString("hex"),
          account: "token" in current ? current : session,
          envelope: message.envelope,
          content: message.content,
          facts: message.facts,
          client: message.client.address,
          receivedAt: new Date(),
        };
        const delivering = tooMany
          ? Promise.resolve(TOO_MANY)
          : "token" in current
          ? delivery.deliver(submission, onWait)
          : Promise.resolve(notSent(current));
        submissions.set(message, submission);
        const gone = left.get(message);
        if (gone !== undefined) delivery.abandon(submission, gone);
        const outcome = await delivering;
        // Graph has said of the token what Entra ID says of a password: it was a guess.
        if (claimed && authorization.expiry() !== undefined) {
          guard.disproved(authorization, message.client.address);
        }
        if (outcome.type === "sent") owners.sent(account, authorization);
        else if (outcome.type === "sentBefore") repeated.add(message);
        counts = outcome.type === "sent" || outcome.type !== "sentBefore" && outcome.ambiguous;
        if (tooMany) events.limited("MESSAGE_RATE_LIMIT", message.client, TOO_MANY_SAID, session);
        events.message(submission, outcome, message.client, performance.now() - begun);
        return outcome.reply;
      } finally {
        place?.(counts);
        // Nothing needs it any more, not even a delivery that was cut off: it has ended.
        discard(message.content);
      }
    },
    abandoned(message, gone) {
      const submission = submissions.get(message);
      if (submission !== undefined) delivery.abandon(submission, gone);
      else left.set(message, gone);
    },
    answered(message) {
      if (repeated.has(message)) delivery.answered(submissions.get(message)!);
    },
    refused(refusal, client, account) {
      const { tried } = refusal;
      if (refusal.reply === REPLIES.notUtf8 && !guard.failed(client.address, tried)) {
        return events.limited("AUTH_RATE_LIMIT", client, TOO_MANY_FAILED);
      }
      // A device that is not stopped by it must not fill the log.
      if (refusal.reply === REPLIES.tooManyMessages) {
        return events.limited("MESSAGE_RATE_LIMIT", client, TOO_MANY_SAID, account);
      }
      events.refused(refusal, client, account, LIMITS.get(refusal.reply));
    },
    limited: (setting, client, what) => events.limited(setting, client, what),
    proxyRefused: (refusal, client) => events.proxyRefused(refusal, client),
    notAccepted: (error) => events.notAccepted(error),
    failed: (error, client) => events.bug(error, client),
    ended: (summary) => events.connection(summary),
  };
  return {
    handlers,
    tableState: () => entries?.tableState,
    stopping: () => guard.stop(),
    cutOff() {
      // In this order: what abort() ends begins nothing more then, but for taking back its draft.
      backend.stop();
      http.abort();
    },
  };
}

const TOO_MANY_FAILED = "Login refused: it was none, and too many of this address have failed";
/** What the session refuses because of a limit, by its reply. */
const LIMITS = new Map<Reply, SettingName>([
  [REPLIES.tooBig, "MAX_MESSAGE_SIZE"],
  [REPLIES.tooManyRecipients, "MAX_RECIPIENTS"],
]);

const TOO_MANY_SAID = "Message deferred: too many messages from this account";

const TOO_MANY: NotSent = {
  type: "later",
  reply: REPLIES.tooManyMessages,
  ambiguous: false,
  code: "MESSAGE_RATE_LIMIT",
  detail: "the account has sent as many messages as MESSAGE_RATE_LIMIT allows",
};

function loginOf(
  result: LoginResult,
  owners: Owners,
  limit: MessageLimit | undefined,
  parts: LiveParts,
): Login<SessionAccount> {
  const { reply } = result;
  if (result.type !== "account") return { reply };
  const { account, authorization } = result;
  const anySender = account.fromEmail !== undefined;
  const proved = authorization.unverified() === undefined;
  const check = senderCheck(account, { authorization, ...parts });
  return {
    reply,
    account: liveAccount(account, authorization, parts),
    owner: owners.of(account, authorization),
    checkSender: limit?.checkAfter(check, account, authorization) ?? check,
    anySender,
    ...(proved ? {} : { proved }),
  };
}

/** For the log. */
function live(result: LoginResult, parts: LiveParts): LiveLoginResult {
  if (result.type !== "account") return result;
  const { account, authorization, reply } = result;
  return { type: "account", account: liveAccount(account, authorization, parts), reply };
}

/** Who may send without a login, and as whom; undefined where nobody may. */
function trustedClients(
  settings: Settings,
  accounts: Accounts,
  events: Observer,
  owners: Owners,
  limit: MessageLimit | undefined,
  allParts: LiveParts,
): TrustedClients<SessionAccount> | undefined {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username } = settings;
  const { TRUSTED_PASSWORD: password } = settings;
  if (networks === undefined || username === undefined || password === undefined) return undefined;
  const credentials: Credentials = { mechanism: "PLAIN", username, password };
  const limited = settings.ALLOWED_SENDERS !== undefined;
  const parts: LiveParts = {
    ...allParts,
    async refresh(account: Account) {
      const now = await allParts.refresh(account);
      return "reply" in now ? now : boundAccount(now, limited);
    },
  };
  return {
    has: ({ address }) => networks.has(address),
    async logIn(client) {
      const result = asTrusted(await accounts.login(credentials), limited);
      if (result.type === "refused" && result.code === UNBOUND) accounts.readAgain(username);
      const shown = shownCredentials(credentials, result, settings.USERNAME_DELIMITER);
      events.login(shown, client, live(result, parts), true);
      return loginOf(result, owners, limit, parts);
    },
  };
}

/** The account's entry in the lookup table does not allow it any more, or not for now. */
function notSent({ type, reply, detail }: LoginFailure): NotSent {
  return { type, reply, ambiguous: false, code: "LOOKUP_ENTRY", detail };
}
