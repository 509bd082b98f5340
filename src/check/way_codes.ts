// The findings of `check` about ways out that are reached by SMTP: a part of the table in codes.ts.

import type { Kind } from "./codes.ts";

const NETWORK =
  "check the name and the port in SMARTHOST_URL or EXCHANGE_SMTP_URL, and the firewall; many networks block " +
  "port 25, and some 587";

export const WAY_CODES = {
  "way.ok": {
    level: "ok",
    meaning: "The server of a way out by SMTP answers in TLS; or it has accepted the login too.",
    fix: "",
  },
  "way.not-tried": {
    level: "skip",
    meaning: "The login to the server was not tried: it needs a login of check, and a mailbox.",
    fix: "",
  },
  "way.unreachable": {
    level: "fail",
    meaning: "The server cannot be reached, or the connection breaks.",
    fix: NETWORK,
  },
  "way.certificate": {
    level: "fail",
    meaning: "The server's certificate is not trusted, or is for another name.",
    fix:
      "for your own authority or a firewall that decrypts TLS, set EXTRA_CA_CERTS_FILEPATH; otherwise " +
      "correct the name in SMARTHOST_URL or EXCHANGE_SMTP_URL",
  },
  "way.no-tls": {
    level: "fail",
    meaning: "The server does not offer STARTTLS. The relay sends nothing without TLS.",
    fix:
      "switch TLS on in the server, or set SMARTHOST_URL to smtps:// and the port with TLS at once",
  },
  "way.no-auth": {
    level: "fail",
    meaning: "The server does not offer a login that the relay can use.",
    fix:
      "correct SMARTHOST_URL or EXCHANGE_SMTP_URL: it is another server, or another port of it, that takes " +
      "logins",
  },
  "way.refused": {
    level: "fail",
    meaning: "The server does not talk to this machine.",
    fix: "let the server accept this machine's address",
  },
  "way.later": {
    level: "fail",
    meaning: "The server says that it cannot take mail now.",
    fix: "try again in a few minutes",
  },
  "way.password": {
    level: "fail",
    meaning: "The server refuses SMARTHOST_USERNAME and SMARTHOST_PASSWORD.",
    fix: "correct SMARTHOST_USERNAME and SMARTHOST_PASSWORD",
  },
  "way.permission": {
    level: "fail",
    meaning: "The app may not log in by SMTP as the mailbox.",
    fix:
      'assign the RBAC role "Application SMTP.SendAsApp", or SMTP.SendAsApp and FullAccess, see ' +
      "docs/ways_out.md; a new permission can take two hours to apply",
  },
  "way.switched-off": {
    level: "fail",
    meaning: "SMTP AUTH is switched off for the tenant or the mailbox, or a policy forbids it.",
    fix: "switch it on: Set-CASMailbox MAILBOX -SmtpClientAuthenticationDisabled $false",
  },
} as const satisfies Readonly<Record<string, Kind>>;
