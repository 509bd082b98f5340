// Why a login or a message failed, as one of a few words: a metric's label must not have a value for each
// code that a service can think of. The code itself is in the log.

/** Each word, and what it stands for. */
export const REASONS = {
  secret_expired: "the client secret has expired",
  secret_wrong: "the client secret, or the device's own password, is wrong or missing",
  app: "Entra ID does not know the app, or it is disabled",
  tenant: "Entra ID does not know the tenant",
  conditional_access: "a Conditional Access policy blocks the app",
  own_credential: "the relay's own credential for Entra ID is unset, ended or refused",
  login: "any other refusal by Entra ID, or of the token or the login by the mail service",
  token: "the client's own token (XOAUTH2, OAUTHBEARER) cannot be used",
  malformed: "the username or the password has no valid form",
  entry: "the lookup has no entry that allows it",
  lookup: "the lookup table does not answer",
  not_allowed: "the relay's own lists of tenants and senders do not allow it",
  permission: "the app may not send as this mailbox",
  sender: "the sender has no mailbox, or names none",
  recipient: "a recipient is not valid",
  content: "the message is not in order",
  size: "the message is too large",
  limit: "a limit of the relay",
  quota: "a mailbox is full, or has sent as much as it may in a day",
  throttled: "a service asks to send more slowly",
  timeout: "it took too long",
  network: "there was no connection, or it broke",
  service: "a service has a fault",
  store: "the queue's store fails",
  unreadable: "the queue cannot open the message",
  ambiguous: "it is being found out whether it was sent",
  stopping: "the relay stops, or another relay has the message",
  fault: "a fault of the relay",
  other: "anything else",
} as const;

export type Reason = keyof typeof REASONS;

/** Codes of the relay, Graph and Entra ID. */
const CODES = {
  secret_expired: ["AADSTS7000222"],
  secret_wrong: ["AADSTS7000215", "AADSTS7000218", "WRONG_PASSWORD"],
  app: ["AADSTS700016", "AADSTS700011", "AADSTS70001", "AADSTS7000112"],
  tenant: ["AADSTS90002", "AADSTS900023"],
  conditional_access: ["AADSTS53003", "AADSTS530032"],
  own_credential: [
    ...["CREDENTIAL_UNSET", "TOKEN_FILE", "IDENTITY_ANSWER", "AADSTS700021", "AADSTS700023"],
    ...["AADSTS700024", "AADSTS700027", "AADSTS70021", "AADSTS700211", "AADSTS700212"],
    ...["AADSTS700213", "AADSTS7002137", "AADSTS7002138"],
  ],
  login: [
    ...[
      "SMTP_NO_AUTH",
      "SMTP 530",
      "InvalidAuthenticationToken",
      "HTTP 401",
      "no_token",
      "msal",
    ],
  ],
  entry: [
    ...["NO_ENTRY", "LOOKUP_ENTRY", "NO_TABLE", "ENTRY_DISABLED", "ENTRY_MALFORMED"],
    ...["NO_PASSWORD_HASH", "NO_CREDENTIAL", "BACKEND_UNSET"],
  ],
  lookup: [
    ...["TableNotFound", "TableBeingDeleted", "AuthenticationFailed", "AuthorizationFailure"],
    ...["AuthorizationPermissionMismatch", "InsufficientAccountPermissions"],
    ...["AuthorizationResourceTypeMismatch", "KeyBasedAuthenticationNotPermitted"],
    ...["InvalidAuthenticationInfo", "NoAuthenticationInformation", "ServerBusy"],
    ...["OperationTimedOut", "TABLE_CROWDED"],
  ],
  not_allowed: ["SENDER_NOT_ALLOWED", "TENANT_NOT_ALLOWED", "TRUSTED_UNBOUND"],
  permission: [
    ...["SMTP 535 5.7.139", "SMTP 535 5.7.3"],
    ...["ErrorAccessDenied", "ErrorSendAsDenied", "NoPermissionsInAccessToken", "HTTP 403"],
  ],
  sender: [
    ...["ErrorInvalidUser", "ResourceNotFound", "ErrorItemNotFound", "HTTP 404"],
    ...["Request_ResourceNotFound", "MailboxNotEnabledForRESTAPI", "ErrorAccountDisabled"],
    ...["NO_SENDER", "SEVERAL_FROM", "DOUBTFUL_SENDER", "BAD_FROM_EMAIL"],
  ],
  recipient: [
    "SMTP_RECIPIENTS",
    "PARTLY_SENT",
    "ErrorInvalidRecipients",
    "ErrorInvalidSmtpAddress",
    "DOUBTFUL_RECIPIENT",
  ],
  content: [
    ...["SMTP_CONTENT", "SMTP_NO_UTF8"],
    ...["ErrorMimeContentInvalid", "ErrorMimeContentInvalidBase64String", "HTTP 400"],
    ...["ErrorContentConversionFailed", "BROKEN_HEADER", "CR_ONLY"],
  ],
  size: [
    ...[
      "SMTP_SIZE",
      "ErrorMessageSizeExceeded",
      "HTTP 413",
      "GRAPH_REQUEST_LIMIT",
      "MAIL_READWRITE",
    ],
    ...["UPLOAD_SESSION", "LARGE_SIGNED", "LARGE_ENCRYPTED", "LARGE_TNEF", "LARGE_BODY"],
  ],
  limit: [
    ...["MESSAGE_RATE_LIMIT", "OVER_SHARE", "HEADER_TOO_LARGE", "MIME_TOO_DEEP"],
    ...["MIME_TOO_MANY_PARTS", "LOGINS_CROWDED"],
  ],
  quota: ["ErrorQuotaExceeded", "ErrorSubmissionQuotaExceeded"],
  throttled: [
    ...["ApplicationThrottled", "ErrorServerBusy", "CommandConcurrencyLimitReached"],
    ...["HTTP 429", "PACING_TIMEOUT", "AADSTS50196", "AADSTS90055"],
  ],
  timeout: ["DELIVERY_TIMEOUT", "QUEUE_MAX_AGE", "ErrorTimeoutExpired", "HTTP 408"],
  service: [
    ...["ErrorMailboxStoreUnavailable", "ErrorMailboxMoveInProgress", "HTTP 409", "HTTP 423"],
    ...["HTTP 425", "ErrorInternalServerTransientError", "temporarily_unavailable"],
    ...["server_error", "DRAFT_WITHOUT_ID", "DRAFT_GONE", "UPLOAD_URL", "UPLOAD_REFUSED"],
    ...["UPLOAD_ANSWER", "UPLOAD_RANGE", "UPLOAD_ENDED", "AADSTS50033", "AADSTS90006"],
    ...["AADSTS90012", "AADSTS90024", "AADSTS90033", "AADSTS90090"],
  ],
  store: ["NOT_RECORDED", "ORPHAN"],
  unreadable: ["QUEUE_KEY", "TAMPERED", "QUEUE_VERSION"],
  ambiguous: ["AMBIGUOUS"],
  stopping: ["STOPPING", "NOT_OWNED", "ABORTED"],
  fault: ["FAULT", "POISON"],
} satisfies Partial<Record<Reason, readonly string[]>>;

