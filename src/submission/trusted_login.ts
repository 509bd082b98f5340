// The account of the trusted networks, as which every client there sends without a login. So it
// must be bound to senders. If its login fails, the reason is the reply to MAIL, and is logged.

import type { Account, LoginFailure, LoginResult } from "../accounts/account.ts";
import { type Reply, reply, replyText } from "../smtp/reply.ts";

/** The code in the log and in `check` for an account without bound senders. */
export const UNBOUND = "TRUSTED_UNBOUND";

/**
 * Turns the result of TRUSTED_USERNAME's login into the result for a client that has not logged in.
 *
 * @param limited whether ALLOWED_SENDERS is set
 */
export function asTrusted(result: LoginResult, limited: boolean): LoginResult {
  if (result.type !== "account") return { ...result, reply: replyToMail(result) };
  const account = boundAccount(result.account, limited);
  return "reply" in account ? account : { ...result, account };
}

/**
 * The account, if it is bound by ALLOWED_SENDERS or by the `from_email` of its entry in the lookup table:
 * at the login, and at each message, after its refresh. The entry's `allowed_senders` alone is not
 * enough: an editor of the table can extend or empty a list, while a `from_email` is always one
 * mailbox.
 *
 * @param limited whether ALLOWED_SENDERS is set
 */
export function boundAccount(account: Account, limited: boolean): Account | LoginFailure {
  return limited || account.fromEmail !== undefined ? account : unbound(account.entry?.id);
}

function unbound(entry: string | undefined): LoginFailure {
  const detail =
    (entry === undefined
      ? "the account of TRUSTED_USERNAME has no entry in the lookup, "
      : `entry ${JSON.stringify(entry)} of the lookup, which TRUSTED_USERNAME names, has no ` +
        "from_email, ") +
    "and ALLOWED_SENDERS is not set: clients of TRUSTED_NETWORKS could send as anybody";
  return {
    type: "refused",
    reply: reply(
      550,
      "5.7.1",
      "The relay's account for this network is bound to no sender: set ALLOWED_SENDERS, or " +
        "from_email in its entry in the lookup",
    ),
    detail,
    code: UNBOUND,
  };
}

/** The client has not logged in, so AUTH's reply codes (RFC 4954 §6) do not apply. */
function replyToMail({ type, reply: refusal }: LoginFailure): Reply {
  const words = replyText(refusal);
  return type === "refused"
    ? reply(
      550,
      "5.7.1",
      `The relay's TRUSTED_USERNAME and TRUSTED_PASSWORD were refused: ${words}`,
    )
    : reply(451, "4.7.0", `The relay's TRUSTED_USERNAME cannot log in now: ${words}`);
}
