// Every kind of finding that `check` can have: one table, of which docs/check.md is made.
//
// Scripts rely on the names: a code keeps its name and its level for good. The words may change.

import { SERVED_KINDS } from "../certificates/key_kind.ts";

export type Level = "ok" | "skip" | "warn" | "fail";

export interface Kind {
  readonly level: Level;
  /** For the reference. */
  readonly meaning: string;
  /** What to do about it, where the finding itself does not know better; "" with `ok` and `skip`. */
  readonly fix: string;
}

function ok(meaning: string): Kind {
  return { level: "ok", meaning, fix: "" };
}

/** Not tried, and why. */
function skip(meaning: string): Kind {
  return { level: "skip", meaning, fix: "" };
}

function warn(meaning: string, fix: string): Kind {
  return { level: "warn", meaning, fix };
}

function fail(meaning: string, fix: string): Kind {
  return { level: "fail", meaning, fix };
}

const RENEW = "renew the certificate; the relay takes the new files without a restart";
const COPY_BOTH =
  "copy certificate and key from the same place, the server's own certificate first";
const CLOCK = "let the machine set its clock from the network (chrony, systemd-timesyncd)";
const NETWORK = "check the firewall and the route; in a container, try the same from inside it";
const USERNAME = "make the username with: smtp-oauth-relay username TENANT_ID CLIENT_ID";
const LATER = "try again in a few minutes";
const PERMISSION = "grant the app Mail.Send for this mailbox, see docs/entra.md; a grant of the " +
  "last two hours may not be in force yet";

