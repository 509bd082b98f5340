// Whether the login of a session is still good when it sends a message: its entry may have changed since.

import { type Reply, reply, replyText } from "../smtp/reply.ts";
import type { Account, LoginFailure } from "./account.ts";
import type { Entry } from "./entry.ts";
import { formatPasswordHash } from "./password_hash.ts";

/** @param now the app that the entry names now */
export function appProblem(
  { tenantId, clientId }: Pick<Account, "tenantId" | "clientId">,
  now: Pick<Account, "tenantId" | "clientId">,
): LoginFailure | undefined {
  return now.tenantId === tenantId && now.clientId === clientId ? undefined : OTHER_APP;
}

/**
 * Why what a session has logged in with is no longer good, though its entry is of the same app.
 *
 * @param hash that the device's own password has matched, if there was one
 */
export function loginProblem(
  { credential }: Pick<Account, "credential">,
  entry: Entry | undefined,
  hash: string | undefined,
): LoginFailure | undefined {
  const device = entry?.device;
  if (device?.credential !== credential) return OTHER_KIND;
  if (hash === undefined || device?.hashes.some((one) => formatPasswordHash(one) === hash)) {
    return undefined;
  }
  return OTHER_PASSWORD;
}

/** A failure in answer to a message, where the codes of AUTH have no place (RFC 4954 §6). */
export function duringSession({ type, reply: refusal, detail }: LoginFailure): LoginFailure {
  const words = replyText(refusal);
  return {
    type,
    reply: type === "refused" ? reply(550, "5.7.1", words) : reply(451, "4.7.0", words),
    detail,
  };
}

const OTHER_APP = again(
  reply(451, "4.7.0", "The lookup's entry is of another app now: log in again"),
  "another tenant_id or client_id",
);
const OTHER_KIND = again(
  reply(451, "4.7.0", "The lookup's entry is of another kind of login now: log in again"),
  "another credential, or has lost it",
);
const OTHER_PASSWORD = again(
  reply(451, "4.7.0", "The lookup's entry is of another password now: log in again"),
  "another password",
);

function again(reply: Reply, given: string): LoginFailure {
  const detail = `the lookup's entry has been given ${given}: the client has to log in again`;
  return { type: "later", reply, detail };
}
