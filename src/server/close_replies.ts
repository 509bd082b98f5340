// Replies and log messages for connections that the relay closes.

import type { SettingName } from "../settings/schema.ts";
import { type Reply, reply } from "../smtp/reply.ts";
import type { EvictionReason } from "./limited_connection.ts";

/** For a connection that is closed because of a limit. */
export interface CloseReply {
  readonly reply: Reply;
  /** The setting of the limit. */
  readonly setting: SettingName;
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

const ADDRESS_FULL = reply(421, "4.7.0", "Too many connections of your address have not logged in");
const TIMED_OUT = reply(421, "4.4.2", "Timed out waiting for the client");

/** Replies for connections that lost their slot, or got none (connection_limiter.ts). */
export const EVICTIONS: Readonly<Record<Exclude<EvictionReason, "retired">, CloseReply>> = {
  full: {
    reply: reply(421, "4.3.2", "Too many connections; try again later"),
    setting: "MAX_CONNECTIONS",
    logMessage: "Connection refused: no slot became free",
  },
  idle: {
    reply: reply(421, "4.4.2", "Too many connections; this one was longest without progress"),
    setting: "MAX_CONNECTIONS",
    logMessage: "Connection closed to make room for a new one: it made no progress",
  },
  "address full": {
    reply: ADDRESS_FULL,
    setting: "MAX_CONNECTIONS_PER_IP",
    logMessage: "Connection refused: too many from its address have not logged in",
  },
  "address idle": {
    reply: ADDRESS_FULL,
    setting: "MAX_CONNECTIONS_PER_IP",
    logMessage: "Connection closed to make room for another from the same address",
  },
  "over share": {
    reply: reply(421, "4.4.2", "Too many connections; your account or address has most of them"),
    setting: "MAX_CONNECTIONS",
    logMessage:
      "Connection closed to make room for another account: this one or its address is over its share",
  },
};

/** Replies for connections that timed out. */
export const TIMEOUTS: Readonly<
  Record<"COMMAND_TIMEOUT" | "DATA_TIMEOUT" | "MIN_DATA_RATE", CloseReply>
> = {
  COMMAND_TIMEOUT: {
    reply: TIMED_OUT,
    setting: "COMMAND_TIMEOUT",
    logMessage: "Connection timed out waiting for a command",
  },
  DATA_TIMEOUT: {
    reply: TIMED_OUT,
    setting: "DATA_TIMEOUT",
    logMessage: "Connection timed out inside a message",
  },
  MIN_DATA_RATE: {
    reply: reply(421, "4.4.2", "The message comes too slowly"),
    setting: "MIN_DATA_RATE",
    logMessage: "Connection closed: its message came too slowly",
  },
};

/** For a message whose end cannot be found because its lines end in LF alone. */
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

/** Log messages for sessions that the session's own limits ended. */
export const SESSION_LIMITS = {
  MAX_ERRORS: "Connection closed: too many refused commands",
  MAX_IDLE_COMMANDS: "Connection closed: too many idle commands",
} as const;
