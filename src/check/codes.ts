// Every kind of finding that `check` can have: one table, of which docs/check.md is made.
//
// Scripts rely on the names: a code keeps its name and its level. The text may change.

import { SERVED_KINDS } from "../certificates/key_kind.ts";
import { WAY_CODES } from "./way_codes.ts";

export type Level = "ok" | "skip" | "warn" | "fail";

export interface Kind {
  readonly level: Level;
  /** For the reference. */
  readonly meaning: string;
  /** The fix, unless the finding has its own; "" with `ok` and `skip`. */
  readonly fix: string;
}

function ok(meaning: string): Kind {
  return { level: "ok", meaning, fix: "" };
}

/** Not checked, and why. */
function skip(meaning: string): Kind {
  return { level: "skip", meaning, fix: "" };
}

function warn(meaning: string, fix: string): Kind {
  return { level: "warn", meaning, fix };
}

function fail(meaning: string, fix: string): Kind {
  return { level: "fail", meaning, fix };
}

const RENEW = "renew the certificate; the relay loads the new files without a restart";
const COPY_BOTH =
  "copy certificate and key from the same place, the server's own certificate first";
const CLOCK = "let the machine set its clock from the network (chrony, systemd-timesyncd)";
const NETWORK = "check the firewall and the route; in a container, check from inside it";
const USERNAME = "make the username with: smtp-oauth-relay username TENANT_ID CLIENT_ID";
const OLD_KEY =
  "add the missing key to QUEUE_KEY, after a comma, until the queue is empty: QUEUE_KEY=NEW,OLD";
const LATER = "try again in a few minutes";
const PERMISSION =
  "grant the app Mail.Send for this mailbox, see docs/entra.md; a new permission " +
  "can take two hours to apply";

