// What to do about failures of a running relay, in the words of `check`.

import type { LoginFailure } from "../accounts/account.ts";
import type { NotSent } from "../delivery/delivery.ts";
import { isUntrusted } from "../graph/graph_errors.ts";
import { smtpRemedy } from "../smtp_backend/smtp_errors.ts";
import { judgeFailure } from "./cloud_check.ts";
import { judgeRefusal } from "./login_findings.ts";
import { judgeOutcome } from "./test_message.ts";
import { WAY_CODES } from "./way_codes.ts";

/** A failure as the status page remembers it. */
export type FailedLogin = Pick<LoginFailure, "type" | "code" | "detail" | "entry">;
export type FailedMessage = Pick<NotSent, "type" | "code" | "detail" | "ambiguous">;

export function loginRemedy(failure: FailedLogin): string | undefined {
  return judgeRefusal(failure).fix;
}

export function messageRemedy(failure: FailedMessage): string | undefined {
  const { code, fix } = judgeOutcome(failure, "", { from: "", to: "" });
  // These name options of the command.
  return Object.hasOwn(OF_DEVICES, code) ? OF_DEVICES[code] : fix;
}

const OF_DEVICES: Readonly<Record<string, string>> = {
  "message.no-mailbox":
    "send from a mailbox that exists: correct the sender's address in the device",
  "message.recipient": "correct the recipient's address in the device",
};

/** Of a server that is reached by SMTP. @returns undefined if the code alone does not say */
export function wayRemedy({ code }: { readonly code: string }): string | undefined {
  const known = smtpRemedy(code);
  if (known !== undefined) return known;
  if (isUntrusted({ sent: false, code })) return WAY_CODES["way.certificate"].fix;
  return /^(?:E[A-Z]+|CLOSED)$/.test(code) ? WAY_CODES["way.unreachable"].fix : undefined;
}

/** Of Entra ID or Graph, if it cannot be reached. @param url of the service */
export function serviceRemedy(
  service: "authority" | "graph",
  url: URL,
  { code, detail }: { readonly code: string; readonly detail: string },
): string | undefined {
  // The service's own codes are no failure of the connection.
  if (!/^[A-Z][A-Z_\d]*$/.test(code) || code.startsWith("AADSTS")) return undefined;
  const failure = { type: "failure", sent: false, code, message: detail } as const;
  return judgeFailure(service, url, failure, undefined).fix;
}
