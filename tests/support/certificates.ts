/** Certificates as files, and settings that name them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../../src/certificates/certificate.ts";
import { loadSettings } from "../../src/settings/load.ts";
import type { Settings } from "../../src/settings/schema.ts";

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

export function settingsOf(environment: Readonly<Record<string, string>>): Settings {
  const loaded = loadSettings(environment);
  if (loaded.type === "problems") throw new Error(loaded.problems.join("; "));
  return loaded.settings;
}
