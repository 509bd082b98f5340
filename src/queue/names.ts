// Names for mailboxes and accounts that can be read in the store without the key.

import type { Account } from "../accounts/account.ts";
import type { Sealer } from "./sealing.ts";

/**
 * The keyed hash of the mailbox that a message is sent from: messages of one mailbox are paced
 * together. The null reverse-path stands for a mailbox that only the header names; all of an app count
 * as one.
 */
export function mailboxName(
  sealer: Pick<Sealer, "hash">,
  { tenantId, clientId, fromEmail }: Account,
  reversePath: string,
): string {
  return sealer.hash("mailbox", tenantId, clientId, (fromEmail ?? reversePath).toLowerCase());
}

/** The keyed hash of an account: its entry, or its tenant and client. */
export function accountName(
  sealer: Pick<Sealer, "hash">,
  { tenantId, clientId, entry }: Account,
): string {
  return sealer.hash("account", tenantId, clientId, entry?.id ?? "");
}
