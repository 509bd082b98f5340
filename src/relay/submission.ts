// Builds everything behind the SMTP server from the settings: accounts with their tokens, limits,
// deliveries around the back end.

import type { Account } from "../accounts/account.ts";
import { Accounts } from "../accounts/accounts.ts";
import { ClientTokens } from "../accounts/client_tokens.ts";
import { type DerivationMemory, DevicePasswords } from "../accounts/device_passwords.ts";
import { Entries, type EntryFile } from "../accounts/entries.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { SenderRules } from "../accounts/senders.ts";
import type { TableState } from "../accounts/lookup_cache.ts";
import { usernameKey } from "../accounts/username.ts";
import { type Clock, realClock } from "../clock.ts";
import { checkedDelivery } from "../delivery/checked_delivery.ts";
import type { SentLookup } from "../delivery/sent_lookup.ts";
import type { App, AppProof, CredentialName } from "../entra/app_credentials.ts";
import { EXCHANGE_SCOPES } from "../entra/claims.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import { OwnCredentials } from "../entra/relay_credentials.ts";
import { TokenSource } from "../entra/tokens.ts";
import type { HttpClient } from "../http/client.ts";
import { LoginGuard } from "../limits/login_guard.ts";
import { VERIFIED } from "../observe/event_lines.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Notify } from "../observe/relay_event.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import type { MailClient } from "../smtp_client/mail_client.ts";
import { MessageLimit } from "../submission/message_rate.ts";
import { Owners } from "../submission/owners.ts";
import { RelayService, type TrustedOptions } from "../submission/service.ts";
import type { SubmissionService } from "../submission/submission_service.ts";
import { messageLimits } from "./message_limits.ts";
import type { RelayQueue } from "./queue.ts";
import { scopeOf, takesTokens } from "./smtp_services.ts";
import { waysOut } from "./ways_out.ts";

/** Milliseconds for one token request; the client waits for its 235 meanwhile. */
const TOKEN_TIMEOUT = 20_000;

export interface SubmissionParts {
  readonly settings: Settings;
  readonly http: Pick<HttpClient, "request" | "abort">;
  /** For the ways out that are reached by SMTP. */
  readonly mail?: Pick<MailClient, "send">;
  readonly notify: Notify;
  /** The lookup table, for usernames of the form `id@lookup`. */
  readonly entries: EntrySource | undefined;
  /** LOOKUP_FILE, which is looked at before the table. */
  readonly file?: EntryFile | undefined;
  /** The relay's own credentials towards Entra ID; none when left out. */
  readonly own?: OwnCredentials;
  /** Gets gauges. */
  readonly metrics?: Metrics;
  /** In place of the settings' own. */
  readonly tokens?: TokenSource | undefined;
  /** Of MAX_MEMORY, for checks of passwords; without, they are not limited by it. */
  readonly memory?: DerivationMemory;
  /** In queue mode. */
  readonly queue?: RelayQueue | undefined;
  /** The machine's own when left out. */
  readonly clock?: Clock;
}

export interface Submissions {
  readonly service: SubmissionService;
  /** Asks the back end whether it has sent a message. */
  readonly sentLookup: SentLookup;
  /** One of the relay's own credentials has been renewed. */
  credentialRenewed(name: CredentialName): void;
  /** Whether the lookup table answered the last query; undefined if there is no table. */
  lookupState(): TableState | undefined;
  /** Begins to send what the queue holds. */
  start(): void;
  /**
   * Begins no request for the queue's messages any more: they are safe where they are. Resolves when the
   * requests under way have their results. To be called when no client waits.
   */
  drain(): Promise<void>;
  /** Ends the wait of delayed logins. Takes no more messages from the queue. */
  stopping(): void;
  /** Aborts all requests to Entra ID and the mail service. Every delivery still gets its outcome. */
  cutOff(): void;
}

const NO_MAIL: Pick<MailClient, "send"> = {
  send: () =>
    Promise.reject(new Error("a message for an SMTP server, but there is no client for it")),
};

