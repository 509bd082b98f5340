// The fields of the lines about clients and messages. Each has one meaning in all lines, so that a search for
// `username=` or `id=` finds everything. docs/operations.md has this table.

/** By name, in the order of a line; with the unit of each figure. */
export const FIELDS = {
  id: "The message's id: the one in its `250` and in its Received field.",
  message_id:
    "The message's own Message-ID, or the one that the relay has given it. `(malformed)` if no mail system could search for it.",
  connection: "The same in all lines of a connection.",
  client: "The client's IP address.",
  proxy: "The address of the proxy that has named this client (`PROXY_PROTOCOL_NETWORKS`).",
  username:
    "The username of the login, the same in lines of logins, messages and queued messages. If it is not valid, only its length, such as `(40 characters, not shown)`: it may be a secret in the wrong field.",
  mechanism: "How the client logged in, such as `PLAIN`.",
  trusted: "`true`: a client of `TRUSTED_NETWORKS`, which has not logged in itself.",
  tenant: "The directory (tenant) ID.",
  app: "The application (client) ID.",
  entry: "The ID of the entry in the lookup.",
  proved: "`false`: tenant and app are only claimed, by a token that no service has verified yet.",
  sender: "The address that the message is sent from.",
  mail_from: "The address that the client gave in MAIL, if that is another one.",
  recipients: "The number of recipients in the envelope.",
  report: "`true`: a non-delivery report of the relay's own.",
  bytes: "The size of the message, in bytes.",
  age_s: "Of a queued message: seconds since it was received.",
  ms:
    "Milliseconds: of a login, until its reply, with the request for the token; of a message, from its last octet to its reply; of a connection, from its begin to its end.",
  ms_received: "Milliseconds from the first octet of the message's content to the last.",
  ms_prepared: "Milliseconds for making the form that the mail service gets.",
  ms_waited: "Milliseconds of waiting for the mailbox's turn (`GRAPH_CONCURRENCY`).",
  ms_token: "Milliseconds for getting a token of Entra ID. Missing if a token was there.",
  ms_graph: "Milliseconds of all requests to Graph for this message.",
  ms_smtp: "Milliseconds of all conversations with the next SMTP server for this message.",
  ms_paused: "Milliseconds between requests to Graph, before a repeat.",
  ms_stored: "Milliseconds for writing the message into the queue's store.",
  attempts:
    "How often a request that may send the message was made. Missing if it was not, as for a message that is only queued yet.",
  backend:
    "The back end that has sent the message, or has not: `exchange`, `smarthost`, `hve` or `acs`. Missing for Graph.",
  request:
    "Graph's id of the request, for Microsoft's support; or the next SMTP server's own id of the message, if it gave one.",
  tls_version: "The version of TLS, such as `TLSv1.3`. Missing without TLS.",
  tls_cipher: "The cipher suite of TLS, such as `TLS_AES_256_GCM_SHA384`.",
  tls: "Whether a connection was encrypted at its end.",
  messages: "The number of messages of a connection that got their reply.",
  reason: "Why a connection has ended.",
  code:
    "The error code of Graph, Entra ID, the lookup table, Key Vault, the network or a proxy: one word of at most 64 characters, or the HTTP status (`HTTP 403`), or the next SMTP server's reply (`SMTP 535 5.7.3`).",
  detail: "What was said about it, at most 500 characters.",
  reply: "The code of the SMTP reply.",
  command: "The command that was refused.",
  argument: "What the client gave with it, at most 256 characters.",
  setting: "The setting whose limit was reached.",
  first: "The id of the message that was sent before, for one that is not sent again.",
  next: "When a queued message is tried again.",
  failed_times: "How often this has failed since `failed_since`, with this line.",
  failed_since: "Since when the same client has failed in the same way.",
  like: "The text of lines that were left out.",
  lines: "The number of lines that were left out.",
  to: "The recipients' addresses, with `LOG_RECIPIENTS=true`: as many as fit in 8,000 bytes.",
  to_omitted: "The number of recipients that are not in `to`.",
  error: "A fault of the program or of this machine.",
} as const;

export type FieldName = keyof typeof FIELDS;

/** The fields of a line. */
export type LineFields = Readonly<Partial<Record<FieldName, unknown>>>;
