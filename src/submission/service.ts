// What becomes of a login and of a message: the way from the SMTP server to Entra ID and Graph.

import { randomBytes } from "node:crypto";
import { type Account, Accounts, type LoginResult, type NoAccount } from "../accounts/accounts.ts";
import type { TableState } from "../accounts/lookup_cache.ts";
import { BroughtTokens } from "../accounts/client_tokens.ts";
import { Entries } from "../accounts/entries.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { LoginGuard } from "../limits/login_guard.ts";
import { MessageLimit } from "./message_rate.ts";
import { Owners } from "./owners.ts";
import { senderCheck } from "../accounts/senders.ts";
import { shownCredentials } from "../accounts/shown_username.ts";
import { asTrusted, UNBOUND } from "./trusted_login.ts";
import type { Attempt, NotSent, Submission, WaitingClient } from "../delivery/delivery.ts";
import { directDelivery } from "../delivery/direct_delivery.ts";
import { SenderRules } from "../delivery/sender_rules.ts";
import { TokenSource } from "../entra/tokens.ts";
import { GraphBackend } from "../graph/backend.ts";
import { realClock } from "../clock.ts";
import type { HttpClient } from "../http/client.ts";
import type { Events } from "../observe/events.ts";
import type {
  Client,
  Handlers,
  Login,
  Message,
  OnWait,
  TrustedClients,
} from "../server/handlers.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { discard } from "../smtp/content.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { Credentials } from "../smtp/sasl.ts";

/** Milliseconds for one token request: a client waits for its 235 meanwhile. */
const TOKEN_TIMEOUT = 20_000;

export interface Processing {
  readonly handlers: Handlers<Account>;
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
  const { authorityHost, graphEndpoint, graphScope: scope } = cloud;
  const tokens = new TokenSource({
    maxAge: settings.TOKEN_CACHE_MAX_AGE,
    async request(credentials) {
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
    brought: new BroughtTokens({ audiences: cloud.graphAudiences }),
    ...(entries === undefined ? {} : { entries }),
    entryNeeded: settings.AZURE_TABLES_FORCE_USAGE,
    ...(allowedTenants === undefined ? {} : { allowedTenants }),
    ...(allowedSenders === undefined ? {} : { allowedSenders }),
  });
  const guard = new LoginGuard({
    rate: settings.AUTH_RATE_LIMIT,
    delimiter: settings.USERNAME_DELIMITER,
    login: (credentials, mayAskAgain) => accounts.login(credentials, mayAskAgain),
    clock: realClock,
  });
  const messageRate = settings.MESSAGE_RATE_LIMIT;
  const limit = messageRate === "off" ? undefined : new MessageLimit(messageRate, realClock.now);
  const rules = new SenderRules(allowedSenders);
  const limits = {
    header: settings.MAX_HEADER_SIZE,
    depth: settings.MAX_MIME_DEPTH,
    parts: settings.MAX_MIME_PARTS,
  };
  const stop = new AbortController();
  const backend = new GraphBackend({
    http,
    endpoint: graphEndpoint,
    scope,
    message: {
      hostname: settings.SERVER_HOSTNAME,
      reencodeQuotedPrintable: settings.REENCODE_QUOTED_PRINTABLE,
      senders: rules,
      limits,
    },
    timeout: settings.GRAPH_HTTP_TIMEOUT,
    requestLimit: settings.GRAPH_REQUEST_LIMIT,
    concurrency: settings.GRAPH_CONCURRENCY,
    pacingTimeout: settings.PACING_TIMEOUT,
    deliveryTimeout: settings.DELIVERY_TIMEOUT,
    largeMessages: settings.LARGE_MESSAGES,
    stop: stop.signal,
  });
  const delivery = directDelivery(backend, {
    rules,
    limits,
    duplicateWindow: settings.DUPLICATE_WINDOW,
  });
  const owners = new Owners();
  const clients = new WeakMap<Message, MessageClient>();
  const clientOf = (message: Message): MessageClient => {
    const known = clients.get(message);
    if (known !== undefined) return known;
    const client = new MessageClient();
    clients.set(message, client);
    return client;
  };
  const handlers: Handlers<Account> = {
    async authenticate(credentials: Credentials, client: Client): Promise<Login<Account>> {
      const result = await guard.login(credentials, client.address);
      if (result.type === "limited") {
        events.limited("AUTH_RATE_LIMIT", client, result.what);
        return { reply: result.reply };
      }
      const shown = shownCredentials(credentials, result, settings.USERNAME_DELIMITER);
      events.login(shown, client, result);
      return loginOf(result, owners, limit);
    },
    trusted: trustedClients(settings, accounts, events, owners, limit),
    async submit(account: Account, message: Message, onWait?: OnWait) {
      const begun = performance.now();
      const place = limit?.begin(account);
      const tooMany = limit !== undefined && place === undefined;
      // Where a fault hides what has become of it, it may have been sent.
      let counts = true;
      const claimed = account.unproved?.() !== undefined;
      try {
        const current = tooMany || account.renewed === undefined
          ? account
          : await account.renewed();
        const sender = "token" in current ? current : account;
        const submission: Submission = {
          id: randomBytes(8).toString("hex"),
          account: dataOf(sender),
          envelope: message.envelope,
          content: message.content,
          facts: message.facts,
          client: message.client.address,
          receivedAt: Date.now(),
        };
        const waiting = clientOf(message);
        waiting.onWait = onWait;
        const attempt: Attempt = { authorization: authorizationOf(sender), client: waiting };
        const outcome = tooMany
          ? TOO_MANY
          : "token" in current
          ? await delivery.deliver(submission, attempt)
          : notSent(current);
        // Graph has said of the token what Entra ID says of a password: it was a guess.
        if (claimed && account.ended?.() !== undefined) {
          guard.disproved(account, message.client.address);
        }
        if (outcome.type === "sent") owners.sent(account);
        counts = outcome.type === "sent" || outcome.type !== "alreadySent" && outcome.ambiguous;
        if (tooMany) events.limited("MESSAGE_RATE_LIMIT", message.client, TOO_MANY_SAID, account);
        const told = { ...submission, account: sender };
        events.message(told, outcome, message.client, performance.now() - begun);
        return outcome.reply;
      } finally {
        place?.(counts);
        // Nothing needs it any more, not even a delivery that was cut off: it has ended.
        discard(message.content);
      }
    },
    abandoned(message, gone) {
      const client = clientOf(message);
      void gone.then((isGone) => client.settle(!isGone));
      client.leave();
    },
    answered: (message) => clientOf(message).settle(true),
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
      stop.abort();
      http.abort();
    },
  };
}

