// Parsers of setting values. Each one says what it allows, for error texts and for the reference.

import { isTableKey } from "../accounts/entry.ts";
import { parseTenant } from "../accounts/username.ts";
import type { Rate } from "../limits/rate_limit.ts";
import { type Network, Networks, NETWORKS_FORM } from "../networks.ts";
import { SENDER_LIST_FORM, SenderList } from "../accounts/sender_list.ts";
import type { Mechanism } from "../smtp/sasl.ts";
import { isLoopback } from "./listen_address.ts";
import { nearest } from "../nearest.ts";
import type { Parser } from "./setting.ts";

export function text(allowed = "text without control characters"): Parser<string> {
  return {
    allowed,
    // deno-lint-ignore no-control-regex -- they could end a line of the protocol or the log
    parse: (text) => /[\x00-\x1f\x7f]/.test(text) ? undefined : text,
  };
}

/** A file of certificate authorities, and the variable that names it. */
export interface AuthorityFile {
  readonly variable: string;
  readonly path: string;
}

export const authorityFiles: Parser<readonly AuthorityFile[]> = {
  allowed: text().allowed,
  parse(path, variable = "EXTRA_CA_CERTS_FILEPATH") {
    return text().parse(path) === undefined ? undefined : [{ variable, path }];
  },
};

/** One of some words, in any case; the value has this spelling. */
export function oneOf<T extends string>(...words: readonly T[]): Parser<T> {
  return {
    allowed: words.map((word) => `"${word}"`).join(", ").replace(/, ([^,]*)$/, " or $1"),
    parse: (text) => words.find((word) => word.toLowerCase() === text.toLowerCase()),
    meant(text) {
      const lower = text.trim().toLowerCase();
      if (lower.length < 3) return undefined;
      const longer = words.find((word) => word.toLowerCase().startsWith(lower));
      const near = nearest(lower, words.map((word) => word.toLowerCase()));
      return longer ?? words.find((word) => word.length > 3 && word.toLowerCase() === near);
    },
  };
}

export const boolean: Parser<boolean> = {
  allowed: '"true" or "false"',
  parse(text) {
    const lower = text.toLowerCase();
    return lower === "true" ? true : lower === "false" ? false : undefined;
  },
  meant(text) {
    const lower = text.trim().toLowerCase();
    if (/^(?:1|on|yes|y|t|enabled|true)$/.test(lower)) return "true";
    return /^(?:0|off|no|n|f|disabled|false)$/.test(lower) ? "false" : undefined;
  },
};

export function integer(least: number, most: number): Parser<number> {
  return {
    allowed: `a whole number from ${least} to ${most}`,
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN;
      return value >= least && value <= most ? value : undefined;
    },
  };
}

const SIZE_UNITS: Readonly<Record<string, number>> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** Octets. */
export function size(least: number, most: number): Parser<number> {
  const parse = (text: string) => {
    const match = /^(\d{1,15})([kmg]?)$/i.exec(text);
    if (match === null) return undefined;
    const value = Number(match[1]) * SIZE_UNITS[match[2]!.toLowerCase()]!;
    return value >= least && value <= most ? value : undefined;
  };
  return {
    allowed: `a number of bytes from ${least} to ${most}, ${
      most < SIZE_UNITS["g"]! ? '"k" or "m"' : '"k", "m" or "g"'
    } after it allowed`,
    parse,
    meant: allowedOnly(parse, /^(\d{1,15}) ?([kmg])i?b?$/i, (number, unit) => number + unit),
  };
}

/** A text of another form in the right one, where that is allowed. */
function allowedOnly<T>(
  parse: (text: string) => T | undefined,
  form: RegExp,
  write: (first: string, second: string) => string,
): (text: string) => string | undefined {
  return (text) => {
    const match = form.exec(text.trim().toLowerCase());
    const meant = match === null ? undefined : write(match[1]!, match[2] ?? "");
    return meant === undefined || parse(meant) === undefined ? undefined : meant;
  };
}

const TIME_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
/** Longer timers than this fire at once. */
const LONGEST = 2 ** 31 - 1;

/** Milliseconds. */
export const duration: Parser<number> = {
  allowed: 'a number above 0 with "s", "m", "h" or "d" after it, up to 24d',
  parse(text) {
    const match = /^(\d{1,10})(ms|[smhd])$/i.exec(text);
    if (match === null) return undefined;
    const value = Number(match[1]) * TIME_UNITS[match[2]!.toLowerCase()]!;
    return value > 0 && value <= LONGEST ? value : undefined;
  },
  // Other programs count in seconds where there is no unit.
  meant: allowedOnly(
    (text) => duration.parse(text),
    /^(\d{1,10}) ?((?:s|m|h|d)?)(?:ecs?|econds?|ins?|inutes?|rs?|ours?|ays?)?$/,
    (number, unit) => number + (unit || "s"),
  ),
};

/** Milliseconds, or `off`. */
export const durationOrOff: Parser<number | "off"> = {
  allowed: `${duration.allowed}, or "off"`,
  parse: (text) => text.toLowerCase() === "off" ? "off" : duration.parse(text),
  meant: (text) => duration.meant!(text),
};

/** Milliseconds, of hours or days: a number without a unit could mean anything. */
export const age: Parser<number> = {
  ...duration,
  meant: (text) => /^\s*\d+\s*$/.test(text) ? undefined : duration.meant!(text),
};

/** Milliseconds, of hours or days, or `off`. */
export const ageOrOff: Parser<number | "off"> = { ...durationOrOff, meant: age.meant! };

/** A higher number would limit nothing. */
const HIGHEST_RATE = 1_000_000;

