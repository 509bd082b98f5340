// Builds a relay out of its settings and starts it: the wiring that `serve` and `sandbox` share.

import type { Hono } from "hono";
import type { Account } from "../accounts/accounts.ts";
import type { TableState } from "../accounts/answers.ts";
import type { EntrySource } from "../accounts/entry_source.ts";
import { shownUsername } from "../accounts/shown_username.ts";
import type { LookupTable } from "../accounts/table.ts";
import { readAuthorities } from "../certificates/authorities.ts";
import { CertificateError, CertificateUnavailable } from "../certificates/certificate.ts";
import { IdentityHolder } from "../certificates/holder.ts";
import type { CertificateSource } from "../certificates/source.ts";
import type { HttpClient } from "../http/client.ts";
import { recipientRefusal } from "../message/recipients.ts";
import { Events } from "../observe/events.ts";
import { type HttpService, type PartState, serveHttp } from "../observe/http.ts";
import type { LevelLog, Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { Listener, Runtime } from "../runtime/runtime.ts";
import { ConnectionLimiter } from "../server/connection_limiter.ts";
import { COPIES, MemoryBudget } from "../server/memory.ts";
import type { Client, Handlers } from "../server/handlers.ts";
import { SmtpServer } from "../server/server.ts";
import { formatListenAddress, type ListenAddress } from "../settings/parsers.ts";
import type { Settings } from "../settings/schema.ts";
import type { SessionObserver } from "../smtp/observer.ts";
import { type HandedOverSockets, NO_SOCKETS } from "../systemd/sockets.ts";
import type { RelayState } from "../systemd/status.ts";
import { certificateSource } from "./certificates.ts";
import { CommandError, EXIT, type ExitStatus } from "./exit.ts";
import { listenOrError } from "./listening.ts";
import { openFileLimit, openFileWarning, queueFor } from "./open_files.ts";
import { outgoingClient, proxyIn } from "./outgoing.ts";
import { type Processing, processing, type ProcessingParts } from "./processing.ts";
import { openTable } from "./table.ts";

const HANDSHAKE_TIMEOUT = 30_000;
/** Milliseconds for a proxy to say who its client is. */
const PROXY_HEADER_TIMEOUT = 5_000;
/** Milliseconds for the lookup table to answer at the start. */
const TABLE_TIMEOUT = 20_000;
/** Milliseconds for a client to read the last reply. */
const LINGER = 5_000;
/** Milliseconds for a client to read our replies, once they pile up. */
const UNREAD = 30_000;

export interface RelayParts {
  readonly settings: Settings;
  readonly log: LevelLog;
  /** Where everything is counted, where something has been before. */
  readonly metrics?: Metrics;
  /** In place of the certificate that the settings name, unless TLS is off. */
  readonly certificates?: CertificateSource;
  /** Pages of the HTTP side, besides health. */
  readonly pages?: Hono;
  /** In place of the lookup table, unless the settings name one. */
  readonly entries?: EntrySource;
  /** Take the place of the settings where to listen, by their names. */
  readonly sockets?: HandedOverSockets;
  /** Goes on, with a warning, where HTTP_LISTEN cannot be had: nobody has asked for it. */
  readonly httpOptional?: boolean;
  /** Path prefixes that never ask for HTTP_PASSWORD. */
  readonly unlocked?: readonly string[];
  /** Observes sessions, what becomes of them, and requests. */
  readonly tracing?: Tracing;
  /** Called when the HTTP side listens, before SMTP does: may change the settings once more. */
  readonly httpReady?: (http: HttpService) => Settings;
}

/** What the relay does, as it can be observed for a user to see. */
export interface Tracing {
  /** An observer of the session that begins. */
  session(client: Client): SessionObserver;
  handlers<Account>(handlers: Handlers<Account>): Handlers<Account>;
  http(client: ProcessingParts["http"]): ProcessingParts["http"];
}

export interface Relay {
  /** As bound: a port 0 has become a real one. */
  readonly smtp: readonly ListenAddress[];
  readonly smtps: readonly ListenAddress[];
  readonly http: ListenAddress | undefined;
  /** MAX_MEMORY as it became, octets. */
  readonly memory: number;
  /** All addresses of the HTTP side. */
  readonly pages: readonly ListenAddress[];
  /** How it is doing, for the service manager. */
  state(): RelayState;
  /** Looks whether there is a new certificate, at once. Never fails: the log has what comes of it. */
  refreshCertificate(): Promise<void>;
  /** Tells of a fault that nobody has caught; never fails. */
  fault(error: unknown): void;
  stop(): Promise<void>;
}

/** @throws CommandError where it cannot start; nothing is left running then */
export async function startRelay(parts: RelayParts): Promise<Relay> {
  const { log, metrics = new Metrics(), sockets = NO_SOCKETS } = parts;
  let { settings } = parts;
  const runtime = await currentRuntime();
  const { tls, client } = await openOutside(parts, runtime);

  const listening = { smtp: false, on: [] as readonly string[] };
  let server: SmtpServer<Account> | undefined;
  let http: HttpService | undefined;
  let work: Processing | undefined;
  const listen = sockets.http[0] ?? settings.HTTP_LISTEN;
  if (listen !== "off") {
    const readiness = () => ({
      smtp: {
        ready: listening.smtp,
        connections: server?.connections ?? 0,
        listening: listening.on,
      },
      tls: tls?.state ?? { ready: true, source: "off" },
      ...(settings.AZURE_TABLES_URL === undefined ? {} : { table: tablePart(work?.tableState()) }),
    });
    try {
      http = await listenOrError("HTTP_LISTEN", listen, (hostname, port) =>
        serveHttp({
          listen: { hostname, port },
          sockets: sockets.http,
          readiness,
          metrics,
          password: settings.HTTP_PASSWORD,
          unlocked: parts.unlocked ?? [],
          names: [settings.SERVER_HOSTNAME],
          ...(parts.pages === undefined ? {} : { pages: parts.pages }),
        }));
    } catch (error) {
      if (!parts.httpOptional || !(error instanceof CommandError)) {
        tls?.close();
        client.close();
        throw error;
      }
      log.warning(
        "No health, metrics and pages: HTTP_LISTEN is not set, and its default cannot be had",
        {
          reason: error.lines.join("; "),
        },
      );
    }
    if (http !== undefined && parts.httpReady !== undefined) settings = parts.httpReady(http);
  }

  const events = new Events(log, undefined, metrics);
  tellTrusted(settings, log);
  const table = await openTable(settings, client).catch(async (error) => {
    tls?.close();
    client.close();
    await http?.close();
    throw error;
  });
  const entries = table ?? parts.entries;
  const { handlers, stopping, cutOff } = work = processing({
    settings,
    http: parts.tracing?.http(client) ?? client,
    events,
    entries,
  });
  const memory = memoryFor(settings, log, events);
  const fileLimit = openFileLimit();
  const limiter = new ConnectionLimiter({
    connections: settings.MAX_CONNECTIONS,
    perAddress: settings.MAX_CONNECTIONS_PER_IP,
    queue: queueFor(settings.MAX_CONNECTIONS, fileLimit),
  });
  const smtpServer = server = new SmtpServer<Account>({
    runtime,
    handlers: parts.tracing?.handlers(handlers) ?? handlers,
    observe: parts.tracing && ((client) => parts.tracing!.session(client)),
    session: {
      hostname: settings.SERVER_HOSTNAME,
      greeting: settings.SERVER_GREETING,
      maxMessageSize: settings.MAX_MESSAGE_SIZE,
      maxRecipients: settings.MAX_RECIPIENTS,
      requireTls: settings.REQUIRE_TLS,
      mechanisms: settings.AUTH_MECHANISMS,
      maxErrors: settings.MAX_ERRORS,
      maxIdleCommands: settings.MAX_IDLE_COMMANDS,
      checkRecipient: recipientRefusal,
    },
    identity: () => tls?.identity,
    timeouts: {
      command: settings.COMMAND_TIMEOUT,
      data: settings.DATA_TIMEOUT,
      dataRate: settings.MIN_DATA_RATE,
      handshake: HANDSHAKE_TIMEOUT,
      linger: LINGER,
      unread: UNREAD,
    },
    limiter,
    memory,
    proxies: settings.PROXY_PROTOCOL_NETWORKS && {
      networks: settings.PROXY_PROTOCOL_NETWORKS,
      headerTimeout: PROXY_HEADER_TIMEOUT,
    },
  });
  metrics.gauge({
    name: "open_connections",
    help: "SMTP connections that are open.",
    value: () => smtpServer.connections,
  });
  metrics.gauge({
    name: "queued_connections",
    help: "Of these, those that wait for a slot of MAX_CONNECTIONS.",
    value: () => limiter.queued,
  });
  metrics.gauge({
    name: "mail_memory_bytes",
    help: "Memory that mail in flight takes, of MAX_MEMORY.",
    value: () => memory.used,
  });
  const stop = async () => {
    listening.smtp = false;
    tls?.close();
    stopping();
    const { cutOff: messages } = await smtpServer.stop(settings.SHUTDOWN_TIMEOUT, cutOff);
    if (messages > 0) {
      const waited = settings.SHUTDOWN_TIMEOUT / 1000;
      log.warning("Messages were cut off by the stop", { messages, waited });
    }
    events.stop();
    client.close();
    await http?.close();
  };
  try {
    if (table !== undefined && settings.AZURE_TABLES_FORCE_USAGE) await proveTable(table, log);
    const bind = (name: string, addresses: readonly ListenAddress[], implicitTls: boolean) =>
      Promise.all(
        addresses.map((address) =>
          listenOrError(
            name,
            address,
            (hostname, port) => smtpServer.listen(hostname, port, implicitTls),
          )
        ),
      );
    const takeOver = (handed: HandedOverSockets["smtp"], implicitTls: boolean) =>
      handed.map(({ hostname, port, descriptor }) =>
        smtpServer.listen(hostname, port, implicitTls, descriptor)
      );
    const smtp = sockets.smtp.length > 0
      ? takeOver(sockets.smtp, false)
      : await bind("SMTP_LISTEN", settings.SMTP_LISTEN, false);
    const smtps = sockets.smtps.length > 0
      ? takeOver(sockets.smtps, true)
      : await bind("SMTPS_LISTEN", settings.SMTPS_LISTEN ?? [], true);
    const tooFew = openFileWarning(settings.MAX_CONNECTIONS, fileLimit);
    if (tooFew !== undefined) log.warning(...tooFew);
    listening.smtp = true;
    const messagesThat = (result: string) => metrics.value("messages", { result });
    listening.on = [...smtp, ...smtps].map((bound) => formatListenAddress(addressOf(bound)));
    return {
      smtp: smtp.map(addressOf),
      smtps: smtps.map(addressOf),
      http: http === undefined ? undefined : addressOf(http),
      memory: settings.MAX_MEMORY,
      pages: http?.listening ?? [],
      state: () => ({
        listening: listening.on,
        connections: smtpServer.connections,
        sent: messagesThat("sent"),
        refused: messagesThat("refused"),
        deferred: messagesThat("deferred"),
        ambiguous: messagesThat("ambiguous"),
      }),
      refreshCertificate: async () => await tls?.refresh(),
      fault: (error) => events.fault(error),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * It is no reason to be not ready that the table does not answer: entries that were read serve on, who
 * needs no entry needs no table, and a restart would only forget.
 */
function tablePart(state: TableState | undefined): PartState {
  if (state === undefined || state === "not asked") return { ready: true };
  if (state === "answers") return { ready: true, answers: true };
  return { ready: true, answers: false, code: state.code };
}

/** @throws CommandError where the table does not answer: nobody could log in */
async function proveTable(table: LookupTable, log: Log): Promise<void> {
  const answer = await table.probe(TABLE_TIMEOUT);
  if ("type" in answer) {
    throw new CommandError(EXIT.unavailable, [
      `AZURE_TABLES_FORCE_USAGE needs the lookup table: ${answer.code}: ${answer.detail} ` +
      `(the table is ${table.address})`,
    ]);
  }
  if (answer.empty) {
    log.warning(
      "The lookup table has no entry, and AZURE_TABLES_FORCE_USAGE is set: all logins fail",
    );
  }
}

/** That somebody may send without a login is nothing to be forgotten. */
function tellTrusted(settings: Settings, log: Log): void {
  const { TRUSTED_NETWORKS: networks, TRUSTED_USERNAME: username = "" } = settings;
  if (networks === undefined) return;
  log.warning("Clients in TRUSTED_NETWORKS send without a login, as TRUSTED_USERNAME", {
    networks: String(networks),
    username: shownUsername(username, settings.USERNAME_DELIMITER),
  });
}

/** MAX_MEMORY for all connections together. */
function memoryFor(settings: Settings, log: Log, events: Events): MemoryBudget {
  const { MAX_MEMORY: limit, MAX_MESSAGE_SIZE: largest } = settings;
  const fields = { memory: limit, messages: Math.floor(limit / COPIES) };
  if (largest * COPIES > limit) {
    log.warning("MAX_MEMORY is too small for a message of MAX_MESSAGE_SIZE: it gets 452", {
      ...fields,
      largest,
      needed: Math.ceil(largest * COPIES),
    });
  } else log.info("Memory for mail", fields);
  return new MemoryBudget(limit, { exhausted: (used) => events.outOfMemory(used, limit) });
}

function addressOf({ hostname, port }: Listener | HttpService): ListenAddress {
  return { hostname, port };
}

/**
 * What the start depends on outside of this program: authorities, certificate. All that is wrong with
 * them is told at once.
 */
async function openOutside(
  { settings, log, certificates }: RelayParts,
  runtime: Runtime,
): Promise<{ tls: IdentityHolder | undefined; client: HttpClient }> {
  const problems: string[] = [];
  let status: ExitStatus = EXIT.unavailable;
  const tell = (error: unknown) => {
    if (!(error instanceof CertificateError)) throw error;
    problems.push(...error.lines);
    if (!(error instanceof CertificateUnavailable)) status = EXIT.config;
  };
  let authorities: readonly string[] = [];
  try {
    authorities = readAuthorities(settings.EXTRA_CA_CERTS_FILEPATH);
  } catch (error) {
    tell(error);
  }
  const client = outgoingClient(settings, runtime, authorities);
  const proxy = proxyIn(settings);
  if (proxy !== undefined) {
    log.info("Outgoing connections take the proxy", { proxy: formatListenAddress(proxy) });
  }
  let tls: IdentityHolder | undefined;
  try {
    const source = await sourceFor(settings, client, certificates, problems.length > 0);
    if (source !== undefined) {
      tls = await IdentityHolder.open({ source, settings, runtime, log });
    }
  } catch (error) {
    client.close();
    tell(error);
  }
  if (problems.length === 0) return { tls, client };
  tls?.close();
  client.close();
  throw new CommandError(status, problems);
}

/** @param alone without its authorities, a vault would only give cause for a second, wrong line */
async function sourceFor(
  settings: Settings,
  client: HttpClient,
  given: CertificateSource | undefined,
  alone: boolean,
): Promise<CertificateSource | undefined> {
  if (settings.TLS_SOURCE === "off") return undefined;
  if (given !== undefined) return given;
  if (settings.TLS_SOURCE === "keyvault" && alone) return undefined;
  return await certificateSource(settings, client);
}
