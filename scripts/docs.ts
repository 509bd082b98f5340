// Generates the tables in docs/ from the code that they describe, so that they cannot disagree; and the schema
// of LOOKUP_FILE.
//
//   bun scripts/docs.ts            writes them
//   bun scripts/docs.ts --check    names the pages that are not up to date, exit 1
//
// A page marks the place of a table with two comments, `<!-- table: NAME -->` and
// `<!-- end of table -->`. Everything outside of them is written by hand.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { explanationText, TABLE_TROUBLE } from "../src/accounts/table_error.ts";
import { CODES } from "../src/check/codes.ts";
import { AADSTS } from "../src/entra/entra_errors.ts";
import { TOKEN_FAULTS, type TokenFaultCode } from "../src/entra/claims.ts";
import {
  AMBIGUOUS,
  BY_CODE,
  BY_STATUS,
  type GraphMeaning,
  INTERRUPTED,
  NO_WAY,
  OTHER,
  OTHER_4XX,
  STOPPING,
  UNREACHABLE,
  UNTRUSTED,
} from "../src/graph/graph_errors.ts";
import { NOT_SENT } from "../src/graph/not_sent.ts";
import { GAUGES } from "../src/observe/gauges.ts";
import { HISTOGRAMS } from "../src/observe/histograms.ts";
import { FIELDS } from "../src/observe/line_fields.ts";
import { COUNTERS, PREFIX } from "../src/observe/metrics.ts";
import { REASONS } from "../src/observe/reasons.ts";
import { PROCESS_METRICS } from "../src/relay/process_metrics.ts";
import {
  BY_SMTP_CODE,
  BY_STAGE,
  LACKING,
  SMTP_AMBIGUOUS,
  SMTP_NO_WAY,
  SMTP_UNREACHABLE,
  SMTP_UNTRUSTED,
  type SmtpMeaning,
  TEMPORARY,
} from "../src/smtp_backend/smtp_errors.ts";
import { SETTINGS } from "../src/settings/schema.ts";
import type { Setting } from "../src/settings/setting.ts";
import { REPLIES, type Reply, replyText } from "../src/smtp/reply.ts";
import { lookupSchema } from "./lookup_schema.ts";
import { PERFORMANCE_TABLES, performanceChart } from "./performance_tables.ts";

/** The pages with tables in them, from the top of the project. */
export const PAGES = [
  "docs/settings.md",
  "docs/replies.md",
  "docs/delivery.md",
  "docs/check.md",
  "docs/operations.md",
  "docs/monitoring.md",
  "docs/token_logins.md",
  "docs/performance.md",
] as const;

