// What the status page gets as JSON. Times are milliseconds of Unix time. Nothing here holds a
// recipient, a subject, a content or a secret.

/** One message for the page: the whole state for a new page, later what has changed. */
export interface StatusView {
  /** Everything, and not only what has changed. */
  readonly whole: boolean;
  readonly overview: Overview;
  /** In the order of their arrival. Of a message that is there already, the newer one replaces it. */
  readonly messages: readonly MessageView[];
  readonly devices: readonly DeviceView[];
  readonly logins: readonly LoginFailuresView[];
  readonly mailboxes: readonly ThrottledView[];
  /** Only with `whole`. */
  readonly settings?: readonly SettingView[];
}

export interface Overview {
  readonly version: string;
  readonly hostname: string;
  readonly sandbox: boolean;
  readonly startedAt: number;
  /** By the relay's clock. */
  readonly now: number;
  readonly ready: boolean;
  /** The names of the parts that are not ready. */
  readonly notReady: readonly string[];
  readonly listening: readonly string[];
  readonly connections: number;
  /** Octets of the process. */
  readonly memory: number;
  readonly certificate?: CertificateView;
  /** The relay's own for its login to Entra ID. */
  readonly clientCertificate?: CertificateView;
  readonly services: readonly ServiceView[];
  readonly hour: HourView;
  /** In queue mode. */
  readonly queue?: QueueCounts;
  /** Whether messages of the queue can be changed here. */
  readonly mayChange: boolean;
  /** STATUS_MESSAGES. */
  readonly maxMessages: number;
}

export interface CertificateView {
  readonly source: string;
  readonly expires: number;
  /** Whole days that are left; negative once it has expired. */
  readonly days: number;
}

export interface ServiceView {
  readonly name:
    | "Entra ID"
    | "Graph"
    | "Exchange by SMTP"
    | "Smarthost"
    | "HVE"
    | "ACS"
    | "Lookup file"
    | "Lookup table"
    | "Key Vault"
    | "Queue"
    | "Webhook"
    | "Trace collector";
  /** When it last answered. */
  readonly succeeded?: number;
  readonly failed?: FailureView;
  /** Since when it has not answered at all. */
  readonly silentSince?: number;
}

export interface FailureView {
  readonly at: number;
  readonly code: string;
  readonly detail: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** The last 60 minutes, the oldest first; the last one is not over yet. */
export interface HourView {
  /** When the first minute begins. */
  readonly from: number;
  readonly accepted: readonly number[];
  readonly failed: readonly number[];
  /** Milliseconds from a message's last octet to its reply: half of the messages, and 95 of 100. */
  readonly median: readonly (number | null)[];
  readonly slow: readonly (number | null)[];
}

export interface QueueCounts {
  readonly queued: number;
  readonly sending: number;
  readonly held: number;
  readonly dead: number;
  /** When the oldest message that is to be sent was received. */
  readonly oldest?: number;
}

/**
 * `repeated`: sent before, under another id. `queued`, `deferred`, `held` and `dead` are in the
 * queue; without a queue, `deferred` and `refused` are what its client was told.
 */
export type Fate =
  | "sent"
  | "queued"
  | "deferred"
  | "refused"
  | "ambiguous"
  | "repeated"
  | "held"
  | "dead";

export interface MessageView {
  readonly id: string;
  readonly at: number;
  readonly fate: Fate;
  readonly sender: string;
  readonly messageId?: string;
  readonly username: string;
  /** The id of its entry in the lookup table, if it has one. */
  readonly entry?: string;
  readonly address: string;
  /** Octets. */
  readonly size: number;
  /** From its last octet to its reply; left out if another process has received it. */
  readonly milliseconds?: number;
  readonly attempts?: number;
  /** The service's own id of the request. */
  readonly requestId?: string;
  /** The id of the message that was sent, if it is `repeated`. */
  readonly first?: string;
  /** When it is tried again, if it is in the queue. */
  readonly due?: number;
  readonly failure?: FailureView;
}

export interface DeviceView {
  /** Of its username and address. */
  readonly key: string;
  readonly username: string;
  /** The id of its entry in the lookup table, if it is known. */
  readonly entry?: string;
  readonly address: string;
  /** It has logged in. */
  readonly known: boolean;
  /** When it last did anything. */
  readonly seen: number;
  readonly sent?: number;
  readonly failed?: FailureView;
  /** Nothing has worked since it last failed. */
  readonly failing: boolean;
  /** Messages that were accepted today, by the machine's time zone. */
  readonly today: number;
}

export interface LoginFailuresView {
  readonly key: string;
  readonly address: string;
  readonly count: number;
  readonly since: number;
  readonly last: number;
  /** Of the last one. */
  readonly username: string;
  readonly reason: string;
  /** When AUTH_RATE_LIMIT last refused it without a question. */
  readonly limited?: number;
}

export interface ThrottledView {
  readonly key: string;
  readonly mailbox: string;
  readonly app: string;
  readonly count: number;
  readonly since: number;
  readonly last: number;
}

export interface SettingView {
  readonly name: string;
  /** As it would be written; "" if it is unset. */
  readonly value: string;
  /** It has a value of its own. */
  readonly changed: boolean;
}

/** A message of the queue, as `GET status/queue` lists it. */
export interface QueuedView {
  readonly id: string;
  readonly state: "queued" | "sending" | "held" | "dead";
  readonly at: number;
  readonly due: number;
  readonly size: number;
  readonly attempts: number;
  readonly code: string;
  readonly detail?: string;
  /** What to do about it. */
  readonly fix?: string;
  readonly sender?: string;
  readonly username?: string;
  readonly address?: string;
  /** Why its record cannot be read. */
  readonly problem?: string;
}
