// A certificate with its chain and its private key, from any source.

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { isServedKind, kindName, kindOfCertificate, kindOfKey, SERVED_KINDS } from "./key_kind.ts";

export interface Certificate {
  /** PEM: the server's own certificate, and the chain where there is one. */
  readonly certificate: string;
  /** PEM. */
  readonly privateKey: string;
  /** The server's own certificate, parsed. */
  readonly leaf: X509Certificate;
}

/** What is wrong with a certificate, for programs; the error's message is for people. */
export type CertificateFault =
  /** There is no such file. */
  | "missing"
  | "unreadable"
  /** No certificate, or no key, that can be read. */
  | "malformed"
  /** A beginning without its end: the file was not written, or copied, as a whole. */
  | "cut"
  /** The key is another certificate's. */
  | "mismatch"
  /** Certificate and key are swapped. */
  | "swapped"
  /** TLS cannot be served with keys of this kind. */
  | "kind"
  /** The runtime cannot serve TLS with it and the settings. */
  | "unusable";

/** One line for the administrator: what is wrong with the certificate, where, what to do. */
export class CertificateError extends Error {
  readonly fault: CertificateFault;
  /** What to do, without what is wrong; undefined if the error does not know it. */
  readonly remedy: string | undefined;
  /** What is wrong, without what to do. */
  readonly problem: string;
  /** One for each thing that is wrong. */
  readonly lines: readonly string[];

  /** @param remedy is appended to the problem; left out if the problem says it already */
  constructor(
    problem: string,
    fault: CertificateFault = "malformed",
    remedy?: string,
  ) {
    super(remedy === undefined ? problem : `${problem}: ${remedy}`);
    this.fault = fault;
    this.remedy = remedy;
    this.problem = problem;
    this.lines = [this.message];
  }
}

/** Several problems in one error. */
class CertificateErrors extends CertificateError {
  override readonly lines: readonly string[];

  constructor(errors: readonly CertificateError[]) {
    const lines = errors.map(({ message }) => message);
    super(lines.join("; "), errors[0]!.fault);
    this.lines = lines;
  }
}

/** @param errors one at least */
export function together(errors: readonly CertificateError[]): CertificateError {
  return errors.length === 1 ? errors[0]! : new CertificateErrors(errors);
}

/** Why a service does not return the certificate, for programs. */
export type CertificateTrouble =
  /** Its rights: a role or an access policy is missing. */
  | "forbidden"
  /** Its firewall. */
  | "firewall"
  /** It has no such certificate. */
  | "absent"
  | "disabled"
  /** Entra ID gives no token for it, or it is not accepted. */
  | "identity"
  /** Another server answers. */
  | "foreign"
  | "unreachable"
  /** Any other answer. */
  | "refused";

/** The service that keeps the certificate does not return it. */
export class CertificateUnavailable extends CertificateError {
  readonly trouble: CertificateTrouble;

  constructor(message: string, trouble: CertificateTrouble = "unreachable") {
    super(message, "missing");
    this.trouble = trouble;
  }
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const KEYS = /-----BEGIN ((?:[A-Z0-9]+ )?PRIVATE KEY)-----[^]+?-----END \1-----/g;

/** The certificates in a PEM text (RFC 7468), in its order. */
export function certificatesIn(pem: string): string[] {
  return pem.match(CERTIFICATES) ?? [];
}

/** The private keys in a PEM text (RFC 7468), in its order. */
export function keysIn(pem: string): string[] {
  return pem.match(KEYS) ?? [];
}

/** Whether each block of a PEM text has its end, which a partly written file lacks. */
export function isWhole(pem: string): boolean {
  const count = (pattern: RegExp) => pem.match(pattern)?.length ?? 0;
  return count(/^-----BEGIN [A-Z0-9 ]+-----/gm) === count(/^-----END [A-Z0-9 ]+-----/gm);
}

/**
 * Orders certificates into a chain: the one that belongs to the key first, then its issuer, and so on.
 * Certificates that do not belong to that chain are left out.
 *
 * @param certificates PEM, one each
 * @param key PEM, without a passphrase
 * @param where names the place in errors, at the beginning of the line
 * @throws CertificateError
 */
export function assemble(
  certificates: readonly string[],
  key: string,
  where: string,
): Certificate {
  const privateKey = readKey(key, where);
  const all = certificates.map((pem, index) => {
    try {
      return { pem, x509: new X509Certificate(pem) };
    } catch {
      throw new CertificateError(`${where}: its certificate number ${index + 1} cannot be read`);
    }
  });
  const own = all.find(({ x509 }) => belongsTo(x509, privateKey));
  if (own === undefined) {
    throw new CertificateError(`${where}: its private key belongs to none of its certificates`);
  }
  const chain = [own];
  for (;;) {
    const { x509: last } = chain.at(-1)!;
    // By name and by signature: several authorities may have one name.
    const issuer = all.find((one) => !chain.includes(one) && isIssuer(one.x509, last));
    if (issuer === undefined) break;
    chain.push(issuer);
  }
  return {
    certificate: chain.map(({ pem }) => `${pem}\n`).join(""),
    privateKey: key,
    leaf: own.x509,
  };
}

function readKey(pem: string, where: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    // The library's message may quote the key.
    throw unservedKey(pem, `${where}: its private key`) ??
      new CertificateError(`${where}: its private key cannot be read`);
  }
}

/** Whether a private key is the certificate's. */
export function belongsTo(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.checkPrivateKey(key);
  } catch {
    return false;
  }
}

/** Whether `issuer` has signed `certificate`, as far as this runtime can verify its kind of key. */
export function isIssuer(issuer: X509Certificate, certificate: X509Certificate): boolean {
  if (!certificate.checkIssued(issuer)) return false;
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    // The runtime cannot verify signatures of some kinds of key: then the name decides.
    return !isReadable(issuer);
  }
}

function isReadable(certificate: X509Certificate): boolean {
  const kind = kindOfCertificate(certificate);
  return kind !== undefined && isServedKind(kind) && (kind.bits ?? 0) <= 4096;
}

/**
 * What is wrong with a key that the runtime cannot read: its kind, if that is all.
 *
 * @param named what the line begins with
 * @returns undefined if every runtime can serve its kind, or the kind is unknown
 */
export function unservedKey(pem: string, named: string): CertificateError | undefined {
  const kind = kindOfKey(pem);
  if (kind === undefined || isServedKind(kind)) return undefined;
  return new CertificateError(
    `${named} is of the kind ${kindName(kind)}, which the relay cannot serve TLS with`,
    "kind",
    OTHER_KIND,
  );
}

/** What to do about a key of a kind that cannot be served. */
export const OTHER_KIND = `get a certificate with ${SERVED_KINDS}`;