/** Such as `10/1m` or `500/1h`, or `off`. */
export const rateOrOff: Parser<Rate | "off"> = {
  allowed:
    `a number from 1 to ${HIGHEST_RATE}, "/", and a time such as "1m" or "1h" ("s", "m", "h" or ` +
    '"d", up to 24d), as in "10/1m"; or "off"',
  parse(text) {
    if (text.toLowerCase() === "off") return "off";
    const match = /^(\d{1,7}) *\/ *(\S+)$/.exec(text);
    if (match === null) return undefined;
    const most = Number(match[1]);
    const window = duration.parse(match[2]!);
    return most >= 1 && most <= HIGHEST_RATE && window !== undefined ? { most, window } : undefined;
  },
};

const octetRate = integer(1, 1_000_000);

/** Octets a second, or `off`. */
export const octetRateOrOff: Parser<number | "off"> = {
  allowed: `${octetRate.allowed}, or "off"`,
  parse: (text) => text.toLowerCase() === "off" ? "off" : octetRate.parse(text),
};

/** Seconds without a unit, as milliseconds. */
export const seconds: Parser<number> = {
  allowed: "a number of seconds from 1 to 3600",
  parse(text) {
    const value = /^\d{1,6}(?:\.\d{1,3})?$/.test(text) ? Number(text) : NaN;
    return value >= 1 && value <= 3600 ? Math.round(value * 1000) : undefined;
  },
  meant: allowedOnly((text) => seconds.parse(text), /^(\d{1,6}) ?s$/, (number) => number),
};

/** One segment of a path, which the service's rules for a table's name allow. */
const TABLE_NAME = /^[A-Za-z][A-Za-z0-9]{2,62}$/;

/** The URL of a table, whose name is the path's end. */
export const tableUrl: Parser<URL> = {
  allowed: "the https URL of a table, such as https://account.table.core.windows.net/users " +
    "(http only to a loopback address; without a query)",
  parse(text) {
    const url = serviceUrl.parse(text.replace(/(?<!\/)\/+$/, ""));
    const segments = url?.pathname.split("/").slice(1) ?? [];
    // The emulator has the account's name before the table's.
    if (segments.length > 2 || !TABLE_NAME.test(segments.at(-1) ?? "")) return undefined;
    return url;
  },
};

export const tableKey: Parser<string> = {
  allowed: "a table's key: up to 1 KiB, without / \\ # ? and control characters",
  parse: (text) => isTableKey(text) ? text : undefined,
};

export const senderList: Parser<SenderList> = {
  allowed: SENDER_LIST_FORM,
  parse: (text) => SenderList.parse(text),
};

export const networks: Parser<Networks> = {
  allowed: NETWORKS_FORM,
  parse: (text) => Networks.parse(text),
};

/** The shortest prefixes, by family: in a larger network there are always unknown hosts. */
const SHORTEST_TRUSTED = { 4: 8, 6: 32 } as const;

export const trustedNetworks: Parser<Networks> = {
  allowed: `${NETWORKS_FORM}; no prefix shorter than /${SHORTEST_TRUSTED[4]}, or /${
    SHORTEST_TRUSTED[6]
  } for IPv6`,
  parse(text) {
    const networks = Networks.parse(text);
    return networks?.ranges.every(narrow) ? networks : undefined;
  },
  culprit: (text) =>
    text.split(",").map((entry) => entry.trim()).find((entry) =>
      entry !== "" && !Networks.parse(entry)?.ranges.every(narrow)
    ),
};

function narrow({ family, prefix }: Network): boolean {
  return prefix >= SHORTEST_TRUSTED[family];
}

/** Tenants as {@link parseTenant} writes them. */
export const tenants: Parser<ReadonlySet<string>> = {
  allowed: "tenant ids (or domains, for entries of the lookup that have one) with commas " +
    "between them",
  parse(text) {
    const parts = text.split(",").map((part) => part.trim()).filter((part) => part !== "");
    const ids = parts.map(parseTenant);
    return ids.length === 0 || ids.includes(undefined) ? undefined : new Set(ids as string[]);
  },
};

const MECHANISMS: readonly Mechanism[] = ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"];

/** Mechanisms of AUTH in the order given, each once. */
export const mechanisms: Parser<readonly Mechanism[]> = {
  allowed: `one or more of ${MECHANISMS.join(", ")}, with commas between them`,
  parse(text) {
    const parts = text.split(",").map((part) => part.trim().toUpperCase())
      .filter((part) => part !== "");
    const found = parts.map((part) => MECHANISMS.find((name) => name === part));
    if (found.length === 0 || found.includes(undefined)) return undefined;
    return [...new Set(found as Mechanism[])];
  },
};

/** An https URL without query or credentials; http is for a loopback address alone. */
export const serviceUrl: Parser<URL> = {
  allowed: "an https URL without query and password (http only to a loopback address)",
  parse(text) {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || url.username !== "" || url.password !== "") return undefined;
    if (url.search !== "" || url.hash !== "") return undefined;
    if (url.protocol === "https:") return url;
    return url.protocol === "http:" && isLoopback(url.hostname) ? url : undefined;
  },
};

/** As {@link serviceUrl}; the version of Graph is appended, and must not stand there already. */
export const graphUrl: Parser<URL> = {
  allowed: `${serviceUrl.allowed}, without Graph's version, /v1.0 or /beta, at its end`,
  parse(text) {
    const url = serviceUrl.parse(text);
    return url === undefined || /\/(?:v1\.0|beta)\/*$/i.test(url.pathname) ? undefined : url;
  },
};

/** The address of a service, without a path. */
export const serviceOrigin: Parser<URL> = {
  allowed: `${serviceUrl.allowed}, without a path`,
  parse(text) {
    const url = serviceUrl.parse(text);
    return url?.pathname === "/" ? url : undefined;
  },
};
