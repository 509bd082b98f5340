// What the replies of the next SMTP server mean for the client: one table.
//
// Servers differ in their words, so only codes count (RFC 5321 §4.2, RFC 3463). Exchange's are in
// https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online

import { isCertificateError, isProxyRefusal } from "../connection_errors.ts";
import type { NotSent } from "../delivery/delivery.ts";
import type { Failed, Refused, Stage } from "../smtp_client/mail_client.ts";
import { type Reply, reply, replyText } from "../smtp/reply.ts";

/** A row: the reply for a refusal by the next server. */
export interface SmtpMeaning {
  readonly code: number;
  /** Left out: the server's own, if it fits the code. */
  readonly enhanced?: string;
  /** In an administrator's words. */
  readonly text: string;
  /** What to do about it; "" where the client has nothing to do but wait. */
  readonly remedy: string;
  /** What the delivery does next: asks for a new token and tries once more, or waits for its turn. */
  readonly next?: "newToken" | "wait";
  /** The token may be good: the server refuses it for a reason that lies in the mailbox or the tenant. */
  readonly mailboxOnly?: true;
}

const PERMISSION =
  'assign the RBAC role "Application SMTP.SendAsApp", or SMTP.SendAsApp with New-ServicePrincipal (with the ' +
  "object id of the enterprise application) and FullAccess to the mailbox. A new permission takes up to " +
  "two hours";

/** By both codes, or by the enhanced code alone, or by the reply code alone; the first that is found counts. */
export const BY_SMTP_CODE: Readonly<Record<string, SmtpMeaning>> = {
  "535 5.7.139": {
    code: 550,
    enhanced: "5.7.1",
    text: "SMTP AUTH is switched off for the tenant or the mailbox, or a policy forbids the login",
    remedy:
      "Switch it on for the mailbox: `Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false`; " +
      "else look at security defaults and Conditional Access.",
    mailboxOnly: true,
  },
  "535 5.7.3": {
    code: 454,
    enhanced: "4.7.0",
    text: "the app may not log in as this mailbox, or the token is not good",
    remedy: `For Exchange: ${PERMISSION}. See [ways_out.md](ways_out.md#exchange-online-by-smtp).`,
    next: "newToken",
  },
  "535 5.7.142": {
    code: 454,
    enhanced: "4.7.0",
    text: "the token is about to expire",
    remedy: "The relay has tried a new one. If it stays, set `TOKEN_CACHE_MAX_AGE=45m`.",
    next: "newToken",
    mailboxOnly: true,
  },
  "501 5.5.127": {
    code: 454,
    enhanced: "4.7.0",
    text: "the token is about to expire",
    remedy: "As above.",
    next: "newToken",
    mailboxOnly: true,
  },
  "5.7.240": {
    code: 454,
    enhanced: "4.7.0",
    text: "the app may not use this HVE account",
    remedy: "Allow it: `Add-HVEAppAccess` (at most ten apps; it takes five minutes).",
    mailboxOnly: true,
  },
  "530": {
    code: 454,
    enhanced: "4.7.0",
    text: "the server wants a login, or TLS",
    remedy:
      "Set `SMARTHOST_USERNAME` and `SMARTHOST_PASSWORD`, or let the server accept this machine.",
    mailboxOnly: true,
  },
  "432": {
    code: 451,
    enhanced: "4.3.2",
    text: "the mailbox has as many connections as it may have, or the server is busy",
    remedy: "Nothing: the relay waits. If it lasts, another program sends from this mailbox too.",
    next: "wait",
  },
  "421 4.3.2": {
    code: 451,
    enhanced: "4.3.2",
    text: "the server is busy, or the sender has too many connections",
    remedy: "Nothing: the relay waits.",
    next: "wait",
  },
  "5.2.270": {
    code: 552,
    text: "the message is larger than the mailbox may send",
    remedy:
      "Send less, or raise the mailbox's limit: `Set-Mailbox MAILBOX -MaxSendSize 150MB`. The message " +
      "grows when Exchange converts it.",
  },
  "552": {
    code: 552,
    text: "the message is too large for the server, or for the mailbox",
    remedy: "Send less, or raise the server's limit.",
  },
  "554 5.2.0": {
    code: 451,
    enhanced: "4.2.0",
    text: "the mailbox has sent to as many recipients as it may in a day",
    remedy: "Wait, or send bulk mail by `hve` or `acs`.",
  },
  "5.2.2": {
    code: 452,
    enhanced: "4.2.2",
    text: "the sender's mailbox is full, so that no copy of the message fits in Sent Items",
    remedy: "Empty the mailbox, or archive it.",
  },
  "5.7.60": {
    code: 550,
    text: "the mailbox may not send as the address in From",
    remedy: "Set From to the mailbox (`from_email` in the entry does so), or grant SendAs.",
  },
  "5.7.62": {
    code: 550,
    text: "MAIL FROM or From is not the HVE account",
    remedy: "Set both to the HVE account: `from_email` in the entry does so.",
  },
  "5.6.241": {
    code: 550,
    text: "From is not the HVE account",
    remedy: "As above.",
  },
};

