// The certificate from files: both files, whether they fit, the chain, and a handshake with oneself.

import type { KeyObject } from "node:crypto";
import { getCACertificates } from "node:tls";
import {
  type Certificate,
  CertificateError,
  type CertificateFault,
  readKey,
  readLeaf,
} from "../certificates/file.ts";
import { loadIdentity } from "../certificates/identity.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { certificatesOf, day, daysBetween, judgeChain, nameLine, namesOf } from "./chain.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding } from "./finding.ts";

const CODE_OF: Readonly<Record<CertificateFault, Code>> = {
  missing: "certificate.missing",
  unreadable: "certificate.unreadable",
  malformed: "certificate.malformed",
  mismatch: "certificate.key-mismatch",
  unusable: "certificate.unusable",
};

export interface CertificateTools {
  readonly runtime: Runtime;
  /** EXTRA_CA_CERTS_FILEPATH's, PEM; undefined where they cannot be read. */
  readonly authorities: readonly string[] | undefined;
  readonly now?: number;
}

export async function checkCertificate(
  settings: Settings,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  if (settings.TLS_SOURCE === "off") {
    return [finding("certificate.off", "TLS_SOURCE is off: clients speak in plain text")];
  }
  const findings: Finding[] = [];
  const named = `TLS_CERT_FILEPATH "${settings.TLS_CERT_FILEPATH}"`;
  const leaf = attempt(() => readLeaf(settings.TLS_CERT_FILEPATH), findings);
  const key = attempt(() => readKey(settings.TLS_KEY_FILEPATH), findings);
  if (leaf !== undefined) findings.push(...judgeFor(leaf.certificate, named, settings, tools));
  if (leaf !== undefined && key !== undefined) {
    const pair = { ...leaf, privateKey: key.privateKey };
    const mismatch = judgePair(pair, key.key, settings);
    findings.push(...mismatch ?? await proved(pair, settings, tools.runtime));
  }
  if (findings.length > 0 || leaf === undefined) return findings;
  return [finding("certificate.ok", praise(leaf.leaf, named, tools.now ?? Date.now()))];
}

/** What is wrong with a chain, for the clients that these settings expect. */
export function judgeFor(
  pem: string,
  named: string,
  settings: Settings,
  tools: CertificateTools,
): Finding[] {
  return judgeChain(pem, {
    named,
    now: tools.now ?? Date.now(),
    hostname: settings.SERVER_HOSTNAME,
    authorities: () => tools.authorities && [...getCACertificates("default"), ...tools.authorities],
  });
}

/** A certificate that nothing is wrong with, in one line. */
export function praise(leaf: Certificate["leaf"], named: string, now: number): string {
  const until = Date.parse(leaf.validTo);
  return `${named} is for ${namesOf(leaf)}, from "${nameLine(leaf.issuer)}", good until ${
    day(until)
  } ` +
    `(${daysBetween(now, until)} days), fits its key`;
}

/** Serves TLS with it once, as the relay does at its start. */
export async function proved(
  certificate: Certificate,
  settings: Settings,
  runtime: Runtime,
): Promise<readonly Finding[]> {
  try {
    await loadIdentity(settings, runtime, certificate);
    return [];
  } catch (error) {
    return [faultOf(error)];
  }
}

function judgePair(
  { certificate, leaf }: Pick<Certificate, "certificate" | "leaf">,
  key: KeyObject,
  { TLS_CERT_FILEPATH, TLS_KEY_FILEPATH }: Settings,
): readonly Finding[] | undefined {
  if (leaf.checkPrivateKey(key)) return undefined;
  const fits = certificatesOf(certificate).findIndex((other) => other.checkPrivateKey(key));
  const what = `TLS_KEY_FILEPATH "${TLS_KEY_FILEPATH}" is not the key of the certificate in ` +
    `"${TLS_CERT_FILEPATH}"`;
  return fits < 1 ? [finding("certificate.key-mismatch", what)] : [
    finding(
      "certificate.key-mismatch",
      `${what}, but that of certificate number ${fits + 1} in the file`,
      `put certificate number ${
        fits + 1
      } first in the file: the server's own comes before its chain`,
    ),
  ];
}

function attempt<T>(read: () => T, findings: Finding[]): T | undefined {
  try {
    return read();
  } catch (error) {
    findings.push(faultOf(error));
    return undefined;
  }
}

function faultOf(error: unknown): Finding {
  if (!(error instanceof CertificateError)) throw error;
  return finding(CODE_OF[error.fault], error.message);
}
