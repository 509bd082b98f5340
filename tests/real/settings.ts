// The settings of a run: a JSON file that only its owner can read.

import { readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { isLoopback } from "../../src/settings/listen_address.ts";

/** Mailboxes. `sender` and `second` are inside of the app's scope, `outside` is not; `external` is not the tenant's. */
export const ROLES = ["sender", "second", "outside", "external"] as const;
/** An alias of the sender, a shared mailbox and a group that it is a member of, and a full mailbox. */
export const MORE_ROLES = ["alias", "shared", "group", "full"] as const;
export type Role = typeof ROLES[number] | typeof MORE_ROLES[number];

export interface AppSecret {
  readonly clientId: string;
  readonly secret: string;
}

/** Where the services are, in place of the cloud's: for the test of this program, on the loopback. */
export interface Imitation {
  readonly authority: string;
  readonly graph: string;
  /** `smtp://…`, in place of High Volume Email and Azure Communication Services. */
  readonly smarthost: string;
}

export interface RealSettings {
  readonly tenant: string;
  readonly app:
    | AppSecret
    | { readonly clientId: string; readonly certificate: string; readonly key: string };
  /** As AZURE_CLOUD. */
  readonly cloud?: "public" | "usgov" | "usgov-dod" | "china";
  readonly mailboxes:
    & Readonly<Record<typeof ROLES[number], string>>
    & Readonly<Partial<Record<typeof MORE_ROLES[number], string>>>;
  /** What set up app and scopes: `tests/real/set_up.ps1` writes it. */
  readonly setUpBy?: string;
  /** A secret of the app that has expired. */
  readonly expiredSecret?: string;
  /** An app that is disabled. */
  readonly disabledApp?: AppSecret;
  /** An app without permissions. */
  readonly powerlessApp?: AppSecret;
  /** An app whose secret is older than the policy that forbids secrets. */
  readonly forbiddenSecret?: AppSecret;
  /** The app may read message traces: ExchangeMessageTrace.Read.All. */
  readonly messageTrace?: boolean;
  /** The submission server, `smtp://smtp.office365.com:587`, if the app has SMTP.SendAsApp. */
  readonly exchange?: string;
  /** The address of an account of High Volume Email that the app may use. */
  readonly hve?: string;
  readonly acs?: {
    readonly username: string;
    readonly password: string;
    readonly from: string;
    /** Of the resource, for the REST API. */
    readonly endpoint?: string;
  };
  readonly azure?: {
    /** As AZURE_TOKEN_CREDENTIALS; `AzureCliCredential` if left out. */
    readonly identity?: string;
    /** As QUEUE_URL. */
    readonly queue?: string;
    readonly queueConnectionString?: string;
    /** As AZURE_TABLES_URL. */
    readonly table?: string;
    readonly tableConnectionString?: string;
    /** As AZURE_KEY_VAULT_URL, and the name of a certificate in it. */
    readonly vault?: string;
    readonly vaultCertificate?: string;
  };
  /** How long a message is waited for; 300 if left out. */
  readonly patienceSeconds?: number;
  readonly imitation?: Imitation;
}

const has = (name: keyof RealSettings) => (settings: RealSettings) => settings[name] !== undefined;
const box = (name: Role) => ({ mailboxes }: RealSettings) => mailboxes[name] !== undefined;

/** What a case may need, and how to see whether it is there. */
const NEEDS = {
  alias: box("alias"),
  shared: box("shared"),
  group: box("group"),
  full: box("full"),
  setUpBy: has("setUpBy"),
  expiredSecret: has("expiredSecret"),
  disabledApp: has("disabledApp"),
  powerlessApp: has("powerlessApp"),
  forbiddenSecret: has("forbiddenSecret"),
  messageTrace: ({ messageTrace }: RealSettings) => messageTrace === true,
  exchange: has("exchange"),
  otherCloud: ({ cloud = "public" }: RealSettings) => cloud !== "public",
  hve: has("hve"),
  acs: has("acs"),
  "acs.endpoint": ({ acs }: RealSettings) => acs?.endpoint !== undefined,
  "azure.queue": ({ azure }: RealSettings) => azure?.queue !== undefined,
  "azure.vault": ({ azure }: RealSettings) =>
    azure?.vault !== undefined && azure.vaultCertificate !== undefined,
  "azure.table": ({ azure }: RealSettings) => azure?.table !== undefined,
} as const;

export type Need = keyof typeof NEEDS;

/** Those that the settings do not have. */
export function missing(settings: RealSettings, needs: readonly Need[]): readonly Need[] {
  return needs.filter((need) => !NEEDS[need](settings));
}

/** A misspelled name would leave cases out without a word. */
const KNOWN: Readonly<Record<keyof RealSettings, true>> = {
  tenant: true,
  app: true,
  cloud: true,
  mailboxes: true,
  setUpBy: true,
  expiredSecret: true,
  disabledApp: true,
  powerlessApp: true,
  forbiddenSecret: true,
  messageTrace: true,
  exchange: true,
  hve: true,
  acs: true,
  azure: true,
  patienceSeconds: true,
  imitation: true,
};

export const KEYS: readonly string[] = Object.keys(KNOWN);

const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;
const ADDRESS = /^[\w.+-]+@[\w-]+(?:\.[\w-]+)+$/;

/** @throws Error with one line that says what is wrong; it quotes nothing of the file */
export function readSettings(path: string): RealSettings {
  let settings: RealSettings;
  try {
    settings = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`the settings file cannot be read: ${code ?? "it is not JSON"}`);
  }
  if (process.platform !== "win32" && (statSync(path).mode & 0o077) !== 0) {
    throw new Error("the settings file has secrets, and others can read it: chmod 600 it");
  }
  const unknown = Object.keys(settings).find((name) => !KEYS.includes(name));
  if (unknown !== undefined) throw new Error(`the settings have no "${unknown.slice(0, 40)}"`);
  const { tenant, app, mailboxes, imitation } = settings;
  if (!UUID.test(tenant ?? "")) throw new Error("tenant must be the tenant's id");
  if (!UUID.test(app?.clientId ?? "")) throw new Error("app.clientId must be the app's client id");
  if (!("secret" in app) && !("certificate" in app && "key" in app)) {
    throw new Error("app must have a secret, or the files of a certificate and its key");
  }
  for (const role of ROLES) {
    if (!ADDRESS.test(mailboxes?.[role] ?? "")) {
      throw new Error(`mailboxes.${role} must be an address`);
    }
  }
  const addresses = ROLES.map((role) => mailboxes[role].toLowerCase());
  if (new Set(addresses).size < addresses.length) {
    throw new Error(`mailboxes: ${ROLES.join(", ")} must be different addresses`);
  }
  const domainOf = (role: Role) => mailboxes[role]!.split("@")[1]!.toLowerCase();
  if (domainOf("external") === domainOf("sender")) {
    throw new Error("mailboxes.external must be an address of another domain, which you own");
  }
  const { queue, table, vault } = settings.azure ?? {};
  const urls = imitation && [
    ...Object.values(imitation),
    ...[settings.exchange, settings.acs?.endpoint, queue, table, vault],
  ];
  for (const url of urls ?? []) {
    const address = url?.replace(/^azure-storage:/, "") ?? "";
    // Without an address, the connection string has it.
    if (address !== "" && !isLoopback(new URL(address).hostname)) {
      throw new Error("an imitation is on the loopback only");
    }
  }
  return "secret" in app ? settings : {
    ...settings,
    app: {
      clientId: app.clientId,
      certificate: resolve(dirname(path), app.certificate),
      key: resolve(dirname(path), app.key),
    },
  };
}
