// Every setting of the relay: the one source of names, defaults, what is allowed, and the
// reference page in docs.

import { hostname } from "node:os";
import { Secret } from "../secret.ts";
import { standardMemory } from "./memory.ts";
import {
  authorityFiles,
  boolean,
  duration,
  durationOrOff,
  graphUrl,
  integer,
  listenAddresses,
  listenAddressOrOff,
  mechanisms,
  networks,
  octetRateOrOff,
  oneOf,
  rateOrOff,
  seconds,
  senderList,
  serviceOrigin,
  serviceUrl,
  size,
  tableKey,
  tableUrl,
  tenants,
  text,
  trustedNetworks,
} from "./parsers.ts";
import { noProxy, proxyUrl } from "./proxy.ts";
import type { Parser, Setting } from "./setting.ts";
import { storageAccess } from "./storage_access.ts";

function optional<T>(parser: Parser<T>, help: string): Setting<T | undefined> {
  return { parser, standard: undefined, help };
}

function required<T>(parser: Parser<T>, standard: string, help: string): Setting<T> {
  return { parser, standard, help };
}

function missing(help: string, inert?: string, secret = false): Setting<undefined> {
  return {
    parser: { allowed: "left unset", parse: () => undefined },
    standard: undefined,
    help,
    secret,
    missing: inert === undefined ? {} : { inert },
  };
}

const secretText: Parser<Secret> = {
  allowed: "a text that is not empty",
  parse: (value) => new Secret(value),
};

const KIB = 1024;
const MIB = 1024 * KIB;

