// Makes what the page shows out of what the relay knows.

import process from "node:process";
import type { PartState } from "../observe/http.ts";
import type { LiveCertificate, LiveState } from "./live_state.ts";
import type { Reason, Remedy } from "./reason.ts";
import type { Failure, ServiceName, ServiceState } from "./services.ts";
import type { Message, Status } from "./status.ts";
import type {
  CertificateView,
  DeviceView,
  FailureView,
  MessageView,
  Overview,
  QueueCounts,
  ServiceView,
  SettingView,
  StatusView,
} from "./view.ts";

const DAY = 86_400_000;

export interface ViewOptions {
  readonly version: string;
  readonly hostname: string;
  /** The sandbox has another page, its inbox. */
  readonly sandbox: boolean;
  readonly settings: readonly SettingView[];
  readonly maxMessages: number;
  /** Whether HTTP_PASSWORD is set, so that only an administrator can ask. */
  readonly mayChange: boolean;
  /** What to do about a failure of a message or a login. */
  readonly remedy: Remedy;
  /** The same about a service. */
  serviceRemedy(name: ServiceName, failure: Failure): string | undefined;
}

/**
 * A {@link StatusView} as JSON.
 *
 * @param since the version that the page has; 0 for none
 */
export function viewText(status: Status, since: number, options: ViewOptions): string {
  const whole = since === 0;
  const today = status.devices.dayOf(status.now);
  const overview = overviewOf(status, options);
  const messages = status.messages.textsSince(since).map((text) => messageText(text, options));
  const devices = status.devices.since(since).map((
    { messages, day, failed, ...device },
  ): DeviceView => ({
    ...device,
    ...(failed === undefined ? {} : { failed: failureView(failed, options) }),
    today: day === today ? messages : 0,
  }));
  const others: Omit<StatusView, "whole" | "overview" | "messages"> = {
    devices,
    logins: status.logins.since(since),
    mailboxes: status.mailboxes.since(since),
    ...(whole ? { settings: options.settings } : {}),
  };
  return `{"whole":${whole},"overview":${JSON.stringify(overview)},` +
    `"messages":[${messages.join(",")}],${JSON.stringify(others).slice(1)}`;
}

function overviewOf(status: Status, options: ViewOptions): Overview {
  const { live, now } = status;
  const { version, hostname, sandbox, maxMessages, mayChange } = options;
  const parts = live?.parts() ?? { smtp: { ready: false } };
  const notReady = namesOf(parts);
  const certificate = certificateView(live?.certificate(), now);
  const clientCertificate = certificateView(live?.clientCertificate?.(), now);
  const usage = live?.queue?.usage();
  return {
    version,
    hostname,
    sandbox,
    startedAt: status.startedAt,
    now,
    ready: notReady.length === 0,
    notReady,
    listening: live?.listening ?? [],
    connections: live?.connections() ?? 0,
    memory: process.memoryUsage.rss(),
    ...(certificate === undefined ? {} : { certificate }),
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
    services: [...status.services.states].map((state) => serviceView(state, status, options)),
    hour: status.hour.view(now),
    ...(usage === undefined ? {} : { queue: countsOf(usage) }),
    mayChange: mayChange && usage !== undefined,
    maxMessages,
  };
}

function namesOf(parts: Readonly<Record<string, PartState>>): string[] {
  return Object.entries(parts).filter(([, { ready }]) => !ready).map(([name]) => name);
}

function certificateView(
  certificate: LiveCertificate | undefined,
  now: number,
): CertificateView | undefined {
  if (certificate === undefined) return undefined;
  const { source, expires } = certificate;
  return { source, expires, days: Math.floor((expires - now) / DAY) };
}

function serviceView(
  { name, succeeded, failed, silentSince }: Readonly<ServiceState>,
  { live }: Status,
  options: ViewOptions,
): ServiceView {
  // The vault is asked every minute, and only changes are events.
  const vault = name === "Key Vault" ? vaultReadAt(live) : undefined;
  const last = vault !== undefined && silentSince === undefined ? vault : succeeded;
  const fix = failed && options.serviceRemedy(name, failed);
  return {
    name,
    ...(last === undefined ? {} : { succeeded: last }),
    ...(failed === undefined
      ? {}
      : { failed: { ...failed, ...(fix === undefined ? {} : { fix }) } }),
    ...(silentSince === undefined ? {} : { silentSince }),
  };
}

/** When the vault last answered. Both certificates may be in it. */
function vaultReadAt(live: LiveState | undefined): number | undefined {
  const read = [live?.certificate(), live?.clientCertificate?.()]
    .flatMap((one) => one?.source === "keyvault" ? [one.readAt] : []);
  return read.length === 0 ? undefined : Math.min(...read);
}

function countsOf(
  { messages, oldest }: {
    readonly messages: Omit<QueueCounts, "oldest">;
    readonly oldest: number | undefined;
  },
): QueueCounts {
  const { queued, sending, held, dead } = messages;
  return { queued, sending, held, dead, ...(oldest === undefined ? {} : { oldest }) };
}

/** Most are told as they are kept: under load, to read and to write them again took most of the page's time. */
function messageText(text: string, options: ViewOptions): string {
  // In a text of a client, its quotes would be escaped.
  if (!text.includes('"reason":')) return text;
  const { reason, ...message } = JSON.parse(text) as Message;
  if (reason === undefined) return text;
  const view: MessageView = { ...message, failure: failureView(reason, options) };
  return JSON.stringify(view);
}

function failureView(reason: Reason, { remedy }: ViewOptions): FailureView {
  const { at, failure: { code = "", detail } } = reason;
  const fix = remedy(reason);
  return { at, code, detail, ...(fix === undefined ? {} : { fix }) };
}
