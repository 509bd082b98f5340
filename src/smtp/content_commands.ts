// DATA (RFC 5321 §4.1.1.4) and BDAT (RFC 3030): a transaction's content, and its submission.

import { type Content, lengthOf } from "./content.ts";
import { shownContent } from "./observer.ts";
import { ChunkReceiver, type ChunkTarget, DataReceiver, MAX_DISCARDED } from "./receivers.ts";
import { REPLIES, type Reply, reply } from "./reply.ts";
import type { SessionContext } from "./session_context.ts";
import { COMMAND, type State, SUBMITTING } from "./session_state.ts";
import { MIN_MESSAGE_MEMORY, type Transaction } from "./transaction.ts";

export function data(session: SessionContext, argument: string): void {
  const { transaction } = session.client;
  if (!session.mayMail) return session.reply(session.noLogin);
  if (argument !== "") return session.reply(REPLIES.noArgument);
  if (transaction === undefined) return session.reply(REPLIES.mailFirst);
  if (transaction.chunked) return session.reply(REPLIES.dataAfterBdat);
  if (transaction.recipients.length === 0) return session.reply(REPLIES.rcptFirst);
  // Other messages may have taken the room since MAIL: refuse now, not after the content has come.
  const { reservation, overhead } = transaction;
  if (!reservation.ensure(Math.max(1, overhead))) {
    session.refuse("DATA", REPLIES.outOfMemory);
    return session.endTransaction();
  }
  const receiver = new DataReceiver(session.options.maxMessageSize, reservation, overhead);
  session.state = { mode: "data", receiver, transaction };
  session.reply(REPLIES.startData);
}

/** Reads the content in the input. */
export function dataOctets(
  session: SessionContext,
  { receiver, transaction }: Extract<State, { mode: "data" }>,
): void {
  const { input } = session.input;
  const end = receiver.push(input);
  session.input.consume(end < 0 ? input.length : end);
  if (receiver.overHardLimit) return refuseInTheMiddle(session, "DATA");
  if (end < 0) return;
  const content = receiver.finish();
  session.observer?.command(shownContent(content));
  session.state = COMMAND;
  session.exchanges++;
  if (!("code" in content)) return submit(session, transaction, content);
  session.verb = "DATA";
  session.refuse("DATA", content);
  session.verb = undefined;
  session.endTransaction();
}

export function bdat(session: SessionContext, argument: string): void {
  const match = /^(\d+)(?: +(\S.*))?$/.exec(argument);
  if (match === null) {
    session.reply(REPLIES.bdatSyntax);
    // An unknown number of octets may follow: they must not be read as commands.
    if (/^[+-]?\d/.test(argument)) session.close("the client sent BDAT with an invalid size");
    return;
  }
  const [, size = "", word] = match;
  const octets = Number(size);
  if (octets > session.options.maxMessageSize + MAX_DISCARDED) {
    return refuseInTheMiddle(session, "BDAT");
  }
  const last = word?.toUpperCase() === "LAST";
  const target = word === undefined || last
    ? chunkTarget(session, octets)
    : session.client.transaction?.fail(REPLIES.bdatSyntax) ?? REPLIES.bdatSyntax;
  const chunk = new ChunkReceiver(octets, last, target);
  if (!("code" in target)) {
    const { transaction } = target;
    transaction.reservation.giveUp = () => {
      transaction.fail(REPLIES.outOfMemory);
      if (session.state.mode === "chunk") session.state.chunk.refuse(REPLIES.outOfMemory);
    };
  }
  session.state = { mode: "chunk", chunk };
  notifyFailure(session);
  if (octets === 0) endOfChunk(session, chunk);
}

function chunkTarget(session: SessionContext, octets: number): ChunkTarget | Reply {
  const { client: { transaction }, options } = session;
  if (session.lacksTls("DATA")) return REPLIES.mustStartTls;
  if (!session.mayMail) return session.noLogin;
  if (transaction === undefined) return REPLIES.mailFirst;
  const builder = transaction.chunk(octets, options.maxMessageSize);
  return "code" in builder ? builder : { builder, transaction };
}

/** Reads the chunk's octets in the input. */
export function chunkOctets(
  session: SessionContext,
  { chunk }: Extract<State, { mode: "chunk" }>,
): void {
  session.input.consume(chunk.push(session.input.input));
  if (!chunk.complete) return;
  session.verb = "BDAT";
  endOfChunk(session, chunk);
  session.verb = undefined;
}

function endOfChunk(session: SessionContext, { target, last }: ChunkReceiver): void {
  session.observer?.command("(the octets of the chunk)");
  session.state = COMMAND;
  session.exchanges++;
  if (!("code" in target)) {
    const { builder, transaction } = target;
    if (last) return submit(session, transaction, builder.finish());
    return session.reply(reply(250, "2.0.0", `${builder.length} octets so far`));
  }
  notifyFailure(session);
  if (last) session.endTransaction();
  session.reply(target);
}

/** A message in chunks may fail between two of them: its room may go to others at any time. */
function notifyFailure(session: SessionContext): void {
  const failure = session.client.transaction?.takeFailure();
  if (failure !== undefined) session.notifyRefused("BDAT", failure);
}

/**
 * The client has sent, or announces, more than is read of any message: it gets its reply before the end
 * (RFC 5321 §7.8). No 421 (§3.8) after that: a client could take it for the reply, and try again.
 */
function refuseInTheMiddle(session: SessionContext, command: "DATA" | "BDAT"): void {
  if (session.client.login.authenticated) session.refuse(command, REPLIES.tooBig);
  else session.reply(REPLIES.tooBig);
  session.close("the client sent far more than the maximum size");
}

function submit(session: SessionContext, transaction: Transaction, content: Content): void {
  const { from, recipients, facts, reservation, overhead } = transaction;
  session.client.transaction = undefined;
  session.state = SUBMITTING;
  reservation.settle(Math.max(MIN_MESSAGE_MEMORY, lengthOf(content) + overhead));
  reservation.giveUp = undefined;
  session.effects.effect({
    type: "submit",
    envelope: { from, recipients },
    content,
    facts,
    reservation,
  });
}
