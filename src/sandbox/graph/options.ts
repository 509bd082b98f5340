// What can be told to the imitated Graph, and what its parts hand to each other.

import type { Buffer } from "node:buffer";
import type { Context } from "hono";
import type { IssuedToken } from "../entra.ts";
import type { Faults, Operation } from "../faults.ts";
import type { IncomingMessage } from "../inbox/store.ts";
import type { DraftLimits } from "./drafts.ts";

/** What may be asked of Graph, as opposed to Entra ID. */
export type GraphOperation = Exclude<Operation, "token">;

export interface AcceptedMessage extends Required<Omit<IncomingMessage, "trace">> {
  /** `client-request-id` of the request that sent it. */
  readonly clientRequestId: string | undefined;
}

export interface GraphOptions extends DraftLimits {
  verify(token: string): IssuedToken | undefined;
  /** Takes an accepted message. */
  deliver(message: AcceptedMessage): void | Promise<void>;
  /**
   * Whether there is such a mailbox; when left out, all well-formed addresses and object ids are some,
   * but for `nobody@…`.
   */
  readonly hasMailbox?: (mailbox: string) => boolean;
  /** Milliseconds from a request to its response. */
  readonly delay?: number;
  /** Answers in place of the imitation, for rehearsing trouble. */
  readonly intercept?: (
    context: Context,
    operation: GraphOperation,
  ) => Response | undefined | Promise<Response | undefined>;
  /** Faults that wait for their requests; none when left out. */
  readonly faults?: Faults;
  /** Requests at once for each app and mailbox, as Graph allows them; 4 when left out. */
  readonly concurrency?: number;
  /** Seconds of Retry-After when there are more; 1 when left out. */
  readonly retryAfter?: number;
  /** Octets of a message with its attachments; 150 MiB when left out. */
  readonly messageSizeLimit?: number;
  /** Milliseconds that an upload session is open; an hour when left out. */
  readonly uploadLifetime?: number;
}

/** A request to the mailbox API whose token, role and size are as they should be. */
export interface MailboxRequest {
  readonly context: Context;
  readonly mailbox: string;
  readonly token: IssuedToken;
  readonly body: Buffer;
}
