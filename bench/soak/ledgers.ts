// What the three who take part in the soak write down: clients, relay and cloud.

export interface CloudOptions {
  readonly seed: number;
}

export interface ClientOptions {
  readonly smtp: number;
  readonly smtps: number;
  readonly seed: number;
  /** Messages that come to an end: a reply, or a client that has gone. */
  readonly messages: number;
  /** Clients at once. */
  readonly clients: number;
  /** Milliseconds, after which nothing is begun any more. */
  readonly time: number;
  /** Of the messages' numbers. */
  readonly first: number;
  /** 0 to 7: each has addresses of its own. */
  readonly phase: number;
}

/** What the client knows of one try to send a message. */
export interface Try {
  readonly message: number;
  /** The client's own, for one connection. */
  readonly address: string;
  /**
   * `reply`: there is one. `gone`: the client hung up after the final dot. `unfinished`: it hung up
   * before. `lost`: the relay hung up without a word, which it must not do.
   */
  readonly end: "reply" | "gone" | "unfinished" | "lost";
  readonly reply?: string;
  /** Whether the content had been asked for: else the relay knows of no message. */
  readonly begun: boolean;
  /** Unix time, milliseconds, when the reply came or the client went. */
  readonly at: number;
}

export interface ClientLedger {
  readonly tries: readonly Try[];
  /** Replies to logins that failed, by their first characters. */
  readonly logins: Record<string, number>;
  /** The same for those with a wrong password. */
  readonly wrongLogins: Record<string, number>;
  readonly connections: number;
  /** Milliseconds from the final dot to the reply, of those that got 250. */
  readonly times: { readonly median: number; readonly most: number };
}

export interface CloudLedger {
  /** Message's number, and the id that the relay gave it, for each time that it was taken. */
  readonly taken: readonly (readonly [number, string])[];
  /** Ids of messages that arrived with another content. */
  readonly damaged: readonly string[];
  /** Messages that no client has sent. */
  readonly strange: number;
  readonly faults: Record<string, number>;
  readonly resets: number;
  readonly closings: number;
  readonly drafts: number;
  readonly authorizedUploads: number;
  readonly throttled: number;
  readonly requests: number;
}

/** What became of a message as the relay's log has it. */
export type LogOutcome = "sent" | "ambiguous" | "deferred" | "refused" | "repeated";

export interface LogEntry {
  readonly id: string;
  readonly address: string;
  readonly outcome: LogOutcome;
  /** Of `repeated`: the id under which it was sent. */
  readonly sentAs?: string;
  /** Reply code, where it was not sent. */
  readonly code?: number;
  /** Unix time, milliseconds. */
  readonly at: number;
}

const OUTCOMES: Readonly<Record<string, LogOutcome>> = {
  "Message sent": "sent",
  "Message may have been sent": "ambiguous",
  "Message deferred": "deferred",
  "Message refused": "refused",
  "Duplicate suppressed: the message was sent before, when its client had gone": "repeated",
};

export interface RelayLedger {
  readonly messages: readonly LogEntry[];
  /** Lines that should not be there: errors, and what is no line of the log. */
  readonly errors: readonly string[];
}

/** Reads the relay's log in JSON. */
export function readLog(text: string): RelayLedger {
  const messages: LogEntry[] = [];
  const errors: string[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const fields = parsed(line);
    const level = fields?.["level"];
    if (fields === undefined || level === "ERROR" || level === "CRITICAL") {
      errors.push(line);
      continue;
    }
    const outcome = OUTCOMES[String(fields["message"])];
    if (outcome === undefined) continue;
    messages.push({
      id: String(fields["id"]),
      address: String(fields["client"]),
      outcome,
      at: Date.parse(String(fields["time"])),
      ...(typeof fields["first"] === "string" ? { sentAs: fields["first"] } : {}),
      ...(typeof fields["reply"] === "number" ? { code: fields["reply"] } : {}),
    });
  }
  return { messages, errors };
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
