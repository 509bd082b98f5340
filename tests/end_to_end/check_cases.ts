/** Broken set-ups, each with the fault that `check` must name, and no other. */
import { readFileSync } from "node:fs";
import process from "node:process";
import type { Code } from "../../src/check/codes.ts";
import { defaultGateways } from "../../src/check/gateways.ts";
import type { Fault } from "../../src/sandbox/faults.ts";
import { CLIENT, TENANT } from "./programs.ts";
import type { VaultFault } from "../support/vault.ts";
import { ACCOUNT, CONNECTION_STRING } from "../support/azurite.ts";
import { VAULT_CLIENT, VAULT_TENANT } from "../support/vault.ts";
import { APPS, SECRET, USERNAME, type World } from "./check_world.ts";

export interface Case {
  /** Continues "names". */
  readonly name: string;
  /** Settings that replace the sound ones; an empty one is unset. */
  readonly settings?: (world: World) => Record<string, string> | Promise<Record<string, string>>;
  /** Arguments; a login without a message by default. */
  readonly args?: (world: World) => readonly string[];
  /** Faults of the simulated services. */
  readonly faults?: readonly Fault[];
  readonly vaultFault?: VaultFault;
  /** All findings that are not ok, in order. */
  readonly codes: readonly Code[];
  /** The lines, with cause and fix. */
  readonly says: readonly RegExp[];
  /** Also on Deno in `npm test`; all others are tried there by `npm run test:long`. */
  readonly everywhere?: boolean;
  /** The name of the matching example in docs/check.md. */
  readonly example?: string;
}

const login = (username: string) => () => ["--username", username];
const message = (from = "scanner@example.com", username = USERNAME) => () => [
  ...["--username", username, "--from", from],
  ...["--to", "you@example.org"],
];
const refusal = (number: number, code = "invalid_client", status = 401): Fault => ({
  on: "token",
  status,
  code,
  number,
  message: "Scripted.",
});
const graph = (status: number, code: string, times = 1): Fault => ({
  on: "sendMail",
  status,
  code,
  times,
});
const pair = (name: string) => (world: World) => ({
  TLS_CERT_FILEPATH: world.file(`${name}.pem`),
  TLS_KEY_FILEPATH: world.file(`${name}-key.pem`),
});
const certificate = (name: string) => (world: World) => ({
  TLS_CERT_FILEPATH: world.file(name),
});
const at = (service: keyof World["services"]) => (world: World) => ({
  AZURE_AUTHORITY_HOST: world.services[service],
  GRAPH_ENDPOINT: world.services[service],
  GRAPH_HTTP_TIMEOUT: "1",
});
const inTable = (name: string) => (world: World) => ({
  AZURE_TABLES_URL: world.table(name),
  AZURE_TABLES_CONNECTION_STRING: CONNECTION_STRING,
});
/** Of the right form. */
const WRONG_KEY = "V3Jvbmcta2V5LXRoYXQtbXVzdC1ub3Qtc2hvdw==";
/** A lookup file, and the relay's own certificate. */
const inFile = (name: string, certificate = "client") => (world: World) => ({
  LOOKUP_FILE: world.file(`${name}.json`),
  ...certificate === "" ? {} : {
    CLIENT_CERTIFICATE_FILEPATH: world.file(`${certificate}.pem`),
    CLIENT_KEY_FILEPATH: world.file(`${certificate}-key.pem`),
  },
});
const inVault = (name: string) => ({ vault, sound }: World) => ({
  ...vault.environment(name),
  AZURE_AUTHORITY_HOST: sound["AZURE_AUTHORITY_HOST"]!,
});
/** Names that only a proxy can resolve (RFC 6761 §6.2). */
const throughProxy = (proxy: keyof World["proxies"]) => (world: World) => ({
  AZURE_AUTHORITY_HOST: "https://login.relay.test",
  GRAPH_ENDPOINT: "https://graph.relay.test",
  HTTPS_PROXY: world.proxies[proxy],
});
const nothing = () => [];

