// The options of the SMTP server.

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

/** Options of the protocol, and of clients with a special role. */
export interface ProtocolOptions {
  readonly session: Omit<SessionOptions, "offerTls">;
  /** The certificate for the next handshake; undefined if TLS is off. */
  identity(): TlsIdentity | undefined;
  /** Proxies whose connections begin with a PROXY header; default: none. */
  readonly proxies?: Proxies | undefined;
  /** Whether a client may send without a login; default: none may. */
  readonly isTrusted?: ((client: Client) => boolean) | undefined;
  /** Gives each session its observer; default: no observer. */
  readonly observe?: ((client: Client) => SessionObserver) | undefined;
}

export interface ConnectionLimits {
  readonly timeouts: Timeouts;
  /** Limits the connections; default: no limit. */
  readonly limiter?: ConnectionLimiter;
  /** Memory for messages; default: no limit. */
  readonly memory?: MemoryBudget;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
}