/** When each reply is given, and what its reader can do about it; "" where nothing is wrong. */
const REPLY_NOTES: Record<keyof typeof REPLIES, readonly [when: string, remedy: string]> = {
  quit: ["The answer to QUIT.", ""],
  ok: ["The answer to NOOP and RSET.", ""],
  senderOk: ["MAIL was accepted.", ""],
  recipientOk: [
    "RCPT was accepted. Exchange finds out later whether the address exists.",
    "",
  ],
  help: ["The answer to HELP.", ""],
  cannotVerify: ["The answer to VRFY: the relay does not know which mailboxes exist.", ""],
  startData: ["The client may send the message.", ""],
  readyForTls: ["The TLS handshake may begin.", ""],
  authenticated: ["Entra ID gave a token for this username and password.", ""],
  usernameChallenge: ["AUTH LOGIN asks for the username (`Username:` in base64).", ""],
  passwordChallenge: ["AUTH LOGIN asks for the password (`Password:` in base64).", ""],
  emptyChallenge: [
    "AUTH PLAIN, XOAUTH2 or OAUTHBEARER without an initial response: the relay asks for it.",
    "",
  ],
  authCancelled: ["The client sent `*` in the middle of AUTH.", ""],
  badBase64: [
    "The client's response in AUTH is not base64.",
    "Correct the program. In a session by hand, encode the username first.",
  ],
  malformedPlain: [
    "The response to AUTH PLAIN does not have two NUL characters.",
    "Encode with `printf '\\0USERNAME\\0PASSWORD' \\| base64 -w0`, or choose LOGIN in the device.",
  ],
  malformedXoauth2: [
    "The response to AUTH XOAUTH2 has another form; `^A` is an octet of value 1.",
    "Correct the program, or check that it got a token.",
  ],
  malformedOauthbearer: [
    "The response to AUTH OAUTHBEARER has another form (RFC 7628 §3.1).",
    "As above.",
  ],
  xoauth2Error: [
    "AUTH XOAUTH2 failed: the mechanism's own error (`status` 401 in base64). The 535 follows after the client's response.",
    "",
  ],
  oauthbearerError: ["The same for AUTH OAUTHBEARER (`status` `invalid_token`).", ""],
  authTooLong: [
    "A line of AUTH is longer than 12288 octets.",
    "No username, secret or token is that long: check what was pasted.",
  ],
  notUtf8: [
    "The username or password contains octets that are not UTF-8.",
    "Enter them again; a client secret has only ASCII characters.",
  ],
  alreadyAuthenticated: ["A second AUTH in one session.", "Correct the client program."],
  authInTransaction: ["AUTH after MAIL.", "Correct the client program."],
  tooManyFailedLogins: [
    "The client's address has as many failed logins as `AUTH_RATE_LIMIT` allows. The login is rejected without checking, and the connection is closed.",
    "Look in the log for `Login refused` from this address, and correct that device's password. The limit ends by itself: see [logins.md](logins.md).",
  ],
  mustStartTls: [
    "AUTH or mail before TLS, with `REQUIRE_TLS=true`.",
    'Switch on STARTTLS (it may be called "TLS", "TLS if available" or "explicit") in the client.',
  ],
  loginFailedBefore: [
    "Mail without a login, after a refused login in the same session.",
    "Correct the client's username or secret: the reply to its AUTH says what is wrong. The client keeps " +
    "the mail meanwhile. (Exim and sendmail continue after a refused login, and would return all mail " +
    "at a `530`.)",
  ],
  mustAuthenticate: [
    "Mail without a login.",
    "Configure a username and a password in the client. The relay accepts mail without them only from " +
    "a [trusted network](trusted_networks.md).",
  ],
  tlsActive: ["STARTTLS on a connection that already uses TLS.", "Correct the client program."],
  tlsNotOffered: [
    "STARTTLS, with `TLS_SOURCE=off`.",
    "Configure a certificate for the relay, or switch TLS off in the client if the network is safe.",
  ],
  helloFirst: ["AUTH or MAIL before EHLO or HELO.", "Correct the client program."],
  nestedMail: [
    "A second MAIL before the first message was finished.",
    "Correct the client program.",
  ],
  mailFirst: ["RCPT, DATA or BDAT without MAIL.", "See the reply to MAIL."],
  rcptFirst: [
    "DATA or BDAT, but no recipient was accepted.",
    "See the reply to each RCPT.",
  ],
  rcptAfterBdat: ["RCPT after the first BDAT.", "Correct the client program."],
  dataAfterBdat: ["DATA after BDAT.", "Correct the client program."],
  bdatFailed: ["BDAT after a refused BDAT.", "See the reply to the first one."],
  senderNotAllowed: [
    "MAIL FROM is not in `ALLOWED_SENDERS`. After a message, with the address at the end: the mailbox, From or Sender is not.",
    "Set the sender's address in the device, and From, to a listed address; or list it.",
  ],
  senderNotInEntry: [
    "MAIL FROM is not in the column `allowed_senders` of the login's entry; after a message as above.",
    "The same, or change the entry: see [lookup_table.md](lookup_table.md).",
  ],
  tooManyMessages: [
    "The account has sent as many messages as `MESSAGE_RATE_LIMIT` allows; at MAIL, or after the message.",
    "The client can try again by itself. See [logins.md](logins.md#messages-an-account).",
  ],
  tooManyRecipients: [
    "More recipients than `MAX_RECIPIENTS`. The ones before are accepted.",
    "Good clients send the rest in a second message. Exchange Online accepts 500 at most by default.",
  ],
  tooBig: [
    "The message is larger than `MAX_MESSAGE_SIZE`.",
    "Scan with a lower resolution, or in several parts.",
  ],
  queueMessages: [
    "The queue is full (`DELIVERY_MODE=queue`).",
    "See why its messages are not sent: `queue list`. Or raise `QUEUE_MAX_MESSAGES`.",
  ],
  queueOctets: [
    "The queue is full (`DELIVERY_MODE=queue`).",
    "See why its messages are not sent: `queue list`. Or raise `QUEUE_MAX_BYTES`.",
  ],
  queueShareOfMessages: [
    "The queue is nearly full, and most of it is this account's: what is left is for the others.",
    "See why its messages are not sent: `queue list --account`. Or raise `QUEUE_MAX_MESSAGES`.",
  ],
  queueShareOfOctets: [
    "The queue or its disk is nearly full, and most of it is this account's: what is left is for the others.",
    "See why its messages are not sent: `queue list --account`. Or raise `QUEUE_MAX_BYTES`.",
  ],
  queueDisk: [
    "The disk of the queue has less than 5 % or 64 MiB left.",
    "Make room on the disk.",
  ],
  outOfMemory: [
    "The messages in progress together use all of `MAX_MEMORY`; at MAIL, or after the message.",
    "The client can try again by itself. If it continues (the log has a line each minute), raise " +
    "`MAX_MEMORY` and the container's limit.",
  ],
  noArgument: ["An argument to a command that has none.", "Correct the client program."],
  needsArgument: ["AUTH or VRFY without an argument.", "Correct the client program."],
  bdatSyntax: ["BDAT without a number of octets.", "Correct the client program."],
  badCharacter: [
    "A command with control characters in it.",
    "Usually a client that uses TLS, or another protocol, where SMTP is expected.",
  ],
  lineTooLong: [
    "A command line over 512 octets (MAIL and RCPT: 4096).",
    "Correct the client program.",
  ],
  empty: ["An empty line.", "A mistake of the client program that does no harm."],
  unknown: ["A command that does not exist.", "A mistake of the client program that does no harm."],
  notImplemented: ["EXPN, TURN, ETRN, SEND, SOML or SAML.", "The relay does not support them."],
  tooManyErrors: [
    "`MAX_ERRORS` commands of this session were refused because of the client's mistakes.",
    "See the replies before it, and [what counts](limits.md#mistakes).",
  ],
  tooManyIdleCommands: [
    "`MAX_IDLE_COMMANDS` idle commands in a row before a login.",
    "Configure the monitor or load balancer to send QUIT and connect again.",
  ],
  notHttp: [
    "A browser or another HTTP client has connected. The connection is closed.",
    "Use the HTTP port (`HTTP_LISTEN`).",
  ],
};

