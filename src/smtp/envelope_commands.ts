// MAIL and RCPT (RFC 5321 §3.3): a transaction's envelope.

import { readRecipient, readSender } from "./envelope.ts";
import { REPLIES } from "./reply.ts";
import type { SessionContext } from "./session_context.ts";
import { Transaction } from "./transaction.ts";

export function mail(session: SessionContext, argument: string): void {
  const { client, options } = session;
  const { helo, esmtp, login } = client;
  if (!session.mayMail) return session.refuse("MAIL", session.noLogin);
  if (helo === undefined) return session.reply(REPLIES.helloFirst);
  if (client.transaction !== undefined) return session.reply(REPLIES.nestedMail);
  if (!login.authenticated) {
    session.state = {
      mode: "busy",
      awaited: { effect: "authenticateTrusted", mail: argument },
    };
    return session.effects.effect({ type: "authenticateTrusted" });
  }
  const sender = readSender(argument, options.maxMessageSize, login.anySender);
  if ("code" in sender) return session.refuse("MAIL", sender, argument);
  const notAllowed = login.checkSender?.(sender.from);
  if (notAllowed !== undefined) return session.refuse("MAIL", notAllowed, argument);
  const reservation = session.memory.open(sender.size);
  if (reservation === undefined) return session.refuse("MAIL", REPLIES.outOfMemory, argument);
  const facts = {
    helo,
    esmtp,
    tls: session.secure,
    smtputf8: sender.smtputf8,
    ...(login.trusted ? { trusted: true as const } : {}),
  };
  client.transaction = new Transaction(sender.from, facts, reservation);
  session.limits.mailBegan();
  session.reply(REPLIES.senderOk);
}

export function rcpt(session: SessionContext, argument: string): void {
  const { client: { transaction }, options } = session;
  if (!session.mayMail) return session.reply(session.noLogin);
  if (transaction === undefined) return session.reply(REPLIES.mailFirst);
  if (transaction.chunked) return session.reply(REPLIES.rcptAfterBdat);
  const recipient = readRecipient(argument, transaction.facts.smtputf8);
  if (typeof recipient !== "string") return session.refuse("RCPT", recipient, argument);
  const notSendable = options.checkRecipient?.(recipient);
  if (notSendable !== undefined) return session.refuse("RCPT", notSendable, argument);
  if (transaction.recipients.length >= options.maxRecipients) {
    if (transaction.full) return session.reply(REPLIES.tooManyRecipients);
    transaction.full = true;
    return session.refuse("RCPT", REPLIES.tooManyRecipients, argument);
  }
  if (!transaction.add(recipient)) return session.refuse("RCPT", REPLIES.outOfMemory, argument);
  session.reply(REPLIES.recipientOk);
}
