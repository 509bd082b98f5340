// Certificates and private key out of a PKCS#12 without a password (RFC 7292), as Key Vault hands
// them out.
//
// ASN.1 and the password-based ciphers come from node-forge, because no runtime's crypto has the old
// ones (3DES, RC2). The structure is read here: forge's own reader supports RSA alone, and certificates
// must stay the same octets.

import { Buffer } from "node:buffer";
import { createPrivateKey } from "node:crypto";
import type forge from "node-forge";
import type { Forge } from "./forge.ts";
import { kindOfKey } from "./key_kind.ts";

type Asn1 = forge.asn1.Asn1;

/** All PEM. */
export interface Pkcs12 {
  readonly certificates: readonly string[];
  readonly keys: readonly string[];
}

/** What is wrong with a PKCS#12, as the end of a line. */
export class Pkcs12Error extends Error {}

const OID = {
  data: "1.2.840.113549.1.7.1",
  encryptedData: "1.2.840.113549.1.7.6",
  keyBag: "1.2.840.113549.1.12.10.1.1",
  shroudedKeyBag: "1.2.840.113549.1.12.10.1.2",
  certificateBag: "1.2.840.113549.1.12.10.1.3",
  x509: "1.2.840.113549.1.9.22.1",
} as const;

/** The empty password and no password, from which different keys are derived (RFC 7292 §B.2). */
const NO_PASSWORDS: readonly (string | null)[] = ["", null];

/** An API of forge that its types lack. */
interface Ciphers {
  getCipher(oid: string, parameters: Asn1, password: string | null): {
    update(octets: forge.util.ByteStringBuffer): void;
    finish(): boolean;
    readonly output: forge.util.ByteStringBuffer;
  };
}

/**
 * @param octets of the file, without its base64
 * @throws Pkcs12Error
 */
export async function readPkcs12(octets: Uint8Array): Promise<Pkcs12> {
  const { library } = await import("./forge.ts");
  return new Reader(library).read(Buffer.from(octets).toString("latin1"));
}

class Reader {
  readonly #forge: Forge;
  readonly #certificates: string[] = [];
  readonly #keys: string[] = [];

  constructor(library: Forge) {
    this.#forge = library;
  }

  read(binary: string): Pkcs12 {
    const pfx = this.#parse(binary);
    const [, contentInfo] = partsOf(pfx);
    for (const content of this.#contents(this.#dataOf(contentInfo))) {
      for (const bag of partsOf(this.#parse(content))) this.#bag(bag);
    }
    return { certificates: this.#certificates, keys: this.#keys };
  }

  /** The SafeContents, decrypted (RFC 7292 §4.1). */
  #contents(authenticatedSafe: string): string[] {
    return partsOf(this.#parse(authenticatedSafe)).map((contentInfo) => {
      const [type, explicit] = partsOf(contentInfo);
      if (this.#oid(type) !== OID.encryptedData) return this.#dataOf(contentInfo);
      // EncryptedData (RFC 5652 §8): version, then type, algorithm and [0] octets.
      const [encryptedData] = partsOf(explicit);
      const [, info] = partsOf(encryptedData);
      const [, algorithm, encrypted] = partsOf(info);
      return this.#decrypt(algorithm, encrypted);
    });
  }

  #dataOf(contentInfo: Asn1 | undefined): string {
    const [type, explicit] = partsOf(contentInfo);
    if (this.#oid(type) !== OID.data) throw new Pkcs12Error("is of a kind that is not supported");
    return octetsOf(partsOf(explicit)[0]);
  }

  /** SafeBag (RFC 7292 §4.2): identifier, then [0] value. */
  #bag(bag: Asn1): void {
    const [identifier, explicit] = partsOf(bag);
    const [value] = partsOf(explicit);
    switch (this.#oid(identifier)) {
      case OID.keyBag:
        return this.#key(this.#forge.asn1.toDer(value!).getBytes());
      case OID.shroudedKeyBag: {
        const [algorithm, encrypted] = partsOf(value);
        return this.#key(this.#decrypt(algorithm, encrypted));
      }
      case OID.certificateBag: {
        const [type, certificate] = partsOf(value);
        if (this.#oid(type) !== OID.x509) return;
        this.#certificates.push(pemOf(octetsOf(partsOf(certificate)[0])));
      }
    }
  }

  /** @param pkcs8 PrivateKeyInfo (RFC 5208 §5) */
  #key(pkcs8: string): void {
    const key = Buffer.from(pkcs8, "latin1");
    try {
      const object = createPrivateKey({ key, format: "der", type: "pkcs8" });
      this.#keys.push(object.export({ format: "pem", type: "pkcs8" }).toString().trimEnd());
    } catch {
      const pem = `-----BEGIN PRIVATE KEY-----\n${
        key.toString("base64")
      }\n-----END PRIVATE KEY-----`;
      // A kind that the runtime cannot read: the caller reports which one.
      if (kindOfKey(pem) !== undefined) return void this.#keys.push(pem);
      throw new Pkcs12Error("holds a private key that cannot be read");
    }
  }

  #decrypt(algorithm: Asn1 | undefined, encrypted: Asn1 | undefined): string {
    const [oid, parameters] = partsOf(algorithm);
    const { pbe } = this.#forge.pki as unknown as { readonly pbe: Ciphers };
    for (const password of NO_PASSWORDS) {
      try {
        const cipher = pbe.getCipher(this.#oid(oid), parameters!, password);
        cipher.update(this.#forge.util.createBuffer(octetsOf(encrypted)));
        if (!cipher.finish()) continue;
        const plain = cipher.output.getBytes();
        // Throws where a wrong password gave valid padding by chance.
        this.#parse(plain);
        return plain;
      } catch (error) {
        if (/unsupported|unknown/i.test(String(error))) {
          throw new Pkcs12Error(
            `is encrypted by an algorithm that is not supported (${this.#oid(oid)})`,
          );
        }
      }
    }
    throw new Pkcs12Error("has a password, or is damaged");
  }

  #parse(binary: string): Asn1 {
    try {
      return this.#forge.asn1.fromDer(binary, { decodeBitStrings: false } as never);
    } catch {
      throw new Pkcs12Error("is no PKCS#12");
    }
  }

  #oid(part: Asn1 | undefined): string {
    if (typeof part?.value !== "string") throw new Pkcs12Error("is no PKCS#12");
    return this.#forge.asn1.derToOid(part.value);
  }
}

function partsOf(part: Asn1 | undefined): Asn1[] {
  if (!Array.isArray(part?.value)) throw new Pkcs12Error("is no PKCS#12");
  return part.value;
}

/** An octet string may come in pieces (BER). */
function octetsOf(part: Asn1 | undefined): string {
  if (part === undefined) throw new Pkcs12Error("is no PKCS#12");
  return Array.isArray(part.value) ? part.value.map(octetsOf).join("") : part.value;
}

function pemOf(der: string): string {
  const lines = Buffer.from(der, "latin1").toString("base64").match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----`;
}
