// The relay that dialogue scripts talk to, unless they say `! option`.

import { QueueRoom } from "../../src/queue/queue_room.ts";
import type { Usage } from "../../src/queue/store.ts";
import { MessageLimit } from "../../src/submission/message_rate.ts";
import { senderRefusal } from "../../src/accounts/senders.ts";
import { SenderList } from "../../src/accounts/sender_list.ts";
import { rateOrOff } from "../../src/settings/parsers.ts";
import type { Mechanism } from "../../src/smtp/sasl.ts";
import { REPLIES, type Reply } from "../../src/smtp/reply.ts";
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
  /** AUTH_MECHANISMS. */
  readonly authMechanisms: string;
  /** ALLOWED_SENDERS of every login; "" for any. */
  readonly allowedSenders: string;
  /** allowed_senders of every login's entry in the lookup table; "" for any. */
  readonly entrySenders: string;
  /** MESSAGE_RATE_LIMIT, for all logins of a connection together. */
  readonly messageRateLimit: string;
  /**
   * What the queue has no room for, of a relay with one: `messages`, `octets` or `disk`; `shareOfMessages` or
   * `shareOfOctets`, which only this account has used up; "" for nothing.
   */
  readonly queueFull: string;
  /** Whether the client's address may send without AUTH and TLS. */
  readonly trusted: boolean;
  /** Whether every login has an address of its own to send from, as from_email of an entry says. */
  readonly anySender: boolean;
  readonly maxErrors: number;
  readonly maxIdleCommands: number;
  /** MAX_MEMORY, octets: two thirds of it are for messages. */
  readonly maxMemory: number;
}

/** The check that the relay gives the session with an account, and what counts a message. */
export function limitsOf(
  options: DialogueOptions,
): { readonly checkSender: SenderCheck; readonly sent: () => void } {
  const checkSender = checkRoom(checkSenderOf(options), options);
  const rate = rateOrOff.parse(options.messageRateLimit)!;
  if (rate === "off") return { checkSender, sent: () => {} };
  const limit = new MessageLimit(rate, { now: () => 0 });
  const account = { tenantId: "tenant", clientId: "client" };
  const verified = { unverified: () => undefined };
  return {
    checkSender: limit.checkAfter(checkSender, account, verified),
    sent: () => limit.begin(account, verified)!(true),
  };
}

const EMPTY: Usage = {
  messages: { queued: 0, sending: 0, held: 0, dead: 0 },
  octets: 0,
  oldest: undefined,
  oldestDead: undefined,
  disk: undefined,
};
const USAGE: Readonly<Record<string, Usage>> = {
  messages: { ...EMPTY, messages: { queued: 7, sending: 1, held: 1, dead: 1 } },
  octets: { ...EMPTY, octets: 1000 },
  disk: { ...EMPTY, disk: { free: 1_000_000, total: 1_000_000_000 } },
};

/** What the relay says once its store has told what an account has. */
const SHARES: Readonly<Record<string, Reply>> = {
  shareOfMessages: REPLIES.queueShareOfMessages,
  shareOfOctets: REPLIES.queueShareOfOctets,
};

/** As the relay does with a queue: after the account's own reasons. */
function checkRoom(check: SenderCheck, { queueFull }: DialogueOptions): SenderCheck {
  if (queueFull === "") return check;
  const share = SHARES[queueFull];
  if (share !== undefined) return (from) => check(from) ?? share;
  const room = new QueueRoom({ usage: () => USAGE[queueFull]! }, {
    maxMessages: 10,
    maxOctets: 1000,
  });
  return (from) => check(from) ?? room.mailRefusal();
}

function checkSenderOf(options: DialogueOptions): SenderCheck {
  const lists = {
    allowed: SenderList.parse(options.allowedSenders),
    ofEntry: SenderList.parse(options.entrySenders),
  };
  return (from) => from === "" ? undefined : senderRefusal(from, lists);
}

export function mechanismsOf({ authMechanisms }: DialogueOptions): readonly Mechanism[] {
  return authMechanisms.split(",") as Mechanism[];
}

export const DIALOGUE_OPTIONS: DialogueOptions = {
  hostname: "relay.example",
  greeting: "Microsoft Graph SMTP OAuth Relay",
  maxMessageSize: 36_700_160,
  // So few that a script can reach the limit; RFC 5321 §4.5.3.1.8 asks for 100 in service.
  maxRecipients: 3,
  offerTls: true,
  requireTls: true,
  authMechanisms: "LOGIN,PLAIN",
  allowedSenders: "",
  entrySenders: "",
  messageRateLimit: "off",
  queueFull: "",
  trusted: false,
  anySender: false,
  // The scripts show many mistakes in one session, and only their own limits.
  maxErrors: 1000,
  maxIdleCommands: 1000,
  maxMemory: 268_435_456,
};
