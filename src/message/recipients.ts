// Which recipients a message is never sent to.

import { printable, type Reply } from "../smtp/reply.ts";
import { isAmbiguous } from "./addresses.ts";

/** What RCPT is refused with for an address that is never sent to; undefined where it may be. */
export function recipientRefusal(address: string): Reply & { readonly text: string } | undefined {
  if (!isAmbiguous(address)) return undefined;
  const text = "Recipient whose address other mail systems read differently: " +
    `<${printable(address)}>`;
  return { code: 550, enhanced: "5.1.3", text };
}