export const CODES = {
  "service.ok": ok("The unit of --service was found; the line shows how it is started."),
  "service.sockets": ok("Enabled socket units open the ports; they replace the settings."),
  "service.missing": fail(
    "The unit does not exist.",
    "install it with: smtp-oauth-relay install-service; or name another unit, or its file",
  ),
  "service.fails": fail(
    "systemd cannot start the service: a file that the unit names does not exist.",
    "create the file, or correct the unit with systemctl edit",
  ),
  "service.ignored": warn(
    "systemd ignores a line, so a setting has no effect.",
    "write NAME=value, without export, and systemctl restart the service",
  ),
  "service.hidden": fail(
    "The service cannot read a file that a setting names: its user has no permission, or the unit " +
      "hides the directory.",
    "pass the file with LoadCredential=, or put it where the service's user can read it",
  ),
  "service.read-only": fail(
    "The service cannot write to the queue's directory: the unit makes it read-only.",
    "put the queue into StateDirectory= (QUEUE_URL=sqlite:queue.db), or add ReadWritePaths= with " +
      "systemctl edit",
  ),
  "service.not-root": warn(
    "systemd reads credentials as root, but this user cannot: the following lines may be wrong.",
    "run check --service as root",
  ),
  "service.sealed": skip(
    "An encrypted credential could not be decrypted here, and was not checked.",
  ),

  "settings.ok": ok("Every setting has an allowed value."),
  "settings.bad": fail(
    "A setting's value is not allowed, or contradicts another one. The relay does not start.",
    "correct it or unset it; docs/settings.md has the allowed values",
  ),
  "settings.doubtful": warn(
    "A setting is allowed but probably a mistake, or the name of a variable resembles a setting.",
    "correct it, or leave it if it is intended",
  ),
  "settings.env-file": fail(
    "The file of --env-file cannot be read, or has a line that is not a setting. Nothing else is " +
      "checked.",
    "name a file that this user can read",
  ),
  "settings.not-judged": warn(
    "A part was not checked, because a setting that it needs is wrong.",
    "correct the setting, then check again",
  ),

  "certificate.ok": ok("The certificate, its key and its chain are in order."),
  "certificate.off": ok("TLS_SOURCE is off: there is no certificate to check."),
  "certificate.missing": fail(
    "A file of the certificate or of its key does not exist.",
    "create the file, or correct the path; a relative path starts at the working directory",
  ),
  "certificate.unreadable": fail(
    "A file exists, but cannot be read.",
    "change the file's owner or mode, so that the relay's user can read it",
  ),
  "certificate.malformed": fail(
    "A file contains no certificate in PEM form, no key in PEM form without a passphrase, or is " +
      "incomplete.",
    "convert it: openssl pkcs12 -in file.pfx -nodes -out both.pem, or openssl pkey for a key",
  ),
  "certificate.key-mismatch": fail("The key is not the certificate's.", COPY_BOTH),
  "certificate.swapped": fail(
    "The two files are swapped.",
    "exchange TLS_CERT_FILEPATH and TLS_KEY_FILEPATH, or the files",
  ),
  "certificate.key-kind": fail(
    "TLS does not work here with this kind of key, such as EC P-521, EC secp256k1 or RSA-PSS.",
    `get a certificate with ${SERVED_KINDS}`,
  ),
  "certificate.cipher-level": warn(
    "TLS_CIPHER_SUITE has a security level, which the TLS library does not support. The relay " +
      "starts and ignores it.",
    "remove @SECLEVEL from TLS_CIPHER_SUITE; for devices with old TLS set TLS_MIN_VERSION",
  ),
  "certificate.unusable": fail(
    "This runtime cannot serve TLS with the certificate, TLS_MIN_VERSION and TLS_CIPHER_SUITE.",
    "leave TLS_CIPHER_SUITE unset and TLS_MIN_VERSION at 1.2, unless you need another value",
  ),
  "certificate.expired": fail(
    "The certificate has expired. Clients that check it refuse it.",
    RENEW,
  ),
  "certificate.not-yet-valid": fail(
    "The certificate is not valid yet.",
    `wait, or ${CLOCK}: the clock may be wrong`,
  ),
  "certificate.expires-soon": warn("The certificate expires within two weeks.", RENEW),
  "certificate.name": warn(
    "The certificate is not for SERVER_HOSTNAME. Clients compare its names with the server name " +
      "that is configured in them, which the relay does not know.",
    "get a certificate for the name that the clients use, and set SERVER_HOSTNAME to that name",
  ),
  "certificate.no-names": warn(
    "The certificate has no subject alternative names. Modern clients refuse it.",
    "get a certificate with the server's name among its subject alternative names",
  ),
  "certificate.self-signed": warn(
    "The certificate is self-signed. Clients that check it refuse it.",
    "configure the clients to trust it, or get one from an authority that they trust",
  ),
  "certificate.chain-incomplete": warn(
    "The certificate's issuer is neither in the file nor trusted by this machine. Clients that do " +
      "not trust it either refuse the certificate.",
    "append the intermediate certificates to the file (fullchain.pem, not cert.pem); if the issuer " +
      "is your own authority, configure the clients to trust it, and name it here in " +
      "EXTRA_CA_CERTS_FILEPATH",
  ),
  "certificate.chain-order": warn(
    "A certificate in the file is not part of the chain, or comes before the one that it signed.",
    "order the file: the server's certificate, then its issuer, then the issuer of that",
  ),
  "certificate.chain-expired": fail(
    "An intermediate certificate in the file has expired or is not valid yet.",
    "get the authority's current intermediate certificates",
  ),
  "certificate.weak-key": warn(
    "The certificate's RSA key is shorter than 2048 bits. Modern clients refuse it.",
    "get a certificate with an RSA key of 2048 bits or more, or with an EC key",
  ),

  "table.ok": ok("The lookup table can be read."),
  "table.missing": fail(
    "The table does not exist. Usernames of the form id@lookup get a temporary error.",
    "create it, or correct the name at the end of AZURE_TABLES_URL",
  ),
  "table.forbidden": fail(
    "Access to the table is refused.",
    "give the relay's identity the role Storage Table Data Reader, or correct " +
      "AZURE_TABLES_CONNECTION_STRING; check the storage account's firewall too",
  ),
  "table.identity": fail(
    "The relay's own identity gets no token for the table.",
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, run where there is a managed " +
      "identity, or set AZURE_TABLES_CONNECTION_STRING",
  ),
  "table.unreachable": fail(
    "The table service cannot be reached.",
    `correct AZURE_TABLES_URL, or ${NETWORK}`,
  ),
  "table.refused": fail(
    "The table service returns another error, or has a temporary fault.",
    `correct AZURE_TABLES_URL, or ${LATER}`,
  ),
  "table.empty": warn(
    "The table has no entry in this partition.",
    "create entries with: smtp-oauth-relay lookup set; or correct AZURE_TABLES_PARTITION_KEY",
  ),
  "table.empty-forced": fail(
    "The table has no entry in this partition, and AZURE_TABLES_FORCE_USAGE is set: every login " +
      "fails.",
    "create entries with: smtp-oauth-relay lookup set; or correct AZURE_TABLES_PARTITION_KEY",
  ),
  "table.row": warn(
    "An entry has a mistake: logins with it are refused.",
    "correct it with: smtp-oauth-relay lookup set ID COLUMN=VALUE (where LOOKUP_FILE is set, with " +
      "LOOKUP_FILE= before it: lookup would change the file)",
  ),

  "lookup.ok": ok("LOOKUP_FILE can be read."),
  "lookup.unreadable": fail(
    "LOOKUP_FILE does not exist, or cannot be read. The relay does not start.",
    "create it ({} is a file without entries), correct the path, or let the relay's user read it",
  ),
  "lookup.malformed": fail(
    "LOOKUP_FILE is not JSON of the right form, or has an id twice. The relay does not start; one that " +
      "runs keeps the entries that it has.",
    "correct the line; an editor that knows JSON Schema shows such mistakes",
  ),
  "lookup.exposed": warn(
    "Other users of this machine may change LOOKUP_FILE, or read the hashes in it. A user who may change it " +
      "may send as anyone; a chosen password can be guessed at from its hash.",
    "chmod 640, and give it to the relay's group",
  ),
  "lookup.empty": warn(
    "LOOKUP_FILE has no entry.",
    "create entries with: smtp-oauth-relay lookup set",
  ),
  "lookup.empty-forced": fail(
    "LOOKUP_FILE has no entry, and AZURE_TABLES_FORCE_USAGE is set without a table: every login fails.",
    "create entries with: smtp-oauth-relay lookup set",
  ),
  "lookup.row": warn(
    "An entry of LOOKUP_FILE has a mistake: logins with it are refused.",
    "correct it with: smtp-oauth-relay lookup set ID COLUMN=VALUE",
  ),

  "credential.found": ok("A certificate of the relay's own is there, and valid."),
  "credential.ok": ok("The relay logs in to an app with a credential of its own."),
  "credential.not-tried": skip(
    "A credential was not tried with an app: no usable entry of the lookup names it, or there are too many.",
  ),
  "credential.unusable": fail(
    "The relay's own certificate or key cannot be used. The relay does not start.",
    "correct the file that the line names; docs/client_credentials.md says how to make both",
  ),
  "credential.unavailable": fail(
    "A credential cannot be obtained: the key vault, the machine's identity endpoint or the file of the " +
      "token does not provide it.",
    "assign the identity to this machine, or correct the setting that the line names",
  ),
  "credential.expired": fail(
    "The relay's own certificate has ended. Devices get 454.",
    "make a new one, register it with each app, then replace the files",
  ),
  "credential.expires-soon": warn(
    "The relay's own certificate ends within 30 days.",
    "make a new one, register it with each app beside the old one, then replace the files",
  ),
  "credential.not-yet-valid": fail(
    "The relay's own certificate is not valid yet.",
    `wait, or ${CLOCK}: the clock may be wrong`,
  ),
  "credential.unset": fail(
    "Entries of the lookup name a credential that is not set. Their devices get 454.",
    "set it, or name another one in the entries",
  ),
  "credential.unregistered": fail(
    "The certificate is not registered with an app (AADSTS700027), or has ended.",
    "upload the certificate to the app: Entra admin center, App registrations, Certificates & secrets",
  ),
  "credential.untrusted": fail(
    "The app has no federated credential for the identity (AADSTS70021, 700211 to 700213). Issuer, " +
      "subject and audience are compared to the letter.",
    "add a federated credential to the app: Entra admin center, App registrations, Certificates & secrets",
  ),
  "credential.secret": fail(
    "CLIENT_SECRET is wrong, or has ended.",
    "create a new secret, or, where the tenant forbids secrets, use a certificate: " +
      "docs/devices_without_secrets.md",
  ),
  "credential.app": fail(
    "An entry's app does not exist in its tenant, or is disabled.",
    "correct tenant_id and client_id in the entry; see the app registration's overview page",
  ),
  "credential.time": fail(
    "The assertion has ended, or is not valid yet, by Entra ID's clock (AADSTS700024).",
    CLOCK,
  ),
  "credential.cloud": fail(
    "The assertion is for another cloud's Entra ID (AADSTS700023).",
    "set AZURE_CLOUD to the tenant's cloud, or correct AZURE_AUTHORITY_HOST",
  ),
  "credential.refused": fail(
    "Entra ID refuses the credential for another reason.",
    "look up the code in docs/replies.md",
  ),
  "credential.later": fail(
    "Entra ID could not be asked, or has a temporary fault.",
    LATER,
  ),

  "webhook.ok": ok("The webhook's receiver answers. No event was sent to it."),
  "webhook.unreachable": warn(
    "The webhook's receiver does not answer. Mail does not depend on it; events wait.",
    "start the receiver, correct WEBHOOK_URL, or open the firewall",
  ),
  "traces.ok": ok("The collector takes spans."),
  "traces.refused": warn(
    "The collector refuses spans. Mail does not depend on it.",
    "correct OTEL_EXPORTER_OTLP_ENDPOINT (without /v1/traces) and OTEL_EXPORTER_OTLP_HEADERS",
  ),
  "traces.unreachable": warn(
    "The collector does not answer. Mail does not depend on it.",
    "start the collector, correct OTEL_EXPORTER_OTLP_ENDPOINT, or open the firewall",
  ),

  "queue.ok": ok("The queue can be read and changed."),
  "queue.new": ok("There is no queue yet. The relay makes it when it starts."),
  "queue.directory": fail(
    "QUEUE_URL names a directory, or a file in a directory that does not exist.",
    "correct QUEUE_URL (a relative path starts at the working directory), or create the directory for " +
      "the relay's user",
  ),
  "queue.unwritable": fail(
    "The relay may not write the queue's directory or a file in it.",
    "make the directory and everything in it belong to the relay's user",
  ),
  "queue.file-system": fail(
    "The queue is on a file system of the network, where its locks do not hold.",
    "put it on a disk of this machine, or use azure-storage: in QUEUE_URL",
  ),
  "queue.file-system-risk": warn(
    "The queue is on a file system where mail may be lost.",
    "put it on a disk of this machine; in a container, on a volume",
  ),
  "queue.damaged": fail(
    "The file of the queue is damaged, or is no database.",
    "keep a copy of the file and of those beside it, and name another file in QUEUE_URL",
  ),
  "queue.schema": fail(
    "The database was made by another program, or by another version of the relay.",
    "name another file in QUEUE_URL, or run the version that made it",
  ),
  "queue.key": fail(
    "QUEUE_KEY is not the key of this queue. The relay does not start.",
    OLD_KEY,
  ),
  "queue.message-key": fail(
    "Messages are sealed with another key. The relay sets them aside.",
    OLD_KEY,
  ),
  "queue.damaged-message": fail(
    "Messages are not what the relay has sealed, or another version has sealed them. The relay sets " +
      "them aside.",
    "see which: smtp-oauth-relay queue list; if somebody else can write to the queue, find out who",
  ),
  "queue.set-aside": warn(
    "Messages are held or dead. The relay does not try them again by itself.",
    "see why: smtp-oauth-relay queue list --state held,dead; then queue retry or queue delete",
  ),
  "queue.nearly-full": warn(
    "The queue is nearly full. When it is, clients get 452.",
    "find out why messages are not sent (queue list), or raise QUEUE_MAX_MESSAGES and QUEUE_MAX_BYTES",
  ),
  "queue.full": fail(
    "The queue is full. Clients get 452.",
    "find out why messages are not sent (queue list), delete dead ones, or raise QUEUE_MAX_MESSAGES " +
      "and QUEUE_MAX_BYTES",
  ),
  "queue.disk": fail(
    "The disk is nearly full. Clients get 452, so that there is room to delete what was sent.",
    "make room on the disk, or move the queue to a larger one",
  ),
  "queue.forbidden": fail(
    "The storage account refuses access.",
    "give the relay's identity the roles Storage Blob Data Contributor and Storage Queue Data " +
      "Contributor, or correct QUEUE_CONNECTION_STRING; check the account's firewall too",
  ),
  "queue.identity": fail(
    "The relay's own identity gets no token for the storage account.",
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, run where there is a managed " +
      "identity, or set QUEUE_CONNECTION_STRING",
  ),
  "queue.unreachable": fail(
    "The storage account cannot be reached.",
    `correct QUEUE_URL, or ${NETWORK}`,
  ),
  "queue.refused": fail(
    "The queue's store returns another error, or has a temporary fault.",
    `look up the name of the error, or ${LATER}`,
  ),

  "vault.ok": ok("Key Vault provides the certificate with its chain and key."),
  "vault.forbidden": fail(
    "The relay's own identity has no permission to get the certificate's secret.",
    'give it the role "Key Vault Secrets User" on the vault (or, with access policies, the ' +
      "permission to get secrets); it takes some minutes to apply",
  ),
  "vault.firewall": fail(
    "The vault's firewall blocks this machine.",
    "add this machine's address or network on the vault's page Networking",
  ),
  "vault.absent": fail(
    "The vault has no certificate of that name.",
    "correct AZURE_KEY_VAULT_CERT_NAME: it is the certificate's name, not a version or a thumbprint",
  ),
  "vault.disabled": fail(
    "The certificate's current version is disabled.",
    "enable it in the vault, or create a new version",
  ),
  "vault.identity": fail(
    "The relay's own identity gets no token for the vault, or the vault does not accept it.",
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run where there is a managed " +
      "identity; vault and identity must belong to the same tenant",
  ),
  "vault.foreign": fail(
    "The server at this address is not the Key Vault of that name.",
    "correct AZURE_KEY_VAULT_URL: https://NAME.vault.azure.net",
  ),
  "vault.unreachable": fail(
    "The vault cannot be reached.",
    `correct AZURE_KEY_VAULT_URL, or ${NETWORK}`,
  ),
  "vault.malformed": fail(
    "The certificate from the vault cannot be read, or has no private key.",
    "create the certificate with an exportable key, as PKCS #12 or PEM",
  ),
  "vault.refused": fail("The vault returns another error, or has a temporary fault.", LATER),

  "authorities.unusable": fail(
    "The file of EXTRA_CA_CERTS_FILEPATH is missing, cannot be read or contains no certificate.",
    "name a PEM file with the authority's certificate, or unset EXTRA_CA_CERTS_FILEPATH",
  ),

  "ports.free": ok("The relay can listen there."),
  "ports.relay": ok("The port is in use by this relay, which is running and ready."),
  "ports.relay-not-ready": warn(
    "The port is in use by this relay, which is running but not ready.",
    "look at its log, and at /readyz",
  ),
  "ports.taken": fail(
    "Another program listens on the port.",
    "stop it, or choose another port; `ss -ltnp` shows the program",
  ),
  "ports.http-taken": warn(
    "Another program listens on the default port of HTTP_LISTEN. The relay starts without health, " +
      "metrics and pages.",
    "set HTTP_LISTEN to a free port, or to off",
  ),
  "ports.twice": fail(
    "Two settings have the same port.",
    "give SMTP_LISTEN, SMTPS_LISTEN and HTTP_LISTEN different ports",
  ),
  "ports.privileged": fail(
    "This user may not listen on the port: ports below 1024 need a privilege.",
    "use port 1024 or higher, let systemd open it (install-service --socket-activation), or grant " +
      "CAP_NET_BIND_SERVICE",
  ),
  "ports.address": fail(
    "The address is not an address of this machine, or its name cannot be resolved.",
    "correct it, or listen on all addresses, as in SMTP_LISTEN=:8025",
  ),
  "ports.other": fail("Listening fails with another error.", "look up the name of the error"),

  ...service("authority", "Entra ID", "AZURE_AUTHORITY_HOST"),
  ...service("graph", "Microsoft Graph", "GRAPH_ENDPOINT"),
  ...WAY_CODES,

  "clock.ok": ok("This machine's clock agrees with that of Entra ID or Graph within a minute."),
  "clock.off": warn("The clock is off by more than a minute.", CLOCK),
  "clock.wrong": fail(
    "The clock is off by more than five minutes. Valid certificates and tokens seem invalid.",
    CLOCK,
  ),
  "clock.unknown": warn(
    "Neither Entra ID nor Graph answered, so the clock could not be compared.",
    "correct the connection to one of them first",
  ),

  "trusted.networks": ok("TRUSTED_NETWORKS contains neither this machine nor its gateway."),
  "trusted.gateway": warn(
    "TRUSTED_NETWORKS contains the gateway of this machine or container. Docker's userland proxy, a " +
      "masquerading bridge and some routers give that address to all clients from outside: then " +
      "all of them may send without a login.",
    "list the devices' own networks without the gateway, and check in the log (client=) that " +
      "clients keep their addresses; see docs/trusted_networks.md",
  ),
  "trusted.loopback": warn(
    "TRUSTED_NETWORKS contains loopback addresses. Each program on this machine may send, and so " +
      "may the clients of a proxy on it.",
    "remove them, unless you mean programs on this machine",
  ),
  "trusted.account": ok("TRUSTED_USERNAME gets a token, and may send only as given senders."),
  "trusted.unbound": fail(
    "The entry of TRUSTED_USERNAME has no from_email, and ALLOWED_SENDERS is not set. Mail from " +
      "trusted networks is refused.",
    "set ALLOWED_SENDERS, or from_email in the entry",
  ),
  "trusted.refused": fail(
    "TRUSTED_USERNAME or TRUSTED_PASSWORD is refused, and so is mail from trusted networks.",
    "try the login with --username and --password-file; correct TRUSTED_USERNAME or " +
      "TRUSTED_PASSWORD",
  ),
  "trusted.later": fail(
    "TRUSTED_USERNAME cannot log in now: Entra ID or the table returns a temporary error.",
    LATER,
  ),

  "login.ok": ok("Entra ID gave a token for the username and the password."),
  "login.not-tried": skip("The login was not tried, because --username was not given."),
  "login.password-file": fail(
    "The file of --password-file cannot be read, or is empty.",
    "name a file that contains the client secret, or the device's password, and nothing else",
  ),
  "login.username": fail("The username has no form that the relay accepts.", USERNAME),
  "login.no-table": fail(
    "The username refers to the lookup, but neither a file nor a table is configured.",
    "set LOOKUP_FILE or AZURE_TABLES_URL, or use a username of tenant and client",
  ),
  "login.no-entry": fail(
    "The lookup has no entry for this login.",
    "correct the id (in a table, the entry's RowKey), or create the entry: smtp-oauth-relay lookup set",
  ),
  "login.entry-disabled": fail(
    "The login's entry in the lookup is disabled.",
    "enable it with: smtp-oauth-relay lookup set ID disabled=false",
  ),
  "login.entry-malformed": fail(
    "The login's entry in the lookup has a mistake.",
    "correct it with: smtp-oauth-relay lookup set ID COLUMN=VALUE",
  ),
  "login.password-wrong": fail(
    "It is not the password of the device's entry.",
    "enter it again; if it is lost, make a new one: smtp-oauth-relay lookup set-password ID",
  ),
  "login.no-password": fail(
    "The entry has no password of the device's own, so that its id alone is no username.",
    "make one: smtp-oauth-relay lookup set-password ID; or log in as id@lookup with the client secret",
  ),
  "login.own-credential": fail(
    "The password is right, but the relay's own login to Entra ID fails.",
    "do what the lines about credential say (smtp-oauth-relay check, or the log)",
  ),
  "login.tenant-not-allowed": fail(
    "The tenant is not in ALLOWED_TENANTS.",
    "add it there, if it may use this relay",
  ),
  "login.tenant-unknown": fail(
    "The tenant does not exist in this cloud.",
    `compare the tenant id with the app registration's overview page, and AZURE_CLOUD; ${USERNAME}`,
  ),
  "login.app-unknown": fail(
    "The app does not exist in the tenant.",
    `compare the client id with the app registration's overview page; ${USERNAME}`,
  ),
  "login.app-disabled": fail(
    "The app is disabled.",
    "enable it in the Entra admin center, under Enterprise applications",
  ),
  "login.secret-wrong": fail(
    "The client secret is wrong.",
    "enter the secret's value, not its id; if the value is lost, create a new secret",
  ),
  "login.secret-expired": fail(
    "The client secret has expired.",
    "create a new secret in the app registration, and enter it in the clients; where the tenant forbids " +
      "secrets: docs/devices_without_secrets.md",
  ),
  "login.blocked": fail(
    "A Conditional Access policy blocks the app.",
    "exclude the app's service principal from the policy, or add this machine's address to a " +
      "trusted location",
  ),
  "login.cloud": fail(
    "Entra ID does not know Microsoft Graph under this name.",
    "set AZURE_CLOUD to the tenant's cloud, or correct GRAPH_ENDPOINT",
  ),
  "login.later": fail("Entra ID, or a proxy in between, returns a temporary error.", LATER),
  "login.unreachable": fail(
    "Entra ID or the lookup table could not be reached.",
    "correct what the lines about authority and table say, then try again",
  ),
  "login.refused": fail(
    "The login is refused for another reason.",
    "look up the code in docs/replies.md",
  ),

  "token.ok": ok("The token contains the permissions that the relay needs."),
  "token.no-roles": warn(
    "The token contains no permission. With RBAC for Applications that is correct, because Exchange " +
      "decides. Otherwise no permission was granted, or admin consent is missing.",
    "try a real message with --from and --to: nothing else can show it",
  ),
  "token.no-mail-send": warn(
    "The token contains permissions, but not Mail.Send. With RBAC for Applications that can be " +
      "correct.",
    "try a real message with --from and --to; if it is refused, grant Mail.Send, with admin consent",
  ),
  "token.no-mail-readwrite": warn(
    "The token does not contain Mail.ReadWrite, which messages over GRAPH_REQUEST_LIMIT need.",
    "grant Mail.ReadWrite for these mailboxes, or set LARGE_MESSAGES=reject",
  ),

  "message.sent": ok(
    "Graph accepted the test message. Check in the recipient's mailbox that it arrives.",
  ),
  "message.found": ok(
    "The test message was found in the sender's mailbox by its Message-ID: QUEUE_AMBIGUOUS=ask works.",
  ),
  "message.not-found": warn(
    "The test message was not found in the sender's mailbox by its Message-ID within a minute. With " +
      "QUEUE_AMBIGUOUS=ask, messages that were sent could be sent again.",
    "check that messages stay in Sent Items for some minutes; if they do, this tenant rewrites " +
      "Message-IDs: set QUEUE_AMBIGUOUS to retry or hold",
  ),
  "message.find-forbidden": warn(
    "The app may not look for messages in the sender's mailbox. QUEUE_AMBIGUOUS=ask then does what " +
      "retry does.",
    "grant the app Mail.ReadBasic.All (or, with RBAC for Applications, Application Mail.ReadBasic), " +
      "or set QUEUE_AMBIGUOUS to retry or hold",
  ),
  "message.find-failed": warn(
    "Graph did not answer when it was asked for the test message.",
    LATER,
  ),
  "message.not-tried": skip(
    "No test message was sent, because --from and --to were not given. Only a message shows whether " +
      "the app may send as a mailbox: with Mail.Send alone, Graph has no request for that.",
  ),
  "message.access-denied": fail(
    "The app may not send as this mailbox: it does not have Mail.Send, or the mailbox is not in its " +
      "scope (RBAC for Applications).",
    PERMISSION,
  ),
  "message.send-as": fail(
    "The From address is not the mailbox's own.",
    "send as the mailbox itself, or grant it Send As",
  ),
  "message.no-mailbox": fail(
    "The sender has no mailbox in this tenant.",
    "send from a mailbox that exists: --from, and the device's own address",
  ),
  "message.not-licensed": fail(
    "The sender's mailbox is not in Exchange Online, or has no licence, or its account is disabled.",
    "give the account a licence with Exchange Online and enable it, or use a shared mailbox",
  ),
  "message.sender-not-allowed": fail(
    "The relay's own rules do not let this login send as this address.",
    "correct ALLOWED_SENDERS, or the entry of the lookup",
  ),
  "message.recipient": fail("Graph does not accept the recipient.", "correct --to"),
  "message.later": fail("Graph does not accept the message now; nothing was sent.", LATER),
  "message.ambiguous": fail(
    "Graph gave no clear answer; the message may have been sent.",
    "look into the mailbox's Sent Items before you try again",
  ),
  "message.refused": fail(
    "The message is refused for another reason.",
    "look up the code in docs/replies.md",
  ),

  "check.deadline": fail("A check took too long and was cancelled.", NETWORK),
  "check.error": fail(
    "A fault of the program: a check failed unexpectedly.",
    "please report it",
  ),
} as const satisfies Readonly<Record<string, Kind>>;