export const CODES = {
  "service.ok": ok("The unit of --service, and what it is started with."),
  "service.sockets": ok("Socket units open ports in the place of settings."),
  "service.missing": fail(
    "There is no such unit.",
    "install it with: smtp-oauth-relay install-service; or name another unit, or its file",
  ),
  "service.fails": fail(
    "systemd cannot start the service: a file that the unit names is not there.",
    "put it there, or correct the unit with systemctl edit",
  ),
  "service.ignored": warn(
    "systemd passes a line over, so that a setting does not count.",
    "write NAME=value, without export, and systemctl restart the service",
  ),
  "service.hidden": fail(
    "The service cannot read a file that a setting names: its user may not, or the unit hides the " +
      "directory from it.",
    "hand the file over with LoadCredential=, or put it where the service's user can read it",
  ),
  "service.not-root": warn(
    "systemd reads credentials as root, and this user may not: what follows may be wrong.",
    "run check --service as root",
  ),
  "service.sealed": skip("A sealed credential could not be opened here, and is not judged."),

  "settings.ok": ok("Every setting has a value that is allowed."),
  "settings.bad": fail(
    "A setting's value is not allowed, or contradicts another one. The relay does not start.",
    "correct it or unset it; docs/settings.md says what each one takes",
  ),
  "settings.doubtful": warn(
    "A setting is allowed and probably not meant, or a variable is nearly the name of one.",
    "correct it, or leave it if it is meant",
  ),
  "settings.env-file": fail(
    "The file of --env-file cannot be read, or has a line that is no setting. Nothing else is looked at.",
    "name a file that this user can read",
  ),
  "settings.not-judged": warn(
    "A part was left out, because a setting that it needs is bad.",
    "correct the setting, then check again",
  ),

  "certificate.ok": ok("The certificate, its key and its chain are in order."),
  "certificate.off": ok("TLS_SOURCE is off: there is no certificate to look at."),
  "certificate.missing": fail(
    "A file of the certificate or of its key does not exist.",
    "put the file there, or name the right one; a relative path counts from the working directory",
  ),
  "certificate.unreadable": fail(
    "A file is there, but cannot be read.",
    "change the file's owner or mode, so that the relay's user can read it",
  ),
  "certificate.malformed": fail(
    "A file holds no certificate, or no key without a passphrase, in PEM form, or is cut off.",
    "convert it: openssl pkcs12 -in file.pfx -nodes -out both.pem, or openssl pkey for a key",
  ),
  "certificate.key-mismatch": fail("The key is not the certificate's.", COPY_BOTH),
  "certificate.swapped": fail(
    "Each of the two files holds what the other one should.",
    "exchange TLS_CERT_FILEPATH and TLS_KEY_FILEPATH, or the files",
  ),
  "certificate.key-kind": fail(
    "The key is of a kind that TLS cannot be served with here, such as EC P-521, EC secp256k1 or " +
      "RSA-PSS.",
    `get a certificate with ${SERVED_KINDS}`,
  ),
  "certificate.cipher-level": warn(
    "TLS_CIPHER_SUITE has a security level, which the TLS library does not know. The relay starts, " +
      "and leaves it out.",
    "take @SECLEVEL out of TLS_CIPHER_SUITE; for devices with old TLS set TLS_MIN_VERSION",
  ),
  "certificate.unusable": fail(
    "This runtime cannot serve TLS with the certificate, TLS_MIN_VERSION and TLS_CIPHER_SUITE.",
    "leave TLS_CIPHER_SUITE unset and TLS_MIN_VERSION at 1.2, unless somebody demands otherwise",
  ),
  "certificate.expired": fail(
    "The certificate's time is over. Clients that check it refuse it.",
    RENEW,
  ),
  "certificate.not-yet-valid": fail(
    "The certificate's time has not begun.",
    `wait, or ${CLOCK}: it may be the clock that is wrong`,
  ),
  "certificate.expires-soon": warn("The certificate ends within two weeks.", RENEW),
  "certificate.name": warn(
    "The certificate does not name SERVER_HOSTNAME. Clients compare its names with the server name " +
      "that was typed into them, which the relay cannot know.",
    "get a certificate for the name that the clients use, and set SERVER_HOSTNAME to it",
  ),
  "certificate.no-names": warn(
    "The certificate has no subject alternative names, without which clients of today refuse it.",
    "get a certificate with the server's name among its subject alternative names",
  ),
  "certificate.self-signed": warn(
    "The certificate is signed by itself. Clients that check it refuse it.",
    "give it to the clients as trusted, or get one from an authority that they trust",
  ),
  "certificate.chain-incomplete": warn(
    "The certificate's issuer is neither in the file nor known to this machine. Clients that do not " +
      "know it either refuse the certificate.",
    "append the intermediate certificates to the file (fullchain.pem, not cert.pem); if the issuer " +
      "is an authority of your own, have the clients trust it, and name it here in " +
      "EXTRA_CA_CERTS_FILEPATH",
  ),
  "certificate.chain-order": warn(
    "A certificate of the file has no part in the chain, or comes before the one that it has signed.",
    "order the file: the server's certificate, then its issuer, then the issuer of that",
  ),
  "certificate.chain-expired": fail(
    "An intermediate certificate of the file is out of its time.",
    "get the authority's present intermediate certificates",
  ),
  "certificate.weak-key": warn(
    "The certificate's RSA key is shorter than 2048 bits. Clients of today refuse it.",
    "get a certificate with an RSA key of 2048 bits or more, or with an EC key",
  ),

  "table.ok": ok("The lookup table can be read."),
  "table.missing": fail(
    "The table does not exist. Usernames of the form id@lookup are refused for now.",
    "create it, or correct the name at the end of AZURE_TABLES_URL",
  ),
  "table.forbidden": fail(
    "Access to the table is refused.",
    "give the relay's identity the role Storage Table Data Reader, or correct " +
      "AZURE_TABLES_CONNECTION_STRING; look at the storage account's firewall too",
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
    "The table service refuses for another reason, or has a passing fault.",
    `correct AZURE_TABLES_URL, or ${LATER}`,
  ),
  "table.empty": warn(
    "The table has no entry in this partition.",
    "make entries with: smtp-oauth-relay lookup set; or correct AZURE_TABLES_PARTITION_KEY",
  ),
  "table.empty-forced": fail(
    "The table has no entry in this partition, and AZURE_TABLES_FORCE_USAGE is set: nobody can log " +
      "in.",
    "make entries with: smtp-oauth-relay lookup set; or correct AZURE_TABLES_PARTITION_KEY",
  ),
  "table.row": warn(
    "An entry has a mistake: logins with it are refused.",
    "correct it with: smtp-oauth-relay lookup set ID COLUMN=VALUE",
  ),

  "vault.ok": ok("Key Vault hands out the certificate with its chain and key."),
  "vault.forbidden": fail(
    "The relay's own identity may not get the certificate's secret.",
    'give it the role "Key Vault Secrets User" on the vault (or, with access policies, the right to ' +
      "get secrets); it takes some minutes to count",
  ),
  "vault.firewall": fail(
    "The vault's firewall does not let this machine in.",
    "add this machine's address or network on the vault's page Networking",
  ),
  "vault.absent": fail(
    "The vault has no certificate of that name.",
    "correct AZURE_KEY_VAULT_CERT_NAME: it is the certificate's name, not a version or a thumbprint",
  ),
  "vault.disabled": fail(
    "The certificate's present version is disabled.",
    "enable it in the vault, or make a new version",
  ),
  "vault.identity": fail(
    "The relay's own identity gets no token for the vault, or the vault does not accept it.",
    "set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET, or run where there is a managed " +
      "identity; vault and identity must be of one tenant",
  ),
  "vault.foreign": fail(
    "What answers is no Key Vault of that name.",
    "correct AZURE_KEY_VAULT_URL: https://NAME.vault.azure.net",
  ),
  "vault.unreachable": fail(
    "The vault cannot be reached.",
    `correct AZURE_KEY_VAULT_URL, or ${NETWORK}`,
  ),
  "vault.malformed": fail(
    "What the vault hands out cannot be read, or there is no private key in it.",
    "make the certificate with an exportable key, as PKCS #12 or PEM",
  ),
  "vault.refused": fail("The vault refuses for another reason, or has a passing fault.", LATER),

  "authorities.unusable": fail(
    "The file of EXTRA_CA_CERTS_FILEPATH is missing, cannot be read or holds no certificate.",
    "name a PEM file with the authority's certificate, or unset EXTRA_CA_CERTS_FILEPATH",
  ),

  "ports.free": ok("The relay can listen there."),
  "ports.relay": ok("The port is in use by a relay of ours that is running, and ready."),
  "ports.relay-not-ready": warn(
    "The port is in use by a relay of ours that is running, but not ready.",
    "look at its log, and at /readyz",
  ),
  "ports.taken": fail(
    "Another program listens there.",
    "end it, or choose another port; `ss -ltnp` shows which it is",
  ),
  "ports.http-taken": warn(
    "Another program listens at the default of HTTP_LISTEN. The relay starts, without health, " +
      "metrics and pages.",
    "set HTTP_LISTEN to a free port, or to off",
  ),
  "ports.twice": fail(
    "Two settings want the same port.",
    "give each of SMTP_LISTEN, SMTPS_LISTEN and HTTP_LISTEN a port of its own",
  ),
  "ports.privileged": fail(
    "This user may not listen there: ports below 1024 need a privilege.",
    "use a port from 1024 on, have systemd open it (install-service --socket-activation), or grant " +
      "CAP_NET_BIND_SERVICE",
  ),
  "ports.address": fail(
    "The address is not one of this machine's, or its name cannot be resolved.",
    "correct it, or listen on all addresses, as in SMTP_LISTEN=:8025",
  ),
  "ports.other": fail("Listening there fails for another reason.", "look the error's name up"),

  ...service("authority", "Entra ID", "AZURE_AUTHORITY_HOST"),
  ...service("graph", "Microsoft Graph", "GRAPH_ENDPOINT"),

  "clock.ok": ok("This machine's clock agrees with that of Entra ID or Graph within a minute."),
  "clock.off": warn("The clock is off by more than a minute.", CLOCK),
  "clock.wrong": fail(
    "The clock is off by more than five minutes. Certificates and tokens are misjudged.",
    CLOCK,
  ),
  "clock.unknown": warn(
    "Neither Entra ID nor Graph answered, so there was no clock to compare with.",
    "make one of them reachable first",
  ),

  "trusted.networks": ok("TRUSTED_NETWORKS holds neither this machine nor its gateway."),
  "trusted.gateway": warn(
    "TRUSTED_NETWORKS holds the gateway of this machine or container. Docker's userland proxy, a " +
      "masquerading bridge and some routers give all clients from outside that address: then " +
      "everybody may send without a login.",
    "name the devices' own networks without the gateway, and see in the log (client=) that clients " +
      "keep their addresses; see docs/trusted_networks.md",
  ),
  "trusted.loopback": warn(
    "TRUSTED_NETWORKS holds loopback addresses. Each program on this machine may send, and so may " +
      "the clients of a proxy on it.",
    "leave them out, unless programs on this machine are the ones that are meant",
  ),
  "trusted.account": ok("TRUSTED_USERNAME gets a token, and is bound to senders."),
  "trusted.unbound": fail(
    "The entry of TRUSTED_USERNAME has no from_email, and ALLOWED_SENDERS is not set. Mail from " +
      "trusted networks is refused.",
    "set ALLOWED_SENDERS, or from_email in the entry",
  ),
  "trusted.refused": fail(
    "TRUSTED_USERNAME or TRUSTED_PASSWORD is refused. So is mail from trusted networks.",
    "try it as a login with --username and --password-file; correct TRUSTED_USERNAME or " +
      "TRUSTED_PASSWORD",
  ),
  "trusted.later": fail(
    "TRUSTED_USERNAME cannot log in for now, because Entra ID or the table puts it off.",
    LATER,
  ),

  "login.ok": ok("Entra ID gave a token for the username and the password."),
  "login.not-tried": skip("No --username was given: the login was not tried."),
  "login.password-file": fail(
    "The file of --password-file cannot be read, or is empty.",
    "name a file that holds the client secret and nothing else",
  ),
  "login.username": fail("The username has none of the forms that the relay takes.", USERNAME),
  "login.no-table": fail(
    "The username is one of the lookup table, and there is none.",
    "set AZURE_TABLES_URL, or use a username of tenant and client",
  ),
  "login.no-entry": fail(
    "The lookup table has no entry for this login.",
    "correct the id, which is the entry's RowKey, or make the entry: smtp-oauth-relay lookup set",
  ),
  "login.entry-disabled": fail(
    "The login's entry in the lookup table is disabled.",
    "enable it with: smtp-oauth-relay lookup set ID disabled=false",
  ),
  "login.entry-malformed": fail(
    "The login's entry in the lookup table has a mistake.",
    "correct it with: smtp-oauth-relay lookup set ID COLUMN=VALUE",
  ),
  "login.tenant-not-allowed": fail(
    "The tenant is not one of ALLOWED_TENANTS.",
    "add it there, if it may use this relay",
  ),
  "login.tenant-unknown": fail(
    "There is no such tenant in this cloud.",
    `compare the tenant id with the app registration's overview page, and AZURE_CLOUD; ${USERNAME}`,
  ),
  "login.app-unknown": fail(
    "The tenant has no such app.",
    `compare the client id with the app registration's overview page; ${USERNAME}`,
  ),
  "login.app-disabled": fail(
    "The app is disabled.",
    "enable it in the Entra admin center under Enterprise applications",
  ),
  "login.secret-wrong": fail(
    "The client secret is wrong.",
    "enter the secret's value, not its id; if it is lost, make a new secret",
  ),
  "login.secret-expired": fail(
    "The client secret has expired.",
    "make a new secret in the app registration, and enter it in the clients",
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
  "login.later": fail("Entra ID, or what is between, puts the login off.", LATER),
  "login.unreachable": fail(
    "Entra ID, or the lookup table, could not be asked.",
    "mend what the lines about authority and table say, then try again",
  ),
  "login.refused": fail(
    "The login is refused for another reason.",
    "look the code up in docs/replies.md",
  ),

  "token.ok": ok("The token holds the permissions that the relay needs."),
  "token.no-roles": warn(
    "The token names no permission at all. With RBAC for Applications that is as it should be, for " +
      "Exchange decides; else nothing has been granted, or admin consent is missing.",
    "try a real message with --from and --to: only that can tell",
  ),
  "token.no-mail-send": warn(
    "The token names permissions, but not Mail.Send. With RBAC for Applications that may be as it " +
      "should be.",
    "try a real message with --from and --to; if it is refused, grant Mail.Send, with admin consent",
  ),
  "token.no-mail-readwrite": warn(
    "The token has no Mail.ReadWrite, which messages over GRAPH_REQUEST_LIMIT need.",
    "grant Mail.ReadWrite for these mailboxes, or set LARGE_MESSAGES=reject",
  ),

  "message.sent": ok(
    "Graph took the test message. Whether it arrives, the recipient's mailbox tells.",
  ),
  "message.not-tried": skip(
    "No test message was asked for with --from and --to. Whether the app may send as a mailbox, " +
      "nothing but a message shows: Graph has no request that asks for it with Mail.Send alone.",
  ),
  "message.access-denied": fail(
    "The app may not send as this mailbox: it has no Mail.Send, or the mailbox is outside of its " +
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
    "give the account a licence with Exchange Online and enable it; or use a shared mailbox",
  ),
  "message.sender-not-allowed": fail(
    "The relay's own rules do not let this login send as this address.",
    "correct ALLOWED_SENDERS, or the entry of the lookup table",
  ),
  "message.recipient": fail("Graph does not take the recipient.", "correct --to"),
  "message.later": fail("Graph does not take the message for now; nothing was sent.", LATER),
  "message.ambiguous": fail(
    "No clear answer came; the message may have been sent.",
    "look into the mailbox's Sent Items before you try again",
  ),
  "message.refused": fail(
    "The message is refused for another reason.",
    "look the code up in docs/replies.md",
  ),

  "check.deadline": fail("A check took too long and was given up.", NETWORK),
  "check.error": fail(
    "A fault of the program: a check ended in a way that it should not.",
    "please report it",
  ),
} as const satisfies Readonly<Record<string, Kind>>;

export type Code = keyof typeof CODES;

/** What goes wrong on the way to a service, for each of them by the same names. */
function service<Name extends string>(name: Name, who: string, setting: string) {
  const kinds = {
    ok: ok(`${who} is reachable.`),
    dns: fail(
      `The name of ${who} cannot be resolved.`,
      `check the name server (/etc/resolv.conf) and ${setting}`,
    ),
    refused: fail(`The connection to ${who} is refused, or there is no route.`, NETWORK),
    timeout: fail(`${who} does not answer in time.`, NETWORK),
    broken: fail(`The connection to ${who} breaks off.`, NETWORK),
    intercepted: fail(
      `The certificate that ${who}'s address shows comes from an authority that is not trusted: ` +
        "something on the way opens TLS, mostly a firewall or a proxy.",
      "get that authority's certificate as PEM and name the file in EXTRA_CA_CERTS_FILEPATH",
    ),
    name: fail(
      `The certificate that ${who}'s address shows is for another name.`,
      `check the name server and ${setting}: the address belongs to somebody else`,
    ),
    expired: fail(
      `The certificate that ${who}'s address shows is out of its time.`,
      `check this machine's clock; with ${setting} set to a host of your own, renew its certificate`,
    ),
    proxy: fail(
      `The proxy of HTTPS_PROXY on the way to ${who} refuses or cannot be reached.`,
      "correct HTTPS_PROXY, with user and password if it wants them, or except the host in NO_PROXY",
    ),
    unexpected: warn(
      `Something answers in the place of ${who}, but not as it does.`,
      `check ${setting}; a proxy's or a hotspot's page may be in between`,
    ),
  } as const satisfies Readonly<Record<string, Kind>>;
  type Kinds = typeof kinds;
  return Object.fromEntries(
    Object.entries(kinds).map(([key, kind]) => [`${name}.${key}`, kind]),
  ) as {
    readonly [Key in keyof Kinds as `${Name}.${Key & string}`]: Kinds[Key];
  };
}
