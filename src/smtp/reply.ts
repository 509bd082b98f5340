// SMTP replies as values (RFC 5321 §4.2) with enhanced status codes (RFC 2034), and how they are
// formatted.

/** `enhanced` is left out only where RFC 2034 §3 has no code (greeting, EHLO, 3yz). */
export interface Reply {
  readonly code: number;
  /** Enhanced status code (RFC 3463) whose class is the first digit of `code`. */
  readonly enhanced?: string;
  /** One line, or several for a multiline reply. */
  readonly text: string | readonly string[];
}

export function reply(code: number, enhanced: string, text: string): Reply {
  return { code, enhanced, text };
}

/** The text of a reply on one line. */
export function replyText({ text }: Pick<Reply, "text">): string {
  return typeof text === "string" ? text : text.join(" ");
}

/** RFC 5321 §4.5.3.1.5: a reply line is at most 512 octets, its CRLF counted. */
const MAX_REPLY_LINE = 512;

/**
 * The reply's octets as an ASCII string. Texts may quote a client or a cloud service: characters that
 * could end the line or are not printable ASCII become `?`, and lines that are too long are cut.
 */
export function formatReply({ code, enhanced, text }: Reply): string {
  const lines = typeof text === "string" ? [text] : text;
  const prefix = enhanced === undefined ? "" : enhanced + " ";
  let out = "";
  for (let i = 0; i < lines.length; i++) {
    const separator = i === lines.length - 1 ? " " : "-";
    const line = `${code}${separator}${prefix}${printable(lines[i]!)}`;
    out += line.slice(0, MAX_REPLY_LINE - 2) + "\r\n";
  }
  return out;
}

/** Replaces all but printable ASCII with `?`, and runs of white space with one space. */
export function printable(text: string): string {
  // Runs for each reply, and nearly every one needs no change.
  if (!/[^\x20-\x7e]/.test(text)) return text;
  return text.replace(/\s+/g, " ").replace(/[^\x20-\x7e]/g, "?");
}

/** The replies with a fixed text, in the order of a session. */
export const REPLIES = {
  quit: reply(221, "2.0.0", "Bye"),
  ok: reply(250, "2.0.0", "OK"),
  senderOk: reply(250, "2.1.0", "Sender OK"),
  recipientOk: reply(250, "2.1.5", "Recipient OK"),
  help: reply(214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT"),
  cannotVerify: reply(252, "2.5.0", "Cannot verify; send some mail and see"),
  startData: { code: 354, text: "End data with <CR><LF>.<CR><LF>" },
  readyForTls: reply(220, "2.0.0", "Ready to start TLS"),

  authenticated: reply(235, "2.7.0", "Authentication successful"),
  usernameChallenge: { code: 334, text: "VXNlcm5hbWU6" },
  passwordChallenge: { code: 334, text: "UGFzc3dvcmQ6" },
  emptyChallenge: { code: 334, text: "" },
  authCancelled: reply(501, "5.7.0", "Authentication cancelled"),
  badBase64: reply(501, "5.5.2", "Not valid base64"),
  malformedPlain: reply(501, "5.5.2", "PLAIN needs authorization-id NUL username NUL password"),
  malformedXoauth2: reply(501, "5.5.2", "XOAUTH2 needs user=NAME ^A auth=Bearer TOKEN ^A ^A"),
  malformedOauthbearer: reply(
    501,
    "5.5.2",
    "OAUTHBEARER needs n,a=NAME, ^A auth=Bearer TOKEN ^A ^A",
  ),
  // {"status":"401","schemes":"bearer"}, and {"status":"invalid_token"} (RFC 7628 §3.2.2).
  xoauth2Error: { code: 334, text: "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=" },
  oauthbearerError: { code: 334, text: "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=" },
  authTooLong: reply(500, "5.5.6", "Authentication exchange line is too long"),
  notUtf8: reply(535, "5.7.8", "Username and password must be UTF-8"),
  alreadyAuthenticated: reply(503, "5.5.1", "Already authenticated"),
  authInTransaction: reply(503, "5.5.1", "AUTH is not allowed during a mail transaction"),
  tooManyFailedLogins: reply(421, "4.7.0", "Too many failed logins from this address; try later"),
  mustStartTls: reply(530, "5.7.0", "Must issue a STARTTLS command first"),
  mustAuthenticate: reply(530, "5.7.0", "Authentication required"),
  // Exim and sendmail send MAIL after a failed login all the same, and would bounce the mail at a 5yz.
  loginFailedBefore: reply(454, "4.7.0", "The login before has failed; log in first"),

  tlsActive: reply(503, "5.5.1", "TLS is already active"),
  tlsNotOffered: reply(502, "5.5.1", "STARTTLS is not offered here"),

  helloFirst: reply(503, "5.5.1", "Send EHLO first"),
  nestedMail: reply(503, "5.5.1", "A mail transaction is already open; send RSET first"),
  mailFirst: reply(503, "5.5.1", "Send MAIL first"),
  rcptFirst: reply(503, "5.5.1", "Send RCPT first; no recipient has been accepted"),
  rcptAfterBdat: reply(503, "5.5.1", "RCPT is not allowed after BDAT"),
  dataAfterBdat: reply(503, "5.5.1", "DATA cannot follow BDAT in one transaction"),
  bdatFailed: reply(503, "5.5.1", "An earlier BDAT of this transaction failed; send RSET"),
  senderNotAllowed: reply(550, "5.7.1", "Sender not allowed: it is not in ALLOWED_SENDERS"),
  senderNotInEntry: reply(
    550,
    "5.7.1",
    "Sender not allowed: it is not in allowed_senders of this account in the lookup",
  ),
  tooManyMessages: reply(451, "4.7.0", "Too many messages from this account; try again later"),
  tooManyRecipients: reply(452, "4.5.3", "Too many recipients"),
  tooBig: reply(552, "5.3.4", "Message exceeds the maximum size"),
  queueMessages: reply(
    452,
    "4.3.1",
    "The queue holds QUEUE_MAX_MESSAGES messages; try again later",
  ),
  queueOctets: reply(452, "4.3.1", "The queue holds QUEUE_MAX_BYTES; try again later"),
  queueShareOfMessages: reply(
    452,
    "4.3.1",
    "The account has its share of QUEUE_MAX_MESSAGES; try again later",
  ),
  queueShareOfOctets: reply(
    452,
    "4.3.1",
    "The account has its share of QUEUE_MAX_BYTES; try again later",
  ),
  queueDisk: reply(452, "4.3.1", "The queue's disk is nearly full; try again later"),
  outOfMemory: reply(452, "4.3.1", "No memory for this message now; try again later"),

  noArgument: reply(501, "5.5.4", "This command takes no argument"),
  needsArgument: reply(501, "5.5.4", "This command needs an argument"),
  bdatSyntax: reply(501, "5.5.4", "Syntax: BDAT octets [LAST]"),
  badCharacter: reply(500, "5.5.2", "Control characters are not allowed in a command"),
  lineTooLong: reply(500, "5.5.2", "Command line is too long"),
  empty: reply(500, "5.5.2", "Empty command line"),
  unknown: reply(500, "5.5.1", "Command not recognized"),
  notImplemented: reply(502, "5.5.1", "Command not implemented"),
  tooManyErrors: reply(421, "4.7.0", "Too many errors in this session"),
  tooManyIdleCommands: reply(421, "4.7.0", "Too many idle commands"),
  notHttp: reply(554, "5.5.1", "This is an SMTP server, not an HTTP server"),
} as const satisfies Record<string, Reply>;