const SETTINGS: readonly Case[] = [
  {
    name: "every bad setting, and continues with the rest",
    settings: () => ({
      LOG_LEVEL: "LOUD",
      SMTP_LISTEN: "8025",
      GRAPH_ENDPOINT: "http://x.example",
    }),
    codes: ["settings.bad", "settings.bad", "settings.bad", "settings.not-judged"],
    says: [
      /LOG_LEVEL "LOUD" must be "DEBUG"/,
      /SMTP_LISTEN "8025" must be host:port/,
      /GRAPH_ENDPOINT "http:\/\/x\.example" must be an https URL/,
      /not checked because of SMTP_LISTEN, GRAPH_ENDPOINT: SMTP port, Graph, login/,
      /ok {3}certificate: TLS_CERT_FILEPATH ".*cert\.pem" is for smtp\.example\.com/,
      /ok {3}authority: 127\.0\.0\.1:\d+ answers/,
    ],
    everywhere: true,
  },
  {
    name: "a misspelled setting",
    settings: () => ({ USERNAME_DELIMTER: ":" }),
    codes: ["settings.doubtful"],
    says: [/USERNAME_DELIMTER is not a setting: did you mean USERNAME_DELIMITER\? Fix: correct it/],
  },
  {
    name: "a version at the end of Graph's address, which the relay appends itself",
    settings: ({ sound }) => ({ GRAPH_ENDPOINT: `${sound["GRAPH_ENDPOINT"]}/v1.0/` }),
    codes: ["settings.bad", "settings.not-judged"],
    says: [/GRAPH_ENDPOINT ".*" must be an https URL .* without Graph's version, \/v1\.0 or/],
  },
  {
    name: "an --env-file that is missing",
    args: (world) => ["--env-file", world.file("absent.env")],
    codes: ["settings.env-file"],
    says: [/--env-file ".*absent\.env" cannot be read: .*\(ENOENT\)\. Fix: name a file/],
  },
  {
    name: "a file of authorities that contains none",
    settings: (world) => ({ EXTRA_CA_CERTS_FILEPATH: world.file("nonsense.pem") }),
    codes: ["authorities.unusable"],
    says: [/EXTRA_CA_CERTS_FILEPATH ".*nonsense\.pem" holds no certificate in PEM form\. Fix: /],
  },
];

const CERTIFICATES: readonly Case[] = [
  {
    name: "a certificate file that is missing, and its key's",
    settings: (world) => ({
      TLS_CERT_FILEPATH: world.file("absent.pem"),
      TLS_KEY_FILEPATH: world.file("absent-key.pem"),
    }),
    codes: ["certificate.missing", "certificate.missing"],
    says: [
      /TLS_CERT_FILEPATH ".*absent\.pem" does not exist/,
      /TLS_KEY_FILEPATH ".*absent-key\.pem" does not exist/,
    ],
  },
  {
    // A directory stands for what cannot be read: tests may run as root, who reads every file.
    name: "a certificate file that cannot be read",
    settings: certificate("directory.pem"),
    codes: ["certificate.unreadable"],
    says: [/TLS_CERT_FILEPATH ".*directory\.pem" is a directory\. Fix: change the file's owner/],
  },
  {
    name: "a certificate file with something else in it",
    settings: certificate("nonsense.pem"),
    codes: ["certificate.malformed"],
    says: [/holds no certificate in PEM form\. Fix: convert it: openssl pkcs12/],
  },
  {
    name: "a certificate file that is cut off",
    settings: certificate("half.pem"),
    codes: ["certificate.malformed"],
    says: [/half\.pem" is cut off: a certificate begins .*\. Fix: copy or write the file again/],
  },
  {
    name: "a key with a passphrase",
    settings: (world) => ({ TLS_KEY_FILEPATH: world.file("locked-key.pem") }),
    codes: ["certificate.malformed"],
    says: [
      /has a passphrase, which the relay cannot enter\. Fix: remove it with openssl pkey -in/,
    ],
  },
  {
    name: "a key of another certificate",
    settings: (world) => ({ TLS_KEY_FILEPATH: world.file("other-key.pem") }),
    codes: ["certificate.key-mismatch"],
    says: [
      /".*other-key\.pem" is not the key of the certificate in ".*cert\.pem"\. Fix: copy both|copy certificate and key/,
    ],
    everywhere: true,
  },
  {
    name: "certificate and key exchanged",
    settings: (world) => ({
      TLS_CERT_FILEPATH: world.file("key.pem"),
      TLS_KEY_FILEPATH: world.file("cert.pem"),
    }),
    codes: ["certificate.swapped"],
    says: [/".*key\.pem" holds the private key and .*cert\.pem" the certificate\. Fix: exchange/],
    everywhere: true,
  },
  {
    name: "a key of an unsupported kind",
    settings: pair("p224"),
    codes: ["certificate.name", "certificate.self-signed", "certificate.key-kind"],
    says: [/of the kind EC P-224.*Fix: get a certificate with an RSA key of 2048 bits or more/],
    everywhere: true,
  },
  {
    name: "an intermediate certificate instead of the server's",
    settings: certificate("wrong-order.pem"),
    codes: [
      "certificate.no-names",
      "certificate.chain-order",
      "certificate.key-mismatch",
    ],
    says: [/but that of certificate number 2 in the file\. Fix: put certificate number 2 first/],
  },
  {
    name: "an expired certificate",
    settings: pair("expired"),
    codes: ["certificate.expired"],
    says: [/expired on \d{4}-\d\d-\d\d, 12 days ago\. Fix: renew the certificate/],
    example: "an expired certificate",
    args: nothing,
  },
  {
    name: "a certificate that is not valid yet",
    settings: pair("future"),
    codes: ["certificate.not-yet-valid"],
    says: [/not valid before \d{4}-\d\d-\d\d\. Fix: wait, or let the machine set its clock/],
  },
  {
    name: "a certificate that expires soon",
    settings: pair("soon"),
    codes: ["certificate.expires-soon"],
    says: [/warn certificate: .* ends on \d{4}-\d\d-\d\d, in [45] days\. Fix: renew/],
  },
  {
    name: "a certificate for another name",
    settings: pair("misnamed"),
    codes: ["certificate.name"],
    says: [/is for mail\.example\.org, not for SERVER_HOSTNAME "smtp\.example\.com"/],
  },
  {
    name: "a certificate without the machine's name, when no other name is set",
    settings: () => ({ SERVER_HOSTNAME: "" }),
    codes: ["certificate.name"],
    says: [/not for the machine's name "[^"]+" \(SERVER_HOSTNAME is not set\)\. Fix: /],
  },
  {
    name: "a certificate without names",
    settings: pair("nameless"),
    codes: ["certificate.no-names"],
    says: [/has no subject alternative names \(CN=smtp\.example\.com\)/],
  },
  {
    name: "a certificate without its chain",
    settings: certificate("leaf-only.pem"),
    codes: ["certificate.chain-incomplete"],
    says: [/comes from "CN=Example Issuing CA", which is neither in the file nor.*fullchain\.pem/],
    everywhere: true,
  },
  {
    name: "a chain that ends with a private authority",
    settings: () => ({ EXTRA_CA_CERTS_FILEPATH: "" }),
    codes: ["certificate.chain-incomplete"],
    says: [/"CN=Example Root", which is not known to this machine\. Fix: if that is an authority/],
  },
  {
    name: "a self-signed certificate",
    settings: pair("self-signed"),
    codes: ["certificate.self-signed"],
    says: [/is self-signed\. Fix: configure the clients to trust it/],
  },
  {
    name: "a cipher string that cannot be used",
    settings: () => ({ TLS_CIPHER_SUITE: "NONSENSE" }),
    codes: ["certificate.unusable"],
    says: [/: TLS_CIPHER_SUITE "NONSENSE" cannot be used on .*Fix: leave TLS_CIPHER_SUITE unset/],
  },
  {
    name: "a security level in the cipher string, which is left out",
    settings: () => ({ TLS_CIPHER_SUITE: "DEFAULT@SECLEVEL=0" }),
    codes: ["certificate.cipher-level"],
    says: [/@SECLEVEL=0 is dropped: the TLS library of .* has no security levels/],
    everywhere: true,
  },
];

const PORTS: readonly Case[] = [
  {
    name: "a port that another program uses",
    settings: (world) => ({ SMTP_LISTEN: `127.0.0.1:${world.taken}` }),
    codes: ["ports.taken"],
    says: [/SMTP_LISTEN 127\.0\.0\.1:\d+: the port is in use by another program\. Fix: stop it/],
    everywhere: true,
  },
  {
    name: "a port in two settings",
    settings: (world) => {
      // Free for the moment: it was assigned and released.
      const { port } = new URL(world.services.refused);
      return { SMTP_LISTEN: `127.0.0.1:${port}`, HTTP_LISTEN: `127.0.0.1:${port}` };
    },
    codes: ["ports.twice"],
    says: [/HTTP_LISTEN 127\.0\.0\.1:\d+: SMTP_LISTEN wants the same port\. Fix: give SMTP_LISTEN/],
  },
  {
    name: "an address of another machine",
    settings: () => ({ SMTP_LISTEN: "192.0.2.9:8025" }),
    codes: ["ports.address"],
    says: [/SMTP_LISTEN 192\.0\.2\.9:8025: the address is not one of this machine's\. Fix: /],
  },
  {
    name: "a listening name that cannot be resolved",
    settings: () => ({
      SMTP_LISTEN: "nosuchhost.invalid:0",
      HTTP_LISTEN: "nosuchhost.invalid:0",
      HTTP_PASSWORD: "x",
    }),
    codes: ["ports.address", "ports.address"],
    says: [/SMTP_LISTEN nosuchhost\.invalid:0: the host name cannot be resolved\. Fix: correct it/],
    everywhere: true,
  },
];

const VAULT: readonly Case[] = [
  {
    name: "no fault of a correct certificate in a vault",
    settings: inVault("good"),
    args: nothing,
    codes: [],
    says: [
      /ok {3}vault: 127\.0\.0\.1:\d+ hands out "good"/,
      /ok {3}certificate: Key Vault's .* is for/,
    ],
    everywhere: true,
  },
  {
    name: "an expired certificate in the vault",
    settings: inVault("expired"),
    args: nothing,
    codes: ["certificate.expired"],
    says: [/Key Vault's certificate "expired" expired on \d{4}-\d\d-\d\d, 12 days ago/],
  },
  {
    name: "a role that the relay's identity lacks on the vault",
    settings: inVault("good"),
    args: nothing,
    vaultFault: "forbidden by role",
    codes: ["vault.forbidden"],
    says: [
      /does not hand out "good".*\(ForbiddenByRbac\).*Fix: give it the role "Key Vault Secrets/,
    ],
    everywhere: true,
  },
  {
    name: "a vault's firewall",
    settings: inVault("good"),
    args: nothing,
    vaultFault: "forbidden by firewall",
    codes: ["vault.firewall"],
    says: [/its firewall blocks this machine.*Fix: add this machine's address/],
  },
  {
    name: "a certificate that the vault does not have",
    settings: inVault("absent"),
    args: nothing,
    codes: ["vault.absent"],
    says: [/it has no certificate "absent".*Fix: correct AZURE_KEY_VAULT_CERT_NAME/],
  },
  {
    name: "a key that the vault does not export",
    settings: inVault("locked"),
    args: nothing,
    codes: ["vault.malformed"],
    says: [/it has no private key.*Fix: create the certificate with an exportable key/],
  },
  {
    name: "an identity whose secret is wrong",
    settings: (world) => ({ ...inVault("good")(world), AZURE_CLIENT_SECRET: "wrong-secret" }),
    args: nothing,
    codes: ["vault.identity"],
    says: [/gets no token for it: AADSTS7000215.*Fix: set AZURE_TENANT_ID/],
  },
  {
    name: "a vault that does not exist",
    settings: (world) => ({
      ...inVault("good")(world),
      AZURE_KEY_VAULT_URL: world.services.refused,
    }),
    args: nothing,
    codes: ["vault.unreachable"],
    says: [/it cannot be reached: ECONNREFUSED.*Fix: correct AZURE_KEY_VAULT_URL, or check/],
  },
  {
    name: "a vault setting without the vault's name",
    settings: () => ({ TLS_SOURCE: "keyvault" }),
    args: nothing,
    codes: ["settings.bad", "settings.bad", "settings.not-judged"],
    says: [
      /AZURE_KEY_VAULT_URL must be set/,
      /AZURE_KEY_VAULT_CERT_NAME must be set/,
      /AZURE_KEY_VAULT_URL, AZURE_KEY_VAULT_CERT_NAME: certificate/,
    ],
  },
];

const SERVICES: readonly Case[] = [
  {
    name: "services whose names cannot be resolved",
    settings: () => ({
      AZURE_AUTHORITY_HOST: "https://login.invalid",
      GRAPH_ENDPOINT: "https://graph.invalid",
    }),
    args: nothing,
    codes: ["authority.dns", "graph.dns", "clock.unknown"],
    says: [/the name of login\.invalid cannot be resolved \(\w+\)\. Fix: check the name server/],
  },
  {
    name: "services that refuse the connection",
    settings: at("refused"),
    args: nothing,
    codes: ["authority.refused", "graph.refused", "clock.unknown"],
    says: [/FAIL authority: 127\.0\.0\.1:\d+: ECONNREFUSED: .*Fix: check the firewall/],
  },
  {
    name: "a Graph that does not answer in time",
    settings: (world) => ({ GRAPH_ENDPOINT: world.services.silent, GRAPH_HTTP_TIMEOUT: "1" }),
    args: nothing,
    codes: ["graph.timeout"],
    says: [/FAIL graph: 127\.0\.0\.1:\d+: ETIMEDOUT: no answer within 1 s\. Fix: /],
  },
  {
    name: "a connection that breaks off",
    settings: at("closing"),
    args: nothing,
    codes: ["authority.broken", "graph.broken", "clock.unknown"],
    says: [/FAIL graph: 127\.0\.0\.1:\d+: ECONNRESET: connection closed without an answer/],
  },
  {
    name: "another server's page instead of the services",
    settings: at("page"),
    args: nothing,
    codes: ["authority.unexpected", "graph.unexpected", "clock.unknown"],
    says: [
      /answers with status 200, but not as the service does\. Fix: check AZURE_AUTHORITY_HOST/,
    ],
  },
  {
    name: "the issuer that intercepts TLS",
    settings: at("intercepted"),
    args: nothing,
    codes: ["authority.intercepted", "graph.intercepted", "clock.unknown"],
    says: [
      /from an authority "Corp Firewall CA" that is not trusted \(\w+\)\. Fix: get that authority's certificate as PEM and name the file in EXTRA_CA_CERTS_FILEPATH/,
    ],
    everywhere: true,
    example: "a firewall that opens TLS",
  },
  {
    name: "a service with a certificate for another name",
    settings: at("misnamed"),
    args: nothing,
    codes: ["authority.name", "graph.name", "clock.unknown"],
    says: [/localhost:\d+ shows a certificate for .* another name\. Fix: check the name server/],
  },
  {
    name: "a service with a certificate that is outside its validity period",
    settings: at("outOfTime"),
    args: nothing,
    codes: ["authority.expired", "graph.expired", "clock.unknown"],
    says: [
      /certificate of localhost:\d+ is outside its validity period \(.*Fix: check this machine's/,
    ],
  },
  {
    name: "a proxy that requires another password",
    settings: throughProxy("locked"),
    args: nothing,
    codes: ["authority.proxy", "graph.proxy", "clock.unknown"],
    says: [/PROXY_407: .* the proxy 127\.0\.0\.1:\d+ answers 407: .*Fix: correct HTTPS_PROXY/],
    everywhere: true,
  },
  {
    name: "a proxy that does not exist",
    settings: throughProxy("refused"),
    args: nothing,
    codes: ["authority.proxy", "graph.proxy", "clock.unknown"],
    says: [/PROXY_ECONNREFUSED: .*the proxy 127\.0\.0\.1:\d+ cannot be reached/],
  },
  {
    name: "a proxy that intercepts TLS",
    settings: throughProxy("opening"),
    args: nothing,
    codes: ["authority.intercepted", "graph.intercepted", "clock.unknown"],
    says: [/graph\.relay\.test shows a certificate from an authority "Corp Firewall CA"/],
  },
  {
    name: "a clock that is ten minutes slow",
    settings: async (world) => ({
      AZURE_AUTHORITY_HOST: await world.clock(600),
      GRAPH_ENDPOINT: await world.clock(600),
    }),
    args: nothing,
    codes: ["clock.wrong"],
    says: [/FAIL clock: 10 min behind 127\.0\.0\.1:\d+\. Fix: let the machine set its clock/],
  },
  {
    name: "a clock that is two minutes fast",
    settings: async (world) => ({
      AZURE_AUTHORITY_HOST: await world.clock(-125),
      GRAPH_ENDPOINT: await world.clock(-125),
    }),
    args: nothing,
    codes: ["clock.off"],
    says: [/warn clock: (?:2 min|11\d s|12\d s) ahead of 127\.0\.0\.1/],
  },
];

const TABLE: readonly Case[] = [
  {
    name: "no fault of a correct table, and sends as its entry says",
    settings: inTable("users"),
    args: message("ignored@example.com", "scanner@lookup"),
    codes: [],
    says: [
      /ok {3}table: 127\.0\.0\.1:\d+\/devstoreaccount1\/users has 2 entries, 1 of them disabled/,
      /ok {3}message: sent from scanner@example\.com to/,
    ],
    everywhere: true,
  },
  {
    name: "a table that does not exist",
    settings: inTable("nowhere"),
    args: nothing,
    codes: ["table.missing"],
    says: [/\/nowhere: TableNotFound: the table does not exist\. Fix: create it, or correct/],
    everywhere: true,
  },
  {
    name: "access to the table that is refused",
    settings: (world) => ({
      ...inTable("users")(world),
      AZURE_TABLES_CONNECTION_STRING: `AccountName=${ACCOUNT};AccountKey=${WRONG_KEY}`,
    }),
    args: nothing,
    codes: ["table.forbidden"],
    says: [
      /AuthorizationFailure: access to the table is refused\. Fix: check AZURE_TABLES_CONNECTION_STRING/,
    ],
  },
  {
    name: "an identity for the table that does not exist",
    settings: (world) => ({ AZURE_TABLES_URL: world.services.misnamed + "/users" }),
    args: nothing,
    codes: ["table.identity"],
    says: [/NO_IDENTITY: no identity .* was found for the table\. Fix: set AZURE_TENANT_ID/],
  },
  {
    name: "an identity that cannot be made, and a login that needs the table",
    settings: (world) => ({
      AZURE_TABLES_URL: world.services.misnamed + "/users",
      AZURE_TOKEN_CREDENTIALS: "bogus",
    }),
    args: login("scanner@lookup"),
    codes: ["table.identity", "login.unreachable"],
    says: [
      /FAIL table: the relay's own identity cannot be made: .*AZURE_TOKEN_CREDENTIALS = bogus.*\. Fix: correct AZURE_TOKEN_CREDENTIALS/,
    ],
    everywhere: true,
  },
  {
    name: "an identity that gets no token for the table",
    settings: (world) => ({
      AZURE_TABLES_URL: world.services.misnamed + "/users",
      AZURE_TENANT_ID: VAULT_TENANT,
      AZURE_CLIENT_ID: VAULT_CLIENT,
      AZURE_CLIENT_SECRET: "expired-secret",
    }),
    args: nothing,
    codes: ["table.identity"],
    says: [/AADSTS7000222: the relay's own identity for the table got no token/],
  },
  {
    name: "a table service that does not exist",
    settings: (world) => ({
      ...inTable("users")(world),
      AZURE_TABLES_URL: world.services.refused + "/users",
    }),
    args: nothing,
    codes: ["table.unreachable"],
    says: [/\/users: ECONNREFUSED: the table cannot be reached.*Fix: correct AZURE_TABLES_URL/],
  },
  {
    name: "a table without entries",
    settings: inTable("empty"),
    args: nothing,
    codes: ["table.empty"],
    says: [/has no entry in AZURE_TABLES_PARTITION_KEY\. Fix: create entries with/],
  },
  {
    name: "a table without entries when each login needs one",
    settings: (world) => ({ ...inTable("empty")(world), AZURE_TABLES_FORCE_USAGE: "true" }),
    args: nothing,
    codes: ["table.empty-forced"],
    says: [
      /FAIL table: .* has no entry in .*FORCE_USAGE refuses every login without one\. Fix: create/,
    ],
  },
  {
    name: "ids of tenant and client without an entry when they need one",
    settings: (world) => ({ ...inTable("users")(world), AZURE_TABLES_FORCE_USAGE: "true" }),
    args: login(`${TENANT}@${APPS.noRoles}`),
    codes: ["login.no-entry"],
    says: [
      new RegExp(
        "Fix: make an entry with these two ids, .*: smtp-oauth-relay lookup set ID " +
          `tenant_id=${TENANT} client_id=${APPS.noRoles} \\[`,
      ),
    ],
  },
  {
    name: "an entry with a mistake, and why its login fails",
    settings: inTable("mistakes"),
    args: login("typo@lookup"),
    codes: ["table.row", "login.entry-malformed"],
    says: [
      /warn table: entry "typo": client_id must be a UUID\. Fix: correct it with: smtp-oauth-relay lookup set typo client_id=VALUE \[/,
      /FAIL login: entry "typo" of the lookup table: client_id must be a UUID\. Fix: correct it with: smtp-oauth-relay lookup set typo client_id=VALUE \[/,
    ],
  },
  {
    name: "an entry with a mistake in the table, beside a file, which lookup would change",
    settings: (world) => ({ ...inTable("mistakes")(world), ...inFile("devices")(world) }),
    args: login("typo@lookup"),
    codes: ["table.row", "login.entry-malformed"],
    says: [
      /warn table: entry "typo": client_id must be a UUID\. Fix: correct it with: LOOKUP_FILE= smtp-oauth-relay lookup set typo client_id=VALUE \[/,
    ],
  },
  {
    name: "an id alone that is not in the file",
    settings: inFile("devices"),
    args: login("scaner"),
    codes: ["login.username"],
    says: [/LOOKUP_FILE has no entry with this id.*Fix: if it is an entry's id, correct it/],
  },
  {
    name: "an id that is not in the table",
    settings: inTable("users"),
    args: login("scaner@lookup"),
    codes: ["login.no-entry"],
    says: [/the lookup table has no entry with this id as its RowKey.*Fix: correct the id/],
  },
  {
    name: "an entry that is disabled",
    settings: inTable("users"),
    args: login("retired@lookup"),
    codes: ["login.entry-disabled"],
    says: [
      /entry "retired" of the lookup table is disabled\. Fix: enable it with: smtp-oauth-relay lookup set retired disabled=false \[/,
    ],
  },
  {
    name: "a username of the table when there is no table",
    args: login("scanner@lookup"),
    codes: ["login.no-table"],
    says: [/usernames of the form id@lookup need LOOKUP_FILE or AZURE_TABLES_URL/],
  },
  {
    name: "a required table without its address",
    settings: () => ({ AZURE_TABLES_FORCE_USAGE: "true" }),
    codes: ["settings.bad", "settings.not-judged"],
    says: [
      /AZURE_TABLES_FORCE_USAGE needs entries: LOOKUP_FILE or/,
      /not checked because of AZURE_TABLES_URL: table, login/,
    ],
  },
  {
    name: "a tenant that ALLOWED_TENANTS does not have",
    settings: () => ({ ALLOWED_TENANTS: "99999999-9999-9999-9999-999999999999" }),
    codes: ["login.tenant-not-allowed"],
    says: [/is not in ALLOWED_TENANTS\. Fix: add it there/],
  },
  {
    name: "a sender that ALLOWED_SENDERS does not have",
    settings: () => ({ ALLOWED_SENDERS: "@example.net" }),
    args: message(),
    codes: ["message.sender-not-allowed"],
    says: [/SENDER_NOT_ALLOWED: scanner@example\.com may not send.*Fix: correct ALLOWED_SENDERS/],
  },
];

const LOGINS: readonly Case[] = [
  {
    name: "a malformed username",
    args: login("scanner"),
    codes: ["login.username"],
    says: [/the username has no "@"; expected tenant@client.*Fix: make the username with/],
  },
  {
    name: "a tenant that does not exist",
    faults: [refusal(90002, "invalid_request", 400)],
    codes: ["login.tenant-unknown"],
    says: [/AADSTS90002: the tenant does not exist.*Fix: compare the tenant id/],
  },
  {
    name: "an app that the tenant does not have",
    faults: [refusal(700016, "unauthorized_client", 400)],
    codes: ["login.app-unknown"],
    says: [/AADSTS700016: the application is not known in this tenant.*Fix: compare the client id/],
  },
  {
    name: "an app that is disabled",
    faults: [refusal(7000112, "unauthorized_client", 400)],
    codes: ["login.app-disabled"],
    says: [/AADSTS7000112: the application is disabled\. Fix: enable it/],
  },
  {
    name: "a wrong secret",
    settings: () => ({ RELAY_PASSWORD: "wrong-secret" }),
    codes: ["login.secret-wrong"],
    says: [/AADSTS7000215: the client secret is wrong.*Fix: enter the secret's value, not its id/],
    everywhere: true,
  },
  {
    name: "an expired secret",
    settings: () => ({ RELAY_PASSWORD: "expired-secret" }),
    codes: ["login.secret-expired"],
    says: [/AADSTS7000222: the client secret has expired.*Fix: create a new secret/],
  },
  {
    name: "a policy that blocks the app",
    faults: [refusal(53003, "access_denied", 400)],
    codes: ["login.blocked"],
    says: [/AADSTS53003: a Conditional Access policy blocks/],
  },
  {
    name: "an Entra ID that throttles",
    faults: [refusal(90033, "temporarily_unavailable", 503)],
    codes: ["login.later"],
    says: [/AADSTS90033: .*Fix: try again in a few minutes/],
  },
  {
    name: "a login that cannot be tried, besides its obstacle",
    settings: at("refused"),
    codes: [
      "authority.refused",
      "graph.refused",
      "clock.unknown",
      "login.unreachable",
    ],
    says: [/FAIL login: ECONNREFUSED: Entra ID cannot be reached .*Fix: correct what the lines/],
  },
  {
    name: "a login by a table that does not exist",
    settings: inTable("nowhere"),
    args: login("scanner@lookup"),
    codes: ["table.missing", "login.unreachable"],
    says: [/FAIL login: TableNotFound: the table does not exist/],
  },
  {
    name: "a proxy's page in response to the login",
    faults: [{ on: "token", status: 502, html: true }],
    codes: ["login.later"],
    says: [/HTTP 502: unexpected answer with status 502/],
  },
  {
    name: "a response that is not Entra ID's, which will not change by waiting",
    faults: [{ on: "token", status: 404, html: true }],
    codes: ["login.later"],
    says: [/HTTP 404: unexpected answer with status 404; .*\. Fix: correct AZURE_AUTHORITY_HOST/],
  },
  {
    name: "an empty password file",
    settings: () => ({ RELAY_PASSWORD: "" }),
    args: (world) => ["--username", USERNAME, "--password-file", world.file("empty")],
    codes: ["login.password-file"],
    says: [/--password-file ".*empty" is empty\. Fix: name a file that contains the client secret/],
  },
  {
    name: "a token without any permission, which may be intended",
    args: login(`${TENANT}@${APPS.noRoles}`),
    codes: ["token.no-roles"],
    says: [/warn token: .*RBAC for Applications.*Fix: try a real message with --from and --to/],
  },
  {
    name: "a token with other permissions than Mail.Send",
    args: login(`${TENANT}@${APPS.readOnly}`),
    codes: ["token.no-mail-send"],
    says: [/warn token: names User\.Read\.All, no Mail\.Send\. Fix: /],
  },
  {
    name: "a token that cannot send large messages",
    args: login(`${TENANT}@${APPS.sendOnly}`),
    codes: ["token.no-mail-readwrite"],
    says: [/warn token: names Mail\.Send, no Mail\.ReadWrite\. Fix: grant Mail\.ReadWrite/],
  },
];

/** Networks of documentation (RFC 5737), which no machine has; the account may log in. */
const trusted = (settings: Record<string, string> = {}) => ({
  TRUSTED_NETWORKS: "198.51.100.0/24",
  TRUSTED_USERNAME: USERNAME,
  TRUSTED_PASSWORD: SECRET,
  ALLOWED_SENDERS: "@example.com",
  ...settings,
});

/** When this machine has no network, none can be named. */
const [gateway] = defaultGateways({ ipv4: routes("route"), ipv6: routes("ipv6_route") }) ?? [];

function routes(file: string): string | undefined {
  try {
    return readFileSync(`/proc/net/${file}`, "utf8");
  } catch {
    return undefined;
  }
}

const TRUSTED: readonly Case[] = [
  {
    name: "no fault of trusted networks whose account logs in and is bound",
    settings: () => trusted(),
    args: nothing,
    codes: [],
    says: [
      /ok {3}trusted: TRUSTED_NETWORKS 198\.51\.100\.0\/24; .*\[trusted\.networks\]/,
      /ok {3}trusted: TRUSTED_USERNAME: .* a token; it sends as those in ALLOWED_SENDERS only/,
    ],
    everywhere: true,
  },
  {
    name: "no fault of an account of the table, bound by its from_email",
    settings: (world) =>
      trusted({
        ...inTable("users")(world),
        TRUSTED_USERNAME: "scanner@lookup",
        ALLOWED_SENDERS: "",
      }),
    args: nothing,
    codes: [],
    says: [/ok {3}trusted: TRUSTED_USERNAME: .* it sends as scanner@example\.com only/],
  },
  ...(gateway === undefined ? [] : [
    {
      name: "the gateway in trusted networks, whose address Docker's proxy shows for all clients",
      settings: () => trusted({ TRUSTED_NETWORKS: `198.51.100.0/24,${gateway}` }),
      args: nothing,
      codes: ["trusted.gateway"],
      says: [
        /warn trusted: TRUSTED_NETWORKS .* contains .*, the gateway of this machine or .*Fix: list/,
      ],
      everywhere: true,
    } satisfies Case,
  ]),
  {
    name: "this machine itself in trusted networks",
    settings: () => trusted({ TRUSTED_NETWORKS: "127.0.0.0/8" }),
    args: nothing,
    codes: ["trusted.loopback"],
    says: [
      /warn trusted: TRUSTED_NETWORKS 127\.0\.0\.0\/8 contains addresses of this machine itself/,
    ],
  },
  {
    name: "a trusted network that is too wide, without judging it",
    settings: () => trusted({ TRUSTED_NETWORKS: "198.51.100.1,0.0.0.0/0" }),
    args: nothing,
    codes: ["settings.bad", "settings.not-judged"],
    says: [
      /TRUSTED_NETWORKS "0\.0\.0\.0\/0", in "198\.51\.100\.1,0\.0\.0\.0\/0", must be networks .* \/8/,
      /not checked because of TRUSTED_NETWORKS: trusted networks/,
    ],
  },
  {
    name: "trusted networks that could send as any sender",
    settings: () => trusted({ ALLOWED_SENDERS: "" }),
    args: nothing,
    codes: ["settings.bad", "settings.not-judged"],
    says: [/ALLOWED_SENDERS must be set when TRUSTED_NETWORKS is, unless TRUSTED_USERNAME is an/],
  },
  {
    name: "an entry of the table that binds trusted networks to no sender",
    settings: (world) =>
      trusted({
        ...inTable("unbound")(world),
        TRUSTED_USERNAME: "printers@lookup",
        ALLOWED_SENDERS: "",
      }),
    args: nothing,
    codes: ["trusted.unbound"],
    says: [
      /FAIL trusted: entry "printers" of the lookup, .* no from_email.*Fix: set ALLOWED/,
    ],
  },
  {
    name: "a wrong secret of trusted networks",
    settings: () => trusted({ TRUSTED_PASSWORD: "wrong-secret" }),
    args: nothing,
    codes: ["trusted.refused"],
    says: [
      /FAIL trusted: TRUSTED_USERNAME cannot log in: AADSTS7000215: .*Fix: set TRUSTED_PASSWORD/,
    ],
    everywhere: true,
  },
  {
    name: "an account of trusted networks that the table does not have",
    settings: (world) => trusted({ ...inTable("users")(world), TRUSTED_USERNAME: "absent@lookup" }),
    args: nothing,
    codes: ["trusted.refused"],
    says: [/FAIL trusted: TRUSTED_USERNAME cannot log in: the lookup table has no entry/],
  },
  {
    name: "an Entra ID that defers the account of trusted networks",
    settings: () => trusted(),
    args: nothing,
    faults: [refusal(90033, "temporarily_unavailable", 503)],
    codes: ["trusted.later"],
    says: [/FAIL trusted: TRUSTED_USERNAME cannot log in: AADSTS90033.*Fix: try again/],
  },
  {
    name: "a permission that the account of trusted networks lacks",
    settings: () => trusted({ TRUSTED_USERNAME: `${TENANT}@${APPS.sendOnly}` }),
    args: nothing,
    codes: ["token.no-mail-readwrite"],
    says: [/warn token: that of TRUSTED_USERNAME names Mail\.Send, no Mail\.ReadWrite/],
  },
];

const MESSAGES: readonly Case[] = [
  {
    name: "a mailbox outside of the app's scope",
    args: message("scanner@example.com", `${TENANT}@${APPS.noRoles}`),
    faults: [{
      ...graph(403, "ErrorAccessDenied", 2),
      message: "Access is denied. Check credentials and try again.",
    }],
    codes: ["token.no-roles", "message.access-denied"],
    says: [
      /from scanner@example\.com to you@example\.org, id=\w+: ErrorAccessDenied: .*Fix: grant/,
    ],
    everywhere: true,
    example: "a mailbox outside of the app's scope",
  },
  {
    name: "a missing permission as FAIL once Graph refuses",
    args: message("scanner@example.com", `${TENANT}@${APPS.noRoles}`),
    codes: ["token.no-roles", "message.access-denied"],
    says: [/FAIL message: .*ErrorAccessDenied/],
  },
  {
    name: "a mailbox that an app may not use despite Mail.Send",
    args: message(),
    faults: [graph(403, "ErrorAccessDenied", 2)],
    codes: ["message.access-denied"],
    says: [/ErrorAccessDenied: .*Fix: the token has Mail\.Send: look for an application access/],
  },
  {
    name: "a full mailbox",
    args: message(),
    faults: [graph(403, "ErrorQuotaExceeded", 2)],
    codes: ["message.later"],
    says: [/ErrorQuotaExceeded: the sender's mailbox is full.*Fix: empty the mailbox/],
  },
  {
    name: "no missing mailbox when the response may not be Graph's",
    args: message(),
    faults: [{ on: "sendMail", status: 404, html: true }],
    codes: ["message.refused"],
    says: [/HTTP 404: the sender has no mailbox, or GRAPH_ENDPOINT .*Fix: correct GRAPH_ENDPOINT/],
  },
  {
    name: "a mailbox that does not exist",
    args: message("nobody@example.com"),
    codes: ["message.no-mailbox"],
    says: [/ErrorInvalidUser: the sender has no mailbox.*Fix: send from a mailbox that exists/],
  },
  {
    name: "a mailbox without a licence",
    args: message(),
    faults: [graph(404, "MailboxNotEnabledForRESTAPI")],
    codes: ["message.not-licensed"],
    says: [/MailboxNotEnabledForRESTAPI: .*licence.*Fix: give the account a licence/],
  },
  {
    name: "an address that is not the mailbox's own",
    args: message(),
    faults: [graph(403, "ErrorSendAsDenied", 2)],
    codes: ["message.send-as"],
    says: [/ErrorSendAsDenied: .*Fix: send as the mailbox itself, or grant it Send As/],
  },
  {
    name: "a Graph that throttles",
    settings: () => ({ DELIVERY_TIMEOUT: "1s" }),
    args: message(),
    faults: [{ ...graph(429, "ApplicationThrottled", 50), retryAfter: 1 }],
    codes: ["message.later"],
    says: [/ApplicationThrottled: Graph throttles this mailbox.*Fix: try again/],
  },
  {
    name: "a message that may or may not have been sent",
    args: message(),
    faults: [{ on: "sendMail", connection: "close", after: "take" }],
    codes: ["message.ambiguous"],
    says: [
      /may have been sent from scanner@example\.com .*Fix: look into the mailbox's Sent Items/,
    ],
  },
];

const QUEUE_KEY = "q".repeat(43);
/** The queue itself is not looked at. */
const asking = (world: World) => ({
  DELIVERY_MODE: "queue",
  QUEUE_AMBIGUOUS: "ask",
  QUEUE_KEY,
  QUEUE_URL: `sqlite:${world.file("absent")}/queue.db`,
});
const QUEUE: readonly Case[] = [
  {
    name: "a queue without a key",
    settings: () => ({ DELIVERY_MODE: "queue" }),
    codes: ["settings.bad", "settings.not-judged"],
    says: [
      /QUEUE_KEY must be set when DELIVERY_MODE is queue: .*openssl rand -base64 32/,
      /not checked because of QUEUE_KEY: queue/,
    ],
  },
  {
    name: "settings of a queue that direct mode does not use",
    settings: () => ({ QUEUE_KEY }),
    codes: ["settings.doubtful"],
    says: [/QUEUE_KEY has no effect, because DELIVERY_MODE is direct\. Fix: /],
  },
  {
    name: "a queue in a directory that does not exist",
    settings: (world) => ({
      DELIVERY_MODE: "queue",
      QUEUE_KEY,
      QUEUE_URL: `sqlite:${world.file("absent")}/queue.db`,
    }),
    codes: ["queue.directory"],
    says: [/FAIL queue: the directory .*absent does not exist\. Fix: correct QUEUE_URL/],
    everywhere: true,
  },
  {
    name: "a queue in a storage account that cannot be reached",
    settings: () => ({
      DELIVERY_MODE: "queue",
      QUEUE_KEY,
      QUEUE_URL: "azure-storage:http://127.0.0.1:1/devstoreaccount1",
      QUEUE_CONNECTION_STRING: CONNECTION_STRING,
    }),
    codes: ["queue.unreachable"],
    says: [/127\.0\.0\.1:1 cannot be reached: ECONNREFUSED\. Fix: correct QUEUE_URL/],
    everywhere: true,
  },
  {
    name: "nothing about a queue that asks, where the mailbox shows what was sent",
    settings: asking,
    args: message(),
    codes: ["queue.directory"],
    says: [
      /ok {3}message: scanner@example\.com has <check-[\w-]+@smtp\.example\.com> \(after 0 s\)/,
    ],
    everywhere: true,
  },
  {
    name: "an app that may not ask whether a message was sent",
    settings: asking,
    args: message("scanner@example.com", `${TENANT}@${APPS.sendOnly}`),
    codes: ["queue.directory", "token.no-mail-readwrite", "message.find-forbidden"],
    says: [/warn message: in scanner@example\.com: .*Fix: grant the app Mail\.ReadBasic\.All/],
  },
];

const DEVICES: readonly Case[] = [
  {
    name: "no fault of a device without a secret, and sends as its entry says",
    settings: inFile("devices"),
    args: message("ignored@example.com", "scanner"),
    codes: [],
    says: [
      /ok {3}lookup: LOOKUP_FILE ".*devices\.json" has 2 entries, 0 of them disabled/,
      /ok {3}credential: certificate with thumbprint [0-9A-F]{40} \(SHA-256 [0-9A-F]{64}\) is valid until 20/,
      new RegExp(`ok {3}credential: certificate logs in to app ${CLIENT} of ${TENANT} `),
      /ok {3}message: sent from scanner@example\.com to/,
    ],
    everywhere: true,
  },
  {
    name: "the relay's own certificate that ends soon, and is not registered",
    settings: inFile("devices", "client-soon"),
    args: login("scanner"),
    codes: ["credential.expires-soon", "credential.unregistered", "login.own-credential"],
    says: [
      /warn credential: certificate with thumbprint [0-9A-F]{40} .* 20 days left\. Fix: make a new one/,
      new RegExp(
        `FAIL credential: .*AADSTS700027: .* Fix: upload the certificate with thumbprint [0-9A-F]{40} ` +
          `.* to app ${CLIENT}: Entra admin center, App registrations`,
      ),
    ],
    everywhere: true,
  },
  {
    name: "the relay's own certificate that has ended",
    settings: inFile("devices", "client-ended"),
    args: nothing,
    codes: ["credential.expired", "credential.expired"],
    says: [
      /FAIL credential: certificate with thumbprint [0-9A-F]{40} .* ended on 20.*Fix: make a new/,
    ],
  },
  {
    name: "an app that does not have the certificate",
    settings: inFile("unregistered"),
    args: nothing,
    example: "a certificate that is not registered",
    codes: ["credential.unregistered"],
    says: [new RegExp(`to app ${APPS.sendOnly}: Entra`)],
  },
  {
    name: "a federated credential that is missing, with the values to enter",
    settings: (world) => ({
      ...inFile("cluster", "")(world),
      AZURE_FEDERATED_TOKEN_FILE: world.file("token.jwt"),
    }),
    args: nothing,
    codes: ["credential.untrusted"],
    says: [
      new RegExp(
        `AADSTS7002\\d+: .*Fix: add a federated credential to app ${CLIENT} with issuer ` +
          "https://oidc\\.example\\.com/cluster/, subject " +
          "system:serviceaccount:smtp-relay:smtp-oauth-relay, audience api://AzureADTokenExchange:",
      ),
    ],
  },
  {
    name: "a credential that entries name and no setting configures",
    settings: inFile("devices", ""),
    args: login("scanner@lookup"),
    codes: ["credential.unset", "login.own-credential"],
    says: [
      /entry "scanner" of the lookup needs "certificate", which is not set\. Fix: set CLIENT_CERT/,
    ],
  },
  {
    name: "a key that is not the own certificate's",
    settings: (world) => ({
      ...inFile("devices")(world),
      CLIENT_KEY_FILEPATH: world.file("client-soon-key.pem"),
    }),
    args: nothing,
    codes: ["credential.unusable"],
    says: [/CLIENT_KEY_FILEPATH ".*" is not the key of the certificate/],
  },
  {
    name: "the password of a device that is wrong",
    settings: (world) => ({ ...inFile("devices")(world), RELAY_PASSWORD: "wrong-secret" }),
    args: login("scanner"),
    codes: ["login.password-wrong"],
    says: [
      /Fix: enter it again; if it is lost, make a new one: smtp-oauth-relay lookup set-password scanner \[/,
    ],
  },
  {
    name: "an entry without a password, whose id alone is no username",
    settings: inFile("devices"),
    args: login("plain"),
    codes: ["login.no-password"],
    says: [/entry "plain" .* has no password_hash/],
  },
  {
    name: "an entry of the file with a mistake, and hashes that others can read",
    settings: inFile("mistakes"),
    args: nothing,
    codes: ["lookup.row"],
    says: [
      /entry "unbound": from_email must be set .*Fix: correct it with: smtp-oauth-relay lookup set unbound from/,
    ],
  },
  {
    name: "hashes that every user can read",
    settings: inFile("open"),
    args: nothing,
    codes: process.platform === "win32" ? [] : ["lookup.exposed"],
    says: [/every user may read the hashes in LOOKUP_FILE ".*" \(mode 0644\)\. Fix: chmod 640/],
  },
  {
    name: "a file that is half-written",
    settings: inFile("half"),
    args: nothing,
    codes: ["lookup.malformed"],
    says: [/half\.json": line 1, column \d+: the file ends too early/],
  },
  {
    name: "a file that is not there",
    settings: inFile("nowhere"),
    args: nothing,
    codes: ["lookup.unreadable"],
    says: [/nowhere\.json": there is no such file or directory \(ENOENT\)\. Fix: create it/],
  },
  {
    name: "a file without entries when each login needs one",
    settings: (world) => ({ ...inFile("empty")(world), AZURE_TABLES_FORCE_USAGE: "true" }),
    args: nothing,
    codes: ["lookup.empty-forced"],
    says: [/has no entry, and AZURE_TABLES_FORCE_USAGE refuses every login without one/],
  },
];

export const CASES: readonly Case[] = [
  ...DEVICES,
  ...SETTINGS,
  ...QUEUE,
  ...CERTIFICATES,
  ...PORTS,
  ...VAULT,
  ...SERVICES,
  ...TABLE,
  ...LOGINS,
  ...TRUSTED,
  ...MESSAGES,
];
