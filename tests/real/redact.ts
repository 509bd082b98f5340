// Takes out of a text what names the tenant, its people and its secrets, so that a report can be shown.

import { readFileSync } from "node:fs";
import type { RealSettings } from "./settings.ts";

/** What no text may have, whatever the settings are; what is left says only that something was there. */
const PATTERNS: readonly (readonly [RegExp, string])[] = [
  // A JWT.
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]*/g, "TOKEN"],
  [
    /\b(authtoken|token|sig|secret|password|accountkey|accesskey|sharedaccesskey)=[^\s&"']+/gi,
    "$1=SECRET",
  ],
  // Ids of tenants, apps and requests; and those of messages, which name the mailbox.
  [/\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi, "UUID"],
  [/\bAA[Mk][\w-]{20,}={0,2}/g, "ID"],
  // Exchange's own servers, in its replies.
  [
    /\b[\w-]+(?:\.[\w-]+)*\.(?:prod|namprd\d*|eurprd\d*)\.[\w.]*(?:outlook|exchangelabs)\.com\b/gi,
    "SERVER",
  ],
  [/\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b/g, "SOMEBODY"],
  [/\b[\w-]+(?:\.mail)?\.onmicrosoft\.(?:com|us|cn|de)\b/gi, "DOMAIN"],
  [/\b(?!127\.)\d{1,3}(?:\.\d{1,3}){3}\b/g, "ADDRESS"],
];

/** @returns what redacts a text */
export function redactor(settings: RealSettings): (text: string) => string {
  const { tenant, app, mailboxes, acs, azure, hve } = settings;
  const known: (readonly [string, string])[] = [
    ...Object.entries(mailboxes).map(([role, address]) => [address!, role.toUpperCase()] as const),
    [tenant, "TENANT"],
    [app.clientId, "APP"],
    ...("secret" in app ? [[app.secret, "SECRET"] as const] : []),
    ...apps(settings),
    ...[settings.expiredSecret, acs?.password, azure?.queueConnectionString]
      .concat(azure?.tableConnectionString).map((secret) => [secret ?? "", "SECRET"] as const),
    [acs?.username ?? "", "ACS-USER"],
    [acs?.from ?? "", "ACS-SENDER"],
    [hve ?? "", "HVE-SENDER"],
    ...[acs?.endpoint, azure?.queue, azure?.table, azure?.vault].map((url) =>
      [hostOf(url), "ACCOUNT"] as const
    ),
  ];
  if ("key" in app) known.push([readFileSync(app.key, "utf8").trim(), "SECRET"]);
  const domains = new Set(Object.values(mailboxes).map((address) => address!.split("@")[1]!));
  // A domain is a part of addresses, also of unknown ones.
  const steps = [
    ...known.filter(([text]) => text !== "").sort(([one], [other]) => other.length - one.length)
      .map(([text, name]) => [literally(text), name] as const),
    ...PATTERNS,
    ...[...domains].map((domain) => [literally(domain), "DOMAIN"] as const),
  ];
  return (text) => steps.reduce((rest, [pattern, name]) => rest.replace(pattern, name), text);
}

const literally = (text: string) => new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");

function apps(settings: RealSettings): (readonly [string, string])[] {
  const { disabledApp, powerlessApp, forbiddenSecret } = settings;
  return [disabledApp, powerlessApp, forbiddenSecret].flatMap((app) =>
    app === undefined ? [] : [[app.clientId, "APP"], [app.secret, "SECRET"]] as const
  );
}

function hostOf(url: string | undefined): string {
  return url === undefined || !URL.canParse(url.replace(/^azure-storage:/, ""))
    ? ""
    : new URL(url.replace(/^azure-storage:/, "")).hostname;
}
