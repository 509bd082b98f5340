// What the log says of logins, messages and connections: one line for each.

import type { Account, LoginResult } from "../accounts/accounts.ts";
import type { TableTrouble } from "../accounts/entry_source.ts";
import type { Outcome, Submission } from "../delivery/delivery.ts";
import { clientKey } from "../networks.ts";
import type { Client, ConnectionSummary, ProxyRefusal } from "../server/handlers.ts";
import { withoutSecrets } from "../secret.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Refusal } from "../smtp/effects.ts";
import type { Credentials } from "../smtp/sasl.ts";
import { thrown } from "./fields.ts";
import { LineBudget, type LineSource } from "./line_budget.ts";
import type { LevelLog, LogFields, LogLevel } from "./log.ts";
import { Metrics } from "./metrics.ts";
import { Seldom } from "./seldom.ts";

/** Characters of what a client said that a line quotes at most. */
const MAX_QUOTED = 256;

/** Milliseconds between two WARNING lines of those that would else come in floods. */
const SELDOM = 60_000;
/**
 * Lines for one limit in that time: an attack from thousands of addresses would else push everything
 * else out of the log, and hit limits of other kinds unseen.
 */
const CROWD = 100;
/** Milliseconds between two lines of faults that nobody has caught. */
const FAULTS = 1_000;
/** Accounts that are remembered to have sent mail; the one whose last message is oldest is forgotten. */
const MAX_SENDERS = 10_000;

/** Who has caused a line, as far as that is known. */
interface Cause {
  readonly client?: Client | undefined;
  readonly account?: Account | undefined;
}

export class Events {
  readonly #log: LevelLog;
  readonly #budget: LineBudget;
  /** Accounts of which a message was sent, the oldest first. */
  readonly #senders = new Set<string>();
  readonly #now: () => number;
  readonly #metrics: Metrics;
  readonly #strangers: Seldom;
  /** Whom a line has told of, for each setting. */
  readonly #limits = new Map<SettingName, Seldom>();
  readonly #crowds: Seldom;
  readonly #handshakes: Seldom;
  readonly #proxies: Seldom;
  readonly #memory: Seldom;
  readonly #table: Seldom;
  readonly #faults: Seldom;
  /** Whether the log has it that the table does not answer, and not yet that it answers again. */
  #tableTold = false;