const TRY_LATER = "The client can try again by itself. You need to do nothing unless it continues.";
const CHECK_MAILBOX = "Check that the sender's address (MAIL FROM, or the From field if that is " +
  "empty) is a mailbox with a licence, or a shared mailbox, in this tenant.";
const CHECK_MIME =
  "Look at the message in the [sandbox](sandbox.md) and correct the program that " +
  "made it. If the message is correct, please report it.";
const GRANT = "See [entra.md](entra.md#permission-to-send). A new permission can take two hours " +
  "to apply.";
const SEE_NEWS = "If it continues, see Microsoft's service health page.";

/** What to do about each answer of Graph. */
const GRAPH_REMEDIES: Readonly<Record<string, string>> = {
  ErrorMimeContentInvalid: CHECK_MIME,
  ErrorMimeContentInvalidBase64String: CHECK_MIME,
  ErrorContentConversionFailed: CHECK_MIME,
  ErrorInvalidRecipients: "Check the recipients in the device's address book.",
  ErrorInvalidSmtpAddress: "Check the recipients in the device's address book.",
  ErrorMessageSizeExceeded: "Send less, or raise the mailbox's limit in Exchange.",
  ErrorAccessDenied: GRANT,
  ErrorSendAsDenied:
    "Set the device's From address to the mailbox that it sends as, or grant that " +
    'mailbox "Send as" for the other address.',
  ErrorInvalidUser: CHECK_MAILBOX,
  ResourceNotFound: CHECK_MAILBOX,
  ErrorItemNotFound: CHECK_MAILBOX,
  Request_ResourceNotFound: CHECK_MAILBOX,
  MailboxNotEnabledForRESTAPI: CHECK_MAILBOX,
  ErrorAccountDisabled: "Enable the account, or send from another mailbox.",
  ErrorQuotaExceeded: "Empty the mailbox: each sent message is kept in its Sent Items.",
  ErrorSubmissionQuotaExceeded: "Wait, and send from several mailboxes.",
  NoPermissionsInAccessToken: GRANT,
  InvalidAuthenticationToken:
    "The relay has tried once more with a new token, unless it had already " +
    "requested one within the last minute. If it continues, check `AZURE_CLOUD` and the relay's clock.",
  ApplicationThrottled:
    "The relay has tried again until `DELIVERY_TIMEOUT`. If it is rare, you need " +
    "to do nothing. Otherwise send less at a time, or from several mailboxes.",
  ErrorServerBusy: TRY_LATER,
  CommandConcurrencyLimitReached: TRY_LATER,
  ErrorMailboxStoreUnavailable: TRY_LATER,
  ErrorMailboxMoveInProgress: TRY_LATER,
  ErrorInternalServerTransientError: TRY_LATER,
  ErrorTimeoutExpired: TRY_LATER,
  "400": CHECK_MIME,
  "401": "As InvalidAuthenticationToken.",
  "403": GRANT,
  "404":
    `For a missing mailbox, Graph usually has a code. Check \`GRAPH_ENDPOINT\`, and proxies in ` +
    `between. If they are correct: ${CHECK_MAILBOX.replace(/^C/, "c")}`,
  "408": "Check whether the message has arrived before you send it again.",
  "409": "Try again.",
  "413": "Leave `GRAPH_REQUEST_LIMIT` at its default, so that larger messages are sent as a draft.",
  "423": "Try again.",
  "425": "Try again.",
  "429": "As ApplicationThrottled.",
};

