// The TLS identity that the settings ask for: loaded, and proved to work.

import type { Runtime, TlsIdentity } from "../runtime/runtime.ts";
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
    const { cipher } = await proveTls(runtime, identity, version);
    const wanted = settings.TLS_CIPHER_SUITE;
    // A cipher string says nothing of TLS 1.3.
    if (wanted === undefined || version === "1.3") return;
    await proveCiphers(wanted, cipher);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const named = settings.TLS_CIPHER_SUITE === undefined
      ? `TLS_MIN_VERSION "${version}"`
      : `TLS_MIN_VERSION "${version}" with TLS_CIPHER_SUITE "${settings.TLS_CIPHER_SUITE}"`;
    throw new CertificateError(
      `${named} cannot be used on ${runtime.name} ${runtime.version} with this certificate: ${reason}`,
    );
  }
}

/** A runtime that ignores a cipher string would go unnoticed otherwise. */
async function proveCiphers(wanted: string, negotiated: string): Promise<void> {
  const { createSecureContext, getCiphers } = await import("node:tls");
  // Throws on a string that the TLS library cannot read.
  createSecureContext({ ciphers: wanted });
  // Only a plain list of names can be held against the cipher that came out.
  const names = wanted.split(/[:, ]+/).filter((name) => name !== "");
  const known = new Set(getCiphers().map((name) => name.toLowerCase()));
  const plain = names.every((name) => known.has(name.toLowerCase()));
  if (plain && !names.some((name) => name.toLowerCase() === negotiated.toLowerCase())) {
    throw new Error(`the runtime does not obey the cipher string (it used ${negotiated})`);
  }
}