/** What the server tells of a client, in the form that a delivery asks for. */
class MessageClient implements WaitingClient {
  readonly #controller = new AbortController();
  readonly #left = Promise.withResolvers<void>();
  readonly #replied = Promise.withResolvers<boolean>();
  readonly signal = this.#controller.signal;
  readonly left = this.#left.promise;
  readonly replied = this.#replied.promise;
  readonly leave = this.#left.resolve;
  readonly settle = this.#replied.resolve;
  onWait: OnWait | undefined;

  waiting(isWaiting: boolean): void {
    this.onWait?.(isWaiting ? () => this.#controller.abort() : undefined);
  }
}

function dataOf(account: Account): Submission["account"] {
  const { tenantId, clientId, entry, fromEmail, fromName, allowedSenders } = account;
  return {
    tenantId,
    clientId,
    ...(entry === undefined ? {} : { entry: { id: entry, foundBy: "id" } }),
    ...(fromEmail === undefined ? {} : { fromEmail }),
    ...(fromName === undefined ? {} : { fromName }),
    ...(allowedSenders === undefined ? {} : { allowedSenders }),
  };
}

function authorizationOf(account: Account): Attempt["authorization"] {
  return {
    token: () => account.token(),
    reject: (token, status) => account.reject(token, status),
    confirm: (token) => account.confirm(token),
    unverified: () => account.unproved?.(),
    expiry: () => account.ended?.(),
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
): Login<Account> {
  const { reply } = result;
  if (result.type !== "account") return { reply };
  const { account } = result;
  const anySender = account.fromEmail !== undefined;
  const proved = account.unproved?.() === undefined;
  const check = senderCheck(account);
  return {
    reply,
    account,
    owner: owners.of(account),
    checkSender: limit?.checkAfter(check, account) ?? check,
    anySender,
    ...(proved ? {} : { proved }),
  };
}

/** Who may send without a login, and as whom; undefined where nobody may. */
function trustedClients(
  settings: Settings,
  accounts: Accounts,
  events: Observer,
  owners: Owners,
  limit: MessageLimit | undefined,
): TrustedClients<Account> | undefined {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username } = settings;
  const { TRUSTED_PASSWORD: password } = settings;
  if (networks === undefined || username === undefined || password === undefined) return undefined;
  const credentials: Credentials = { mechanism: "PLAIN", username, password };
  const limited = settings.ALLOWED_SENDERS !== undefined;
  return {
    has: ({ address }) => networks.has(address),
    async logIn(client) {
      const result = asTrusted(await accounts.login(credentials), limited);
      if (result.type === "refused" && result.code === UNBOUND) accounts.readAgain(username);
      const shown = shownCredentials(credentials, result, settings.USERNAME_DELIMITER);
      events.login(shown, client, result, true);
      return loginOf(result, owners, limit);
    },
  };
}

/** The account's entry in the lookup table does not allow it any more, or not for now. */
function notSent({ type, reply, detail }: NoAccount): NotSent {
  return { type, reply, ambiguous: false, code: "LOOKUP_ENTRY", detail };
}
