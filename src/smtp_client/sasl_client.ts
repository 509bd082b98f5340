// The client's side of SASL in SMTP (RFC 4954): which mechanism, and its responses.

import { Buffer } from "node:buffer";
import { type Mechanism, secretIn } from "../smtp/sasl.ts";
import type { Login } from "./mail_client.ts";

export interface SaslClient {
  readonly mechanism: Mechanism;
  /** In base64, in order: the first may go with the command, unless the server speaks first. */
  readonly responses: readonly string[];
  readonly serverFirst: boolean;
  /** The response to a further challenge, which says why the login fails. */
  readonly afterError: string;
}

/** The server that OAUTHBEARER names. */
interface Server {
  readonly hostname: string;
  readonly port: number;
}

type Named = Exclude<Login, { type: "none" }>;

/** By preference. */
const MECHANISMS: Readonly<Record<Named["type"], readonly Mechanism[]>> = {
  password: ["PLAIN", "LOGIN"],
  token: ["XOAUTH2", "OAUTHBEARER"],
};

export function mechanismsFor(login: Named): readonly Mechanism[] {
  return MECHANISMS[login.type];
}

/**
 * @param offered names in upper case
 * @returns undefined if the server offers none that suits the login
 */
export function saslClient(
  login: Named,
  offered: readonly string[],
  server: Server,
): SaslClient | undefined {
  const mechanism = mechanismsFor(login).find((name) => offered.includes(name));
  if (mechanism === undefined) return undefined;
  return {
    mechanism,
    responses: responsesOf(mechanism, login, server).map((response) =>
      Buffer.from(response, "utf8").toString("base64")
    ),
    serverFirst: mechanism === "LOGIN",
    // XOAUTH2: an empty line; RFC 7628 §3.2.3: one octet of value 1; others: RFC 4954 §4, to cancel.
    afterError: mechanism === "XOAUTH2" ? "" : mechanism === "OAUTHBEARER" ? "AQ==" : "*",
  };
}

function responsesOf(mechanism: Mechanism, login: Named, server: Server): readonly string[] {
  const { username } = login;
  const secret = secretIn(login).reveal();
  switch (mechanism) {
    case "PLAIN": // RFC 4616 §2
      return [`\0${username}\0${secret}`];
    case "LOGIN":
      return [username, secret];
    case "XOAUTH2":
      return [`user=${username}\x01auth=Bearer ${secret}\x01\x01`];
    case "OAUTHBEARER": { // RFC 7628 §3.1; the name as in RFC 5801 §4
      const name = username.replaceAll("=", "=3D").replaceAll(",", "=2C");
      const { hostname, port } = server;
      return [
        `n,a=${name},\x01host=${hostname}\x01port=${port}\x01auth=Bearer ${secret}\x01\x01`,
      ];
    }
  }
}

/** What a challenge about a token says, which is JSON; undefined for anything else. */
export function challengeText(challenge: string): string | undefined {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(challenge)) return undefined;
  return Buffer.from(challenge, "base64").toString("utf8");
}

/** Everything that a server may echo and that contains the secret. */
export function credentialsIn(login: Login, responses: readonly string[]): readonly string[] {
  return login.type === "none" ? [] : [secretIn(login).reveal(), ...responses];
}
