// The sources of certificates by the settings: files, or Key Vault with the relay's own identity. Code
// that only Key Vault needs is loaded only for it.

import { FileSource } from "../certificates/file_source.ts";
import type { CertificateSource } from "../certificates/source.ts";
import type { HttpClient } from "../http/client.ts";
import { isLoopback } from "../settings/listen_address.ts";
import type { Settings } from "../settings/schema.ts";

/**
 * @returns undefined if TLS is off
 * @throws CommandError if the relay's own identity cannot be made
 */
export async function certificateSource(
  settings: Settings,
  http: HttpClient,
): Promise<CertificateSource | undefined> {
  switch (settings.TLS_SOURCE) {
    case "off":
      return undefined;
    case "file":
      return new FileSource({
        certificatePath: settings.TLS_CERT_FILEPATH,
        keyPath: settings.TLS_KEY_FILEPATH,
      });
    case "keyvault":
      return await keyVaultSource("AZURE_KEY_VAULT_CERT_NAME", settings, http);
  }
}

/**
 * The source of the relay's own certificate for its login to Entra ID.
 *
 * @returns undefined if there is none
 * @throws CommandError if the relay's own identity, for the vault, cannot be made
 */
export async function clientCertificateSource(
  settings: Settings,
  http: HttpClient,
): Promise<CertificateSource | undefined> {
  const { CLIENT_CERTIFICATE_FILEPATH: certificatePath, CLIENT_KEY_FILEPATH: keyPath } = settings;
  if (certificatePath !== undefined && keyPath !== undefined) {
    return new FileSource({ certificatePath, keyPath, settings: CLIENT_FILES });
  }
  if (settings.AZURE_KEY_VAULT_CLIENT_CERT_NAME === undefined) return undefined;
  return await keyVaultSource("AZURE_KEY_VAULT_CLIENT_CERT_NAME", settings, http);
}

const CLIENT_FILES = {
  certificate: "CLIENT_CERTIFICATE_FILEPATH",
  key: "CLIENT_KEY_FILEPATH",
} as const;

/** @param setting that names the certificate */
async function keyVaultSource(
  setting: "AZURE_KEY_VAULT_CERT_NAME" | "AZURE_KEY_VAULT_CLIENT_CERT_NAME",
  settings: Settings,
  http: HttpClient,
): Promise<CertificateSource> {
  const { AZURE_KEY_VAULT_URL: vault, [setting]: name } = settings;
  if (vault === undefined || name === undefined) throw new Error("settings have been checked");
  const [{ KeyVaultSource }, { ownIdentity }, { azureClientOptions }] = await Promise
    .all([
      import("../certificates/keyvault.ts"),
      import("./azure_identity.ts"),
      import("../azure/transport.ts"),
    ]);
  return new KeyVaultSource({
    vault,
    name,
    setting,
    credential: await ownIdentity(settings, http),
    client: azureClientOptions(http, vault.origin),
    imitated: isLoopback(vault.hostname),
  });
}