const NEW_SECRET = "Create a new client secret; see [entra.md](entra.md#the-client-secret).";
const OWN_CREDENTIAL =
  "Of a [credential of the relay's own](client_credentials.md), and then `454 4.7.0`: " +
  "the log says what is to be registered with the app.";
const CHECK_IDS = "Compare the username with the app registration's overview page; " +
  "`smtp-oauth-relay username` makes it from the two IDs.";
const CHECK_CLOUD = "Set `AZURE_CLOUD` to the cloud of the tenant.";
const ENABLE_APP = "Enable the app in the Entra admin center, under Enterprise applications.";
const CHANGE_POLICY = "Exclude the app's service principal from the policy, or add the relay's " +
  "address to a trusted location.";

/** What to do about each AADSTS number. */
const ENTRA_REMEDIES: Readonly<Record<number, string>> = {
  7000215: NEW_SECRET,
  7000222: NEW_SECRET,
  700016: CHECK_IDS,
  700011: CHECK_IDS,
  70001: ENABLE_APP,
  7000112: ENABLE_APP,
  7000218: "Enter the client secret as the password.",
  90002: CHECK_IDS,
  900023: CHECK_IDS,
  70011: CHECK_CLOUD,
  500011: CHECK_CLOUD,
  700021: OWN_CREDENTIAL,
  700023: OWN_CREDENTIAL,
  700024: OWN_CREDENTIAL,
  700027: OWN_CREDENTIAL,
  70021: OWN_CREDENTIAL,
  700211: OWN_CREDENTIAL,
  700212: OWN_CREDENTIAL,
  700213: OWN_CREDENTIAL,
  7002137: OWN_CREDENTIAL,
  7002138: OWN_CREDENTIAL,
  53003: CHANGE_POLICY,
  530032: CHANGE_POLICY,
  50033: TRY_LATER,
  50196: TRY_LATER,
  90006: TRY_LATER,
  90012: TRY_LATER,
  90024: TRY_LATER,
  90033: TRY_LATER,
  90055: TRY_LATER,
  90090: TRY_LATER,
};

const NEW_TOKEN = "Let the client get a new token.";

