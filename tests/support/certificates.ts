/** Certificates as files, and settings that name them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../../src/certificates/certificate.ts";

export interface CertificateFiles {
  readonly certificatePath: string;
  readonly keyPath: string;
}

/** Writes both files; their names begin with `name`. */
export function writeCertificate(
  directory: string,
  name: string,
  { certificate, privateKey }: Pick<Certificate, "certificate" | "privateKey">,
): CertificateFiles {
  const certificatePath = join(directory, `${name}-cert.pem`);
  const keyPath = join(directory, `${name}-key.pem`);
  writeFileSync(certificatePath, certificate);
  writeFileSync(keyPath, privateKey);
  return { certificatePath, keyPath };
}

/**
 * A certificate's Subject Key Identifier (RFC 5280 §4.2.1.2) in hexadecimal, undefined where it has
 * none.
 */
export async function subjectKeyIdentifier(pem: string): Promise<string | undefined> {
  await import("reflect-metadata");
  const { SubjectKeyIdentifierExtension, X509Certificate } = await import("@peculiar/x509");
  return new X509Certificate(pem).getExtension(SubjectKeyIdentifierExtension)?.keyId;
}
