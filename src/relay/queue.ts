// Opens the durable queue of the settings for a relay (DELIVERY_MODE=queue), and builds what works on it.

import { setImmediate } from "node:timers";
import type { Account, Authorization } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import type { SenderRules } from "../accounts/senders.ts";
import { type Clock, realClock } from "../clock.ts";
import type { Backends } from "../delivery/backends.ts";
import type { Delivery } from "../delivery/delivery.ts";
import { EarlyRefusal } from "../delivery/early_refusal.ts";
import { SenderPolicy } from "../delivery/sender_policy.ts";
import type { AppCredentials } from "../entra/app_credentials.ts";
import { TokenLogin, type TokenSource } from "../entra/tokens.ts";
import { CommandError, EXIT } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import type { Log } from "../observe/log.ts";
import type { PartState } from "../observe/http.ts";
import type { Gauge } from "../observe/gauges.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Notify } from "../observe/relay_event.ts";
import { doubtPolicy } from "../queue/doubt.ts";
import { KEY_NOTE, keyProblem } from "../queue/key_note.ts";
import { FailureReports } from "../queue/failure_reports.ts";
import { KnownLogins } from "../queue/known_logins.ts";
import { MessageTry } from "../queue/message_try.ts";
import { QueueDelivery } from "../queue/queue_delivery.ts";
import { accountName } from "../queue/names.ts";
import type { StoredCredential } from "../queue/record.ts";
import { QueueRoom } from "../queue/queue_room.ts";
import { QueueShares } from "../queue/queue_shares.ts";
import { QueueWorker } from "../queue/queue_worker.ts";
import { Sealer } from "../queue/sealing.ts";
import { type QueueAdministration, type QueueStore, StoreError } from "../queue/store.ts";
import type { LiveQueue } from "../status/live_state.ts";
import type { Secret } from "../secret.ts";
import type { Settings } from "../settings/schema.ts";
import { currentAccount } from "../submission/current_account.ts";
import type { MailRoom } from "../submission/service.ts";
import { azureQueueOptions, openQueueAdministration } from "./open_queue.ts";
import type { EventSource, KeptEvents } from "../webhook/kept_events.ts";
import { messageLimits } from "./message_limits.ts";
import { mailboxLimit, scopeOf } from "./smtp_services.ts";

/** What the queue needs of the submissions. */
export interface QueueWork {
  readonly accounts: Accounts;
  readonly tokens: TokenSource;
  readonly senders: SenderRules;
  readonly backend: Backends;
  /** Called when the mail service has accepted a queued message of the account. */
  sent(account: Account): void;
}

/** What the submissions need of the queue. */
export interface ConnectedQueue {
  readonly delivery: Delivery;
  readonly room: MailRoom;
  readonly worker: QueueWorker;
}

export interface QueueParts {
  readonly settings: Settings;
  readonly http: HttpClient;
  readonly notify: Notify;
  readonly log: Log;
  readonly clock?: Clock;
}

/** The share of MAX_MEMORY for messages that are sent from the queue. */
const MEMORY_SHARE = 4;
/** Milliseconds beyond QUEUE_MAX_AGE that an account's last secret is kept: for mail that is held. */
const SECRET_KEPT = 30 * 86_400_000;
/** When the note about the key ends: never. */
const FOREVER = Date.UTC(9999, 0);

/** The open queue of a relay. */
export class RelayQueue {
  /** The credentials that may log in while Entra ID does not answer. */
  readonly known: KnownLogins;
  readonly #parts: QueueParts;
  readonly #store: QueueStore;
  readonly #sealer: Sealer;
  readonly #clock: Clock;
  #worker: QueueWorker | undefined;
  #administration: Promise<QueueAdministration> | undefined;

  private constructor(parts: QueueParts, store: QueueStore, sealer: Sealer) {
    const { settings, clock = realClock } = parts;
    this.#parts = parts;
    this.#store = store;
    this.#sealer = sealer;
    this.#clock = clock;
    this.known = new KnownLogins({
      notes: store.notes,
      sealer,
      clock,
      times: {
        offline: settings.QUEUE_OFFLINE_LOGIN,
        secret: settings.QUEUE_MAX_AGE + SECRET_KEPT,
      },
      failed: (error) => this.#failed(error),
    });
  }

