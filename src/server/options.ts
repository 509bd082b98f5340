// What a server is made of.

import type { Clock } from "../clock.ts";
import type { Notify } from "../observe/relay_event.ts";
import type { Runtime, TlsIdentity } from "../runtime/runtime.ts";
import type { SessionObserver } from "../smtp/observer.ts";
import type { SessionOptions } from "../smtp/session.ts";
import type { Client, SubmissionService } from "../submission/submission_service.ts";
import type { ConnectionLimiter } from "./connection_limiter.ts";
import type { MemoryBudget } from "./memory.ts";
import type { Timeouts } from "./connection_deadline.ts";
import type { Proxies } from "./proxy_gate.ts";

export interface ServerOptions {
  readonly runtime: Runtime;
  readonly service: SubmissionService;
  readonly notify: Notify;
  readonly protocol: ProtocolOptions;
  readonly limits: ConnectionLimits;
}

/** What the server says, and to which clients. */
export interface ProtocolOptions {
  readonly session: Omit<SessionOptions, "offerTls">;
  /** The certificate for the next handshake; undefined where TLS is off. */
  identity(): TlsIdentity | undefined;
  /** Proxies whose connections begin with a PROXY header; none where left out. */
  readonly proxies?: Proxies | undefined;
  /** Whether a client may send without a login; none may where left out. */
  readonly isTrusted?: ((client: Client) => boolean) | undefined;
  /** Gives each session its observer; none is observed where left out. */
  readonly observe?: ((client: Client) => SessionObserver) | undefined;
}

export interface ConnectionLimits {
  readonly timeouts: Timeouts;
  /** Which connections may stay; all when left out. */
  readonly limiter?: ConnectionLimiter;
  /** Memory for messages; unlimited when left out. */
  readonly memory?: MemoryBudget;
  /** The machine's own when left out. */
  readonly clock?: Clock;
}
