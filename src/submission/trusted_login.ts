// The account of the trusted networks: whoever is there sends as it without a login of their own. So it
// must be bound to senders, and what keeps it from logging in is told to MAIL, and to the administrator.

import type { Account, LoginResult, NoAccount } from "../accounts/accounts.ts";
import { type Reply, reply, replyText } from "../smtp/reply.ts";

/** What the log and `check` know an account by that nothing binds. */
export const UNBOUND = "TRUSTED_UNBOUND";

/**
 * Makes of TRUSTED_USERNAME's login what a client gets that has not logged in.
 *
 * The account is bound by ALLOWED_SENDERS, or by the `from_email` of its entry in the lookup table, in
 * this moment and at each message. The entry's `allowed_senders` alone is not enough: whoever edits the
 * table can widen a list, or empty it, while a `from_email` is always one mailbox.
 *
 * @param limited whether ALLOWED_SENDERS is set
 */
export function asTrusted(result: LoginResult, limited: boolean): LoginResult {
  if (result.type !== "account") return { ...result, reply: replyToMail(result) };
  const account = bound(result.account, limited);
  return "token" in account ? { ...result, account } : account;
}

function bound(account: Account, limited: boolean): Account | NoAccount {
  const { renewed } = account;
  if (!limited && account.fromEmail === undefined) return unbound(account.entry);
  if (renewed === undefined) return account;
  return {
    ...account,
    async renewed() {
      const now = await renewed();
      return "token" in now ? bound(now, limited) : now;
    },
  };
}

function unbound(entry: string | undefined): NoAccount {
  const detail =
    (entry === undefined
      ? "the account of TRUSTED_USERNAME has no entry in the lookup table, "
      : `entry ${
        JSON.stringify(entry)
      } of the lookup table, which TRUSTED_USERNAME names, has no ` +
        "from_email, ") +
    "and ALLOWED_SENDERS is not set: clients of TRUSTED_NETWORKS could send as anybody";
  return {
    type: "refused",
    reply: reply(
      550,
      "5.7.1",
      "The relay's account for this network is bound to no sender: set ALLOWED_SENDERS, or " +
        "from_email in its entry in the lookup table",
    ),
    detail,
    code: UNBOUND,
  };
}

/** The client has not logged in, so AUTH's codes would mean nothing to it (RFC 4954 §6). */
function replyToMail({ type, reply: refusal }: NoAccount): Reply {
  const words = replyText(refusal);
  return type === "refused"
    ? reply(
      550,
      "5.7.1",
      `The relay's TRUSTED_USERNAME and TRUSTED_PASSWORD were refused: ${words}`,
    )
    : reply(451, "4.7.0", `The relay's TRUSTED_USERNAME cannot log in now: ${words}`);
}
