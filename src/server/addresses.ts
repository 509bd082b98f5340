// Listening on what a setting says: dual stack, with a way out where there is no IPv6.

/**
 * `0.0.0.0` in place of `::` where the machine has no IPv6.
 *
 * @throws what `listen` throws, otherwise
 */
export async function listenDualStack<Listener>(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  listen: (hostname: string, port: number) => Listener | Promise<Listener>,
): Promise<Listener> {
  try {
    return await listen(hostname, port);
  } catch (error) {
    const { code } = error as { code?: string };
    const noIpv6 = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
    if (hostname !== "::" || !noIpv6) throw error;
    return await listen("0.0.0.0", port);
  }
}