/** What to do about each fault of a token that a client brings. */
const TOKEN_REMEDIES: Readonly<Record<TokenFaultCode, string>> = {
  TOKEN_MALFORMED:
    "Configure an access token of Entra ID in the client, not a refresh token, an ID " +
    "token or a secret. The relay cannot read tokens of personal accounts.",
  TOKEN_AUDIENCE: "Request the token with Graph's scope; see [which token](#which-token). If the " +
    "audience is Graph in another cloud, set `AZURE_CLOUD`.",
  TOKEN_EXPIRED: NEW_TOKEN,
  TOKEN_NOT_YET_VALID: "Correct the clock of this machine, which is slow.",
  TOKEN_SCOPE: "Grant the app the delegated permission Mail.Send, and request it.",
  TOKEN_MISMATCH: "Correct the username or the entry, or use an e-mail address as the username.",
  TOKEN_REFUSED: `${NEW_TOKEN} If that one is refused too, see the first refusal in the log.`,
};

const TABLES: Readonly<Record<string, () => string>> = {
  ...PERFORMANCE_TABLES,
  settings: settingsTable,
  "SMTP replies": repliesTable,
  "what check finds": checkTable,
  counters: () =>
    table(
      ["Name", "Labels", "What is counted"],
      Object.entries(COUNTERS).map(([name, { labels, help }]) => [
        code(`${PREFIX}${name}_total`),
        labels.map(code).join(", "),
        help,
      ]),
    ),
  gauges: () =>
    table(
      ["Name", "Labels", "What it says"],
      [
        ...Object.entries(GAUGES).map(([name, { labels, help }]) => [
          code(PREFIX + name),
          labels.map(code).join(", "),
          help,
        ]),
        ...Object.entries(PROCESS_METRICS).map(([name, help]) => [code(name), "", help]),
      ],
    ),
  histograms: () =>
    table(
      ["Name", "Labels", "What is measured"],
      Object.entries(HISTOGRAMS).map(([name, { labels, help }]) => [
        code(PREFIX + name),
        labels.map(code).join(", "),
        help,
      ]),
    ),
  reasons: () =>
    table(
      ["`reason`", "Why it failed"],
      Object.entries(REASONS).map(([name, meaning]) => [code(name), meaning]),
    ),
  "fields of the log": () =>
    table(
      ["Field", "Content"],
      Object.entries(FIELDS).map(([name, content]) => [code(name), content]),
    ),
  "Entra ID": entraTable,
  Tokens: () =>
    table(
      ["Code", "Meaning", "What to do"],
      (Object.entries(TOKEN_FAULTS) as [TokenFaultCode, string][]).map(([name, meaning]) => [
        code(name),
        meaning,
        TOKEN_REMEDIES[name],
      ]),
    ),
  "Lookup table": () =>
    table(
      ["Code", "Meaning, and what to do"],
      Object.entries(TABLE_TROUBLE).map(([name, words]) => [code(name), explanationText(words)]),
    ),
  "Graph by code": () =>
    graphTable(
      "`error.code`",
      Object.entries(BY_CODE).map(([code, meaning]) => [code, meaning, remedyFor(code)] as const),
    ),
  "Graph by status": () =>
    graphTable("HTTP status", [
      ...Object.entries(BY_STATUS).map(([status, meaning]) =>
        [`HTTP ${status}`, meaning, remedyFor(status)] as const
      ),
      ["HTTP 4xx", OTHER_4XX, "Check proxies in between; if there are none, please report it."],
      [
        "HTTP 5xx",
        OTHER,
        `Check whether the message has arrived before you send it again. ${SEE_NEWS}`,
      ],
    ]),
  "Graph's answers by reply": graphByReplyTable,
  "SMTP servers by code": () => smtpTable("The server's codes", Object.entries(BY_SMTP_CODE)),
  "SMTP servers by command": () =>
    smtpTable("What the server refuses", [
      ["greeting, EHLO, STARTTLS", BY_STAGE.server],
      ["AUTH", BY_STAGE.AUTH],
      ["MAIL, with 5yz", BY_STAGE.MAIL],
      ["RCPT, with 5yz", BY_STAGE.RCPT],
      ["the message, with 5yz", BY_STAGE.content],
      ["anything, with 4yz", TEMPORARY],
    ]),
  "SMTP servers without an answer": () =>
    smtpTable("Code", [
      ["ECONNREFUSED, CLOSED and the like", SMTP_UNREACHABLE],
      ["CERT_HAS_EXPIRED and the like", SMTP_UNTRUSTED],
      ["PROXY_403 and the like", SMTP_NO_WAY],
      ["ETIMEDOUT, CLOSED and the like, after the message", SMTP_AMBIGUOUS],
      ...Object.values(LACKING).map((row) => [row.name, row] as const),
    ]),
  "Graph without an answer": () =>
    graphTable("What happened", [
      [
        "ECONNREFUSED",
        UNREACHABLE,
        "Check name resolution, the firewall and the route to `GRAPH_ENDPOINT`.",
      ],
      [
        "UNABLE_TO_VERIFY_LEAF_SIGNATURE and the like",
        UNTRUSTED,
        "If a proxy decrypts TLS, set `EXTRA_CA_CERTS_FILEPATH` (see " +
        "[outbound proxy](outbound_proxy.md)); otherwise check the relay's clock and `GRAPH_ENDPOINT`.",
      ],
      [
        "PROXY_407, PROXY_403 and the like",
        NO_WAY,
        "407: correct the user name and password in `HTTPS_PROXY`. 403: allow the relay's hosts in the " +
        "proxy. See [outbound proxy](outbound_proxy.md).",
      ],
      [
        "ETIMEDOUT",
        AMBIGUOUS,
        "Check whether the message has arrived before you send it again. Raise `GRAPH_HTTP_TIMEOUT` on slow lines.",
      ],
      [
        "ETIMEDOUT, before the request that sends",
        INTERRUPTED,
        "The client can try again by itself. Raise `GRAPH_HTTP_TIMEOUT` on slow lines: each part " +
        "of a large message must be sent in that time.",
      ],
      ["ABORTED", STOPPING, "The client can try again by itself when the relay runs again."],
    ]),
};

