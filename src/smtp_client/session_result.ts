// The results of a session, and how it ends a conversation early.

import type { Accepted, Failed, Ready, Refused, ServerReply, Stage } from "./mail_client.ts";

export type SessionResult =
  | Omit<Ready, "conversation">
  | Omit<Accepted, "conversation">
  | Omit<Refused, "conversation">
  | Omit<Failed, "conversation">;

/** The server refuses, or cannot be asked: see `Refused`. */
export class Refusal {
  readonly stage: Stage;
  readonly reply: ServerReply;
  readonly own: Refused["own"];

  constructor(stage: Stage, reply: ServerReply, own?: Refused["own"]) {
    this.stage = stage;
    this.reply = reply;
    this.own = own;
  }
}

/** The connection is of no more use: see `Failed`. */
export class Failure {
  readonly code: string;
  readonly message: string;

  constructor(code: string, message: string) {
    this.code = code;
    this.message = message;
  }
}

/** The client's replies in the place of a server that cannot do what is needed. */
export const OWN_REPLIES = {
  /** RFC 1870 §6.1 */
  tooLarge: (size: number, limit: number): ServerReply => ({
    code: 552,
    enhanced: "5.3.4",
    text: `The message has ${size} octets, and the server takes ${limit} at most`,
  }),
  /** RFC 6531 §3.5, X.6.7 */
  addressNotAscii: {
    code: 553,
    enhanced: "5.6.7",
    text: "An address is not ASCII, and the server does not offer SMTPUTF8",
  },
  /** RFC 6531 §3.5, X.6.9 */
  headerNotAscii: {
    code: 550,
    enhanced: "5.6.9",
    text: "The header is in UTF-8, and the server does not offer SMTPUTF8",
  },
  /** RFC 3463 §3.8, X.7.4 */
  noStartTls: { code: 454, enhanced: "4.7.4", text: "The server does not offer STARTTLS" },
  noMechanism: (names: readonly string[]): ServerReply => ({
    code: 454,
    enhanced: "4.7.4",
    text: `The server does not offer AUTH ${names.join(" or ")}`,
  }),
  /** RFC 5321 §2.3.8 */
  strayLineEnd: {
    code: 554,
    enhanced: "5.6.0",
    text: "The message has a CR or LF that belongs to no line end",
  },
} as const;
