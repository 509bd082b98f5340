// Listens on the address of a setting, or fails with an error line for the administrator.

import { isIP } from "../ip_version.ts";
import { late } from "../late_modules.ts";
import { bindProblem, listenDualStack } from "../server/addresses.ts";
import { formatListenAddress, type ListenAddress } from "../settings/listen_address.ts";
import { CommandError, EXIT } from "../exit.ts";

/**
 * @param setting name of the address's variable
 * @throws CommandError 69 if it cannot listen there
 */
export async function listenOrError<Listener>(
  setting: string,
  address: ListenAddress,
  listen: (hostname: string, port: number) => Listener | Promise<Listener>,
): Promise<Listener> {
  try {
    return await listenDualStack(address, listen);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    if (code === undefined) throw error;
    // For a name without an address, one runtime's HTTP server reports that the port is in use.
    const cause = await isUnknown(address.hostname) ? "ENOTFOUND" : code;
    const where = `${setting} ${formatListenAddress(address)}`;
    throw new CommandError(EXIT.unavailable, [
      `${where}: ${bindProblem(cause, message, address.port).text}`,
    ]);
  }
}

/** Needs no deadline: the resolver has its own. */
async function isUnknown(hostname: string): Promise<boolean> {
  if (isIP(hostname) !== 0) return false;
  return await late.dns.lookup(hostname).then(() => false, () => true);
}
