// The relay's own rules between SMTP and delivery: which logins are accepted, which messages an
// account may submit, and which events are reported.

import { randomUUID } from "node:crypto";
import type { Account, Authorization, LoginFailure, LoginResult } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import { senderCheck, type SenderRules } from "../accounts/senders.ts";
import { shownCredentials } from "../accounts/shown_username.ts";
import type { Delimiter } from "../accounts/username.ts";
import type {
  Delivery,
  NotSent,
  Outcome,
  Submission,
  WaitingClient,
} from "../delivery/delivery.ts";
import { Steps } from "../delivery/steps.ts";
import type { LimitedLogin, LoginGuard } from "../limits/login_guard.ts";
import type { Notify } from "../observe/relay_event.ts";
import type { SettingName } from "../settings/schema.ts";
import { messageIdOf } from "../message/message_id.ts";
import { discard } from "../smtp/content.ts";
import type { Refusal, SessionFacts } from "../smtp/effects.ts";
import { REPLIES, type Reply } from "../smtp/reply.ts";
import type { Credentials, PasswordCredentials } from "../smtp/sasl.ts";
import type { SenderCheck } from "../smtp/session.ts";
import { currentAccount } from "./current_account.ts";
import type { MessageLimit } from "./message_rate.ts";
import { Owners } from "./owners.ts";
import type {
  Client,
  Login,
  Principal,
  ReceivedMessage,
  SubmissionService,
} from "./submission_service.ts";
import { asTrusted, UNBOUND } from "./trusted_login.ts";

export interface RelayServiceOptions {
  readonly logins: LoginOptions;
  readonly messages: MessageOptions;
  readonly delivery: Delivery;
  readonly notify: Notify;
}

export interface MessageOptions {
  /** SERVER_HOSTNAME, for the Message-ID of a message that has none. */
  readonly hostname: string;
  /** MESSAGE_RATE_LIMIT; undefined if it is off. */
  readonly limit: MessageLimit | undefined;
  /** Of a queue: whether there is room for more mail. */
  readonly room?: MailRoom;
  /** Default: of its own. */
  readonly owners?: Owners;
}

export interface MailRoom {
  /** The reply to MAIL while there is no room for a message of this login. */
  mailRefusal(authorization: Authorization, account: Account): Reply | undefined;
}

export interface LoginOptions {
  readonly accounts: Pick<Accounts, "login" | "refresh" | "readAgain">;
  /** Guards `accounts.login`. */
  readonly guard: LoginGuard;
  /** The senders that accounts may use, for MAIL. */
  readonly senders: SenderRules;
  readonly delimiter: Delimiter;
  /** The login for clients in TRUSTED_NETWORKS; undefined if there are none. */
  readonly trusted: TrustedOptions | undefined;
}

export interface TrustedOptions {
  readonly credentials: PasswordCredentials;
  /** Whether ALLOWED_SENDERS is set. */
  readonly limited: boolean;
}

type GoodLogin = Extract<LoginResult, { readonly type: "account" }>;

/** What is measured of a login. */
interface Timed {
  /** As `performance.now()` gives it. */
  readonly started: number;
  readonly steps: Steps;
}

const TOO_MANY_FAILED = "Login rejected: malformed credentials, and too many failed logins from " +
  "this address";
const TOO_MANY_MESSAGES = "Message deferred: too many messages from this account";

/** The settings whose limits the session enforces, by its reply. */
const LIMITS = new Map<Reply, SettingName>([
  [REPLIES.tooBig, "MAX_MESSAGE_SIZE"],
  [REPLIES.tooManyRecipients, "MAX_RECIPIENTS"],
  [REPLIES.queueMessages, "QUEUE_MAX_MESSAGES"],
  [REPLIES.queueOctets, "QUEUE_MAX_BYTES"],
  [REPLIES.queueShareOfMessages, "QUEUE_MAX_MESSAGES"],
  [REPLIES.queueShareOfOctets, "QUEUE_MAX_BYTES"],
]);