/** The rows of what the next SMTP server says, or does not say. */
function smtpTable(
  title: string,
  rows: readonly (readonly [what: string, meaning: SmtpMeaning])[],
): string {
  return table(
    [title, "Reply", "Meaning", "What to do"],
    rows.map(([what, { code: number, enhanced, text, remedy }]) => [
      code(what),
      code(`${number} ${enhanced ?? `${String(number)[0]}.x.x`}`),
      text,
      remedy,
    ]),
  );
}

const LEVELS = { ok: "ok", skip: "skip", warn: "warn", fail: "FAIL" } as const;

/** What `check` can find, in its own order: by subject. */
function checkTable(): string {
  return table(
    ["Code", "Level", "Meaning", "What to do"],
    Object.entries(CODES).map(([name, { level, meaning, fix }]) => [
      code(name),
      LEVELS[level],
      meaning,
      fix === "" ? "" : `${fix[0]!.toUpperCase()}${fix.slice(1)}.`,
    ]),
  );
}

function settingsTable(): string {
  const rows = settings();
  return table(
    ["Variable", "Default", "Allowed", "What it does"],
    rows.map(([name, { parser, standard, standardShown, help, secret }]) => [
      code(name) + (secret ? " (secret)" : ""),
      standardShown ?? (standard === undefined ? "none" : code(standard)),
      parser.allowed,
      help,
    ]),
  );
}

function settings(): [string, Setting<unknown>][] {
  return Object.entries(SETTINGS);
}

function repliesTable(): string {
  return table(
    ["Reply", "When", "What to do"],
    (Object.entries(REPLIES) as [keyof typeof REPLIES, Reply][]).map(([name, reply]) => {
      const [when, remedy] = REPLY_NOTES[name];
      const words = [reply.code, reply.enhanced, replyText(reply)].filter((word) =>
        word !== undefined
      );
      return [code(words.join(" ").trim()), when, remedy];
    }),
  );
}

function entraTable(): string {
  return table(
    ["Code", "Reply", "Meaning", "What to do"],
    Object.entries(AADSTS).map(([number, { temporary, text }]) => [
      code(`AADSTS${number}`),
      code(temporary ? "454 4.7.0" : "535 5.7.8"),
      text,
      known(ENTRA_REMEDIES[Number(number)], `AADSTS${number}`),
    ]),
  );
}

