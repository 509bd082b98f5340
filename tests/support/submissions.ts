/** Accounts and submissions to hand to a backend. */
import { Buffer } from "node:buffer";
import type { Account, Authorization } from "../../src/accounts/account.ts";
import type { Attempt, Submission, WaitingClient } from "../../src/delivery/delivery.ts";
import type { EntraRefusal } from "../../src/entra/entra_errors.ts";
import { type AccessToken, rolesOf } from "../../src/entra/token.ts";
import type { Content } from "../../src/smtp/content.ts";
import { Secret } from "../../src/secret.ts";
import { CLIENT, SCOPE, TENANT } from "./logins.ts";

/** An account that writes down what is done with its token. */
export type WatchedAccount = Account & Authorization & { readonly events: string[] };

export const ACCOUNT: Account = { tenantId: TENANT, clientId: CLIENT };

/** A delivery for which no client waits, unless one is given. */
export function attemptOf(authorization: Authorization, client?: WaitingClient): Attempt {
  return client === undefined ? { authorization } : { authorization, client };
}

export function accountWith(token: AccessToken | EntraRefusal): WatchedAccount {
  const events: string[] = [];
  return {
    tenantId: TENANT,
    clientId: CLIENT,
    events,
    token: () => "type" in token ? Promise.resolve(token) : token,
    reject: (given) => void events.push(given === token ? "rejected" : "rejected another"),
    confirm: (given) => void events.push(given === token ? "confirmed" : "confirmed another"),
    unverified: () => undefined,
    expiry: () => undefined,
  };
}

export function tokenOf(value: string): AccessToken {
  const fetchedAt = performance.now();
  return {
    value: new Secret(value),
    fetchedAt,
    expiresAt: fetchedAt + 3_600_000,
    roles: rolesOf(value),
  };
}

/** A token of the imitated Entra ID's. */
export async function fetchToken(authority: URL, client = CLIENT): Promise<AccessToken> {
  const response = await fetch(`${authority}/${TENANT}/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "client_credentials",
      client_id: client,
      client_secret: "a secret",
      scope: SCOPE,
    }),
  });
  const { access_token } = await response.json() as { access_token: string };
  return tokenOf(access_token);
}

export const MESSAGE = Buffer.from(
  "From: ann@x.test\r\nTo: bea@x.test\r\nSubject: s\r\n\r\nGr\u00fc\u00dfe\r\n",
  "utf8",
);

export function submissionOf<Of = Account>(
  account: Of,
): Omit<Submission, "account"> & { readonly account: Of } {
  return {
    id: "0123456789abcdef",
    account,
    username: `${TENANT}@${CLIENT}`,
    envelope: { from: "ann@x.test", recipients: ["bea@x.test"] },
    content: [MESSAGE],
    facts: { helo: "printer", esmtp: true, tls: true, smtputf8: false },
    client: "192.0.2.7",
    connection: "c0ffee",
    receivedAt: Date.parse("2026-11-05T06:07:08Z"),
  };
}

/** A submission whose reverse-path is this mailbox, which sends then. */
export function mailOf(mailbox: string, content: Content = [MESSAGE]): Submission {
  const submission = submissionOf(ACCOUNT);
  return { ...submission, envelope: { ...submission.envelope, from: mailbox }, content };
}
