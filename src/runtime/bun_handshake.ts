// A handshake with a port of this machine on `Bun.connect`. Each start makes two of them: by `node:tls` they
// would cost it more than 1 MiB at rest.

import { type TlsVersion, VERSION_NUMBERS } from "./runtime.ts";

// The part of Bun's API that is used here (https://bun.sh/docs/api/tcp).
interface BunSocket {
  /** Without a name before the handshake is done. */
  getCipher(): { readonly name: string | null } | null;
  end(): void;
  terminate(): void;
}
declare const Bun: {
  connect(options: {
    hostname: string;
    port: number;
    tls: { rejectUnauthorized: false; minVersion: number; maxVersion: number };
    socket: {
      handshake(socket: BunSocket, success: boolean, error: Error | null): void;
      data(): void;
      close(socket: BunSocket, error?: Error): void;
    };
  }): Promise<BunSocket>;
};

export function shakeHandsByBun(
  port: number,
  version: TlsVersion,
  timeout: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const number = VERSION_NUMBERS[version];
  const connecting = Bun.connect({
    hostname: "127.0.0.1",
    port,
    tls: { rejectUnauthorized: false, minVersion: number, maxVersion: number },
    socket: {
      handshake(socket, success, error) {
        // `success` and `error` may only say that the certificate is not trusted.
        if (success || socket.getCipher()?.name) resolve();
        else reject(error ?? new Error("the handshake failed"));
        socket.end();
      },
      data() {},
      close: (_, error) => reject(error ?? new Error("the handshake was cut off")),
    },
  });
  connecting.catch(reject);
  const timer = setTimeout(() => {
    reject(new Error("the handshake timed out"));
    connecting.then((socket) => socket.terminate(), () => {});
  }, timeout);
  return promise.finally(() => clearTimeout(timer));
}
