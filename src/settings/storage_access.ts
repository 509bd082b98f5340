// The credentials in storage connection strings. The address of the table or queue is a setting of its
// own. https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string

import { Secret } from "../secret.ts";
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
    const parts = new Map<string, string>();
    for (const part of text.split(";").map((part) => part.trim())) {
      if (part === "") continue;
      const equals = part.indexOf("=");
      if (equals < 1) return undefined;
      parts.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
    }
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
  },
};