  /** @param now milliseconds, of a clock that never goes back */
  constructor(log: LevelLog, now: () => number = () => performance.now(), metrics = new Metrics()) {
    this.#log = log;
    this.#budget = new LineBudget({
      now,
      suppressed: () => metrics.count("log_lines_suppressed", {}),
      tell: (level, message, fields) => this.#write(level, message, fields),
    });
    this.#now = now;
    this.#metrics = metrics;
    this.#strangers = new Seldom(SELDOM, now);
    this.#crowds = new Seldom(SELDOM, now);
    this.#handshakes = new Seldom(SELDOM, now);
    this.#proxies = new Seldom(SELDOM, now);
    this.#memory = new Seldom(SELDOM, now);
    this.#table = new Seldom(SELDOM, now);
    this.#faults = new Seldom(FAULTS, now);
  }

  /** The relay is stopping: tells of lines that were left out. */
  stop(): void {
    this.#budget.close();
  }

  /**
   * A line that a client has caused: it is left out, and counted, where there are too many of it. An
   * account that has sent mail answers for its lines itself. So nobody else at its address, which may
   * be all that come by one proxy, takes its lines away. Anybody else's count for the address too, since
   * accounts are to be had for nothing where ALLOWED_TENANTS is not set.
   */
  #tell(level: LogLevel, message: string, fields: LogFields, { client, account }: Cause): void {
    if (!this.#log.enabled(level)) return;
    const sources: LineSource[] = [];
    const proved = account !== undefined && account.unproved?.() === undefined;
    if (proved) sources.push({ kind: "account", fields: whose(account) });
    const sender = proved && this.#senders.has(nameOf(account));
    if (!sender && client !== undefined) {
      sources.push({ kind: "address", fields: { client: clientKey(client.address) } });
    }
    const pool = sender ? "senders" : "strangers";
    if (this.#budget.take(level, message, pool, sources)) this.#write(level, message, fields);
  }

  #write(level: LogLevel, message: string, fields: LogFields): void {
    this.#log[level.toLowerCase() as Lowercase<LogLevel>](message, fields);
  }

  #sent(account: Account): void {
    if (account.unproved?.() !== undefined) return;
    const name = nameOf(account);
    this.#senders.delete(name);
    this.#senders.add(name);
    if (this.#senders.size <= MAX_SENDERS) return;
    for (const oldest of this.#senders) return void this.#senders.delete(oldest);
  }

  /**
   * @param credentials with a username that the log may have
   * @param trusted whether the client is in a trusted network, and has not logged in itself
   */
  login(credentials: Credentials, client: Client, result: LoginResult, trusted = false): void {
    const { username, mechanism } = credentials;
    const how = trusted ? TRUSTED : { mechanism };
    const fields = { ...from(client), username: quoted(username), ...how };
    this.#metrics.count("logins", { result: RESULTS[result.type] });
    if (result.type === "account") {
      // Only where the username does not say the same.
      const telling = result.account.entry !== undefined || "token" in credentials;
      const found = telling ? whose(result.account) : {};
      const { account } = result;
      return this.#tell("DEBUG", "Login succeeded", { ...fields, ...found }, { client, account });
    }
    const message = result.type === "refused" ? "Login refused" : "Login deferred";
    const why = { detail: result.detail, reply: result.reply.code };
    this.#tell("WARNING", message, { ...fields, ...why }, { client });
  }

  message(
    submission: Omit<Submission, "account"> & { readonly account: Account },
    outcome: Outcome,
    client: Client,
    milliseconds: number,
  ): void {
    const { id, account, envelope, content, facts } = submission;
    const common = {
      id,
      ...from(client),
      ...(facts.trusted ? TRUSTED : {}),
      ...whose(account),
      ...senderFields(envelope.from, "mailbox" in outcome ? outcome.mailbox : undefined),
      recipients: envelope.recipients.length,
      bytes: content.reduce((sum, block) => sum + block.length, 0),
      ms: Math.round(milliseconds),
    };
    this.#metrics.count("messages", { result: messageResult(outcome) });
    const cause = { client, account };
    if (outcome.type === "alreadySent") {
      const text = "Message was sent before, when its client was gone; not sent again";
      return this.#tell("INFO", text, { ...common, first: outcome.id }, cause);
    }
    const fields = {
      ...common,
      ...(outcome.requestId === undefined ? {} : { request: outcome.requestId }),
      ...(outcome.attempts === undefined ? {} : { attempts: outcome.attempts }),
    };
    if (outcome.type === "sent") {
      this.#sent(account);
      // Always written: each has cost its sender a message, and is all that is left of it here.
      return this.#log.info("Message sent", fields);
    }
    const { code, detail, reply, limit } = outcome;
    if (limit !== undefined) this.#metrics.count("limit_hits", { setting: limit });
    const message = outcome.ambiguous
      ? "Message may have been sent"
      : outcome.type === "later"
      ? "Message deferred"
      : "Message refused";
    this.#tell("WARNING", message, { ...fields, code, detail, reply: reply.code }, cause);
  }

  /**
   * What the session turned away by itself. A stranger may be a device that nobody has given a
   * password: it is told of, but only once a minute for an address.
   *
   * @param limit the setting that holds the limit, where it was refused because of one
   */
  refused(
    refusal: Refusal,
    client: Client,
    account: Account | undefined,
    limit?: SettingName,
  ): void {
    const { command, reply, authenticated, argument, from: sender, trusted } = refusal;
    const fields = {
      ...from(client),
      ...(trusted ? TRUSTED : {}),
      ...(account === undefined ? {} : whose(account)),
      command,
      ...(argument === undefined ? {} : { argument: quoted(argument) }),
      ...(sender === undefined ? {} : { sender }),
      detail: typeof reply.text === "string" ? reply.text : reply.text.join(" "),
      reply: reply.code,
      ...(limit === undefined ? {} : { setting: limit }),
    };
    if (limit !== undefined) this.#metrics.count("limit_hits", { setting: limit });
    this.#metrics.count("refusals", { command, code: String(reply.code) });
    const failedLogin = reply.code === 535;
    // Whoever has only claimed to be an account may go on being refused for ever.
    const known = authenticated && account?.unproved?.() === undefined;
    const what = command === "AUTH" ? "Login refused" : "Refused by the relay";
    const told = known || failedLogin || this.#strangers.due(clientKey(client.address));
    this.#tell(told ? "WARNING" : "DEBUG", what, fields, { client, account });
  }

  /**
   * A limit was reached, and somebody was refused or put off because of it. In floods it is told once a
   * minute for each client, and for each account where it is an account's limit; and of so many of
   * them only, with one line that says that there are more.
   *
   * @param setting the one that holds the limit
   * @param what became of it, as the log says it
   */
  limited(setting: SettingName, client: Client, what: string, account?: Account): void {
    this.#metrics.count("limit_hits", { setting });
    const owner = account === undefined ? {} : whose(account);
    const fields = { ...from(client), ...owner, setting };
    const source = [setting, clientKey(client.address), ...Object.values(owner)].join(" ");
    // Who keeps a connection for later, and forgets it, is nothing to worry about.
    const worth = setting !== "COMMAND_TIMEOUT";
    let told = this.#limits.get(setting);
    if (told === undefined) {
      this.#limits.set(setting, told = new Seldom(SELDOM, this.#now, CROWD));
    }
    const cause = { client, account };
    if (!worth || !told.due(source)) return this.#tell("DEBUG", what, fields, cause);
    this.#tell("WARNING", what, fields, cause);
    if (told.full && this.#crowds.due(setting)) {
      const text = "Many clients meet this limit; those that follow are not told of for a while, " +
        "but counted at /metrics";
      this.#log.warning(text, { setting });
    }
  }

  /** In floods, such as from a probe that comes every few seconds, told once a minute for each client. */
  proxyRefused({ reason, detail }: ProxyRefusal, client: Client): void {
    this.#metrics.count("proxy_headers_refused", { reason });
    const fields = { ...from(client), ...proxied(client), detail };
    const due = this.#proxies.due(`${reason} ${clientKey(client.proxy ?? client.address)}`);
    this.#tell(due ? "WARNING" : "DEBUG", PROXY_REFUSALS[reason], fields, { client });
  }

  /** @param used octets, @param limit octets */
  outOfMemory(used: number, limit: number): void {
    this.#metrics.count("limit_hits", { setting: "MAX_MEMORY" });
    if (!this.#memory.due()) return;
    this.#log.warning("MAX_MEMORY is used up: mail is deferred", { used, limit });
  }

  /** The lookup table does not answer. @param served whether an entry from before took its place */
  tableTrouble({ code, detail }: TableTrouble, served: boolean): void {
    const fields = { code, detail };
    const due = this.#table.due(served ? "served" : "deferred");
    this.#tableTold ||= due;
    // A login without an entry has a line of its own.
    if (!served) this.#tell("DEBUG", "Lookup table does not answer", fields, {});
    else if (due) {
      this.#log.warning("Lookup table does not answer; entries read before serve on", fields);
    }
  }

  /** Told as seldom as the trouble. */
  tableRecovered(): void {
    if (this.#tableTold) this.#log.warning("Lookup table answers again");
    else this.#tell("DEBUG", "Lookup table answers again", {}, {});
    this.#tableTold = false;
  }

  connection(summary: ConnectionSummary): void {
    const { client, secure, handshakeFailed, received, messages, milliseconds, reason } = summary;
    const fields: LogFields = {
      ...from(client),
      ...proxied(client),
      tls: secure,
      messages,
      ms: milliseconds,
      reason,
    };
    this.#metrics.count("connections", {});
    if (summary.wrongPort !== undefined) {
      const text = WRONG_PORT[summary.wrongPort];
      const due = this.#handshakes.due(`${summary.wrongPort} ${clientKey(client.address)}`);
      return this.#tell(due ? "WARNING" : "DEBUG", text, fields, { client });
    }
    if (handshakeFailed && summary.error) {
      // A device that is too old for the relay is told of; a scanner makes hundreds of these.
      const due = this.#handshakes.due(clientKey(client.address));
      return this.#tell(due ? "WARNING" : "DEBUG", "TLS handshake failed", fields, { client });
    }
    this.#tell(received === 0 ? "DEBUG" : "INFO", "Connection ended", fields, { client });
  }

  /** Such as "Too many open files": LimitNOFILE= or `ulimit -n` is too low. */
  notAccepted(error: Error): void {
    this.#tell("ERROR", "Clients cannot connect for the moment", { error: error.message }, {});
  }

  bug(error: unknown, client: Client): void {
    this.#metrics.count("internal_errors", {});
    const fields = { ...from(client), error: thrown(error) };
    this.#tell("ERROR", "Internal error; the connection was ended", fields, { client });
  }

  /**
   * A fault that nobody has caught. It is told once a second at most: to tell of it may be what fails.
   */
  fault(error: unknown): void {
    this.#metrics.count("internal_errors", {});
    if (!this.#faults.due()) return;
    try {
      this.#log.error("Internal error; the relay goes on", { error: thrown(error) });
    } catch {
      // Nobody is left to tell.
    }
  }
}

const WRONG_PORT = {
  tls: "TLS on a port that begins in plain text",
  plain: "Plain text on a port that begins with TLS",
  silent:
    "Nothing came on a port that begins with TLS: a client in plain text waits for a greeting",
} as const;

/** Marks what came from a trusted network without a login. */
const TRUSTED = { trusted: true };

const PROXY_REFUSALS = {
  missing: "Connection closed: it is from PROXY_PROTOCOL_NETWORKS and has no sound PROXY header",
  foreign: "Connection closed: a PROXY header from an address that is not in " +
    "PROXY_PROTOCOL_NETWORKS",
  second: "Connection closed: a PROXY header came behind another one",
} as const;

const RESULTS = { account: "succeeded", refused: "refused", later: "deferred" } as const;

function messageResult(outcome: Outcome): string {
  if (outcome.type === "alreadySent") return "repeated";
  if (outcome.type === "sent") return "sent";
  if (outcome.ambiguous) return "ambiguous";
  return RESULTS[outcome.type];
}

/** Who sent, or was to; and what the client gave as MAIL FROM, where that is somebody else. */
function senderFields(reversePath: string, mailbox: string | undefined): LogFields {
  if (mailbox === undefined || mailbox === reversePath) return { sender: reversePath };
  return { sender: mailbox, mail_from: reversePath };
}

/**
 * With an app that several devices share, only the entry tells which one it was. Tenant and app of a
 * token that nobody has verified are what the client says.
 */
function whose({ tenantId, clientId, entry, unproved }: Account): LogFields {
  return {
    tenant: tenantId,
    app: clientId,
    ...(entry === undefined ? {} : { entry }),
    ...(unproved?.() === undefined ? {} : { proved: false }),
  };
}

/** The same for all logins of one account. */
function nameOf({ tenantId, clientId, entry = "" }: Account): string {
  return `${tenantId} ${clientId} ${entry}`;
}

/** What a client said, as far as a line has room. Half a secret would not look like one any more. */
function quoted(text: string): string {
  return withoutSecrets(text).slice(0, MAX_QUOTED);
}

function from({ connection, address }: Client): LogFields {
  return { connection, client: address };
}

/** Told once a connection, where it ends. */
function proxied({ proxy }: Client): LogFields {
  return proxy === undefined ? {} : { proxy };
}
