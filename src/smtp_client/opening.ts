// The beginning of a session: greeting, EHLO, STARTTLS (RFC 3207), AUTH (RFC 4954).

import { extensionsIn, mechanismsIn } from "./extensions.ts";
import type { Login, TlsMode } from "./mail_client.ts";
import { challengeText, credentialsIn, mechanismsFor, saslClient } from "./sasl_client.ts";
import { words } from "./server_reply.ts";
import { Failure, OWN_REPLIES, Refusal } from "./session_result.ts";
import { kind, type Step, type Talk } from "./talk.ts";

export interface OpeningOptions {
  /** The argument of EHLO (RFC 5321 §4.1.1.1). */
  readonly name: string;
  readonly server: { readonly hostname: string; readonly port: number; readonly tls: TlsMode };
  readonly login: Login;
}

/** Octets of a command line, its CRLF counted (RFC 5321 §4.5.3.1.4). */
const MAX_COMMAND = 512;
const MASK = "(credentials)";

/** @returns the mechanism that has logged in, if any */
export function* openSession(talk: Talk, options: OpeningOptions): Step<string | undefined> {
  talk.demand(yield* talk.reply(), 2);
  yield* sayHello(talk, options);
  if (needsTls(talk, options)) {
    yield* startTls(talk);
    yield* sayHello(talk, options);
  }
  return yield* logIn(talk, options);
}

function* sayHello(talk: Talk, { name, server, login }: OpeningOptions): Step<void> {
  talk.stage = "EHLO";
  talk.write(`EHLO ${name}\r\n`);
  const reply = yield* talk.reply();
  // RFC 5321 §3.2: servers that do not know EHLO. HELO has neither STARTTLS nor AUTH.
  if (kind(reply) === 5 && server.tls !== "starttls" && login.type === "none") {
    talk.write(`HELO ${name}\r\n`);
    talk.demand(yield* talk.reply(), 2);
    return;
  }
  talk.demand(reply, 2);
  talk.extensions = extensionsIn(reply.lines);
}

function needsTls({ extensions }: Talk, { server, login }: OpeningOptions): boolean {
  if (server.tls !== "loopback") return server.tls === "starttls";
  return login.type !== "none" && extensions.has("STARTTLS") &&
    !mechanismsFor(login).some((name) => mechanismsIn(extensions).includes(name));
}

function* startTls(talk: Talk): Step<void> {
  talk.stage = "STARTTLS";
  if (!talk.extensions.has("STARTTLS")) {
    throw new Refusal("STARTTLS", OWN_REPLIES.noStartTls, "STARTTLS");
  }
  talk.write("STARTTLS\r\n");
  talk.demand(yield* talk.reply(), 2);
  // RFC 3207 §5, CVE-2021-38371: they would count as the server's words in TLS.
  if (talk.pending()) {
    throw new Failure("INJECTION", "octets came between the reply to STARTTLS and the handshake");
  }
  talk.effect({ type: "startTls" });
  yield "tls";
}

function* logIn(talk: Talk, { login, server }: OpeningOptions): Step<string | undefined> {
  if (login.type === "none") return undefined;
  talk.stage = "AUTH";
  const sasl = saslClient(login, mechanismsIn(talk.extensions), server);
  if (sasl === undefined) {
    throw new Refusal("AUTH", OWN_REPLIES.noMechanism(mechanismsFor(login)), "AUTH");
  }
  const { mechanism, responses, serverFirst, afterError } = sasl;
  talk.credentials = credentialsIn(login, responses);
  const command = `AUTH ${mechanism}`;
  const whole = `${command} ${responses[0]}\r\n`;
  // RFC 4954 §4: where the line would be longer than a command may be, the response waits.
  const early = !serverFirst && whole.length <= MAX_COMMAND;
  if (early) talk.write(whole, `${command} ${MASK}`);
  else talk.write(`${command}\r\n`);
  let reply = yield* talk.reply();
  for (const response of early ? responses.slice(1) : responses) {
    if (kind(reply) !== 3) break;
    talk.write(`${response}\r\n`, MASK);
    reply = yield* talk.reply();
  }
  if (kind(reply) === 3) {
    const text = challengeText(reply.lines.at(-1)!.trim());
    if (text !== undefined) talk.challenge = words(text, talk.credentials);
    talk.write(`${afterError}\r\n`);
    reply = yield* talk.reply();
  }
  talk.demand(reply, 2);
  return mechanism;
}
