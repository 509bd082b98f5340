// Builds the SMTP server from the settings, and has it listen.

import type { Clock } from "../clock.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Notify } from "../observe/relay_event.ts";
import { recipientRefusal } from "../message/addresses.ts";
import type { LevelLog } from "../observe/log.ts";
import type { Listener, Runtime, TlsIdentity } from "../runtime/runtime.ts";
import { ConnectionLimiter } from "../server/connection_limiter.ts";
import { COPIES, MemoryBudget } from "../server/memory.ts";
import type { ProtocolOptions } from "../server/options.ts";
import type { Timeouts } from "../server/connection_deadline.ts";
import { SmtpServer } from "../server/server.ts";
import type { ListenAddress } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";
import type { SubmissionService } from "../submission/submission_service.ts";
import type { HandedOverSockets } from "../systemd/sockets.ts";
import { listenOrError } from "./bind.ts";
import { openFileLimit, openFileWarning, queueFor } from "./open_file_limit.ts";

const HANDSHAKE_TIMEOUT = 30_000;
/** Milliseconds for a proxy to send its PROXY header. */
const PROXY_HEADER_TIMEOUT = 5_000;
/** Milliseconds for a client to read the last reply. */
const LINGER = 5_000;
/** Milliseconds for a client to read replies that pile up. */
const UNREAD = 30_000;

export interface SmtpParts {
  readonly settings: Settings;
  readonly service: SubmissionService;
  readonly observers: SmtpObservers;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly memory: MemoryBudget;
  /** The certificate for the next handshake; undefined if TLS is off. */
  identity(): TlsIdentity | undefined;
}

export interface SmtpObservers {
  readonly log: LevelLog;
  readonly notify: Notify;
  readonly metrics: Metrics;
  readonly observe: ProtocolOptions["observe"];
}

/** The server; it does not listen yet. */
export function smtpServer(parts: SmtpParts): SmtpServer {
  const { settings, service, runtime, clock, memory, identity } = parts;
  const { log, notify, metrics, observe } = parts.observers;
  const fileLimit = openFileLimit();
  const limiter = new ConnectionLimiter({
    connections: settings.MAX_CONNECTIONS,
    perAddress: settings.MAX_CONNECTIONS_PER_IP,
    queue: queueFor(settings.MAX_CONNECTIONS, fileLimit),
    now: () => clock.now(),
  });
  const proxies = settings.PROXY_PROTOCOL_NETWORKS;
  const server = new SmtpServer({
    runtime,
    service,
    notify,
    protocol: {
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
      identity,
      proxies: proxies && { networks: proxies, headerTimeout: PROXY_HEADER_TIMEOUT },
      isTrusted: ({ address }) => settings.TRUSTED_NETWORKS?.has(address) ?? false,
      observe,
    },
    limits: { timeouts: timeoutsOf(settings), limiter, memory, clock },
  });
  metrics.gauge({ name: "open_connections", value: () => server.connections });
  metrics.gauge({ name: "queued_connections", value: () => limiter.queued });
  metrics.gauge({ name: "mail_memory_bytes", value: () => memory.used });
  metrics.gauge({ name: "mail_memory_limit_bytes", value: () => settings.MAX_MEMORY });
  const tooFew = openFileWarning(settings.MAX_CONNECTIONS, fileLimit);
  if (tooFew !== undefined) log.warning(...tooFew);
  return server;
}

function timeoutsOf(settings: Settings): Timeouts {
  return {
    command: settings.COMMAND_TIMEOUT,
    data: settings.DATA_TIMEOUT,
    dataRate: settings.MIN_DATA_RATE,
    handshake: HANDSHAKE_TIMEOUT,
    linger: LINGER,
    unread: UNREAD,
  };
}

/** MAX_MEMORY for all connections together, and for checks of passwords. */
export function memoryFor(settings: Settings, log: LevelLog, notify: Notify): MemoryBudget {
  const { MAX_MEMORY: limit, MAX_MESSAGE_SIZE: largest } = settings;
  const fields = { memory_bytes: limit, messages_bytes: Math.floor(limit / COPIES) };
  if (largest * COPIES > limit) {
    log.warning("MAX_MEMORY is too small for a message of MAX_MESSAGE_SIZE: it gets 452", {
      ...fields,
      max_message_bytes: largest,
      needed_bytes: Math.ceil(largest * COPIES),
    });
  } else log.info("Memory for mail", fields);
  return new MemoryBudget(limit, { exhausted: (used) => notify({ type: "memory", used, limit }) });
}

/** The addresses that the server listens on. */
export interface SmtpAddresses {
  readonly smtp: readonly ListenAddress[];
  readonly smtps: readonly ListenAddress[];
}

/**
 * Listens on the addresses of the settings, or on the service manager's sockets.
 *
 * @throws CommandError 69 if it cannot listen on an address
 */
export async function listenSmtp(
  server: SmtpServer,
  settings: Settings,
  sockets: HandedOverSockets,
): Promise<SmtpAddresses> {
  const bind = (name: string, addresses: readonly ListenAddress[], implicitTls: boolean) =>
    Promise.all(addresses.map((address) =>
      listenOrError(
        name,
        address,
        (hostname, port) => server.listen(hostname, port, implicitTls),
      )
    ));
  const takeOver = (handed: HandedOverSockets["smtp"], implicitTls: boolean) =>
    handed.map(({ hostname, port, descriptor }) =>
      server.listen(hostname, port, implicitTls, descriptor)
    );
  const smtp = sockets.smtp.length > 0
    ? takeOver(sockets.smtp, false)
    : await bind("SMTP_LISTEN", settings.SMTP_LISTEN, false);
  const smtps = sockets.smtps.length > 0
    ? takeOver(sockets.smtps, true)
    : await bind("SMTPS_LISTEN", settings.SMTPS_LISTEN ?? [], true);
  return { smtp: smtp.map(addressOf), smtps: smtps.map(addressOf) };
}

function addressOf({ hostname, port }: Listener): ListenAddress {
  return { hostname, port };
}
