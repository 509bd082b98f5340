// `serve`: the relay with the settings from the environment.

import process from "node:process";
import { createLog, type Log } from "../observe/log.ts";
import { formatListenAddress, type ListenAddress } from "../settings/parsers.ts";
import { settingsFor } from "./environment.ts";
import { type Relay, startRelay } from "./relay.ts";
import { surviveFaults } from "./last_resort.ts";
import { onHangup, stopSignal } from "./signals.ts";
import { versionLine } from "./version.ts";

export async function serve(envFile: string | undefined): Promise<void> {
  const { settings, warnings } = settingsFor(envFile);
  const log = createLog({ level: settings.LOG_LEVEL, format: settings.LOG_FORMAT });
  for (const warning of warnings) log.warning(warning);
  const starting = startRelay({ settings, log });
  // From the beginning: a hangup that comes early must not end the program.
  onHangup(() => {
    log.info("Asked to look for a new certificate", { signal: "SIGHUP" });
    starting.then((relay) => relay.refreshCertificate(), () => {});
  });
  const relay = await starting;
  const stopped = untilStopped(relay, log);
  // Visible at the default level, so that an administrator sees that it runs, and where.
  log.warning("Relay started", await describe(relay));
  await stopped;
}

/** Keeps the relay up, and waits for a signal; then stops the relay in good order. */
export async function untilStopped(
  relay: Relay,
  log: Log,
  stopping: () => void = () => {},
): Promise<void> {
  surviveFaults((error) => relay.fault(error));
  const signal = await stopSignal((signal) => {
    log.warning("Relay ended at once, by a second signal; nothing was waited for", { signal });
  });
  stopping();
  log.warning("Relay is stopping", { signal });
  await relay.stop();
  log.warning("Relay stopped");
  // Whatever still waits somewhere waits for nothing any more.
  process.exit(0);
}

async function describe({ smtp, smtps, http, memory }: Relay) {
  const shown = (addresses: readonly ListenAddress[]) =>
    addresses.map(formatListenAddress).join(",");
  return {
    version: await versionLine(),
    smtp: shown(smtp),
    ...(smtps.length === 0 ? {} : { smtps: shown(smtps) }),
    ...(http === undefined ? {} : { http: shown([http]) }),
    memory,
  };
}
