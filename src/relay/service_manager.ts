// Runs a command under a service manager, if there is one: notifies it, and takes over its sockets.

import process from "node:process";
import { isLoopback } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";
import { ServiceManager } from "../systemd/manager.ts";
import { type HandedOverSockets, takeSockets } from "../systemd/sockets.ts";
import { CommandError, EXIT } from "../exit.ts";

/** Runs a command. Tells the service manager too why it does not start, or ends. */
export async function underServiceManager(
  command: (manager: ServiceManager) => Promise<void>,
  open = openServiceManager,
): Promise<void> {
  const manager = await open();
  try {
    await command(manager);
  } catch (error) {
    const line = error instanceof CommandError ? error.lines[0] : undefined;
    manager.ended(line ?? "Internal error: see the log");
    throw error;
  }
}

async function openServiceManager(): Promise<ServiceManager> {
  // The name of standard output, which no socket can have: src/windows/service_host.ts.
  if (process.env["NOTIFY_SOCKET"] !== "-") {
    return await ServiceManager.of(process.env, process.pid);
  }
  const { serviceHost } = await import("../windows/service_host.ts");
  return await ServiceManager.of(process.env, process.pid, () => Promise.resolve(serviceHost()));
}

/**
 * The sockets that replace the addresses in the settings.
 *
 * @throws CommandError 78 if one cannot be used, or not with these settings
 */
export async function socketsFor(
  settings: Settings,
  take = () => takeSockets(process.env, process.pid),
): Promise<HandedOverSockets> {
  const taken = await take();
  if (taken.type === "problems") throw new CommandError(EXIT.config, taken.problems);
  const { sockets } = taken;
  const problems: string[] = [];
  if (sockets.smtps.length > 0 && settings.TLS_SOURCE === "off") {
    problems.push("the socket smtps needs a certificate: TLS_SOURCE must not be off");
  }
  if (
    settings.HTTP_PASSWORD === undefined &&
    sockets.http.some(({ hostname }) => !isLoopback(hostname))
  ) {
    problems.push("HTTP_PASSWORD must be set when the socket http is not of a loopback address");
  }
  if (problems.length > 0) throw new CommandError(EXIT.config, problems);
  return sockets;
}
