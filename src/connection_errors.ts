// Codes of connections that were not made for a reason that stays: to try again soon would not help.

/**
 * OpenSSL's verdicts on a chain without their `X509_V_ERR_`, as the runtimes name them
 * (https://docs.openssl.org/3.0/man3/X509_STORE_CTX_get_error/), and theirs on the host name.
 */
const CERTIFICATE_ERRORS =
  /^(?:CERT_|UNABLE_TO_|(?:DEPTH_ZERO_)?SELF_SIGNED_CERT|INVALID_(?:CA|PURPOSE)$|HOSTNAME_MISMATCH$|ERR_TLS_CERT_|ENOCERTIFICATE$)/;

/** Whether the certificate of the other side is not trusted, or names another host. */
export function isCertificateError(code: string): boolean {
  return CERTIFICATE_ERRORS.test(code);
}

/** A proxy's own 4xx (`runtime/tunnel.ts`); its 5xx may be temporary. */
export function isProxyRefusal(code: string): boolean {
  return /^PROXY_4/.test(code);
}