const OVER_MESSAGE_RATE: NotSent = {
  type: "later",
  reply: REPLIES.tooManyMessages,
  ambiguous: false,
  code: "MESSAGE_RATE_LIMIT",
  detail: "the account has sent as many messages as MESSAGE_RATE_LIMIT allows",
};

export class RelayService implements SubmissionService {
  readonly #logins: LoginOptions;
  readonly #messageLimit: MessageLimit | undefined;
  readonly #hostname: string;
  readonly #delivery: Delivery;
  readonly #room: MailRoom | undefined;
  readonly #notify: Notify;
  readonly #owners: Owners;
  /** Of logins by password without an entry: nothing of theirs changes as long as the login lasts. */
  readonly #principals = new WeakMap<Authorization, Principal>();

  constructor(options: RelayServiceOptions) {
    const { logins, messages, delivery, notify } = options;
    const { hostname, limit, room, owners = new Owners() } = messages;
    this.#logins = logins;
    this.#messageLimit = limit;
    this.#hostname = hostname;
    this.#delivery = delivery;
    this.#room = room;
    this.#owners = owners;
    this.#notify = notify;
  }

  async authenticate(credentials: Credentials | "trusted", client: Client): Promise<Login> {
    const timed = { started: performance.now(), steps: new Steps() };
    if (credentials === "trusted") return await this.#authenticateTrusted(client, timed);
    const result = await this.#logins.guard.login(credentials, client.address, timed.steps);
    if (result.type === "limited") return this.#limited(result, client);
    return this.#loginOf(credentials, client, result, timed);
  }