/** By code; made for the first failure. */
let reasons: ReadonlyMap<string, Reason> | undefined;

function listedReason(code: string): Reason | undefined {
  reasons ??= new Map(
    Object.entries(CODES).flatMap(([reason, codes]) =>
      codes.map((code) => [code, reason as Reason])
    ),
  );
  return reasons.get(code);
}

/** For codes that are not in the table. */
const BY_FORM: readonly (readonly [RegExp, Reason])[] = [
  [/^SMTP 53\d/, "login"],
  [/^SMTP (?:432|4\d\d 4\.3\.2)/, "throttled"],
  [/^SMTP (?:552|\d+ 5\.(?:2\.3|2\.270|3\.4)$)/, "size"],
  [/^SMTP \d+ [45]\.2\.[02]$/, "quota"],
  [/^SMTP \d+ [45]\.7\./, "permission"],
  [/^SMTP \d+ 5\.1\.[78]$/, "sender"],
  [/^SMTP \d+ 5\.1\./, "recipient"],
  [/^SMTP 5/, "content"],
  [/^SMTP /, "service"],
  [/^HTTP 5/, "service"],
  [/^(?:AADSTS|invalid_|unauthorized_)/, "login"],
  [/^IDENTITY_/, "own_credential"],
  [/^TOKEN_/, "token"],
  [/^SQLITE_|^E(?:ROFS|ACCES|IO|NOSPC|DQUOT|NOENT|PERM|MFILE|NFILE)$/, "store"],
  // Of the network, of a proxy, and OpenSSL's on a certificate.
  [
    /^(?:E[A-Z]{3,}|SMTP_NO_STARTTLS$|CLOSED$|MALFORMED$|TOOLONG$|INJECTION$|UNEXPECTED$|BUSY$|STOPPED$|PROXY_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|ERR_|INVALID_)/,
    "network",
  ],
];

/** @param code of the service, the network or the relay */
export function reasonOf(code: string): Reason {
  return listedReason(code) ?? BY_FORM.find(([form]) => form.test(code))?.[1] ?? "other";
}
