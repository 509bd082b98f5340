// The settings of the queue: their parsers, and whether they go together.

import { Buffer } from "node:buffer";
import { Secret } from "../secret.ts";
import { serviceUrl } from "./parsers.ts";
import type { SettingName, Settings } from "./schema.ts";
import type { Parser } from "./setting.ts";
import { type StorageEndpoints, storageEndpoints } from "./storage_access.ts";

/** Where the queue's messages are. */
export type QueueAddress =
  /** A relative path starts at the working directory. */
  | { readonly type: "sqlite"; readonly path: string }
  /** Without a URL, QUEUE_CONNECTION_STRING names the account. */
  | { readonly type: "azureStorage"; readonly url?: URL };

const SQLITE = "sqlite:";
const AZURE = "azure-storage:";

export const queueAddress: Parser<QueueAddress> = {
  allowed: "sqlite:PATH; azure-storage:https://ACCOUNT.queue.core.windows.net (http only to a " +
    "loopback address; without a query); or azure-storage: with QUEUE_CONNECTION_STRING",
  parse(text) {
    const [, scheme = "", rest = ""] = /^([a-z-]+:)(.*)$/is.exec(text) ?? [];
    if (scheme.toLowerCase() === SQLITE) {
      return isDatabasePath(rest) ? { type: "sqlite", path: rest } : undefined;
    }
    if (scheme.toLowerCase() !== AZURE) return undefined;
    if (rest === "") return { type: "azureStorage" };
    const url = serviceUrl.parse(rest);
    if (url === undefined || storageEndpoints(url) === undefined) return undefined;
    return { type: "azureStorage", url };
  },
  meant(text) {
    const meant = /^https?:/i.test(text)
      ? AZURE + text
      : /^sqlite:\/\/[^/]/i.test(text)
      ? SQLITE + text.slice(SQLITE.length + 2)
      : /^[\w./-]+$/.test(text)
      ? SQLITE + text
      : undefined;
    return meant === undefined || queueAddress.parse(meant) === undefined ? undefined : meant;
  },
};

/**
 * Not a database in memory, which would lose the mail, and no URI of SQLite's. Two slashes are the form of
 * other programs, where what follows is relative.
 */
function isDatabasePath(path: string): boolean {
  // deno-lint-ignore no-control-regex -- no file has such a name on purpose
  return !/^(?:$|:|file:|\/\/(?!\/))|\/$|[\x00-\x1f\x7f]/i.test(path);
}

/** Octets. */
const KEY_LENGTH = 32;

/** Keys of AES-256 in base64; the first one seals, and all of them open. */
export const queueKeys: Parser<readonly Secret[]> = {
  allowed:
    `${KEY_LENGTH} bytes in base64, several keys with commas between them (make a key with: ` +
    `openssl rand -base64 ${KEY_LENGTH})`,
  parse(text) {
    const keys = keysIn(text);
    return keys.every((key) => keyFault(key) === undefined)
      ? keys.map((key) => new Secret(key))
      : undefined;
  },
  fault(text) {
    const keys = keysIn(text);
    const faults = keys.map(keyFault);
    const index = faults.findIndex((fault) => fault !== undefined);
    if (index < 0) return undefined;
    return `${keys.length === 1 ? "it" : `key ${index + 1} of ${keys.length}`} ${faults[index]}`;
  },
};

function keysIn(text: string): readonly string[] {
  return text.split(",").map((part) => part.trim());
}

/** Why a text is no key, without any part of it; undefined if it is one. */
function keyFault(text: string): string | undefined {
  if (text === "") return "is empty";
  if (!/^(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}$/.test(text)) return "is not base64";
  const { length } = Buffer.from(text, "base64");
  if (length !== KEY_LENGTH) return `has ${length} ${length === 1 ? "byte" : "bytes"}`;
  return /^.{43}=?$/.test(text) ? undefined : "is not base64";
}

/** The settings that say where the queue is, and how to read it. */
export type QueueAccess = Pick<Settings, "QUEUE_URL" | "QUEUE_CONNECTION_STRING">;

/** The endpoints of `azure-storage:`; undefined for `sqlite:`, or if no setting names the account. */
export function queueEndpoints(settings: QueueAccess): StorageEndpoints | undefined {
  const { QUEUE_URL: address, QUEUE_CONNECTION_STRING: connection } = settings;
  if (address.type === "sqlite") return undefined;
  return address.url === undefined ? connection?.endpoints : storageEndpoints(address.url);
}

/**
 * Why the queue cannot be opened with these settings.
 *
 * @param valid whether these settings have values that can be judged
 */
export function queueAccessProblems(
  settings: QueueAccess,
  valid: (...names: SettingName[]) => boolean = () => true,
): string[] {
  const { QUEUE_URL: address, QUEUE_CONNECTION_STRING: connection } = settings;
  if (!valid("QUEUE_URL", "QUEUE_CONNECTION_STRING")) return [];
  if (address.type === "sqlite") {
    if (connection === undefined) return [];
    return ["QUEUE_CONNECTION_STRING is set, but QUEUE_URL is not azure-storage: unset it"];
  }
  if (queueEndpoints(settings) === undefined) {
    return [
      "QUEUE_URL azure-storage: does not say which account: add its https URL, or set " +
      "QUEUE_CONNECTION_STRING with its endpoints",
    ];
  }
  if (address.url?.protocol === "http:" && connection === undefined) {
    return [
      "QUEUE_URL with http needs QUEUE_CONNECTION_STRING: an identity's token goes over https only",
    ];
  }
  return [];
}

/** @param valid whether these settings have values that can be judged */
export function queueProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
): string[] {
  if (!valid("DELIVERY_MODE") || settings.DELIVERY_MODE === "direct") return [];
  const problems = queueAccessProblems(settings, valid);
  if (valid("QUEUE_KEY") && settings.QUEUE_KEY === undefined) {
    problems.unshift(
      "QUEUE_KEY must be set when DELIVERY_MODE is queue: it seals the mail; make a key with: " +
        `openssl rand -base64 ${KEY_LENGTH}`,
    );
  }
  return problems;
}

const NAMES = [
  "QUEUE_URL",
  "QUEUE_CONNECTION_STRING",
  "QUEUE_KEY",
  "QUEUE_MAX_AGE",
  "QUEUE_MAX_MESSAGES",
  "QUEUE_MAX_BYTES",
  "QUEUE_AMBIGUOUS",
  "QUEUE_BOUNCE",
  "QUEUE_OFFLINE_LOGIN",
] as const satisfies readonly SettingName[];

/** @param given the settings that have a value of their own */
export function queueDoubts(settings: Settings, given: ReadonlySet<SettingName>): string[] {
  if (settings.DELIVERY_MODE === "queue") {
    if (settings.QUEUE_MAX_BYTES >= settings.MAX_MESSAGE_SIZE) return [];
    return ["QUEUE_MAX_BYTES is less than MAX_MESSAGE_SIZE: a message of that size gets 452"];
  }
  const idle = NAMES.filter((name) => given.has(name));
  if (idle.length === 0) return [];
  const have = idle.length === 1 ? "has" : "have";
  return [`${idle.join(", ")} ${have} no effect, because DELIVERY_MODE is direct`];
}
