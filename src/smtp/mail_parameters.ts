// The parameters of MAIL: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531), AUTH (RFC 4954).

import type { PathArgument } from "./path.ts";
import { REPLIES, type Reply, reply } from "./reply.ts";

export interface MailParameters {
  /** Octets announced, 0 when not announced. */
  readonly size: number;
  readonly smtputf8: boolean;
}

/** Checks the parameters; a refusal names the one at fault. */
export function checkMailParameters(
  parameters: PathArgument["parameters"],
  maxMessageSize: number,
): MailParameters | Reply {
  const seen = new Set<string>();
  let size = 0;
  let smtputf8 = false;
  for (const { keyword, value } of parameters) {
    if (seen.has(keyword)) return reply(501, "5.5.4", `MAIL parameter ${keyword} is given twice`);
    seen.add(keyword);
    switch (keyword) {
      case "SIZE":
        if (value === undefined || !/^\d{1,20}$/.test(value)) {
          return reply(501, "5.5.4", "SIZE needs a number of octets");
        }
        size = Number(value);
        if (size > maxMessageSize) return REPLIES.tooBig;
        break;
      case "BODY":
        if (!/^(?:7BIT|8BITMIME)$/i.test(value ?? "")) {
          return reply(501, "5.5.4", "BODY must be 7BIT or 8BITMIME");
        }
        break;
      case "SMTPUTF8":
        if (value !== undefined) return reply(501, "5.5.4", "SMTPUTF8 takes no value");
        smtputf8 = true;
        break;
      case "AUTH":
        // RFC 4954 §5: who first submitted the message. We trust nobody's word, and Graph has no
        // place for it.
        if (value === undefined) return reply(501, "5.5.4", "AUTH needs a value");
        break;
      default:
        return reply(555, "5.5.4", `MAIL parameter ${keyword} is not supported`);
    }
  }
  return { size, smtputf8 };
}
