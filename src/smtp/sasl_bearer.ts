// The mechanisms with a bearer token: OAUTHBEARER (RFC 7628) and its predecessor XOAUTH2
// (https://developers.google.com/workspace/gmail/imap/xoauth2-protocol). Responses in, credentials out;
// the token is not verified here.

import type { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";

export interface TokenCredentials {
  readonly mechanism: "XOAUTH2" | "OAUTHBEARER";
  /** The name that the client gives; "" where OAUTHBEARER leaves it to the token. */
  readonly username: string;
  readonly token: Secret;
}

/** Separates the parts in both mechanisms. */
const SEPARATOR = "\x01";

/** RFC 6750 §2.1: the name of the scheme in any case, then a b64token. */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** `user=NAME^Aauth=Bearer TOKEN^A^A`. @returns undefined for anything else */
export function readXoauth2(response: Buffer): TokenCredentials | undefined {
  const [user = "", auth = "", ...rest] = partsOf(response);
  if (rest.length !== 2 || rest.some((part) => part !== "")) return undefined;
  const username = valueOf(user, "user");
  const token = tokenIn(valueOf(auth, "auth"));
  if (username === undefined || username === "" || token === undefined) return undefined;
  return { mechanism: "XOAUTH2", username, token };
}

/**
 * `n,a=NAME,^Ahost=HOST^Aport=PORT^Aauth=Bearer TOKEN^A^A` (RFC 7628 §3.1). Keys other than `auth` are
 * ignored: a bearer token does not depend on host and port.
 *
 * @returns undefined for anything else
 */
export function readOauthbearer(response: Buffer): TokenCredentials | undefined {
  const [header = "", ...pairs] = partsOf(response);
  // Two separators at the end: one ends the last pair, one the response.
  if (pairs.length < 3 || pairs.pop() !== "" || pairs.pop() !== "") return undefined;
  const username = authorizationId(header);
  if (username === undefined || !pairs.every((pair) => PAIR.test(pair))) return undefined;
  const [auth, ...more] = pairs.flatMap((pair) => valueOf(pair, "auth") ?? []);
  const token = tokenIn(auth);
  if (token === undefined || more.length > 0) return undefined;
  return { mechanism: "OAUTHBEARER", username, token };
}

/** RFC 7628 §3.1: a key of letters, a value of printable ASCII and white space. */
const PAIR = /^[A-Za-z]+=[\x20-\x7e\t\r\n]*$/;

/**
 * The name in a GS2 header (RFC 5801 §4), without channel binding: the mechanism has none.
 */
function authorizationId(header: string): string | undefined {
  const match = /^[ny],(?:a=([^,\0]+))?,$/.exec(header);
  if (match === null) return undefined;
  const name = match[1] ?? "";
  if (/=(?!2C|3D)/.test(name)) return undefined;
  return name.replaceAll("=2C", ",").replaceAll("=3D", "=");
}

function partsOf(response: Buffer): string[] {
  try {
    const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    return utf8.decode(response).split(SEPARATOR);
  } catch {
    return [];
  }
}

function valueOf(pair: string, key: string): string | undefined {
  return pair.startsWith(`${key}=`) ? pair.slice(key.length + 1) : undefined;
}

function tokenIn(value: string | undefined): Secret | undefined {
  const token = BEARER.exec(value ?? "")?.[1];
  return token === undefined ? undefined : new Secret(token);
}
