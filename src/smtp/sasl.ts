// SASL PLAIN (RFC 4616) and LOGIN inside AUTH (RFC 4954): responses in, credentials out.

import { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";
import { REPLIES, type Reply } from "./reply.ts";

export interface Credentials {
  readonly mechanism: "PLAIN" | "LOGIN";
  readonly username: string;
  readonly password: Secret;
}

/** One exchange's next step. */
export type SaslStep =
  | { readonly type: "challenge"; readonly reply: Reply }
  | { readonly type: "done"; readonly credentials: Credentials }
  | { readonly type: "failed"; readonly reply: Reply };

/** A running exchange: takes the client's response line, without its line end. */
export type SaslExchange = (response: string) => SaslStep;

const MECHANISMS = new Map<string, () => SaslExchange>([["PLAIN", plain], ["LOGIN", login]]);

/** The names for the AUTH line of EHLO. */
export const MECHANISM_NAMES: readonly string[] = [...MECHANISMS.keys()];

/**
 * Begins an exchange.
 *
 * @param initial the initial response as sent (`=` for an empty one), if there was one
 */
export function beginSasl(
  mechanism: string,
  initial: string | undefined,
): { exchange: SaslExchange; step: SaslStep } {
  const begin = MECHANISMS.get(mechanism.toUpperCase());
  if (begin === undefined) {
    const step: SaslStep = { type: "failed", reply: REPLIES.unknownMechanism };
    return { exchange: () => step, step };
  }
  const exchange = begin();
  if (initial !== undefined) {
    // RFC 4954 §4: a lone `=` is an initial response of no octets.
    return { exchange, step: exchange(initial === "=" ? "" : initial) };
  }
  const reply = begin === login ? REPLIES.usernameChallenge : REPLIES.emptyChallenge;
  return { exchange, step: { type: "challenge", reply } };
}

function plain(): SaslExchange {
  return (response) => {
    const decoded = decode(response);
    if ("type" in decoded) return decoded;
    // RFC 4616 §2: [authzid] NUL authcid NUL passwd. Nobody acts for anybody else here, so the
    // authorization identity, which some devices fill with odd things, decides nothing.
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
    return { type: "failed", reply: REPLIES.notUtf8 };
  }
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Base64 as RFC 4648 §4 has it; missing padding is forgiven. */
function decode(response: string): Buffer | SaslStep {
  if (response === "*") return { type: "failed", reply: REPLIES.authCancelled };
  if (!BASE64.test(response) || response.replace(/=+$/, "").length % 4 === 1) {
    return { type: "failed", reply: REPLIES.badBase64 };
  }
  return Buffer.from(response, "base64");
}