  /**
   * @param openStore of the settings
   * @throws CommandError 69 if the store cannot be opened, 78 if QUEUE_KEY is another one
   */
  static async open(parts: QueueParts, openStore = storeOf): Promise<RelayQueue> {
    const { QUEUE_KEY: keys } = parts.settings;
    if (keys === undefined) throw new Error("queue mode without QUEUE_KEY");
    const sealer = new Sealer(keys);
    let store: QueueStore | undefined;
    try {
      store = await openStore(parts);
      await checkKey(store, sealer);
      return new RelayQueue(parts, store, sealer);
    } catch (error) {
      await store?.close().catch(() => {});
      if (error instanceof StoreError) {
        throw new CommandError(EXIT.unavailable, [`QUEUE_URL: ${error.message}`]);
      }
      throw error;
    }
  }

  /** The delivery to the queue, and the worker that sends what is in it. */
  connect({ accounts, tokens, senders, backend, sent }: QueueWork): ConnectedQueue {
    const { settings } = this.#parts;
    const notify: Notify = (event) => {
      if (event.type === "queue" && event.change === "sent" && event.message.record !== undefined) {
        sent(event.message.record.account);
      }
      this.#parts.notify(event);
    };
    const [store, sealer, clock] = [this.#store, this.#sealer, this.#clock];
    const limited = settings.ALLOWED_SENDERS !== undefined;
    const tries = new MessageTry({
      sealer,
      accounts: {
        refresh: (account, facts) => currentAccount(accounts, account, facts, limited),
        authorize: (account, secret) => tokens.login(credentialsOf(account, secret)),
        refused: ({ tenantId, clientId }, clientSecret) =>
          this.known.refused({ tenantId, clientId, clientSecret }),
        latestSecret: (account) => this.known.latestSecret(account),
      },
      delivery: new SenderPolicy(backend, { rules: senders, limits: messageLimits(settings) }),
      doubt: doubtPolicy({
        mode: settings.QUEUE_AMBIGUOUS,
        service: backend,
        forbidden: (detail) => this.#mayNotAsk(detail),
        impossible: () => this.#cannotAsk(),
        clock,
      }),
      reports: settings.QUEUE_BOUNCE
        ? new FailureReports(sealer, settings.SERVER_HOSTNAME)
        : undefined,
      rules: {
        maxAge: settings.QUEUE_MAX_AGE,
        clock,
        scopeOf: (names) => scopeOf(settings, names ?? settings.BACKEND),
      },
    });
    const octets = Math.floor(settings.MAX_MEMORY / MEMORY_SHARE);
    const limits = { mailbox: mailboxLimit(settings), octets };
    const worker = new QueueWorker({ store, tries, notify, limits, clock });
    this.#worker = worker;
    const room = new QueueRoom(store, {
      maxMessages: settings.QUEUE_MAX_MESSAGES,
      maxOctets: settings.QUEUE_MAX_BYTES,
    }, new QueueShares(store, clock));
    const queued = new QueueDelivery({
      store,
      sealer,
      room,
      direct: backend,
      credentialOf: storedCredential,
      // The client's reply goes out first.
      added: (mailbox) => void setImmediate(() => worker.wake(mailbox)),
    });
    // What is not queued needs no room.
    const mailRefusal = (login: Authorization, account: Account) =>
      login instanceof TokenLogin ? room.mailRefusal(accountName(sealer, account)) : undefined;
    const delivery = new EarlyRefusal(queued, backend);
    return { delivery, room: { mailRefusal }, worker };
  }

  /** For `/readyz`. A full queue defers mail, and is no reason to restart the relay. */
  state(): PartState {
    const { messages, octets } = this.#store.usage();
    return { ready: true, ...messages, octets };
  }

  /** For the status page. */
  live(): LiveQueue {
    return {
      usage: () => this.#store.usage(),
      administration: () => this.#administer(),
      sealer: this.#sealer,
      changed: (action, id) => {
        this.#parts.notify({ type: "queueAdministered", action, id });
        this.#worker?.wake();
      },
    };
  }

  /** Adds the queue's figures to `/metrics`. */
  measure(metrics: Metrics): void {
    for (const gauge of gaugesOf(this.#store, this.#clock)) metrics.gauge(gauge);
  }

  /** Keeps the events that wait in the store. */
  async keepEvents(source: EventSource): Promise<KeptEvents> {
    const { KeptEvents } = await import("../webhook/kept_events.ts");
    const kept = new KeptEvents(source, {
      notes: this.#store.notes,
      sealer: this.#sealer,
      name: this.#parts.settings.SERVER_HOSTNAME,
      clock: this.#clock,
      report: {
        failed: (error) => this.#failed(error),
        recovered: () => this.#parts.notify({ type: "queueRecovered" }),
      },
    });
    await kept.open();
    return kept;
  }

  /** After the worker has stopped. */
  async close(): Promise<void> {
    await this.known.written();
    const administration = await this.#administration?.catch(() => undefined);
    await administration?.close();
    await this.#store.close();
  }

  #administer(): Promise<QueueAdministration> {
    const { settings, http } = this.#parts;
    this.#administration ??= openQueueAdministration(settings, http).catch((error: unknown) => {
      // The next call tries again.
      this.#administration = undefined;
      throw error;
    });
    return this.#administration;
  }

