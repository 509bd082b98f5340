// Storage connection strings: their credentials, and for the queue their endpoints too. The address of
// the table is a setting of its own.
// https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string

import { Secret } from "../secret.ts";
import { serviceUrl } from "./parsers.ts";
import type { Parser } from "./setting.ts";

/** Access to a storage account without an identity. */
export type StorageAccess =
  | { readonly type: "key"; readonly account: string; readonly key: Secret }
  /** A shared access signature, without a question mark. */
  | { readonly type: "sas"; readonly signature: Secret };

/** The emulator's well-known credentials. */
const DEVELOPMENT: StorageAccess = {
  type: "key",
  account: "devstoreaccount1",
  key: new Secret(
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
  ),
};

export const storageAccess: Parser<StorageAccess> = {
  allowed: "a storage connection string with AccountName and AccountKey, with " +
    "SharedAccessSignature, or UseDevelopmentStorage=true",
  parse(text) {
    const parts = partsOf(text);
    return parts === undefined ? undefined : accessIn(parts);
  },
};

/** The URLs of the services that keep the queue, without a slash at the end. */
export interface StorageEndpoints {
  readonly blobs: URL;
  readonly queues: URL;
}

/** A whole connection string. */
export interface StorageConnection {
  readonly access: StorageAccess;
  /** Undefined if it does not name the account. */
  readonly endpoints: StorageEndpoints | undefined;
}

export const storageConnection: Parser<StorageConnection> = {
  allowed: `${storageAccess.allowed}; its endpoints https URLs (http only to a loopback address)`,
  parse(text) {
    const parts = partsOf(text);
    const access = parts === undefined ? undefined : accessIn(parts);
    if (parts === undefined || access === undefined) return undefined;
    const endpoints = endpointsIn(parts);
    return endpoints === "invalid" ? undefined : { access, endpoints };
  },
};

/**
 * The endpoints of a storage account, of which one is given. The services' names differ in the label after
 * the account and its DNS zone, if it has one
 * (https://learn.microsoft.com/azure/storage/common/storage-account-overview). The emulator's services have
 * ports of their own: the one after that of blobs is for queues.
 */
export function storageEndpoints(url: URL): StorageEndpoints | undefined {
  const [, account, service, rest] =
    /^([^.]+(?:\.z\d{1,3})?)\.(blob|queue)(\..+)$/i.exec(url.hostname) ?? [];
  if (service !== undefined && url.pathname === "/") {
    const at = (name: string) => {
      const other = new URL(url);
      other.hostname = `${account}.${name}${rest}`;
      return other;
    };
    return { blobs: at("blob"), queues: at("queue") };
  }
  if (url.protocol !== "http:" || url.port === "") return undefined;
  const queues = new URL(url);
  queues.port = String(Number(url.port) + 1);
  return { blobs: url, queues };
}

function partsOf(text: string): ReadonlyMap<string, string> | undefined {
  const parts = new Map<string, string>();
  for (const part of text.split(";").map((part) => part.trim())) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    if (equals < 1) return undefined;
    parts.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
  }
  return parts;
}

function accessIn(parts: ReadonlyMap<string, string>): StorageAccess | undefined {
  const development = parts.get("usedevelopmentstorage");
  if (development !== undefined) return development === "true" ? DEVELOPMENT : undefined;
  const signature = parts.get("sharedaccesssignature")?.replace(/^\?/, "");
  if (signature !== undefined) {
    const fits = new URLSearchParams(signature).has("sig");
    return fits ? { type: "sas", signature: new Secret(signature) } : undefined;
  }
  const account = parts.get("accountname") ?? "";
  const key = parts.get("accountkey") ?? "";
  if (!/^[a-z0-9-]{3,63}$/i.test(account)) return undefined;
  if (!/^(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(key)) {
    return undefined;
  }
  return { type: "key", account, key: new Secret(key) };
}

function endpointsIn(parts: ReadonlyMap<string, string>): StorageEndpoints | undefined | "invalid" {
  if (parts.has("usedevelopmentstorage")) {
    return storageEndpoints(new URL("http://127.0.0.1:10000/devstoreaccount1"));
  }
  const [account, blobs, queues] = ["accountname", "blobendpoint", "queueendpoint"]
    .map((name) => parts.get(name) || undefined);
  const given = [blobs, queues].filter((url) => url !== undefined);
  const urls = given.map((text) => serviceUrl.parse(text.replace(/\/+$/, "")));
  if (urls.includes(undefined)) return "invalid";
  const [first, second] = urls as URL[];
  if (first !== undefined && second !== undefined) return { blobs: first, queues: second };
  if (first !== undefined) return storageEndpoints(first);
  if (account === undefined) return undefined;
  const protocol = parts.get("defaultendpointsprotocol") || "https";
  const suffix = parts.get("endpointsuffix") || "core.windows.net";
  const url = serviceUrl.parse(`${protocol}://${account}.blob.${suffix}`);
  return url === undefined ? "invalid" : storageEndpoints(url) ?? "invalid";
}