function graphTable(
  first: string,
  rows: readonly (readonly [name: string, meaning: GraphMeaning, remedy: string])[],
): string {
  return table(
    [first, "Reply", "Meaning", "What to do"],
    rows.map(([name, meaning, remedy]) => [
      code(name),
      code(`${meaning.code} ${meaning.enhanced}`),
      meaning.text,
      remedy,
    ]),
  );
}

/** Everything after which a message was not sent, or may not have been, in the order of the replies. */
function graphByReplyTable(): string {
  const answers = new Map<string, string[]>();
  const add = (name: string, { code: replyCode, enhanced }: GraphMeaning) => {
    const key = `${replyCode} ${enhanced}`;
    answers.set(key, [...answers.get(key) ?? [], name]);
  };
  for (const [name, meaning] of Object.entries(BY_CODE)) add(code(name), meaning);
  for (const [status, meaning] of Object.entries(BY_STATUS)) add(`status ${status}`, meaning);
  add("any other status 4xx", OTHER_4XX);
  add("any other status", OTHER);
  add("no connection", UNREACHABLE);
  add("a certificate that is not trusted", UNTRUSTED);
  add("a proxy that refuses", NO_WAY);
  add("no clear answer to the request that sends", AMBIGUOUS);
  add("no clear answer to a request before that", INTERRUPTED);
  for (const [name, meaning] of Object.entries(NOT_SENT)) add(code(name), meaning);
  return table(
    ["Reply", "Graph's answer, or the relay's own code"],
    [...answers].sort(([a], [b]) => a < b ? -1 : 1).map(([reply, names]) => [
      code(reply),
      names.join(", "),
    ]),
  );
}

function remedyFor(code: string): string {
  return known(GRAPH_REMEDIES[code], code);
}

/** A row of the code without a remedy stops the generator. */
function known(remedy: string | undefined, row: string): string {
  if (remedy === undefined) throw new Error(`scripts/docs.ts has no remedy for ${row}`);
  return remedy;
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => "---"), ...rows];
  // A bar inside a cell would end it; one that is escaped already stays as it is.
  const cell = (text: string) => text.replace(/(?<!\\)\|/g, "\\|");
  return lines.map((cells) => `| ${cells.map(cell).join(" | ")} |`).join("\n");
}

function code(text: string): string {
  return "`" + text + "`";
}

const BLOCK = /^<!-- table: (.+) -->\n[\s\S]*?^<!-- end of table -->$/gm;

/**
 * The page with its tables as the code has them now.
 *
 * @throws Error where the page names a table that does not exist
 */
export function withTables(page: string): string {
  return page.replace(BLOCK, (_, name: string) => {
    const make = TABLES[name];
    if (make === undefined) throw new Error(`there is no table "${name}"`);
    return [
      `<!-- table: ${name} -->`,
      "<!-- made by scripts/docs.ts from the source: change it there -->",
      "<!-- deno-fmt-ignore-start -->",
      "",
      make(),
      "",
      "<!-- deno-fmt-ignore-end -->",
      "<!-- end of table -->",
    ].join("\n");
  });
}

/** Files that are generated as a whole. */
const GENERATED: Readonly<Record<string, () => string>> = {
  "docs/lookup.schema.json": lookupSchema,
  "docs/performance.svg": performanceChart,
};

function main(check: boolean): number {
  let stale = 0;
  for (const page of [...PAGES, ...Object.keys(GENERATED)]) {
    const path = fileURLToPath(new URL(`../${page}`, import.meta.url));
    const before = existsSync(path) ? readFileSync(path, "utf8") : "";
    const after = GENERATED[page]?.() ?? withTables(before);
    if (before === after) continue;
    if (check) {
      stale++;
      process.stderr.write(`${page} is not up to date: run "bun scripts/docs.ts"\n`);
    } else {
      writeFileSync(path, after);
      process.stdout.write(`${page} written\n`);
    }
  }
  return stale === 0 ? 0 : 1;
}

if (import.meta.main) process.exitCode = main(process.argv.includes("--check"));