export type Code = keyof typeof CODES;

/** Failures on the way to a service, with the same names for each service. */
function service<Name extends string>(name: Name, who: string, setting: string) {
  const kinds = {
    ok: ok(`${who} is reachable.`),
    dns: fail(
      `The name of ${who} cannot be resolved.`,
      `check the name server (/etc/resolv.conf) and ${setting}`,
    ),
    refused: fail(`The connection to ${who} is refused, or there is no route.`, NETWORK),
    timeout: fail(`${who} does not answer in time.`, NETWORK),
    broken: fail(`The connection to ${who} is closed in the middle.`, NETWORK),
    intercepted: fail(
      `The certificate at ${who}'s address comes from an authority that is not trusted: usually a ` +
        "firewall or a proxy in between decrypts TLS.",
      "get that authority's certificate as PEM and name the file in EXTRA_CA_CERTS_FILEPATH",
    ),
    name: fail(
      `The certificate at ${who}'s address is for another name.`,
      `check the name server and ${setting}: the address belongs to another server`,
    ),
    expired: fail(
      `The certificate at ${who}'s address has expired or is not valid yet.`,
      `check this machine's clock; if ${setting} is your own host, renew its certificate`,
    ),
    proxy: fail(
      `The proxy in HTTPS_PROXY refuses the connection to ${who}, or cannot be reached.`,
      "correct HTTPS_PROXY, with user and password if needed, or exempt the host in NO_PROXY",
    ),
    unexpected: warn(
      `Another server answers at the address of ${who}.`,
      `check ${setting}; a proxy or a hotspot page may be in between`,
    ),
  } as const satisfies Readonly<Record<string, Kind>>;
  type Kinds = typeof kinds;
  return Object.fromEntries(
    Object.entries(kinds).map(([key, kind]) => [`${name}.${key}`, kind]),
  ) as {
    readonly [Key in keyof Kinds as `${Name}.${Key & string}`]: Kinds[Key];
  };
}
