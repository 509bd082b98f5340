// Checks the certificate: the files or the vault's secret, the chain, and a test handshake.

import type { KeyObject } from "node:crypto";
import { getCACertificates } from "node:tls";
import {
  belongsTo,
  type Certificate,
  CertificateError,
  type CertificateFault,
  certificatesIn,
  type CertificateTrouble,
  CertificateUnavailable,
  keysIn,
} from "../certificates/certificate.ts";
import { blocksOnly, keyIn, leafIn, readPem, swappedFiles } from "../certificates/pem_files.ts";
import { loadIdentity } from "../certificates/tls_identity.ts";
import type { CertificateSource } from "../certificates/source.ts";
import { CommandError } from "../exit.ts";
import type { HttpClient } from "../http/client.ts";
import { certificateSource } from "../relay/certificate_source.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Settings } from "../settings/schema.ts";
import { validityOf } from "../certificates/describe.ts";
import { certificatesOf, day, inDays, judgeChain, nameLine, namesOf } from "./chain_findings.ts";
import type { Code } from "./codes.ts";
import { type Finding, finding, identityFinding } from "./finding.ts";

const CODE_OF: Readonly<Record<CertificateFault, Code>> = {
  missing: "certificate.missing",
  unreadable: "certificate.unreadable",
  malformed: "certificate.malformed",
  cut: "certificate.malformed",
  mismatch: "certificate.key-mismatch",
  swapped: "certificate.swapped",
  kind: "certificate.key-kind",
  unusable: "certificate.unusable",
};

const COPY_AGAIN = "copy or write the file again, to its end";

const VAULT_CODE_OF: Readonly<Record<CertificateTrouble, Code>> = {
  forbidden: "vault.forbidden",
  firewall: "vault.firewall",
  absent: "vault.absent",
  disabled: "vault.disabled",
  identity: "vault.identity",
  foreign: "vault.foreign",
  unreachable: "vault.unreachable",
  refused: "vault.refused",
};

export interface CertificateTools {
  readonly runtime: Runtime;
  /** EXTRA_CA_CERTS_FILEPATH's, PEM; undefined if they cannot be read. */
  readonly authorities: readonly string[] | undefined;
  /** SERVER_HOSTNAME is not set: the machine's name is used. */
  readonly unnamed: boolean;
}

/** Checks the certificate that TLS_SOURCE names. */
export async function checkCertificate(
  settings: Settings,
  http: HttpClient,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  switch (settings.TLS_SOURCE) {
    case "off":
      return [finding("certificate.off", "TLS_SOURCE is off: clients speak in plain text")];
    case "file":
      return await checkFiles(settings, tools);
    case "keyvault": {
      const { AZURE_KEY_VAULT_URL: vault, AZURE_KEY_VAULT_CERT_NAME: name } = settings;
      if (vault === undefined || name === undefined) throw new Error("settings have been checked");
      try {
        const source = await certificateSource(settings, http);
        return source === undefined ? [] : await checkVault(source, settings, tools);
      } catch (error) {
        if (!(error instanceof CommandError)) throw error;
        return [identityFinding("vault.identity", error)];
      }
    }
  }
}

/** For TLS_SOURCE=file. */
async function checkFiles(
  settings: Settings,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  const { TLS_CERT_FILEPATH: certificatePath, TLS_KEY_FILEPATH: keyPath } = settings;
  const named = `TLS_CERT_FILEPATH "${certificatePath}"`;
  const findings: Finding[] = [];
  const texts = {
    certificate: attempt(findings, () => readPem("TLS_CERT_FILEPATH", certificatePath)),
    key: attempt(findings, () => readPem("TLS_KEY_FILEPATH", keyPath)),
  };
  const swapped = swappedFiles(certificatePath, keyPath, texts);
  if (swapped !== undefined) return [faultOf(swapped)];
  const own = texts.certificate === undefined ? undefined : attempt(findings, () => {
    const certificate = blocksOnly(texts.certificate!, certificatesIn);
    return { certificate, leaf: leafIn(certificatePath, certificate) };
  });
  const key = texts.key === undefined ? undefined : attempt(findings, () => {
    const privateKey = blocksOnly(texts.key!, keysIn);
    return { privateKey, key: keyIn(keyPath, privateKey) };
  });
  if (own !== undefined) findings.push(...judged(own.certificate, named, settings, tools));
  if (own !== undefined && key !== undefined) {
    const pair = { ...own, privateKey: key.privateKey };
    const mismatch = judgePair(pair, key.key, settings);
    findings.push(...mismatch ?? await proved(pair, settings, tools.runtime));
  }
  if (findings.length > 0 || own === undefined) return findings;
  return [finding("certificate.ok", praise(own.leaf, named))];
}

