// Writes events to the log: which event gets a line, at which level, and how a flood of events is
// kept from becoming a flood of lines.

import { accountKey } from "../accounts/account.ts";
import { clientKey } from "../networks.ts";
import { type Cause, ClientLines } from "./client_lines.ts";
import {
  clientFields,
  connectionFields,
  limitFields,
  loginFields,
  messageFields,
  messageText,
  principalFields,
  proxyFields,
  queueFields,
  queueText,
  refusedFields,
  VERIFIED,
} from "./event_lines.ts";
import {
  loginFailure,
  loginSource,
  messageFailure,
  messageSource,
  queueFailure,
  queueSource,
  refusal,
} from "./failure_sources.ts";
import { thrown } from "./fields.ts";
import type { LevelLog } from "./log.ts";
import { LogThrottle } from "./log_throttle.ts";
import type {
  ConnectionEvent,
  FaultEvent,
  LimitEvent,
  LoginEvent,
  LookupEvent,
  LookupFileEvent,
  MemoryEvent,
  MessageEvent,
  Notify,
  ProxyHeaderEvent,
  QueueEvent,
  QueueStoreEvent,
  RefusedEvent,
  RelayEvent,
} from "./relay_event.ts";

/** Milliseconds between two WARNING lines of the same kind and source, if they come in floods. */
const INTERVAL = 60_000;
/**
 * Lines for one limit in that time. Otherwise an attack from thousands of addresses would push
 * everything else out of the log, and hide other limits that are hit.
 */
const MAX_SOURCES_OF_LIMIT = 100;
/** Milliseconds between two lines of uncaught faults. */
const FAULT_INTERVAL = 1_000;

const WRONG_PORT = {
  tls: "TLS on a port that begins in plain text",
  plain: "Plain text on a port that begins with TLS",
  silent:
    "Nothing came on a port that begins with TLS: a client in plain text waits for a greeting",
} as const;

const PROXY_HEADER = {
  missing: "Connection closed: no valid PROXY header from an address in PROXY_PROTOCOL_NETWORKS",
  foreign: "Connection closed: a PROXY header from an address that is not in " +
    "PROXY_PROTOCOL_NETWORKS",
  second: "Connection closed: a second PROXY header",
} as const;

const LOOKUP_FILE = {
  loaded: "Lookup file loaded",
  replaced: "Lookup file loaded again",
  unchanged: "Lookup file unchanged",
} as const;

export interface EventLogOptions {
  /** Whether lines of messages name the recipients. */
  readonly recipients?: boolean;
  /** Milliseconds, of a clock that never goes back. */
  readonly now?: () => number;
  /** Milliseconds of Unix time. */
  readonly date?: () => number;
  /** Called for each line that is left out. */
  readonly suppressed?: () => void;
}

export class EventLog {
  readonly #log: LevelLog;
  readonly #lines: ClientLines;
  readonly #recipients: boolean;
  readonly #now: () => number;
  /** By kind of event: a flood of one kind does not suppress lines of another. */
  readonly #throttles = new Map<string, LogThrottle>();
  readonly #faults: LogThrottle;
  /** Whether the last line about the queue's store says that it fails. */
  #queueFailureLogged = false;
  /** Whether the last line about the table says that it does not answer. */
  #lookupFailureLogged = false;

  constructor(log: LevelLog, options: EventLogOptions = {}) {
    const { recipients = false, suppressed = () => {} } = options;
    const { now = () => performance.now(), date = () => Date.now() } = options;
    this.#log = log;
    this.#now = now;
    this.#recipients = recipients;
    this.#lines = new ClientLines(log, { now, date, suppressed });
    this.#faults = new LogThrottle(FAULT_INTERVAL, now);
  }

