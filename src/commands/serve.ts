// `serve`: the relay with the settings from the environment.

import process from "node:process";
import { EXIT } from "../exit.ts";
import { formatListenAddress, type ListenAddress } from "../settings/listen_address.ts";
import { type HandedOverSockets, SOCKET_NAMES } from "../systemd/sockets.ts";
import type { ServiceManager } from "../systemd/manager.ts";
import { type CommandSettings, environment, settingsFor } from "../settings/environment.ts";
import type { Settings } from "../settings/schema.ts";
import type { LogFields } from "../observe/log.ts";
import { type ProcessLog, withLog } from "../relay/process_log.ts";
import { openHttp } from "../relay/http.ts";
import { queuePlace } from "../relay/open_queue.ts";
import { type Relay, type RelayParts, startRelay } from "../relay/relay.ts";
import { socketsFor, underServiceManager } from "../relay/service_manager.ts";
import { onHangup, stopSignal, surviveFaults } from "../relay/process_events.ts";
import type { StatusPage, StatusPageOptions } from "./status_page.ts";
import { buildLabels, versionLine } from "./version.ts";

export async function serve(envFile: string | undefined): Promise<void> {
  await underServiceManager(async (manager) => {
    const loaded = settingsFor(envFile);
    await withLog(loaded.settings, (output) => serveWith(loaded, envFile, manager, output));
  });
}

async function serveWith(
  { settings, warnings, given }: CommandSettings,
  envFile: string | undefined,
  manager: ServiceManager,
  output: ProcessLog,
): Promise<void> {
  const { log, metrics } = output;
  metrics.set("build_info", await buildLabels(), 1);
  for (const warning of warnings) log.warning(warning);
  manager.logTo((message, fields) => log.warning(message, fields));
  const sockets = await socketsFor(settings);
  const optional = !given.has("HTTP_LISTEN") && sockets.http.length === 0;
  const end = Promise.withResolvers<void>();
  const starting = (async () => {
    const http = await openHttp({ settings, log, metrics, sockets: sockets.http, optional });
    const page = http && await openPage({ http, settings, given, variables: environment(envFile) });
    const relay = await startRelay({
      ...{ settings, log, metrics, http },
      status: page?.status,
      replaced: { sockets },
      broken: end.resolve,
    });
    return { relay, http, page };
  })();
  const reload = (by: LogFields) => {
    log.info("Reading certificates and LOOKUP_FILE again", by);
    starting.then(({ relay }) => manager.reloading(() => relay.reload()), () => {});
  };
  // Registered first: an early SIGHUP must not end the program.
  onHangup(() => reload({ signal: "SIGHUP" }));
  manager.requests?.onReload(() => reload({}));
  const { relay, http, page } = await starting;
  const stopped = untilStopped(relay, output, manager, {
    stopping: () => page?.close(),
    broken: end.promise,
  });
  // Visible at the default level, so that an administrator sees that it runs, and where.
  log.warning("Relay started", {
    version: await versionLine(),
    ...addressFields(relay, http),
    ...levelHint(settings, given),
    memory_bytes: settings.MAX_MEMORY,
    ...handedOver(sockets),
    ...(settings.DELIVERY_MODE === "queue" ? { queue: queuePlace(settings) } : {}),
  });
  // The log says where the relay listens before the service manager hears that it is ready.
  await output.flush();
  manager.ready(() => relay.state());
  await stopped;
}

/** Without HTTP_LISTEN, nothing of the page is loaded. */
async function openPage(options: StatusPageOptions): Promise<StatusPage> {
  return (await import("./status_page.ts")).openStatusPage(options);
}

const NEVER = new Promise<never>(() => {});

export interface StopOptions {
  /** Called first. */
  readonly stopping?: () => void;
  /** Resolves if the relay cannot go on. */
  readonly broken?: Promise<void>;
}

/** Keeps the relay up, and waits for a signal; then stops the relay in good order. */
export async function untilStopped(
  relay: Relay,
  { log, flush }: ProcessLog,
  manager: ServiceManager,
  { stopping = () => {}, broken = NEVER }: StopOptions = {},
): Promise<void> {
  surviveFaults((error) => relay.fault(error));
  const signalled = stopSignal(async (signal) => {
    log.warning("Relay ended at once by a second signal, without waiting for messages", { signal });
    await flush();
  });
  const requested = manager.requests?.stop.then(() => "the service manager") ?? NEVER;
  const by = await Promise.race([
    signalled.then((signal) => ({ signal })),
    requested.then((by) => ({ by })),
    broken.then(() => undefined),
  ]);
  stopping();
  manager.stopping();
  log.warning("Relay is stopping", by);
  // What is broken may not close in good order either.
  await (by === undefined ? relay.stop().catch(() => {}) : relay.stop());
  log.warning("Relay stopped");
  manager.ended();
  await flush();
  // Nothing that still waits may keep the process running.
  process.exit(by === undefined ? EXIT.unavailable : EXIT.ok);
}

/** With the bare default, the log has no line of a message that was sent: some look for it in vain. */
function levelHint({ LOG_LEVEL }: Settings, given: CommandSettings["given"]) {
  if (given.has("LOG_LEVEL")) return {};
  return {
    hint: `LOG_LEVEL is not set, so it is ${LOG_LEVEL}: messages that are sent are not logged. ` +
      "LOG_LEVEL=INFO logs each of them",
  };
}

/** The names of the service manager's sockets, if there are any. */
function handedOver(sockets: HandedOverSockets) {
  const names = SOCKET_NAMES.filter((name) => sockets[name].length > 0);
  return names.length === 0 ? {} : { handed_over: names.join(",") };
}

function addressFields({ addresses: { smtp, smtps } }: Relay, http: RelayParts["http"]) {
  const shown = (addresses: readonly ListenAddress[]) =>
    addresses.map(formatListenAddress).join(",");
  return {
    smtp: shown(smtp),
    ...(smtps.length === 0 ? {} : { smtps: shown(smtps) }),
    ...(http === undefined ? {} : { http: shown(http.addresses) }),
  };
}