/** A refusal with a code that is not in the table, by the command that it answers. */
export const BY_STAGE: Readonly<
  Record<"server" | "AUTH" | "MAIL" | "RCPT" | "content", SmtpMeaning>
> = {
  server: {
    code: 451,
    enhanced: "4.4.1",
    text: "the server does not talk to the relay",
    remedy:
      "Look in the log for its words. Servers may refuse by address: let it accept this machine.",
  },
  AUTH: {
    code: 454,
    enhanced: "4.7.0",
    text: "the server refuses the relay's login",
    remedy:
      "Correct `SMARTHOST_USERNAME` and `SMARTHOST_PASSWORD`; for Exchange and HVE, the permissions of " +
      "the app.",
  },
  MAIL: {
    code: 550,
    text: "the server does not accept the sender",
    remedy: "Correct MAIL FROM, or let the server accept it.",
  },
  RCPT: {
    code: 550,
    text: "the server does not accept a recipient, and no recipient got the message",
    remedy: "Correct the address that the reply names.",
  },
  content: {
    code: 554,
    text: "the server does not accept the message",
    remedy: "Look at the server's words in the reply.",
  },
};

/** A temporary refusal (4yz) with a code that is not in the table. */
export const TEMPORARY: SmtpMeaning = {
  code: 451,
  text: "the server cannot take the message now",
  remedy: "The client can try again by itself.",
};

/** The server lacks what the message or the login needs, found before anything was sent. */
export const LACKING: Readonly<
  Record<NonNullable<Refused["own"]>, SmtpMeaning & { readonly name: string }>
> = {
  SIZE: {
    name: "SMTP_SIZE",
    code: 552,
    enhanced: "5.3.4",
    text: "the message is larger than the server takes",
    remedy: "Send less, or raise the server's limit.",
  },
  SMTPUTF8: {
    name: "SMTP_NO_UTF8",
    code: 553,
    enhanced: "5.6.7",
    text: "an address or the header is in UTF-8, and the server does not offer SMTPUTF8",
    remedy: "Use ASCII addresses, or another way out.",
  },
  STARTTLS: {
    name: "SMTP_NO_STARTTLS",
    code: 451,
    enhanced: "4.7.0",
    text: "the server does not offer STARTTLS, and the relay sends nothing without it",
    remedy: "Switch TLS on in the server, or use `smtps://` if it is on another port.",
  },
  AUTH: {
    name: "SMTP_NO_AUTH",
    code: 451,
    enhanced: "4.7.0",
    text: "the server does not offer a login that the relay can use",
    remedy: "For a password it has to offer PLAIN or LOGIN, for a token XOAUTH2 or OAUTHBEARER.",
  },
  content: {
    name: "SMTP_CONTENT",
    code: 554,
    enhanced: "5.6.0",
    text: "the message has line ends that SMTP does not allow",
    remedy: "Correct the client program.",
  },
};

/** No reply; the message cannot have been sent. */
export const SMTP_UNREACHABLE: SmtpMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "the server cannot be reached, or the connection broke; nothing was sent",
  remedy:
    "Check name, port, firewall and proxy: `smtp-oauth-relay check`. The client can try again by itself.",
};

/** Likewise: the relay trusts the server's certificate for no host of this name. */
export const SMTP_UNTRUSTED: SmtpMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text:
    "the server's certificate is not trusted, has expired, or names another host; nothing was sent",
  remedy: "Use the name in the URL that the certificate has; for an authority of your own, set " +
    "`EXTRA_CA_CERTS_FILEPATH`.",
};

/** Likewise, by the rules of HTTPS_PROXY. */
export const SMTP_NO_WAY: SmtpMeaning = {
  code: 451,
  enhanced: "4.4.1",
  text: "the proxy does not let the relay through to the server; nothing was sent",
  remedy: "Allow the server and its port in the proxy, or name the server in `NO_PROXY`.",
};

/** The connection broke after the end of the message; it may have been sent. */
export const SMTP_AMBIGUOUS: SmtpMeaning = {
  code: 451,
  enhanced: "4.4.2",
  text: "no answer after the end of the message; the message may have been sent",
  remedy:
    "See [delivery.md](delivery.md). Servers may answer late: raise `DELIVERY_TIMEOUT` in direct mode.",
};

/** A refusal or a failure, as an outcome, with what the delivery does next. */
export interface Classified {
  readonly outcome: NotSent;
  readonly next?: "newToken" | "wait";
  /** The server has refused the token itself. */
  readonly tokenRefused?: "token" | "mailbox";
}

/** Characters of the server's words in a reply. */
const MAX_QUOTED = 200;