export function buildSubmissions(parts: SubmissionParts): Submissions {
  const { settings, http, mail = NO_MAIL, notify, metrics, clock = realClock } = parts;
  const entries = entriesOf(parts);
  const tokens = parts.tokens ?? tokensOf(parts);
  const passwords = new DevicePasswords({ memory: parts.memory, clock });
  const accounts = accountsOf(parts, entries, tokens, passwords);
  const guard = new LoginGuard({
    rate: settings.AUTH_RATE_LIMIT,
    accountOf: (username) =>
      usernameKey(username, settings.USERNAME_DELIMITER, entries !== undefined),
    login: (credentials, context) => accounts.login(credentials, context),
    clock,
  });
  const rate = settings.MESSAGE_RATE_LIMIT;
  const senders = new SenderRules(settings.ALLOWED_SENDERS);
  const cutOff = new AbortController();
  const abort = new AbortController();
  const backend = waysOut({
    ...{ settings, http, mail, senders, notify, metrics, clock },
    stop: cutOff.signal,
    abort: abort.signal,
  });
  const owners = new Owners();
  const sent = (account: Account) => owners.sent(account, VERIFIED);
  const queue = parts.queue?.connect({ accounts, tokens, senders, backend, sent });
  const service = new RelayService({
    logins: {
      accounts,
      guard,
      senders,
      delimiter: settings.USERNAME_DELIMITER,
      trusted: trustedIn(settings),
    },
    messages: {
      hostname: settings.SERVER_HOSTNAME,
      limit: rate === "off" ? undefined : new MessageLimit(rate, clock),
      ...(queue === undefined ? {} : { room: queue.room }),
      owners,
    },
    delivery: checkedDelivery(queue?.delivery ?? backend, {
      rules: senders,
      limits: messageLimits(settings),
      duplicateWindow: settings.DUPLICATE_WINDOW,
    }),
    notify,
  });
  return {
    service,
    sentLookup: backend,
    credentialRenewed: (name) => tokens.renewed(name),
    lookupState: () => entries?.tableState,
    start: () => queue?.worker.start(),
    async drain() {
      cutOff.abort();
      await queue?.worker.stop();
    },
    stopping() {
      guard.stop();
      passwords.stop();
      void queue?.worker.stop();
    },
    cutOff() {
      // In this order: so a delivery that abort() ends begins nothing new, except to delete its
      // draft.
      cutOff.abort();
      http.abort();
      abort.abort();
    },
  };
}

function entriesOf(
  { settings, notify, entries, file, clock = realClock }: SubmissionParts,
): Entries | undefined {
  if (entries === undefined && file === undefined) return undefined;
  return new Entries({
    ...(entries === undefined ? {} : { source: entries }),
    ...(file === undefined ? {} : { file }),
    maxAge: settings.AZURE_TABLES_CACHE_MAX_AGE,
    clock,
    onTrouble: (trouble, served) => notify({ type: "lookupFailed", trouble, served }),
    onAnswer: () => notify({ type: "lookupAnswered" }),
    onRecovery: () => notify({ type: "lookupRecovered" }),
  });
}

function tokensOf(
  { settings, http, notify, own = new OwnCredentials(), clock = realClock }: SubmissionParts,
): TokenSource {
  const { authorityHost } = cloudOf(settings);
  const ask = async (app: App, proof: AppProof, scope: string, explain = asItIs) => {
    // MSAL is loaded with the first login.
    const { requestToken } = await import("../entra/msal.ts");
    const begun = clock.now();
    const options = { http, authorityHost, scope, timeout: TOKEN_TIMEOUT, clock };
    const answer = await requestToken(app, proof, options);
    const result = "type" in answer ? explain(answer) : answer;
    const milliseconds = clock.now() - begun;
    notify({ type: "token", milliseconds, ...("type" in result ? { refusal: result } : {}) });
    return result;
  };
  return new TokenSource({
    maxAge: settings.TOKEN_CACHE_MAX_AGE,
    clock,
    request(credentials, scope) {
      if ("credential" in credentials) {
        return own.token(credentials, (proof, explain) => ask(credentials, proof, scope, explain));
      }
      return ask(credentials, { type: "secret", secret: credentials.clientSecret }, scope);
    },
  });
}

function asItIs(refusal: EntraRefusal): EntraRefusal {
  return refusal;
}

function accountsOf(
  { settings, queue }: SubmissionParts,
  entries: Entries | undefined,
  tokens: TokenSource,
  passwords: DevicePasswords,
): Accounts {
  const { graphAudiences, exchangeAudiences } = cloudOf(settings);
  const isForExchange = takesTokens(settings, settings.BACKEND[0]);
  const { ALLOWED_TENANTS: allowedTenants } = settings;
  return new Accounts({
    delimiter: settings.USERNAME_DELIMITER,
    scope: scopeOf(settings, settings.BACKEND),
    scopeOf: (backends) => scopeOf(settings, backends),
    tokens,
    clientTokens: new ClientTokens({
      ...(isForExchange
        ? { audiences: exchangeAudiences, scopes: EXCHANGE_SCOPES }
        : { audiences: graphAudiences }),
    }),
    ...(entries === undefined ? {} : { entries, passwords }),
    ...(queue === undefined ? {} : { known: queue.known }),
    entryNeeded: settings.AZURE_TABLES_FORCE_USAGE,
    ...(allowedTenants === undefined ? {} : { allowedTenants }),
  });
}

/** The login for clients in TRUSTED_NETWORKS; undefined if there are none. */
function trustedIn(settings: Settings): TrustedOptions | undefined {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username } = settings;
  const { TRUSTED_PASSWORD: password } = settings;
  if (networks === undefined || username === undefined || password === undefined) return undefined;
  return {
    credentials: { mechanism: "PLAIN", username, password },
    limited: settings.ALLOWED_SENDERS !== undefined,
  };
}