export const SETTINGS = {
  // As in the Python relay, to the letter.
  LOG_LEVEL: required(
    oneOf("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "WARNING",
    "The least important lines that are logged. Sent messages are INFO; refused, deferred and ambiguous ones and failed logins are WARNING.",
  ),
  TLS_SOURCE: required(
    oneOf("off", "file", "keyvault"),
    "file",
    "Where the certificate comes from: from nowhere (no TLS), two files, or Azure Key Vault.",
  ),
  REQUIRE_TLS: required(boolean, "true", "Refuses AUTH and mail before TLS."),
  SERVER_GREETING: required(
    text(),
    "Microsoft Graph SMTP OAuth Relay",
    "The text of the 220 line behind the host name.",
  ),
  TLS_CERT_FILEPATH: required(
    text(),
    "certs/cert.pem",
    "The certificate, PEM; intermediate certificates may follow in the same file.",
  ),
  TLS_KEY_FILEPATH: required(text(), "certs/key.pem", "The certificate's private key, PEM."),
  TLS_CIPHER_SUITE: optional(
    text(),
    "OpenSSL cipher string for TLS 1.2 and older; when unset, forward secrecy and AEAD alone. A runtime that cannot obey it refuses to start. `@SECLEVEL=n` in it is dropped, with a warning, where the TLS library has no levels.",
  ),
  USERNAME_DELIMITER: required(
    oneOf("@", ":", "|"),
    "@",
    "What stands between tenant and client in a username.",
  ),
  AZURE_KEY_VAULT_URL: optional(
    serviceOrigin,
    "The key vault that holds the certificate, such as `https://example.vault.azure.net`. Needed with TLS_SOURCE=keyvault.",
  ),
  AZURE_KEY_VAULT_CERT_NAME: optional(
    {
      allowed: "1 to 127 letters, digits and hyphens",
      parse: (name) => /^[a-z0-9-]{1,127}$/i.test(name) ? name : undefined,
    },
    "The certificate's name in the key vault. Needed with TLS_SOURCE=keyvault.",
  ),
  AZURE_TABLES_URL: optional(
    tableUrl,
    "The lookup table, for usernames of the form `id@lookup`; see [lookup_table.md](lookup_table.md).",
  ),
  AZURE_TABLES_PARTITION_KEY: required(
    tableKey,
    "user",
    "The PartitionKey of the entries in the lookup table.",
  ),
  AZURE_TABLES_FORCE_USAGE: required(
    boolean,
    "false",
    "Only senders in the table may use the relay: logins with tenant and client need their entry too. The table must be reachable when the relay starts.",
  ),
  GRAPH_HTTP_TIMEOUT: required(
    seconds,
    "30",
    "How long one request to Graph may take, in seconds.",
  ),

  // New here.
  SMTP_LISTEN: required(
    listenAddresses,
    "[::]:8025",
    "Where SMTP is served: plain, with STARTTLS. All IPv4 addresses where there is no IPv6. `sandbox` listens on 127.0.0.1:8025 unless told otherwise.",
  ),
  SMTPS_LISTEN: optional(listenAddresses, "The same with TLS from the first octet (RFC 8314)."),
  HTTP_LISTEN: required(
    listenAddressOrOff,
    "127.0.0.1:8026",
    "Where `/healthz`, `/readyz` and `/metrics` are served, and the sandbox's inbox. Where it is not set and the port is taken, the relay warns and goes on without.",
  ),
  HTTP_PASSWORD: {
    ...optional(
      secretText,
      "Asked for by all pages but `/healthz` and `/readyz` (basic authentication, any user name). Needed when HTTP_LISTEN is not a loopback address; there, `/readyz` tells details only with it.",
    ),
    secret: true,
  },
  TLS_MIN_VERSION: required(
    oneOf("1.0", "1.1", "1.2", "1.3"),
    "1.2",
    "The oldest TLS version that clients may use. A runtime that cannot do it refuses to start.",
  ),
  SERVER_HOSTNAME: {
    ...required(
      {
        allowed: "a host name",
        parse: (name) => /^[a-z0-9._-]{1,255}$/i.test(name) ? name : undefined,
      },
      hostname().replace(/[^A-Za-z0-9._-]/g, "") || "localhost",
      "The name in the greeting, the answer to EHLO and the Received field.",
    ),
    standardShown: "the machine's name",
  },
  AZURE_CLOUD: required(
    oneOf("public", "usgov", "usgov-dod", "china"),
    "public",
    "Sets the defaults of AZURE_AUTHORITY_HOST and GRAPH_ENDPOINT.",
  ),
  AZURE_AUTHORITY_HOST: {
    ...optional(serviceUrl, "Where Entra ID is."),
    standardShown: "`https://login.microsoftonline.com`",
  },
  AZURE_CLIENT_SECRET: {
    ...optional(
      secretText,
      "The secret of the relay's own identity, by which it reaches table and vault (with `AZURE_TENANT_ID` and `AZURE_CLIENT_ID`, which the Azure SDK reads itself).",
    ),
    secret: true,
  },
  GRAPH_ENDPOINT: {
    ...optional(graphUrl, "Where Microsoft Graph is; the token's scope follows it."),
    standardShown: "`https://graph.microsoft.com`",
  },
  EXTRA_CA_CERTS_FILEPATH: {
    ...optional(
      authorityFiles,
      "PEM file of certificate authorities that every outgoing connection trusts besides the usual ones, as a proxy that opens TLS needs. Where it is not set, `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` mean the same; of these, all that are set count.",
    ),
    aliases: ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"],
    merge: (values) => values.flat(),
  },
  HTTPS_PROXY: {
    ...optional(
      proxyUrl,
      "The HTTP proxy through which everything goes out, by CONNECT. `https_proxy` means the same.",
    ),
    secret: true,
    aliases: ["https_proxy"],
  },
  NO_PROXY: {
    ...optional(
      noProxy,
      "What is reached without the proxy, besides this machine and link-local addresses. A name stands for the names under it too. `no_proxy` means the same.",
    ),
    aliases: ["no_proxy"],
  },
  AZURE_TABLES_CONNECTION_STRING: {
    ...optional(
      storageAccess,
      "Access to the table by account key or shared access signature, in place of an identity. Where the table is, AZURE_TABLES_URL says.",
    ),
    secret: true,
  },
  AZURE_TABLES_CACHE_MAX_AGE: required(
    durationOrOff,
    "12h",
    "How long an entry that was read serves on while the table does not answer. A table that answers is asked again after a minute at most.",
  ),
  ALLOWED_TENANTS: {
    ...optional(
      tenants,
      "Tenants that may use the relay, by their ids; others are refused without asking Entra ID.",
    ),
    standardShown: "any",
  },
  ALLOWED_SENDERS: {
    ...optional(
      senderList,
      "Addresses and `@domain`s that may send, for all logins: the mailbox that sends, and whom From and Sender name. A domain does not stand for its subdomains.",
    ),
    standardShown: "any",
  },
  MAX_MESSAGE_SIZE: required(
    size(64 * KIB, 150 * MIB),
    "36700160",
    "The largest message taken, in bytes; announced as SIZE. What is over GRAPH_REQUEST_LIMIT goes the LARGE_MESSAGES way.",
  ),
  MAX_RECIPIENTS: required(integer(1, 1000), "500", "Recipients of one message."),
  MAX_CONNECTIONS: required(
    integer(1, 100_000),
    "1000",
    "Connections at once. When full, the one that has been longest without progress before its login is closed for a new one; when all have logged in, the new one gets 421. See [limits.md](limits.md).",
  ),
  MAX_CONNECTIONS_PER_IP: required(
    integer(1, 100_000),
    "100",
    "Connections of one address (IPv6: its /64) that have not logged in; then 421. See [limits.md](limits.md#connections-of-one-address).",
  ),
  MAX_ERRORS: required(
    integer(1, 100_000),
    "20",
    "Refused commands in one session that are the client's own mistakes; then 421. See [limits.md](limits.md#mistakes).",
  ),
  MAX_IDLE_COMMANDS: required(
    integer(1, 100_000),
    "100",
    "Commands in a row that bring a client no further before its login; then 421.",
  ),
  MAX_HEADER_SIZE: required(
    size(4 * KIB, 256 * KIB),
    "256k",
    "The largest header taken, in bytes, as it comes and with the fields that the relay adds (a Bcc for each recipient that stands in no field): Exchange takes 256 KB.",
  ),
  MAX_MIME_DEPTH: required(
    integer(1, 1000),
    "100",
    "How deep a message's parts may be nested: multiparts and attached messages, one in the other.",
  ),
  MAX_MIME_PARTS: required(
    integer(1, 10_000),
    "1000",
    "Parts of one message, those in attached messages too.",
  ),
  MAX_MEMORY: {
    ...required(
      size(16 * MIB, 1024 * 1024 * MIB),
      String(standardMemory()),
      "Mail held in memory at once, in bytes: all connections and all copies; then 452.",
    ),
    standardShown: "the smaller of `256m` and half the cgroup's limit",
  },
  AUTH_MECHANISMS: required(
    mechanisms,
    "LOGIN,PLAIN",
    "How clients may log in, in the order that EHLO tells them. XOAUTH2 and OAUTHBEARER are for clients that bring a token of their own; see [token_logins.md](token_logins.md).",
  ),
  AUTH_RATE_LIMIT: required(
    rateOrOff,
    "10/1m",
    "Failed logins of one address (IPv6: its /64); then 421, without asking Entra ID. The same refused credentials again are none. Credentials that have worked within the last 25 hours are never refused by it; see [logins.md](logins.md).",
  ),
  MESSAGE_RATE_LIMIT: required(
    rateOrOff,
    "off",
    "Messages of one account; then 451. See [logins.md](logins.md#messages-an-account).",
  ),
  COMMAND_TIMEOUT: required(
    duration,
    "5m",
    "How long a client may take for its next complete command; then 421.",
  ),
  DATA_TIMEOUT: required(
    duration,
    "3m",
    "How long a client may pause inside a message; then 421.",
  ),
  MIN_DATA_RATE: required(
    octetRateOrOff,
    "500",
    "How slowly a message may come, in bytes a second: it has DATA_TIMEOUT, and the time besides that it takes at this rate; then 421.",
  ),
  GRAPH_REQUEST_LIMIT: required(
    size(1000, 150 * MIB),
    "4000000",
    "Bytes of base64 in one sendMail request; larger messages go the LARGE_MESSAGES way.",
  ),
  GRAPH_CONCURRENCY: required(
    integer(1, 100),
    "4",
    "Requests to Graph at once for one app and mailbox (Graph's own limit); more wait their turn.",
  ),
  PACING_TIMEOUT: required(
    duration,
    "4m",
    "How long a message may wait its turn; then 451, nothing sent.",
  ),
  DELIVERY_TIMEOUT: required(
    duration,
    "60s",
    "How long one message's delivery may take once its turn has come, repeats included; 1 s more for each 100 kB over GRAPH_REQUEST_LIMIT, at most 9 min.",
  ),
  DUPLICATE_WINDOW: required(
    durationOrOff,
    "10m",
    "How long a message is remembered that Graph took but whose client was gone before its 250: sent again, it gets its 250 and is not sent twice.",
  ),
  REENCODE_QUOTED_PRINTABLE: required(
    boolean,
    "true",
    "Turns quoted-printable parts into base64, because Exchange damages some; their content stays the same, the body hash of a DKIM signature does not.",
  ),
  TOKEN_CACHE_MAX_AGE: required(
    duration,
    "1h",
    "How long a token is used at most, whatever its own lifetime.",
  ),
  SHUTDOWN_TIMEOUT: required(duration, "90s", "How long a stop waits for mail in flight."),
  PROXY_PROTOCOL_NETWORKS: optional(
    networks,
    "Networks of the proxies whose connections begin with a PROXY header, version 1 or 2, that says who the client is; nobody else's may. See [proxy_protocol.md](proxy_protocol.md).",
  ),
  TRUSTED_NETWORKS: optional(
    trustedNetworks,
    "Networks whose clients may send without AUTH, and without TLS, as TRUSTED_USERNAME: for devices that can do neither. Needs ALLOWED_SENDERS, or an entry of the lookup table with `from_email`; see [trusted_networks.md](trusted_networks.md).",
  ),
  TRUSTED_USERNAME: optional(
    text(),
    "The account that clients of TRUSTED_NETWORKS send as, as they would log in.",
  ),
  TRUSTED_PASSWORD: {
    ...optional(secretText, "The client secret of TRUSTED_USERNAME."),
    secret: true,
  },
  DELIVERY_MODE: missing("When the client gets its 250.", "direct"),
  QUEUE_URL: missing("Where the queue is kept."),
  QUEUE_CONNECTION_STRING: missing("Access to the queue.", undefined, true),
  QUEUE_KEY: missing("The key that seals the queue.", undefined, true),
  QUEUE_MAX_AGE: missing("When a queued message is given up."),
  LARGE_MESSAGES: required(
    oneOf("upload", "reject"),
    "upload",
    "What becomes of messages over GRAPH_REQUEST_LIMIT: a draft with uploaded attachments (needs Mail.ReadWrite; without it the one request is tried, and 413 is then 552), or 552.",
  ),
  WEBHOOK_URL: missing("Where delivery events go.", undefined, true),
  WEBHOOK_SECRET: missing("The key that signs delivery events.", undefined, true),
  LOG_FORMAT: required(oneOf("text", "json"), "text", "The form of the log lines."),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;

/** The values, by the names of the environment variables. */
export type Settings = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Setting<infer T> ? T : never;
};
