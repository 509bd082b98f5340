// Listens where a setting says, or says in an administrator's words why not.

import { bindProblem, listenDualStack } from "../server/addresses.ts";
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
      `${where}: ${bindProblem(code, message, address.port).text}`,
    ]);
  }
}
