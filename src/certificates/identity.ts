// The TLS identity that the settings ask for: loaded, and proved to work.

import type { Runtime, TlsIdentity, TlsVersion } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { type Certificate, CertificateError, readCertificate } from "./file.ts";
import { proveTls } from "./prove.ts";

export interface LoadedIdentity {
  readonly identity: TlsIdentity;
  readonly certificate: Certificate;
}

/**
 * The identity for TLS_SOURCE=file, or for a given certificate.
 *
 * @throws CertificateError with one line for the administrator
 */
export async function loadIdentity(
  settings: Settings,
  runtime: Runtime,
  given?: Certificate,
): Promise<LoadedIdentity> {
  const certificate = given ??
    readCertificate(settings.TLS_CERT_FILEPATH, settings.TLS_KEY_FILEPATH);
  const ciphers = settings.TLS_CIPHER_SUITE;
  const identity: TlsIdentity = {
    certificate: certificate.certificate,
    privateKey: certificate.privateKey,
    minVersion: settings.TLS_MIN_VERSION,
    ...(ciphers === undefined ? {} : { ciphers }),
  };
  await prove(identity, settings, runtime);
  return { identity, certificate };
}

async function prove(identity: TlsIdentity, settings: Settings, runtime: Runtime): Promise<void> {
  const version = settings.TLS_MIN_VERSION;
  try {
    await proveTls(runtime, identity, version);
    // A cipher string says nothing of TLS 1.3.
    if (identity.ciphers === undefined || version === "1.3") return;
    if (await ignoresCiphers(identity, runtime, version)) {
      throw new Error(
        "the runtime ignores cipher strings: unset TLS_CIPHER_SUITE (the released executable obeys it)",
      );
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const named = settings.TLS_CIPHER_SUITE === undefined
      ? `TLS_MIN_VERSION "${version}"`
      : `TLS_MIN_VERSION "${version}" with TLS_CIPHER_SUITE "${settings.TLS_CIPHER_SUITE}"`;
    throw new CertificateError(
      "unusable",
      `${named} cannot be used on ${runtime.name} ${runtime.version} with this certificate: ${reason}`,
    );
  }
}

/** Whether a handshake succeeds even where no cipher is left: then the string means nothing. */
function ignoresCiphers(
  identity: TlsIdentity,
  runtime: Runtime,
  version: TlsVersion,
): Promise<boolean> {
  return proveTls(runtime, { ...identity, ciphers: "NO-SUCH-CIPHER" }, version)
    .then(() => true, () => false);
}
