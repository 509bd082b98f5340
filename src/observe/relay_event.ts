// Everything that happens in a relay, as one union of events. The log and the metrics are
// listeners; `check` and the sandbox have their own.

import type { Account, LoginFailure } from "../accounts/account.ts";
import type { TableTrouble } from "../accounts/entry_source.ts";
import type { LookupFileReport } from "../accounts/lookup_file.ts";
import type { BackendName } from "../backend_name.ts";
import type { Outcome, Submission } from "../delivery/delivery.ts";
import type { Step } from "../delivery/steps.ts";
import type { EntraRefusal } from "../entra/entra_errors.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Envelope, Refusal } from "../smtp/effects.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { Client, Principal } from "../submission/submission_service.ts";

/** A listener of events. It must not throw, and must not take long. */
export type Notify = (event: RelayEvent) => void;

export type RelayEvent =
  | LoginEvent
  | MessageEvent
  | RefusedEvent
  | LimitEvent
  | ProxyHeaderEvent
  | ConnectionEvent
  | MemoryEvent
  | TokenEvent
  | LookupEvent
  | LookupFileEvent
  | CertificateEvent
  | ClientCertificateEvent
  | QueueEvent
  | QueueStoreEvent
  | QueueAdministeredEvent
  | BackendEvent
  | CutOffEvent
  | FaultEvent;

/** A login was accepted, refused or deferred. */
export interface LoginEvent {
  readonly type: "login";
  readonly client: Client;
  /** The username may be shown. */
  readonly credentials: Credentials;
  readonly result: Principal | LoginFailure;
  /** That it took. */
  readonly milliseconds: number;
  /** What took that time, as far as it is known. */
  readonly steps: readonly Step[];
  /** The client is in TRUSTED_NETWORKS, and has not logged in itself. */
  readonly trusted: boolean;
}

/** A message was sent, refused or deferred. */
export interface MessageEvent {
  readonly type: "message";
  readonly client: Client;
  readonly submission: Submission;
  readonly outcome: Outcome;
  /** From the first octets of its content to the last. */
  readonly receiving: number;
  /** Since its last octet. */
  readonly milliseconds: number;
  /** What took that time. */
  readonly steps: readonly Step[];
  readonly principal: Principal;
}

/** The session itself has refused a login or a message. */
export interface RefusedEvent {
  readonly type: "refused";
  readonly client: Client;
  readonly refusal: Refusal;
  readonly principal: Principal | undefined;
  /** The setting of the limit that was the reason, if any. */
  readonly limit: SettingName | undefined;
}

/** A limit was reached, and a client was refused or deferred because of it. */
export interface LimitEvent {
  readonly type: "limit";
  readonly setting: SettingName;
  readonly client: Client;
  /** What happened, as the log says it. */
  readonly text: string;
  readonly principal?: Principal | undefined;
}

/** A connection was closed because of a PROXY header. */
export interface ProxyHeaderEvent {
  readonly type: "proxyHeader";
  readonly client: Client;
  /**
   * `missing`: a proxy sent no header, or a broken one; `foreign`: another client sent one;
   * `second`: another header followed the first.
   */
  readonly reason: "missing" | "foreign" | "second";
  readonly detail: string;
}

/** A connection is closed, and no message of it is being submitted any more. */
export interface ConnectionEvent {
  readonly type: "connection";
  readonly client: Client;
  readonly secure: boolean;
  /** The connection ended inside a TLS handshake. */
  readonly handshakeFailed: boolean;
  /** The client expected another kind of port: it began with TLS or in plain text, or waited. */
  readonly wrongPort?: "tls" | "plain" | "silent" | undefined;
  /** Octets, after decryption. */
  readonly received: number;
  /** Messages that got their reply. */
  readonly messages: number;
  readonly milliseconds: number;
  readonly reason: string;
  /** The connection broke or timed out. */
  readonly error: boolean;
}

/** MAX_MEMORY is used up. Octets. */
export interface MemoryEvent {
  readonly type: "memory";
  readonly used: number;
  readonly limit: number;
}

/** Entra ID was asked for a token. */
export interface TokenEvent {
  readonly type: "token";
  readonly milliseconds: number;
  /** Left out if it gave one. */
  readonly refusal?: EntraRefusal;
}

/** The lookup table was asked: it has answered, does not answer, or answers again. */
export type LookupEvent =
  | { readonly type: "lookupAnswered" }
  /** @property served whether an entry that was read before was used instead */
  | { readonly type: "lookupFailed"; readonly trouble: TableTrouble; readonly served: boolean }
  | { readonly type: "lookupRecovered" };

