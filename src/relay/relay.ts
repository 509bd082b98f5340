// Builds a relay from its settings, starts it and stops it, for `serve` and `sandbox`. The file to
// read first.

import type { EntrySource } from "../accounts/entry_source.ts";
import type { LookupFile } from "../accounts/lookup_file.ts";
import type { CertificateManager } from "../certificates/certificate_manager.ts";
import type { CertificateSource } from "../certificates/source.ts";
import { type Clock, realClock } from "../clock.ts";
import type { TokenSource } from "../entra/tokens.ts";
import type { HttpClient } from "../http/client.ts";
import type { HttpService } from "../observe/http.ts";
import type { LevelLog } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import type { Notify, RelayEvent } from "../observe/relay_event.ts";
import { currentRuntime } from "../runtime/current.ts";
import type { SmtpServer } from "../server/server.ts";
import { WorkMemory } from "../server/work_memory.ts";
import { formatListenAddress } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";
import type { SessionObserver } from "../smtp/observer.ts";
import type { LiveCertificate } from "../status/live_state.ts";
import type { Status } from "../status/status.ts";
import type { Client, SubmissionService } from "../submission/submission_service.ts";
import { type HandedOverSockets, NO_SOCKETS } from "../systemd/sockets.ts";
import type { RelayState } from "../systemd/status.ts";
import { openListeners } from "./listeners.ts";
import { openLookupFile } from "./open_lookup_file.ts";
import { openTable } from "./open_lookup_table.ts";
import { openOutside } from "./outside.ts";
import { measureProcess } from "./process_metrics.ts";
import { lookupParts, serviceParts } from "./readiness.ts";
import { listenSmtp, memoryFor, type SmtpAddresses, smtpServer } from "./smtp.ts";
import { probeEntries, warnOfTrusted, warnOfUnsetCredentials } from "./start_warnings.ts";
import { buildSubmissions, type Submissions } from "./submission.ts";

export interface RelayParts {
  readonly settings: Settings;
  readonly log: LevelLog;
  /** Counts events; may already have counted others. */
  readonly metrics?: Metrics;
  /** The HTTP server, which listens already. The relay closes it. */
  readonly http?: HttpService | undefined;
  /** Parts that replace those of the settings. */
  readonly replaced?: Replacements;
  /** Follows each message. */
  readonly tracing?: Tracing;
  /** Called if the relay cannot go on, and has to be stopped. */
  readonly broken?: () => void;
  /** What the status page knows. */
  readonly status?: Status | undefined;
}

export interface Replacements {
  /** The certificate's source, unless TLS is off. */
  readonly certificates?: CertificateSource;
  /** The source of the relay's own certificate for Entra ID. */
  readonly clientCertificates?: CertificateSource;
  /** The lookup table's entries, unless the settings name a table. */
  readonly entries?: EntrySource;
  /** The source of tokens. */
  readonly tokens?: TokenSource;
  /** Sockets that replace SMTP_LISTEN and SMTPS_LISTEN, by name. */
  readonly sockets?: HandedOverSockets;
  /** The SMTP server's clock. */
  readonly clock?: Clock;
}

/** Observes sessions, submissions and outgoing requests. */
export interface Tracing {
  /** A listener of events. */
  readonly notify: Notify;
  /** An observer of a session. */
  session(client: Client): SessionObserver;
  /** Decorates the service. */
  service(service: SubmissionService): SubmissionService;
  /** Decorates the client of outgoing requests. */
  http(client: HttpClient): Pick<HttpClient, "request" | "abort">;
}

export interface Relay {
  /** As bound: port 0 is replaced by the real port. */
  readonly addresses: SmtpAddresses;
  /** The state for the service manager. */
  state(): RelayState;
  /** Reads the certificates and LOOKUP_FILE again at once. Never fails; the results are logged. */
  reload(): Promise<void>;
  /** Reports an uncaught fault; never fails. */
  fault(error: unknown): void;
  stop(): Promise<void>;
}

/** @throws CommandError if it cannot start; nothing is left running then */
export async function startRelay(parts: RelayParts): Promise<Relay> {
  const opened = new Opened();
  try {
    return await start(parts, opened);
  } catch (error) {
    // Why it cannot start is what the administrator needs.
    await opened.close().catch(() => {});
    throw error;
  }
}

