// What the status page asks the running relay for, while it is open.

import type { PartState } from "../observe/http.ts";
import type { Sealer } from "../queue/sealing.ts";
import type { QueueAdministration, Usage } from "../queue/store.ts";

export interface LiveState {
  /** As `/readyz` shows them. */
  parts(): Readonly<Record<string, PartState>>;
  readonly listening: readonly string[];
  connections(): number;
  /** Undefined if TLS is off. */
  certificate(): LiveCertificate | undefined;
  /** Of the relay's own for Entra ID; undefined if it has none. */
  clientCertificate?(): LiveCertificate | undefined;
  /** In queue mode. */
  readonly queue?: LiveQueue | undefined;
}

export interface LiveCertificate {
  readonly source: string;
  /** Milliseconds of Unix time. */
  readonly expires: number;
  /** When its source was last read. */
  readonly readAt: number;
}

export interface LiveQueue {
  usage(): Usage;
  /** Opened at the first call, and closed with the queue. */
  administration(): Promise<QueueAdministration>;
  readonly sealer: Sealer;
  /** An administrator has had a message tried again, or deleted. */
  changed(action: "retry" | "delete", id: string): void;
}