export function classifyRefusal(refused: Refused): Classified {
  const { stage, reply: given, own, challenge } = refused;
  if (own !== undefined) {
    const { name, ...row } = LACKING[own];
    const ofServer = own === "STARTTLS" || own === "AUTH";
    return { outcome: outcomeOf(row, name, given, undefined, ofServer) };
  }
  const row = meaningOf(given, stage);
  const outcome = outcomeOf(row, codeOf(given), given, challenge, isEarly(stage));
  return {
    outcome,
    ...(row.next === undefined ? {} : { next: row.next }),
    ...(stage === "AUTH" && given.code >= 500
      ? { tokenRefused: row.mailboxOnly === true ? "mailbox" : "token" }
      : {}),
  };
}

/** The row for a reply of the server. */
export function meaningOf(given: Reply, stage: Stage): SmtpMeaning {
  const { code, enhanced = "" } = given;
  for (const key of [`${code} ${enhanced}`, enhanced, String(code)]) {
    if (Object.hasOwn(BY_SMTP_CODE, key)) return BY_SMTP_CODE[key]!;
  }
  if (isEarly(stage)) return BY_STAGE.server;
  if (stage === "AUTH") return BY_STAGE.AUTH;
  // What is neither 4yz nor 5yz says nothing for certain.
  if (code < 500) return TEMPORARY;
  return BY_STAGE[stage === "MAIL" || stage === "RCPT" ? stage : "content"];
}

/**
 * What to do about a failure, by its code in the log, in plain text.
 *
 * @returns undefined if the code alone does not say
 */
export function smtpRemedy(code: string): string | undefined {
  const own = Object.values(LACKING).find(({ name }) => name === code) ??
    (isCertificateError(code) ? SMTP_UNTRUSTED : isProxyRefusal(code) ? SMTP_NO_WAY : undefined);
  const [, digits = "", enhanced = ""] = /^SMTP (\d{3})(?: ([\d.]+))?$/.exec(code) ?? [];
  const key = [`${digits} ${enhanced}`, enhanced, digits].find((key) =>
    Object.hasOwn(BY_SMTP_CODE, key)
  );
  const row = own ?? (key === undefined ? undefined : BY_SMTP_CODE[key]) ??
    (/^53\d$/.test(digits) ? BY_STAGE.AUTH : undefined);
  if (row === undefined || row.remedy === "" || row.remedy === "As above.") return undefined;
  const plain = row.remedy.replace(/ See \[[^\]]*\]\([^)]*\)\./, "").replaceAll("`", "")
    .replace(/\.$/, "");
  return plain[0]!.toLowerCase() + plain.slice(1);
}

/** The relay's own reasons, which say nothing about the server. */
const OWN_CODES = new Set(["BUSY", "STOPPED", "ABORTED"]);

export function classifyFailure({ code, message, ambiguous }: Failed): Classified {
  const row = ambiguous ? SMTP_AMBIGUOUS : unsentMeaning(code);
  return {
    outcome: {
      type: "later",
      reply: reply(row.code, row.enhanced!, `${code}: ${row.text}`),
      ambiguous,
      code,
      detail: `${row.text} (${message})`,
      ...(ambiguous ? { attempts: 1 } : {}),
      ...(OWN_CODES.has(code) ? {} : { outage: true }),
    },
  };
}

function unsentMeaning(code: string): SmtpMeaning {
  if (isCertificateError(code)) return SMTP_UNTRUSTED;
  return isProxyRefusal(code) ? SMTP_NO_WAY : SMTP_UNREACHABLE;
}

/** The reply about one recipient, for a report to the sender. */
export function recipientReply(given: Reply): Reply {
  const row = meaningOf(given, "RCPT");
  return reply(row.code, enhancedOf(row, given), `${codeOf(given)}: ${quoted(given)}`);
}

function outcomeOf(
  row: SmtpMeaning,
  code: string,
  given: Reply,
  challenge: string | undefined,
  outage: boolean,
): NotSent {
  const words = [quoted(given), ...(challenge === undefined ? [] : [challenge])].join("; ");
  const said = words === "" ? "" : `. The server says: ${words}`;
  return {
    type: row.code < 500 ? "later" : "refused",
    reply: reply(row.code, enhancedOf(row, given), `${code}: ${row.text}${said}`),
    ambiguous: false,
    code,
    detail: words === "" ? row.text : `${row.text} (${words})`,
    ...(outage ? { outage } : {}),
  };
}

/** The server's own code, where it is of the same class as our reply. */
function enhancedOf({ code, enhanced }: SmtpMeaning, given: Reply): string {
  if (enhanced !== undefined) return enhanced;
  const kind = String(code)[0]!;
  return given.enhanced?.startsWith(`${kind}.`) ? given.enhanced : `${kind}.0.0`;
}

/** The code in the log: `SMTP 535 5.7.139`. */
export function codeOf({ code, enhanced }: Reply): string {
  return enhanced === undefined ? `SMTP ${code}` : `SMTP ${code} ${enhanced}`;
}

function quoted(given: Reply): string {
  return replyText(given).slice(0, MAX_QUOTED).trim();
}

/** Whether nothing of this message was said yet: the server refuses everybody. */
function isEarly(stage: Stage): boolean {
  return stage === "connect" || stage === "greeting" || stage === "EHLO" || stage === "STARTTLS";
}
