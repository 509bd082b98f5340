// The names in a certificate's subjectAltName (RFC 5280 §4.2.1.6), read from its DER.
//
// Not from the text that runtimes make of it, `DNS:a, URI:b`: not all of them escape commas, and a URI
// that contains `, DNS:graph.microsoft.com` would then add that name (CVE-2021-44532).

import { Buffer } from "node:buffer";

export interface AlternativeNames {
  /** dNSName, in lower case; names that are not ASCII are left out. */
  readonly names: readonly string[];
  /** iPAddress: octets in hexadecimal, 8 or 32 digits. */
  readonly addresses: readonly string[];
}

interface Element {
  readonly tag: number;
  readonly content: Buffer;
}

const SEQUENCE = 0x30;
const OBJECT_IDENTIFIER = 0x06;
const OCTET_STRING = 0x04;
/** `[3]`, which holds a certificate's extensions (RFC 5280 §4.1). */
const EXTENSIONS = 0xa3;
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = "551d11";
/** `[2]` and `[7]` of GeneralName. */
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
const NONE: AlternativeNames = { names: [], addresses: [] };

/** @param certificate DER; anything else has no names */
export function alternativeNames(certificate: Uint8Array): AlternativeNames {
  const [whole] = elements(certificate);
  const [signed] = inside(whole, SEQUENCE);
  const extensions = inside(signed, SEQUENCE).find(({ tag }) => tag === EXTENSIONS);
  const found = inside(inside(extensions, EXTENSIONS)[0], SEQUENCE)
    .map((extension) => inside(extension, SEQUENCE))
    .filter(([id]) =>
      id?.tag === OBJECT_IDENTIFIER && id.content.toString("hex") === SUBJECT_ALT_NAME
    );
  // RFC 5280 §4.2: at most once. Of two, the authority may have checked only one.
  if (found.length !== 1) return NONE;
  const [value] = elements(inOctets(found[0]!.at(-1)));
  const all = inside(value, SEQUENCE);
  return {
    names: all.filter(({ tag, content }) => tag === DNS_NAME && isAscii(content))
      .map(({ content }) => content.toString("latin1").toLowerCase()),
    addresses: all.filter(({ tag, content: { length } }) =>
      tag === IP_ADDRESS && (length === 4 || length === 16)
    ).map(({ content }) => content.toString("hex")),
  };
}

function inside(element: Element | undefined, tag: number): readonly Element[] {
  return element?.tag === tag ? elements(element.content) : [];
}

function inOctets(element: Element | undefined): Uint8Array {
  return element?.tag === OCTET_STRING ? element.content : new Uint8Array(0);
}

/** A sequence of elements (X.690 §8.1, definite lengths); empty if any of it is malformed. */
function elements(der: Uint8Array): readonly Element[] {
  const octets = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  const found: Element[] = [];
  for (let at = 0; at < octets.length;) {
    if (at + 2 > octets.length) return [];
    const tag = octets[at]!;
    let length = octets[at + 1]!;
    at += 2;
    if (length >= 0x80) {
      const more = length & 0x7f;
      if (more === 0 || more > 4 || at + more > octets.length) return [];
      length = octets.readUIntBE(at, more);
      at += more;
    }
    if (at + length > octets.length) return [];
    found.push({ tag, content: octets.subarray(at, at + length) });
    at += length;
  }
  return found;
}

function isAscii(octets: Buffer): boolean {
  return octets.every((octet) => octet > 0x20 && octet < 0x7f);
}
