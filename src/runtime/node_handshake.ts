// A handshake with a port of this machine on `node:tls`.

import { connect, createSecureContext, type SecureVersion } from "node:tls";
import type { TlsVersion } from "./runtime.ts";

const NAMES: Record<TlsVersion, SecureVersion> = {
  "1.0": "TLSv1",
  "1.1": "TLSv1.1",
  "1.2": "TLSv1.2",
  "1.3": "TLSv1.3",
};

export function shakeHandsByNode(
  port: number,
  version: TlsVersion,
  timeout: number,
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    // Throws at once where the runtime has no such version.
    const client = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      minVersion: NAMES[version],
      maxVersion: NAMES[version],
      ...(version === "1.0" || version === "1.1" ? lowestLevel() : {}),
    });
    client.setTimeout(timeout, () => client.destroy(new Error("the handshake timed out")));
    client.on("secureConnect", () => {
      resolve();
      client.end();
    });
    client.on("error", reject);
    client.on("close", () => reject(new Error("the handshake was cut off")));
  });
}

/** OpenSSL allows the oldest versions at this level only. */
function lowestLevel(): { ciphers?: string } {
  const ciphers = "DEFAULT:@SECLEVEL=0";
  try {
    createSecureContext({ ciphers });
    return { ciphers };
  } catch {
    return {};
  }
}
