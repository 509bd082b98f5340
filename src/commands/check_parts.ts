// What `check` looks at besides the services, opened just as the relay opens it.

import { Buffer } from "node:buffer";
import type { EntrySource } from "../accounts/entry_source.ts";
import { type CertificateTools, checkFiles, checkVault } from "../check/certificate.ts";
import { type Finding, finding } from "../check/finding.ts";
import type { PortTools, WantedPort } from "../check/ports.ts";
import type { Check } from "../check/run.ts";
import { checkTable } from "../check/table.ts";
import type { HttpClient } from "../http/client.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Secret } from "../secret.ts";
import { isLoopback } from "../settings/parsers.ts";
import type { SettingName, Settings } from "../settings/schema.ts";
import { certificateSource } from "../relay/certificate_source.ts";
import { CommandError } from "../exit.ts";
import { openTable } from "../relay/open_lookup_table.ts";

/** Milliseconds for one request that only looks. */
export const REQUEST_TIMEOUT = 10_000;
/** Milliseconds for all entries of the table. */
const TABLE_TIMEOUT = 20_000;

export async function checkCertificate(
  settings: Settings,
  http: HttpClient,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  switch (settings.TLS_SOURCE) {
    case "off":
      return [finding("certificate.off", "TLS_SOURCE is off: clients speak in plain text")];
    case "file":
      return await checkFiles(settings, tools);
    case "keyvault": {
      const { AZURE_KEY_VAULT_URL: vault, AZURE_KEY_VAULT_CERT_NAME: name } = settings;
      if (vault === undefined || name === undefined) throw new Error("settings have been checked");
      try {
        const source = await certificateSource(settings, http);
        return source === undefined ? [] : await checkVault(source, settings, tools);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        return [identityFinding("vault.identity", error)];
      }
    }
  }
}

/** Undefined where no table is set. Nothing is asked before the first question. */
export async function tableToCheck(
  settings: Settings,
  http: HttpClient,
): Promise<{ readonly entries: EntrySource; readonly run: Check["run"] } | undefined> {
  const { AZURE_TABLES_URL: url, AZURE_TABLES_FORCE_USAGE: needed } = settings;
  const { USERNAME_DELIMITER: delimiter, ALLOWED_SENDERS: allowedSenders } = settings;
  if (url === undefined) return undefined;
  try {
    const table = await openTable(settings, http);
    if (table === undefined) return undefined;
    const rules = { delimiter, allowedSenders, forced: needed };
    const options = { url, needed, timeout: TABLE_TIMEOUT, rules };
    return { entries: table, run: () => checkTable(table, options) };
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    const detail = error.lines.join("; ");
    const found = identityFinding("table.identity", error);
    const trouble = {
      type: "trouble",
      code: "IDENTITY",
      detail,
      gone: false,
      concerns: "table",
    } as const;
    const none = () => Promise.resolve(trouble);
    return {
      entries: { find: none, findByClient: none },
      run: () => Promise.resolve([found]),
    };
  }
}

/** The relay's own identity cannot even be made. */
function identityFinding(code: "table.identity" | "vault.identity", error: CommandError): Finding {
  return finding(
    code,
    error.lines.join("; "),
    "correct AZURE_TOKEN_CREDENTIALS, such as EnvironmentCredential or ManagedIdentityCredential, " +
      "or unset it",
  );
}

/** Where the relay would listen, as far as the settings are sound. */
export function portsOf(
  settings: Settings,
  bad: ReadonlySet<SettingName>,
  given: ReadonlySet<SettingName>,
): readonly WantedPort[] {
  const { SMTP_LISTEN, SMTPS_LISTEN = [], HTTP_LISTEN } = settings;
  const all: WantedPort[] = [
    ...SMTP_LISTEN.map((address) => ({ setting: "SMTP_LISTEN", address } as const)),
    ...SMTPS_LISTEN.map((address) => ({ setting: "SMTPS_LISTEN", address } as const)),
    ...(HTTP_LISTEN === "off" ? [] : [
      {
        setting: "HTTP_LISTEN",
        address: HTTP_LISTEN,
        optional: !given.has("HTTP_LISTEN"),
      } as const,
    ]),
  ];
  return all.filter(({ setting }) => !bad.has(setting));
}

export function portTools(
  { HTTP_LISTEN, HTTP_PASSWORD }: Settings,
  bad: ReadonlySet<SettingName>,
  runtime: Runtime,
  http: HttpClient,
): PortTools {
  const on = HTTP_LISTEN === "off" || bad.has("HTTP_LISTEN") ? undefined : HTTP_LISTEN;
  // Off the loopback, /readyz tells nobody else where the relay listens.
  const password = on === undefined || isLoopback(on.hostname) ? undefined : HTTP_PASSWORD;
  return {
    listen: (hostname, port) =>
      runtime.listen({
        hostname,
        port,
        // Whoever comes in this moment is hung up on, as if nobody listened.
        accept: (connection) => ({
          opened: () => connection.destroy(),
          data() {},
          drained() {},
          ended() {},
          secured() {},
          closed() {},
        }),
      }),
    http: on,
    get: (url) =>
      http.request({ method: "GET", url, headers: basic(password), timeout: REQUEST_TIMEOUT }),
  };
}

/** RFC 7617; any user name will do. */
function basic(password: Secret | undefined): Record<string, string> {
  if (password === undefined) return {};
  const pair = Buffer.from(`check:${password.reveal()}`, "utf8").toString("base64");
  return { Authorization: `Basic ${pair}` };
}
