// Listens where a setting says, or says in an administrator's words why not.

import { listenDualStack } from "../server/addresses.ts";
import { formatListenAddress, type ListenAddress } from "../settings/parsers.ts";
import { CommandError, EXIT } from "./exit.ts";

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
    const where = `${setting} ${formatListenAddress(address)}`;
    throw new CommandError(EXIT.unavailable, [
      `${where}: ${bindProblem(code, message, address.port)}`,
    ]);
  }
}

function bindProblem(code: string, message: string, port: number): string {
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use by another program";
    case "EACCES":
    case "EPERM":
      return port < 1024
        ? "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)"
        : "not allowed to listen there";
    case "EADDRNOTAVAIL":
      return "the address is not one of this machine's";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the host name cannot be resolved";
    default:
      return `cannot listen: ${code}: ${message}`;
  }
}
