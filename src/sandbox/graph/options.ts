// The options of the imitated Graph, and the types that its parts share.

import type { Buffer } from "node:buffer";
import type { Context } from "hono";
import type { IssuedToken } from "../entra.ts";
import type { Faults, Operation, SmtpOperation } from "../faults.ts";
import type { IncomingMessage } from "../inbox/store.ts";
import type { DraftLimits } from "./drafts.ts";

/** Graph's operations, without Entra ID's and the submission server's. */
export type GraphOperation = Exclude<Operation, "token" | SmtpOperation>;

export interface AcceptedMessage extends Required<Omit<IncomingMessage, "trace">> {
  /** `client-request-id` of the request that sent it. */
  readonly clientRequestId: string | undefined;
}

export interface GraphOptions extends DraftLimits {
  verify(token: string): IssuedToken | undefined;
  /** Receives each accepted message. */
  deliver(message: AcceptedMessage): void | Promise<void>;
  /**
   * Whether a mailbox exists; when left out, every well-formed address and object id has one, except
   * `nobody@…`.
   */
  readonly hasMailbox?: (mailbox: string) => boolean;
  /** Milliseconds from a request to its response. */
  readonly delay?: number;
  /** Responds instead of the imitation, to rehearse failures. */
  readonly intercept?: (
    context: Context,
    operation: GraphOperation,
  ) => Response | undefined | Promise<Response | undefined>;
  /** Faults that are scripted; none when left out. */
  readonly faults?: Faults;
  /** Concurrent requests that are allowed for each app and mailbox; 4 when left out, as in Graph. */
  readonly concurrency?: number;
  /** Seconds of Retry-After for requests beyond that; 1 when left out. */
  readonly retryAfter?: number;
  /** Octets of a message with its attachments; 150 MiB when left out. */
  readonly messageSizeLimit?: number;
  /** Milliseconds until an upload session expires; an hour when left out. */
  readonly uploadLifetime?: number;
}

/** A request to the mailbox API whose token, role and size have been checked. */
export interface MailboxRequest {
  readonly context: Context;
  readonly mailbox: string;
  readonly token: IssuedToken;
  readonly body: Buffer;
  /** See `Fault.hidden`. */
  readonly hidden: number;
}
