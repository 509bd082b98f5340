// Keeps web pages away from the HTTP server on the loopback. A page open in a browser on this
// machine can send requests there and read the responses, under a name that its owner points at
// 127.0.0.1 (DNS rebinding). Host shows that name (RFC 9110 §7.2).

/** The loopback's names, and all IP addresses: DNS rebinding needs a name. */
const OWN = /^(?:localhost\.?|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])$/;

/**
 * Whether a request names this machine in its Host field.
 *
 * @param host undefined for programs that do not send it (HTTP/1.0), which are not browsers
 * @param names further names of this machine, such as SERVER_HOSTNAME
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  if (host === undefined || host === "") return true;
  const name = host.toLowerCase().replace(/:\d{1,5}$/, "");
  return OWN.test(name) || names.some((own) => own.toLowerCase() === name);
}

/** @param address as it is bound */
export function isLoopbackAddress(address: string): boolean {
  return /^(?:(?:::ffff:)?127\.\d{1,3}\.\d{1,3}\.\d{1,3}|::1)$/i.test(address);
}