  #mayNotAsk = (detail: string): void => {
    this.#mayNotAsk = () => {};
    this.#parts.log.warning(NO_RIGHT_TO_ASK, { detail });
  };

  #cannotAsk = (): void => {
    this.#cannotAsk = () => {};
    this.#parts.log.warning(ONLY_GRAPH_ANSWERS);
  };

  #failed(error: unknown): void {
    this.#parts.notify(
      error instanceof StoreError
        ? { type: "queueFailed", code: error.code, detail: error.message }
        : { type: "fault", error },
    );
  }
}

function storedCredential(login: Authorization): StoredCredential | undefined {
  if (!(login instanceof TokenLogin)) return undefined;
  const { credentials, isVerified: verified } = login;
  return "credential" in credentials
    ? { type: "relay" }
    : { type: "secret", secret: credentials.clientSecret, verified };
}

function credentialsOf(
  { tenantId, clientId, credential }: Account,
  clientSecret: Secret | undefined,
): AppCredentials {
  if (clientSecret !== undefined) return { tenantId, clientId, clientSecret };
  if (credential === undefined) throw new Error("neither a secret nor a credential of the relay");
  return { tenantId, clientId, credential };
}

async function storeOf(
  { settings, http, log, notify, clock = realClock }: QueueParts,
): Promise<QueueStore> {
  const { QUEUE_URL: address } = settings;
  if (address.type === "sqlite") {
    const { openSqliteQueue } = await import("../queue/sqlite/sqlite_queue.ts");
    return await openSqliteQueue(address.path, {
      clock,
      warn: (text) => log.warning(text),
      ended: ({ code, message }) => notify({ type: "queueEnded", code, detail: message }),
    });
  }
  const { openAzureQueue } = await import("../queue/azure/open.ts");
  const maxAge = settings.QUEUE_MAX_AGE;
  return await openAzureQueue({ ...azureQueueOptions(settings, http), maxAge });
}

/** Leaves a note that only the right key opens: the start tells a wrong key, and not each message. */
async function checkKey(store: QueueStore, sealer: Sealer): Promise<void> {
  const problem = await keyProblem(store, sealer);
  if (problem !== undefined) {
    throw new CommandError(EXIT.config, [
      problem === "key"
        ? "QUEUE_KEY is not the key of the queue in QUEUE_URL: add the key that the relay was last " +
          "started with, after a comma, until the queue is empty (QUEUE_KEY=NEW,OLD)"
        : "the queue in QUEUE_URL is damaged: its note about QUEUE_KEY is not what was sealed",
    ]);
  }
  try {
    // With today's first key, so that an old one can be left out when nothing needs it.
    await store.notes.set(KEY_NOTE, sealer.seal(new Uint8Array(0), KEY_NOTE), FOREVER);
  } catch (error) {
    // A full disk is no reason not to send what the queue holds; the next start leaves the note.
    if (!(error instanceof StoreError && error.full)) throw error;
  }
}

const NO_RIGHT_TO_ASK = "QUEUE_AMBIGUOUS is ask, but the app may not look for messages: it needs " +
  "Mail.ReadBasic.All. Messages that may have been sent are sent again";

const ONLY_GRAPH_ANSWERS =
  "QUEUE_AMBIGUOUS is ask, but only Graph can be asked whether it has sent a message. " +
  "Messages that may have been sent by SMTP are sent again";

function gaugesOf(store: QueueStore, clock: Clock): readonly Gauge[] {
  const messages = () => store.usage().messages;
  /** Since then; the machine's time may have been set back. */
  const seconds = (since: number | undefined) =>
    since === undefined ? 0 : Math.max(0, clock.date() - since) / 1000;
  return [
    { name: "queue_waiting_messages", value: () => messages().queued + messages().sending },
    { name: "queue_sending_messages", value: () => messages().sending },
    { name: "queue_held_messages", value: () => messages().held },
    { name: "queue_dead_messages", value: () => messages().dead },
    { name: "queue_bytes", value: () => store.usage().octets },
    { name: "queue_oldest_seconds", value: () => seconds(store.usage().oldest) },
    { name: "queue_oldest_dead_seconds", value: () => seconds(store.usage().oldestDead) },
  ];
}