  readonly notify: Notify = (event: RelayEvent) => {
    switch (event.type) {
      case "login":
        return this.#login(event);
      case "message":
        return this.#message(event);
      case "refused":
        return this.#refused(event);
      case "limit":
        return this.#limit(event);
      case "proxyHeader":
        return this.#proxyHeader(event);
      case "connection":
        return this.#connection(event);
      case "memory":
        return this.#memory(event);
      case "lookupFailed":
      case "lookupRecovered":
        return this.#lookup(event);
      case "token":
      case "lookupAnswered":
        // The login or the message that needed it has its own line.
        return;
      case "lookupFile":
        return this.#lookupFile(event);
      case "queue":
        return this.#queue(event);
      case "queueFailed":
      case "queueRecovered":
      case "queueEnded":
        return this.#queueStore(event);
      case "queueAdministered": {
        const { action, id } = event;
        const what = action === "retry" ? "is tried again" : "was deleted";
        return this.#log.warning(`Queued message ${what}: asked for on the status page`, { id });
      }
      case "backend": {
        const { change, backend, code, detail } = event;
        const text = change === "down"
          ? "Back end does not take messages: they go by the next"
          : "Back end takes messages again";
        return this.#log.warning(text, {
          backend,
          ...(code === undefined ? {} : { code }),
          ...(detail === undefined ? {} : { detail }),
        });
      }
      case "certificate":
      case "clientCertificate": {
        const level = event.level.toLowerCase() as Lowercase<typeof event.level>;
        return this.#log[level](event.text, event.fields);
      }
      case "cutOff": {
        const { messages, waited } = event;
        return this.#log.warning("Messages were cut off by the stop", {
          messages,
          waited_s: waited,
        });
      }
      case "acceptFailed":
      case "connectionFault":
      case "fault":
        return this.#fault(event);
      default:
        // A new event needs a decision here: nothing else would notice that it is not logged.
        event satisfies never;
    }
  };

  /** Writes what was summed up, and how many lines of which kind were left out. */
  close(): void {
    this.#lines.close();
  }

  #login(event: LoginEvent): void {
    const { client, result } = event;
    if ("account" in result) {
      const cause = { client, principal: result };
      const fields = () => loginFields(event);
      if (this.#log.enabled("DEBUG")) {
        this.#lines.write("DEBUG", "Login succeeded", fields(), cause);
      }
      // Their token may still be refused.
      if (result.authorization.unverified() !== undefined) return;
      return this.#lines.recovered(() => loginSource(event), "Login succeeds again", fields, cause);
    }
    const message = result.type === "refused" ? "Login refused" : "Login deferred";
    this.#lines.failed(loginFailure(event, result), message, loginFields(event), { client });
  }

  #message(event: MessageEvent): void {
    const { outcome, client, principal } = event;
    const text = messageText(outcome);
    const cause = { client, principal };
    const fields = () => messageFields(event, this.#recipients);
    if (outcome.type === "sent" || outcome.type === "queued") {
      if (outcome.type === "sent") this.#lines.hasSent(principal);
      // Always written: the line is all that the relay keeps of a message.
      if (this.#log.enabled("INFO")) this.#log.info(text, fields());
      const device = () => {
        const { client, username, sender } = fields();
        return { client, username, sender };
      };
      const source = () => messageSource(event);
      return this.#lines.recovered(source, "Messages are accepted again", device, cause);
    }
    if (outcome.type === "alreadySent") return this.#lines.write("INFO", text, fields(), cause);
    // Somebody has to find out what became of it.
    if (outcome.ambiguous) return this.#lines.write("WARNING", text, fields(), cause);
    this.#lines.failed(messageFailure(event, outcome), text, fields(), cause);
  }

  /**
   * A client without a login may be a device that has no password yet: it gets a line, but only
   * once a minute for each address.
   */
  #refused(event: RefusedEvent): void {
    const { refusal: { command, reply, authenticated }, client, principal } = event;
    const failedLogin = reply.code === 535;
    // A client that only claims an account could be refused without end.
    const verified = authenticated && principal?.authorization.unverified() === undefined;
    const text = command === "AUTH" ? "Login refused" : "Refused by the relay";
    const fields = refusedFields(event);
    const cause = { client, principal };
    const key = refusal(event, verified);
    if (verified) return this.#lines.failed(key, text, fields, cause);
    const may = failedLogin || this.#allow("refused", clientKey(client.address));
    this.#lines.refused(key, text, fields, cause, may);
  }

  /**
   * In floods, one line a minute for each client, and for each account if it is the account's
   * limit. Only MAX_SOURCES_OF_LIMIT of them get one; one more line says that there are others.
   */
  #limit({ setting, client, text, principal }: LimitEvent): void {
    const owner = principal === undefined ? {} : principalFields(principal);
    const fields = limitFields(setting, client, owner);
    const cause = { client, principal };
    // A client that leaves a connection open and forgets it is harmless.
    if (setting === "COMMAND_TIMEOUT") return this.#lines.write("DEBUG", text, fields, cause);
    const sources = this.#throttle(setting, MAX_SOURCES_OF_LIMIT);
    // Not by username: an account has many, in capitals and in small letters.
    const account = principal === undefined ? "" : accountKey(principal.account);
    const source = `${clientKey(client.address)} ${account}`;
    if (!sources.allow(source)) return this.#lines.write("DEBUG", text, fields, cause);
    this.#lines.write("WARNING", text, fields, cause);
    if (sources.full && this.#allow("many clients", setting)) {
      const more = "Many clients hit this limit; further ones are not logged for a while, " +
        "but counted at /metrics";
      this.#log.warning(more, { setting });
    }
  }

  /** One WARNING a minute for each source: a load balancer's probe comes every few seconds. */
  #proxyHeader({ reason, client, detail }: ProxyHeaderEvent): void {
    const fields = { ...clientFields(client), ...proxyFields(client), detail };
    const source = `${reason} ${clientKey(client.proxy ?? client.address)}`;
    const level = this.#allow("proxyHeader", source) ? "WARNING" : "DEBUG";
    this.#lines.write(level, PROXY_HEADER[reason], fields, { client });
  }

  #connection(event: ConnectionEvent): void {
    const { client, wrongPort, handshakeFailed, error, received } = event;
    const fields = connectionFields(event);
    // A device whose TLS is too old gets a line; a port scanner causes hundreds of these.
    const text = wrongPort !== undefined
      ? WRONG_PORT[wrongPort]
      : handshakeFailed && error
      ? "TLS handshake failed"
      : undefined;
    if (text !== undefined) {
      const due = this.#allow("handshake", `${wrongPort ?? ""} ${clientKey(client.address)}`);
      return this.#lines.write(due ? "WARNING" : "DEBUG", text, fields, { client });
    }
    this.#lines.write(received === 0 ? "DEBUG" : "INFO", "Connection ended", fields, { client });
  }

  #memory({ used, limit }: MemoryEvent): void {
    if (!this.#allow("memory")) return;
    this.#log.warning("MAX_MEMORY is used up: mail is deferred", {
      used_bytes: used,
      limit_bytes: limit,
    });
  }

  #lookup(event: Exclude<LookupEvent, { type: "lookupAnswered" }>): void {
    if (event.type === "lookupRecovered") {
      if (this.#lookupFailureLogged) this.#log.warning("Lookup table answers again");
      else this.#lines.write("DEBUG", "Lookup table answers again", {}, {});
      this.#lookupFailureLogged = false;
      return;
    }
    const { trouble: { code, detail }, served } = event;
    const fields = { code, detail };
    const due = this.#allow("lookup", served ? "served" : "deferred");
    this.#lookupFailureLogged ||= due;
    // A login that fails for it has a line of its own.
    if (!served) this.#lines.write("DEBUG", "Lookup table does not answer", fields, {});
    else if (due) {
      this.#log.warning(
        "Lookup table does not answer; using entries that were read before",
        fields,
      );
    }
  }

  #lookupFile({ report, recovered }: LookupFileEvent): void {
    const log = this.#log;
    if (report.type === "exposed") {
      const text = report.to === "write"
        ? "Lookup file can be changed by every user of this machine"
        : "Lookup file has passwords' hashes and can be read by every user of this machine";
      return log.warning(text, { mode: report.mode.toString(8).padStart(4, "0") });
    }
    const { entries } = report;
    if (report.type === "kept") {
      const { reason } = report;
      return log.warning("Lookup file rejected, keeping the entries from before", {
        reason,
        entries,
      });
    }
    const level = recovered ? "warning" : "info";
    log[level](LOOKUP_FILE[report.type], { entries });
    const { count, named } = report.unusable;
    if (report.type === "unchanged" || count === 0) return;
    const problems = named.map(({ id, problem }) => `${JSON.stringify(id)}: ${problem}`);
    log.warning("Lookup file has entries with mistakes, whose logins are refused", {
      entries: count,
      detail: problems,
    });
  }

  /** What becomes of a message is always written; during an outage, one line a minute for a mailbox. */
  #queue(event: QueueEvent): void {
    const { change, message: { record } } = event;
    const text = queueText(event);
    const cause = queueCause(event);
    const fields = queueFields(event, this.#recipients);
    if (change === "sent") {
      if (record !== undefined) {
        this.#lines.hasSent({ account: record.account, authorization: VERIFIED });
      }
      this.#log.info(text, fields);
      const { username, sender } = fields;
      const device = () => ({ username, sender });
      const source = () => queueSource(event);
      return this.#lines.recovered(source, "Queued messages are sent again", device, cause);
    }
    const mailbox = record === undefined
      ? ""
      : `${accountKey(record.account)} ${record.envelope.from}`;
    if (change !== "deferred" || event.ambiguous) return this.#log.warning(text, fields);
    const may = this.#allow("deferred", mailbox);
    const numbers = this.#lines.count(
      queueFailure(event),
      { level: "WARNING", message: text, fields, cause },
      may,
    );
    if (numbers === undefined) this.#log.debug(text, fields);
    else this.#log.warning(text, { ...fields, ...numbers });
  }

  #queueStore(event: QueueStoreEvent): void {
    if (event.type === "queueRecovered") {
      if (this.#queueFailureLogged) this.#log.warning("The queue's store works again");
      this.#queueFailureLogged = false;
      return;
    }
    const { code, detail } = event;
    if (event.type === "queueEnded") {
      return this.#log.critical("The queue's store has ended: the relay has to start again", {
        code,
        detail,
      });
    }
    if (!this.#allow("queue store")) return;
    this.#queueFailureLogged = true;
    this.#log.error("The queue's store fails; no message is lost", { code, detail });
  }

  #fault(event: FaultEvent): void {
    const { error } = event;
    switch (event.type) {
      case "acceptFailed": {
        // Such as "Too many open files": LimitNOFILE= or `ulimit -n` is too low.
        const fields = { error: event.error.message };
        return this.#lines.write("ERROR", "Clients cannot connect at the moment", fields, {});
      }
      case "connectionFault": {
        const { client } = event;
        const fields = { ...clientFields(client), error: thrown(error) };
        return this.#lines.write("ERROR", "Internal error; the connection was closed", fields, {
          client,
        });
      }
      case "fault":
        // The fault may come from logging: once a second at most.
        if (!this.#faults.allow()) return;
        try {
          this.#log.error("Internal error; the relay goes on", { error: thrown(error) });
        } catch {
          // There is nothing else to report it to.
        }
    }
  }

  /** Whether a line of this kind and source may be written now: once in an interval. */
  #allow(kind: string, source = ""): boolean {
    return this.#throttle(kind).allow(source);
  }

  #throttle(kind: string, maxSources?: number): LogThrottle {
    let throttle = this.#throttles.get(kind);
    if (throttle === undefined) {
      throttle = new LogThrottle(INTERVAL, this.#now, maxSources);
      this.#throttles.set(kind, throttle);
    }
    return throttle;
  }
}

function queueCause({ message: { record } }: QueueEvent): Cause {
  if (record === undefined) return {};
  return { principal: { account: record.account, authorization: VERIFIED } };
}