/** LOOKUP_FILE was loaded, or looked at without effect. */
export interface LookupFileEvent {
  readonly type: "lookupFile";
  readonly report: LookupFileReport;
  /** It can be used again, which it could not before. */
  readonly recovered: boolean;
}

/** The relay has read its certificate, could not, or its dates need attention. */
export interface CertificateEvent {
  readonly type: "certificate";
  /** `kept`: a new one was rejected, or could not be read, and the current one stays. */
  readonly change: "loaded" | "replaced" | "unchanged" | "kept" | "warning";
  readonly level: "DEBUG" | "INFO" | "WARNING" | "ERROR";
  /** What happened, as the log says it. */
  readonly text: string;
  /** Source, dates and reason. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** The same of the certificate that the relay logs in to Entra ID with. */
export type ClientCertificateEvent = Omit<CertificateEvent, "type"> & {
  readonly type: "clientCertificate";
};

/** What became of a queued message in a try to send it, or instead of one. */
export interface QueueEvent {
  readonly type: "queue";
  /**
   * `deferred`: it is tried again at `due`; `held`: it waits for an administrator; `dead`: it is given up,
   * and kept.
   */
  readonly change: "sent" | "deferred" | "held" | "dead";
  readonly message: QueuedMessage;
  /** Of the service, the network or the relay; left out if it was sent. */
  readonly code?: string;
  readonly detail?: string;
  /** It may have been sent all the same. */
  readonly ambiguous?: true;
  /** Milliseconds of Unix time. */
  readonly due?: number;
  /** The service's own id of the request, if it gave one. */
  readonly requestId?: string;
  /** The mailbox that sent it, if it is not the reverse-path. */
  readonly mailbox?: string;
  /** The back end that was asked; left out for Graph. */
  readonly backend?: BackendName;
  /** What took time in this try. */
  readonly steps: readonly Step[];
}

export interface QueuedMessage {
  readonly id: string;
  /** Octets of its content. */
  readonly size: number;
  /** Requests that may have sent it. */
  readonly attempts: number;
  /** Milliseconds since it was received. */
  readonly age: number;
  /** From its record; left out if that cannot be opened. */
  readonly record?: {
    /** `report`: a non-delivery report of the relay's own. */
    readonly kind: "message" | "report";
    readonly account: Account;
    readonly username: string;
    readonly envelope: Envelope;
    readonly messageId?: string;
    /** The client's IP address, and the name of its connection. */
    readonly client: string;
    readonly connection: string;
  };
}

/** The queue's store fails, works again, or has ended. */
export type QueueStoreEvent =
  | { readonly type: "queueFailed"; readonly code: string; readonly detail: string }
  | { readonly type: "queueRecovered" }
  /** The store cannot be used any more by this process, which has to be started again. */
  | { readonly type: "queueEnded"; readonly code: string; readonly detail: string };

/** An administrator has had a queued message tried again, or deleted, on the status page. */
export interface QueueAdministeredEvent {
  readonly type: "queueAdministered";
  readonly action: "retry" | "delete";
  /** Of the message. */
  readonly id: string;
}

/** Of several back ends, one does not take messages any more, or takes them again. */
export interface BackendEvent {
  readonly type: "backend";
  readonly backend: BackendName;
  readonly change: "down" | "up";
  /** Of its last failure; only with `down`. */
  readonly code?: string;
  readonly detail?: string;
}

/** The time for the stop was over before all messages had their final reply. */
export interface CutOffEvent {
  readonly type: "cutOff";
  readonly messages: number;
  /** Seconds that the stop has waited. */
  readonly waited: number;
}

/** A fault of the program or of this machine. */
export type FaultEvent =
  /** Clients cannot connect; reported once until one can again. */
  | { readonly type: "acceptFailed"; readonly error: Error }
  /** A bug: the connection was closed with 421. */
  | { readonly type: "connectionFault"; readonly error: unknown; readonly client: Client }
  /** An uncaught fault. */
  | { readonly type: "fault"; readonly error: unknown };

/**
 * Combines several listeners. If one throws, the others are still notified, and the message under
 * way does not fail: the process gets the error, and reports it as a `fault`.
 */
export function notifyAll(listeners: readonly Notify[]): Notify {
  return (event) => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        // Reporting the fault may be what fails.
        if (event.type !== "fault") queueMicrotask(() => rethrow(error));
      }
    }
  };
}

function rethrow(error: unknown): never {
  throw error;
}
