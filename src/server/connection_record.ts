// Facts about a connection for the event at its end.

import type { ConnectionEvent } from "../observe/relay_event.ts";
import { TLS_FIRST, TLS_HANDSHAKE } from "../smtp/session.ts";
import type { Client } from "../submission/submission_service.ts";

/** How a connection was closed. */
export interface Closing {
  /** Why it broke; undefined if it was closed in order. */
  readonly error: Error | undefined;
  /** The client's first octets, if the connection ended inside a TLS handshake. */
  readonly opening: Uint8Array | undefined;
  /** The connection ended inside a TLS handshake. */
  readonly inHandshake: boolean;
  /** TLS comes before the greeting on its port. */
  readonly implicitTls: boolean;
  /** It ended because of a PROXY header instead of TLS. */
  readonly proxyHeader: boolean;
}

export class ConnectionRecord {
  /** Octets, after decryption. */
  received = 0;
  /** Messages that got their final reply. */
  messages = 0;
  /** Why the connection ended; "" until that is known. */
  reason = "";
  secure = false;
  timedOut = false;
  readonly #openedAt: number;

  /** @param now milliseconds */
  constructor(now: number) {
    this.#openedAt = now;
  }

  /** The event; `messages` may still grow if a submission outlives its connection. */
  event(client: Client, closing: Closing, now: number): ConnectionEvent {
    const { error, inHandshake, proxyHeader } = closing;
    const wrongPort = proxyHeader ? undefined : this.#wrongPort(closing);
    return {
      type: "connection",
      client,
      secure: this.secure,
      handshakeFailed: inHandshake && !proxyHeader,
      ...(wrongPort === undefined ? {} : { wrongPort }),
      received: this.received,
      messages: this.messages,
      milliseconds: Math.round(now - this.#openedAt),
      reason: this.reason || (error === undefined ? "the client hung up" : error.message),
      error: error !== undefined || this.timedOut,
    };
  }

  /**
   * The kind of port that the client expected. A client that is silent until the handshake times
   * out most likely waits for a greeting; one that leaves before may be a probe.
   */
  #wrongPort({ opening, implicitTls, inHandshake }: Closing): ConnectionEvent["wrongPort"] {
    if (this.reason === TLS_FIRST) return "tls";
    if (!implicitTls || !inHandshake) return undefined;
    if (opening === undefined) return this.timedOut ? "silent" : undefined;
    return opening[0] === TLS_HANDSHAKE ? undefined : "plain";
  }
}
