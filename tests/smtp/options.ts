// The relay that dialogue scripts talk to, unless they say `! option`.

import { senderRefusal } from "../../src/accounts/senders.ts";
import { SenderList } from "../../src/message/sender_list.ts";
import type { SenderCheck } from "../../src/smtp/session.ts";

/** What a script can rely on; as in the session's options. */
export interface DialogueOptions {
  readonly hostname: string;
  readonly greeting: string;
  /** Octets. */
  readonly maxMessageSize: number;
  readonly maxRecipients: number;
  readonly offerTls: boolean;
  readonly requireTls: boolean;
  /** ALLOWED_SENDERS of every login; "" for any. */
  readonly allowedSenders: string;
  /** allowed_senders of every login's entry in the lookup table; "" for any. */
  readonly entrySenders: string;
  readonly maxErrors: number;
  readonly maxIdleCommands: number;
  /** MAX_MEMORY, octets: two thirds of it are for messages. */
  readonly maxMemory: number;
}

/** What the relay hands to the session with an account. */
export function checkSenderOf(options: DialogueOptions): SenderCheck {
  const lists = {
    allowed: SenderList.parse(options.allowedSenders),
    ofEntry: SenderList.parse(options.entrySenders),
  };
  return (from) => senderRefusal(from, lists);
}

export const DIALOGUE_OPTIONS: DialogueOptions = {
  hostname: "relay.example",
  greeting: "Microsoft Graph SMTP OAuth Relay",
  maxMessageSize: 36_700_160,
  // So few that a script can reach the limit; RFC 5321 §4.5.3.1.8 asks for 100 in service.
  maxRecipients: 3,
  offerTls: true,
  requireTls: true,
  allowedSenders: "",
  entrySenders: "",
  // The scripts show many mistakes in one session, and only their own limits.
  maxErrors: 1000,
  maxIdleCommands: 1000,
  maxMemory: 268_435_456,
};
