// What a connection is told when it is ended from our side, and what the log says of it.

import { type Reply, reply } from "../smtp/reply.ts";
import type { EvictionReason } from "./limited_connection.ts";
import type { LimitSetting } from "./handlers.ts";

export interface CloseReply {
  readonly reply: Reply;
  /** Of a limit: the setting that holds it… */
  readonly setting: LimitSetting;
  /** … and what the log says. */
  readonly logMessage: string;
}

export const INTERNAL = reply(421, "4.3.0", "Internal error; try again");
export const STOPPING = reply(421, "4.3.2", "The relay is stopping; try again");
export const TOO_FAR_AHEAD = reply(
  421,
  "4.3.1",
  "No memory for what you sent ahead; wait for the reply before you send more",
);
export const INTERRUPTED = reply(
  451,
  "4.4.2",
  "The relay is stopping; the message may have been sent",
);

const CROWDED = reply(421, "4.7.0", "Too many connections of your address have not logged in");
const TIMED_OUT = reply(421, "4.4.2", "Timed out waiting for the client");

/** Why a connection lost its place, or got none (connection_limiter.ts). */
export const EVICTIONS: Readonly<Record<Exclude<EvictionReason, "retired">, CloseReply>> = {
  full: {
    reply: reply(421, "4.3.2", "Too many connections; try again later"),
    setting: "MAX_CONNECTIONS",
    logMessage: "Connection refused: all are taken by clients that have logged in",
  },
  "makes room": {
    reply: reply(421, "4.4.2", "Too many connections; this one was longest without progress"),
    setting: "MAX_CONNECTIONS",
    logMessage: "Connection ended to make room for a new one",
  },
  crowded: {
    reply: CROWDED,
    setting: "MAX_CONNECTIONS_PER_IP",
    logMessage: "Connection refused: too many of its address have not logged in",
  },
  "gives way": {
    reply: CROWDED,
    setting: "MAX_CONNECTIONS_PER_IP",
    logMessage: "Connection ended for another one of its address: it made no progress",
  },
  "over share": {
    reply: reply(421, "4.4.2", "Too many connections; your account or address has most of them"),
    setting: "MAX_CONNECTIONS",
    logMessage:
      "Connection ended for another account's: this account or address has more than its share",
  },
};

/** What a client is told whose patience with us is longer than ours. */
export const TIMEOUTS: Readonly<
  Record<"COMMAND_TIMEOUT" | "DATA_TIMEOUT" | "MIN_DATA_RATE", CloseReply>
> = {
  COMMAND_TIMEOUT: {
    reply: TIMED_OUT,
    setting: "COMMAND_TIMEOUT",
    logMessage: "Connection timed out: no command came",
  },
  DATA_TIMEOUT: {
    reply: TIMED_OUT,
    setting: "DATA_TIMEOUT",
    logMessage: "Connection timed out inside a message",
  },
  MIN_DATA_RATE: {
    reply: reply(421, "4.4.2", "The message comes too slowly"),
    setting: "MIN_DATA_RATE",
    logMessage: "Connection ended: its message came too slowly",
  },
};

/** A message whose end cannot be found: its lines end in LF alone. */
export const END_MISSED: CloseReply = {
  reply: reply(
    421,
    "4.4.2",
    "Timed out: a line with a single dot ended in LF; lines of a message must end in CRLF",
  ),
  setting: "DATA_TIMEOUT",
  logMessage: "Connection timed out inside a message: a line with a single dot ended in LF; " +
    "lines of a message must end in CRLF",
};

/** What the log says of a session that has ended because of how its client behaved. */
export const SESSION_LIMITS = {
  MAX_ERRORS: "Connection ended: too many refused commands",
  MAX_IDLE_COMMANDS: "Connection ended: too many commands that bring nothing forward",
} as const;
