// Every setting of the relay: the one source of names, defaults, what is allowed, and the
// reference page in docs.

import { hostname } from "node:os";
import { Secret } from "../secret.ts";
import { backends, smtpUrl } from "./backend_settings.ts";
import { uuid, vaultCertificate } from "./credential_settings.ts";
import { standardMemory } from "./memory.ts";
import { listenAddresses, listenAddressOrOff } from "./listen_address.ts";
import {
  age,
  ageOrOff,
  authorityFiles,
  boolean,
  duration,
  durationOrOff,
  graphUrl,
  integer,
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
import { queueAddress, queueKeys } from "./queue_settings.ts";
import type { Parser, Setting } from "./setting.ts";
import { storageAccess, storageConnection } from "./storage_access.ts";
import { collectorHeaders, collectorUrl } from "./trace_settings.ts";
import { webhookSecret, webhookUrl } from "./webhook_settings.ts";

function optional<T>(parser: Parser<T>, help: string): Setting<T | undefined> {
  return { parser, standard: undefined, help };
}

function required<T>(parser: Parser<T>, standard: string, help: string): Setting<T> {
  return { parser, standard, help };
}

const secretText: Parser<Secret> = {
  allowed: "a text that is not empty",
  parse: (value) => new Secret(value),
};

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

export const SETTINGS = {
  // As in the Python relay, to the letter.
  LOG_LEVEL: required(
    oneOf("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    "WARNING",
    "The lowest level that is logged. Sent messages are INFO; refused, deferred and ambiguous messages and failed logins are WARNING.",
  ),
  TLS_SOURCE: required(
    oneOf("off", "file", "keyvault"),
    "file",
    "Where the certificate comes from: two files, or Azure Key Vault. `off` means no TLS.",
  ),
  REQUIRE_TLS: required(boolean, "true", "Refuses AUTH and mail before TLS."),
  SERVER_GREETING: required(
    text(),
    "Microsoft Graph SMTP OAuth Relay",
    "The text of the 220 line after the host name.",
  ),
  TLS_CERT_FILEPATH: required(
    text(),
    "certs/cert.pem",
    "The certificate, in PEM form. Intermediate certificates follow in the same file.",
  ),
  TLS_KEY_FILEPATH: required(
    text(),
    "certs/key.pem",
    "The certificate's private key, in PEM form.",
  ),
  TLS_CIPHER_SUITE: optional(
    text(),
    "OpenSSL cipher string for TLS 1.2 and older. If unset, only suites with forward secrecy and AEAD. The relay does not start if the runtime cannot use it. `@SECLEVEL=n` is ignored, with a warning, if the TLS library has no levels.",
  ),
  USERNAME_DELIMITER: required(
    oneOf("@", ":", "|"),
    "@",
    "The character between tenant and client in a username.",
  ),
  AZURE_KEY_VAULT_URL: optional(
    serviceOrigin,
    "The key vault with the certificates, such as `https://example.vault.azure.net`. Required with TLS_SOURCE=keyvault and with AZURE_KEY_VAULT_CLIENT_CERT_NAME.",
  ),
  AZURE_KEY_VAULT_CERT_NAME: optional(
    vaultCertificate,
    "The certificate's name in the key vault. Required with TLS_SOURCE=keyvault.",
  ),
  AZURE_TABLES_URL: optional(
    tableUrl,
    "The address of the lookup table, for usernames of the form `id@lookup`; see [lookup_table.md](lookup_table.md).",
  ),
  AZURE_TABLES_PARTITION_KEY: required(
    tableKey,
    "user",
    "The PartitionKey of the entries in the lookup table.",
  ),
  AZURE_TABLES_FORCE_USAGE: required(
    boolean,
    "false",
    "Allows only logins with an entry in LOOKUP_FILE or the table: logins with tenant and client IDs need an entry too. The table, if there is one, must be reachable when the relay starts.",
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
    "The addresses for SMTP with STARTTLS. Without IPv6, all IPv4 addresses. The default of `sandbox` is 127.0.0.1:8025.",
  ),
  SMTPS_LISTEN: optional(listenAddresses, "The addresses for SMTP with implicit TLS (RFC 8314)."),
  HTTP_LISTEN: required(
    listenAddressOrOff,
    "127.0.0.1:8026",
    "The address for `/healthz`, `/readyz`, `/metrics` and the [status page](status_page.md), and for the sandbox's inbox. If it is not set and the port is in use, the relay warns and continues without them.",
  ),
  HTTP_PASSWORD: {
    ...optional(
      secretText,
      "The password for all pages except `/healthz` and `/readyz` (basic authentication, any user name). With it, messages of the queue can be retried and deleted on the status page. Required if HTTP_LISTEN is not a loopback address; then `/readyz` shows details only with it.",
    ),
    secret: true,
  },
  TLS_MIN_VERSION: required(
    oneOf("1.0", "1.1", "1.2", "1.3"),
    "1.2",
    "The oldest TLS version that clients may use. The relay does not start if the runtime does not support it.",
  ),
  SERVER_HOSTNAME: {
    ...required(
      {
        allowed: "a host name",
        parse: (name) => /^[a-z0-9._-]{1,255}$/i.test(name) ? name : undefined,
      },
      hostname().replace(/[^A-Za-z0-9._-]/g, "") || "localhost",
      "The host name in the greeting, the reply to EHLO and the Received field.",
    ),
    standardShown: "the machine's name",
  },
  AZURE_CLOUD: required(
    oneOf("public", "usgov", "usgov-dod", "china"),
    "public",
    "Sets the defaults of AZURE_AUTHORITY_HOST and GRAPH_ENDPOINT.",
  ),
  AZURE_AUTHORITY_HOST: {
    ...optional(serviceUrl, "The address of Entra ID."),
    standardShown: "`https://login.microsoftonline.com`",
  },
  AZURE_CLIENT_SECRET: {
    ...optional(
      secretText,
      "The client secret of the relay's own identity, for the table and the vault (with `AZURE_TENANT_ID` and `AZURE_CLIENT_ID`, which the Azure SDK reads itself).",
    ),
    secret: true,
  },
  GRAPH_ENDPOINT: {
    ...optional(
      graphUrl,
      "The address of Microsoft Graph, which also decides the scope of the token.",
    ),
    standardShown: "`https://graph.microsoft.com`",
  },
  EXTRA_CA_CERTS_FILEPATH: {
    ...optional(
      authorityFiles,
      "PEM file with certificate authorities that outgoing connections trust in addition to the public ones, for example for a proxy that decrypts TLS. If it is not set, `NODE_EXTRA_CA_CERTS`, `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE` (all that are set) mean the same.",
    ),
    aliases: ["NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"],
    merge: (values) => values.flat(),
  },
  HTTPS_PROXY: {
    ...optional(
      proxyUrl,
      "The HTTP proxy for all outgoing connections, by CONNECT. `https_proxy` means the same. See [outbound_proxy.md](outbound_proxy.md).",
    ),
    secret: true,
    aliases: ["https_proxy"],
  },
  NO_PROXY: {
    ...optional(
      noProxy,
      "Exceptions from the proxy, besides this machine and link-local addresses. A name includes the names under it. `no_proxy` means the same.",
    ),
    aliases: ["no_proxy"],
  },
  AZURE_TABLES_CONNECTION_STRING: {
    ...optional(
      storageAccess,
      "Access to the table by account key or shared access signature, in place of an identity. The address is AZURE_TABLES_URL.",
    ),
    secret: true,
  },
  LOOKUP_FILE: optional(
    text(),
    "A JSON file with entries, which is read before the lookup table; a change takes effect within a minute. See [lookup_file.md](lookup_file.md).",
  ),
  AZURE_TABLES_CACHE_MAX_AGE: required(
    durationOrOff,
    "12h",
    "How long an entry remains usable while the table does not answer. While it answers, entries are read again after a minute at most.",
  ),
  ALLOWED_TENANTS: {
    ...optional(
      tenants,
      "The IDs of the tenants that may use the relay. Others are refused without a request to Entra ID.",
    ),
    standardShown: "any",
  },
  ALLOWED_SENDERS: {
    ...optional(
      senderList,
      "Addresses and `@domain`s that may send, for all logins: the sending mailbox, and the addresses in From and Sender. A domain does not include its subdomains.",
    ),
    standardShown: "any",
  },
  MAX_MESSAGE_SIZE: required(
    size(64 * KIB, 150 * MIB),
    "36700160",
    "The largest accepted message, in bytes; announced as SIZE. For messages over GRAPH_REQUEST_LIMIT, see LARGE_MESSAGES.",
  ),
  MAX_RECIPIENTS: required(
    integer(1, 1000),
    "500",
    "The maximum number of recipients of a message.",
  ),
  MAX_CONNECTIONS: required(
    integer(1, 100_000),
    "1000",
    "The maximum number of connections at once. At the limit, the connection that has gone longest without progress before its login is closed for a new one; if all have logged in, the new one gets 421. See [limits.md](limits.md).",
  ),
  MAX_CONNECTIONS_PER_IP: required(
    integer(1, 100_000),
    "100",
    "The maximum number of connections of one address (IPv6: its /64) that have not logged in; then 421. See [limits.md](limits.md#connections-of-one-address).",
  ),
  MAX_ERRORS: required(
    integer(1, 100_000),
    "20",
    "The maximum number of refused commands in a session that are mistakes of the client; then 421. See [limits.md](limits.md#mistakes).",
  ),
  MAX_IDLE_COMMANDS: required(
    integer(1, 100_000),
    "100",
    "The maximum number of idle commands in a row before the login; then 421.",
  ),
  MAX_HEADER_SIZE: required(
    size(4 * KIB, 256 * KIB),
    "256k",
    "The largest accepted header, in bytes, both as received and with the fields that the relay adds (a Bcc for each recipient that is in no field). Exchange accepts 256 KB.",
  ),
  MAX_MIME_DEPTH: required(
    integer(1, 1000),
    "100",
    "How deeply multiparts and attached messages may be nested in one another.",
  ),
  MAX_MIME_PARTS: required(
    integer(1, 10_000),
    "1000",
    "The maximum number of parts of a message, including those in attached messages.",
  ),
  MAX_MEMORY: {
    ...required(
      size(16 * MIB, 1024 * GIB),
      String(standardMemory()),
      "The memory for mail, in bytes, over all connections; then 452.",
    ),
    standardShown: "`256m`, or half the cgroup's limit if that is less",
  },
  AUTH_MECHANISMS: required(
    mechanisms,
    "LOGIN,PLAIN",
    "The login mechanisms, in the order of EHLO. XOAUTH2 and OAUTHBEARER are for clients that have a token; see [token_logins.md](token_logins.md).",
  ),
  AUTH_RATE_LIMIT: required(
    rateOrOff,
    "10/1m",
    "Failed logins of one address (IPv6: its /64); then 421, without a request to Entra ID. The same refused credentials count only once. Credentials that have worked within the last 25 hours are never refused by it; see [logins.md](logins.md).",
  ),
  MESSAGE_RATE_LIMIT: required(
    rateOrOff,
    "off",
    "Messages of one account; then 451. See [logins.md](logins.md#messages-an-account).",
  ),
  COMMAND_TIMEOUT: required(
    duration,
    "5m",
    "The time for the client's next complete command; then 421.",
  ),
  DATA_TIMEOUT: required(
    duration,
    "3m",
    "The longest pause of the client inside a message; then 421.",
  ),
  MIN_DATA_RATE: required(
    octetRateOrOff,
    "500",
    "The slowest rate of a message, in bytes a second: a message may take DATA_TIMEOUT plus its time at this rate; then 421.",
  ),
  GRAPH_REQUEST_LIMIT: required(
    size(1000, 150 * MIB),
    "4000000",
    "The maximum number of bytes of base64 in one sendMail request. For larger messages, see LARGE_MESSAGES.",
  ),
  GRAPH_CONCURRENCY: required(
    integer(1, 100),
    "4",
    "The maximum number of requests to Graph at once for one app and mailbox (Graph's own limit); further ones wait for their turn.",
  ),
  PACING_TIMEOUT: required(
    duration,
    "4m",
    "How long a message may wait for its turn; then 451, and nothing was sent.",
  ),
  DELIVERY_TIMEOUT: required(
    duration,
    "60s",
    "How long the delivery of a message may take from its turn on, including retries; 1 s more for each 100 kB over GRAPH_REQUEST_LIMIT, at most 9 min.",
  ),
  DUPLICATE_WINDOW: required(
    durationOrOff,
    "10m",
    "How long the relay remembers a message that Graph accepted but whose client was gone before its 250. If the client sends it again, it gets 250, and the message is not sent twice.",
  ),
  REENCODE_QUOTED_PRINTABLE: required(
    boolean,
    "true",
    "Converts quoted-printable parts into base64, because Exchange damages some. The content stays the same, but a DKIM signature of the client becomes invalid.",
  ),
  TOKEN_CACHE_MAX_AGE: required(
    duration,
    "1h",
    "The longest time that a token is used, whatever its own lifetime.",
  ),
  SHUTDOWN_TIMEOUT: required(duration, "90s", "How long a stop waits for messages in progress."),
  PROXY_PROTOCOL_NETWORKS: optional(
    networks,
    "The load balancers whose connections begin with a PROXY header, version 1 or 2. A header from another address ends the connection. See [proxy_protocol.md](proxy_protocol.md).",
  ),
  TRUSTED_NETWORKS: optional(
    trustedNetworks,
    "Networks whose clients may send without AUTH and without TLS, as TRUSTED_USERNAME. Requires ALLOWED_SENDERS, or an entry of the lookup with `from_email`; see [trusted_networks.md](trusted_networks.md).",
  ),
  TRUSTED_USERNAME: optional(
    text(),
    "The username of the account that clients in TRUSTED_NETWORKS send as.",
  ),
  TRUSTED_PASSWORD: {
    ...optional(
      secretText,
      "The client secret of TRUSTED_USERNAME, or the own password of its entry.",
    ),
    secret: true,
  },
  DELIVERY_MODE: required(
    oneOf("direct", "queue"),
    "direct",
    "When the client gets its 250. `direct`: once Graph has accepted the message. `queue`: once the message is on stable storage; the relay then delivers it, also after a restart or an outage.",
  ),
  QUEUE_URL: required(
    queueAddress,
    "sqlite:queue.db",
    "Where the queue is: a database on a local disk of this machine (a relative path starts at the working directory), or an Azure storage account, which several relays can share. The relay uses its blobs and its queues, whichever of them the URL names.",
  ),
  QUEUE_CONNECTION_STRING: {
    ...optional(
      storageConnection,
      "Access to the storage account by account key or shared access signature, in place of an identity. Only with `azure-storage:`.",
    ),
    secret: true,
  },
  QUEUE_KEY: {
    ...optional(
      queueKeys,
      "The key that seals queued messages and their credentials: 32 bytes in base64 (`openssl rand -base64 32`). Required with DELIVERY_MODE=queue. Several keys with commas between them: the first one seals, all of them open.",
    ),
    secret: true,
  },
  QUEUE_MAX_AGE: required(
    age,
    "2d",
    "How long the relay tries to deliver a queued message; then it gives up, and keeps the message as dead.",
  ),
  QUEUE_MAX_MESSAGES: required(
    integer(1, 10_000_000),
    "100000",
    "The maximum number of messages in the queue; then 452.",
  ),
  QUEUE_MAX_BYTES: required(
    size(MIB, 100 * 1024 * GIB),
    "10g",
    "The maximum size of the queue, in bytes; then 452. Also 452 if the disk has less than 5 % or 64 MiB left.",
  ),
  QUEUE_AMBIGUOUS: required(
    oneOf("retry", "ask", "hold"),
    "retry",
    "What happens to a queued message that may have been sent, for example when the connection broke before Graph's answer. `retry`: it is sent again. `ask`: only if it is not in the mailbox (needs Mail.ReadBasic.All). `hold`: it waits for an administrator.",
  ),
  QUEUE_BOUNCE: required(
    boolean,
    "false",
    "Sends a non-delivery report (RFC 3464) to the sender of a queued message that is refused for good or becomes too old.",
  ),
  QUEUE_OFFLINE_LOGIN: required(
    ageOrOff,
    "24h",
    "How long after its last good login an account can still log in while Entra ID does not answer, with the same credentials. Only with DELIVERY_MODE=queue.",
  ),
  LARGE_MESSAGES: required(
    oneOf("upload", "exchange", "reject"),
    "upload",
    "What happens to messages over GRAPH_REQUEST_LIMIT. `upload`: a draft with uploaded attachments, which needs Mail.ReadWrite (without it, one request is tried, and the client gets 552 if that is too large). `exchange`: they go by SMTP to Exchange Online, as with BACKEND=exchange. `reject`: 552.",
  ),
  BACKEND: required(
    backends,
    "graph",
    "The mail service. `graph`: Microsoft Graph. `exchange`: Exchange Online by SMTP with XOAUTH2. `smarthost`: the SMTP server of SMARTHOST_URL. `hve`: High Volume Email. `acs`: Azure Communication Services. With several, the next is tried only if the one before surely did not take the message, for a passing reason. An entry's column `backend` goes first. See [ways_out.md](ways_out.md).",
  ),
  SMARTHOST_URL: optional(
    smtpUrl,
    "The SMTP server of BACKEND=smarthost, or in place of the usual one of `hve` or `acs`. STARTTLS is demanded unless the server is on this machine.",
  ),
  SMARTHOST_USERNAME: optional(
    text(),
    "The username for that server. Without it, the relay does not log in there; to `hve` it logs in with the app's token.",
  ),
  SMARTHOST_PASSWORD: {
    ...optional(secretText, "The password for that server."),
    secret: true,
  },
  EXCHANGE_SMTP_URL: required(
    smtpUrl,
    "smtp://smtp.office365.com:587",
    "The submission server of Exchange Online, for other clouds and rehearsals.",
  ),
  WEBHOOK_URL: {
    ...optional(
      webhookUrl,
      "The address that gets an event, in a POST request with JSON, for each message and for trouble. See [webhooks.md](webhooks.md).",
    ),
    secret: true,
  },
  WEBHOOK_SECRET: {
    ...optional(
      webhookSecret,
      "The key that signs the events, as Standard Webhooks says. Required with WEBHOOK_URL.",
    ),
    secret: true,
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: optional(
    collectorUrl,
    "The collector that gets traces by OTLP/HTTP, such as `http://otel-collector:4318`; `/v1/traces` is appended. See [traces.md](traces.md).",
  ),
  OTEL_EXPORTER_OTLP_HEADERS: {
    ...optional(
      collectorHeaders,
      "Header fields for the collector, such as `api-key=…`. Only with https, or to a loopback address.",
    ),
    secret: true,
  },
  STATUS_MESSAGES: required(
    integer(0, 10_000),
    "500",
    "How many of the last messages the status page remembers, in memory and without recipients and content; 0 for none. See [status_page.md](status_page.md).",
  ),
  LOG_FORMAT: required(oneOf("text", "json"), "text", "The format of the log lines."),
  LOG_RECIPIENTS: required(
    boolean,
    "false",
    "Names the recipients in the line of each message (`to=`). Their number is there in any case.",
  ),
  CLIENT_SECRET: {
    ...optional(
      secretText,
      "The relay's own client secret, for entries of the lookup with `credential` `secret`. See [client_credentials.md](client_credentials.md).",
    ),
    secret: true,
  },
  CLIENT_CERTIFICATE_FILEPATH: optional(
    text(),
    "The relay's own certificate for its login to Entra ID, in PEM form, for entries with `credential` `certificate`; with an RSA key of 2048 bits or more. See [client_credentials.md](client_credentials.md).",
  ),
  CLIENT_KEY_FILEPATH: optional(
    text(),
    "The private key of that certificate, in PEM form. It may be the same file.",
  ),
  AZURE_KEY_VAULT_CLIENT_CERT_NAME: optional(
    vaultCertificate,
    "The name of that certificate in the key vault AZURE_KEY_VAULT_URL, in place of the two files. Its key must be exportable.",
  ),
  MANAGED_IDENTITY_CLIENT_ID: optional(
    uuid,
    "The client ID of a user-assigned managed identity of this machine, for entries with `credential` `managed-identity`. The apps need a federated credential for it. See [client_credentials.md](client_credentials.md).",
  ),
} as const satisfies Record<string, Setting<unknown>>;

export type SettingName = keyof typeof SETTINGS;

/** The values, by the names of the environment variables. */
export type Settings = {
  readonly [Name in SettingName]: (typeof SETTINGS)[Name] extends Setting<infer T> ? T : never;
};
