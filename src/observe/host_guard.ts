// Keeps web pages out of the HTTP side on the loopback. A page that somebody's browser has open on this
// machine can send requests there, and read the answers, under a name that its owner points at 127.0.0.1
// (DNS rebinding): Host shows that name (RFC 9110 §7.2).

/** Names and addresses of the loopback, and any other address: no web site can have one as its name. */
const OWN = /^(?:localhost\.?|\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-f:.]{2,45}\])$/;

/**
 * Whether a request is for this machine by a name that is nobody else's.
 *
 * @param host the header field; programs that send none (HTTP/1.0) are no browsers
 * @param names further ones, such as SERVER_HOSTNAME
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
