// SASL inside AUTH (RFC 4954): responses in, credentials out. PLAIN (RFC 4616) and LOGIN are here; the
// mechanisms with a bearer token are in sasl_bearer.ts.

import { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";
import { REPLIES, type Reply, reply } from "./reply.ts";
import { readOauthbearer, readXoauth2, type TokenCredentials } from "./sasl_bearer.ts";

export interface PasswordCredentials {
  readonly mechanism: "PLAIN" | "LOGIN";
  readonly username: string;
  readonly password: Secret;
}

/** `"token" in credentials` tells them apart. */
export type Credentials = PasswordCredentials | TokenCredentials;

export type Mechanism = Credentials["mechanism"];

/** The password or the token. */
export function secretIn(
  credentials: Pick<PasswordCredentials, "password"> | Pick<TokenCredentials, "token">,
): Secret {
  return "token" in credentials ? credentials.token : credentials.password;
}

/** One exchange's next step. */
export type SaslStep =
  | { readonly type: "challenge"; readonly reply: Reply }
  | {
    readonly type: "done";
    readonly credentials: Credentials;
    /** The mechanism's challenge before a 535; {@link afterRefusal} takes the response to it. */
    readonly errorChallenge?: Reply;
  }
  | {
    readonly type: "failed";
    readonly reply: Reply;
    /** The credentials of a failed login, as a text that identifies them. */
    readonly tried?: Secret;
  }
  /** A login that was refused before: its reply had to wait for the client's last response. */
  | { readonly type: "refused"; readonly reply: Reply };

/** A running exchange: takes the client's response line, without its line end. */
export type SaslExchange = (response: string) => SaslStep;

const MECHANISMS: Readonly<Record<Mechanism, () => SaslExchange>> = {
  PLAIN: plain,
  LOGIN: login,
  XOAUTH2: () => bearer(readXoauth2, REPLIES.malformedXoauth2, REPLIES.xoauth2Error),
  OAUTHBEARER: () =>
    bearer(readOauthbearer, REPLIES.malformedOauthbearer, REPLIES.oauthbearerError),
};

/** The mechanisms where the options name none. */
export const STANDARD_MECHANISMS: readonly Mechanism[] = ["LOGIN", "PLAIN"];

/**
 * Begins an exchange.
 *
 * @param mechanism in any case
 * @param initial the initial response as sent (`=` for an empty one), if there was one
 * @param enabled the mechanisms that may be used, at least one
 */
export function beginSasl(
  mechanism: string,
  initial: string | undefined,
  enabled: readonly Mechanism[],
): { exchange: SaslExchange; step: SaslStep } {
  const name = mechanism.toUpperCase();
  const known = enabled.find((one) => one === name);
  if (known === undefined) {
    const step: SaslStep = { type: "failed", reply: unknownMechanism(enabled) };
    return { exchange: () => step, step };
  }
  const begin = MECHANISMS[known];
  const exchange = begin();
  if (initial !== undefined) {
    // RFC 4954 §4: a lone `=` is an initial response of no octets.
    return { exchange, step: exchange(initial === "=" ? "" : initial) };
  }
  const reply = begin === login ? REPLIES.usernameChallenge : REPLIES.emptyChallenge;
  return { exchange, step: { type: "challenge", reply } };
}

function unknownMechanism(enabled: readonly Mechanism[]): Reply {
  const names = enabled.map((name) => `AUTH ${name}`).join(", ").replace(/, ([^,]*)$/, " and $1");
  return reply(504, "5.5.4", `Only ${names} ${enabled.length > 1 ? "are" : "is"} supported`);
}

/**
 * Takes any response to a mechanism's error challenge: RFC 7628 §3.2.3 asks for one octet of value 1,
 * Google's clients send an empty line. Only `*` has a reply of its own (RFC 4954 §4).
 *
 * @param refusal the reply to the login
 */
export function afterRefusal(refusal: Reply): SaslExchange {
  return (response) => {
    return { type: "refused", reply: response === "*" ? REPLIES.authCancelled : refusal };
  };
}

function bearer(
  read: (response: Buffer) => TokenCredentials | undefined,
  malformed: Reply,
  errorChallenge: Reply,
): SaslExchange {
  return (response) => {
    const decoded = decode(response);
    if ("type" in decoded) return decoded;
    const credentials = read(decoded);
    if (credentials === undefined) return { type: "failed", reply: malformed };
    return { type: "done", credentials, errorChallenge };
  };
}

function plain(): SaslExchange {
  return (response) => {
    const decoded = decode(response);
    if ("type" in decoded) return decoded;
    // RFC 4616 §2: [authzid] NUL authcid NUL passwd. The authorization identity is ignored: a login
    // cannot act for another, and some devices send odd values.
    const first = decoded.indexOf(0);
    const second = first < 0 ? -1 : decoded.indexOf(0, first + 1);
    if (second < 0 || decoded.includes(0, second + 1)) {
      return { type: "failed", reply: REPLIES.malformedPlain };
    }
    return done("PLAIN", decoded.subarray(first + 1, second), decoded.subarray(second + 1));
  };
}

function login(): SaslExchange {
  let username: Buffer | undefined;
  return (response) => {
    const decoded = decode(response);
    if ("type" in decoded) return decoded;
    if (username === undefined) {
      username = decoded;
      return { type: "challenge", reply: REPLIES.passwordChallenge };
    }
    return done("LOGIN", username, decoded);
  };
}

function done(mechanism: "PLAIN" | "LOGIN", username: Buffer, password: Buffer): SaslStep {
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return {
      type: "done",
      credentials: {
        mechanism,
        username: utf8.decode(username),
        password: new Secret(utf8.decode(password)),
      },
    };
  } catch {
    const tried = new Secret(`${username.toString("hex")} ${password.toString("hex")}`);
    return { type: "failed", reply: REPLIES.notUtf8, tried };
  }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Base64 (RFC 4648 §4), with or without padding. */
function decode(response: string): Buffer | SaslStep {
  if (response === "*") return { type: "failed", reply: REPLIES.authCancelled };
  if (!BASE64.test(response) || response.replace(/=+$/, "").length % 4 === 1) {
    return { type: "failed", reply: REPLIES.badBase64 };
  }
  return Buffer.from(response, "base64");
}
