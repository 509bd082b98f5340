// The commands of a session: one switch on the verb. AUTH, the envelope and the content are in files of
// their own.

import { ownText } from "../octets.ts";
import { auth } from "./auth_command.ts";
import { parseCommand } from "./command_line.ts";
import { bdat, data } from "./content_commands.ts";
import { mail, rcpt } from "./envelope_commands.ts";
import { ehloReply } from "./options.ts";
import { REPLIES } from "./reply.ts";
import type { SessionContext } from "./session_context.ts";
import { HANDSHAKE, Stage } from "./session_state.ts";

/** @param line without its end; octets as Latin-1 characters */
export function answerCommand(session: SessionContext, line: string): void {
  const command = parseCommand(line);
  if (!("verb" in command)) return session.reply(command);
  const { verb, argument } = command;
  session.verb = verb;
  if (session.lacksTls(verb)) {
    if (verb !== "AUTH" && verb !== "MAIL") return session.reply(REPLIES.mustStartTls);
    return session.refuse(verb, REPLIES.mustStartTls);
  }
  switch (verb) {
    case "EHLO":
      return hello(session, argument, true);
    case "HELO":
      return hello(session, argument, false);
    case "STARTTLS":
      return startTls(session, argument);
    case "AUTH":
      return auth(session, argument);
    case "MAIL":
      return mail(session, argument);
    case "RCPT":
      return rcpt(session, argument);
    case "DATA":
      return data(session, argument);
    case "BDAT":
      return bdat(session, argument);
    case "RSET":
      if (argument !== "") return session.reply(REPLIES.noArgument);
      session.endTransaction();
      return session.reply(REPLIES.ok);
    case "NOOP":
      return session.reply(REPLIES.ok);
    case "VRFY":
      return session.reply(argument === "" ? REPLIES.needsArgument : REPLIES.cannotVerify);
    case "HELP":
      return session.reply(REPLIES.help);
    case "QUIT":
      if (argument !== "") return session.reply(REPLIES.noArgument);
      session.reply(REPLIES.quit);
      return session.close("quit");
    case "EXPN":
    case "TURN":
    case "ETRN":
    case "SEND":
    case "SOML":
    case "SAML":
      return session.reply(REPLIES.notImplemented);
    case "GET":
    case "HEAD":
    case "POST":
    case "PUT":
    case "DELETE":
    case "PATCH":
    case "OPTIONS":
    case "CONNECT":
      // A web page can make a browser send SMTP commands in a request's body (cross-protocol
      // attack).
      session.reply(REPLIES.notHttp);
      return session.close("the client spoke HTTP");
    default:
      return session.reply(REPLIES.unknown);
  }
}

/** EHLO and HELO. Any name is accepted: devices send a serial number, brackets, or nothing. */
function hello(session: SessionContext, name: string, esmtp: boolean): void {
  const { client, options, secure } = session;
  client.helo = ownText(name);
  client.esmtp = esmtp;
  session.reach(secure ? Stage.SecureHello : Stage.Hello);
  session.endTransaction();
  if (esmtp) return session.reply(ehloReply(options, secure));
  session.reply({ code: 250, text: options.hostname });
}

function startTls(session: SessionContext, argument: string): void {
  if (argument !== "") return session.reply(REPLIES.noArgument);
  if (session.secure) return session.reply(REPLIES.tlsActive);
  if (!session.options.offerTls) return session.reply(REPLIES.tlsNotOffered);
  session.reach(Stage.StartTls);
  session.reply(REPLIES.readyForTls);
  session.effects.effect({ type: "startTls" });
  session.state = HANDSHAKE;
  // CVE-2011-0411: commands in plain text after STARTTLS must not be taken for commands over TLS.
  session.input.clear();
}
