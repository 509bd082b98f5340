// The services that are reached by SMTP: their servers, their limits, and how the relay logs in there.

import type { BackendName, BackendNames } from "../backend_name.ts";
import {
  isSmarthost,
  type SmarthostName,
  type SmtpServerAddress,
} from "../settings/backend_settings.ts";
import { cloudOf } from "../settings/clouds.ts";
import type { Settings } from "../settings/schema.ts";
import type { ServerLogin, ServiceLimits } from "../smtp_backend/backend.ts";

const MB = 1_000_000;
const MIB = 1024 * 1024;

/**
 * Exchange:
 * https://learn.microsoft.com/exchange/mail-flow-best-practices/how-to-set-up-a-multifunction-device-or-application-to-send-email-using-microsoft-365-or-office-365
 * HVE: https://learn.microsoft.com/exchange/mail-flow-best-practices/high-volume-mails-m365
 * ACS: https://learn.microsoft.com/azure/communication-services/concepts/service-limits
 */
export const SERVICES: Readonly<Record<Exclude<BackendName, "graph">, ServiceLimits>> = {
  exchange: { connections: 3, perMailbox: true, perMinute: 30, nullSender: false },
  smarthost: { connections: 20, perMailbox: false, nullSender: true },
  hve: { connections: 20, perMailbox: false, recipients: 50, size: 10 * MIB, nullSender: false },
  acs: { connections: 20, perMailbox: false, recipients: 50, size: 10 * MB, nullSender: false },
};

/** The presets' servers; SMARTHOST_URL goes first. */
const SERVERS: Readonly<Record<Exclude<SmarthostName, "smarthost">, SmtpServerAddress>> = {
  hve: { hostname: "smtp.hve.mx.microsoft", port: 587, tls: "starttls" },
  acs: { hostname: "smtp.azurecomm.net", port: 587, tls: "starttls" },
};

/** The scope of the token that a login asks for: of its first way, if that takes tokens. */
export function scopeOf(settings: Settings, [first]: BackendNames): string {
  const { graphScope, exchangeScope } = cloudOf(settings);
  return takesTokens(settings, first) ? exchangeScope : graphScope;
}

/** Messages of one mailbox that may be under way at once. */
export function mailboxLimit(settings: Settings): number {
  const [first] = settings.BACKEND;
  return first === "graph" ? settings.GRAPH_CONCURRENCY : SERVICES[first].connections;
}

/** Whether the relay logs in there with the app's token for Exchange. */
export function takesTokens(settings: Settings, name: BackendName): boolean {
  return name === "exchange" || name === "hve" && settings.SMARTHOST_USERNAME === undefined;
}

/** The address of a way out by SMTP. @returns a text if it is not set up: the reason */
export function serverOf(settings: Settings, name: BackendName): SmtpServerAddress | string {
  if (name === "exchange") return settings.EXCHANGE_SMTP_URL;
  if (!isSmarthost(name)) return `${name} is not reached by SMTP`;
  // The settings are those of one server: not of another one that an entry names.
  const owner = settings.BACKEND.find(isSmarthost);
  if (owner !== undefined && owner !== name) {
    return `the entry's column backend names ${name}, but SMARTHOST_* are set for ${owner}, which BACKEND ` +
      "names";
  }
  const { SMARTHOST_URL: url, SMARTHOST_USERNAME: username } = settings;
  if (name === "acs" && username === undefined) {
    return "the entry's column backend names acs: SMARTHOST_USERNAME and SMARTHOST_PASSWORD must be set";
  }
  if (url !== undefined) return url;
  return name === "smarthost"
    ? "the entry's column backend names smarthost: SMARTHOST_URL must be set"
    : SERVERS[name];
}

/** How the relay logs in to a server that it reaches by SMTP. */
export function loginFor(settings: Settings, name: BackendName): ServerLogin {
  const { SMARTHOST_USERNAME: username, SMARTHOST_PASSWORD: password } = settings;
  if (takesTokens(settings, name)) return { type: "token", scope: cloudOf(settings).exchangeScope };
  return username === undefined || password === undefined
    ? { type: "none" }
    : { type: "password", username, password };
}
