// AUTH (RFC 4954), and the result of a login.

import type { LineTooLong } from "./line_reader.ts";
import { mail } from "./envelope_commands.ts";
import type { SenderCheck } from "./options.ts";
import { REPLIES, type Reply } from "./reply.ts";
import {
  afterRefusal,
  beginSasl,
  type SaslExchange,
  type SaslStep,
  STANDARD_MECHANISMS,
} from "./sasl.ts";
import type { SessionContext } from "./session_context.ts";
import { type Awaited, COMMAND, FAILED_LOGIN, Stage } from "./session_state.ts";

export function auth(session: SessionContext, argument: string): void {
  const { helo, login, transaction } = session.client;
  if (argument === "") return session.reply(REPLIES.needsArgument);
  if (helo === undefined) return session.reply(REPLIES.helloFirst);
  if (transaction !== undefined) return session.reply(REPLIES.authInTransaction);
  if (login.authenticated && !login.trusted) return session.reply(REPLIES.alreadyAuthenticated);
  const [mechanism, initial, ...more] = argument.split(/ +/);
  if (more.length > 0) return session.refuse("AUTH", REPLIES.badBase64);
  session.reach(Stage.Auth);
  const { mechanisms = STANDARD_MECHANISMS } = session.options;
  const { exchange, step } = beginSasl(mechanism!, initial, mechanisms);
  nextStep(session, exchange, step);
}

/** @param line the client's response, without its end */
export function saslResponse(
  session: SessionContext,
  exchange: SaslExchange,
  line: string | LineTooLong,
): void {
  const step: SaslStep = typeof line === "string"
    ? exchange(line.trimEnd())
    : { type: "failed", reply: REPLIES.authTooLong };
  nextStep(session, exchange, step);
}

function nextStep(session: SessionContext, exchange: SaslExchange, step: SaslStep): void {
  switch (step.type) {
    case "challenge":
      session.state = { mode: "sasl", exchange };
      return session.reply(step.reply);
    case "done":
      session.state = {
        mode: "busy",
        awaited: { effect: "authenticate", errorChallenge: step.errorChallenge },
      };
      return session.effects.effect({ type: "authenticate", credentials: step.credentials });
    case "failed":
      session.state = COMMAND;
      // The trusted account stays logged in.
      if (step.reply.code === 535 && !session.client.login.authenticated) {
        session.client.login = FAILED_LOGIN;
      }
      return session.refuse("AUTH", step.reply, undefined, step.tried);
    case "refused":
      session.state = COMMAND;
      return session.reply(step.reply);
  }
}

/** The answer to `authenticate`: any reply but a 2yz refuses the login. */
export function loginAnswered(
  session: SessionContext,
  awaited: Exclude<Awaited, { effect: "submit" }>,
  answer: Reply,
  checkSender: SenderCheck | undefined,
  anySender: boolean,
): void {
  const authenticated = answer.code < 300;
  const trusted = awaited.effect === "authenticateTrusted";
  session.state = COMMAND;
  session.client.login = authenticated
    ? { authenticated, trusted, checkSender, anySender }
    : FAILED_LOGIN;
  if (trusted) {
    session.verb = "MAIL";
    return authenticated ? mail(session, awaited.mail) : session.reply(answer);
  }
  session.verb = "AUTH";
  const { errorChallenge } = awaited;
  if (errorChallenge === undefined || answer.code !== 535 || session.stopping !== undefined) {
    return session.reply(answer);
  }
  session.state = { mode: "sasl", exchange: afterRefusal(answer) };
  session.reply(errorChallenge);
}
