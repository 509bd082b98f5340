// The settings of the ways out: their parsers, and whether they go together.

import {
  BACKEND_NAMES,
  type BackendName,
  type BackendNames,
  BACKENDS_FORM,
  parseBackends,
} from "../backend_name.ts";
import { nearest } from "../nearest.ts";
import { isLoopback } from "./listen_address.ts";
import { quoted } from "./quoted.ts";
import type { SettingName, Settings } from "./schema.ts";
import type { Parser } from "./setting.ts";

/** An SMTP server that takes mail. */
export interface SmtpServerAddress {
  /** A name, or an IP address without brackets. */
  readonly hostname: string;
  readonly port: number;
  /** `loopback`: STARTTLS only where the server wants it, because the connection leaves no machine. */
  readonly tls: "implicit" | "starttls" | "loopback";
}

export const backends: Parser<BackendNames> = {
  allowed: BACKENDS_FORM,
  parse: parseBackends,
  culprit: (text) =>
    text.split(",").map((part) => part.trim()).find((part) =>
      part !== "" && parseBackends(part) === undefined
    ),
  meant(text) {
    const parts = text.split(/[\s,;]+/).filter((part) => part !== "").map((part) =>
      part.toLowerCase()
    );
    const meant = parts.map((part) => nearest(part, BACKEND_NAMES)).join(",");
    return parseBackends(meant) === undefined || parts.some((part) => part.length < 3)
      ? undefined
      : meant;
  },
};

/** RFC 8314 §3.3 and RFC 6409 §3.1. */
const PORTS: Readonly<Record<string, number>> = { "smtp:": 587, "smtps:": 465 };