  async submit(
    principal: Principal,
    message: ReceivedMessage,
    waiting: WaitingClient,
  ): Promise<Reply> {
    const started = performance.now();
    const { account, authorization } = principal;
    const { client, content, receiving } = message;
    const steps = new Steps();
    const endUse = this.#messageLimit?.begin(account, authorization);
    const overRate = this.#messageLimit !== undefined && endUse === undefined;
    const claimed = authorization.unverified() !== undefined;
    // After a fault the message may have been sent, so it counts.
    let counts = true;
    try {
      const current = overRate || account.entry === undefined
        ? account // Without an entry, the settings are those of the login.
        : await this.#current(principal, message.facts);
      const failure = "reply" in current ? current : undefined;
      const submission = this.#submissionOf(
        principal,
        "reply" in current ? account : current,
        message,
      );
      const outcome = overRate
        ? OVER_MESSAGE_RATE
        : failure === undefined
        ? await this.#delivery.deliver(submission, { authorization, client: waiting, steps })
        : entryOutcome(failure);
      if (claimed && authorization.expiry() !== undefined) {
        // The mail service has refused the client's own token, so the login counts as failed.
        this.#logins.guard.disproved(authorization, client.address);
      }
      if (outcome.type === "sent") this.#owners.sent(account, authorization);
      counts = maySent(outcome);
      if (overRate) this.#limit("MESSAGE_RATE_LIMIT", client, TOO_MANY_MESSAGES, principal);
      const milliseconds = performance.now() - started;
      this.#notify({
        type: "message",
        ...{ client, submission, outcome, principal },
        ...{ receiving, milliseconds, steps: steps.list },
      });
      return outcome.reply;
    } finally {
      endUse?.(counts);
      // The delivery has ended, even if it was cut off: the content is no longer needed.
      discard(content);
    }
  }

  refused(refusal: Refusal, client: Client, principal: Principal | undefined): void {
    const { reply, tried } = refusal;
    const { guard } = this.#logins;
    if (reply === REPLIES.notUtf8 && !guard.failed(client.address, tried)) {
      return this.#limit("AUTH_RATE_LIMIT", client, TOO_MANY_FAILED);
    }
    // One line a minute: a device that keeps sending must not fill the log.
    if (reply === REPLIES.tooManyMessages) {
      return this.#limit("MESSAGE_RATE_LIMIT", client, TOO_MANY_MESSAGES, principal);
    }
    this.#notify({ type: "refused", client, refusal, principal, limit: LIMITS.get(reply) });
  }

  async #authenticateTrusted(client: Client, timed: Timed): Promise<Login> {
    const { accounts, trusted } = this.#logins;
    if (trusted === undefined) {
      throw new Error("a client is trusted, but there is no account for it");
    }
    const { credentials, limited } = trusted;
    const result = asTrusted(
      await accounts.login(credentials, { client: "trusted", steps: timed.steps }),
      limited,
    );
    if (result.type === "refused" && result.code === UNBOUND) {
      accounts.readAgain(credentials.username);
    }
    return this.#loginOf(credentials, client, result, timed, true);
  }

  #loginOf(
    credentials: Credentials,
    client: Client,
    result: LoginResult,
    { started, steps }: Timed,
    trusted = false,
  ): Login {
    const shown = shownCredentials(credentials, result, this.#logins.delimiter);
    const milliseconds = performance.now() - started;
    const event = {
      type: "login",
      ...{ client, credentials: shown, trusted },
      ...{ milliseconds, steps: steps.list },
    } as const;
    if (result.type !== "account") {
      this.#notify({ ...event, result });
      return { reply: result.reply };
    }
    const principal = this.#principalOf(result, shown.username);
    this.#notify({ ...event, result: principal });
    return { reply: result.reply, principal };
  }

  /** Thousands of sessions may have logged in alike: they hold one principal, which saves 1 KiB each. */
  #principalOf({ account, authorization }: GoodLogin, username: string): Principal {
    const isShared = account.entry === undefined && authorization.unverified() === undefined;
    const held = isShared ? this.#principals.get(authorization) : undefined;
    if (held?.username === username) return held;
    const { accounts, senders } = this.#logins;
    const check = senderCheck(account, {
      authorization,
      policy: senders,
      refresh: (latest) => accounts.refresh(latest, authorization),
    });
    const principal: Principal = {
      account,
      authorization,
      username,
      owner: this.#owners.of(account, authorization),
      checkSender: this.#checkAfter(check, account, authorization),
    };
    if (isShared) this.#principals.set(authorization, principal);
    return principal;
  }

  #submissionOf(
    { username }: Principal,
    account: Account,
    { envelope, content, facts, client }: ReceivedMessage,
  ): Submission {
    // 64 of its random bits. It comes from a store of such bits: asking the system took 1 µs.
    const uuid = randomUUID();
    const id = uuid.slice(0, 8) + uuid.slice(-8);
    const messageId = messageIdOf(content, { id, hostname: this.#hostname });
    return {
      id,
      account,
      username,
      envelope,
      ...(messageId === undefined ? {} : { messageId }),
      content,
      facts,
      client: client.address,
      connection: client.connection,
      receivedAt: Date.now(),
    };
  }

  #limited({ reply, what }: LimitedLogin, client: Client): Login {
    this.#limit("AUTH_RATE_LIMIT", client, what);
    return { reply };
  }

  async #current(
    { account, authorization }: Principal,
    facts: SessionFacts,
  ): Promise<Account | LoginFailure> {
    const { accounts, trusted } = this.#logins;
    const refresh = (latest: Account) => accounts.refresh(latest, authorization);
    return await currentAccount({ refresh }, account, facts, trusted?.limited ?? false);
  }

  /** MAIL's check, without a login's own reasons: the message rate, and the room of a queue. */
  #checkAfter(check: SenderCheck, account: Account, authorization: Authorization): SenderCheck {
    const room = this.#room;
    const withRate = this.#messageLimit?.checkAfter(check, account, authorization) ?? check;
    return room === undefined
      ? withRate
      : (from) => withRate(from) ?? room.mailRefusal(authorization, account);
  }

  #limit(setting: SettingName, client: Client, text: string, principal?: Principal): void {
    this.#notify({ type: "limit", setting, client, text, principal });
  }
}

/** The outcome for a message whose account's entry no longer allows it, or not now. */
function entryOutcome({ type, reply, detail }: LoginFailure): NotSent {
  return { type, reply, ambiguous: false, code: "LOOKUP_ENTRY", detail };
}

/** Whether the message was or may have been sent, and so counts for MESSAGE_RATE_LIMIT. */
function maySent(outcome: Outcome): boolean {
  if (outcome.type === "alreadySent") return false;
  return !("ambiguous" in outcome) || outcome.ambiguous;
}
