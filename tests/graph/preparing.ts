/** Messages as Exchange gets them, for tests. */
import assert from "node:assert/strict";
import {
  type ExchangeMessage,
  exchangeMessage,
  type ExchangeOptions,
} from "../../src/graph/exchange_message.ts";
import type { Named, Rejected } from "../../src/message/originator.ts";
import { readOriginator } from "../../src/message/prepare.ts";
import type { Trace } from "../../src/message/received.ts";
import type { Content } from "../../src/smtp/content.ts";
import type { Envelope } from "../../src/smtp/effects.ts";
import { made } from "../support/content.ts";

export const TRACE: Trace = {
  helo: "printer.example.com",
  address: "192.0.2.7",
  hostname: "relay.example.com",
  esmtp: true,
  tls: true,
  smtputf8: false,
  id: "0123456789abcdef",
  at: new Date("2026-11-05T06:07:08Z"),
};
export const RECEIVED = "Received: from printer.example.com ([192.0.2.7])\r\n" +
  "\tby relay.example.com with ESMTPSA id 0123456789abcdef;\r\n" +
  "\tThu, 5 Nov 2026 06:07:08 +0000\r\n";
/** The fields added to a header that lacks them. */
export const DATE = "Date: Thu, 5 Nov 2026 06:07:08 +0000\r\n";
export const MESSAGE_ID = "Message-ID: <0123456789abcdef@relay.example.com>\r\n";

export const OPTIONS: ExchangeOptions = {
  trace: TRACE,
  account: {},
  reencodeQuotedPrintable: true,
};

export function envelope(recipients: readonly string[], from = "me@x.test"): Envelope {
  return { from, recipients };
}

/** Also returns what a sender policy finds in the received message. */
type Prepared = ExchangeMessage & { named(): readonly Named[] };

export function prepareMessage(
  message: Content,
  envelope: Envelope,
  options: ExchangeOptions,
): Prepared | Rejected {
  const result = exchangeMessage(message, envelope, options);
  if (result.type === "rejected") return result;
  const named = () => {
    const origin = readOriginator(message, envelope.from, options.account, options.limits);
    assert(origin.type === "originator" && origin.sender === result.sender);
    return origin.named();
  };
  return { ...result, named };
}

/** The message as it is sent. */
export function prepared(
  message: Content,
  recipients: readonly string[],
  from?: string,
  options: Partial<ExchangeOptions> = {},
): Content {
  const result = prepareMessage(message, envelope(recipients, from), { ...OPTIONS, ...options });
  assert(result.type === "prepared", JSON.stringify(result));
  return made(result.content);
}
