// Everything that happens in a relay and that somebody may want to know of: one union, one function.
// The log, the metrics, and whatever comes later are listeners.

import type { LoginFailure } from "../accounts/account.ts";
import type { TableTrouble } from "../accounts/entry_source.ts";
import type { Outcome, Submission } from "../delivery/delivery.ts";
import type { SettingName } from "../settings/schema.ts";
import type { Refusal } from "../smtp/effects.ts";
import type { Credentials } from "../smtp/sasl.ts";
import type { Client, Principal } from "../submission/submission_service.ts";

/** Must not throw, and must not take long. */
export type Notify = (event: RelayEvent) => void;

export type RelayEvent =
  | LoginEvent
  | MessageEvent
  | RefusedEvent
  | LimitEvent
  | ProxyHeaderEvent
  | ConnectionEvent
  | MemoryEvent
  | LookupEvent
  | FaultEvent;

/** A login has come to its end. */
export interface LoginEvent {
  readonly type: "login";
  readonly client: Client;
  /** With a username that may be shown. */
  readonly credentials: Credentials;
  readonly result: Principal | LoginFailure;
  /** The client is of TRUSTED_NETWORKS, and has not logged in itself. */
  readonly trusted: boolean;
}

/** A message has come to its end. */
export interface MessageEvent {
  readonly type: "message";
  readonly client: Client;
  readonly submission: Submission;
  readonly outcome: Outcome;
  /** From its last octet on. */
  readonly milliseconds: number;
  readonly principal: Principal;
}

/** The session has refused a login or a message by itself. */
export interface RefusedEvent {
  readonly type: "refused";
  readonly client: Client;
  readonly refusal: Refusal;
  readonly principal: Principal | undefined;
  /** The setting that holds the limit, where it was refused because of one. */
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
   * `missing`: none, or a broken one, came from where it must come first; `foreign`: one came from
   * elsewhere; `second`: another one came after the first.
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
  /** The client took the port for one of the other kind: began with TLS, in plain text, or waited. */
  readonly wrongPort?: "tls" | "plain" | "silent" | undefined;
  /** Octets, after decryption. */
  readonly received: number;
  /** Messages taken to a verdict. */
  readonly messages: number;
  readonly milliseconds: number;
  readonly reason: string;
  /** The connection broke or ran out of time, rather than ended. */
  readonly error: boolean;
}

/** MAX_MEMORY is used up. Octets. */
export interface MemoryEvent {
  readonly type: "memory";
  readonly used: number;
  readonly limit: number;
}

/** The lookup table does not answer, or answers again. */
export type LookupEvent =
  /** @property served whether an entry that was read before took the answer's place */
  | { readonly type: "lookupFailed"; readonly trouble: TableTrouble; readonly served: boolean }
  | { readonly type: "lookupRecovered" };

/** Something that must not be, in the program or on this machine. */
export type FaultEvent =
  /** Clients cannot connect for the moment; once until one can again. */
  | { readonly type: "acceptFailed"; readonly error: Error }
  /** A bug: the connection was closed with 421. */
  | { readonly type: "connectionFault"; readonly error: unknown; readonly client: Client }
  /** A fault that nothing has caught. */
  | { readonly type: "fault"; readonly error: unknown };

/**
 * One function out of several. A listener that throws keeps no other one from being notified, and its
 * fault must not become that of a message: it is left to the process, which reports it as a `fault`.
 */
export function notifyAll(listeners: readonly Notify[]): Notify {
  return (event) => {
    for (const listener of listeners) {
      try {
        listener(event);
      } catch (error) {
        // To report a fault may be what fails.
        if (event.type !== "fault") queueMicrotask(() => rethrow(error));
      }
    }
  };
}

function rethrow(error: unknown): never {
  throw error;
}
