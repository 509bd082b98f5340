// The TLS identity that the settings ask for: made of a certificate, and proved to work.

import type { Runtime, TlsIdentity, TlsVersion } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { type Certificate, CertificateError } from "./certificate.ts";
import { readCertificate } from "./file.ts";
import { type ProvenTls, proveTls } from "./prove.ts";

export interface LoadedIdentity {
  readonly identity: TlsIdentity;
  readonly certificate: Certificate;
  /** What clients that know nothing newer than each version get, the oldest first. */
  readonly handshakes: readonly ProvenTls[];
}

/**
 * The identity for a certificate, by default the one of TLS_SOURCE=file.
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
  const handshakes = await prove(identity, settings, runtime);
  return { identity, certificate, handshakes };
}

async function prove(
  identity: TlsIdentity,
  settings: Settings,
  runtime: Runtime,
): Promise<readonly ProvenTls[]> {
  const oldest = settings.TLS_MIN_VERSION;
  try {
    const handshakes = [await proveTls(runtime, identity, oldest)];
    // A cipher string says nothing of TLS 1.3.
    if (identity.ciphers !== undefined && oldest !== "1.3") {
      if (await ignoresCiphers(identity, runtime, oldest)) {
        throw new Error(
          "the runtime ignores cipher strings: unset TLS_CIPHER_SUITE (the released executable obeys it)",
        );
      }
    }
    for (const version of ["1.1", "1.2", "1.3"] as const) {
      // Not demanded by any setting: shown where it works.
      if (version <= oldest) continue;
      await proveTls(runtime, identity, version).then((one) => handshakes.push(one), () => {});
    }
    return handshakes;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const named = settings.TLS_CIPHER_SUITE === undefined
      ? `TLS_MIN_VERSION "${oldest}"`
      : `TLS_MIN_VERSION "${oldest}" with TLS_CIPHER_SUITE "${settings.TLS_CIPHER_SUITE}"`;
    throw new CertificateError(
      `${named} cannot be used on ${runtime.name} ${runtime.version} with this certificate: ${reason}`,
      "unusable",
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