export const smtpUrl: Parser<SmtpServerAddress> = {
  allowed:
    "smtp://host:port (with STARTTLS; without a port, 587) or smtps://host:port (TLS at once; " +
    "465), without user, password and path",
  parse(text) {
    const match = /^(smtps?:)\/\/([^/?#@\s\\]+)\/?$/i.exec(text);
    if (match === null) return undefined;
    const scheme = match[1]!.toLowerCase();
    // The parser of URLs knows hosts and ports, but not of this scheme.
    const http = `http://${match[2]!}/`;
    if (!URL.canParse(http)) return undefined;
    const hostname = new URL(http).hostname.replace(/^\[|\]$/g, "");
    // Without one it would be 80, which `URL` leaves out.
    const given = /:(\d{1,5})$/.exec(match[2]!)?.[1];
    const port = given === undefined ? PORTS[scheme]! : Number(given);
    if (port === 0 || port > 65535) return undefined;
    const tls = scheme === "smtps:" ? "implicit" : isLoopback(hostname) ? "loopback" : "starttls";
    return { hostname, port, tls };
  },
  meant(text) {
    const meant = /^[\w.-]+(?::\d+)?$/.test(text)
      ? `smtp://${text}`
      : text.replace(/^(?:https?|submission):\/\//i, "smtp://").replace(
        /^(?:submissions):\/\//i,
        "smtps://",
      );
    return meant !== text && smtpUrl.parse(meant) !== undefined ? meant : undefined;
  },
  fault: (text) =>
    /^[a-z]+:\/\/[^/]*@/i.test(text)
      ? "user and password have settings of their own: SMARTHOST_USERNAME, SMARTHOST_PASSWORD"
      : undefined,
};

/** The back ends that the settings SMARTHOST_* are about. */
export const SMARTHOSTS = ["smarthost", "hve", "acs"] as const satisfies readonly BackendName[];

export type SmarthostName = typeof SMARTHOSTS[number];

export function isSmarthost(name: BackendName): name is SmarthostName {
  return SMARTHOSTS.some((one) => one === name);
}

/** @param valid whether these settings have values that can be judged */
export function backendProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
): string[] {
  const { BACKEND: names, SMARTHOST_URL: url } = settings;
  const { SMARTHOST_USERNAME: username, SMARTHOST_PASSWORD: password } = settings;
  const problems: string[] = [];
  const credentials = valid("SMARTHOST_USERNAME", "SMARTHOST_PASSWORD");
  if (credentials && (username === undefined) !== (password === undefined)) {
    const [set, unset] = username === undefined
      ? ["SMARTHOST_PASSWORD", "SMARTHOST_USERNAME"]
      : ["SMARTHOST_USERNAME", "SMARTHOST_PASSWORD"];
    problems.push(`${set} is set, but ${unset} is not: set both, or neither`);
  }
  if (!valid("BACKEND")) return problems;
  const shared = names.filter(isSmarthost);
  if (shared.length > 1) {
    problems.push(
      `BACKEND has ${
        shared.join(" and ")
      }: SMARTHOST_* are the settings of one server, so name only ` +
        "one of them",
    );
  }
  if (names.includes("smarthost") && url === undefined && valid("SMARTHOST_URL")) {
    problems.push("SMARTHOST_URL must be set when BACKEND has smarthost");
  }
  if (names.includes("acs") && credentials && username === undefined && password === undefined) {
    problems.push("SMARTHOST_USERNAME and SMARTHOST_PASSWORD must be set when BACKEND has acs");
  }
  const own = shared.filter((name) => name !== "hve" || username !== undefined);
  const isOpen = settings.ALLOWED_TENANTS === undefined && !settings.AZURE_TABLES_FORCE_USAGE;
  if (own.length > 0 && isOpen && valid("ALLOWED_TENANTS", "AZURE_TABLES_FORCE_USAGE")) {
    problems.push(
      `ALLOWED_TENANTS or AZURE_TABLES_FORCE_USAGE must be set when BACKEND has ${
        own[0]
      }, which knows only ` +
        "the relay's own login: any app of any tenant could send",
    );
  }
  const tokens = valid("AUTH_MECHANISMS")
    ? settings.AUTH_MECHANISMS.filter((name) => name === "XOAUTH2" || name === "OAUTHBEARER")
    : [];
  const [first] = names;
  if (tokens.length > 0 && isSmarthost(first) && (first !== "hve" || username !== undefined)) {
    problems.push(
      `AUTH_MECHANISMS has ${
        tokens.join(" and ")
      }, and BACKEND begins with ${first}, which verifies no ` +
        "client's token: anybody could send; leave them out",
    );
  }
  const cloud = settings.AZURE_CLOUD;
  const exchange = names.includes("exchange") ||
    (valid("LARGE_MESSAGES") && settings.LARGE_MESSAGES === "exchange");
  if (
    exchange && cloud !== "public" && valid("AZURE_CLOUD", "EXCHANGE_SMTP_URL") &&
    settings.EXCHANGE_SMTP_URL.hostname === PUBLIC_EXCHANGE
  ) {
    problems.push(
      `EXCHANGE_SMTP_URL must be set when mail goes by SMTP to Exchange and AZURE_CLOUD is ${cloud}`,
    );
  }
  return problems;
}

const PUBLIC_EXCHANGE = "smtp.office365.com";

/** @param given the settings that have a value of their own */
export function backendDoubts(settings: Settings, given: ReadonlySet<SettingName>): string[] {
  const { BACKEND: names, LARGE_MESSAGES: large } = settings;
  const warnings: string[] = [];
  const table = settings.AZURE_TABLES_URL !== undefined || settings.LOOKUP_FILE !== undefined;
  if (large === "exchange" && !names.includes("graph") && !table) {
    warnings.push(
      `LARGE_MESSAGES is exchange, which has no effect: BACKEND ${
        quoted(names.join(","))
      } does not ` +
        "have graph",
    );
  }
  const idle = ["SMARTHOST_URL", "SMARTHOST_USERNAME", "SMARTHOST_PASSWORD"] as const;
  const set = idle.filter((name) => given.has(name));
  if (set.length > 0 && !names.some(isSmarthost) && !table) {
    const have = set.length === 1 ? "has" : "have";
    warnings.push(
      `${set.join(", ")} ${have} no effect: BACKEND does not have smarthost, hve or acs`,
    );
  }
  const bySmtp = names.some((name) => name !== "graph") || large === "exchange";
  if (settings.DELIVERY_MODE === "queue" && settings.QUEUE_AMBIGUOUS === "ask" && bySmtp) {
    warnings.push(
      "QUEUE_AMBIGUOUS is ask, but only Graph can be asked: what may have been sent by SMTP is sent " +
        "again",
    );
  }
  return warnings;
}
