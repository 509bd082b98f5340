// The TLS identity that the settings ask for: made of a certificate, and proved to work.

import { createSecureContext } from "node:tls";
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
          "the runtime ignores cipher strings (the released executable obeys them)",
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
    const { what, whose, fix } = await culprit(identity, oldest, runtime);
    const reason = error instanceof Error ? error.message : String(error);
    throw new CertificateError(
      `${what} cannot be used on ${runtime.name} ${runtime.version}${whose}: ${reason}`,
      "unusable",
      fix,
    );
  }
}

/** What has to be changed: the cipher string, the version or the certificate. Tried, not guessed. */
async function culprit(
  identity: TlsIdentity,
  oldest: TlsVersion,
  runtime: Runtime,
): Promise<{ readonly what: string; readonly whose: string; readonly fix: string }> {
  const { ciphers, ...plain } = identity;
  const works = (version: TlsVersion, other: TlsIdentity) =>
    proveTls(runtime, other, version).then(() => true, () => false);
  if (ciphers !== undefined && await works(oldest, plain)) {
    return {
      what: `TLS_CIPHER_SUITE "${ciphers}"`,
      // With the key's kind it has to do only where it is a cipher string at all.
      whose: isCipherString(ciphers) && runtime.name === "Bun" ? " with this certificate" : "",
      fix: "leave TLS_CIPHER_SUITE unset, or name ciphers for the certificate's kind of key",
    };
  }
  const modern = await works("1.3", { ...plain, minVersion: "1.2" });
  if (modern) {
    return {
      what: `TLS_MIN_VERSION "${oldest}"`,
      whose: "",
      fix: "leave TLS_MIN_VERSION at 1.2, unless somebody demands otherwise",
    };
  }
  return {
    what: "TLS",
    whose: " with this certificate",
    fix: "see whether the key is its own, and of a kind and length that clients of today take",
  };
}

function isCipherString(ciphers: string): boolean {
  try {
    createSecureContext({ ciphers });
    return true;
  } catch {
    return false;
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