async function start(parts: RelayParts, opened: Opened): Promise<Relay> {
  const { settings, log, metrics = new Metrics(), http, replaced = {}, tracing, status } = parts;
  opened.add(() => http?.close());
  const runtime = await currentRuntime();
  const { certificates, clientCertificates, sockets = NO_SOCKETS, clock = realClock } = replaced;
  const broken = { notify: ({ type }: RelayEvent) => type === "queueEnded" && parts.broken?.() };
  const listeners = await openListeners(
    { settings, runtime, log, metrics, clock, status },
    [tracing, status, broken],
  );
  // Also if the start fails: what waits for a receiver would keep the process running.
  opened.add(() => listeners.deliverRest());
  const { notify } = listeners;
  let submissions: Submissions | undefined;
  const { tls, own, client, mail } = await openOutside({
    ...{ settings, log, notify, runtime, certificates, clientCertificates },
    renewed: (name) => submissions?.credentialRenewed(name),
  });
  opened.add(() => client.close());
  opened.add(() => mail.close());
  opened.add(() => tls?.close());
  opened.add(() => own.credentials.close());
  opened.add(() => listeners.closeLog());
  warnOfTrusted(settings, log);
  const file = await openLookupFile(settings, notify);
  opened.add(() => file?.close());
  warnOfUnsetCredentials(file, own.credentials, log);
  const table = await openTable(settings, client);
  const queue = settings.DELIVERY_MODE === "direct"
    ? undefined
    : await (await import("./queue.ts")).RelayQueue.open({
      settings,
      http: client,
      notify,
      log,
      clock,
    });
  opened.add(() => queue?.close());
  queue?.measure(metrics);
  const kept = listeners.events && await queue?.keepEvents(listeners.events);
  opened.add(() => kept?.close());
  // Before what is left is kept.
  opened.add(() => listeners.deliverRest());
  const memory = memoryFor(settings, log, notify);
  const built = submissions = buildSubmissions({
    settings,
    memory: new WorkMemory(memory, "checks of passwords", clock),
    http: tracing?.http(client) ?? client,
    mail,
    notify,
    entries: table ?? replaced.entries,
    file,
    tokens: replaced.tokens,
    metrics,
    queue,
    own: own.credentials,
  });
  const server = smtpServer({
    settings,
    runtime,
    clock,
    memory,
    identity: () => tls?.identity,
    service: tracing?.service(built.service) ?? built.service,
    observers: { log, notify, metrics, observe: tracing && ((client) => tracing.session(client)) },
  });
  opened.add(() => stopServer(server, built, settings, notify));
  const hasOther = table === undefined && replaced.entries !== undefined;
  if (settings.AZURE_TABLES_FORCE_USAGE && !hasOther) await probeEntries(file, table, log);
  const addresses = await listenSmtp(server, settings, sockets);
  built.start();
  const listening = [...addresses.smtp, ...addresses.smtps].map(formatListenAddress);
  measureProcess(metrics);
  metrics.gauge({
    name: "certificate_expires_timestamp_seconds",
    value: () => tls && Date.parse(tls.state.expires) / 1000,
  });
  measureFile(metrics, file);
  metrics.gauge({
    name: "client_credential_expires_timestamp_seconds",
    labels: { credential: "certificate" },
    value: () => own.certificate && Date.parse(own.certificate.state.expires) / 1000,
  });
  let stopping = false;
  const readiness = () => ({
    smtp: { ready: !stopping, connections: server.connections, listening },
    tls: tls?.state ?? { ready: true, source: "off" },
    ...(own.certificate === undefined ? {} : { client_certificate: own.certificate.state }),
    ...lookupParts({ file, table: built.lookupState(), hasTable: table !== undefined }),
    ...(queue === undefined ? {} : { queue: queue.state() }),
    ...serviceParts(status),
  });
  http?.reportReadiness(readiness);
  if (status !== undefined) {
    status.live = {
      parts: readiness,
      listening,
      connections: () => server.connections,
      certificate: () => liveCertificate(tls),
      clientCertificate: () => liveCertificate(own.certificate),
      queue: queue?.live(),
    };
  }
  return {
    addresses,
    state: () => ({ listening, connections: server.connections, ...countsOf(metrics) }),
    reload: async () =>
      void await Promise.all([tls?.refresh(), own.credentials.refresh(), file?.refresh()]),
    fault: (error) => notify({ type: "fault", error }),
    stop: async () => {
      stopping = true;
      await opened.close();
    },
  };
}

async function stopServer(
  server: SmtpServer,
  submissions: Submissions,
  settings: Settings,
  notify: Notify,
): Promise<void> {
  submissions.stopping();
  const timeout = settings.SHUTDOWN_TIMEOUT;
  const end = performance.now() + timeout;
  const { cutOff: messages } = await server.stop(timeout, () => submissions.cutOff());
  const cut = setTimeout(() => submissions.cutOff(), Math.max(0, end - performance.now()));
  await submissions.drain();
  clearTimeout(cut);
  if (messages > 0) notify({ type: "cutOff", messages, waited: timeout / 1000 });
}

/** Opened parts, to be closed in reverse order. */
class Opened {
  readonly #closers: (() => unknown)[] = [];

  add(close: () => unknown): void {
    this.#closers.push(close);
  }

  /** A closer that fails keeps no other part open. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const close of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw errors[0];
  }
}

function countsOf(metrics: Metrics): Pick<RelayState, MessageCount> {
  const count = (result: MessageCount) => metrics.value("messages", { result });
  return {
    sent: count("sent"),
    refused: count("refused"),
    deferred: count("deferred"),
    ambiguous: count("ambiguous"),
  };
}

type MessageCount = "sent" | "refused" | "deferred" | "ambiguous";

function measureFile(metrics: Metrics, file: LookupFile | undefined): void {
  metrics.gauge({ name: "lookup_file_entries", value: () => file?.state.entries });
  metrics.gauge({
    name: "lookup_file_usable",
    value: () => file && (file.state.failed === undefined ? 1 : 0),
  });
}

function liveCertificate(
  certificate: Pick<CertificateManager, "state" | "readAt"> | undefined,
): LiveCertificate | undefined {
  if (certificate === undefined) return undefined;
  const { state: { source, expires }, readAt } = certificate;
  return { source, expires: Date.parse(expires), readAt };
}
