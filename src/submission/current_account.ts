// The account of a message as it is when the message is sent: its entry may have changed since the login.

import type { Account, LoginFailure } from "../accounts/account.ts";
import type { Accounts } from "../accounts/accounts.ts";
import type { SessionFacts } from "../smtp/effects.ts";
import { boundAccount } from "./trusted_login.ts";

/**
 * The account with its current entry, which may be disabled during a session of days.
 *
 * @param limited whether ALLOWED_SENDERS is set
 */
export async function currentAccount(
  accounts: Pick<Accounts, "refresh">,
  account: Account,
  { trusted }: Pick<SessionFacts, "trusted">,
  limited: boolean,
): Promise<Account | LoginFailure> {
  const current = await accounts.refresh(account);
  return "reply" in current || !trusted ? current : boundAccount(current, limited);
}
