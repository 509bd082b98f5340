// The settings of the relay's own credentials towards Entra ID: their forms, and what they need.

import type { SettingName, Settings } from "./schema.ts";
import type { Parser } from "./setting.ts";

/** The name of a certificate in Azure Key Vault. */
export const vaultCertificate: Parser<string> = {
  allowed: "1 to 127 letters, digits and hyphens",
  parse: (name) => /^[a-z0-9-]{1,127}$/i.test(name) ? name : undefined,
};

/** In lower case. */
export const uuid: Parser<string> = {
  allowed: "a UUID, such as 11111111-2222-3333-4444-555555555555",
  parse: (text) =>
    /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(text) ? text.toLowerCase() : undefined,
  meant: (text) => {
    const bare = text.trim().replace(/^\{(.*)\}$/, "$1");
    return bare === text ? undefined : uuid.parse(bare);
  },
};

/** @param valid whether none of these settings has a value that is not allowed */
export function credentialProblems(
  settings: Settings,
  valid: (...names: SettingName[]) => boolean,
): string[] {
  const problems: string[] = [];
  const {
    CLIENT_CERTIFICATE_FILEPATH: certificate,
    CLIENT_KEY_FILEPATH: key,
    AZURE_KEY_VAULT_CLIENT_CERT_NAME: name,
    AZURE_KEY_VAULT_URL: vault,
  } = settings;
  if (valid("CLIENT_KEY_FILEPATH") && certificate !== undefined && key === undefined) {
    problems.push(
      "CLIENT_KEY_FILEPATH must be set when CLIENT_CERTIFICATE_FILEPATH is; it may be the same file",
    );
  }
  if (valid("CLIENT_CERTIFICATE_FILEPATH") && key !== undefined && certificate === undefined) {
    problems.push("CLIENT_CERTIFICATE_FILEPATH must be set when CLIENT_KEY_FILEPATH is");
  }
  if (certificate !== undefined && name !== undefined) {
    problems.push(
      "CLIENT_CERTIFICATE_FILEPATH and AZURE_KEY_VAULT_CLIENT_CERT_NAME are both set: the relay has " +
        "one certificate of its own for Entra ID",
    );
  }
  if (valid("AZURE_KEY_VAULT_URL") && name !== undefined && vault === undefined) {
    problems.push("AZURE_KEY_VAULT_URL must be set when AZURE_KEY_VAULT_CLIENT_CERT_NAME is");
  }
  return problems;
}
