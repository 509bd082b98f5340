// Certificate authorities that outgoing connections trust besides the runtime's own:
// EXTRA_CA_CERTS_FILEPATH, and NODE_EXTRA_CA_CERTS, which means the same.

import { X509Certificate } from "node:crypto";
import { CertificateError, certificatesIn } from "./certificate.ts";
import { readPem } from "./file.ts";

const SETTING = "EXTRA_CA_CERTS_FILEPATH";

/**
 * @param path of a PEM file; text around the certificates is passed over
 * @returns the certificates in it, PEM, one each; none without a path
 * @throws CertificateError
 */
export function readAuthorities(path: string | undefined): readonly string[] {
  if (path === undefined) return [];
  const found = certificatesIn(readPem(SETTING, path));
  if (found.length === 0) {
    throw new CertificateError(`${SETTING} "${path}" holds no certificate in PEM form`);
  }
  for (const [index, certificate] of found.entries()) {
    try {
      new X509Certificate(certificate);
    } catch {
      throw new CertificateError(
        `${SETTING} "${path}" is damaged: its certificate number ${index + 1} cannot be read`,
      );
    }
  }
  return found;
}
