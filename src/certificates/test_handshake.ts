// Tests TLS settings with a handshake of the relay with itself on the loopback.
//
// A runtime that does not support a cipher string or a protocol version reports it only when a client
// connects: the relay would start, and every connection would fail.

import type { Connection, Runtime, TlsFacts, TlsIdentity, TlsVersion } from "../runtime/runtime.ts";

export interface HandshakeResult {
  /** Such as `TLSv1.3`. */
  readonly protocol: string;
  readonly cipher: string;
}

const TIMEOUT_MS = 5_000;

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
  const secured = Promise.withResolvers<TlsFacts>();
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
        secured: secured.resolve,
        closed: (error) => secured.reject(error ?? new Error("the handshake was cut off")),
      };
    },
  });
  try {
    const [facts] = await Promise.all([
      secured.promise,
      runtime.shakeHands(listener.port, version, TIMEOUT_MS),
    ]);
    return { protocol: facts.version, cipher: facts.cipher };
  } finally {
    // On one runtime, a client that fails before its first octet leaves its connection open.
    served?.destroy();
    listener.close();
  }
}
