// Listens where a setting says, or says in an administrator's words why not.

import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { bindProblem, listenDualStack } from "../server/addresses.ts";
import { formatListenAddress, type ListenAddress } from "../settings/listen_address.ts";
import { CommandError, EXIT } from "../exit.ts";

/**
 * @param setting the name of the variable that the address comes from
 * @throws CommandError 69 where that address cannot be had
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
    // Of a name without an address, Bun's HTTP server says that the port is in use.
    const cause = await isUnknown(address.hostname) ? "ENOTFOUND" : code;
    const where = `${setting} ${formatListenAddress(address)}`;
    throw new CommandError(EXIT.unavailable, [
      `${where}: ${bindProblem(cause, message, address.port).text}`,
    ]);
  }
}

/** The resolver has its own deadline, and has been asked a moment ago. */
async function isUnknown(hostname: string): Promise<boolean> {
  if (isIP(hostname) !== 0) return false;
  return await lookup(hostname).then(() => false, () => true);
}