/** For TLS_SOURCE=keyvault. @param source asks the vault as the relay does */
async function checkVault(
  source: CertificateSource,
  settings: Settings,
  tools: CertificateTools,
): Promise<readonly Finding[]> {
  const { AZURE_KEY_VAULT_CERT_NAME: name, AZURE_KEY_VAULT_URL: vault } = settings;
  const named = `Key Vault's certificate "${name}"`;
  let certificate: Certificate;
  try {
    const { signal } = new AbortController();
    const found = await source.read({ known: undefined, complete: true, signal });
    certificate = found!.certificate;
  } catch (error) {
    if (error instanceof CertificateUnavailable) {
      return [finding(VAULT_CODE_OF[error.trouble], error.message)];
    }
    if (!(error instanceof CertificateError)) throw error;
    return [finding("vault.malformed", error.message)];
  }
  const ok = finding("vault.ok", `${vault?.host} hands out "${name}" with its key`);
  const faults = [
    ...judged(certificate.certificate, named, settings, tools),
    ...await proved(certificate, settings, tools.runtime),
  ];
  if (faults.length > 0) return [ok, ...faults];
  return [ok, finding("certificate.ok", praise(certificate.leaf, named))];
}

/** What is wrong with a chain, for the clients that these settings expect. */
function judged(
  pem: string,
  named: string,
  { SERVER_HOSTNAME: hostname }: Settings,
  { authorities, unnamed }: CertificateTools,
): Finding[] {
  return judgeChain(pem, {
    named,
    now: Date.now(),
    hostname,
    unnamed,
    authorities: () => authorities && [...getCACertificates("default"), ...authorities],
  });
}

/** A correct certificate, in one line. */
function praise(leaf: Certificate["leaf"], named: string): string {
  const { expires, days } = validityOf(leaf, Date.now());
  return `${named} is for ${namesOf(leaf)}, from "${nameLine(leaf.issuer)}", valid until ` +
    `${day(expires.getTime())} (${inDays(days)} left), matches its key`;
}

/** Serves TLS with it once, as the relay does at its start. */
async function proved(
  certificate: Certificate,
  settings: Settings,
  runtime: Runtime,
): Promise<readonly Finding[]> {
  try {
    const { dropped } = await loadIdentity(settings, runtime, certificate);
    return dropped === undefined ? [] : [finding("certificate.cipher-level", dropped)];
  } catch (error) {
    return [faultOf(error)];
  }
}

function judgePair(
  { certificate, leaf }: Pick<Certificate, "certificate" | "leaf">,
  key: KeyObject,
  { TLS_CERT_FILEPATH, TLS_KEY_FILEPATH }: Settings,
): readonly Finding[] | undefined {
  if (belongsTo(leaf, key)) return undefined;
  const fits = certificatesOf(certificate).findIndex((other) => belongsTo(other, key));
  const what = `TLS_KEY_FILEPATH "${TLS_KEY_FILEPATH}" is not the key of the certificate in ` +
    `"${TLS_CERT_FILEPATH}"`;
  if (fits < 1) return [finding("certificate.key-mismatch", what)];
  const number = `certificate number ${fits + 1}`;
  return [
    finding(
      "certificate.key-mismatch",
      `${what}, but that of ${number} in the file`,
      `put ${number} first in the file: the server's own comes before its chain`,
    ),
  ];
}

function attempt<T>(findings: Finding[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    findings.push(faultOf(error));
    return undefined;
  }
}

function faultOf(error: unknown): Finding {
  if (!(error instanceof CertificateError)) throw error;
  const { fault, problem, remedy } = error;
  return finding(CODE_OF[fault], problem, remedy ?? (fault === "cut" ? COPY_AGAIN : undefined));
}
