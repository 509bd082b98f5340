// The kind of a certificate's key or of a private key, also where the runtime's library cannot read it.
// Parsed from the DER (X.690).

import { Buffer } from "node:buffer";

/** The kinds that every runtime serves TLS with, as part of a sentence. The tests try each of them. */
export const SERVED_KINDS =
  "an RSA key of 2048 bits or more, an EC key on P-256 or P-384, or an Ed25519 key";

const SERVED = new Set(["RSA", "EC P-256", "EC P-384", "Ed25519"]);
const SHORTEST_RSA = 2048;

export interface KeyKind {
  /** Such as `RSA`, `EC P-521` or `Ed448`; the object identifier where it has no better name. */
  readonly name: string;
  /** Of an RSA key. */
  readonly bits?: number;
}

/** Such as `RSA 1024`. */
export function kindName({ name, bits }: KeyKind): string {
  return bits === undefined ? name : `${name} ${bits}`;
}

/** Whether every runtime serves TLS with it. */
export function isServedKind({ name, bits = SHORTEST_RSA }: KeyKind): boolean {
  return SERVED.has(name) && bits >= SHORTEST_RSA;
}

/** Algorithms (RFC 3279 §2.3, RFC 4055 §1.2, RFC 8410 §3, FIPS 204). */
const ALGORITHMS: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.1": "RSA",
  "1.2.840.113549.1.1.10": "RSA-PSS",
  "1.2.840.10040.4.1": "DSA",
  "1.3.101.112": "Ed25519",
  "1.3.101.113": "Ed448",
  "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
  "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
  "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
};
const EC = "1.2.840.10045.2.1";
/** Curves (RFC 5480 §2.1.1.1, SEC 2, RFC 5639 §4.1). */
const CURVES: Readonly<Record<string, string>> = {
  "1.2.840.10045.3.1.7": "P-256",
  "1.3.132.0.34": "P-384",
  "1.3.132.0.35": "P-521",
  "1.3.132.0.33": "P-224",
  "1.3.132.0.10": "secp256k1",
  "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
  "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
  "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
};

/** The kind of a certificate's key; undefined if it cannot be read. */
export function kindOfCertificate({ raw }: { readonly raw: Uint8Array }): KeyKind | undefined {
  return undefinedUnlessDer(() => {
    const [tbs] = partsOf(der(raw));
    const fields = partsOf(tbs!);
    // The version is there or not (RFC 5280 §4.1).
    const info = fields[fields[0]!.tag === 0xa0 ? 6 : 5]!;
    const [algorithm, key] = partsOf(info);
    const kind = kindOf(algorithm!);
    if (kind.name !== "RSA" && kind.name !== "RSA-PSS") return kind;
    // A bit string, whose first octet counts the bits that are not used.
    return { ...kind, bits: bitsOf(der(key!.content.subarray(1))) };
  });
}

/** The kind of a private key in PEM, not encrypted; undefined if it cannot be read. */
export function kindOfKey(pem: string): KeyKind | undefined {
  const match = /^-----BEGIN ([A-Z ]*PRIVATE KEY)-----\s+([A-Za-z0-9+/=\s]+)-----END /m.exec(pem);
  if (match === null) return undefined;
  return undefinedUnlessDer(() => {
    const parts = partsOf(der(Buffer.from(match[2]!, "base64")));
    switch (match[1]) {
      case "PRIVATE KEY": // RFC 5958 §2
        return kindOf(parts[1]!);
      case "EC PRIVATE KEY": { // RFC 5915 §3
        const curve = parts.find(({ tag }) => tag === 0xa0)!;
        return { name: `EC ${curveName(partsOf(curve)[0]!)}` };
      }
      case "RSA PRIVATE KEY": // RFC 8017 §A.1.2
        return { name: "RSA" };
      case "DSA PRIVATE KEY":
        return { name: "DSA" };
      default:
        return undefined;
    }
  });
}

/** AlgorithmIdentifier (RFC 5280 §4.1.1.2). */
function kindOf(algorithm: Part): KeyKind {
  const [id, parameters] = partsOf(algorithm);
  const oid = oidOf(id!);
  if (oid !== EC) return { name: ALGORITHMS[oid] ?? oid };
  return { name: parameters?.tag === 0x06 ? `EC ${curveName(parameters)}` : "EC" };
}

function curveName(id: Part): string {
  const oid = oidOf(id);
  return CURVES[oid] ?? oid;
}

/** Of an RSAPublicKey (RFC 8017 §A.1.1): those of the modulus. */
function bitsOf(key: Part): number {
  const [modulus] = partsOf(key);
  const octets = modulus!.content.subarray(modulus!.content[0] === 0 ? 1 : 0);
  return octets.length * 8 - Math.clz32(octets[0]!) + 24;
}

// --- DER ---

interface Part {
  readonly tag: number;
  readonly content: Uint8Array;
}

class NotDer extends Error {}

function undefinedUnlessDer<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof NotDer || error instanceof TypeError) return undefined;
    throw error;
  }
}

function der(octets: Uint8Array): Part {
  return next(octets, 0).part;
}

function next(octets: Uint8Array, at: number): { readonly part: Part; readonly end: number } {
  const first = octets[at + 1];
  if (first === undefined) throw new NotDer();
  let begin = at + 2;
  let length = first;
  if (first >= 0x80) {
    const count = first - 0x80;
    if (count < 1 || count > 4) throw new NotDer();
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (octets[begin + i] ?? 0);
    begin += count;
  }
  const end = begin + length;
  if (end > octets.length) throw new NotDer();
  return { part: { tag: octets[at]!, content: octets.subarray(begin, end) }, end };
}

/** No structure read here has more parts. */
const MOST_PARTS = 16;

function partsOf({ content }: Part): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < content.length && parts.length < MOST_PARTS;) {
    const { part, end } = next(content, at);
    parts.push(part);
    at = end;
  }
  return parts;
}

function oidOf({ tag, content }: Part): string {
  if (tag !== 0x06 || content.length === 0 || content.length > 32) throw new NotDer();
  const numbers: number[] = [];
  let value = 0;
  for (const octet of content) {
    value = value * 128 + (octet & 0x7f);
    if (octet >= 0x80) continue;
    numbers.push(value);
    value = 0;
  }
  const [both = 0, ...rest] = numbers;
  const first = Math.min(Math.floor(both / 40), 2);
  return [first, both - first * 40, ...rest].join(".");
}
