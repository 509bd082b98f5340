// Certificate authorities that outgoing connections trust besides the runtime's own:
// EXTRA_CA_CERTS_FILEPATH, or the variables of other programs that mean the same.

import { X509Certificate } from "node:crypto";
import type { AuthorityFile } from "../settings/parsers.ts";
import { CertificateError, certificatesIn, together } from "./certificate.ts";
import { readPem } from "./pem_files.ts";

/**
 * @param files PEM; text around the certificates is ignored
 * @returns the certificates in them, PEM, one each; an empty list without files
 * @throws CertificateError with a line for each file
 */
export function readAuthorities(files: readonly AuthorityFile[] | undefined): readonly string[] {
  const found: string[] = [];
  const problems: CertificateError[] = [];
  for (const file of files ?? []) {
    try {
      found.push(...certificatesOf(file));
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      problems.push(error);
    }
  }
  if (problems.length > 0) throw together(problems);
  return found;
}

function certificatesOf({ variable, path }: AuthorityFile): readonly string[] {
  const found = certificatesIn(readPem(variable, path));
  if (found.length === 0) {
    throw new CertificateError(`${variable} "${path}" holds no certificate in PEM form`);
  }
  for (const [index, certificate] of found.entries()) {
    try {
      new X509Certificate(certificate);
    } catch {
      throw new CertificateError(
        `${variable} "${path}" is damaged: its certificate number ${index + 1} cannot be read`,
      );
    }
  }
  return found;
}
