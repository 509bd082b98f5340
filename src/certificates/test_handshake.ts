// Tests TLS settings with a handshake of the relay with itself on the loopback.
//
// A runtime that does not support a cipher string or a protocol version reports it only when a client
// connects: the relay would start, and every connection would fail.

import { connect, createSecureContext, type SecureVersion, type TLSSocket } from "node:tls";
import type { Connection, Runtime, TlsIdentity, TlsVersion } from "../runtime/runtime.ts";

export interface HandshakeResult {
  /** Such as `TLSv1.3`. */
  readonly protocol: string;
  readonly cipher: string;
}

const TIMEOUT_MS = 5_000;
const NAMES: Record<TlsVersion, SecureVersion> = {
  "1.0": "TLSv1",
  "1.1": "TLSv1.1",
  "1.2": "TLSv1.2",
  "1.3": "TLSv1.3",
};

/**
 * Makes one handshake, in the version given.
 *
 * @throws Error with the TLS library's message
 */
export async function testHandshake(
  runtime: Runtime,
  identity: TlsIdentity,
  version: TlsVersion,
): Promise<HandshakeResult> {
  const settled = Promise.withResolvers<HandshakeResult>();
  let served: Connection | undefined;
  const listener = runtime.listen({
    hostname: "127.0.0.1",
    port: 0,
    accept(connection) {
      served = connection;
      return {
        opened: () => connection.startTls(identity),
        data() {},
        drained() {},
        ended: () => connection.end(),
        secured() {},
        closed(error) {
          if (error !== undefined) settled.reject(error);
        },
      };
    },
  });
  let client: TLSSocket | undefined;
  try {
    // Throws at once where the runtime has no such version.
    client = connect({
      host: "127.0.0.1",
      port: listener.port,
      // Whether the certificate is trusted is for the clients to decide.
      rejectUnauthorized: false,
      minVersion: NAMES[version],
      maxVersion: NAMES[version],
      ...(version === "1.0" || version === "1.1" ? lowestLevel() : {}),
    });
    client.setTimeout(TIMEOUT_MS, () => client?.destroy(new Error("the handshake timed out")));
    client.on("secureConnect", () => {
      settled.resolve({
        protocol: client?.getProtocol() ?? "unknown",
        cipher: client?.getCipher()?.name ?? "unknown",
      });
    });
    client.on("error", (error) => settled.reject(error));
    client.on("close", () => settled.reject(new Error("the handshake was cut off")));
    return await settled.promise;
  } finally {
    client?.destroy();
    // On Deno, a client that fails before its first octet leaves its connection open.
    served?.destroy();
    listener.close();
  }
}

/** OpenSSL allows the oldest versions at this level only; BoringSSL has no levels, and no limit. */
function lowestLevel(): { ciphers?: string } {
  const ciphers = "DEFAULT:@SECLEVEL=0";
  try {
    createSecureContext({ ciphers });
    return { ciphers };
  } catch {
    return {};
  }
}
