// The TLS identity that the settings ask for: made of a certificate, and tested with handshakes.

import type { X509Certificate } from "node:crypto";
import { late } from "../late_modules.ts";
import type { Runtime, TlsIdentity, TlsVersion } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import {
  type Certificate,
  CertificateError,
  type CertificateFault,
  OTHER_KIND,
} from "./certificate.ts";
import { readCertificate } from "./pem_files.ts";
import { isServedKind, kindName, kindOfCertificate } from "./key_kind.ts";
import { type HandshakeResult, testHandshake } from "./test_handshake.ts";

export interface LoadedIdentity {
  readonly identity: TlsIdentity;
  readonly certificate: Certificate;
  /** The part of the settings that this runtime does not support and that is ignored; a line for the log. */
  readonly dropped?: string;
  /** The cipher that a client with each TLS version gets, the oldest version first. */
  readonly handshakes: readonly HandshakeResult[];
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
  const base: TlsIdentity = {
    certificate: certificate.certificate,
    privateKey: certificate.privateKey,
    minVersion: settings.TLS_MIN_VERSION,
  };
  const { ciphers, dropped } = await ciphersFor(base, settings, runtime);
  const identity = ciphers === undefined ? base : { ...base, ciphers };
  const handshakes = await testVersions(identity, certificate, settings, runtime);
  return { identity, certificate, handshakes, ...(dropped === undefined ? {} : { dropped }) };
}

/** OpenSSL's security levels (SSL_CTX_set_security_level(3)); BoringSSL has none. */
const LEVEL = /@SECLEVEL=[0-5]/g;

/** TLS_CIPHER_SUITE, without security levels where a test handshake shows that they have no effect. */
async function ciphersFor(
  identity: TlsIdentity,
  { TLS_CIPHER_SUITE: given, TLS_MIN_VERSION: oldest }: Settings,
  runtime: Runtime,
): Promise<{ readonly ciphers?: string; readonly dropped?: string }> {
  if (given === undefined) return {};
  const levels = given.match(LEVEL);
  if (levels === null) return { ciphers: given };
  const whole = { ...identity, ciphers: given };
  const obeyed = await works(runtime, whole, oldest) &&
    !await ignoresCiphers(whole, runtime, oldest);
  if (obeyed) return { ciphers: given };
  const rest = given.replace(LEVEL, "").split(/[:, ;]+/).filter((word) => word !== "").join(":");
  const dropped = `TLS_CIPHER_SUITE "${given}": ${[...new Set(levels)].join(" ")} is dropped: ` +
    `the TLS library of ${runtime.name} ${runtime.version} has no security levels ` +
    "(TLS_MIN_VERSION allows older versions)";
  // The rest may be no more than the default.
  return rest === "" || rest === "DEFAULT" ? { dropped } : { ciphers: rest, dropped };
}

async function testVersions(
  identity: TlsIdentity,
  { leaf }: Certificate,
  settings: Settings,
  runtime: Runtime,
): Promise<readonly HandshakeResult[]> {
  const oldest = settings.TLS_MIN_VERSION;
  try {
    const handshakes = [await testHandshake(runtime, identity, oldest)];
    // A cipher string does not apply to TLS 1.3.
    if (identity.ciphers !== undefined && oldest !== "1.3") {
      if (await ignoresCiphers(identity, runtime, oldest)) {
        throw new Error(
          "the runtime ignores cipher strings (the released executable obeys them)",
        );
      }
    }
    for (const version of ["1.1", "1.2", "1.3"] as const) {
      // No setting demands newer versions: they are shown where they work.
      if (version <= oldest) continue;
      await testHandshake(runtime, identity, version).then((one) => handshakes.push(one), () => {});
    }
    return handshakes;
  } catch (error) {
    const { what, whose, fix, fault } = await culprit(identity, leaf, settings, runtime);
    const reason = error instanceof Error ? error.message : String(error);
    throw new CertificateError(
      `${what} cannot be used on ${runtime.name} ${runtime.version}${whose}: ${reason}`,
      fault ?? "unusable",
      fix,
    );
  }
}

/** Finds by test handshakes what has to be changed: the cipher string, the version or the certificate. */
async function culprit(
  identity: TlsIdentity,
  leaf: X509Certificate,
  { TLS_CIPHER_SUITE: given, TLS_MIN_VERSION: oldest }: Settings,
  runtime: Runtime,
): Promise<{
  readonly what: string;
  readonly whose: string;
  readonly fix: string;
  readonly fault?: CertificateFault;
}> {
  const { ciphers, ...plain } = identity;
  if (ciphers !== undefined && await works(runtime, plain, oldest)) {
    return {
      what: `TLS_CIPHER_SUITE "${given}"`,
      // The kind of key matters only where the text is a cipher string at all.
      whose: isCipherString(ciphers) && runtime.name === "Bun" ? " with this certificate" : "",
      fix: "leave TLS_CIPHER_SUITE unset, or name ciphers for the certificate's kind of key",
    };
  }
  const kind = kindOfCertificate(leaf);
  if (
    kind !== undefined && !isServedKind(kind) &&
    !await works(runtime, { ...plain, minVersion: "1.2" }, "1.2")
  ) {
    return {
      what: `a certificate with a key of the kind ${kindName(kind)}`,
      whose: "",
      fix: OTHER_KIND,
      fault: "kind",
    };
  }
  const modern = await works(runtime, { ...plain, minVersion: "1.2" }, "1.3");
  if (modern) {
    return {
      what: `TLS_MIN_VERSION "${oldest}"`,
      whose: "",
      fix: "leave TLS_MIN_VERSION at 1.2, unless a policy demands otherwise",
    };
  }
  return {
    what: "TLS",
    whose: " with this certificate",
    fix:
      "check that the key belongs to the certificate, and that clients accept its kind and length",
  };
}

/** Whether a client of this version gets its handshake. */
function works(runtime: Runtime, identity: TlsIdentity, version: TlsVersion): Promise<boolean> {
  return testHandshake(runtime, identity, version).then(() => true, () => false);
}

function isCipherString(ciphers: string): boolean {
  try {
    late.tls.createSecureContext({ ciphers });
    return true;
  } catch {
    return false;
  }
}

/** Whether a handshake succeeds even with a cipher string that matches no cipher. */
function ignoresCiphers(
  identity: TlsIdentity,
  runtime: Runtime,
  version: TlsVersion,
): Promise<boolean> {
  return works(runtime, { ...identity, ciphers: "NO-SUCH-CIPHER" }, version);
}
