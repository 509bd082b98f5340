// Whether a request that changes something comes from the relay's own page (CSRF): a browser sends the
// origin of the page with each POST (WHATWG Fetch §3.2, RFC 6454), and other pages cannot set it.

/** @param host of the request (RFC 9110 §7.2) */
export function isFromOwnPage(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined || host === undefined) return false;
  try {
    const { protocol, host: named, origin: whole } = new URL(origin);
    // The scheme is a proxy's where one ends TLS.
    return /^https?:$/.test(protocol) && whole === origin && named === hostOf(protocol, host);
  } catch {
    return false;
  }
}

/** Without the scheme's default port. */
function hostOf(protocol: string, host: string): string {
  return new URL(`${protocol}//${host}`).host;
}
