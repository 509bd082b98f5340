// The status page of a relay: what it knows, and its routes, which are loaded with the first request.

import { SMTP_SERVICES } from "../backend_name.ts";
import { type Context, Hono } from "hono";
import type { HttpService } from "../observe/http.ts";
import { cloudOf } from "../settings/clouds.ts";
import { formatListenAddress } from "../settings/listen_address.ts";
import type { CommandSettings } from "../settings/environment.ts";
import { type SettingName, SETTINGS, type Settings } from "../settings/schema.ts";
import type { Environment, Setting } from "../settings/setting.ts";
import { givenText, standardText } from "../settings/shown_value.ts";
import type { Reason } from "../status/reason.ts";
import type { Failure, ServiceName } from "../status/services.ts";
import { Status } from "../status/status.ts";
import type { SettingView } from "../status/view.ts";
import { versionLine } from "./version.ts";

export interface StatusPageOptions extends Pick<CommandSettings, "settings" | "given"> {
  readonly http: HttpService;
  /** The variables of the settings. */
  readonly variables: Environment;
  /** The sandbox has another page at `/`, and a table of its own. */
  readonly sandbox?: boolean;
}

export interface StatusPage {
  /** A listener of events. */
  readonly status: Status;
  /** Ends the event streams of pages that are open. */
  close(): void;
}

/** Adds the page to the HTTP server. */
export function openStatusPage(options: StatusPageOptions): StatusPage {
  const { http, settings, sandbox = false } = options;
  const maxMessages = settings.STATUS_MESSAGES;
  const status = new Status({ maxMessages, services: servicesOf(settings, sandbox) });
  // Made now: the variables hold secrets, and are not kept.
  const shown = settingsShown(options);
  const ended = new AbortController();
  const pages = new Hono();
  let loading: Promise<Hono> | undefined;
  const forward = async ({ req, env }: Context) => {
    loading ??= loadRoutes(status, { settings, sandbox }, shown, ended.signal);
    return await (await loading).fetch(req.raw, env);
  };
  for (const path of [homeOf(sandbox), "/status/*"]) pages.all(path, forward);
  http.mount(pages);
  return { status, close: () => ended.abort() };
}

function homeOf(sandbox: boolean): string {
  return sandbox ? "/status" : "/";
}

async function loadRoutes(
  status: Status,
  { settings, sandbox = false }: Pick<StatusPageOptions, "settings" | "sandbox">,
  shown: readonly SettingView[],
  signal: AbortSignal,
): Promise<Hono> {
  const [{ statusRoutes }, remedies] = await Promise.all([
    import("../status/routes.ts"),
    import("../check/remedies.ts"),
  ]);
  const { authorityHost, graphEndpoint } = cloudOf(settings);
  return statusRoutes(status, {
    home: homeOf(sandbox),
    signal,
    sandbox,
    version: await versionLine(),
    hostname: settings.SERVER_HOSTNAME,
    settings: shown,
    maxMessages: settings.STATUS_MESSAGES,
    mayChange: settings.HTTP_PASSWORD !== undefined,
    remedy: (reason: Reason) =>
      reason.type === "login"
        ? remedies.loginRemedy(reason.failure)
        : remedies.messageRemedy(reason.failure),
    serviceRemedy(name: ServiceName, failure: Failure) {
      if (name === "Entra ID") return remedies.serviceRemedy("authority", authorityHost, failure);
      if (name === "Graph") return remedies.serviceRemedy("graph", graphEndpoint, failure);
      const isBySmtp = Object.values<string>(SMTP_SERVICES).includes(name);
      return isBySmtp ? remedies.wayRemedy(failure) : undefined;
    },
  });
}

function servicesOf(settings: Settings, sandbox: boolean): ServiceName[] {
  const table = settings.AZURE_TABLES_URL !== undefined || sandbox;
  const vault = settings.TLS_SOURCE === "keyvault" ||
    settings.AZURE_KEY_VAULT_CLIENT_CERT_NAME !== undefined;
  return [
    "Entra ID",
    ...(settings.BACKEND.includes("graph") || table ? ["Graph" as const] : []),
    ...smtpServices(settings),
    ...(settings.LOOKUP_FILE === undefined ? [] : ["Lookup file" as const]),
    ...(table ? ["Lookup table" as const] : []),
    ...(vault ? ["Key Vault" as const] : []),
    ...(settings.DELIVERY_MODE === "queue" ? ["Queue" as const] : []),
    ...(settings.WEBHOOK_URL === undefined ? [] : ["Webhook" as const]),
    ...(settings.OTEL_EXPORTER_OTLP_ENDPOINT === undefined ? [] : ["Trace collector" as const]),
  ];
}

function smtpServices(settings: Settings): ServiceName[] {
  const names = new Set(settings.BACKEND);
  if (settings.LARGE_MESSAGES === "exchange") names.add("exchange");
  return [...names].flatMap((name) => name === "graph" ? [] : SMTP_SERVICES[name]);
}

/** The settings in force as they would be written, without values of secrets. */
function settingsShown({ settings, given, variables }: StatusPageOptions): SettingView[] {
  const shown: SettingView[] = [];
  const entries = Object.entries(SETTINGS) as [SettingName, Setting<unknown>][];
  // Not by `map`: by now it has run so often that JavaScriptCore would optimize it, for 1.8 MiB at rest.
  for (const [name, { secret, standardShown }] of entries) {
    const changed = given.has(name) && settings[name] !== undefined;
    const value = changed
      ? secret ? "(secret)" : givenText(name, variables)
      // The sandbox has another one.
      : name === "SMTP_LISTEN"
      ? settings.SMTP_LISTEN.map(formatListenAddress).join(",")
      : standardText(name, settings) ?? standardShown;
    shown.push({ name, value: value ?? "", changed });
  }
  return shown;
}
