// Binds addresses: dual stack, or IPv4 alone if the machine has no IPv6.

/**
 * Listens on `0.0.0.0` instead of `::` if the machine has no IPv6.
 *
 * @throws all other errors of `listen`
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

/** Why the relay cannot listen on an address. */
export interface BindProblem {
  readonly kind: "taken" | "privileged" | "foreign" | "unresolved" | "other";
  /** For the administrator. */
  readonly text: string;
}

/** @param code of the error, such as `EADDRINUSE`; @param message its text */
export function bindProblem(code: string, message: string, port: number): BindProblem {
  switch (code) {
    case "EADDRINUSE":
      return { kind: "taken", text: "the port is in use by another program" };
    case "EACCES":
    case "EPERM":
      return port < 1024
        ? {
          kind: "privileged",
          text: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
        }
        : { kind: "privileged", text: "not allowed to listen there" };
    case "EADDRNOTAVAIL":
      return { kind: "foreign", text: "the address is not one of this machine's" };
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "EAI_FAIL":
      return { kind: "unresolved", text: "the host name cannot be resolved" };
    default:
      return { kind: "other", text: `cannot listen: ${code}: ${message}` };
  }
}
